//! The binary parts at the front of a package: the lead, and headers of tagged values (rpm's `docs/manual/format_header.md`).
//!
//! ```text
//! lead       96 bytes; only its magic number and its type are looked at
//! signature  a header, padded to eight bytes
//! header     a header
//! payload    a compressed cpio archive, to the end
//!
//! header:    8e ad e8 01, four bytes, entries (u32), length of the store (u32);
//!            for each entry: tag, type, offset in the store, count (u32 each); the store
//! ```
//!
//! Numbers are big-endian. No memory is taken for a length before the bytes are there, and no entry is followed out of the
//! store. Entries are decoded when they are asked for, so one that nobody asks for cannot cost anything.

use std::collections::BTreeMap;
use std::io::Read;

use kiln_archive::ReadError;

use super::error::RpmError;
use super::tag::Tag;

const LEAD_MAGIC: [u8; 4] = [0xed, 0xab, 0xee, 0xdb];
const HEADER_MAGIC: [u8; 4] = [0x8e, 0xad, 0xe8, 0x01];

/// More entries than any package has; rpm's own limit.
const MOST_ENTRIES: u32 = 0xffff;

/// The largest store. That of a package with 200,000 files has 30 MB.
const LARGEST_STORE: u32 = 128 << 20;

/// Reads the lead.
///
/// # Errors
/// When it is none, or that of a source package.
pub(super) fn read_lead(reader: &mut impl Read) -> Result<(), RpmError> {
    let lead = take(reader, 96, "lead")?;
    if lead[..4] != LEAD_MAGIC {
        return Err(RpmError::Structure("it does not begin as one".to_owned()));
    }
    match (lead[4], u16::from_be_bytes([lead[6], lead[7]])) {
        (3 | 4, 0) => Ok(()),
        (3 | 4, _) => Err(RpmError::Structure("it is a source package".to_owned())),
        (version, _) => Err(RpmError::Structure(format!("it is of version {version} of the format"))),
    }
}

fn take(reader: &mut impl Read, length: u64, part: &'static str) -> Result<Vec<u8>, RpmError> {
    let mut bytes = Vec::new();
    let fault = |source: ReadError| RpmError::Read { part, source };
    reader.take(length).read_to_end(&mut bytes).map_err(|error| fault(error.into()))?;
    let within = || format!("its {part}");
    if bytes.len() as u64 == length { Ok(bytes) } else { Err(fault(ReadError::Truncated { within: within() })) }
}

/// The type of an entry's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Numbers of so many bytes; 1 also for bytes and characters.
    Number(usize),
    /// Texts that end with a NUL.
    Text,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    kind: Kind,
    offset: usize,
    count: usize,
}

/// A header: values by tag.
#[derive(Debug, Clone, Default)]
pub struct Header {
    entries: BTreeMap<u32, Entry>,
    store: Vec<u8>,
}

impl Header {
    /// Reads a header. Gives how many bytes it has too.
    ///
    /// # Errors
    /// When it is none, too large, or an entry lies outside of it.
    pub fn read(reader: &mut impl Read, part: &'static str) -> Result<(Self, u64), RpmError> {
        let intro = take(reader, 16, part)?;
        let fault = |why: String| RpmError::Structure(format!("its {part} {why}"));
        if intro[..4] != HEADER_MAGIC {
            return Err(fault("does not begin as one".to_owned()));
        }
        let word =
            |bytes: &[u8], at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let (count, length) = (word(&intro, 8), word(&intro, 12));
        if count > MOST_ENTRIES || length > LARGEST_STORE {
            return Err(fault(format!("says that it has {count} entries and {length} bytes, more than any package")));
        }
        let index = take(reader, u64::from(count) * 16, part)?;
        let store = take(reader, u64::from(length), part)?;
        let mut entries = BTreeMap::new();
        for entry in index.chunks(16) {
            let (tag, kind, offset, count) = (word(entry, 0), word(entry, 4), word(entry, 8), word(entry, 12));
            let kind = match kind {
                0 => continue,
                1 | 2 | 7 => Kind::Number(1),
                3 => Kind::Number(2),
                4 => Kind::Number(4),
                5 => Kind::Number(8),
                6 | 8 | 9 => Kind::Text,
                other => return Err(fault(format!("has a value of type {other}, tag {tag}, which is not known"))),
            };
            let width = match kind {
                Kind::Number(width) => width,
                Kind::Text => 1,
            };
            let end = u64::from(offset) + u64::from(count) * width as u64;
            if end > store.len() as u64 || count == 0 {
                return Err(fault(format!("has a value that is not within it, tag {tag}")));
            }
            let entry = Entry { kind, offset: offset as usize, count: count as usize };
            if entries.insert(tag, entry).is_some() {
                return Err(fault(format!("has two values of tag {tag}")));
            }
        }
        Ok((Self { entries, store }, 16 + u64::from(count) * 16 + u64::from(length)))
    }

    /// Reads the header of signatures, and its padding.
    ///
    /// # Errors
    /// As [`Header::read`].
    pub(super) fn read_signature(reader: &mut impl Read) -> Result<Self, RpmError> {
        let (header, length) = Self::read(reader, "signature header")?;
        take(reader, (8 - length % 8) % 8, "signature header")?;
        Ok(header)
    }

    /// Is there a value?
    #[must_use]
    pub fn has(&self, tag: Tag) -> bool {
        self.entries.contains_key(&tag.number())
    }

