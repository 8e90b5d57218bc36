//! Written aside and renamed: the one way that outputs come to stand under their names.
//!
//! An output `web.oci` grows beside its place as `.web.oci.kiln-PID-N`, locked with `flock` by the process that writes
//! it. One rename puts it in place; a folder that stood there is exchanged with it and then removed. A writer
//! that fails removes what it wrote; one that was killed leaves a folder that nobody has locked, which the next writer
//! of the same output removes. Two writers at once each have their own; the last rename wins, whole.
//!
//! What stands in the place is looked at without following links, and replaced only if it is of the kind that is
//! written: the check of a folder's *content* is the caller's.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;

use crate::OutputError;

/// What stands in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Nothing,
    File,
    Folder,
}

/// Looks at the place of an output.
pub(crate) fn standing(place: &Path) -> Result<Standing, OutputError> {
    let occupied = |what| Err(OutputError::Occupied { path: place.to_owned(), what });
    match fs::symlink_metadata(place) {
        Ok(found) if found.is_file() => Ok(Standing::File),
        Ok(found) if found.is_dir() => Ok(Standing::Folder),
        Ok(found) if found.is_symlink() => occupied("is a symbolic link, which Kiln does not follow"),
        Ok(_) => occupied("is neither a file nor a folder"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Standing::Nothing),
        Err(error) => Err(OutputError::io("look at", place)(error)),
    }
}

/// Refuses a place where a folder stands.
pub(crate) fn for_file(place: &Path) -> Result<(), OutputError> {
    match standing(place)? {
        Standing::Nothing | Standing::File => Ok(()),
        Standing::Folder => {
            Err(OutputError::Occupied { path: place.to_owned(), what: "is a folder, and this output is a file" })
        }
    }
}

/// A file or folder that grows beside its place.
#[derive(Debug)]
pub(crate) struct Aside {
    path: PathBuf,
    place: PathBuf,
    /// Open and locked as long as this process works on it.
    handle: File,
    in_place: bool,
}

impl Aside {
    /// Begins a file. Write it through [`Aside::file`].
    pub(crate) fn new_file(place: &Path) -> Result<Self, OutputError> {
        for_file(place)?;
        Self::begin(place, |path| OpenOptions::new().write(true).create_new(true).open(path))
    }

    /// Begins a folder.
    pub(crate) fn new_folder(place: &Path) -> Result<Self, OutputError> {
        Self::begin(place, |path| {
            fs::create_dir(path)?;
            // A sweeper may have it before it is locked: then another is begun, as for a name that is taken.
            File::open(path).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => io::ErrorKind::AlreadyExists.into(),
                _ => error,
            })
        })
    }

    fn begin(place: &Path, make: impl Fn(&Path) -> io::Result<File>) -> Result<Self, OutputError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        sweep(place)?;
        let prefix = prefix(place)?;
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = place.with_file_name(format!("{prefix}{}-{number}", std::process::id()));
            let handle = match make(&path) {
                Ok(handle) => handle,
                // Left by a killed process of this number, or made by one of another process namespace.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(OutputError::io("write", place)(error)),
            };
            let aside = Self { path, place: place.to_owned(), handle, in_place: false };
            flock(&aside.handle, FlockOperation::LockExclusive)
                .map_err(|error| OutputError::io("lock", &aside.path)(error.into()))?;
            // A sweeper may have taken it between the two calls above; then it is gone, and another is begun.
            let locked = aside.handle.metadata().map(|found| found.ino());
            let named = fs::symlink_metadata(&aside.path).map(|found| found.ino());
            if matches!((locked, named), (Ok(locked), Ok(named)) if locked == named) {
                return Ok(aside);
            }
        }
    }

    /// Where it grows.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file or folder itself.
    pub(crate) const fn file(&self) -> &File {
        &self.handle
    }

    /// Puts it in place. Flushing it before is its writer's part. `may_replace` looks at a folder that stands there, and
    /// is asked right before it goes: it may be another one than when the work began.
    pub(crate) fn put(mut self, may_replace: impl Fn(&Path) -> Result<(), OutputError>) -> Result<(), OutputError> {
        let place = &self.place;
        // Another writer may fill or empty the place between the look and the rename. Then it is looked at again.
        let mut tries = 0;
        loop {
            let done = match standing(place)? {
                Standing::Folder => {
                    may_replace(place)?;
                    self.exchange()
                }
                Standing::Nothing | Standing::File => fs::rename(&self.path, place),
            };
            tries += 1;
            match done {
                Ok(()) => break,
                Err(error) if tries < 100 && is_race(&error) => {}
                Err(error) => return Err(OutputError::io("write", place)(error)),
            }
        }
        // A folder that was exchanged has the name aside now. It is out of the way whether or not it can be removed.
        let _ = remove(&self.path);
        self.in_place = true;
        Ok(())
    }

    fn exchange(&self) -> io::Result<()> {
        match renameat_with(CWD, &self.path, CWD, &self.place, RenameFlags::EXCHANGE) {
            // Some network and FUSE file systems cannot exchange: a moment without either is the best there is.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                let old = self.path.with_extension("old");
                fs::rename(&self.place, &old)?;
                if let Err(error) = fs::rename(&self.path, &self.place) {
                    let _ = fs::rename(&old, &self.place);
                    return Err(error);
                }
                let _ = remove(&old);
                Ok(())
            }
            done => Ok(done?),
        }
    }
}

