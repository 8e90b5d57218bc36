//! Why a package or a repository of RPM's cannot be used, and what to do about it.

use std::io;
use std::path::PathBuf;

use kiln_archive::ReadError;
use kiln_fetch::FetchError;
use kiln_model::name::NameError;
use kiln_model::path::PathError;
use kiln_model::{ObjectError, OriginName};

use super::relation::RelationError;
use crate::debian::openpgp::{KeyringError, SignatureError};
use crate::payload::PayloadError;
use crate::reach::ReachError;

/// Why a package cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum RpmError {
    /// A part cannot be read.
    #[error("cannot read the package's {part}")]
    Read {
        /// Which.
        part: &'static str,
        /// What is wrong with it.
        #[source]
        source: ReadError,
    },
    /// It is not put together as a package is.
    #[error("this is not an RPM package that can be read: {0}")]
    Structure(String),
    /// What it says of itself makes no sense.
    #[error("the package's `{field}`: {why}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What is wrong.
        why: String,
    },
    /// It needs something of the package manager that is not known here.
    #[error("the package needs `{0}` of the package manager, which is not known here")]
    Feature(String),
    /// A relation that makes no sense.
    #[error("the package has a relation that cannot be read")]
    Relation(#[from] RelationError),
    /// A name that must not be used.
    #[error("the package names something that cannot be used")]
    Name(#[source] NameError),
    /// A path that must not be used.
    #[error("the package names a path that cannot be used")]
    Path(#[source] PathError),
    /// Its files cannot be read.
    #[error("the package's files cannot be used: {0}")]
    Files(String, #[source] Option<ReadError>),
    /// Nobody signed its header.
    #[error("nobody signed the package")]
    Unsigned,
    /// The signature of its header does not count.
    #[error("the package is not believed")]
    Signature(#[from] SignatureError),
    /// It is not the one that the index says.
    #[error("what was signed is another package than the index says: {0}")]
    Another(String),
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

impl RpmError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Read { source: ReadError::Limit(_), .. } | Self::Files(_, Some(ReadError::Limit(_))) => {
                Some("no package of the distribution is this large: report it to its maintainer".into())
            }
            Self::Read { source: ReadError::Io(_), .. } | Self::Object { .. } => None,
            Self::Read { .. } | Self::Files(_, Some(_)) => {
                Some("the file was damaged or altered on the way: try another mirror".into())
            }
            Self::Signature(error) => error.hint(),
            Self::Unsigned => Some("a repository of which nobody signed statement nor packages cannot be used".into()),
            Self::Another(_) => Some("the mirror is damaged or gives what it should not: try another one".into()),
            Self::Feature(_) => Some("it was made for a newer package manager: take another version of it".into()),
            Self::Structure(_)
            | Self::Field { .. }
            | Self::Relation(_)
            | Self::Name(_)
            | Self::Path(_)
            | Self::Files(..) => {
                Some("only binary packages of version 3 and 4 of the format can be read; the rest is its maintainer's to mend".into())
            }
        }
    }
}

impl From<PayloadError> for RpmError {
    fn from(error: PayloadError) -> Self {
        match error {
            PayloadError::Object { what, source } => Self::Object { what, source },
            PayloadError::Name(source) => Self::Name(source),
            PayloadError::Read { source, .. } => Self::Files(source.to_string(), Some(source)),
            other => Self::Files(other.to_string(), None),
        }
    }
}

/// Why the repositories of an origin cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// It cannot be reached in the state that is wanted.
    #[error(transparent)]
    Reach(#[from] ReachError),
    /// The keyring cannot be read.
    #[error("cannot read the keyring `{}`", .path.display())]
    ReadKeyring {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The keyring is none.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// Its signature does not count.
    #[error("it is not believed")]
    Signature(#[from] SignatureError),
    /// It is too old, or of the future.
    #[error("it is of {date}, {why}")]
    Age {
        /// Its date.
        date: String,
        /// What is wrong with that.
        why: String,
        /// Is it too old?
        old: bool,
    },
    /// It is not put together as an index is.
    #[error("`{file}` cannot be read: {why}")]
    Read {
        /// Which file.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// Nobody signed the statement.
    #[error("`{path}` has no signature beside it, `{path}.asc`")]
    Unsigned {
        /// The statement.
        path: String,
        /// What the server said.
        #[source]
        source: Box<FetchError>,
    },
    /// A package is not one that a key of the project signed.
    #[error("`{package}` of the origin `{origin}` is not believed")]
    Package {
        /// The origin.
        origin: OriginName,
        /// The package.
        package: String,
        /// Why.
        #[source]
        source: Box<RpmError>,
    },
    /// A package that is needed is named by a digest that does not hold.
    #[error("the index names `{0}` by something other than its SHA-256")]
    Digest(String),
}

impl IndexError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Reach(error) => error.hint(),
            Self::Keyring(error) => error.hint(),
            Self::Signature(error) => error.hint(),
            Self::Age { old: true, .. } => Some(
                "try another mirror; if the repository is not brought up to date any more, say so: `max-age: unlimited`"
                    .to_owned(),
            ),
            Self::Age { old: false, .. } => Some("check this machine's clock".to_owned()),
            Self::Read { .. } => Some("the repository is damaged or of a newer format: try another mirror".to_owned()),
            Self::Digest(_) => Some("its repository has to be made with SHA-256, as `createrepo_c` does".to_owned()),
            Self::Unsigned { .. } => Some(
                "if only its packages are signed, say so: `signed: packages`; then each of them is checked as it is locked"
                    .to_owned(),
            ),
            Self::Package { source, .. } => source.hint(),
            Self::ReadKeyring { .. } => None,
        }
    }
}
