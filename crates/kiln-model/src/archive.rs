//! The kinds of archive that an origin can be.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A kind of archive: what `archive:` of an origin names. It decides how indexes and packages are read, in which syntax
/// packages state their relations, and how versions are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ArchiveKind {
    /// Packages of Debian and what descends from it.
    #[default]
    Deb,
    /// Packages of Alpine, version 2 of the format.
    Apk,
    /// Container images, of a registry or a folder in the OCI image layout.
    Oci,
    /// Packages of Fedora, openSUSE, Red Hat and what descends from them.
    Rpm,
}

impl ArchiveKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Deb, Self::Apk, Self::Oci, Self::Rpm];

    /// Its name in `kiln.yaml` and in the lock.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Apk => "apk",
            Self::Oci => "oci",
            Self::Rpm => "rpm",
        }
    }

    /// What such an archive is, for messages.
    #[must_use]
    pub const fn described(self) -> &'static str {
        match self {
            Self::Deb => "an archive of `.deb` packages",
            Self::Apk => "an archive of `.apk` packages",
            Self::Oci => "a collection of container images",
            Self::Rpm => "an archive of `.rpm` packages",
        }
    }

    /// Is it the one that is meant where none is named?
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for ArchiveKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text is not a kind of archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a kind of archive")]
pub struct ArchiveKindError(String);

impl FromStr for ArchiveKind {
    type Err = ArchiveKindError;

    fn from_str(text: &str) -> Result<Self, ArchiveKindError> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| ArchiveKindError(text.chars().take(40).collect()))
    }
}
