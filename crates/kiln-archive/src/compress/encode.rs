//! Encoders that give the same bytes for the same input.

use std::io::{self, Write};

use crate::Compression;

/// How hard to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The format's usual one: gzip 6, xz 6, zstd 3.
    Default,
    /// A number that the format knows; one that it does not know is brought into its range.
    Number(i32),
}

impl Level {
    fn or(self, default: i32, range: std::ops::RangeInclusive<i32>) -> i32 {
        match self {
            Self::Default => default,
            Self::Number(number) => number.clamp(*range.start(), *range.end()),
        }
    }
}

/// Compresses what is written to it. [`Encoder::finish`] ends the stream; a dropped one is not valid.
pub struct Encoder<W: Write>(Inner<W>);

enum Inner<W: Write> {
    None(W),
    Gzip(flate2::write::GzEncoder<W>),
    Xz(liblzma::write::XzEncoder<W>),
    Zstd(zstd::stream::write::Encoder<'static, W>),
}

/// An encoder on one thread.
///
/// # Errors
/// When it cannot be set up, or `kind` is one that is only read (bzip2, lzma).
pub fn encoder<W: Write>(kind: Compression, writer: W, level: Level) -> io::Result<Encoder<W>> {
    Ok(Encoder(match kind {
        Compression::None => Inner::None(writer),
        Compression::Gzip => {
            let level = flate2::Compression::new(level.or(6, 0..=9).unsigned_abs());
            // No name, no time; 255 says "unknown", so that the bytes do not tell what system made them.
            Inner::Gzip(flate2::GzBuilder::new().mtime(0).operating_system(255).write(writer, level))
        }
        Compression::Xz => Inner::Xz(liblzma::write::XzEncoder::new(writer, level.or(6, 0..=9).unsigned_abs())),
        Compression::Zstd => Inner::Zstd(zstd_encoder(writer, level)?),
        Compression::Bzip2 | Compression::Lzma => {
            return Err(io::Error::new(io::ErrorKind::Unsupported, format!("{kind} is read but not written")));
        }
    }))
}

/// On the caller's thread: layers are written several at once, and a thread behind each would only copy its bytes once
/// more. The frame says nothing of the number of threads either way.
fn zstd_encoder<W: Write>(writer: W, level: Level) -> io::Result<zstd::stream::write::Encoder<'static, W>> {
    let mut encoder = zstd::stream::write::Encoder::new(writer, level.or(3, 1..=22))?;
    encoder.include_checksum(true)?;
    Ok(encoder)
}

impl<W: Write> Encoder<W> {
    /// Ends the stream and gives back the writer.
    ///
    /// # Errors
    /// When the rest cannot be written.
    pub fn finish(self) -> io::Result<W> {
        match self.0 {
            Inner::None(writer) => Ok(writer),
            Inner::Gzip(encoder) => encoder.finish(),
            Inner::Xz(encoder) => encoder.finish(),
            Inner::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Inner::None(writer) => writer.write(bytes),
            Inner::Gzip(encoder) => encoder.write(bytes),
            Inner::Xz(encoder) => encoder.write(bytes),
            Inner::Zstd(encoder) => encoder.write(bytes),
        }
    }

    /// Passes on what is ready. It does not force the encoder: that would put the caller's timing into the bytes.
    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Inner::None(writer) => writer.flush(),
            Inner::Gzip(encoder) => encoder.get_mut().flush(),
            Inner::Xz(encoder) => encoder.get_mut().flush(),
            Inner::Zstd(encoder) => encoder.get_mut().flush(),
        }
    }
}
