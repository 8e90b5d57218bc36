//! Debian binary packages (`.deb`) into tree and facts.
//!
//! A package is an `ar` archive: `debian-binary` with the format's version, `control.tar`, `data.tar`, each perhaps
//! compressed (`deb(5)`). It is read once, front to back, straight into objects: nothing is written elsewhere, and memory
//! does not grow with its size. Nothing of it is run: maintainer scripts are kept as [`Hook`]s.

mod accounts;
pub mod control;
pub mod deb822;
mod error;
mod members;

use std::collections::BTreeSet;
use std::io::{self, BufReader, Read};

use kiln_archive::{BUFFER, Compression, Limits, ReadError, ar, limits};
use kiln_model::package::{Hook, Relations};
use kiln_model::{Architecture, ArchiveKind, Dir, Facts, ObjectSink, OriginName, PackageRecord};

use crate::payload::{self, Payload};
pub use control::Control;
pub use error::DebError;

/// How `data.tar` is read.
const PAYLOAD: Payload = Payload { accounts: accounts::FIXED, passed_over: |_| false };

/// An imported package.
#[derive(Debug, Clone)]
pub struct DebPackage {
    /// Its `control` file.
    pub control: Control,
    /// Its files: plain but for hard links.
    pub tree: Dir,
    /// Owners, modes, attributes and devices that the tree cannot say.
    pub facts: Facts,
    /// Its configuration files, as absolute paths on a merged system.
    pub conffiles: BTreeSet<String>,
    /// The hooks it came with, by name. None was run.
    pub hooks: Vec<Hook>,
}

/// Imports a package. `reader` is read to its end, so that a digest taken on the way is that of the whole file; what
/// follows `data.tar` is not looked at, as with `dpkg`.
///
/// # Errors
/// When it is not a package, is damaged or too large, names owners that have no name, or an object cannot be written.
pub fn import(reader: impl Read + Send, objects: &dyn ObjectSink, limits: &Limits) -> Result<DebPackage, DebError> {
    let mut rest = BufReader::with_capacity(BUFFER, reader);
    let package = {
        let container = |source: ReadError| DebError::read("the package", source);
        let mut ar = ar::Reader::new(&mut rest).map_err(container)?;
        let version = member(&mut ar)?;
        check_version(&version.name, version.size, &mut ar)?;
        let control = member(&mut ar)?;
        let reader = tar_member(&control.name, "control.tar", &mut ar, limits)?;
        let control = members::read(&control.name, reader, objects, limits)?;
        let data = member(&mut ar)?;
        let reader = tar_member(&data.name, "data.tar", &mut ar, limits)?;
        let (tree, facts) = payload::read(&PAYLOAD, &data.name, reader, objects, limits)?;
        io::copy(&mut ar, &mut io::sink()).map_err(|error| container(error.into()))?;
        let members::ControlMembers { control, conffiles, hooks } = control;
        DebPackage { control, tree, facts, conffiles, hooks }
    };
    io::copy(&mut rest, &mut io::sink()).map_err(|error| DebError::read("the package", error))?;
    Ok(package)
}

/// The next member that counts: those whose names begin with `_` are local additions.
fn member<R: Read>(ar: &mut ar::Reader<R>) -> Result<ar::Member, DebError> {
    loop {
        match ar.next_member().map_err(|source| DebError::read("the package", source))? {
            None => return Err(DebError::Structure("it ends before `data.tar`".into())),
            Some(member) if member.name.starts_with('_') => {}
            Some(member) => return Ok(member),
        }
    }
}

fn check_version<R: Read>(name: &str, size: u64, ar: &mut ar::Reader<R>) -> Result<(), DebError> {
    if name != "debian-binary" {
        return Err(DebError::Structure(format!("its first member is `{}`, not `debian-binary`", name.escape_debug())));
    }
    let mut bytes = Vec::new();
    ar.take(size.min(100)).read_to_end(&mut bytes).map_err(|error| DebError::read("`debian-binary`", error))?;
    let text = String::from_utf8_lossy(&bytes);
    let version = text.lines().next().unwrap_or_default();
    // Minor versions and further lines are for additions that may be passed over.
    match version.split_once('.') {
        Some(("2", minor)) if minor.bytes().all(|b| b.is_ascii_digit()) && !minor.is_empty() => Ok(()),
        _ => Err(DebError::Version(version.escape_debug().to_string())),
    }
}

fn tar_member<'a, R: Read + Send>(
    name: &str,
    expected: &str,
    ar: &'a mut ar::Reader<R>,
    limits: &Limits,
) -> Result<Box<dyn Read + Send + 'a>, DebError> {
    let compression = name.strip_prefix(expected).and_then(Compression::of_suffix);
    let Some(compression) = compression else {
        return Err(DebError::Structure(format!("where `{expected}` should be there is `{}`", name.escape_debug())));
    };
    limits::open(compression, ar, limits).map_err(|error| DebError::read(format!("`{name}`"), error))
}

impl DebPackage {
    /// The record of this package, whose tree the caller stores.
    ///
    /// # Errors
    /// When the control file lacks name, version or architecture, or they are none.
    pub fn into_record(self, origin: OriginName) -> Result<PackageRecord, DebError> {
        let fault = |why: String| DebError::Field { file: "control", why };
        let field = |name: &str| {
            let value = self.control.get(name).filter(|value| !value.is_empty());
            value.ok_or_else(|| fault(format!("it has no `{name}`")))
        };
        let architecture = match field("Architecture")? {
            "all" => None,
            other => Some(other.parse::<Architecture>().map_err(DebError::Name)?),
        };
        let version = field("Version")?;
        if version.bytes().any(|b| !b.is_ascii_graphic()) {
            return Err(fault(format!("`{}` is no version", version.escape_debug())));
        }
        let depends = [self.control.relation("Depends"), self.control.relation("Pre-Depends")];
        let depends: Vec<_> = depends.into_iter().filter(|relation| !relation.is_empty()).collect();
        Ok(PackageRecord {
            name: field("Package")?.parse().map_err(DebError::Name)?,
            version: version.to_owned(),
            origin: Some(origin),
            architecture,
            source: self.control.source(),
            tree: self.tree.id(),
            relations: Relations {
                syntax: ArchiveKind::Deb,
                depends: depends.join(", "),
                provides: self.control.relation("Provides"),
                conflicts: self.control.relation("Conflicts"),
                breaks: self.control.relation("Breaks"),
                replaces: self.control.relation("Replaces"),
            },
            facts: self.facts,
            conffiles: self.conffiles,
            hooks: self.hooks,
            listing: self.control.listing(),
            runtime: Vec::new(),
        })
    }
}
