//! Alpine's packages and archives: `.apk` of version 2, `APKINDEX.tar.gz`.
//!
//! A package is a tar archive in pieces, each a gzip stream of its own: signatures, control, data ([`envelope`]). Trust runs
//! one way: a key of the project believes an index ([`keys`]); the index names each package's control section by its
//! SHA-1, as the format has it; the control section names the data by its SHA-256. [`Archive`] walks that way once, when a
//! project is locked, and the lock then pins the whole file by SHA-256. Nothing of a package is run: its scripts are kept
//! as hooks.

mod accounts;
mod archive;
mod dependency;
mod envelope;
mod error;
mod index;
mod keys;
mod pkginfo;
mod solver;

use std::collections::BTreeSet;
use std::io::{BufReader, Read};

use kiln_archive::{BUFFER, Compression, Limits, ReadError, limits};
use kiln_model::package::{Hook, Relations};
use kiln_model::{Architecture, ArchiveKind, Dir, Facts, ObjectSink, OriginName, PackageRecord, TreePath};

use crate::hashed::Hashed;
use crate::payload::{self, Payload};

pub use archive::{Archive, Config, path_of};
pub use dependency::{Bound, Dependency, DependencyError};
pub use envelope::{Checked, Identity, check};
pub use error::{ApkError, IndexError};
pub use index::{Index, Record};
pub use keys::{Keys, KeysError, Signature, SignatureError};
pub use pkginfo::PkgInfo;
pub use solver::{Repository, Selected, solve, unknown};

/// How the data section is read. What is at the top and begins with a dot is the format's, as `apk` has it.
const PAYLOAD: Payload = Payload { accounts: accounts::FIXED, passed_over: is_metadata };

fn is_metadata(path: &TreePath) -> bool {
    path.as_str().starts_with('.')
}

/// Alpine's name of an architecture, as folders of its mirrors and packages have it.
#[must_use]
pub const fn architecture_name(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Amd64 => "x86_64",
        Architecture::Arm64 => "aarch64",
    }
}

/// The architecture of a package; none when it runs on all.
fn architecture_of(name: &str) -> Result<Option<Architecture>, ApkError> {
    if name == "noarch" {
        return Ok(None);
    }
    let found = Architecture::ALL.into_iter().find(|architecture| architecture_name(*architecture) == name);
    found.map(Some).ok_or_else(|| ApkError::Field { field: "arch", why: format!("`{name}` is not known here") })
}

/// An imported package.
#[derive(Debug, Clone)]
pub struct ApkPackage {
    /// What it says of itself.
    pub info: PkgInfo,
    /// Its files: plain but for hard links.
    pub tree: Dir,
    /// Owners, modes, attributes and devices that the tree cannot say.
    pub facts: Facts,
    /// The hooks it came with, by name. None was run.
    pub hooks: Vec<Hook>,
}

/// Imports a package, whose data section has to be the one that its control section names. Signatures are not looked at:
/// what is imported is pinned by the digest of the whole file.
///
/// # Errors
/// When it is not a package, is damaged or too large, names owners that have no name, or an object cannot be written.
pub fn import(reader: impl Read + Send, objects: &dyn ObjectSink, limits: &Limits) -> Result<ApkPackage, ApkError> {
    let (control, rest) = envelope::control(BufReader::with_capacity(BUFFER, reader))?;
    let (info, hooks) = pkginfo::read_control(&control.decoded, objects)?;
    let mut hashed = Hashed::new(rest);
    let fault = |error: std::io::Error| ApkError::Read { part: "data section", source: ReadError::from(error) };
    let (tree, facts) = {
        let data = limits::open(Compression::Gzip, &mut hashed, limits).map_err(fault)?;
        payload::read(&PAYLOAD, "data section", data, objects, limits)?
    };
    std::io::copy(&mut hashed, &mut std::io::sink()).map_err(fault)?;
    if hashed.finish().0 != info.datahash {
        return Err(ApkError::DataHash);
    }
    Ok(ApkPackage { info, tree, facts, hooks })
}

impl ApkPackage {
    /// The record of this package, whose tree the caller stores.
    ///
    /// # Errors
    /// When its name or architecture is none.
    pub fn into_record(self, origin: OriginName) -> Result<PackageRecord, ApkError> {
        let info = self.info;
        let conflicts = info.depends.iter().filter_map(|text| text.strip_prefix('!'));
        let depends = info.depends.iter().map(String::as_str).filter(|text| !text.starts_with('!'));
        Ok(PackageRecord {
            name: info.name.parse().map_err(ApkError::Name)?,
            architecture: architecture_of(&info.architecture)?,
            source: info.source.map(|source| (source, info.version.clone())),
            version: info.version,
            origin: Some(origin),
            tree: self.tree.id(),
            relations: Relations {
                syntax: ArchiveKind::Apk,
                depends: depends.collect::<Vec<_>>().join(" "),
                provides: info.provides.join(" "),
                conflicts: conflicts.collect::<Vec<_>>().join(" "),
                breaks: String::new(),
                // The priority goes behind the names: `a b @5`.
                replaces: match info.replaces_priority {
                    0 => info.replaces.join(" "),
                    priority => format!("{} @{priority}", info.replaces.join(" ")),
                },
            },
            facts: self.facts,
            conffiles: BTreeSet::new(),
            hooks: self.hooks,
            runtime: Vec::new(),
            listing: Vec::new(),
        })
    }
}
