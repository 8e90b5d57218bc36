//! Why a folder cannot become a tree.

use std::fs::FileType;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;

use kiln_model::ObjectError;
use kiln_model::tree::InsertError;

/// Something in a folder that a plain tree cannot hold, or that must not be in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where, below the folder. Bytes that are no text are shown as `\xNN`.
    pub path: String,
    /// What.
    pub kind: FaultKind,
}

/// What is wrong with an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// Neither directory, file nor link.
    #[error("is a {0}; only directories, files and links can be kept")]
    Special(&'static str),
    /// Its name is not UTF-8, or too long.
    #[error("has a name that is not UTF-8 or longer than 255 bytes")]
    Name,
    /// The target of a link is not UTF-8.
    #[error("is a link whose target is not UTF-8")]
    Target,
    /// A link to a place that is gone after the build.
    #[error("is a link to `{target}`, which is there only while it is built")]
    Link {
        /// Where it leads.
        target: String,
    },
    /// It names a place that is gone after the build.
    #[error("names `{what}` at byte {offset}, a place that is there only while it is built")]
    Content {
        /// What it names.
        what: String,
        /// Where in the file.
        offset: u64,
    },
    /// It names a place of this machine.
    #[error("names `{what}` at byte {offset}, a folder of this machine")]
    Machine {
        /// What it names.
        what: String,
        /// Where in the file.
        offset: u64,
    },
    /// This user may not read it.
    #[error("cannot be read by this user")]
    Unreadable,
}

impl FaultKind {
    /// The fault of what is neither directory, file nor link.
    #[must_use]
    pub fn of_special(kind: FileType) -> Self {
        Self::Special(match () {
            () if kind.is_fifo() => "named pipe",
            () if kind.is_socket() => "socket",
            () if kind.is_block_device() => "block device",
            () => "character device",
        })
    }
}

/// Why a folder cannot be read into the store.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// What is in it cannot be kept.
    #[error("{}", list(.0))]
    Faults(Vec<Fault>),
    /// It cannot be read.
    #[error("cannot read `{}`", .path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The store does not take it.
    #[error("cannot keep `{}`", .path.display())]
    Object {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: ObjectError,
    },
    /// Paths are too long to be put together.
    #[error("paths in `{}` are too long", .path.display())]
    Path {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: InsertError,
    },
}

impl IngestError {
    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let full = match self {
            Self::Faults(faults) => return hint_of(faults),
            Self::Io { source, .. } | Self::Object { source: ObjectError::Io { source, .. }, .. } => {
                source.kind() == io::ErrorKind::StorageFull
            }
            _ => false,
        };
        full.then(|| "the disk is full: `kiln gc` makes room".to_owned())
    }
}

impl From<IngestError> for crate::graph::ActionError {
    fn from(error: IngestError) -> Self {
        let hint = error.hint();
        Self::new(error).with_hint(hint)
    }
}

/// The way out of faults in a folder of the user's. What a build leaves has its own.
fn hint_of(faults: &[Fault]) -> Option<String> {
    let has = |wanted: fn(&FaultKind) -> bool| faults.iter().any(|fault| wanted(&fault.kind));
    let mut ways = Vec::new();
    if has(|kind| *kind == FaultKind::Unreadable) {
        ways.push("`chmod u+r` the files and `chmod u+rx` the folders that belong to it");
    }
    if has(|kind| matches!(kind, FaultKind::Special(_) | FaultKind::Name | FaultKind::Target)) {
        ways.push("take away what cannot be kept");
    }
    if ways.is_empty() {
        return None;
    }
    ways.push("what is no part of a recipe's source may stand in `.gitignore`");
    Some(ways.join("; "))
}

fn list(faults: &[Fault]) -> String {
    const SHOWN: usize = 20;
    let mut lines: Vec<String> = faults.iter().take(SHOWN).map(|f| format!("`{}` {}", f.path, f.kind)).collect();
    if faults.len() > SHOWN {
        lines.push(format!("and {} more", faults.len() - SHOWN));
    }
    lines.join("\n")
}
