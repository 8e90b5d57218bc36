//! Committing results in groups: one flush of the disk for many small actions.
//!
//! A result that waits for its flush keeps its action lock, since another process that got the lock would not see the
//! result yet and would do the work again. That alone could make two processes wait for each other for ever, each
//! holding what the other wants, so whoever does not get a lock flushes before it tries again. A running action waits
//! for no lock, so each that is held goes free in the end.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kiln_model::ActionKey;
use kiln_store::{ActionLock, ActionResult, Session};

use super::error::GraphError;

/// More locks than this are not held: each is an open file.
const MOST_PENDING: usize = 128;
/// No result waits longer than this for another one to end.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// What took this long is not risked for the price of a flush.
const DEAR: Duration = Duration::from_secs(1);

pub(super) struct Committer<'a> {
    session: &'a Session,
    pending: Mutex<Pending>,
}

#[derive(Default)]
struct Pending {
    locks: Vec<ActionLock>,
    since: Option<Instant>,
}

pub(super) fn store_error(error: impl std::error::Error + Send + Sync + 'static) -> GraphError {
    GraphError::Store(Box::new(error))
}

impl<'a> Committer<'a> {
    pub fn new(session: &'a Session) -> Self {
        Self { session, pending: Mutex::default() }
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
        let due = {
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            pending.locks.push(lock);
            let since = *pending.since.get_or_insert_with(Instant::now);
            pending.locks.len() >= MOST_PENDING || since.elapsed() >= LONGEST_WAIT
        };
        if due || took >= DEAR { self.flush() } else { Ok(()) }
    }

    /// Makes everything that was taken visible and durable, and lets the locks go.
    pub fn flush(&self) -> Result<(), GraphError> {
        // The lock is not held over the flush, so other actions can end meanwhile. Those that do are flushed later.
        let taken = std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner));
        if taken.locks.is_empty() {
            return Ok(());
        }
        self.session.flush().map_err(store_error)
    }
}
