//! Reading `cpio` archives in the "new" format, the payload of `.rpm`: for each entry a header of text, its name, its
//! content, each padded to four bytes; the entry `TRAILER!!!` ends it.
//!
//! Magic numbers: `070701`, `070702` (the same with a checksum, which is not looked at), and RPM's own `07070X`, whose
//! entries are the number of a file in the package's header and its content, since numbers of eight digits cannot say the
//! lengths of large files. What an entry *is* stands in the package's header, so here names are texts and nothing more.

use std::io::{self, Read};

use crate::error::shown;
use crate::{LimitError, Limits, ReadError};

const FORMAT: &str = "a cpio archive";

/// The name of the last entry.
const TRAILER: &[u8] = b"TRAILER!!!";

/// No path is longer.
const LONGEST_NAME: u64 = 4096 + 2;

/// An entry's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Member {
    /// One with a name.
    Named {
        /// The name as it is written.
        name: String,
        /// Type and permissions, as `st_mode` has them.
        mode: u32,
        /// The content's length.
        size: u64,
    },
    /// One of RPM's own: the file of this number.
    Numbered(u32),
}

/// Reads one entry after the other. Reading from it gives the content of the current one.
#[derive(Debug)]
pub struct Reader<R> {
    reader: R,
    /// What is left of the current entry's content.
    left: u64,
    /// Bytes of padding after it.
    padding: u64,
    name: String,
    entries: u64,
    limit: u64,
}

impl<R: Read> Reader<R> {
    /// Reads entries of `reader`.
    pub fn new(reader: R, limits: &Limits) -> Self {
        Self { reader, left: 0, padding: 0, name: String::new(), entries: 0, limit: limits.entries }
    }

    /// Skips what is left of the current entry and gives the next one's header; none at the end.
    ///
    /// # Errors
    /// When the archive cannot be read, or no header is where one should be.
    pub fn next_member(&mut self) -> Result<Option<Member>, ReadError> {
        io::copy(&mut *self, &mut io::sink())?;
        self.skip(self.padding)?;
        self.padding = 0;
        self.entries += 1;
        if self.entries > self.limit {
            return Err(ReadError::Limit(LimitError::Entries(self.limit)));
        }
        let magic = self.take(6, "an entry's header")?;
        match &*magic {
            b"070701" | b"070702" => {}
            b"07070X" => {
                let number = self.numbers::<1>()?[0];
                self.skip(2)?;
                self.name = format!("file {number}");
                return Ok(Some(Member::Numbered(number)));
            }
            _ => return Err(ReadError::Format { format: FORMAT, why: self.after("has no magic number") }),
        }
        let [_, mode, _, _, _, _, size, _, _, _, _, length, _] = self.numbers::<13>()?;
        if length == 0 || u64::from(length) > LONGEST_NAME {
            return Err(ReadError::Format { format: FORMAT, why: self.after("has a name of a length that cannot be") });
        }
        let name = self.take(u64::from(length), "an entry's name")?;
        self.skip(padding(110 + u64::from(length)))?;
        let Some((0, name)) = name.split_last().map(|(last, name)| (*last, name)).filter(|(_, n)| !n.contains(&0))
        else {
            return Err(ReadError::header(&name, "its name does not end where it should"));
        };
        if name == TRAILER {
            // What follows is padding to a block; it is read so that damage in the compressed stream is seen.
            io::copy(&mut self.reader, &mut io::sink())?;
            return Ok(None);
        }
        self.name = match std::str::from_utf8(name) {
            Ok(name) => name.to_owned(),
            Err(_) => return Err(ReadError::NotUtf8(shown(name))),
        };
        self.content(u64::from(size));
        Ok(Some(Member::Named { name: self.name.clone(), mode, size: u64::from(size) }))
    }

    /// Says how long the content of the current entry is, which a numbered one does not say itself.
    pub fn content(&mut self, size: u64) {
        (self.left, self.padding) = (size, padding(size));
    }

    fn after(&self, what: &str) -> String {
        match &*self.name {
            "" => format!("its first entry {what}"),
            name => format!("the entry after `{}` {what}", name.escape_debug()),
        }
    }

    fn take(&mut self, length: u64, within: &str) -> Result<Vec<u8>, ReadError> {
        let mut bytes = Vec::with_capacity(length as usize);
        self.reader.by_ref().take(length).read_to_end(&mut bytes)?;
        if bytes.len() as u64 == length { Ok(bytes) } else { Err(ReadError::Truncated { within: within.to_owned() }) }
    }

    fn skip(&mut self, length: u64) -> Result<(), ReadError> {
        self.take(length, "the padding of an entry").map(drop)
    }

