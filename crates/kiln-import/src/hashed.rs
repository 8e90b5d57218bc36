//! A stream whose SHA-256 and length are taken on the way.

use std::io::{self, Read};

use kiln_model::{Digest, Hasher};

pub(crate) struct Hashed<R> {
    inner: R,
    hasher: Hasher,
    length: u64,
}

impl<R: Read> Hashed<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, hasher: Hasher::new(), length: 0 }
    }

    /// The digest of all that was read, and its length.
    pub(crate) fn finish(self) -> (Digest, u64) {
        (self.hasher.finish(), self.length)
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.length += read as u64;
        Ok(read)
    }
}
