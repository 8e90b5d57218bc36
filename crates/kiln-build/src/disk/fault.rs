//! Why a folder cannot become a tree.

use std::io;
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

fn list(faults: &[Fault]) -> String {
    const SHOWN: usize = 20;
    let mut lines: Vec<String> = faults.iter().take(SHOWN).map(|f| format!("`{}` {}", f.path, f.kind)).collect();
    if faults.len() > SHOWN {
        lines.push(format!("and {} more", faults.len() - SHOWN));
    }
    lines.join("\n")
}
