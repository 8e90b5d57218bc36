//! Opening a store, and the handle to it.

use std::fs::File;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use kiln_model::{ActionKey, Event, ObjectId, Reporter, Silent};

use crate::files::{self, FileError, Files};
use crate::layout;
use crate::lock::{self, ActionLock, NamedLock};
use crate::object;
use crate::session::{self, Session, SessionError};
use crate::tree::TreeCache;

/// How far a commit is meant to last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// What was committed survives a power cut: each flush waits for the disk.
    PowerCut,
    /// What was committed survives the death of every process, but not of the machine. For a store that goes with the
    /// machine anyway: in tests, on a tmpfs, in a throw-away container.
    Process,
}

/// How to open a store.
#[derive(Clone)]
pub struct OpenOptions {
    pub(crate) now: SystemTime,
    pub(crate) writable: bool,
    pub(crate) durability: Durability,
    pub(crate) threads: usize,
    pub(crate) reporter: Arc<dyn Reporter>,
}

impl OpenOptions {
    /// Reading and writing, surviving a power cut, a thread for each core, telling nobody. `now` is the time that
    /// results used in this run are counted as used at, for gc.
    #[must_use]
    pub fn new(now: SystemTime) -> Self {
        Self {
            now,
            writable: true,
            durability: Durability::PowerCut,
            threads: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            reporter: Arc::new(Silent),
        }
    }

    /// Only to read: nothing is made, removed or written, so a read-only file system will do.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.writable = false;
        self
    }

    /// How far commits last.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How many threads checkouts and fsck use.
    #[must_use]
    pub fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = threads.get();
        self
    }

    /// Who is told of waiting, warnings and progress.
    #[must_use]
    pub fn reporter(mut self, reporter: Arc<dyn Reporter>) -> Self {
        self.reporter = reporter;
        self
    }
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A call failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The folder holds something else.
    #[error("`{}` is not a store: it holds `{found}`", .path.display())]
    NotAStore {
        /// The folder.
        path: PathBuf,
        /// A name in it.
        found: String,
    },
    /// Another version of Kiln made it.
    #[error("the store `{}` has the format `{found}`, and this Kiln knows only `{}`", .path.display(), layout::VERSION.trim_end())]
    Version {
        /// The folder.
        path: PathBuf,
        /// Its version line.
        found: String,
    },
    /// Opened to read, and it is not there.
    #[error("there is no store at `{}`", .0.display())]
    Missing(PathBuf),
}

impl OpenError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::NotAStore { .. } => Some("choose an empty or a new folder for the store".to_owned()),
            Self::Version { path, .. } => Some(format!(
                "use the Kiln that made it, or another folder; everything in a store can be made again, so removing \
                 `{}` is safe",
                path.display()
            )),
            Self::Missing(_) => Some("`kiln build` makes one".to_owned()),
        }
    }
}

/// A store. Cheap to clone; every clone is the same store.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    files: Files,
    options: OpenOptions,
    cache: Mutex<TreeCache>,
    /// Sessions of this very process, which gc must not wait for.
    sessions: AtomicUsize,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({:?})", self.root())
    }
}

impl Store {
    /// Opens the store at `root`. One that is opened to write is made when it is not there, and cleaned of what dead
    /// sessions left.
    ///
    /// # Errors
    /// When it cannot be made or read, is of another version, or is no store.
    pub fn open(root: &Path, options: OpenOptions) -> Result<Self, OpenError> {
        if options.writable {
            std::fs::create_dir_all(root).map_err(|e| FileError::new("create", root, e))?;
        } else if !root.exists() {
            return Err(OpenError::Missing(root.to_owned()));
        }
        let root = std::path::absolute(root).map_err(|e| FileError::new("find", root, e))?;
        let files = Files::open_root(&root)?;
        check_version(&files, options.writable)?;
        let inner = Inner { files, options, cache: Mutex::default(), sessions: AtomicUsize::new(0) };
        let store = Self(Arc::new(inner));
        if store.options().writable
            && let Err(error) = session::bury_the_dead(&store)
        {
            store
                .warn(format!("what an earlier run left half-done cannot be removed: {error}: {}", error.source), None);
        }
        Ok(store)
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.files().root()
    }

    pub(crate) fn files(&self) -> &Files {
        &self.0.files
    }

    pub(crate) fn options(&self) -> &OpenOptions {
        &self.0.options
    }

    pub(crate) fn cache(&self) -> &Mutex<TreeCache> {
        &self.0.cache
    }

    pub(crate) fn sessions(&self) -> &AtomicUsize {
        &self.0.sessions
    }

    pub(crate) fn reporter(&self) -> &dyn Reporter {
        &*self.0.options.reporter
    }

    pub(crate) fn warn(&self, message: String, hint: Option<String>) {
        self.reporter().report(Event::Warning { message, hint });
    }

