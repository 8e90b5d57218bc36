//! Reading `ar` archives, the container of `.deb`: `!<arch>\n`, then members, each a header of 60 bytes of text and its
//! content, padded to an even length with a line end.
//!
//! A name's trailing blanks and one trailing slash are dropped, as `dpkg` does. Long-name tables are not looked up: no
//! Debian package has one, and their members come out under the names they have (`//`, `/12`).

use std::io::{self, Read};

use crate::ReadError;

const MAGIC: &[u8; 8] = b"!<arch>\n";
const FORMAT: &str = "an ar archive";

/// A member's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its content's length.
    pub size: u64,
}

/// Reads one member after the other. Reading from it gives the content of the current one.
#[derive(Debug)]
pub struct Reader<R> {
    reader: R,
    /// What is left of the current member's content.
    left: u64,
    /// Is there a byte of padding after it?
    padded: bool,
    name: String,
}

impl<R: Read> Reader<R> {
    /// Checks the magic number.
    ///
    /// # Errors
    /// When it is not there.
    pub fn new(mut reader: R) -> Result<Self, ReadError> {
        let mut magic = Vec::with_capacity(MAGIC.len());
        reader.by_ref().take(MAGIC.len() as u64).read_to_end(&mut magic)?;
        if magic != MAGIC {
            return Err(ReadError::Format { format: FORMAT, why: "it does not begin with `!<arch>`".into() });
        }
        Ok(Self { reader, left: 0, padded: false, name: String::new() })
    }

    /// Skips what is left of the current member and gives the next one's header; none at the end.
    ///
    /// # Errors
    /// When the archive cannot be read, or no header is where one should be.
    pub fn next_member(&mut self) -> Result<Option<Member>, ReadError> {
        io::copy(&mut *self, &mut io::sink())?;
        let mut header = Vec::with_capacity(61);
        self.reader.by_ref().take(60 + u64::from(self.padded)).read_to_end(&mut header)?;
        // The padding of the last member is often left out.
        let header = header.get(usize::from(self.padded)..).unwrap_or_default();
        self.padded = false;
        if header.is_empty() {
            return Ok(None);
        }
        if header.len() < 60 {
            return Err(ReadError::Truncated { within: "a member's header".into() });
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches(' ').to_owned();
        let name = text(&header[..16]);
        if &header[58..] != b"`\n" {
            return Err(ReadError::Format { format: FORMAT, why: format!("the header after `{}` is none", self.name) });
        }
        let digits = text(&header[48..58]);
        let size = Some(&digits).filter(|d| d.bytes().all(|b| b.is_ascii_digit())).and_then(|d| d.parse().ok());
        let Some(size) = size else {
            return Err(ReadError::header(name.as_bytes(), "its length is not a number"));
        };
        self.name = name.strip_suffix('/').filter(|short| !short.is_empty()).unwrap_or(&name).to_owned();
        (self.left, self.padded) = (size, size % 2 == 1);
        Ok(Some(Member { name: self.name.clone(), size }))
    }
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

    fn member(name: &str, content: &[u8]) -> Vec<u8> {
        let mut bytes =
            format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, "100644", content.len()).into_bytes();
        bytes.extend(content);
        if content.len() % 2 == 1 {
            bytes.push(b'\n');
        }
        bytes
    }

    fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
        let members = members.iter().flat_map(|(name, content)| member(name, content));
        MAGIC.iter().copied().chain(members).collect()
    }

    fn read(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, ReadError> {
        let mut reader = Reader::new(bytes)?;
        let mut all = Vec::new();
        while let Some(member) = reader.next_member()? {
            let mut content = Vec::new();
            reader.read_to_end(&mut content)?;
            assert_eq!(content.len() as u64, member.size);
            all.push((member.name, content));
        }
        Ok(all)
    }

    #[test]
    fn reads_members_with_padding_and_slashes() {
        let bytes = archive(&[("debian-binary/", b"2.0\n"), ("odd", b"abc"), ("last", b"x")]);
        let expected = [("debian-binary", &b"2.0\n"[..]), ("odd", b"abc"), ("last", b"x")];
        let expected = expected.map(|(name, content)| (name.to_owned(), content.to_vec()));
        assert_eq!(read(&bytes).unwrap(), expected);
        assert_eq!(read(&bytes[..bytes.len() - 1]).unwrap(), expected, "the last padding may be missing");
    }

    #[test]
    fn skips_what_is_not_read() {
        let bytes = archive(&[("a", &[7; 99]), ("b", b"y")]);
        let mut reader = Reader::new(&bytes[..]).unwrap();
        reader.next_member().unwrap();
        assert_eq!(reader.next_member().unwrap().unwrap().name, "b");
    }

    #[test]
    fn names_what_is_wrong() {
        let fault = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
        let bytes = archive(&[("a", b"1234")]);
        assert_eq!(fault(b"!<arch>"), "this is not an ar archive: it does not begin with `!<arch>`");
        assert_eq!(fault(&bytes[..40]), "the archive ends within a member's header");
        assert_eq!(fault(&bytes[..70]), "the archive ends within `a`");
        let mut bad = bytes.clone();
        bad[66] = b'x';
        assert_eq!(fault(&bad), "this is not an ar archive: the header after `` is none");
        bad = bytes;
        bad[56] = b'-';
        assert_eq!(fault(&bad), "entry `a`: its length is not a number");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
            if let Ok(members) = read(&[&MAGIC[..], &bytes].concat()) {
                prop_assert!(members.len() <= bytes.len());
            }
        }

        #[test]
        fn members_read_back(members in proptest::collection::vec(("[a-z.]{1,15}", proptest::collection::vec(any::<u8>(), 0..40)), 0..5)) {
            let given: Vec<_> = members.iter().map(|(name, content)| (name.as_str(), content.as_slice())).collect();
            prop_assert_eq!(read(&archive(&given)).unwrap(), members);
        }
    }
}
