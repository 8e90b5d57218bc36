//! Tar: ustar, GNU long names and base-256 numbers, and PAX, read; ustar with PAX where it is needed, written.
//!
//! An archive is a run of blocks of 512 bytes: for each entry a header ([`header`]), perhaps after one that carries PAX
//! records ([`pax`]), then its content padded to a whole block. Two blocks of zeros end it; what follows is read and
//! dropped, so that a damaged end of the compressed stream is seen.

mod header;
mod pax;
mod reader;
mod writer;

pub use reader::Reader;
pub use writer::Writer;

const BLOCK: usize = 512;

#[cfg(test)]
mod tests;
