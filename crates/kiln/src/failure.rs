//! How a command fails: a message, its causes, what to do about it, and an exit code.

use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

/// Exit codes, as `kiln --help` documents them.
pub mod exit {
    /// Done.
    pub const DONE: u8 = 0;
    /// It failed.
    pub const FAILED: u8 = 1;
    /// Wrong usage or a wrong project.
    pub const USAGE: u8 = 2;
    /// A bug in Kiln.
    pub const BUG: u8 = 255;
}

/// Why a command ended without doing its job.
#[derive(Debug)]
pub struct Failure(Box<Story>);

#[derive(Debug)]
struct Story {
    message: String,
    causes: Vec<String>,
    /// The end of the log of what failed, and where all of it is.
    log: Option<(Vec<String>, PathBuf)>,
    hint: Option<String>,
    code: u8,
    /// Was there no room on a disk?
    full: bool,
    /// The message is rendered already, with its places and hints.
    rendered: bool,
    /// More failures of the same run.
    others: Vec<Failure>,
}

impl Failure {
    fn new(message: String, hint: Option<String>, code: u8) -> Self {
        let (causes, log, others) = (Vec::new(), None, Vec::new());
        Self(Box::new(Story { message, causes, log, hint, code, full: false, rendered: false, others }))
    }

    /// The work failed.
    pub fn failed(error: &dyn Error, hint: Option<String>) -> Self {
        let mut failure = Self::new(error.to_string(), hint, exit::FAILED);
        let mut source = error.source();
        while let Some(cause) = source {
            failure.0.causes.push(cause.to_string());
            source = cause.source();
        }
        // Whoever met it first may not have known that it was the disk.
        let full = causes(error).find_map(|cause| cause.downcast_ref::<io::Error>().filter(|error| is_full(error)));
        if let Some(full) = full
            && failure.0.hint.as_ref().is_none_or(|hint| !hint.contains("space") && !hint.contains("makes room"))
        {
            failure.0.hint = kiln_model::object::storage_hint(full);
        }
        failure.0.full = full.is_some();
        // An error that only passes another one on says the same as its cause.
        failure.0.causes.dedup();
        if failure.0.causes.first() == Some(&failure.0.message) {
            failure.0.causes.remove(0);
        }
        failure
    }

    /// What the system said when a file or folder was to be used: `cannot read ...`.
    pub fn io(doing: &str, path: &Path, hint: Option<String>) -> impl FnOnce(io::Error) -> Self {
        let message = format!("cannot {doing} `{}`", path.display());
        move |error| Self::failed(&error, hint).within(message)
    }

    /// The command line or the project is wrong.
    pub fn usage(message: impl Into<String>, hint: Option<String>) -> Self {
        Self::new(message.into(), hint, exit::USAGE)
    }

    /// Diagnostics of the project's files, rendered with their places.
    pub fn project(rendered: String) -> Self {
        let mut failure = Self::new(rendered, None, exit::USAGE);
        failure.0.rendered = true;
        failure
    }

    /// Several things failed in one run; `hint` is for the run.
    pub fn several(failures: Vec<Self>, hint: Option<String>) -> Self {
        let mut failures = failures.into_iter();
        let Some(mut first) = failures.next() else {
            return Self::new("it failed".to_owned(), hint, exit::FAILED);
        };
        // One that stands for several keeps them.
        first.0.others.extend(failures);
        if first.0.hint.is_none() {
            first.0.hint = hint;
        }
        first
    }

    /// The same failure as the cause of something larger.
    pub fn within(mut self, message: String) -> Self {
        let cause = std::mem::replace(&mut self.0.message, message);
        self.0.causes.insert(0, cause);
        self
    }

    /// With the end of a log.
    pub fn with_log(mut self, tail: &[String], path: &Path) -> Self {
        self.0.log = Some((tail.to_vec(), path.to_owned()));
        self
    }

