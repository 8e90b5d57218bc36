//! Writers that streams pass through: one that hashes and counts, one that evens out.

use std::io::{self, Write};

use kiln_model::{Digest, Hasher};

use crate::stream::BUFFER;

/// Hashes and counts what goes through.
pub(crate) struct Measured<W> {
    inner: W,
    hasher: Hasher,
    count: u64,
}

impl<W: Write> Measured<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { inner, hasher: Hasher::new(), count: 0 }
    }

    /// The writer below, and the digest and length of all that went to it.
    pub(crate) fn end(self) -> (W, Digest, u64) {
        (self.inner, self.hasher.finish(), self.count)
    }
}

impl<W: Write> Write for Measured<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.count += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Passes on pieces of exactly [`BUFFER`] bytes, however they come, and at the end the rest.
///
/// A deflate compressor looks at what it was given so far when it ends a block, so how a disk happens to deliver a file
/// would show in the compressed bytes. It also makes many small headers cheap.
pub(crate) struct Even<W> {
    inner: W,
    buffer: Vec<u8>,
}

impl<W: Write> Even<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { inner, buffer: Vec::with_capacity(BUFFER) }
    }

    /// Passes on the rest and gives back the writer below.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.inner.write_all(&self.buffer)?;
        Ok(self.inner)
    }
}

impl<W: Write> Write for Even<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(BUFFER - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == BUFFER {
            self.inner.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(taken)
    }

    /// Nothing: a flush in the middle would make the pieces uneven.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
