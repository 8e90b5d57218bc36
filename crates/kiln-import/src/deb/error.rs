//! Why a package cannot be imported.

use kiln_archive::ReadError;
use kiln_model::name::NameError;
use kiln_model::{ObjectError, TreePath};

use super::deb822;
use crate::payload::PayloadError;

/// Why a Debian package cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum DebError {
    /// The container or a member cannot be read.
    #[error("cannot read {part}")]
    Read {
        /// Which part of the package.
        part: String,
        /// What is wrong with it.
        #[source]
        source: ReadError,
    },
    /// It is an archive, but not a Debian package.
    #[error("this is not a Debian package: {0}")]
    Structure(String),
    /// A format of the future.
    #[error("the package has format version `{0}`, and only 2 is known")]
    Version(String),
    /// The control file is not in control syntax.
    #[error("the package's `{file}` cannot be read")]
    Control {
        /// Which file.
        file: &'static str,
        /// What is wrong with it.
        #[source]
        source: deb822::Error,
    },
    /// A field that every package has is missing or makes no sense.
    #[error("the package's `{file}`: {why}")]
    Field {
        /// Which file.
        file: &'static str,
        /// What is wrong.
        why: String,
    },
    /// A name that must not be used.
    #[error("the package names something that cannot be used")]
    Name(#[source] NameError),
    /// An owner without a name.
    #[error("`{path}` belongs to {what} {number}, and no Debian system has a fixed name for that number")]
    Owner {
        /// Whose owner.
        path: TreePath,
        /// `user` or `group`.
        what: &'static str,
        /// The number.
        number: u32,
    },
    /// Two entries that cannot both be.
    #[error("the package contradicts itself at `{path}`: {why}")]
    Conflict {
        /// Where.
        path: TreePath,
        /// How.
        why: String,
    },
    /// An object cannot be written.
    #[error("cannot store `{what}`")]
    Object {
        /// What.
        what: String,
        /// What the store said.
        #[source]
        source: ObjectError,
    },
}

impl DebError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Read { source, .. } => match source {
                ReadError::Limit(_) => {
                    Some("no package of the distribution is this large: report it to its maintainer".into())
                }
                ReadError::Io(_) => None,
                _ => Some("the package is damaged: remove it from the downloads and fetch it again".into()),
            },
            Self::Object { .. } => None,
            Self::Version(_) => Some("use a version of Kiln that knows this format".into()),
            Self::Owner { what, .. } => Some(format!(
                "the package was built with a {what} of its builder's machine: rebuild it with a {what} that has a name"
            )),
            Self::Structure(_) | Self::Control { .. } | Self::Field { .. } | Self::Name(_) | Self::Conflict { .. } => {
                Some("the package breaks Debian's own rules: report it to its maintainer".into())
            }
        }
    }

    pub(super) fn read(part: impl Into<String>, source: impl Into<ReadError>) -> Self {
        Self::Read { part: part.into(), source: source.into() }
    }
}

impl From<PayloadError> for DebError {
    fn from(error: PayloadError) -> Self {
        match error {
            PayloadError::Read { part, source } => Self::Read { part, source },
            PayloadError::Owner { path, what, number } => Self::Owner { path, what, number },
            PayloadError::Name(source) => Self::Name(source),
            PayloadError::Conflict { path, why } => Self::Conflict { path, why },
            PayloadError::Checksum { path } => {
                let why = "its content does not have the checksum that the package gives it".to_owned();
                Self::Conflict { path, why }
            }
            PayloadError::Object { what, source } => Self::Object { what, source },
        }
    }
}
