//! Finding the place of each hunk, and putting the new lines there.

use kiln_model::TreePath;

use super::change::{Hunk, Line, LineKind};
use super::error::RejectedHunk;

/// A hunk that has no place.
pub(super) struct Misfit {
    hunk: Hunk,
    number: usize,
    line: usize,
    expected: Vec<u8>,
    found: Option<Vec<u8>>,
    already_applied: bool,
}

impl Misfit {
    pub fn describe(self, path: &TreePath, total: usize) -> RejectedHunk {
        RejectedHunk {
            path: path.clone(),
            number: self.number,
            total,
            patch_line: self.hunk.patch_line,
            text: self.hunk.text,
            line: self.line,
            expected: show(&self.expected),
            found: self.found.as_deref().map(show),
            already_applied: self.already_applied,
        }
    }
}

/// One line for people: what cannot be seen is spelled out.
fn show(line: &[u8]) -> String {
    let (text, ended) = match line.strip_suffix(b"\n") {
        Some(text) => (text, true),
        None => (line, false),
    };
    let mut shown: String = String::from_utf8_lossy(text).chars().take(200).flat_map(visible).collect();
    if !ended {
        shown.push_str(" (without a line end)");
    }
    shown
}

fn visible(c: char) -> impl Iterator<Item = char> {
    let plain = !c.is_control() || c == '\t';
    plain.then_some(c).into_iter().chain((!plain).then(|| c.escape_default()).into_iter().flatten())
}

fn lines_of(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n').collect()
}

fn side(hunk: &Hunk, without: LineKind) -> Vec<&[u8]> {
    hunk.lines.iter().filter(|line| line.kind != without).map(|line| &line.bytes[..]).collect()
}

/// Applies hunks in order.
pub(super) fn apply(old: &[u8], hunks: &[Hunk]) -> Result<Vec<u8>, Vec<Misfit>> {
    let lines = lines_of(old);
    let mut out = Vec::with_capacity(old.len());
    let mut misfits = Vec::new();
    // Lines before this one are written; hunks come in order and may not reach back.
    let mut done = 0usize;
    let mut offset = 0isize;
    for (index, hunk) in hunks.iter().enumerate() {
        let pattern = side(hunk, LineKind::Add);
        // An empty old range stands after the line it names.
        let start = if pattern.is_empty() { hunk.old_start } else { hunk.old_start.saturating_sub(1) };
        let guess = start.saturating_add_signed(offset);
        let place = locate(&lines, hunk, &pattern, guess, done);
        let Some(at) = place.filter(|at| keeps_lines_apart(&lines, hunk, *at, pattern.len())) else {
            misfits.push(misfit(&lines, hunk, index + 1, &pattern, guess));
            continue;
        };
        offset += at as isize - guess as isize;
        for line in &lines[done..at] {
            out.extend_from_slice(line);
        }
        for line in hunk.lines.iter().filter(|line| line.kind != LineKind::Remove) {
            out.extend_from_slice(&line.bytes);
        }
        done = at + pattern.len();
    }
    if !misfits.is_empty() {
        return Err(misfits);
    }
    for line in &lines[done..] {
        out.extend_from_slice(line);
    }
    Ok(out)
}

/// A line without its end is a file's last. Is it still, with this hunk at `at`? GNU patch adds the line end that
/// neither the file nor the patch has.
fn keeps_lines_apart(lines: &[&[u8]], hunk: &Hunk, at: usize, taken: usize) -> bool {
    let new = hunk.lines.iter().filter(|line| line.kind != LineKind::Remove).map(|line| &line.bytes[..]);
    let before = at.checked_sub(1).map(|at| lines[at]);
    let joined: Vec<&[u8]> = before.into_iter().chain(new).chain(lines.get(at + taken).copied()).collect();
    joined.split_last().is_none_or(|(_, others)| others.iter().all(|line| line.ends_with(b"\n")))
}

/// The first line at which all of `pattern` is, nearest to `guess`. A hunk with less context before than after was
/// made at the start of the file and is only looked for there; one with less context after, only at the end.
fn locate(lines: &[&[u8]], hunk: &Hunk, pattern: &[&[u8]], guess: usize, done: usize) -> Option<usize> {
    let last = lines.len().checked_sub(pattern.len())?;
    if done > last {
        return None;
    }
    let fits = |at: usize| lines[at..at + pattern.len()] == *pattern;
    if pattern.is_empty() {
        return (done..=last).contains(&guess).then_some(guess);
    }
    let context = |line: &&Line| line.kind == LineKind::Context;
    let before = hunk.lines.iter().take_while(context).count();
    let after = hunk.lines.iter().rev().take_while(context).count();
    let at_start = before < after && hunk.old_start <= 1;
    let at_end = after < before;
    if at_start {
        return (done == 0 && (!at_end || last == 0) && fits(0)).then_some(0);
    }
    if at_end {
        return fits(last).then_some(last);
    }
    let farthest = guess.saturating_sub(done).max(last.saturating_sub(guess));
    (0..=farthest).find_map(|distance| {
        let later = guess.checked_add(distance).filter(|at| (done..=last).contains(at) && fits(*at));
        later.or_else(|| guess.checked_sub(distance).filter(|at| (done..=last).contains(at) && fits(*at)))
    })
}

/// Where the hunk comes closest to fitting, and what stands against it there.
fn misfit(lines: &[&[u8]], hunk: &Hunk, number: usize, pattern: &[&[u8]], guess: usize) -> Misfit {
    /// More comparisons than this are not worth a better message.
    const MOST: usize = 20_000_000;
    let score = |at: usize| pattern.iter().zip(lines.get(at..).unwrap_or_default()).filter(|(a, b)| a == b).count();
    let guess = guess.min(lines.len());
    let mut best = guess;
    if lines.len().saturating_mul(pattern.len()) <= MOST {
        let mut rank = (score(guess), 0);
        for at in 0..lines.len() {
            let candidate = (score(at), -(at.abs_diff(guess) as isize));
            if candidate > rank {
                (best, rank) = (at, candidate);
            }
        }
    }
    let differs = pattern.iter().enumerate().find(|(i, line)| lines.get(best + i) != Some(line));
    // When every line is there, the hunk is in the wrong place: out of order, or not at the file's start or end.
    let (index, expected) = differs.map_or((0, pattern.first().copied().unwrap_or_default()), |(i, line)| (i, *line));
    Misfit {
        hunk: hunk.clone(),
        number,
        line: best + index + 1,
        expected: expected.to_vec(),
        found: lines.get(best + index).map(|line| line.to_vec()),
        already_applied: contains(lines, &side(hunk, LineKind::Remove)),
    }
}

fn contains(lines: &[&[u8]], wanted: &[&[u8]]) -> bool {
    !wanted.is_empty() && lines.windows(wanted.len()).any(|window| window == wanted)
}

/// Is `bytes` exactly what creating a file with `hunks` gives?
pub(super) fn reversed(hunks: &[Hunk], bytes: &[u8]) -> bool {
    apply(b"", hunks).is_ok_and(|made| made == bytes)
}
