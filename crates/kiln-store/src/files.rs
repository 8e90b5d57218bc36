//! The one place of this crate that changes the file system.
//!
//! Every call names its file relative to the store's root and fails with the full path and what was tried. In this
//! crate's own tests each call can be made to fail, or the store to "die", at any step: see [`Faults`].

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{self as sys, AtFlags, Mode, OFlags, RenameFlags};

/// A call to the system that failed, with its file.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} `{}`", .path.display())]
pub struct FileError {
    /// The verb: `write`, `rename`, ...
    pub doing: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl FileError {
    pub(crate) fn new(doing: &'static str, path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Self {
        Self { doing, path: path.into(), source: source.into() }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        kiln_model::object::storage_hint(&self.source)
    }

    pub(crate) fn is_missing(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
    }

    pub(crate) fn is_there_already(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty)
    }
}

impl From<FileError> for kiln_model::ObjectError {
    fn from(error: FileError) -> Self {
        Self::Io { action: error.to_string(), source: error.source }
    }
}

pub(crate) type Result<T> = std::result::Result<T, FileError>;

/// Deterministic faults, for tests: the `n`th call fails, once or for ever after.
#[cfg(test)]
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) calls: std::sync::atomic::AtomicU64,
    /// 0: none. Otherwise the call that fails, counted from 1.
    pub(crate) fail_at: std::sync::atomic::AtomicU64,
    /// Do all later calls fail too, as if the process were gone?
    pub(crate) for_ever: std::sync::atomic::AtomicBool,
}

#[cfg(test)]
impl Faults {
    fn gate(&self) -> rustix::io::Result<()> {
        use std::sync::atomic::Ordering::SeqCst;
        let call = self.calls.fetch_add(1, SeqCst) + 1;
        let at = self.fail_at.load(SeqCst);
        if at != 0 && (call == at || (call > at && self.for_ever.load(SeqCst))) {
            return Err(rustix::io::Errno::NOSPC);
        }
        Ok(())
    }
}

/// The store's root directory.
#[derive(Debug)]
pub(crate) struct Files {
    root: OwnedFd,
    path: PathBuf,
    #[cfg(test)]
    pub(crate) faults: Faults,
}

/// What a look at a file tells.
pub(crate) type Stat = sys::Stat;

pub(crate) fn kind(stat: &Stat) -> sys::FileType {
    sys::FileType::from_raw_mode(stat.st_mode)
}

pub(crate) fn permissions(stat: &Stat) -> u32 {
    stat.st_mode & 0o7777
}

impl Files {
    pub(crate) fn open_root(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = sys::open(path, flags, Mode::empty()).map_err(|e| FileError::new("open", path, e))?;
        Ok(Self {
            root,
            path: path.to_owned(),
            #[cfg(test)]
            faults: Faults::default(),
        })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.path
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.path.join(relative)
    }

    fn call<T>(&self, doing: &'static str, at: &str, call: impl FnOnce() -> rustix::io::Result<T>) -> Result<T> {
        self.gate().and_then(|()| call()).map_err(|e| FileError::new(doing, self.path(at), e))
    }

