//! The order of versions, which each kind of archive has its own of.
//!
//! Every order here is total: any two texts have one, so an index with an odd version in it still sorts.

pub mod apk;
pub mod deb;
pub mod rpm;

use std::cmp::Ordering;

use crate::ArchiveKind;

/// Compares two versions as the tools of this kind of archive do.
#[must_use]
pub fn compare(kind: ArchiveKind, a: &str, b: &str) -> Ordering {
    match kind {
        ArchiveKind::Deb => deb::compare(a, b),
        ArchiveKind::Apk => apk::compare(a, b),
        ArchiveKind::Rpm => rpm::compare(a, b),
        // A tag and a digest: they are told apart, and one is not newer than the other.
        ArchiveKind::Oci => a.cmp(b),
    }
}
