//! Why a package or an archive of Alpine's cannot be used, and what to do about it.

use kiln_archive::ReadError;
use kiln_model::name::NameError;
use kiln_model::{ObjectError, OriginName};

use super::dependency::DependencyError;
use super::keys::{KeysError, SignatureError};
use crate::payload::PayloadError;
use crate::reach::ReachError;

/// Why an Alpine package cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ApkError {
    /// A section cannot be read.
    #[error("cannot read the package's {part}")]
    Read {
        /// Which.
        part: &'static str,
        /// What is wrong with it.
        #[source]
        source: ReadError,
    },
    /// It is not put together as a package is.
    #[error("this is not a package of Alpine's: {0}")]
    Structure(String),
    /// What it says of itself makes no sense.
    #[error("the package's `{field}`: {why}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What is wrong.
        why: String,
    },
    /// Its control section is not the one that the index names.
    #[error("the package is not the one that the signed index names")]
    Identity,
    /// Its data section is not the one that its control section names.
    #[error("the package's files are not those that its `datahash` names")]
    DataHash,
    /// A name that must not be used.
    #[error("the package names something that cannot be used")]
    Name(#[source] NameError),
    /// Its files cannot be read.
    #[error("the package's files cannot be used: {0}")]
    Files(String, #[source] Option<ReadError>),
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

impl ApkError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Read { source: ReadError::Limit(_), .. } | Self::Files(_, Some(ReadError::Limit(_))) => {
                Some("no package of the distribution is this large: report it to its maintainer".into())
            }
            Self::Read { source: ReadError::Io(_), .. } | Self::Object { .. } => None,
            Self::Read { .. } | Self::Identity | Self::DataHash | Self::Files(_, Some(_)) => {
                Some("the file was damaged or altered on the way: try another mirror".into())
            }
            Self::Structure(_) | Self::Field { .. } | Self::Name(_) | Self::Files(..) => Some(
                "only packages of version 2 of Alpine's format can be read; the rest is its maintainer's to mend"
                    .into(),
            ),
        }
    }
}

impl From<PayloadError> for ApkError {
    fn from(error: PayloadError) -> Self {
        match error {
            PayloadError::Object { what, source } => Self::Object { what, source },
            PayloadError::Name(source) => Self::Name(source),
            PayloadError::Read { source, .. } => Self::Files(source.to_string(), Some(source)),
            other => Self::Files(other.to_string(), None),
        }
    }
}

/// Why an archive of Alpine's cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// It cannot be reached in the state that is wanted.
    #[error(transparent)]
    Reach(#[from] ReachError),
    /// No key.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// Its signature does not count.
    #[error("it is not believed")]
    Signature(#[from] SignatureError),
    /// It is not put together as an index is.
    #[error("it cannot be read as an index")]
    Read(#[source] ReadError),
    /// A record of it makes no sense.
    #[error("the record of `{package}`: {why}")]
    Record {
        /// The package, as far as it is known.
        package: String,
        /// What is wrong.
        why: String,
    },
    /// A relation of it makes no sense.
    #[error("the record of `{package}`")]
    Dependency {
        /// The package.
        package: String,
        /// What is wrong.
        #[source]
        source: DependencyError,
    },
    /// A package is not what the index says.
    #[error("`{package}` of the origin `{origin}` is not believed")]
    Package {
        /// The origin.
        origin: OriginName,
        /// The package.
        package: String,
        /// Why.
        #[source]
        source: Box<ApkError>,
    },
}

impl IndexError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Reach(error) => error.hint(),
            Self::Keys(error) => error.hint(),
            Self::Signature(error) => error.hint(),
            Self::Read(_) | Self::Record { .. } | Self::Dependency { .. } => {
                Some("the archive is damaged or of a newer format: try another mirror".to_owned())
            }
            Self::Package { source, .. } => source.hint(),
        }
    }
}