    /// Numbers of eight hexadecimal digits.
    fn numbers<const N: usize>(&mut self) -> Result<[u32; N], ReadError> {
        let bytes = self.take(8 * N as u64, "an entry's header")?;
        let mut numbers = [0; N];
        for (number, digits) in numbers.iter_mut().zip(bytes.chunks(8)) {
            let text = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
            *number = text
                .and_then(|text| u32::from_str_radix(text, 16).ok())
                .ok_or_else(|| ReadError::Format { format: FORMAT, why: self.after("has a number that is none") })?;
        }
        Ok(numbers)
    }
}

/// How many bytes are missing to a multiple of four.
const fn padding(length: u64) -> u64 {
    (4 - length % 4) % 4
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.reader.read(&mut buffer[..wanted])?;
        if read == 0 && wanted > 0 {
            return Err(ReadError::Truncated { within: format!("`{}`", self.name.escape_debug()) }.into());
        }
        self.left -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(magic: &str, name: &str, mode: u32, content: &[u8]) -> Vec<u8> {
        let numbers = [7, mode, 0, 0, 1, 0, content.len() as u32, 0, 0, 0, 0, name.len() as u32 + 1, 0];
        let mut bytes = magic.as_bytes().to_vec();
        numbers.iter().for_each(|number| bytes.extend(format!("{number:08x}").bytes()));
        bytes.extend(name.bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let entries = files.iter().flat_map(|(name, content)| entry("070701", name, 0o100_644, content));
        entries.chain(entry("070701", "TRAILER!!!", 0, b"")).collect()
    }

    fn read(bytes: &[u8], limits: &Limits) -> Result<Vec<(String, Vec<u8>)>, ReadError> {
        let mut reader = Reader::new(bytes, limits);
        let mut all = Vec::new();
        while let Some(member) = reader.next_member()? {
            let name = match member {
                Member::Named { name, .. } => name,
                Member::Numbered(number) => {
                    reader.content(3);
                    number.to_string()
                }
            };
            let mut content = Vec::new();
            reader.read_to_end(&mut content)?;
            all.push((name, content));
        }
        Ok(all)
    }

    #[test]
    fn reads_entries_with_their_padding() {
        let bytes = archive(&[("./a", b"abc"), ("./folder/b", b""), ("c", &[7; 99])]);
        let expected = [("./a", &b"abc"[..]), ("./folder/b", b""), ("c", &[7; 99])];
        let expected = expected.map(|(name, content)| (name.to_owned(), content.to_vec()));
        assert_eq!(read(&bytes, &Limits::default()).unwrap(), expected);
        let mut reader = Reader::new(&bytes[..], &Limits::default());
        reader.next_member().unwrap();
        reader.next_member().unwrap();
        assert_eq!(
            reader.next_member().unwrap(),
            Some(Member::Named { name: "c".into(), mode: 0o100_644, size: 99 }),
            "what is not read is skipped"
        );
    }

    #[test]
    fn entries_of_rpms_own_are_numbers() {
        let mut bytes = b"07070X0000002a\0\0abc\0".to_vec();
        bytes.extend(archive(&[]));
        assert_eq!(read(&bytes, &Limits::default()).unwrap(), [("42".to_owned(), b"abc".to_vec())]);
    }

    #[test]
    fn names_what_is_wrong() {
        let fault = |bytes: &[u8]| read(bytes, &Limits::default()).unwrap_err().to_string();
        let bytes = archive(&[("a", b"1234")]);
        assert_eq!(fault(&bytes[..60]), "the archive ends within an entry's header");
        assert_eq!(fault(&bytes[..114]), "the archive ends within `a`");
        assert_eq!(fault(&bytes[..120]), "the archive ends within an entry's header");
        assert_eq!(fault(b"070707 and so on"), "this is not a cpio archive: its first entry has no magic number");
        let mut bad = bytes.clone();
        bad[54] = b'x';
        assert_eq!(fault(&bad), "this is not a cpio archive: its first entry has a number that is none");
        bad = bytes.clone();
        bad[111] = b'b';
        assert_eq!(fault(&bad), "entry `ab`: its name does not end where it should");
        bad = bytes.clone();
        bad[94..102].copy_from_slice(b"ffffffff");
        assert!(fault(&bad).contains("a length that cannot be"), "no memory is taken for it");
        let few = Limits { entries: 1, ..Limits::default() };
        assert!(matches!(read(&bytes, &few), Err(ReadError::Limit(LimitError::Entries(1)))));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0usize..200) {
            let _ = read(&bytes, &Limits::default());
            let mut damaged = archive(&[("./a", b"abc"), ("b", b"x")]);
            let place = at % damaged.len();
            damaged[place] ^= bytes.first().copied().unwrap_or(1);
            let _ = read(&damaged, &Limits::default());
        }

        #[test]
        fn entries_read_back(files in proptest::collection::vec(("[a-z./]{1,15}", proptest::collection::vec(any::<u8>(), 0..40)), 0..5)) {
            let given: Vec<_> = files.iter().map(|(name, content)| (name.as_str(), content.as_slice())).collect();
            prop_assert_eq!(read(&archive(&given), &Limits::default()).unwrap(), files);
        }
    }
}
