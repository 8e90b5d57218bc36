//! Why a source package cannot be unpacked.

use std::io;

use kiln_archive::extract::ExtractError;

use crate::deb::deb822;
use crate::debian::cleartext::CleartextError;

/// Why a Debian source package cannot be read or unpacked.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The `.dsc` is not in control syntax.
    #[error("the description of the source package cannot be read")]
    Control(#[source] deb822::Error),
    /// The `.dsc` is half a signed message.
    #[error("the description of the source package is not whole")]
    Cleartext(#[source] CleartextError),
    /// A field is missing or makes no sense.
    #[error("the description of the source package: {0}")]
    Field(String),
    /// A format that is not known.
    #[error("source format `{0}` is not supported")]
    Format(String),
    /// The files are not those of its format.
    #[error("a source package of format `{format}` needs {what}")]
    Files {
        /// The format.
        format: &'static str,
        /// What is missing or too much.
        what: String,
    },
    /// A file cannot be opened or read.
    #[error("cannot read `{file}`")]
    Read {
        /// The file.
        file: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file is not the one that was named.
    #[error("`{file}` is not the file that the package names: its sha256 is {found}, not {expected}")]
    Digest {
        /// The file.
        file: String,
        /// Its digest.
        found: String,
        /// The digest it should have.
        expected: String,
    },
    /// A tarball cannot be unpacked.
    #[error("cannot unpack `{file}`")]
    Unpack {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: ExtractError,
    },
    /// The list of patches makes no sense.
    #[error("`debian/patches/{file}`, line {line}: {why}")]
    Series {
        /// The list.
        file: String,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// A patch does not apply.
    #[error("the distribution's patch `{patch}` does not apply")]
    Patch {
        /// The patch.
        patch: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The disk says no.
    #[error("cannot write `{path}`")]
    Write {
        /// The path.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl SourceError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Control(_) | Self::Cleartext(_) | Self::Field(_) | Self::Files { .. } | Self::Series { .. } => {
                Some("the source package breaks Debian's own rules: report it to its maintainer".into())
            }
            Self::Format(_) => Some("formats `1.0`, `3.0 (native)` and `3.0 (quilt)` are supported".into()),
            Self::Digest { .. } => Some("remove the file from the downloads and fetch it again".into()),
            Self::Unpack { source, .. } => source.hint(),
            Self::Patch { .. } => {
                Some("use the upstream source alone (`patches: leave`) and patches of your own".into())
            }
            Self::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("the disk is full: free some space (`kiln gc`) and try again".into())
            }
            Self::Read { .. } | Self::Write { .. } => None,
        }
    }
}
