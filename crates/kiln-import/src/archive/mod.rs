//! Kinds of archive: what each has to be able to do, and the one table of those that there are.
//!
//! To add a kind: a variant of [`ArchiveKind`] and its settings in `kiln-model` (`project/origin.rs`), a module of this
//! crate, an implementation of [`ArchiveFormat`] beside this file and its row in [`FORMATS`].

mod apk;
mod deb;
mod error;
mod oci;
mod relations;
mod rpm;

use std::any::Any;
use std::fs::File;
use std::path::{Path, PathBuf};

use kiln_archive::Limits;
use kiln_fetch::Fetcher;
use kiln_model::lock::{LockedOrigin, LockedPackage, PackageKey};
use kiln_model::project::Origin;
use kiln_model::{
    Architecture, ArchiveKind, Digest, Dir, ObjectSink, OriginName, PackageName, PackageRecord, Reporter,
};
use kiln_store::Session;

pub use self::error::{ImportError, OriginError};
pub use self::relations::{Provided, RelationSyntax, SyntaxError, Term, Wish};
use crate::debian::index::{IndexError, SourceRecord};
use crate::mirror::Mirror;
use crate::solver::{SolveError, SolveRequest};

/// Every kind of archive, in the order of [`ArchiveKind`].
pub const FORMATS: &[&dyn ArchiveFormat] = &[&deb::Deb, &apk::Apk, &oci::Oci, &rpm::Rpm];

/// What an archive is read with.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    /// Fetches.
    pub fetcher: &'a Fetcher,
    /// Where indexes are kept.
    pub folder: &'a Path,
    /// The store, for packages that have to be read to be pinned.
    pub session: &'a Session,
    /// Is told what happens.
    pub reporter: &'a dyn Reporter,
}

/// Which archive is to be opened, and in which state.
#[derive(Clone, Copy)]
pub struct OriginRequest<'a> {
    /// The origin's name in the project.
    pub name: &'a OriginName,
    /// What the project says of it.
    pub origin: &'a Origin,
    /// The project's folder.
    pub project: &'a Path,
    /// Folders of keyrings on this machine.
    pub keyrings: &'a [PathBuf],
    /// The mirrors to ask, in this order.
    pub mirrors: &'a [Mirror],
    /// The architectures.
    pub architectures: &'a [Architecture],
    /// Are source packages wanted too?
    pub sources: bool,
    /// The state to open, if it has what is wanted now; the archive's present state when there is none.
    pub locked: Option<&'a LockedOrigin>,
    /// The state that a new one must not be older than.
    pub floor: Option<&'a LockedOrigin>,
    /// Seconds since 1970.
    pub now: u64,
}

/// An archive whose state is known.
pub trait OpenArchive: Any {
    /// The state, as the lock has it.
    fn state(&self) -> LockedOrigin;

    /// The source packages of a name, where the archive has such.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn sources(&self, package: &str) -> Result<Vec<SourceRecord>, IndexError> {
        let _ = package;
        Ok(Vec::new())
    }

    /// Names of source packages that are near one that there is not.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn similar_sources(&self, package: &str) -> Result<Vec<String>, IndexError> {
        let _ = package;
        Ok(Vec::new())
    }

    /// The packages that this state has under a locked package's name, for its architecture.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn offers(&self, package: &PackageKey, means: &Means<'_>) -> Result<Vec<Offer>, OriginError>;
}

/// What an archive's state says of a package's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The version.
    pub version: String,
    /// The path in the archive.
    pub path: String,
    /// The digest; none where the archive names its packages otherwise and this one was not read yet.
    pub sha256: Option<Digest>,
    /// The length in bytes.
    pub size: u64,
}

/// A package as it was fetched.
#[derive(Debug)]
pub struct PackageFile<'a> {
    /// The name that the lock gives it.
    pub name: &'a PackageName,
    /// The version that the lock gives it.
    pub version: &'a str,
    /// Its file.
    pub file: File,
    /// The further files that it consists of, in the lock's order, each with the digest that it was found to have.
    pub parts: Vec<(Digest, File)>,
}