fn is_race(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, DirectoryNotEmpty, NotFound};
    matches!(error.kind(), AlreadyExists | DirectoryNotEmpty | NotFound)
}

impl Drop for Aside {
    fn drop(&mut self) {
        if !self.in_place {
            let _ = remove(&self.path);
        }
    }
}

fn prefix(place: &Path) -> Result<String, OutputError> {
    let name = place.file_name().and_then(|name| name.to_str()).ok_or_else(|| OutputError::Occupied {
        path: place.to_owned(),
        what: "is not a name that an output can have",
    })?;
    Ok(format!(".{name}.kiln-"))
}

/// Removes what killed writers of this output left. Nothing depends on it, so failing to is no error.
pub(crate) fn sweep(place: &Path) -> Result<(), OutputError> {
    let prefix = prefix(place)?;
    let parent = place.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = fs::read_dir(parent) else { return Ok(()) };
    for entry in entries.flatten() {
        let left = entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix));
        if !left || entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
            continue;
        }
        let Ok(handle) = File::open(entry.path()) else { continue };
        if flock(&handle, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = remove(&entry.path());
        }
    }
    Ok(())
}

/// Removes a file, or a folder with all that is in it, also where its directories forbid writing.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.is_dir() {
        return fs::remove_file(path);
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            allow_writing(path)?;
            fs::remove_dir_all(path)
        }
        done => done,
    }
}

fn allow_writing(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            allow_writing(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("web.tar");
        let aside = Aside::new_file(&place).unwrap();
        aside.file().write_all(b"half").unwrap();
        assert!(!place.exists());
        drop(aside);
        assert!(names(folder.path()).is_empty(), "a writer that gives up leaves nothing");

        let aside = Aside::new_file(&place).unwrap();
        aside.file().write_all(b"whole").unwrap();
        aside.put(for_file).unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"whole");
        assert_eq!(names(folder.path()), ["web.tar"]);
    }

    #[test]
    fn a_folder_is_exchanged_and_the_old_one_removed_even_when_read_only() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("web.oci");
        fs::create_dir_all(place.join("old/sub")).unwrap();
        fs::write(place.join("old/sub/file"), "x").unwrap();
        for path in ["old/sub", "old"] {
            fs::set_permissions(place.join(path), fs::Permissions::from_mode(0o555)).unwrap();
        }
        let aside = Aside::new_folder(&place).unwrap();
        fs::write(aside.path().join("new"), "x").unwrap();
        aside.put(|_| Ok(())).unwrap();
        assert_eq!(names(&place), ["new"]);
        assert_eq!(names(folder.path()), ["web.oci"]);
    }

    #[test]
    fn what_a_killed_writer_left_is_swept_and_what_a_live_one_holds_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("web.oci");
        fs::create_dir_all(folder.path().join(".web.oci.kiln-1-0/blobs")).unwrap();
        fs::create_dir_all(folder.path().join(".other.oci.kiln-1-0")).unwrap();
        let alive = Aside::new_folder(&place).unwrap();
        let second = Aside::new_folder(&place).unwrap();
        let left = names(folder.path());
        assert_eq!(left.len(), 3, "{left:?}");
        assert!(left.contains(&".other.oci.kiln-1-0".to_owned()));
        assert!(alive.path().exists());
        second.put(|_| Ok(())).unwrap();
        alive.put(|_| Ok(())).unwrap();
        assert_eq!(names(folder.path()), [".other.oci.kiln-1-0", "web.oci"]);
    }

    #[test]
    fn a_link_in_the_place_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().join("elsewhere");
        fs::write(&elsewhere, "keep").unwrap();
        let place = folder.path().join("web.tar");
        std::os::unix::fs::symlink(&elsewhere, &place).unwrap();
        let error = Aside::new_file(&place).unwrap_err();
        assert!(error.to_string().contains("symbolic link"), "{error}");
        assert_eq!(fs::read(&elsewhere).unwrap(), b"keep");
    }

    #[test]
    fn a_folder_in_the_place_of_a_file_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("web.tar");
        fs::create_dir(&place).unwrap();
        let error = Aside::new_file(&place).unwrap_err();
        assert!(error.to_string().ends_with("is a folder, and this output is a file"), "{error}");
        assert!(error.hint().unwrap().contains("--to"));
    }
}
