//! What a patch says, as values.

use kiln_model::TreePath;

/// What a line of a hunk does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineKind {
    /// It stays.
    Context,
    /// It goes.
    Remove,
    /// It comes.
    Add,
}

/// One line of a hunk, with its line end unless the file ends without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What happens to it.
    pub kind: LineKind,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// One place of a file that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunk {
    /// The line of the patch file at which it begins.
    pub patch_line: usize,
    /// The first line it means in the old file, counted from 1; 0 when the old range is empty at the file's start.
    pub old_start: usize,
    /// Its lines.
    pub lines: Vec<Line>,
    /// As the patch has it.
    pub text: String,
}

/// File type and permission as Git writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(pub(super) u32);

impl Mode {
    /// A symbolic link?
    #[must_use]
    pub fn is_link(self) -> bool {
        self.0 & 0o170_000 == 0o120_000
    }

    /// An executable file?
    #[must_use]
    pub fn is_executable(self) -> bool {
        !self.is_link() && self.0 & 0o100 != 0
    }
}

/// What happens to the file as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Its content or mode changes; in a plain diff this may also make or delete it.
    Modify,
    /// It is new.
    Create,
    /// It goes away.
    Delete,
    /// It moves.
    Rename {
        /// From here.
        from: TreePath,
        /// To here.
        to: TreePath,
    },
    /// It is copied.
    Copy {
        /// From here.
        from: TreePath,
        /// To here.
        to: TreePath,
    },
}

/// Everything a patch does to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePatch {
    /// The line of the patch file at which it begins.
    pub line: usize,
    /// The name before, without its first folder; none for `/dev/null`.
    pub old: Option<TreePath>,
    /// The name after, without its first folder; none for `/dev/null`.
    pub new: Option<TreePath>,
    /// What happens to the file.
    pub change: Change,
    /// The mode before, if it is told.
    pub old_mode: Option<Mode>,
    /// The mode after, if it is told.
    pub new_mode: Option<Mode>,
    /// The time before is the epoch: `diff -N` says so that there was no file.
    pub old_is_epoch: bool,
    /// The time after is the epoch.
    pub new_is_epoch: bool,
    /// The places that change.
    pub hunks: Vec<Hunk>,
}

impl FilePatch {
    pub(super) fn source(&self) -> Option<&TreePath> {
        match &self.change {
            Change::Rename { from, .. } | Change::Copy { from, .. } => Some(from),
            _ => None,
        }
    }

    pub(super) fn destination(&self) -> Option<&TreePath> {
        match &self.change {
            Change::Rename { to, .. } | Change::Copy { to, .. } => Some(to),
            _ => None,
        }
    }

    /// Does a plain diff make the file, if it is not there?
    pub(super) fn is_creation(&self) -> bool {
        self.change == Change::Modify
            && matches!(&self.hunks[..], [one] if one.old_start == 0 && one.lines.iter().all(|l| l.kind == LineKind::Add))
    }

    /// Does a plain diff delete the file, if nothing is left of it?
    pub(super) fn is_deletion(&self) -> bool {
        self.change == Change::Modify && (self.new.is_none() || self.new_is_epoch)
    }

    /// Is it a link after the change, as far as the patch tells?
    pub(super) fn mode_is_link(&self) -> bool {
        self.new_mode.or(self.old_mode).is_some_and(Mode::is_link)
    }
}
