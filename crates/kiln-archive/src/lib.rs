//! Streaming readers and writers of archive formats.
//!
//! Everything here reads bytes that somebody else made. Readers hold a fixed amount of memory whatever the archive's
//! size, check every name before anyone sees it ([`kiln_model::TreePath`] has no `..` and no leading slash), and stop at
//! [`Limits`] before a small file can fill a disk. Writers are deterministic: equal calls give equal bytes.
//!
//! [`compress`] knows the compressions, [`ar`], [`tar`] and [`zip`] the containers; [`extract`] brings an archive of
//! sources to disk, [`tree`] brings it straight into objects. See `docs/format/archives.md`.

pub mod ar;
mod archive;
pub mod compress;
pub mod cpio;
mod entry;
mod error;
pub mod extract;
pub mod limits;
pub mod tar;
pub mod tree;
pub mod zip;

pub use archive::{Archive, open_file, open_tar};
pub use compress::Compression;
pub use entry::{Entry, Kind};
pub use error::ReadError;
pub use limits::{LimitError, Limits};

/// The size of every buffer in this crate.
pub const BUFFER: usize = 128 << 10;
