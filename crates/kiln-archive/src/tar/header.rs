//! One header block: fixed fields at fixed places (POSIX.1-2024, `pax`, "ustar Interchange Format").
//!
//! | at | length | field |
//! |---|---|---|
//! | 0 | 100 | name |
//! | 100 | 8 | mode |
//! | 108 | 8 | uid |
//! | 116 | 8 | gid |
//! | 124 | 12 | size |
//! | 136 | 12 | mtime |
//! | 148 | 8 | checksum: the sum of the block's bytes with blanks in this field |
//! | 156 | 1 | type |
//! | 157 | 100 | link target |
//! | 257 | 8 | `ustar\0` `00`; GNU: `ustar  \0` |
//! | 265, 297 | 32 | user, group |
//! | 329, 337 | 8 | device major, minor |
//! | 345 | 155 | prefix of the name (ustar only) |

use std::ops::Range;

use super::BLOCK;

pub(super) const NAME: Range<usize> = 0..100;
pub(super) const MODE: Range<usize> = 100..108;
pub(super) const UID: Range<usize> = 108..116;
pub(super) const GID: Range<usize> = 116..124;
pub(super) const SIZE: Range<usize> = 124..136;
pub(super) const MTIME: Range<usize> = 136..148;
const CHECKSUM: Range<usize> = 148..156;
pub(super) const TYPE: usize = 156;
pub(super) const LINK: Range<usize> = 157..257;
const MAGIC: Range<usize> = 257..265;
pub(super) const USER: Range<usize> = 265..297;
pub(super) const GROUP: Range<usize> = 297..329;
pub(super) const MAJOR: Range<usize> = 329..337;
pub(super) const MINOR: Range<usize> = 337..345;
pub(super) const PREFIX: Range<usize> = 345..500;

/// A header block.
#[derive(Clone)]
pub(super) struct Header(pub(super) [u8; BLOCK]);

impl Header {
    pub(super) fn ustar() -> Self {
        let mut block = [0; BLOCK];
        block[MAGIC].copy_from_slice(b"ustar\x0000");
        Self(block)
    }

    /// Does the checksum fit? Old programs summed signed bytes.
    pub(super) fn is_valid(&self) -> bool {
        let Some(expected) = octal(&self.0[CHECKSUM]) else { return false };
        let (mut unsigned, mut signed) = (0u64, 0i64);
        for (at, &byte) in self.0.iter().enumerate() {
            let byte = if CHECKSUM.contains(&at) { b' ' } else { byte };
            unsigned += u64::from(byte);
            signed += i64::from(byte.cast_signed());
        }
        expected == unsigned || i64::try_from(expected) == Ok(signed)
    }

    pub(super) fn kind(&self) -> u8 {
        self.0[TYPE]
    }

    /// A text field up to its NUL.
    pub(super) fn text(&self, field: Range<usize>) -> &[u8] {
        let field = &self.0[field];
        &field[..field.iter().position(|&b| b == 0).unwrap_or(field.len())]
    }

    /// The name with its prefix.
    pub(super) fn name(&self) -> Vec<u8> {
        let prefix = match &self.0[MAGIC] {
            b"ustar\x0000" if &self.0[508..] == b"tar\0" => self.text(PREFIX.start..PREFIX.start + 131),
            [b'u', b's', b't', b'a', b'r', 0, ..] => self.text(PREFIX),
            _ => b"",
        };
        if prefix.is_empty() {
            return self.text(NAME).to_vec();
        }
        [prefix, b"/", self.text(NAME)].concat()
    }

    /// Users, groups and device numbers are there in ustar and GNU headers, not in older ones.
    pub(super) fn has_owners(&self) -> bool {
        self.0[MAGIC].starts_with(b"ustar")
    }

    pub(super) fn number(&self, field: Range<usize>) -> Option<i64> {
        number(&self.0[field])
    }

    pub(super) fn set_text(&mut self, field: Range<usize>, text: &[u8]) {
        let length = text.len().min(field.len());
        self.0[field.start..field.start + length].copy_from_slice(&text[..length]);
    }

    /// Writes octal digits that fill the field but for a last NUL. The number must fit: see [`fits`].
    pub(super) fn set_number(&mut self, field: Range<usize>, number: u64) {
        let width = field.len() - 1;
        let text = format!("{number:0width$o}\0");
        self.0[field].copy_from_slice(text.as_bytes());
    }

    /// Fills in the checksum: six digits, a NUL and a blank, as everyone writes it.
    pub(super) fn seal(&mut self) {
        self.0[CHECKSUM].fill(b' ');
        let sum: u32 = self.0.iter().map(|&b| u32::from(b)).sum();
        self.0[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}

/// Can [`Header::set_number`] write it?
pub(super) fn fits(field: &Range<usize>, number: u64) -> bool {
    number < 1 << (3 * (field.len() - 1))
}

/// Octal digits between blanks, up to a NUL or blank. Nothing at all is 0.
fn octal(field: &[u8]) -> Option<u64> {
    let field = field.trim_ascii_start();
    let end = field.iter().position(|&b| b == 0 || b == b' ').unwrap_or(field.len());
    field[..end].iter().try_fold(0u64, |sum, &digit| match digit {
        b'0'..=b'7' => sum.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// Octal, or base 256 in two's complement when the first bit is set.
fn number(field: &[u8]) -> Option<i64> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 == 0 {
        return octal(field).and_then(|n| i64::try_from(n).ok());
    }
    let start = if first & 0x40 == 0 { i128::from(first & 0x3f) } else { i128::from(first & 0x3f) - 64 };
    let value = rest.iter().fold(start, |sum, &byte| (sum << 8) | i128::from(byte));
    i64::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_octal_and_base_256() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"  644 \0\0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(b"00008\0"), None);
        assert_eq!(number(b"77777777777"), Some(0o77_777_777_777));
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]), Some(8 << 30));
        assert_eq!(number(&[0xff; 12]), Some(-1));
        assert_eq!(number(&[0x80, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]), None, "more than 64 bits");
    }

    #[test]
    fn a_sealed_header_is_valid_until_it_changes() {
        let mut header = Header::ustar();
        header.set_text(NAME, b"a");
        header.set_number(SIZE, 0o77_777_777_777);
        header.seal();
        assert!(header.is_valid());
        assert_eq!(header.number(SIZE), Some(0o77_777_777_777));
        assert!(fits(&SIZE, (8 << 30) - 1) && !fits(&SIZE, 8 << 30));
        header.0[0] = b'b';
        assert!(!header.is_valid());
    }
}
