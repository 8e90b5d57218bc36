//! Sessions: who uses a store announces it, so that gc removes nothing under its feet, and writes into a folder of its
//! own, so that nothing half-written is ever seen.
//!
//! A session holds the store's lock shared while it lives. With its first write it makes `staging/PID-N/` and holds
//! `staging/PID-N/lock`; what it writes lies there under running numbers, in a few folders by turns, so that threads seldom
//! wait for each other at one, until [`Session::flush`] publishes it. A folder whose lock is free belongs to nobody: whoever opens the store next removes
//! it. A folder is made, and found dead, only under `staging/lock`, so a folder just made is never taken for a dead one.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kiln_model::{ActionKey, Dir, ObjectError, ObjectId, ObjectParts, ObjectSource, TreeId};

use crate::action::{self, ActionResult};
use crate::files::{self, FileError, Files};
use crate::gc::Alone;
use crate::lock::{self, Kind};
use crate::object::Trust;
use crate::tree::{self, TreeError};
use crate::{Store, layout, object};

/// Why a session cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// A call failed.
    #[error(transparent)]
    File(#[from] FileError),
}

impl SessionError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let Self::File(error) = self;
        error.hint()
    }
}

/// A use of the store: see the module. Dropped, it takes with it what it did not publish.
///
/// It gives everything that a [`Store`] gives, and sees besides what it wrote itself.
#[derive(Debug)]
pub struct Session {
    store: Store,
    /// The store's lock, unless the store is held alone by who began this session.
    _shared: Option<File>,
    staging: Mutex<Option<Arc<Staging>>>,
    pub(crate) state: Mutex<State>,
    /// Held by the thread that publishes.
    pub(crate) publishing: Mutex<()>,
}

/// A staged file: its number in the session's folder, and its length.
pub(crate) type Staged = (u64, u64);

/// An object that is in the store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    pub(crate) size: u64,
    /// Is the file that lies there the very one that this session wrote?
    pub(crate) trust: Trust,
}

/// What a session knows. Trees and records wait in `objects`, `trees` and `records` until they are published.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) objects: HashMap<ObjectId, Staged>,
    pub(crate) trees: HashMap<TreeId, Staged>,
    pub(crate) records: HashMap<ActionKey, (u64, ActionResult)>,
    /// Objects seen in the store. They stay: this session keeps gc out.
    pub(crate) known: HashMap<ObjectId, Known>,
    /// Directories whose every object is there.
    pub(crate) complete: HashSet<TreeId>,
}

impl Deref for Session {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

/// How many folders a session's files are spread over. A file system changes one folder at a time.
const SHARDS: u64 = 8;

/// The folder of a session.
#[derive(Debug)]
pub(crate) struct Staging {
    at: String,
    _lock: File,
    next: AtomicU64,
    /// Does the process's umask take bits away that the store's files need?
    masked: bool,
}

impl Staging {
    pub(crate) fn path(&self, number: u64) -> String {
        format!("{}/{}/{number}", self.at, number % SHARDS)
    }

    pub(crate) fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn masked(&self) -> bool {
        self.masked
    }

