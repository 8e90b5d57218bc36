//! Temporary folders of gigabytes, which a command that is killed must not leave for ever.
//!
//! A folder has a file `lock` that its command holds. Who makes another one of its kind removes those beside it that nobody
//! holds any more. One without that file is nobody's to remove: it is being made, or was left on purpose.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use tempfile::TempDir;

const LOCK: &str = "lock";

/// A temporary folder, gone when it is dropped.
pub struct Room {
    folder: TempDir,
    _lock: File,
}

impl Room {
    /// Makes one in `below`, whose name begins with `kind`, and removes those that were left there.
    pub fn new(kind: &str, below: &Path) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(kind).tempdir_in(below)?;
        // Held before it has its name, so that nobody finds it free.
        let unnamed = folder.path().join("lock.new");
        let lock = File::create(&unnamed)?;
        lock.lock()?;
        fs::rename(&unnamed, folder.path().join(LOCK))?;
        sweep(kind, below, lock.metadata()?.uid());
        Ok(Self { folder, _lock: lock })
    }

    /// Lets other users get in.
    pub fn open(self) -> io::Result<Self> {
        fs::set_permissions(self.folder.path(), Permissions::from_mode(0o755))?;
        Ok(self)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves it where it is, for a person to remove.
    pub fn keep(&mut self) -> io::Result<()> {
        fs::remove_file(self.folder.path().join(LOCK))?;
        self.folder.disable_cleanup(true);
        Ok(())
    }
}

/// Removes the folders of this user that a killed command left. What cannot be removed stays.
fn sweep(kind: &str, below: &Path, own: u32) {
    for entry in fs::read_dir(below).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(kind)
            && entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == own);
        if !is_ours {
            continue;
        }
        let Ok(lock) = File::open(entry.path().join(LOCK)) else { continue };
        if lock.try_lock().is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_command_left_goes_and_what_is_used_or_kept_stays() {
        let below = tempfile::tempdir().unwrap();
        let used = Room::new("kiln-x-", below.path()).unwrap();
        let mut kept = Room::new("kiln-x-", below.path()).unwrap();
        kept.keep().unwrap();
        let kept = kept.path().to_owned();
        let left = below.path().join("kiln-x-left");
        let (other, making) = (below.path().join("kiln-y-left"), below.path().join("kiln-x-making"));
        for folder in [&left, &other] {
            fs::create_dir_all(folder.join("sub")).unwrap();
            fs::write(folder.join(LOCK), "").unwrap();
        }
        fs::create_dir(&making).unwrap();
        let new = Room::new("kiln-x-", below.path()).unwrap();
        assert!(!left.exists());
        assert!([used.path(), new.path(), &kept, &other, &making].iter().all(|folder| folder.exists()));
        let place = new.path().to_owned();
        drop(new);
        assert!(!place.exists() && kept.exists());
    }
}
