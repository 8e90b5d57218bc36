//! What an image or a package is made of, as documents that other programs read: SPDX 2.3, CycloneDX 1.6, and SLSA
//! provenance as an in-toto statement.
//!
//! The way: the caller fills a [`Description`] (and, for provenance, a [`Provenance`]); [`spdx::document`],
//! [`cyclonedx::document`] and [`provenance::document`] turn it into bytes. All of it is a function of the values: the
//! same description gives the same bytes, whoever asks, where and when. The one time stamp is [`CREATED`], and what a
//! format wants to be unique (SPDX's namespace, CycloneDX's serial number) is derived from the digest of the rest.
//!
//! Nothing here is guessed. What is not known is not there, or is `NOASSERTION` where a format insists.

pub mod copyright;
pub mod cyclonedx;
mod description;
mod licence;
pub mod provenance;
mod purl;
pub mod spdx;

pub use description::{Checksums, Description, File, Package, Patch, Source, SourceFile, SubjectKind};
pub use licence::{Licence, Named};
pub use provenance::{Input, InputKind, Provenance};
pub use purl::{DistroPackage, Location, Purl};

/// The one time stamp of documents: [`kiln_model::SOURCE_DATE_EPOCH`] as RFC 3339 says it. The commit, which is in every
/// document, says more than a time could.
pub const CREATED: &str = "1980-01-01T00:00:00Z";

/// The version of Kiln that the documents name.
pub const KILN_VERSION: &str = env!("CARGO_PKG_VERSION");

/// A document as text, and a line's end. Fields come in the order of their declaration, maps are sorted.
fn text(document: &impl serde::Serialize) -> Vec<u8> {
    // These types have text keys and no failing serializers; both are all that JSON can fail at.
    let mut bytes = serde_json::to_vec_pretty(document).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
