//! gzip with the manners of `gzip -d`: members follow each other, and what follows the last one and is no member, often
//! padding, is left alone.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// One member of a gzip file, for formats that give each member a meaning of its own: Alpine's packages. It takes exactly
/// the member's bytes from the reader beneath.
pub struct Member<R>(GzDecoder<R>);

impl<R: BufRead> Member<R> {
    /// The member that `reader` is at the start of.
    #[must_use]
    pub fn new(reader: R) -> Self {
        Self(GzDecoder::new(reader))
    }

    /// The reader beneath: after the member, when that was read to its end.
    #[must_use]
    pub fn into_inner(self) -> R {
        self.0.into_inner()
    }
}

impl<R: BufRead> Read for Member<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

pub(super) struct Decoder<R> {
    /// None only while one member gives way to the next.
    member: Option<GzDecoder<R>>,
    ended: bool,
}

impl<R: BufRead> Decoder<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { member: Some(GzDecoder::new(reader)), ended: false }
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.ended && !buffer.is_empty() {
            let Some(member) = self.member.as_mut() else { break };
            let read = member.read(buffer)?;
            if read > 0 {
                return Ok(read);
            }
            let Some(member) = self.member.take() else { break };
            let mut reader = member.into_inner();
            // One byte is what a buffer surely holds; the decoder itself checks the second one.
            self.ended = reader.fill_buf()?.first() != Some(&0x1f);
            self.member = Some(GzDecoder::new(reader));
        }
        Ok(0)
    }
}