/// An imported package: what the store keeps of it, and its files.
#[derive(Debug, Clone)]
pub struct Imported {
    /// What is known of it.
    pub record: PackageRecord,
    /// Its files.
    pub tree: Dir,
}

/// A kind of archive.
pub trait ArchiveFormat: Sync {
    /// Which.
    fn kind(&self) -> ArchiveKind;

    /// What the folder of a mirror holds, for messages.
    fn mirror_holds(&self) -> &'static str;

    /// Does the machine's apt configuration name mirrors of it?
    fn is_apts(&self) -> bool {
        false
    }

    /// Opens an archive.
    ///
    /// # Errors
    /// When no mirror serves, or what it has is not believed.
    fn open(&self, request: &OriginRequest<'_>, means: &Means<'_>) -> Result<Box<dyn OpenArchive>, OriginError>;

    /// What the lock says of an archive's state and what that state's own signed statement says instead, where the
    /// statement is kept; none when it is not, or the archive has none that outlives its indexes.
    fn kept_state(
        &self,
        request: &OriginRequest<'_>,
        locked: &LockedOrigin,
        means: &Means<'_>,
    ) -> Option<LockedOrigin> {
        let _ = (request, locked, means);
        None
    }

    /// Every request that names nothing, with why.
    ///
    /// # Errors
    /// When an index cannot be read.
    fn unknown(
        &self,
        archives: &[(&OriginName, &dyn OpenArchive)],
        requests: &[SolveRequest],
        architecture: Architecture,
        means: &Means<'_>,
    ) -> Result<Vec<(SolveRequest, SolveError)>, OriginError>;

    /// Finds and pins the packages that a set of requests needs, among archives of this kind.
    ///
    /// # Errors
    /// When the requests cannot all be had, or a package is not what its index says.
    fn resolve(
        &self,
        archives: &[(&OriginName, &dyn OpenArchive)],
        requests: &[SolveRequest],
        architecture: Architecture,
        means: &Means<'_>,
    ) -> Result<Vec<(PackageKey, LockedPackage)>, OriginError>;

    /// Names the importer in keys of imports: another one gives other packages from the same file.
    fn importer(&self) -> &'static str;

    /// Is a package called what the lock calls it, because its file does not say what it is?
    fn is_named_by_the_lock(&self) -> bool {
        false
    }

    /// Turns a package's file into a package.
    ///
    /// # Errors
    /// When it is none, is damaged or too large, or an object cannot be written.
    fn import(
        &self,
        package: PackageFile<'_>,
        origin: OriginName,
        objects: &dyn ObjectSink,
        limits: &Limits,
    ) -> Result<Imported, ImportError>;

    /// How its packages state their relations.
    fn relations(&self) -> &dyn RelationSyntax;
}

/// The format of a kind.
///
/// # Panics
/// Never: a test holds the table to the kinds.
#[must_use]
pub fn format_of(kind: ArchiveKind) -> &'static dyn ArchiveFormat {
    let found = FORMATS.iter().find(|format| format.kind() == kind);
    *found.expect("the table has a row for each kind")
}

/// The archives among those given that are of a type.
fn of_type<'a, T: OpenArchive>(archives: &[(&'a OriginName, &'a dyn OpenArchive)]) -> Vec<(&'a OriginName, &'a T)> {
    let typed = |(name, archive): &(&'a OriginName, &'a dyn OpenArchive)| {
        Some((*name, (*archive as &dyn Any).downcast_ref::<T>()?))
    };
    archives.iter().filter_map(typed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_row_and_its_own_importer() {
        let kinds: Vec<ArchiveKind> = FORMATS.iter().map(|format| format.kind()).collect();
        assert_eq!(kinds, ArchiveKind::ALL);
        let importers: std::collections::BTreeSet<_> = FORMATS.iter().map(|format| format.importer()).collect();
        assert_eq!(importers.len(), FORMATS.len());
    }
}
