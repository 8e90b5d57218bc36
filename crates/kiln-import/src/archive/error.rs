//! What goes wrong with an archive or a package, whatever its kind.

use std::path::PathBuf;

use kiln_model::OriginName;

use crate::apk;
use crate::deb::DebError;
use crate::debian::archive::ArchiveError;
use crate::debian::openpgp::KeyringError;
use crate::oci;
use crate::reach::ReachError;
use crate::rpm;
use crate::solver::SolveError;

/// Why an origin cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// No keyring.
    #[error(
        "there is no keyring of `{distribution}` on this machine, so nothing that origin `{origin}` has can be believed"
    )]
    NoKeyring {
        /// The origin.
        origin: OriginName,
        /// The distribution.
        distribution: String,
    },
    /// A keyring cannot be read.
    #[error("cannot read the keyring `{}`", .path.display())]
    ReadKeyring {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A keyring is none.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The lock has a date that is none.
    #[error("`{date}` in `kiln.lock` is not a date")]
    Date {
        /// The text.
        date: String,
    },
    /// A Debian archive cannot be used.
    #[error(transparent)]
    Debian(#[from] Box<ArchiveError>),
    /// An archive of Alpine's cannot be used.
    #[error(transparent)]
    Alpine(#[from] Box<apk::IndexError>),
    /// Repositories of RPM's cannot be used.
    #[error(transparent)]
    Rpm(#[from] Box<rpm::IndexError>),
    /// Images cannot be used.
    #[error(transparent)]
    Images(#[from] Box<oci::IndexError>),
    /// The packages do not go together.
    #[error(transparent)]
    Solve(#[from] Box<SolveError>),
}

impl OriginError {
    /// Is what the lock says of a state of no use: nobody has it, or it makes no sense?
    #[must_use]
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Date { .. } => true,
            Self::Debian(error) => matches!(**error, ArchiveError::IndexGone { .. } | ArchiveError::Name(_)),
            Self::Alpine(error) => matches!(**error, apk::IndexError::Reach(ReachError::Gone { .. })),
            Self::Images(error) => matches!(**error, oci::IndexError::Gone { .. }),
            Self::Rpm(error) => matches!(**error, rpm::IndexError::Reach(ReachError::Gone { .. })),
            _ => false,
        }
    }

    /// Is it about reaching an archive, and not about what was asked of it?
    #[must_use]
    pub fn is_of_reach(&self) -> bool {
        match self {
            Self::Debian(_) | Self::Alpine(_) | Self::Rpm(_) | Self::Date { .. } => true,
            Self::Images(error) => matches!(**error, oci::IndexError::Fetch { .. } | oci::IndexError::Gone { .. }),
            _ => false,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoKeyring { origin, distribution } => Some(format!(
                "install it (`apt install {distribution}-archive-keyring`), or put one into the project and name it: \
                 `origins: {{ {origin}: {{ keyring: keys/archive.gpg }} }}`"
            )),
            Self::ReadKeyring { .. } => None,
            Self::Keyring(error) => error.hint(),
            Self::Date { .. } => {
                Some("remove the block of that origin from `kiln.lock`, then run `kiln lock`".to_owned())
            }
            Self::Debian(error) => error.hint(),
            Self::Alpine(error) => error.hint(),
            Self::Images(error) => error.hint(),
            Self::Rpm(error) => error.hint(),
            Self::Solve(error) => error.hint(),
        }
    }
}

impl From<ArchiveError> for OriginError {
    fn from(error: ArchiveError) -> Self {
        Self::Debian(Box::new(error))
    }
}

impl From<apk::IndexError> for OriginError {
    fn from(error: apk::IndexError) -> Self {
        Self::Alpine(Box::new(error))
    }
}

impl From<rpm::IndexError> for OriginError {
    fn from(error: rpm::IndexError) -> Self {
        Self::Rpm(Box::new(error))
    }
}

impl From<oci::IndexError> for OriginError {
    fn from(error: oci::IndexError) -> Self {
        Self::Images(Box::new(error))
    }
}

impl From<SolveError> for OriginError {
    fn from(error: SolveError) -> Self {
        Self::Solve(Box::new(error))
    }
}

/// Why a package cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A Debian package.
    #[error(transparent)]
    Deb(#[from] DebError),
    /// A package of Alpine's.
    #[error(transparent)]
    Apk(#[from] apk::ApkError),
    /// An image.
    #[error(transparent)]
    Oci(#[from] oci::ImageError),
    /// A package of RPM's.
    #[error(transparent)]
    Rpm(#[from] rpm::RpmError),
}

impl ImportError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Deb(error) => error.hint(),
            Self::Apk(error) => error.hint(),
            Self::Oci(error) => error.hint(),
            Self::Rpm(error) => error.hint(),
        }
    }
}
