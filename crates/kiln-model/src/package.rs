//! Packages: a tree plus facts, and what is known of them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{Architecture, ArchiveKind, Facts, ObjectId, OriginName, PackageName, TreeId};

/// A package as the store keeps it: the result of an import or a build. Serialised as JSON with sorted keys; equal
/// packages have equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageRecord {
    /// Its name.
    pub name: PackageName,
    /// Its version, in its origin's terms.
    pub version: String,
    /// Where it comes from; none for a recipe of the project.
    pub origin: Option<OriginName>,
    /// What it was built for; none when it runs on all.
    pub architecture: Option<Architecture>,
    /// The name of the source package it was built from, and that package's version.
    pub source: Option<(String, String)>,
    /// Its files: a plain tree but for hard links, which imports keep.
    pub tree: TreeId,
    /// What it declares: owners, modes, accounts and the like.
    pub facts: Facts,
    /// What it needs at run time, in its origin's terms.
    pub relations: Relations,
    /// Configuration files, as absolute paths (Debian's conffiles).
    pub conffiles: BTreeSet<String>,
    /// The hooks it came with. None was run.
    pub hooks: Vec<Hook>,
    /// What the archive's own list of installed packages would repeat of its description, name and value in that list's
    /// order (Debian: fields of `control`). Empty for what was built here, which no such list knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listing: Vec<(String, String)>,
    /// For a built package: the exact packages that its ELF files need, by what provided them in its environment.
    pub runtime: Vec<PinnedPackage>,
}

/// Relations to other packages, each in the syntax of its archive.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Relations {
    /// Whose syntax it is, and whose order of versions.
    #[serde(skip_serializing_if = "ArchiveKind::is_default")]
    pub syntax: ArchiveKind,
    /// Needed for it to work (Debian: Depends and Pre-Depends, in this order, joined by `, `).
    pub depends: String,
    /// Names it also answers to.
    pub provides: String,
    /// Cannot be in one image with these.
    pub conflicts: String,
    /// Breaks these.
    pub breaks: String,
    /// May overwrite files of these.
    pub replaces: String,
}

/// A script or trigger declaration that a package came with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// Its name in the package: `preinst`, `postinst`, `triggers`, ...
    pub name: String,
    /// Its text.
    pub object: ObjectId,
    /// Its length in bytes.
    pub size: u64,
}

/// One exact package of an archive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedPackage {
    /// The origin.
    pub origin: OriginName,
    /// The name.
    pub name: PackageName,
    /// The version.
    pub version: String,
}

impl PackageRecord {
    /// The canonical bytes.
    ///
    /// # Panics
    /// Never: every key is a text.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a record is made of texts and numbers")
    }
}
