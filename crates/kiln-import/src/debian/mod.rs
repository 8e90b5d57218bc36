//! Debian archives: which mirror, what it holds, and which packages a set of requests needs.
//!
//! Trust runs one way: the keyring believes an `InRelease` ([`release`]), its digests believe the indexes, the
//! indexes' digests believe the packages. Mirrors ([`mirror`]) are believed in nothing.

pub mod archive;
pub mod cleartext;
pub mod date;
pub mod index;
pub mod openpgp;
pub mod relation;
pub mod release;
pub mod solver;

/// The order of Debian's versions.
pub use kiln_model::version::deb as version;

pub use crate::mirror::{self, Mirror};
pub use archive::{Access, Archive, ArchiveConfig, ArchiveError, ArchiveState, PoolFile};
pub use index::{Index, Record, SourceRecord};
pub use openpgp::Keyring;
pub use release::{Checks, MaxAge, ReleaseError, SignedRelease, VerifiedRelease};
pub use solver::{Selected, SolveError, SolveOptions, SolveRequest, Source, Why, solve};
