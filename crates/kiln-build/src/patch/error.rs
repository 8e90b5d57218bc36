//! Why a patch does not apply, shown so that it can be mended: the hunk, what it expected, what is there.

use std::fmt::{self, Write as _};

use kiln_model::TreePath;

use super::files::FilesError;
use super::parse::ParseError;

/// A hunk that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedHunk {
    /// The file.
    pub path: TreePath,
    /// Which hunk of the file, counted from 1.
    pub number: usize,
    /// How many hunks the file has.
    pub total: usize,
    /// The line of the patch file at which the hunk begins.
    pub patch_line: usize,
    /// The hunk as the patch has it, with its `@@` line.
    pub text: String,
    /// The line of the file at which it comes closest to fitting, and there the first line that differs.
    pub line: usize,
    /// What the hunk has in that line.
    pub expected: String,
    /// What the file has there; none past its end.
    pub found: Option<String>,
    /// Does the file look as if the hunk had been applied?
    pub already_applied: bool,
}

impl fmt::Display for RejectedHunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, number, total, patch_line, text, line, expected, found, already_applied } = self;
        let path = path.as_str();
        writeln!(f, "hunk {number} of {total} for `{path}` (line {patch_line} of the patch):")?;
        for text in text.lines() {
            writeln!(f, "    {text}")?;
        }
        if *already_applied {
            return write!(f, "`{path}` already has what this hunk brings");
        }
        writeln!(f, "at `{path}:{line}`")?;
        writeln!(f, "    expected: {expected}")?;
        match found {
            Some(found) => write!(f, "    found:    {found}"),
            None => f.write_str("    found:    the end of the file"),
        }
    }
}

/// Why a patch was not applied.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// It is not a unified diff.
    #[error("`{patch}` is not a patch that Kiln can apply")]
    Parse {
        /// The patch.
        patch: String,
        /// Where and why.
        #[source]
        source: ParseError,
    },
    /// Hunks do not fit.
    #[error("{}", rejected(.patch, .hunks))]
    Rejected {
        /// The patch.
        patch: String,
        /// All hunks of it that do not fit.
        hunks: Vec<RejectedHunk>,
    },
    /// It creates a file that is there.
    #[error("`{patch}`, line {line}: creates `{}`, which is there", .path.as_str())]
    Exists {
        /// The patch.
        patch: String,
        /// The line of the patch.
        line: usize,
        /// The file.
        path: TreePath,
        /// Does it hold what the patch would put there?
        already_applied: bool,
    },
    /// A file is not what it has to be.
    #[error("`{patch}`, line {line}: `{}` {what}", .path.as_str())]
    Unfit {
        /// The patch.
        patch: String,
        /// The line of the patch.
        line: usize,
        /// The file.
        path: TreePath,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Files cannot be read or written.
    #[error("`{patch}` cannot be applied")]
    Files {
        /// The patch.
        patch: String,
        /// Why.
        #[source]
        source: FilesError,
    },
}

impl PatchError {
    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Rejected { patch, hunks } if hunks.iter().all(|hunk| hunk.already_applied) => {
                Some(format!("the source has this change already: take `{patch}` out of the recipe's `patches`"))
            }
            Self::Exists { patch, already_applied: true, .. } => {
                Some(format!("the source has this file already: take `{patch}` out of the recipe's `patches`"))
            }
            Self::Rejected { patch, .. } => Some(format!(
                "make `{patch}` anew against this version of the source; Kiln never guesses where a hunk belongs"
            )),
            Self::Unfit { .. } => {
                Some("paths in a patch begin with one folder that is taken off, as in `a/src/main.c`".to_owned())
            }
            Self::Parse { .. } => Some("`git diff` and `diff -u` write patches that Kiln can apply".to_owned()),
            Self::Exists { .. } | Self::Files { .. } => None,
        }
    }
}

fn rejected(patch: &str, hunks: &[RejectedHunk]) -> String {
    let mut text = match hunks.len() {
        1 => format!("a hunk of `{patch}` does not apply"),
        n => format!("{n} hunks of `{patch}` do not apply"),
    };
    for hunk in hunks {
        let _ = write!(text, "\n{hunk}");
    }
    text
}
