//! Patches: unified diffs, plain or from Git, applied with fuzz 0.
//!
//! A patch is applied to [`Files`], which is a stored tree ([`TreeFiles`]) or a folder ([`FolderFiles`]). Either all of
//! it applies or nothing changes: every result is made in memory first. Names are [`TreePath`]s, so none leads out, and
//! no link is ever followed, whether it was there before or the patch itself made it.
//!
//! As GNU `patch -p1 -F0` does, a hunk may be found some lines away from where it says, but every line of context must
//! be there. What is not understood is refused, never skipped: binary changes, context diffs, hunks whose counts lie.

mod change;
mod error;
mod files;
mod hunk;
mod parse;

use std::collections::BTreeMap;

use kiln_model::TreePath;

pub use change::{Change, FilePatch, Hunk, Line, LineKind, Mode};
pub use error::{PatchError, RejectedHunk};
pub use files::{Content, Files, FilesError, FolderFiles, TreeFiles};
pub use parse::{ParseError, parse};

/// Raise it when the same patch would give other bytes: it enters the keys of what is built from patched sources.
pub const VERSION: &str = "patch/1";

/// Applies one patch file. `name` stands for it in messages; one leading folder is taken off every path.
///
/// # Errors
/// When it is not a unified diff, when a hunk does not apply, or when files cannot be read or written. Nothing is
/// changed then, but for a folder whose disk fills up while the results are written.
pub fn apply(name: &str, patch: &[u8], files: &mut dyn Files) -> Result<Vec<TreePath>, PatchError> {
    let changes = parse(patch).map_err(|source| PatchError::Parse { patch: name.to_owned(), source })?;
    let mut work = Work { patch: name, files, results: BTreeMap::new(), rejected: Vec::new(), faults: Vec::new() };
    for change in &changes {
        work.apply(change)?;
    }
    let Work { files, results, rejected, faults, .. } = work;
    if let Some(fault) = faults.into_iter().next() {
        return Err(fault);
    }
    if !rejected.is_empty() {
        return Err(PatchError::Rejected { patch: name.to_owned(), hunks: rejected });
    }
    // Removals first, so that a file may take the place of a folder that became empty.
    for (path, content) in results.iter().filter(|(_, content)| content.is_none()) {
        debug_assert!(content.is_none());
        files.remove(path).map_err(|source| PatchError::Files { patch: name.to_owned(), source })?;
    }
    for (path, content) in &results {
        if let Some(content) = content {
            files.write(path, content).map_err(|source| PatchError::Files { patch: name.to_owned(), source })?;
        }
    }
    Ok(results.into_keys().collect())
}

struct Work<'a> {
    patch: &'a str,
    files: &'a mut dyn Files,
    /// What each touched path will hold; none when it goes away.
    results: BTreeMap<TreePath, Option<Content>>,
    rejected: Vec<RejectedHunk>,
    faults: Vec<PatchError>,
}

impl Work<'_> {
    fn read(&self, path: &TreePath) -> Result<Option<Content>, PatchError> {
        match self.results.get(path) {
            Some(content) => Ok(content.clone()),
            None => self.files.read(path).map_err(|source| PatchError::Files { patch: self.patch.to_owned(), source }),
        }
    }

    fn fault(&mut self, change: &FilePatch, path: &TreePath, what: &'static str) {
        self.faults.push(PatchError::Unfit {
            patch: self.patch.to_owned(),
            line: change.line,
            path: path.clone(),
            what,
        });
    }

    fn apply(&mut self, change: &FilePatch) -> Result<(), PatchError> {
        let path = self.choose(change)?;
        let from = change.source().unwrap_or(&path).clone();
        let old = self.read(&from)?;
        let creates = change.change == Change::Create || (old.is_none() && change.is_creation());
        let before = match (old, creates) {
            (Some(old), true) => {
                // Some tools write an empty file's first lines as a creation.
                if !old.bytes.is_empty() || change.hunks.is_empty() {
                    let same = hunk::reversed(&change.hunks, &old.bytes);
                    self.faults.push(PatchError::Exists {
                        patch: self.patch.to_owned(),
                        line: change.line,
                        path: from,
                        already_applied: same,
                    });
                    return Ok(());
                }
                old
            }
            (None, true) => Content { bytes: Vec::new(), executable: false, link: false },
            (Some(old), false) => old,
            (None, false) => {
                self.fault(change, &from, "is not there");
                return Ok(());
            }
        };
        let is_link = if creates { change.new_mode.is_some_and(Mode::is_link) } else { before.link };
        if change.mode_is_link() != is_link && (before.link || change.mode_is_link()) {
            self.fault(change, &from, "is a link for one of them and a file for the other");
            return Ok(());
        }
        let bytes = match hunk::apply(&before.bytes, &change.hunks) {
            Ok(bytes) => bytes,
            Err(misfits) => {
                let total = change.hunks.len();
                self.rejected.extend(misfits.into_iter().map(|misfit| misfit.describe(&from, total)));
                return Ok(());
            }
        };
        let deletes = change.change == Change::Delete || (bytes.is_empty() && change.is_deletion());
        if deletes {
            if bytes.is_empty() {
                self.results.insert(from, None);
            } else {
                self.fault(change, &from, "is to be deleted, but holds more than the patch takes out");
            }
            return Ok(());
        }
        let executable = change.new_mode.map_or(before.executable, Mode::is_executable);
        if let Some(to) = change.destination() {
            if *to != from && self.read(to)?.is_some() {
                self.fault(change, to, "is in the way of a file that is renamed or copied");
                return Ok(());
            }
            if matches!(change.change, Change::Rename { .. }) {
                self.results.insert(from, None);
            }
            self.results.insert(to.clone(), Some(Content { bytes, executable, link: is_link }));
        } else {
            self.results.insert(from, Some(Content { bytes, executable, link: is_link }));
        }
        Ok(())
    }

    /// Which of its two names a plain diff means: one that is there, and of two the simpler, as GNU patch decides.
    fn choose(&self, change: &FilePatch) -> Result<TreePath, PatchError> {
        let mut best: Option<&TreePath> = None;
        for path in [&change.old, &change.new].into_iter().flatten() {
            if self.read(path)?.is_none() {
                continue;
            }
            let rank = |path: &TreePath| {
                (path.components().count(), path.file_name().map_or(0, str::len), path.as_str().len())
            };
            if best.is_none_or(|best| rank(path) < rank(best)) {
                best = Some(path);
            }
        }
        let chosen = best.or(change.new.as_ref()).or(change.old.as_ref());
        chosen.cloned().ok_or_else(|| PatchError::Parse {
            patch: self.patch.to_owned(),
            source: ParseError::new(change.line, "names no file"),
        })
    }
}

#[cfg(test)]
mod tests;
