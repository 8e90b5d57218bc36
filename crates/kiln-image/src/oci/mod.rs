//! OCI images: manifest, configuration and index over layer blobs, and the two outputs that carry them.
//!
//! [`assemble`] is pure: specification and layers in, documents out. [`layout`] writes them and the blobs as an
//! image layout folder, [`archive`] as one tar file of that folder. What every field says is in
//! `docs/format/oci.md`.

pub mod archive;
mod assemble;
mod document;
pub mod layout;
mod referrer;

pub use assemble::{Assembled, Blob, assemble};
pub use referrer::Referrer;

/// The one time stamp of images and their history: [`kiln_model::SOURCE_DATE_EPOCH`] as RFC 3339 says it.
pub const CREATED: &str = "1980-01-01T00:00:00Z";

/// Marks an index that Kiln wrote, so that it may be replaced. The number is the version of the layout's shape.
pub const MARK: (&str, &str) = ("kiln.output", "oci/1");
