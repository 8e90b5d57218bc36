//! Container images as packages, as the OCI image and distribution specifications have them; Docker's documents of the
//! same shape too.
//!
//! Digests lead all the way: the lock pins a manifest ([`document`]); the manifest names the configuration and the layers
//! by their digests; the configuration names what each layer is unpacked. The layers are applied one on the other
//! ([`layers`]) into one tree, and what a plain tree cannot say becomes facts, as for every package. Owners, which layers
//! name by number, have the names that the image's own `/etc/passwd` and `/etc/group` give them. Nothing of an image is
//! run, and nothing of its configuration but its platform and digests is used: what an image of the project runs is said
//! by the project.

mod archive;
mod document;
mod error;
mod layers;

use std::fs::File;
use std::io::Read;

use kiln_archive::{Limits, compress, limits, tar};
use kiln_model::package::Relations;
use kiln_model::{Architecture, ArchiveKind, Digest, ObjectSink, OriginName, PackageName, PackageRecord};

pub use archive::{Archive, Image};
pub use document::{Config, Descriptor, Document, Manifest};
pub use error::{ImageError, IndexError};

use crate::archive::Imported;
use crate::hashed::Hashed;

/// No manifest, index or configuration is longer.
pub const DOCUMENT_LIMIT: u64 = 4 << 20;

/// What an image is called, which it does not say itself.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    /// The origin.
    pub origin: &'a OriginName,
    /// The name of the package.
    pub name: &'a PackageName,
    /// Its version.
    pub version: &'a str,
}

/// A file that a manifest names.
#[derive(Debug)]
pub struct Part {
    /// Its digest, which is already known to be that of its content.
    pub digest: Digest,
    /// Its content.
    pub file: File,
}

/// Turns an image into a package: `parts` are the configuration and then the layers, as the manifest names them.
///
/// # Errors
/// When a document or a layer is not what names it, is damaged or too large, names an owner that has no name, or an object
/// cannot be written.
pub fn import(
    manifest: impl Read,
    parts: Vec<Part>,
    named: &Named<'_>,
    objects: &dyn ObjectSink,
    limits: &Limits,
) -> Result<Imported, ImageError> {
    let manifest = Manifest::parse(&small(manifest, "manifest")?)?;
    let wanted: Vec<Digest> = manifest.parts().map(|part| part.digest).collect();
    if wanted != parts.iter().map(|part| part.digest).collect::<Vec<_>>() {
        return Err(ImageError::Parts);
    }
    let mut parts = parts.into_iter();
    let config = parts.next().ok_or(ImageError::Parts)?;
    let config = Config::parse(&small(config.file, "configuration")?)?;
    if config.layers.len() != manifest.layers.len() {
        return Err(ImageError::Count { layers: manifest.layers.len(), named: config.layers.len() });
    }
    let mut stack = layers::Stack::default();
    // What one layer has used of the limits is no more there for the next.
    let mut left = limits.clone();
    for (index, (part, wanted)) in parts.zip(&config.layers).enumerate() {
        let layer = index + 1;
        let read = |source| ImageError::Layer { layer, source };
        // A file's first bytes tell its compression; the media type was only looked at to know that it is a layer.
        let (compression, file) = compress::sniff(part.file).map_err(|error| read(error.into()))?;
        let unpacked = limits::open(compression, file, &left).map_err(|error| read(error.into()))?;
        let mut hashed = Hashed::new(unpacked);
        let entries = stack.apply(layer, tar::Reader::new(&mut hashed, &left), objects)?;
        let (is, bytes) = hashed.finish();
        if is != *wanted {
            return Err(ImageError::DiffId { layer, wanted: *wanted, is });
        }
        left.entries = left.entries.saturating_sub(entries);
        left.total_bytes = left.total_bytes.saturating_sub(bytes);
    }
    let (tree, facts) = stack.finish()?;
    let record = PackageRecord {
        name: named.name.clone(),
        version: named.version.to_owned(),
        origin: Some(named.origin.clone()),
        architecture: Some(config.architecture),
        source: None,
        tree: tree.id(),
        facts,
        relations: Relations { syntax: ArchiveKind::Oci, ..Relations::default() },
        conffiles: std::collections::BTreeSet::new(),
        hooks: Vec::new(),
        listing: Vec::new(),
        runtime: Vec::new(),
    };
    Ok(Imported { record, tree })
}

/// The name of an architecture in images.
#[must_use]
pub const fn architecture_name(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Amd64 => "amd64",
        Architecture::Arm64 => "arm64",
    }
}

fn small(reader: impl Read, what: &'static str) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    let read = reader.take(DOCUMENT_LIMIT + 1).read_to_end(&mut bytes);
    read.map_err(|source| ImageError::Read { what, source })?;
    if bytes.len() as u64 > DOCUMENT_LIMIT {
        return Err(ImageError::Document { what, why: format!("it is longer than {DOCUMENT_LIMIT} bytes") });
    }
    Ok(bytes)
}
