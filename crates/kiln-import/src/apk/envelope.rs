//! The gzip streams that a package or an index is put together from.
//!
//! ```text
//! signatures   a piece of a tar archive: `.SIGN.ALGORITHM.KEY`, one or more
//! control      the next piece: `.PKGINFO` first, then scripts
//! data         the rest: the package's files
//! ```
//!
//! Each piece is a gzip member; the tar archive only ends with the last one. What a signature signs, and what an index
//! names, are the compressed bytes of a member, so they are kept while it is decompressed. A piece that is held in memory
//! is bounded before and after decompression.

use std::io::{self, BufRead, Read};

use kiln_archive::compress::GzipMember;
use kiln_archive::{Kind, LimitError, Limits, ReadError, tar};
use kiln_model::{Digest, Hasher};
use sha1::{Digest as _, Sha1};

use super::error::ApkError;
use super::keys::Signature;
use super::pkginfo::{self, PkgInfo};
use crate::hashed::Hashed;

/// No control section is longer: it has a description and a few scripts.
const CONTROL_LIMIT: u64 = 16 << 20;

/// A gzip member, whole.
pub(super) struct Member {
    /// Its bytes in the file.
    pub(super) raw: Vec<u8>,
    /// What they mean.
    pub(super) decoded: Vec<u8>,
}

/// A reader that remembers what was taken from it.
struct Remembering<R> {
    inner: R,
    taken: Vec<u8>,
}

impl<R: BufRead> Read for Remembering<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.taken.extend_from_slice(&buffer[..read]);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Remembering<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        // The buffer is full here, so this reads nothing and cannot fail.
        if let Ok(buffer) = self.inner.fill_buf() {
            self.taken.extend_from_slice(&buffer[..amount.min(buffer.len())]);
        }
        self.inner.consume(amount);
    }
}

/// Takes one member that decompresses to at most `limit` bytes.
pub(super) fn member<R: BufRead>(reader: R, limit: u64) -> Result<(Member, R), ReadError> {
    let mut member = GzipMember::new(Remembering { inner: reader, taken: Vec::new() });
    let mut decoded = Vec::new();
    member.by_ref().take(limit + 1).read_to_end(&mut decoded)?;
    if decoded.len() as u64 > limit {
        return Err(ReadError::Limit(LimitError::TotalBytes(limit)));
    }
    let Remembering { inner, taken } = member.into_inner();
    Ok((Member { raw: taken, decoded }, inner))
}

/// The signatures in a piece; none when it is another piece.
pub(super) fn signatures(decoded: &[u8]) -> Result<Option<Vec<Signature>>, ReadError> {
    let limits = Limits { entries: 64, ..Limits::default() };
    let mut tar = tar::Reader::new(decoded, &limits);
    let mut found = Vec::new();
    while let Some(entry) = tar.next_entry()? {
        let name = entry.path.as_str().strip_prefix(".SIGN.").and_then(|rest| rest.split_once('.'));
        match name {
            Some((algorithm, key)) if entry.kind == Kind::File && entry.size <= 4096 => {
                let (algorithm, key) = (algorithm.to_owned(), key.to_owned());
                let mut bytes = Vec::new();
                tar.read_to_end(&mut bytes)?;
                found.push(Signature { algorithm, key, bytes });
            }
            None if found.is_empty() => return Ok(None),
            _ => {
                let why = "among signatures there can only be signatures".to_owned();
                return Err(ReadError::Header { entry: entry.path.to_string(), why });
            }
        }
    }
    Ok(Some(found))
}

/// The control section of a package, and what follows it.
pub(super) fn control<R: BufRead>(reader: R) -> Result<(Member, R), ApkError> {
    let fault = |part| move |source| ApkError::Read { part, source };
    let (first, rest) = member(reader, CONTROL_LIMIT).map_err(fault("first section"))?;
    match signatures(&first.decoded).map_err(fault("signatures"))? {
        None => Ok((first, rest)),
        Some(_) => member(rest, CONTROL_LIMIT).map_err(fault("control section")),
    }
}

/// What an index names a package by: a digest of its control section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity {
    /// `Q1`: SHA-1.
    Sha1([u8; 20]),
    /// `Q2`: SHA-256.
    Sha256([u8; 32]),
}

impl Identity {
    /// Is it that of this control section?
    #[must_use]
    pub fn is_of(&self, control: &[u8]) -> bool {
        match self {
            Self::Sha1(digest) => *digest == *Sha1::digest(control),
            Self::Sha256(digest) => Digest::of(control).as_bytes() == digest,
        }
    }

    /// In hexadecimal, for a file's name.
    #[must_use]
    pub fn to_hex(&self) -> String {
        match self {
            Self::Sha1(digest) => hex::encode(digest),
            Self::Sha256(digest) => hex::encode(digest),
        }
    }
}

/// A package whose inner chain of digests holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// What it says of itself.
    pub info: PkgInfo,
    /// The digest of the whole file.
    pub sha256: Digest,
    /// Its length.
    pub size: u64,
}

/// Checks that a file is the package that an index names, to its last byte.
///
/// # Errors
/// When its control section is another one, or its data is not what that names, or it is damaged.
pub fn check(reader: impl Read, identity: &Identity) -> Result<Checked, ApkError> {
    let mut whole = Hasher::new();
    let mut size = 0;
    let tee = Tee { inner: reader, seen: |bytes: &[u8]| (whole.update(bytes), size += bytes.len() as u64).0 };
    let (control, rest) = control(io::BufReader::with_capacity(kiln_archive::BUFFER, tee))?;
    if !identity.is_of(&control.raw) {
        return Err(ApkError::Identity);
    }
    let info = pkginfo::parse_control(&control.decoded)?;
    let mut data = Hashed::new(rest);
    io::copy(&mut data, &mut io::sink())
        .map_err(|error| ApkError::Read { part: "data section", source: error.into() })?;
    if data.finish().0 != info.datahash {
        return Err(ApkError::DataHash);
    }
    Ok(Checked { info, sha256: whole.finish(), size })
}

/// A stream that shows what is read to somebody else.
struct Tee<R, F> {
    inner: R,
    seen: F,
}

impl<R: Read, F: FnMut(&[u8])> Read for Tee<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        (self.seen)(&buffer[..read]);
        Ok(read)
    }
}
