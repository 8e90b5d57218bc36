//! Locks: `flock` on files of the store, which the kernel lets go when their holder dies, however it dies.
//!
//! Order, so that nobody waits in a circle: the store's lock, then an action's or checkout's lock, then
//! `staging/lock`. The last is held only for a few system calls.
//!
//! Lock files of actions and checkouts are removed by their holder. Who then gets a lock on a removed file sees that
//! the name leads elsewhere, and tries again.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::files::{FileError, Files, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Shared,
    Exclusive,
}

/// Takes the lock if it is free.
pub(crate) fn try_lock(files: &Files, file: &File, at: &str, kind: Kind) -> Result<bool> {
    let operation = match kind {
        Kind::Shared => FlockOperation::NonBlockingLockShared,
        Kind::Exclusive => FlockOperation::NonBlockingLockExclusive,
    };
    match retry(|| flock(file, operation)) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(e) => Err(FileError::new("lock", files.path(at), e)),
    }
}

/// Takes the lock, and tells who holds it when that takes waiting.
pub(crate) fn lock(files: &Files, file: &File, at: &str, kind: Kind, waiting: impl FnOnce(Vec<u32>)) -> Result<()> {
    if try_lock(files, file, at, kind)? {
        return Ok(());
    }
    waiting(holders(file));
    let operation = match kind {
        Kind::Shared => FlockOperation::LockShared,
        Kind::Exclusive => FlockOperation::LockExclusive,
    };
    retry(|| flock(file, operation)).map_err(|e| FileError::new("lock", files.path(at), e))
}

fn retry(mut call: impl FnMut() -> rustix::io::Result<()>) -> rustix::io::Result<()> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// The processes that hold a lock on this file, as far as the kernel tells. For messages only.
pub(crate) fn holders(file: &File) -> Vec<u32> {
    let (Ok(meta), Ok(table)) = (file.metadata(), std::fs::read_to_string("/proc/locks")) else {
        return Vec::new();
    };
    parse_holders(&table, meta.dev(), meta.ino())
}

/// `1: FLOCK  ADVISORY  WRITE 123 fe:00:4711 0 EOF`; lines with `->` wait.
fn parse_holders(table: &str, device: u64, inode: u64) -> Vec<u32> {
    let wanted = format!("{:02x}:{:02x}:{inode}", rustix::fs::major(device), rustix::fs::minor(device));
    let mut pids: Vec<u32> = table
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace().skip(1);
            (words.next()? == "FLOCK").then_some(())?;
            let mut words = words.skip(2);
            let pid = words.next()?.parse().ok()?;
            (words.next()? == wanted && pid != 0).then_some(pid)
        })
        .collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// `process 12`, `processes 12 and 40`, or `another process` when the kernel tells nothing.
pub(crate) fn name_holders(pids: &[u32]) -> String {
    match pids {
        [] => "another process".to_owned(),
        [pid] => format!("process {pid}"),
        [most @ .., last] => {
            let most: Vec<String> = most.iter().map(u32::to_string).collect();
            format!("processes {} and {last}", most.join(", "))
        }
    }
}

/// A lock whose file lives as long as the lock is held.
#[derive(Debug)]
pub(crate) struct NamedLock {
    store: crate::Store,
    at: String,
    _file: File,
}

impl NamedLock {
    /// Takes it; `None` when it is taken and `wait` is off.
    pub(crate) fn take(
        store: &crate::Store,
        at: String,
        wait: bool,
        waiting: impl Fn(Vec<u32>),
    ) -> Result<Option<Self>> {
        let files = store.files();
        loop {
            let file = files.open_lock(&at, 0o644)?;
            if wait {
                lock(files, &file, &at, Kind::Exclusive, &waiting)?;
            } else if !try_lock(files, &file, &at, Kind::Exclusive)? {
                return Ok(None);
            }
            let held = file.metadata().map_err(|e| FileError::new("look at", files.path(&at), e))?;
            if files.look(&at)?.is_some_and(|named| named.st_ino == held.ino() && named.st_dev == held.dev()) {
                return Ok(Some(Self { store: store.clone(), at, _file: file }));
            }
        }
    }
}

impl Drop for NamedLock {
    fn drop(&mut self) {
        // Removed while held: who waits finds the name gone and opens a new file. Left over, it does no harm.
        let _ = self.store.files().unlink(&self.at);
    }
}

/// The right to perform one action. It ends when dropped, and with the process.
///
/// A child that was forked without `exec` holds the lock too, as long as it lives.
#[derive(Debug)]
#[must_use = "the lock is let go when this is dropped"]
pub struct ActionLock(#[expect(dead_code, reason = "held for its drop")] pub(crate) NamedLock);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_table_of_locks() {
        let table = "1: FLOCK  ADVISORY  WRITE 123 fe:00:4711 0 EOF\n1: -> FLOCK  ADVISORY  WRITE 9 fe:00:4711 0 EOF\n\
                     2: POSIX  ADVISORY  READ 5 fe:00:4711 0 EOF\n3: FLOCK ADVISORY READ 77 fe:00:4711 0 EOF\n4: FLOCK\n";
        let device = rustix::fs::makedev(0xfe, 0);
        assert_eq!(parse_holders(table, device, 4711), [77, 123]);
        assert_eq!(parse_holders(table, device, 1), [0u32; 0]);
        assert_eq!(name_holders(&[77, 123]), "processes 77 and 123");
    }
}
