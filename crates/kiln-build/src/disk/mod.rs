//! Trees between the store and folders: a folder read into objects, a tree written out as a fresh, writable folder.
//!
//! Writing is for folders that only Kiln uses: sources being unpacked, `/build` of a build. Reading is for those, for
//! `/out` of a build that has ended, and for folders of the user's, in which nothing is changed ([`Whose`]).
//! Reading never follows a link. Writing needs an empty folder and makes every directory of it, so nothing that the tree
//! holds can lead a later write astray.

mod fault;
mod ingest;
mod lay_out;

pub use fault::{Fault, FaultKind, IngestError};
pub use ingest::{Ingested, Whose, ingest, ingest_files};
pub use lay_out::{LayOutError, lay_out};

#[cfg(test)]
mod tests;
