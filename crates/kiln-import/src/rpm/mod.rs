//! RPM's packages and repositories: `.rpm` of version 3 and 4 of the format, `repodata`.
//!
//! Trust runs one way: a key of the project believes `repomd.xml` by its detached signature ([`repomd`]); that names the
//! indexes by SHA-256 ([`index`]); they name each package by SHA-256, which the lock pins. A package is a lead, two headers
//! of tagged values ([`header`]) and a compressed cpio archive ([`files`]); it is read once, front to back, straight into
//! objects. Nothing of it is run: its scripts and triggers are kept as hooks ([`scripts`]).

mod archive;
mod capabilities;
mod error;
mod files;
mod header;
mod index;
mod relation;
mod repomd;
mod rich;
mod scripts;
mod signed;
mod solver;
mod sysusers;
mod tag;
mod xml;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::{self, BufReader, Read};

use kiln_archive::{BUFFER, Limits};
use kiln_model::package::{Hook, Relations};
use kiln_model::{Architecture, ArchiveKind, Dir, Facts, ObjectSink, OriginName, PackageRecord};

use tag::Tag;

pub(crate) use archive::read_keyring;
pub use archive::{Archive, Config, path_of};
pub use error::{IndexError, RpmError};
pub use header::Header;
pub use index::{Index, Record};
pub use relation::{Bound, Relation, RelationError, Simple};
pub use repomd::{DataFile, Statement};
pub use signed::check as check_signature;
pub use solver::{FoundFiles, Repository, Selected, Solved, solve, unknown};

/// RPM's name of an architecture, which is `$basearch` too.
#[must_use]
pub const fn architecture_name(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Amd64 => "x86_64",
        Architecture::Arm64 => "aarch64",
    }
}

/// The architecture of a package; none when it runs on all.
fn architecture_of(name: &str) -> Result<Option<Architecture>, RpmError> {
    if name == "noarch" {
        return Ok(None);
    }
    let found = Architecture::ALL.into_iter().find(|architecture| architecture_name(*architecture) == name);
    found.map(Some).ok_or_else(|| tag::ARCHITECTURE.fault(format!("`{name}` is not known here")))
}

/// Flags of relations (`rpmds.h`).
const LESS: u64 = 1 << 1;
const GREATER: u64 = 1 << 2;
const EQUAL: u64 = 1 << 3;
/// Asked for, but done without.
const MISSING_IS_FINE: u64 = 1 << 19;

/// What is asked of the package manager, and is done here.
const FEATURES: [&str; 17] = [
    "BuiltinLuaScripts",
    "CaretInVersions",
    "CompressedFileNames",
    "ExplicitPackageProvide",
    "FileCaps",
    "FileDigests",
    "LargeFiles",
    "PartialHardlinkSets",
    "PayloadFilesHavePrefix",
    "PayloadIsBzip2",
    "PayloadIsLzma",
    "PayloadIsXz",
    "PayloadIsZstd",
    "RichDependencies",
    "ScriptletInterpreterArgs",
    "TildeInVersions",
    "VersionedDependencies",
];

/// Names that ask something of the package manager.
const OF_RPM: &str = "rpmlib(";

/// A range of versions as relations write it, with a blank before it.
fn range_text(flags: u64, version: &str) -> String {
    let operator: String = [(LESS, '<'), (GREATER, '>'), (EQUAL, '=')]
        .iter()
        .filter(|(flag, _)| flags & flag != 0)
        .map(|(_, c)| *c)
        .collect();
    if operator.is_empty() || version.is_empty() { String::new() } else { format!(" {operator} {version}") }
}

/// An imported package.
#[derive(Debug, Clone)]
pub struct RpmPackage {
    /// What is known of it, but for its tree and origin.
    name: String,
    version: String,
    architecture: Option<Architecture>,
    source: Option<(String, String)>,
    relations: Relations,
    conffiles: BTreeSet<String>,
    /// Its files: plain but for hard links.
    pub tree: Dir,
    /// Owners, modes, capabilities and devices that the tree cannot say; accounts that rpm itself would make.
    pub facts: Facts,
    /// The hooks it came with, by name. None was run.
    pub hooks: Vec<Hook>,
}

/// Imports a package. `reader` is read to its end, so that a digest taken on the way is that of the whole file. Signatures
/// are not looked at: what is imported is pinned by the digest of the whole file.
///
/// # Errors
/// When it is not a package, is damaged or too large, or an object cannot be written.
pub fn import(reader: impl Read + Send, objects: &dyn ObjectSink, limits: &Limits) -> Result<RpmPackage, RpmError> {
    let mut rest = BufReader::with_capacity(BUFFER, reader);
    header::read_lead(&mut rest)?;
    Header::read_signature(&mut rest)?;
    let (header, _) = Header::read(&mut rest, "header")?;
    let list = files::of_header(&header)?;
    let relations = relations(&header, &list)?;
    let hooks = scripts::hooks(&header, objects)?;
    let (tree, mut facts) = files::read(&list, files::compression(&header)?, &mut rest, objects, limits)?;
    io::copy(&mut rest, &mut io::sink()).map_err(|error| RpmError::Read { part: "payload", source: error.into() })?;
    sysusers::declare(&relations.provides, &tree, &mut facts)?;
    let version = version_of(&header)?;
    if version.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err(tag::VERSION.fault(format!("`{}` is no version", version.escape_debug())));
    }
    let configuration = list.iter().filter(|file| file.is_configuration() && !file.is_ghost());
    Ok(RpmPackage {
        name: required(&header, tag::NAME)?.to_owned(),
        version,
        architecture: architecture_of(required(&header, tag::ARCHITECTURE)?)?,
        source: header.text(tag::SOURCE)?.and_then(source_of),
        relations,
        conffiles: configuration.map(|file| crate::payload::below_usr(&file.path).to_string()).collect(),
        tree,
        facts,
        hooks,
    })
}

