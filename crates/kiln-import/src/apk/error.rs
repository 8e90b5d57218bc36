//! Why a package or an archive of Alpine's cannot be used, and what to do about it.

use std::io;
use std::path::PathBuf;

use kiln_archive::ReadError;
use kiln_fetch::FetchError;
use kiln_model::name::NameError;
use kiln_model::{ObjectError, OriginName};

use super::dependency::DependencyError;
use super::keys::{KeysError, SignatureError};
use crate::payload::PayloadError;

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
    /// No key.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// No mirror has a believable index.
    #[error("no mirror serves `{path}` of the origin `{origin}`:{}", attempts.iter().map(|a| format!("\n  {a}")).collect::<String>())]
    NoMirror {
        /// The origin.
        origin: OriginName,
        /// The index.
        path: String,
        /// What is wrong with each.
        attempts: Vec<String>,
        /// What to do about the first.
        hint: Option<String>,
    },
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
    /// It is older than the one in the lock.
    #[error("the origin `{origin}` is offered as it was on {offered}, and the lock has it as of {locked}")]
    Replay {
        /// The origin.
        origin: OriginName,
        /// The date of what is offered.
        offered: String,
        /// The date in the lock.
        locked: String,
    },
    /// The locked index is kept nowhere any more.
    #[error("the locked index `{path}` of the origin `{origin}` is gone from its mirrors")]
    Gone {
        /// The origin.
        origin: OriginName,
        /// The index.
        path: String,
    },
    /// Something cannot be fetched.
    #[error("cannot fetch from the origin `{origin}`")]
    Fetch {
        /// The origin.
        origin: OriginName,
        /// Why.
        #[source]
        source: Box<FetchError>,
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
    /// The folder of kept indexes cannot be used.
    #[error("cannot use `{}`", .path.display())]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl IndexError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Keys(error) => error.hint(),
            Self::Signature(error) => error.hint(),
            Self::NoMirror { hint, .. } => hint.clone(),
            Self::Read(_) | Self::Record { .. } | Self::Dependency { .. } => {
                Some("the archive is damaged or of a newer format: try another mirror".to_owned())
            }
            Self::Replay { .. } => Some(
                "try another mirror; if the archive really went back, remove the block of that origin from `kiln.lock`"
                    .to_owned(),
            ),
            Self::Gone { origin, .. } => Some(format!(
                "the archive has moved on: `kiln lock --update {origin}` takes its present state; what a store has already stays usable"
            )),
            Self::Fetch { source, .. } => source.hint(),
            Self::Package { source, .. } => source.hint(),
            Self::Folder { .. } => None,
        }
    }
}
