//! Renders the libraries' events: bars on a terminal, one line a finished step elsewhere. Always on stderr.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use kiln_model::{Event, Reporter, TaskId};

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// Warnings only.
    Quiet,
    /// Each step that had to work.
    Normal,
    /// Each step, with those whose result was there.
    Verbose,
}

struct Running {
    verb: &'static str,
    subject: String,
    bar: Option<ProgressBar>,
    began: Instant,
}

/// The terminal's reporter.
pub struct Progress {
    bars: Option<MultiProgress>,
    verbosity: Verbosity,
    colour: bool,
    running: Mutex<BTreeMap<TaskId, Running>>,
}

impl Progress {
    /// A reporter for this process's stderr.
    pub fn new(verbosity: Verbosity, colour: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bars = (terminal && verbosity != Verbosity::Quiet).then(MultiProgress::new);
        Self { bars, verbosity, colour: colour && terminal, running: Mutex::default() }
    }

    /// May colour be used on stderr?
    pub const fn colour(&self) -> bool {
        self.colour
    }

    /// Prints a line above the bars.
    pub fn line(&self, text: &str) {
        match &self.bars {
            Some(bars) => bars.suspend(|| write(text)),
            None => write(text),
        }
    }

    /// A step's line: the verb in a column of its own.
    pub fn step(&self, verb: &str, rest: &str) {
        if self.verbosity != Verbosity::Quiet {
            let (on, off) = if self.colour { ("\x1b[1;32m", "\x1b[0m") } else { ("", "") };
            self.line(&format!("{on}{verb:>12}{off} {rest}"));
        }
    }

    fn bar(&self, verb: &str, subject: &str, total: Option<u64>) -> Option<ProgressBar> {
        let bars = self.bars.as_ref()?;
        let (bar, template) = match total {
            Some(total) => (ProgressBar::new(total), "{prefix:>12} {msg} [{wide_bar}] {percent:>3} %"),
            None => (ProgressBar::new_spinner(), "{prefix:>12} {msg} {spinner} {elapsed}"),
        };
        let bar = bars.add(bar);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(verb.to_owned());
        bar.set_message(subject.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Some(bar)
    }
}

/// Writes to stderr. Where that is closed or full there is nobody to tell.
fn write(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

impl Reporter for Progress {
    fn report(&self, event: Event) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Started { task, verb, subject, total } => {
                let bar = self.bar(verb, &subject, total);
                running.insert(task, Running { verb, subject, bar, began: Instant::now() });
            }
            Event::Progressed { task, done } => {
                if let Some(bar) = running.get(&task).and_then(|r| r.bar.as_ref()) {
                    bar.set_position(done);
                }
            }
            Event::Finished { task, outcome, cached } => {
                let Some(Running { verb, subject, bar, began }) = running.remove(&task) else { return };
                drop(running);
                if let Some(bar) = bar {
                    bar.finish_and_clear();
                }
                if cached && self.verbosity != Verbosity::Verbose {
                    return;
                }
                let took = began.elapsed().as_secs_f64();
                let took = if took >= 0.95 { format!(" in {took:.1} s") } else { String::new() };
                let outcome = if outcome.is_empty() { outcome } else { format!(": {outcome}") };
                self.step(verb, &format!("{subject}{outcome}{took}"));
            }
            Event::Warning { message, hint } => {
                drop(running);
                let (on, off) = if self.colour { ("\x1b[1;33m", "\x1b[0m") } else { ("", "") };
                self.line(&format!("{on}warning{off}: {message}"));
                if let Some(hint) = hint {
                    self.line(&format!("   hint: {hint}"));
                }
            }
        }
    }
}