    #[cfg(test)]
    fn gate(&self) -> rustix::io::Result<()> {
        self.faults.gate()
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "the tests' version uses it")]
    fn gate(&self) -> rustix::io::Result<()> {
        Ok(())
    }

    /// Creates a file that must not be there.
    pub(crate) fn create(&self, at: &str, mode: u32) -> Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        self.call("create", at, || sys::openat(&self.root, at, flags, Mode::from_raw_mode(mode))).map(File::from)
    }

    /// Opens a lock file, making it when it is not there.
    pub(crate) fn open_lock(&self, at: &str, mode: u32) -> Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        self.call("open", at, || sys::openat(&self.root, at, flags, Mode::from_raw_mode(mode))).map(File::from)
    }

    pub(crate) fn open(&self, at: &str) -> Result<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        sys::openat(&self.root, at, flags, Mode::empty())
            .map(File::from)
            .map_err(|e| FileError::new("open", self.path(at), e))
    }

    /// Reads a whole file, refusing one longer than `limit`.
    pub(crate) fn read(&self, at: &str, limit: u64) -> Result<Vec<u8>> {
        let file = self.open(at)?;
        self.read_open(&file, at, limit)
    }

    pub(crate) fn read_open(&self, mut file: &File, at: &str, limit: u64) -> Result<Vec<u8>> {
        let failed = |e: io::Error| FileError::new("read", self.path(at), e);
        let size = file.metadata().map_err(failed)?.len();
        if size > limit {
            return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "the file is too long")));
        }
        let mut bytes = Vec::with_capacity(size as usize + 1);
        std::io::Read::by_ref(&mut file).take(limit).read_to_end(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    pub(crate) fn write(&self, mut file: &File, at: &str, bytes: &[u8]) -> Result<()> {
        let failed = |e: io::Error| FileError::new("write", self.path(at), e);
        self.gate().map_err(|e| failed(e.into()))?;
        file.write_all(bytes).map_err(failed)
    }

    /// Creates a file with this content.
    pub(crate) fn write_new(&self, at: &str, mode: u32, bytes: &[u8]) -> Result<File> {
        let file = self.create(at, mode)?;
        match self.write(&file, at, bytes) {
            Ok(()) => Ok(file),
            Err(error) => {
                let _ = self.unlink(at);
                Err(error)
            }
        }
    }

    pub(crate) fn stat(&self, at: &str) -> Result<Stat> {
        sys::statat(&self.root, at, AtFlags::SYMLINK_NOFOLLOW).map_err(|e| FileError::new("look at", self.path(at), e))
    }

    /// Like [`Files::stat`], but a file that is not there is no error.
    pub(crate) fn look(&self, at: &str) -> Result<Option<Stat>> {
        match self.stat(at) {
            Ok(stat) => Ok(Some(stat)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Renames, making the directory of `to` when it is missing.
    fn rename_with(&self, from: &str, to: &str, flags: RenameFlags) -> Result<()> {
        let rename = || sys::renameat_with(&self.root, from, &self.root, to, flags);
        match self.call("rename to", to, rename) {
            Err(error) if error.is_missing() && self.look(from)?.is_some() => {
                if let Some((parent, _)) = to.rsplit_once('/') {
                    self.make_dir(parent)?;
                }
                self.call("rename to", to, rename)
            }
            other => other,
        }
    }

    /// Renames over what is there.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.rename_with(from, to, RenameFlags::empty())
    }

    /// Renames unless `to` is there, which [`FileError::is_there_already`] tells.
    pub(crate) fn rename_new(&self, from: &str, to: &str) -> Result<()> {
        match self.rename_with(from, to, RenameFlags::NOREPLACE) {
            // Some file systems know no flags. A look and a plain rename do: what is renamed over holds the same bytes.
            Err(error) if error.source.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => {
                if self.look(to)?.is_some() {
                    return Err(FileError::new("rename to", self.path(to), rustix::io::Errno::EXIST));
                }
                self.rename(from, to)
            }
            other => other,
        }
    }

    pub(crate) fn link(&self, from: &str, to: &str) -> Result<()> {
        self.call("link", to, || sys::linkat(&self.root, from, &self.root, to, AtFlags::empty()))
    }

    pub(crate) fn symlink(&self, target: &str, at: &str) -> Result<()> {
        self.call("create", at, || sys::symlinkat(target, &self.root, at))
    }

    pub(crate) fn unlink(&self, at: &str) -> Result<()> {
        self.call("remove", at, || sys::unlinkat(&self.root, at, AtFlags::empty()))
    }

    /// Makes a directory; one that is there will do.
    pub(crate) fn make_dir(&self, at: &str) -> Result<()> {
        match self.make_new_dir(at) {
            Err(error) if error.is_there_already() => Ok(()),
            other => other,
        }
    }

    pub(crate) fn make_new_dir(&self, at: &str) -> Result<()> {
        self.call("create", at, || sys::mkdirat(&self.root, at, Mode::from_raw_mode(0o755)))
    }

    pub(crate) fn chmod(&self, at: &str, mode: u32) -> Result<()> {
        self.call("change the mode of", at, || {
            sys::chmodat(&self.root, at, Mode::from_raw_mode(mode), AtFlags::empty())
        })
    }

    pub(crate) fn chmod_open(&self, file: &File, at: &str, mode: u32) -> Result<()> {
        self.call("change the mode of", at, || sys::fchmod(file, Mode::from_raw_mode(mode)))
    }

    /// Gives what is at `at`, not what a link there leads to, the one time stamp of everything that is built.
    pub(crate) fn set_time(&self, at: &str) -> Result<()> {
        let stamp = sys::Timespec { tv_sec: kiln_model::SOURCE_DATE_EPOCH.cast_signed(), tv_nsec: 0 };
        let times = sys::Timestamps { last_access: stamp, last_modification: stamp };
        self.call("set the time of", at, || sys::utimensat(&self.root, at, &times, AtFlags::SYMLINK_NOFOLLOW))
    }

    /// Waits until everything written before is on the disk.
    pub(crate) fn sync(&self) -> Result<()> {
        self.call("flush", "", || sys::syncfs(&self.root))
    }

    /// Removes a file, or a directory and all below it. What is gone already is no error, since others may clean too.
    pub(crate) fn remove_all(&self, at: &str) -> Result<()> {
        let gone = |result: Result<()>| match result {
            Err(error) if error.is_missing() => Ok(()),
            other => other,
        };
        match self.look(at)? {
            None => Ok(()),
            Some(stat) if kind(&stat) == sys::FileType::Directory => {
                for name in self.names(at)? {
                    self.remove_all(&format!("{at}/{name}"))?;
                }
                gone(self.call("remove", at, || sys::unlinkat(&self.root, at, AtFlags::REMOVEDIR)))
            }
            Some(_) => gone(self.unlink(at)),
        }
    }

    /// The names in a directory, sorted. A directory that is not there has none.
    pub(crate) fn names(&self, at: &str) -> Result<Vec<String>> {
        let path = self.path(at);
        let failed = |e: io::Error| FileError::new("list", &path, e);
        let entries = match std::fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(failed(e)),
        };
        let mut names = Vec::new();
        for entry in entries {
            // The store writes no other name; one that is not UTF-8 is shown mangled and so is found foreign.
            names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    }
}