    /// Refuses to write to a store that was opened to read.
    pub(crate) fn check_writable(&self, doing: &'static str) -> files::Result<()> {
        if self.options().writable {
            return Ok(());
        }
        Err(FileError::new(doing, self.root(), rustix::io::Errno::ROFS))
    }

    /// Begins a session: nothing that the store holds now or gets from it is removed while it lives.
    ///
    /// # Errors
    /// When the store cannot be locked.
    pub fn session(&self) -> Result<Session, SessionError> {
        Session::begin(self)
    }

    /// Is the object there? Its bytes are not looked at.
    #[must_use]
    pub fn has_object(&self, id: &ObjectId) -> bool {
        matches!(self.files().look(&layout::object(id)), Ok(Some(_)))
    }

    /// Opens the file that holds an object, when it has the length that is expected. Its bytes are not verified: for
    /// those who map, link or verify it themselves. [`kiln_model::ObjectSource::open`] verifies.
    ///
    /// # Errors
    /// When it is missing, of another length, or cannot be opened.
    pub fn object_file(&self, id: &ObjectId, size: u64) -> Result<File, kiln_model::ObjectError> {
        object::open_sized(self.files(), &layout::object(id), id, size)
    }

    /// Where an object lies as a file, if it is there: to be read, or linked to by those who only read. It is the
    /// store's own file, which nobody may write to.
    #[must_use]
    pub fn object_path(&self, id: &ObjectId) -> Option<PathBuf> {
        self.has_object(id).then(|| self.root().join(layout::object(id)))
    }

    /// Takes the right to perform an action; waits while another process has it, and says for whom. Look for the
    /// result again when it has been granted: the other may just have made it.
    ///
    /// # Errors
    /// When the lock cannot be made.
    pub fn lock_action(&self, key: &ActionKey) -> Result<ActionLock, FileError> {
        self.check_writable("lock")?;
        let waiting = |pids: Vec<u32>| {
            let by = lock::name_holders(&pids);
            self.warn(format!("waiting for {by}, which is building the same thing ({})", key.0.short()), None);
        };
        let lock = NamedLock::take(self, layout::action_lock(key), true, waiting)?;
        Ok(ActionLock(lock.expect("a lock that is waited for is granted")))
    }

    /// Like [`Store::lock_action`], but gives nothing instead of waiting.
    ///
    /// # Errors
    /// When the lock cannot be made.
    pub fn try_lock_action(&self, key: &ActionKey) -> Result<Option<ActionLock>, FileError> {
        self.check_writable("lock")?;
        Ok(NamedLock::take(self, layout::action_lock(key), false, |_| {})?.map(ActionLock))
    }

    /// Where the log of an action's last run is, if it ran.
    #[must_use]
    pub fn log_path(&self, key: &ActionKey) -> PathBuf {
        self.files().path(&layout::log(key))
    }

    /// Begins the log of an action anew. Hold the action's lock meanwhile.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn log_writer(&self, key: &ActionKey) -> Result<File, FileError> {
        self.check_writable("write")?;
        let at = layout::log(key);
        self.files().make_dir(&at[..at.len() - 63])?;
        match self.files().unlink(&at) {
            Err(error) if !error.is_missing() => Err(error),
            _ => self.files().create(&at, 0o644),
        }
    }
}

/// Checks the version; makes an empty or half-made folder a store. The version is written last, so a folder that has
/// one has all the rest.
fn check_version(files: &Files, writable: bool) -> Result<(), OpenError> {
    if has_version(files)? {
        return Ok(());
    }
    let known = |name: &str| layout::FOLDERS.contains(&name) || [layout::LOCK, layout::VERSION_FILE].contains(&name);
    if let Some(found) = files.names("")?.into_iter().find(|name| !known(name)) {
        return Err(OpenError::NotAStore { path: files.root().to_owned(), found });
    }
    if !writable {
        return Err(OpenError::Missing(files.root().to_owned()));
    }
    for folder in layout::FOLDERS {
        files.make_dir(folder)?;
    }
    files.open_lock(layout::LOCK, 0o644)?;
    // Two may make it at once; the second finds it made.
    let _guard = session::lock_staging(files)?;
    if has_version(files)? {
        return Ok(());
    }
    let aside = format!("{}/version-{}", layout::STAGING, std::process::id());
    files.remove_all(&aside)?;
    files.write_new(&aside, 0o644, layout::VERSION.as_bytes())?;
    files.sync()?;
    files.rename(&aside, layout::VERSION_FILE)?;
    Ok(())
}

fn has_version(files: &Files) -> Result<bool, OpenError> {
    match files.read(layout::VERSION_FILE, 100) {
        Ok(found) if found == layout::VERSION.as_bytes() => Ok(true),
        Ok(found) => {
            let found = String::from_utf8_lossy(&found).trim_end().to_owned();
            Err(OpenError::Version { path: files.root().to_owned(), found })
        }
        Err(error) if error.is_missing() => Ok(false),
        Err(error) => Err(error.into()),
    }
}