    fn make(store: &Store) -> files::Result<Self> {
        let files = store.files();
        store.check_writable("write to")?;
        let _guard = lock_staging(files)?;
        for count in 0u32.. {
            let at = format!("{}/{}-{count}", layout::STAGING, std::process::id());
            match files.make_new_dir(&at) {
                Err(error) if error.is_there_already() => continue,
                other => other?,
            }
            let path = format!("{at}/lock");
            let made = files.create(&path, 0o777).and_then(|lock| {
                let locked = lock::try_lock(files, &lock, &path, Kind::Exclusive)?;
                debug_assert!(locked, "nobody else looks at it while `staging/lock` is held");
                let masked = files::permissions(&files.stat(&path)?) & 0o555 != 0o555;
                (0..SHARDS).try_for_each(|shard| files.make_new_dir(&format!("{at}/{shard}")))?;
                Ok(Self { at: at.clone(), _lock: lock, next: AtomicU64::new(0), masked })
            });
            if made.is_err() {
                let _ = files.remove_all(&at);
            }
            return made;
        }
        unreachable!("a process has no four thousand million sessions")
    }
}

/// Held while a session's folder is made or found dead.
pub(crate) fn lock_staging(files: &Files) -> files::Result<File> {
    let guard = files.open_lock(layout::STAGING_LOCK, 0o644)?;
    lock::lock(files, &guard, layout::STAGING_LOCK, Kind::Exclusive, |_| {})?;
    Ok(guard)
}

/// The folders of dead sessions, each with its lock held.
pub(crate) fn find_the_dead(store: &Store) -> files::Result<Vec<(String, Option<File>)>> {
    let files = store.files();
    let names = files.names(layout::STAGING)?;
    if names.iter().all(|name| name == "lock") {
        return Ok(Vec::new());
    }
    let _guard = lock_staging(files)?;
    let mut dead = Vec::new();
    for name in names.iter().filter(|name| *name != "lock") {
        let at = format!("{}/{name}", layout::STAGING);
        let path = format!("{at}/lock");
        match files.open(&path) {
            Ok(lock) => {
                if lock::try_lock(files, &lock, &path, Kind::Exclusive)? {
                    dead.push((at, Some(lock)));
                }
            }
            // Made and not locked: its maker died in between.
            Err(_) if files.look(&at)?.is_some() => dead.push((at, None)),
            Err(_) => {}
        }
    }
    Ok(dead)
}

/// Removes what dead sessions left. Two may do so at once.
pub(crate) fn bury_the_dead(store: &Store) -> files::Result<usize> {
    let dead = find_the_dead(store)?;
    for (at, _lock) in &dead {
        match store.files().remove_all(at) {
            // Somebody puts things into a grave of his own, and empties it himself.
            Err(error) if !error.is_there_already() => return Err(error),
            _ => {}
        }
    }
    Ok(dead.len())
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    pub(crate) fn begin(store: &Store) -> Result<Self, SessionError> {
        let files = store.files();
        let shared = files.open(layout::LOCK)?;
        lock::lock(files, &shared, layout::LOCK, Kind::Shared, |pids| {
            let by = lock::name_holders(&pids);
            store.warn(format!("waiting for {by}, which is cleaning the store"), None);
        })?;
        Ok(Self::with(store, Some(shared)))
    }

    /// A session for who holds the store alone, where taking the lock once more would wait for ever.
    pub(crate) fn begin_alone(store: &Store, _: &Alone) -> Self {
        Self::with(store, None)
    }

    fn with(store: &Store, shared: Option<File>) -> Self {
        store.sessions().fetch_add(1, Ordering::SeqCst);
        Self {
            store: store.clone(),
            _shared: shared,
            staging: Mutex::default(),
            state: Mutex::default(),
            publishing: Mutex::default(),
        }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        guard(&self.state)
    }

    /// This session's folder, made at the first use.
    pub(crate) fn staging(&self) -> files::Result<Arc<Staging>> {
        let mut staging = guard(&self.staging);
        match &*staging {
            Some(staging) => Ok(Arc::clone(staging)),
            None => Ok(Arc::clone(staging.insert(Arc::new(Staging::make(&self.store)?)))),
        }
    }

    /// Reads an object, from this session's folder or from the store. One that is published meanwhile is found too.
    fn find<T>(
        &self,
        id: &ObjectId,
        read: impl Fn(&Files, &str, &ObjectId, Trust) -> Result<T, ObjectError>,
    ) -> Result<T, ObjectError> {
        let (staged, known) = {
            let state = self.state();
            (state.objects.get(id).copied(), state.known.get(id).copied())
        };
        if let Some((number, _)) = staged {
            match read(self.files(), &self.staging()?.path(number), id, Trust::Own) {
                Err(ObjectError::Missing(_)) => {}
                other => return other,
            }
        }
        read(self.files(), &layout::object(id), id, known.map_or(Trust::Verify, |known| known.trust))
    }

    /// Is the object there, in the store or in this session?
    #[must_use]
    pub fn has_object(&self, id: &ObjectId) -> bool {
        matches!(self.object_size(id), Ok(Some(_)))
    }

    /// The length of an object, if it is there.
    pub(crate) fn object_size(&self, id: &ObjectId) -> files::Result<Option<u64>> {
        {
            let state = self.state();
            if let Some(size) =
                state.objects.get(id).map(|staged| staged.1).or(state.known.get(id).map(|known| known.size))
            {
                return Ok(Some(size));
            }
        }
        let Some(stat) = self.files().look(&layout::object(id))? else { return Ok(None) };
        if files::kind(&stat) != rustix::fs::FileType::RegularFile {
            return Ok(None);
        }
        let size = stat.st_size as u64;
        self.state().known.entry(*id).or_insert(Known { size, trust: Trust::Verify });
        Ok(Some(size))
    }

    /// Opens the file that holds an object; see [`Store::object_file`].
    ///
    /// # Errors
    /// When it is missing, of another length, or cannot be opened.
    pub fn object_file(&self, id: &ObjectId, size: u64) -> Result<File, ObjectError> {
        self.find(id, |files, at, id, _| object::open_sized(files, at, id, size))
    }

    /// Loads a tree and verifies it; see [`Store::tree`].
    ///
    /// # Errors
    /// When it is missing, damaged, or cannot be read.
    pub fn tree(&self, id: TreeId) -> Result<Arc<Dir>, TreeError> {
        let staged = self.state().trees.get(&id).copied();
        if let Some((number, _)) = staged {
            match self.store.tree_at(id, &self.staging()?.path(number)) {
                Err(TreeError::Missing(_)) => {}
                other => return other,
            }
        }
        self.store.tree(id)
    }

    /// The result of an action, be it published or only committed for later by this session.
    ///
    /// # Errors
    /// When the record is there and cannot be read.
    pub fn action(&self, key: &ActionKey) -> Result<Option<ActionResult>, FileError> {
        if let Some((_, result)) = self.state().records.get(key) {
            return Ok(Some(result.clone()));
        }
        self.store.action(key)
    }

    /// Writes a file into this session's folder and gives its number.
    pub(crate) fn stage(&self, mode: u32, bytes: &[u8]) -> files::Result<u64> {
        let staging = self.staging()?;
        let number = staging.next();
        let at = staging.path(number);
        let file = self.files().write_new(&at, mode, bytes)?;
        if staging.masked() {
            self.files().chmod_open(&file, &at, mode)?;
        }
        Ok(number)
    }

    /// Removes a staged file that nobody needs. One that stays goes with the session.
    pub(crate) fn unstage(&self, number: u64) {
        if let Ok(staging) = self.staging() {
            let _ = self.files().unlink(&staging.path(number));
        }
    }

    pub(crate) fn stage_tree(&self, dir: &Dir) -> files::Result<TreeId> {
        let (ids, bytes) = tree::to_bytes(dir);
        let number = self.stage(layout::PLAIN, &bytes)?;
        let mut state = self.state();
        // When another thread staged the same, either file will do. The other goes with the session's folder: a flush
        // may be about to publish it, so it must not be removed here.
        state.trees.entry(ids[0]).or_insert((number, bytes.len() as u64));
        state.complete.extend(ids.iter().copied());
        Ok(ids[0])
    }

    pub(crate) fn stage_record(&self, key: &ActionKey, result: &ActionResult) -> files::Result<()> {
        let number = self.stage(layout::PLAIN, &action::to_bytes(key, result))?;
        // One that this replaces goes with the session's folder: a flush may be about to publish it.
        self.state().records.insert(*key, (number, result.clone()));
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(staging) = guard(&self.staging).take() {
            // What cannot be removed now goes when the store is opened next.
            let _ = self.store.files().remove_all(&staging.at);
        }
        self.store.sessions().fetch_sub(1, Ordering::SeqCst);
    }
}

impl ObjectSource for Session {
    fn open(&self, id: &ObjectId) -> Result<Box<dyn Read + Send>, ObjectError> {
        self.find(id, object::open)
    }

    fn read(&self, id: &ObjectId) -> Result<Vec<u8>, ObjectError> {
        self.find(id, object::read)
    }

    fn open_parts(&self, id: &ObjectId) -> Result<Box<dyn ObjectParts>, ObjectError> {
        self.find(id, object::open_parts)
    }
}
