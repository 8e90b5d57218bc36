//! Removing what no action needs any more from the folders that building works in.
//!
//! Only for who has the store alone: every action runs in a session of the store, so nobody uses these folders then.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::{WorkError, Workplace, remove_all};

/// How long an unfinished download is kept to be taken up again, at most.
const UNFINISHED: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What to remove.
#[derive(Debug, Clone, Copy)]
pub struct CleanOptions {
    /// Keep what was used since then; without it nothing is kept.
    pub keep_since: Option<SystemTime>,
    /// The time that it is.
    pub now: SystemTime,
    /// Only tell.
    pub dry_run: bool,
}

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cleaned {
    /// Downloads, repositories and folders of failed builds.
    pub entries: u64,
    /// Their bytes.
    pub freed: u64,
}

impl Workplace {
    /// Removes downloads, Git repositories and folders of failed builds that nobody used lately, and all that killed
    /// processes left. The caller must have the store alone.
    ///
    /// # Errors
    /// When a folder cannot be read or something cannot be removed.
    pub fn clean(&self, options: &CleanOptions) -> Result<Cleaned, WorkError> {
        let mut cleaned = Cleaned::default();
        let unfinished = options.now.checked_sub(UNFINISHED);
        for folder in ["downloads", "git", "failed", "scratch"] {
            let since = match folder {
                "downloads" => options.keep_since.map(|since| unfinished.map_or(since, |least| least.max(since))),
                "scratch" => None,
                _ => options.keep_since,
            };
            let folder = self.root().join(folder);
            let reading = |source| WorkError::new("read", &folder, source);
            for entry in fs::read_dir(&folder).map_err(reading)? {
                let path = entry.map_err(reading)?.path();
                let Some(found) = there(&path).map_err(|source| WorkError::new("read", &path, source))? else {
                    continue;
                };
                if since.is_some_and(|since| used(&path, &found) >= since) {
                    continue;
                }
                let bytes = bytes(&path, &found).map_err(|source| WorkError::new("read", &path, source))?;
                cleaned.freed += bytes;
                // Locks and Git's configuration are a few bytes that come with something else.
                cleaned.entries += u64::from(bytes > 0 && path.extension().is_none_or(|extension| extension != "lock"));
                if !options.dry_run {
                    let removed = if found.is_dir() { remove_all(&path) } else { fs::remove_file(&path) };
                    removed.map_err(|source| WorkError::new("remove", &path, source))?;
                }
            }
        }
        Ok(cleaned)
    }
}

fn there(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// When it was used last: a repository when its lock was.
fn used(path: &Path, found: &Metadata) -> SystemTime {
    let of = |found: &Metadata| found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    let lock = fs::symlink_metadata(path.with_extension("lock")).map(|lock| of(&lock));
    lock.map_or_else(|_| of(found), |lock| lock.max(of(found)))
}

/// What it takes on the disk.
fn bytes(path: &Path, found: &Metadata) -> io::Result<u64> {
    let mut sum = 0;
    let mut todo = vec![(path.to_owned(), found.clone())];
    while let Some((path, found)) = todo.pop() {
        if found.is_dir() {
            // What a build left may be shut even for its owner; it is removed all the same.
            let Ok(entries) = fs::read_dir(&path) else { continue };
            for entry in entries {
                let path = entry?.path();
                if let Some(found) = there(&path)? {
                    todo.push((path, found));
                }
            }
        } else {
            sum += found.blocks() * 512;
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_lately_stays_and_unfinished_downloads_no_longer_than_a_week() {
        let folder = tempfile::tempdir().unwrap();
        let work = Workplace::open(folder.path()).unwrap();
        let day = Duration::from_secs(24 * 60 * 60);
        let now = SystemTime::UNIX_EPOCH + day * 20_000;
        let make = |name: &str, age: u32| {
            let path = work.root().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, vec![1; 10_000]).unwrap();
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(now - day * age).unwrap();
            path
        };
        let dated = |path: &Path, age: u32| fs::File::open(path).unwrap().set_modified(now - day * age).unwrap();
        let young = make("downloads/aa.part", 3);
        let old = make("downloads/bb.part", 10);
        let repository = make("git/x.git/pack", 50);
        dated(repository.parent().unwrap(), 50);
        let lock = make("git/x.lock", 5);
        let failed = make("failed/thing/build/x", 40);
        dated(&work.root().join("failed/thing"), 40);
        let options = CleanOptions { keep_since: Some(now - day * 30), now, dry_run: true };
        let would = work.clean(&options).unwrap();
        assert!(old.exists() && failed.exists());
        let done = work.clean(&CleanOptions { dry_run: false, ..options }).unwrap();
        assert_eq!((would, done.entries), (done, 2));
        assert!(done.freed >= 20_000, "{done:?}");
        assert!(young.exists() && repository.exists() && lock.exists() && !old.exists() && !failed.exists());
        work.clean(&CleanOptions { keep_since: None, now, dry_run: false }).unwrap();
        assert!(!young.exists() && !repository.exists() && !lock.exists());
        Workplace::open(folder.path()).unwrap().scratch().unwrap();
    }
}
