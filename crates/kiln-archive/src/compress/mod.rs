//! Compressions: told apart by their first bytes, decoded and encoded as streams.
//!
//! Decoders take concatenated streams as the usual tools do and refuse truncated ones. Encoders are deterministic: the
//! same bytes and level give the same output, in whatever pieces they are written, on whatever machine, at whatever time.

mod encode;
mod gzip;

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use liblzma::stream::{CONCATENATED, Error as XzError, Stream};

pub use encode::{Encoder, Level, encoder};
pub use gzip::Member as GzipMember;

use crate::{BUFFER, LimitError};

/// How bytes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
    /// The `.xz` container with LZMA2.
    Xz,
    /// RFC 8878.
    Zstd,
    /// bzip2.
    Bzip2,
    /// What LZMA's files were before `.xz`: `.lzma`. It has no magic number, so it is never detected.
    Lzma,
}

impl Compression {
    /// How many bytes [`detect`] wants to see.
    pub const MAGIC: usize = 6;

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Lzma => "lzma",
        }
    }

    /// By the end of a file's name, as Debian's packages are named: `.gz`, `.xz`, `.zst`, `.bz2` or nothing.
    #[must_use]
    pub fn of_suffix(suffix: &str) -> Option<Self> {
        Some(match suffix {
            "" => Self::None,
            ".gz" => Self::Gzip,
            ".xz" => Self::Xz,
            ".zst" => Self::Zstd,
            ".bz2" => Self::Bzip2,
            _ => return None,
        })
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Tells the compression by the first bytes; [`Compression::None`] when no magic number fits.
#[must_use]
pub fn detect(first_bytes: &[u8]) -> Compression {
    match first_bytes {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
        // A frame, or a frame that decoders skip.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Compression::Bzip2,
        _ => Compression::None,
    }
}

/// Looks at the first bytes of `reader` and gives it back with them.
///
/// # Errors
/// When it cannot be read.
pub fn sniff<R: Read>(mut reader: R) -> io::Result<(Compression, impl Read + use<R>)> {
    let mut first = Vec::with_capacity(Compression::MAGIC);
    reader.by_ref().take(Compression::MAGIC as u64).read_to_end(&mut first)?;
    Ok((detect(&first), io::Cursor::new(first).chain(reader)))
}

/// Decompresses `reader`, with the default bound on memory.
///
/// # Errors
/// When the decompressor cannot be set up.
pub fn decoder<'a>(kind: Compression, reader: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
    decoder_bounded(kind, reader, crate::Limits::default().decoder_memory)
}

/// Decompresses `reader` with at most `memory` bytes for the decompressor's window.
///
/// # Errors
/// When the decompressor cannot be set up.
pub fn decoder_bounded<'a>(
    kind: Compression,
    reader: impl Read + Send + 'a,
    memory: u64,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    let buffered = BufReader::with_capacity(BUFFER, reader);
    Ok(match kind {
        Compression::None => Box::new(buffered),
        Compression::Gzip => Box::new(gzip::Decoder::new(buffered)),
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(buffered)),
        Compression::Xz => {
            let stream = Stream::new_stream_decoder(memory, CONCATENATED)?;
            Box::new(Xz { decoder: liblzma::bufread::XzDecoder::new_stream(buffered, stream), memory })
        }
        Compression::Lzma => {
            let stream = Stream::new_lzma_decoder(memory)?;
            Box::new(Xz { decoder: liblzma::bufread::XzDecoder::new_stream(buffered, stream), memory })
        }
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(buffered)?;
            decoder.window_log_max(memory.max(1).ilog2().clamp(10, 31))?;
            Box::new(Zstd { decoder, memory })
        }
    })
}

/// Says which limit it was when liblzma wants more memory than it may have.
struct Xz<R: BufRead> {
    decoder: liblzma::bufread::XzDecoder<R>,
    memory: u64,
}

impl<R: BufRead> Read for Xz<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.decoder.read(buffer).map_err(|error| {
            match error.get_ref().and_then(|inner| inner.downcast_ref::<XzError>()) {
                Some(XzError::MemLimit) => LimitError::DecoderMemory(self.memory).into(),
                Some(XzError::Data | XzError::Format) => corrupt("xz"),
                Some(XzError::Options) => {
                    io::Error::new(io::ErrorKind::Unsupported, "the xz data uses a filter that is not known")
                }
                _ => error,
            }
        })
    }
}

/// The same for zstd.
struct Zstd<R: BufRead> {
    decoder: zstd::stream::read::Decoder<'static, R>,
    memory: u64,
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.decoder.read(buffer).map_err(|error| {
            // The library gives its error as a text only.
            match error.to_string() {
                text if text.contains("requires too much memory") => LimitError::DecoderMemory(self.memory).into(),
                _ => error,
            }
        })
    }
}

fn corrupt(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the {what} data is damaged"))
}

#[cfg(test)]
mod tests;
