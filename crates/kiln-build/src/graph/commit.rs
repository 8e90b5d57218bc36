//! Committing results in groups: one flush of the disk for many small actions, in a thread of its own, so that those who
//! work do not wait for the disk.
//!
//! A result that waits for its flush keeps its action lock, since another process that got the lock would not see the
//! result yet and would do the work again. That alone could make two processes wait for each other for ever, each
//! holding what the other wants, so whoever does not get a lock has what waits flushed at once. A running action waits
//! for no lock, so each that is held goes free in the end.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kiln_model::ActionKey;
use kiln_store::{ActionLock, ActionResult, Session};

use super::error::GraphError;

/// More locks than this are not held: each is an open file.
const MOST_PENDING: usize = 256;
/// No result waits longer than this for another one to end. A flush in the middle of much work holds up those who make
/// files meanwhile, until the file system's journal is written, so it is not done more often than is worth it.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// As many are flushed early when the machine has nothing better to do.
const WORTHWHILE: usize = 16;
/// What took this long is not risked for the price of a flush.
const DEAR: Duration = Duration::from_secs(1);

pub(super) struct Committer<'a> {
    session: &'a Session,
    pending: Mutex<Pending>,
    changed: Condvar,
}

#[derive(Default)]
struct Pending {
    locks: Vec<ActionLock>,
    since: Option<Instant>,
    /// Somebody waits for what is in here.
    hurry: bool,
    /// Nothing more comes.
    ended: bool,
}

pub(super) fn store_error(error: impl std::error::Error + Send + Sync + 'static) -> GraphError {
    GraphError::Store(Box::new(error))
}

impl<'a> Committer<'a> {
    pub fn new(session: &'a Session) -> Self {
        Self { session, pending: Mutex::default(), changed: Condvar::new() }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a result whose action ran for `took`.
    pub fn commit(
        &self,
        key: ActionKey,
        result: &ActionResult,
        lock: ActionLock,
        took: Duration,
    ) -> Result<(), GraphError> {
        self.session.commit_later(key, result).map_err(store_error)?;
        let mut pending = self.pending();
        pending.locks.push(lock);
        let first = pending.since.is_none();
        pending.since.get_or_insert_with(Instant::now);
        pending.hurry |= took >= DEAR || pending.locks.len() >= MOST_PENDING;
        if first || pending.hurry {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Says that a thread has nothing to do: if much waits for a flush, now is the time.
    pub fn idle(&self) {
        let mut pending = self.pending();
        if pending.locks.len() >= WORTHWHILE && !pending.hurry {
            pending.hurry = true;
            self.changed.notify_one();
        }
    }

    /// Has what waits flushed soon.
    pub fn hurry(&self) {
        self.pending().hurry = true;
        self.changed.notify_one();
    }

    /// Once what it gives is dropped, nothing more comes.
    pub fn end_when_dropped(&self) -> impl Drop + '_ {
        struct End<'a>(&'a Committer<'a>);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.pending().ended = true;
                self.0.changed.notify_one();
            }
        }
        End(self)
    }

    /// Waits until there is something to flush; false when nothing more comes.
    pub fn wait(&self) -> bool {
        let mut pending = self.pending();
        loop {
            if pending.ended {
                return false;
            }
            let left = pending.since.map(|since| LONGEST_WAIT.saturating_sub(since.elapsed()));
            pending = match left {
                None => self.changed.wait(pending).unwrap_or_else(PoisonError::into_inner),
                Some(left) if pending.hurry || left.is_zero() => return true,
                Some(left) => self.changed.wait_timeout(pending, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }

    /// Makes everything that was taken visible and durable, and lets the locks go.
    pub fn flush(&self) -> Result<(), GraphError> {
        // The lock is not held over the flush, so other actions can end meanwhile. Those that do are flushed later.
        let taken = {
            let mut pending = self.pending();
            pending.hurry = false;
            pending.since = None;
            std::mem::take(&mut pending.locks)
        };
        if taken.is_empty() {
            return Ok(());
        }
        self.session.flush().map_err(store_error)
    }
}
