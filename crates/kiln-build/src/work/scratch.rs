//! Folders of running actions.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::WorkError;

/// A folder for one action, removed with all that is in it when this is dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    lock_path: PathBuf,
    _lock: File,
}

impl Scratch {
    pub(super) fn new(root: &Path) -> Result<Self, WorkError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let name = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let (path, lock_path) = (root.join(&name), root.join(format!("{name}.lock")));
            let failed = |source| WorkError::new("create", &lock_path, source);
            let lock = File::create(&lock_path).map_err(failed)?;
            match lock.try_lock() {
                Ok(()) => {}
                // Someone who clears up holds it just now and will remove it: another name, then.
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            // It may have been removed between being made and being locked.
            let same = fs::metadata(&lock_path).ok().zip(lock.metadata().ok()).is_some_and(|(a, b)| a.ino() == b.ino());
            if !same {
                continue;
            }
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path, lock_path, _lock: lock }),
                // A process of another PID namespace has the same number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(WorkError::new("create", &path, error)),
            }
        }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now goes with the next sweep.
        if remove_all(&self.path).is_ok() {
            let _ = fs::remove_file(&self.lock_path);
        }
    }
}

/// Removes what dead processes left.
pub(super) fn sweep(root: &Path) -> Result<(), WorkError> {
    let failed = |source| WorkError::new("clear", root, source);
    for entry in fs::read_dir(root).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let Some(folder) = path.to_str().and_then(|path| path.strip_suffix(".lock")).map(PathBuf::from) else {
            continue;
        };
        let Ok(lock) = File::open(&path) else { continue };
        if lock.try_lock().is_ok() {
            remove_all(&folder).map_err(|source| WorkError::new("remove", &folder, source))?;
            let _ = fs::remove_file(&path);
        }
    }
    Ok(())
}

/// Removes a folder that a build may have made unwritable. One that is not there is fine.
pub(crate) fn remove_all(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path)?;
            fs::remove_dir_all(path)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn open_up(path: &Path) -> io::Result<()> {
    let mut todo = vec![path.to_owned()];
    while let Some(folder) = todo.pop() {
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                todo.push(entry.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Workplace;
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_a_living_one_has_stays() {
        let root = tempfile::tempdir().unwrap();
        let work = Workplace::open(root.path()).unwrap();
        let mine = work.scratch().unwrap();
        let dead = root.path().join("scratch/1-1");
        fs::create_dir_all(dead.join("deep/er")).unwrap();
        fs::write(root.path().join("scratch/1-1.lock"), "").unwrap();
        fs::set_permissions(dead.join("deep"), fs::Permissions::from_mode(0o500)).unwrap();
        Workplace::open(root.path()).unwrap();
        assert!(!dead.exists() && mine.path().exists());
        let path = mine.path().to_owned();
        drop(mine);
        assert!(!path.exists());
        assert_eq!(fs::read_dir(root.path().join("scratch")).unwrap().count(), 0);
    }
}