    /// The same failure, with the folder that is to be made room in if the disk is full.
    pub fn on_store(mut self, folder: &Path) -> Self {
        if let (true, Some(hint)) = (self.0.full, &mut self.0.hint) {
            let _ = write!(hint, " (the store is in `{}`)", folder.display());
        }
        self
    }

    /// The same failure with another exit code.
    pub fn with_code(mut self, code: u8) -> Self {
        self.0.code = code;
        self
    }

    /// The process's exit code.
    pub fn code(&self) -> u8 {
        self.0.code
    }

    /// The text for stderr.
    pub fn render(&self, colour: bool) -> String {
        let story = &*self.0;
        if story.rendered {
            return story.message.clone();
        }
        let (on, off) = if colour { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
        let mut text = format!("{on}error{off}: {}\n", story.message);
        for cause in &story.causes {
            let _ = writeln!(text, "  caused by: {cause}");
        }
        if let Some((tail, path)) = &story.log {
            for line in tail {
                let _ = writeln!(text, "  | {}", plain(line));
            }
            let _ = writeln!(text, "  log: {}", path.display());
        }
        if let Some(hint) = &story.hint {
            let _ = writeln!(text, "  hint: {hint}");
        }
        for other in &story.others {
            text.push_str(&other.render(colour));
        }
        text
    }
}

/// A line of a log without what would steer the terminal: escape sequences (ECMA-48, section 5.4) and other controls.
fn plain(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        if c == '\x1b' {
            // `ESC [ ... final`, or an escape of one character.
            if rest.next_if_eq(&'[').is_some() {
                while rest.next_if(|c| ('\x20'..='\x3f').contains(c)).is_some() {}
            }
            rest.next_if(|c| ('\x40'..='\x7e').contains(c));
        } else if !c.is_control() || c == '\t' {
            text.push(c);
        }
    }
    text
}

fn causes<'a>(error: &'a dyn Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = error.source();
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_with_the_folder_to_make_room_in() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot store `/usr/bin/bash`")]
        struct Importing(#[source] io::Error);
        let failure = Failure::failed(&Importing(io::ErrorKind::StorageFull.into()), None);
        let run = Failure::several(vec![failure], Some("`--keep-going` builds everything else".to_owned()));
        let text = run.on_store(Path::new("/home/someone/.cache/kiln")).render(false);
        assert!(text.contains("free some space") && text.contains("`/home/someone/.cache/kiln`"), "{text}");
        assert!(!text.contains("keep-going"), "{text}");
        let other = Failure::failed(&Importing(io::ErrorKind::NotFound.into()), None).on_store(Path::new("/x"));
        assert!(!other.render(false).contains("hint"));
    }

    #[test]
    fn a_failure_says_what_why_and_what_to_do() {
        let cause = std::io::Error::other("disk on fire");
        let failure = Failure::failed(&cause, Some("put it out".to_owned())).within("cannot write `x`".to_owned());
        assert_eq!(failure.render(false), "error: cannot write `x`\n  caused by: disk on fire\n  hint: put it out\n");
        assert_eq!(failure.code(), exit::FAILED);
    }

    #[test]
    fn several_failures_are_all_told() {
        let one = || Failure::usage("a", None);
        let text = Failure::several(vec![one(), one()], Some("h".to_owned())).render(false);
        assert_eq!(text, "error: a\n  hint: h\nerror: a\n");
        let of_two = Failure::several(vec![one(), one()], None);
        let nested = Failure::several(vec![of_two, one()], None).render(false);
        assert_eq!(nested, "error: a\nerror: a\nerror: a\n");
    }

    #[test]
    fn a_log_does_not_steer_the_terminal() {
        let tail = ["\x1b[1;31mred\x1b[0m\tand \x1b]0;title\x07 \u{9b}2J\rend\x1b".to_owned()];
        let text = Failure::usage("a", None).with_log(&tail, Path::new("/log")).render(false);
        assert_eq!(text, "error: a\n  | red\tand 0;title 2Jend\n  log: /log\n");
    }
}
