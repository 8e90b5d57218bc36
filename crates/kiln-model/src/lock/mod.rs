//! `kiln.lock`: what a project's names mean, exactly. Written by Kiln, committed, read by people in a diff.
//!
//! TOML, one block an entry, sorted; equal locks have equal bytes. Reading checks that the lock holds together: every
//! package that a target names is there, none is there for nothing, none twice. The order of blocks does not matter on
//! reading, so that a merge of two sound locks is read if it is sound, and written sorted again.

mod place;
mod raw;
mod read;
mod salvage;
mod stale;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use place::EntryRef;
pub use read::parse;
pub use salvage::{Salvaged, salvage};
pub use stale::Staleness;

use crate::name::AccountName;
use crate::{Architecture, ArchiveKind, Digest, OriginName, PackageName, PackageRef, TreeId};

/// The lock's file name.
pub const LOCK_FILE: &str = "kiln.lock";
/// The target of the project's build environment, which those of recipes are written as a difference to.
pub const ENVIRONMENT: &str = "environment";
/// The version of the format that this version writes and reads.
pub const VERSION: u32 = 1;

/// Everything that is pinned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lock {
    /// Origins by name.
    pub origins: BTreeMap<OriginName, LockedOrigin>,
    /// Packages.
    pub packages: BTreeMap<PackageKey, LockedPackage>,
    /// What each target consists of.
    pub targets: BTreeMap<TargetKey, LockedTarget>,
    /// Sources by recipe and place among its sources.
    pub sources: BTreeMap<(PackageName, u32), LockedSource>,
    /// Ids that nothing declares, allotted once.
    pub ids: BTreeMap<(IdKind, AccountName), u32>,
    /// Repositories of recipes, by the origin's name.
    pub recipes: BTreeMap<OriginName, LockedRecipes>,
}

/// A state of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedOrigin {
    /// Which kind of archive it is.
    pub archive: ArchiveKind,
    /// The distribution.
    pub distribution: String,
    /// The suite.
    pub suite: String,
    /// The components.
    pub components: Vec<String>,
    /// The digest of the signed index of indexes (Debian: `InRelease`), where the archive has one.
    pub release: Option<Digest>,
    /// The date of the state: what the index of indexes carries, or that of the newest package.
    pub date: String,
    /// The indexes that were used, by path.
    pub indexes: Vec<LockedIndex>,
}

/// An index of an archive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LockedIndex {
    /// Its path, from the suite's folder.
    pub path: String,
    /// Its digest.
    pub sha256: Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// Names a package in the lock. The architecture is none for one that runs on all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageKey {
    /// The origin.
    pub origin: OriginName,
    /// The name.
    pub name: PackageName,
    /// The architecture.
    pub architecture: Option<Architecture>,
}

/// One exact package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedPackage {
    /// The version.
    pub version: String,
    /// The path in the archive.
    pub path: String,
    /// The digest of the package's file.
    pub sha256: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// The source package it was built from, where that has another name or version.
    pub source: Option<(String, String)>,
    /// The further files that it consists of, in their order: an image's configuration and layers.
    pub parts: Vec<LockedFile>,
}

/// Names a target in the lock.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetKey {
    /// `environment`, `image:NAME`, `recipe:VARIANT:build` or `recipe:VARIANT:runtime`.
    pub name: String,
    /// The architecture.
    pub architecture: Architecture,
}

/// What a target consists of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LockedTarget {
    /// What the project asked for.
    pub requests: BTreeSet<PackageRef>,
    /// What that came to: packages of origins. Most recipes' targets are the environment and nothing else, so those
    /// that are equal may share it.
    pub packages: Arc<BTreeSet<PackageRef>>,
}

/// A pinned source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockedSource {
    /// A source package of an archive.
    Origin {
        /// The origin.
        origin: OriginName,
        /// The source package.
        package: PackageName,
        /// Its version.
        version: String,
        /// Its files.
        files: Vec<LockedFile>,
    },
    /// An archive by address.
    Archive {
        /// Where it is.
        url: String,
        /// What it has to be.
        sha256: Digest,
        /// Its length in bytes, once known.
        size: Option<u64>,
    },
    /// A Git commit.
    Git {
        /// The repository.
        url: String,
        /// What the recipe names: a branch, a tag or a commit.
        rev: String,
        /// The commit, in full.
        commit: String,
        /// The commit's files, once known.
        tree: Option<TreeId>,
    },
    /// A folder of the project, which Git pins.
    Path {
        /// The folder.
        path: String,
    },
}

/// A file of a source package, or of a package that has several.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LockedFile {
    /// Its name.
    pub name: String,
    /// Its path in the archive.
    pub path: String,
    /// Its digest.
    pub sha256: Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// Whose an id is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdKind {
    /// A group's.
    Group,
    /// A user's.
    User,
}

/// A state of a repository of recipes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedRecipes {
    /// Where it is.
    pub url: String,
    /// The commit, in full.
    pub commit: String,
}

impl Lock {
    /// The packages of a target.
    ///
    /// # Panics
    /// When the lock was put together by hand and does not hold together; [`parse`] rules that out for one that was
    /// read, and [`Lock::missing`] tells.
    #[must_use]
    pub fn packages_of(&self, target: &LockedTarget, architecture: Architecture) -> Vec<(&PackageKey, &LockedPackage)> {
        let find = |package| self.find(package, architecture).expect("every package of a target is in the lock");
        target.packages.iter().map(find).collect()
    }

    /// A package that a target names: one for its architecture, or for all.
    #[must_use]
    pub fn find(&self, package: &PackageRef, architecture: Architecture) -> Option<(&PackageKey, &LockedPackage)> {
        let PackageRef::Origin(origin, name) = package else { return None };
        [Some(architecture), None].into_iter().find_map(|architecture| {
            self.packages.get_key_value(&PackageKey { origin: origin.clone(), name: name.clone(), architecture })
        })
    }

    /// Packages that targets name and the lock does not have.
    #[must_use]
    pub fn missing(&self) -> Vec<(&TargetKey, &PackageRef)> {
        let targets = self.targets.iter();
        let all = targets.flat_map(|(key, target)| target.packages.iter().map(move |package| (key, package)));
        all.filter(|(key, package)| self.find(package, key.architecture).is_none()).collect()
    }

    /// Packages that no target names.
    #[must_use]
    pub fn unreferenced(&self) -> Vec<&PackageKey> {
        let mut used = BTreeSet::new();
        for (key, target) in &self.targets {
            used.extend(target.packages.iter().filter_map(|p| self.find(p, key.architecture)).map(|(key, _)| key));
        }
        self.packages.keys().filter(|key| !used.contains(key)).collect()
    }

    /// Drops packages that no target names.
    pub fn prune(&mut self) {
        let drop: Vec<PackageKey> = self.unreferenced().into_iter().cloned().collect();
        for key in drop {
            self.packages.remove(&key);
        }
    }
}

impl PackageKey {
    /// As targets name it.
    #[must_use]
    pub fn reference(&self) -> PackageRef {
        PackageRef::Origin(self.origin.clone(), self.name.clone())
    }
}

#[cfg(test)]
mod tests;
