//! What can be kept of a lock that is damaged: by a merge, an editor, a disk.
//!
//! The lock holds a few things that nothing else says: which state of an archive is pinned, which commit of a branch,
//! which number an account has. They are worth keeping, so whoever writes a lock anew takes every entry of the old one
//! that stands, entry by entry, and tells of each that does not. All the rest follows from the project and those.

use super::raw::Raw;
use super::read::{MARKS, Reading, conflict};
use super::{Lock, TargetKey};
use crate::diagnostic::{Diagnostic, Diagnostics, Sources};

/// What is left of a lock.
#[derive(Debug, Clone, Default)]
pub struct Salvaged {
    /// It holds together. It may say less than the project asks.
    pub lock: Lock,
    /// What was wrong; nothing when the lock was sound.
    pub faults: Vec<Diagnostic>,
}

/// Reads as much of a lock as stands.
///
/// # Errors
/// When another version of Kiln wrote it, so that what is unknown in it is not damage.
pub fn salvage(text: &str) -> Result<Salvaged, Diagnostics> {
    let mut sources = Sources::new();
    let mut reading = Reading::new(&mut sources, text);
    if !reading.is_text() {
        return Ok(Salvaged { lock: Lock::default(), faults: sources.diagnostics(reading.problems).0 });
    }
    if let Some(span) = conflict(text, &reading.lines) {
        reading.problem(span, "Git left a merge conflict in the lock".to_owned());
    }
    let text = first_side(text);
    let raw = match toml::from_str::<Raw>(&text) {
        Ok(raw) => raw,
        Err(_) => block_by_block(&mut reading, &text),
    };
    let told = reading.problems.len();
    if reading.is_of_another_version() {
        return Err(sources.diagnostics(reading.problems.split_off(told)));
    }
    if raw.version.is_none() {
        reading.no_version();
    }
    let mut lock = reading.assemble(raw);
    let unsound = std::mem::take(&mut reading.unsound);
    lock.packages.retain(|key, _| !unsound.contains(key));
    let missing: Vec<TargetKey> = lock.missing().into_iter().map(|(target, _)| target.clone()).collect();
    missing.iter().for_each(|target| drop(lock.targets.remove(target)));
    lock.prune();
    Ok(Salvaged { lock, faults: sources.diagnostics(reading.problems).0 })
}

/// The text with only the first side of each conflict. What goes becomes blanks, so that every place stays.
fn first_side(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut other_side = false;
    for line in text.split_inclusive('\n') {
        let mark = MARKS.iter().position(|mark| line.starts_with(mark));
        let goes = other_side || mark.is_some();
        match mark {
            Some(1 | 2) => other_side = true,
            Some(_) => other_side = false,
            None => {}
        }
        if goes {
            kept.extend(line.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
        } else {
            kept.push_str(line);
        }
    }
    kept
}

/// Reads each block for itself.
fn block_by_block(reading: &mut Reading<'_>, text: &str) -> Raw {
    let mut all = Raw::default();
    let starts: Vec<usize> = std::iter::once(0).chain(text.match_indices("\n[[").map(|(at, _)| at + 1)).collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    for (start, end) in starts.iter().copied().zip(ends) {
        match toml::from_str::<Raw>(&text[start..end]) {
            Ok(block) => all.append(block, start),
            Err(error) => {
                let span = error.span().unwrap_or(0..1);
                let message = format!("this block cannot be read: {}", error.message());
                reading.problem(start + span.start..start + span.end, message);
            }
        }
    }
    all
}