    fn entry(&self, tag: Tag, kind: fn(Kind) -> bool) -> Result<Option<Entry>, RpmError> {
        match self.entries.get(&tag.number()) {
            Some(entry) if kind(entry.kind) => Ok(Some(*entry)),
            Some(_) => Err(tag.fault("it is of another type")),
            None => Ok(None),
        }
    }

    /// The numbers of a tag; none where it is missing.
    ///
    /// # Errors
    /// When they are no numbers.
    pub fn numbers(&self, tag: Tag) -> Result<Vec<u64>, RpmError> {
        let Some(entry) = self.entry(tag, |kind| matches!(kind, Kind::Number(_)))? else { return Ok(Vec::new()) };
        let Kind::Number(width) = entry.kind else { return Ok(Vec::new()) };
        let bytes = &self.store[entry.offset..entry.offset + entry.count * width];
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        Ok(bytes.chunks(width).map(number).collect())
    }

    /// The bytes of a tag that are neither text nor numbers; none where it is missing.
    ///
    /// # Errors
    /// When they are something else.
    pub fn blob(&self, tag: Tag) -> Result<Option<&[u8]>, RpmError> {
        let entry = self.entry(tag, |kind| kind == Kind::Number(1))?;
        Ok(entry.map(|entry| &self.store[entry.offset..entry.offset + entry.count]))
    }

    /// The texts of a tag as bytes; none where it is missing.
    ///
    /// # Errors
    /// When they are no texts, or do not end within the header.
    pub fn bytes(&self, tag: Tag) -> Result<Vec<&[u8]>, RpmError> {
        let Some(entry) = self.entry(tag, |kind| kind == Kind::Text)? else { return Ok(Vec::new()) };
        let mut rest = &self.store[entry.offset..];
        let mut texts = Vec::new();
        for _ in 0..entry.count {
            let end = memchr::memchr(0, rest).ok_or_else(|| tag.fault("a text does not end within the header"))?;
            texts.push(&rest[..end]);
            rest = &rest[end + 1..];
        }
        Ok(texts)
    }

    /// The texts of a tag; none where it is missing.
    ///
    /// # Errors
    /// As [`Header::bytes`], and when one is not UTF-8.
    pub fn texts(&self, tag: Tag) -> Result<Vec<&str>, RpmError> {
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| tag.fault("a text is not UTF-8"));
        self.bytes(tag)?.into_iter().map(text).collect()
    }

    /// The text of a tag: the first, where it has several.
    ///
    /// # Errors
    /// As [`Header::texts`].
    pub fn text(&self, tag: Tag) -> Result<Option<&str>, RpmError> {
        Ok(self.texts(tag)?.into_iter().next())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rpm::tag;

    fn header(entries: &[(u32, u32, u32, u32)], store: &[u8]) -> Vec<u8> {
        let mut bytes = HEADER_MAGIC.to_vec();
        bytes.extend([0; 4]);
        bytes.extend((entries.len() as u32).to_be_bytes());
        bytes.extend((store.len() as u32).to_be_bytes());
        for (tag, kind, offset, count) in entries {
            [tag, kind, offset, count].iter().for_each(|number| bytes.extend(number.to_be_bytes()));
        }
        bytes.extend(store);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Header, RpmError> {
        Header::read(&mut &*bytes, "header").map(|(header, _)| header)
    }

    #[test]
    fn reads_texts_and_numbers() {
        let bytes = header(&[(1000, 6, 0, 1), (1117, 8, 2, 2), (1030, 3, 8, 2)], b"a\0b\0cd\0\0\x81\xa4\x41\xed");
        let header = read(&bytes).unwrap();
        assert_eq!(header.text(tag::NAME).unwrap(), Some("a"));
        assert_eq!(header.texts(tag::BASE_NAMES).unwrap(), ["b", "cd"]);
        assert_eq!(header.numbers(tag::FILE_MODES).unwrap(), [0x81a4, 0x41ed]);
        assert_eq!(header.text(tag::VERSION).unwrap(), None);
        assert!(header.numbers(tag::NAME).is_err(), "a text is no number");
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let fault = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
        let out = header(&[(1030, 3, 3, 1)], b"abcd");
        assert!(fault(&out).contains("is not within it, tag 1030"));
        let far = header(&[(1030, 5, 0, 0xffff_ffff)], b"abcd");
        assert!(fault(&far).contains("is not within it"));
        let mut long = header(&[], b"");
        long[12..16].copy_from_slice(&0x7fff_ffff_u32.to_be_bytes());
        assert!(fault(&long).contains("more than any package"));
        long[12..16].copy_from_slice(&0x0400_0000_u32.to_be_bytes());
        assert!(fault(&long).contains("header"), "it ends before");
        let twice = header(&[(1000, 6, 0, 1), (1000, 6, 0, 1)], b"a\0");
        assert!(fault(&twice).contains("two values"));
        let open = header(&[(1000, 6, 0, 1)], b"ab");
        assert!(read(&open).unwrap().text(tag::NAME).unwrap_err().to_string().contains("does not end"));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            entries in proptest::collection::vec((1000u32..1010, 0u32..11, 0u32..40, 0u32..40), 0..5),
        ) {
            let _ = (read_lead(&mut &*bytes), Header::read_signature(&mut &*bytes));
            let _ = read(&bytes);
            if let Ok(header) = read(&header(&entries, &bytes)) {
                for number in 1000..1010 {
                    let tag = Tag::new(number, "any");
                    let _ = (header.numbers(tag), header.texts(tag), header.bytes(tag), header.blob(tag));
                }
            }
        }
    }
}
