//! gzip with the manners of `gzip -d`: members follow each other, and what follows the last one and is no member, often
//! padding, is left alone.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

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
