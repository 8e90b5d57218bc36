//! How libraries tell what they do. They never touch the terminal: the command renders these events.

use std::sync::atomic::{AtomicU64, Ordering};

/// Names one running task among all of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(u64);

impl TaskId {
    /// A new name.
    #[must_use]
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl Default for TaskId {
    fn default() -> Self {
        Self::new()
    }
}

/// Something worth telling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A task began.
    Started {
        /// Its name.
        task: TaskId,
        /// A verb in the present participle: `Fetching`, `Building`.
        verb: &'static str,
        /// What it works on.
        subject: String,
        /// How much there is to do, in bytes or items, when that is known.
        total: Option<u64>,
    },
    /// A task got on.
    Progressed {
        /// Its name.
        task: TaskId,
        /// How much is done, in the unit of `total`.
        done: u64,
    },
    /// A task ended.
    Finished {
        /// Its name.
        task: TaskId,
        /// What came of it, for people; empty when there is nothing to add.
        outcome: String,
        /// Did it have to work, or was the result there?
        cached: bool,
    },
    /// Something the user should know, that does not stop the work.
    Warning {
        /// What and where.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

/// Takes events. Implementations must not block for long: they are called on hot paths.
pub trait Reporter: Send + Sync {
    /// Takes one event.
    fn report(&self, event: Event);

    /// Begins a task; it ends when the guard is finished or dropped.
    fn start(&self, verb: &'static str, subject: &str, total: Option<u64>) -> Task<'_>
    where
        Self: Sized,
    {
        Task::start(self, verb, subject, total)
    }
}

/// A running task.
pub struct Task<'a> {
    reporter: &'a dyn Reporter,
    id: TaskId,
    ended: bool,
}

impl<'a> Task<'a> {
    /// Begins a task.
    pub fn start(reporter: &'a dyn Reporter, verb: &'static str, subject: &str, total: Option<u64>) -> Self {
        let id = TaskId::new();
        reporter.report(Event::Started { task: id, verb, subject: subject.to_owned(), total });
        Self { reporter, id, ended: false }
    }

    /// Tells how far it is.
    pub fn progress(&self, done: u64) {
        self.reporter.report(Event::Progressed { task: self.id, done });
    }

    /// Ends it well.
    pub fn finish(mut self, outcome: impl Into<String>, cached: bool) {
        self.ended = true;
        self.reporter.report(Event::Finished { task: self.id, outcome: outcome.into(), cached });
    }
}

impl Drop for Task<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let event = Event::Finished { task: self.id, outcome: "stopped".to_owned(), cached: false };
            self.reporter.report(event);
        }
    }
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Reporter for Silent {
    fn report(&self, _: Event) {}
}
