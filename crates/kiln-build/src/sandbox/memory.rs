//! A limit on the memory of a whole build, kept by looking.
//!
//! For users who may make no control group what all processes of the sandbox take is added up several times a second,
//! and over the limit all of them are killed. Looking never takes more than a small part of the time, whatever the build
//! does. Where there is a control group the kernel keeps the limit, but one of version 1 kills some process and lets the
//! others go on as if nothing were: the rest is killed here.

use std::time::{Duration, Instant};

use kiln_sys::{Contained, Control};

/// How long to wait between two looks at least.
const PAUSE: Duration = Duration::from_millis(100);
/// How long at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A look may take one part in so many of the time.
const SHARE: u32 = 50;

/// Looks at the memory of a sandbox.
#[derive(Debug)]
pub(super) struct Watch {
    /// Bytes; none when there is no limit.
    limit: Option<u64>,
    next: Instant,
}

impl Watch {
    pub(super) fn new(limit: Option<u64>) -> Self {
        Self { limit, next: Instant::now() + PAUSE }
    }

    /// How long until it wants to look again.
    pub(super) fn pause(&self) -> Option<Duration> {
        self.limit.map(|_| self.next.saturating_duration_since(Instant::now()))
    }

    /// Is it over the limit? Looks only when it is time to.
    pub(super) fn is_over(&mut self, contained: &Contained) -> bool {
        let Some(limit) = self.limit else { return false };
        let began = Instant::now();
        if began < self.next {
            return false;
        }
        let kept = contained.groups().iter().find(|group| matches!(group.control(), Control::Memory(_)));
        let over = kept.map_or_else(|| contained.memory(limit) > limit, kiln_sys::Group::was_exceeded);
        let ended = Instant::now();
        self.next = ended + (ended - began).saturating_mul(SHARE).clamp(PAUSE, LONGEST_PAUSE);
        over
    }
}
