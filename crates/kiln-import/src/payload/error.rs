//! Why a package's files cannot be read.

use kiln_archive::ReadError;
use kiln_model::name::NameError;
use kiln_model::{ObjectError, TreePath};

/// Why a package's files cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PayloadError {
    /// The archive cannot be read.
    #[error("cannot read {part}")]
    Read {
        part: String,
        #[source]
        source: ReadError,
    },
    /// An owner without a name.
    #[error("`{path}` belongs to {what} {number}, which has no name")]
    Owner { path: TreePath, what: &'static str, number: u32 },
    /// An owner whose name must not be used.
    #[error("an owner's name cannot be used")]
    Name(#[source] NameError),
    /// Two entries that cannot both be.
    #[error("`{path}`: {why}")]
    Conflict { path: TreePath, why: String },
    /// A content is not what the archive says it is.
    #[error("`{path}` does not have the checksum that the package gives it")]
    Checksum { path: TreePath },
    /// An object cannot be written.
    #[error("cannot store `{what}`")]
    Object {
        what: String,
        #[source]
        source: ObjectError,
    },
}
