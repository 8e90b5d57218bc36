//! The folder that is unpacked into, by open directories only.
//!
//! Every component of a path is opened from its parent with `O_NOFOLLOW`, so a link that the archive made is never
//! followed, whoever changes the folder meanwhile. The last parent stays open: entries come folder by folder.

use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use kiln_model::TreePath;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::ExtractError;
use crate::BUFFER;

pub(super) struct Place {
    root: OwnedFd,
    /// The folder that was used last.
    last: Option<(TreePath, OwnedFd)>,
}

/// Why something cannot be put at its place.
pub(super) enum Fault {
    /// A component on the way is no folder.
    Through(TreePath),
    /// A folder that is not empty is there.
    InTheWay,
    Io(io::Error),
}

impl Fault {
    pub(super) fn of(self, entry: &str) -> ExtractError {
        let entry = entry.to_owned();
        match self {
            Self::Through(link) => ExtractError::ThroughLink { entry, link: link.to_string() },
            Self::InTheWay => ExtractError::InTheWay { entry },
            Self::Io(source) => ExtractError::Write { entry, source },
        }
    }
}

impl From<Errno> for Fault {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

type Folders = BTreeSet<TreePath>;

impl Place {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { root: rustix::fs::openat(CWD, path, flags, Mode::empty())?, last: None })
    }

    /// Opens the folder that holds `path` and makes the missing ones on the way.
    fn parent(&mut self, path: &TreePath, folders: &mut Folders) -> Result<OwnedFd, Fault> {
        let parent = path.parent().unwrap_or_default();
        if let Some((at, folder)) = &self.last
            && *at == parent
        {
            return folder.try_clone().map_err(Fault::Io);
        }
        let mut folder = self.root.try_clone().map_err(Fault::Io)?;
        let mut at = TreePath::root();
        for part in parent.components() {
            at = at.join(part).map_err(|error| Fault::Io(io::Error::other(error)))?;
            folder = match open_folder(&folder, part) {
                Err(Errno::NOENT) => {
                    rustix::fs::mkdirat(&folder, part, Mode::from_raw_mode(0o755))?;
                    folders.insert(at.clone());
                    open_folder(&folder, part)?
                }
                Err(Errno::NOTDIR | Errno::LOOP) => return Err(Fault::Through(at)),
                other => other?,
            };
        }
        self.last = Some((parent, folder.try_clone().map_err(Fault::Io)?));
        Ok(folder)
    }

    /// Does `make`; when something is there already, removes that and does it again.
    fn put<T>(
        &mut self,
        path: &TreePath,
        folders: &mut Folders,
        make: impl Fn(&OwnedFd, &str) -> rustix::io::Result<T>,
    ) -> Result<T, Fault> {
        let folder = self.parent(path, folders)?;
        let name = path.file_name().ok_or(Fault::InTheWay)?;
        match make(&folder, name) {
            Err(Errno::EXIST) => {}
            other => return Ok(other?),
        }
        match rustix::fs::unlinkat(&folder, name, AtFlags::empty()) {
            Err(Errno::ISDIR | Errno::PERM) => {
                match rustix::fs::unlinkat(&folder, name, AtFlags::REMOVEDIR) {
                    Err(Errno::NOTEMPTY | Errno::EXIST) => return Err(Fault::InTheWay),
                    other => other?,
                }
                folders.remove(path);
                self.last = None;
            }
            other => other?,
        }
        Ok(make(&folder, name)?)
    }

    pub(super) fn directory(&mut self, path: &TreePath, folders: &mut Folders) -> Result<(), Fault> {
        self.put(path, folders, |folder, name| match rustix::fs::mkdirat(folder, name, Mode::from_raw_mode(0o755)) {
            // Twice the same folder is one folder.
            Err(Errno::EXIST) if open_folder(folder, name).is_ok() => Ok(()),
            other => other,
        })?;
        folders.insert(path.clone());
        Ok(())
    }

    pub(super) fn create(&mut self, path: &TreePath, folders: &mut Folders) -> Result<File, Fault> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = self
            .put(path, folders, |folder, name| rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o600)))?;
        Ok(file.into())
    }

    pub(super) fn symlink(&mut self, target: &str, path: &TreePath, folders: &mut Folders) -> Result<(), Fault> {
        self.put(path, folders, |folder, name| rustix::fs::symlinkat(target, folder, name))?;
        let folder = self.parent(path, folders)?;
        let name = path.file_name().ok_or(Fault::InTheWay)?;
        Ok(rustix::fs::utimensat(&folder, name, &times(), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Is there a regular file at `path`, below folders only?
    pub(super) fn is_file(&mut self, path: &TreePath) -> bool {
        let mut folder = match self.root.try_clone() {
            Ok(root) => root,
            Err(_) => return false,
        };
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return false };
        for part in parent.components() {
            match open_folder(&folder, part) {
                Ok(next) => folder = next,
                Err(_) => return false,
            }
        }
        rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
    }

    pub(super) fn link(&mut self, from: &TreePath, to: &TreePath, folders: &mut Folders) -> Result<(), Fault> {
        let source = self.parent(from, folders)?;
        let source_name = from.file_name().ok_or(Fault::InTheWay)?;
        self.put(to, folders, |folder, name| rustix::fs::linkat(&source, source_name, folder, name, AtFlags::empty()))
    }

    /// Gives a folder its mode and time.
    pub(super) fn settle(&mut self, path: &TreePath) -> io::Result<()> {
        let mut folder = self.root.try_clone()?;
        let mut parts = path.components().peekable();
        while let Some(part) = parts.next() {
            let flags = if parts.peek().is_some() { OFlags::PATH } else { OFlags::RDONLY };
            let flags = flags | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            folder = rustix::fs::openat(&folder, part, flags, Mode::empty())?;
        }
        rustix::fs::fchmod(&folder, Mode::from_raw_mode(0o755))?;
        Ok(rustix::fs::futimens(&folder, &times())?)
    }
}

fn open_folder(folder: impl AsFd, name: &str) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, flags, Mode::empty())
}

fn times() -> Timestamps {
    let epoch = Timespec { tv_sec: kiln_model::SOURCE_DATE_EPOCH.cast_signed(), tv_nsec: 0 };
    Timestamps { last_access: epoch, last_modification: epoch }
}

/// Writes a file's content, mode and time. Reading and writing fail with errors of their own.
pub(super) fn write(mut file: File, content: &mut dyn Read, executable: bool, entry: &str) -> Result<(), ExtractError> {
    let fault = |source| ExtractError::write(entry, source);
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = content.read(&mut buffer).map_err(crate::ReadError::from)?;
        if read == 0 {
            break;
        }
        file.write_all(&buffer[..read]).map_err(fault)?;
    }
    file.set_permissions(Permissions::from_mode(if executable { 0o755 } else { 0o644 })).map_err(fault)?;
    rustix::fs::futimens(&file, &times()).map_err(|error| fault(error.into()))
}
