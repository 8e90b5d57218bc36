//! Bounds on what an archive may expand to.
//!
//! [`open`] puts two counters around a decompressor: one for what goes in, one for what comes out. The second stops
//! the stream with a [`LimitError`] before the byte that would be too many, so nothing behind it can fill a disk.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::compress::{self, Compression};

/// How much an archive may hold. Nobody who packs real software comes near the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Entries.
    pub entries: u64,
    /// Bytes after decompression, headers and padding included.
    pub total_bytes: u64,
    /// How many times larger than its compressed form it may be, once it is past `ratio_from`.
    pub ratio: u64,
    /// Up to this many bytes any ratio is fine.
    pub ratio_from: u64,
    /// Bytes of memory that a decompressor may take.
    pub decoder_memory: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 1_000_000, total_bytes: 16 << 30, ratio: 250, ratio_from: 64 << 20, decoder_memory: 256 << 20 }
    }
}

/// An archive is past one of the [`Limits`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// Too many entries.
    #[error("the archive holds more than {0} entries (limit `entries`)")]
    Entries(u64),
    /// Too many bytes.
    #[error("the archive expands to more than {0} bytes (limit `total_bytes`)")]
    TotalBytes(u64),
    /// Suspiciously well compressed.
    #[error("the archive expands to more than {0} times its size (limit `ratio`)")]
    Ratio(u64),
    /// The decompressor would need too much memory.
    #[error("decompressing the archive takes more than {0} bytes of memory (limit `decoder_memory`)")]
    DecoderMemory(u64),
}

impl LimitError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        "if you trust this archive, unpack it by hand and use the folder instead".to_owned()
    }
}

impl From<LimitError> for io::Error {
    fn from(error: LimitError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// Decompresses `reader` under `limits`.
///
/// # Errors
/// When the decompressor cannot be set up. A limit that is reached later is an error of the read that reached it.
pub fn open<'a>(
    compression: Compression,
    reader: impl Read + Send + 'a,
    limits: &Limits,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    let taken = Arc::new(AtomicU64::new(0));
    let counted = Counted { reader, count: Arc::clone(&taken) };
    let reader = compress::decoder_bounded(compression, counted, limits.decoder_memory)?;
    Ok(Box::new(Bounded {
        reader,
        taken,
        given: 0,
        compressed: compression != Compression::None,
        limits: limits.clone(),
    }))
}

struct Counted<R> {
    reader: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

struct Bounded<R> {
    reader: R,
    taken: Arc<AtomicU64>,
    given: u64,
    compressed: bool,
    limits: Limits,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.given += read as u64;
        let limits = &self.limits;
        if self.given > limits.total_bytes {
            return Err(LimitError::TotalBytes(limits.total_bytes).into());
        }
        if self.compressed && self.given > limits.ratio_from {
            // What the decompressor has read but not yet used counts for it: at most one buffer, which is little here.
            let taken = self.taken.load(Ordering::Relaxed);
            if self.given > taken.saturating_mul(limits.ratio) {
                return Err(LimitError::Ratio(limits.ratio).into());
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn zeros(compression: Compression, megabytes: usize) -> Vec<u8> {
        let mut encoder = compress::encoder(compression, Vec::new(), compress::Level::Default).unwrap();
        let block = vec![0; 1 << 20];
        for _ in 0..megabytes {
            encoder.write_all(&block).unwrap();
        }
        encoder.finish().unwrap()
    }

    fn fault(bytes: &[u8], compression: Compression, limits: &Limits) -> (LimitError, u64) {
        let mut reader = open(compression, bytes, limits).unwrap();
        let mut buffer = vec![0; crate::BUFFER];
        let mut given = 0;
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => panic!("no limit was reached"),
                Ok(read) => given += read as u64,
                Err(error) => return (error.get_ref().unwrap().downcast_ref::<LimitError>().unwrap().clone(), given),
            }
        }
    }

    #[test]
    fn a_bomb_is_refused_whatever_packs_it() {
        for compression in [Compression::Gzip, Compression::Xz, Compression::Zstd] {
            let bomb = zeros(compression, 80);
            let limits = Limits { ratio_from: 1 << 20, ..Limits::default() };
            let (error, given) = fault(&bomb, compression, &limits);
            assert_eq!(error, LimitError::Ratio(250), "{compression:?}");
            assert!(given < 80 << 20, "{compression:?} stopped after {given} bytes");
        }
    }

    #[test]
    fn total_bytes_bound_what_is_not_compressed_too() {
        let limits = Limits { total_bytes: 1000, ..Limits::default() };
        let (error, given) = fault(&vec![1; 300_000], Compression::None, &limits);
        assert_eq!(error, LimitError::TotalBytes(1000));
        assert_eq!(given, 0);
    }

    #[test]
    fn a_decoder_that_wants_much_memory_is_refused() {
        let packed = zeros(Compression::Xz, 1);
        let limits = Limits { decoder_memory: 1 << 20, ..Limits::default() };
        assert_eq!(fault(&packed, Compression::Xz, &limits).0, LimitError::DecoderMemory(1 << 20));
    }

    #[test]
    fn within_the_limits_nothing_changes() {
        let packed = zeros(Compression::Xz, 2);
        let mut out = Vec::new();
        open(Compression::Xz, &packed[..], &Limits::default()).unwrap().read_to_end(&mut out).unwrap();
        assert_eq!(out, vec![0; 2 << 20]);
    }
}