fn required(header: &Header, tag: Tag) -> Result<&str, RpmError> {
    header.text(tag)?.filter(|text| !text.is_empty()).ok_or_else(|| tag.fault("it is missing"))
}

/// `[epoch:]version-release`; an epoch of 0 is left out.
fn version_of(header: &Header) -> Result<String, RpmError> {
    let (version, release) = (required(header, tag::VERSION)?, required(header, tag::RELEASE)?);
    Ok(match header.numbers(tag::EPOCH)?.first() {
        None | Some(0) => format!("{version}-{release}"),
        Some(epoch) => format!("{epoch}:{version}-{release}"),
    })
}

/// The source package's name and version, of the name of its file.
pub(crate) fn source_of(file: &str) -> Option<(String, String)> {
    let stem = file.strip_suffix(".rpm")?.rsplit_once('.')?.0;
    let (rest, release) = stem.rsplit_once('-')?;
    let (name, version) = rest.rsplit_once('-')?;
    Some((name.to_owned(), format!("{version}-{release}")))
}

/// Relations as text, one a line.
fn relation_text(header: &Header, names: Tag, flags: Tag, versions: Tag) -> Result<String, RpmError> {
    let (list, flags, versions) = (header.texts(names)?, header.numbers(flags)?, header.texts(versions)?);
    if flags.len() != list.len() || versions.len() != list.len() {
        return Err(names.fault("there are not as many versions as names"));
    }
    let mut lines = BTreeSet::new();
    for ((name, flags), version) in list.into_iter().zip(flags).zip(versions) {
        if flags & MISSING_IS_FINE != 0 {
            continue;
        }
        if let Some(feature) = name.strip_prefix(OF_RPM) {
            if FEATURES.contains(&feature.trim_end_matches(')')) {
                continue;
            }
            return Err(RpmError::Feature(name.to_owned()));
        }
        let line = format!("{name}{}", range_text(flags, version));
        if line.chars().any(char::is_control) {
            return Err(names.fault(format!("`{}` is none", line.escape_debug())));
        }
        lines.insert(line);
    }
    Ok(lines.into_iter().collect::<Vec<_>>().join("\n"))
}

/// Its relations. Its programs and what is below `/etc` are among the names that it answers to, as they are in an index.
fn relations(header: &Header, list: &[files::File]) -> Result<Relations, RpmError> {
    let mut provides = relation_text(header, tag::PROVIDE_NAMES, tag::PROVIDE_FLAGS, tag::PROVIDE_VERSIONS)?;
    for file in list.iter().filter(|file| is_in_primary(&file.path.to_string())) {
        let path = crate::payload::below_usr(&file.path).to_string();
        if !path.contains(char::is_whitespace) {
            provides.push('\n');
            provides.push_str(&path);
        }
    }
    let text = |names, flags, versions| relation_text(header, names, flags, versions);
    Ok(Relations {
        syntax: ArchiveKind::Rpm,
        depends: text(tag::REQUIRE_NAMES, tag::REQUIRE_FLAGS, tag::REQUIRE_VERSIONS)?,
        provides: provides.trim_start().to_owned(),
        conflicts: text(tag::CONFLICT_NAMES, tag::CONFLICT_FLAGS, tag::CONFLICT_VERSIONS)?,
        breaks: text(tag::OBSOLETE_NAMES, tag::OBSOLETE_FLAGS, tag::OBSOLETE_VERSIONS)?,
        // Files that another package may overwrite are nothing that RPM has.
        replaces: String::new(),
    })
}

/// The place of a path on a merged system, as [`crate::payload::below_usr`] has it.
pub(crate) fn merged(path: &str) -> Cow<'_, str> {
    let first = path.strip_prefix('/').unwrap_or(path).split('/').next().unwrap_or_default();
    if crate::payload::is_merged(first) { format!("/usr{path}").into() } else { path.into() }
}

/// Is a file in every index of packages? The others are in the larger one, of all files, alone.
pub(crate) fn is_in_primary(path: &str) -> bool {
    path.starts_with("/etc/") || path.contains("bin/") || path == "/usr/lib/sendmail"
}

impl RpmPackage {
    /// The record of this package, whose tree the caller stores.
    ///
    /// # Errors
    /// When its name is none.
    pub fn into_record(self, origin: OriginName) -> Result<PackageRecord, RpmError> {
        Ok(PackageRecord {
            name: self.name.parse().map_err(RpmError::Name)?,
            version: self.version,
            origin: Some(origin),
            architecture: self.architecture,
            source: self.source,
            tree: self.tree.id(),
            facts: self.facts,
            relations: self.relations,
            conffiles: self.conffiles,
            hooks: self.hooks,
            listing: Vec::new(),
            runtime: Vec::new(),
        })
    }
}
