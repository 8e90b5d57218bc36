//! Reading zip archives, from a file: their list of contents is at the end.
//!
//! Unix modes and symbolic links are honoured. Names and contents are bounded as everywhere; so is the sum of all
//! contents, however much they overlap in the file.

use std::io::{self, Read, Seek, SeekFrom};

use zip::ZipArchive;
use zip::result::ZipError;

use crate::archive::short;
use crate::entry::{check_target, path_of};
use crate::error::shown;
use crate::{Entry, Kind, LimitError, Limits, ReadError};

const FORMAT: &str = "a zip archive";

/// Reads one entry after the other.
pub struct Reader<R> {
    archive: ZipArchive<R>,
    next: usize,
    given: u64,
    most: u64,
    limit: LimitError,
    /// The current entry's name and declared length.
    name: String,
    size: u64,
}

impl<R: Read + Seek> Reader<R> {
    /// Reads the list of contents.
    ///
    /// # Errors
    /// When it cannot be read, or there are too many entries.
    pub fn new(mut reader: R, limits: &Limits) -> Result<Self, ReadError> {
        let length = reader.seek(SeekFrom::End(0))?;
        let archive = ZipArchive::new(reader).map_err(|error| fault(b"", error))?;
        if archive.len() as u64 > limits.entries {
            return Err(ReadError::Limit(LimitError::Entries(limits.entries)));
        }
        let by_ratio = length.saturating_mul(limits.ratio).max(limits.ratio_from);
        let (most, limit) = if by_ratio < limits.total_bytes {
            (by_ratio, LimitError::Ratio(limits.ratio))
        } else {
            (limits.total_bytes, LimitError::TotalBytes(limits.total_bytes))
        };
        Ok(Self { archive, next: 0, given: 0, most, limit, name: String::new(), size: 0 })
    }

    /// The next entry; none at the end.
    ///
    /// # Errors
    /// When it is damaged, encrypted, of a kind that is not supported, or its name must not be used.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, ReadError> {
        if self.next == self.archive.len() {
            return Ok(None);
        }
        self.next += 1;
        let file = self.archive.by_index_data(self.next - 1).map_err(|error| fault(self.name.as_bytes(), error))?;
        let raw = file.name_raw().to_vec();
        self.name = shown(&raw);
        self.size = file.size();
        if file.encrypted() {
            return Err(ReadError::Unsupported { entry: self.name.clone(), what: "encrypted" });
        }
        // Unix programs write UTF-8 without saying so.
        let name = match std::str::from_utf8(&raw) {
            Ok(name) => name.to_owned(),
            Err(_) => file.name().map_err(|error| fault(&raw, error))?.into_owned(),
        };
        if name.is_empty() {
            return Err(ReadError::header(&raw, "it has no name"));
        }
        let mode = file.unix_mode();
        let kind = match mode.map_or(0, |mode| mode & 0o170_000) {
            0o040_000 => Kind::Directory,
            0o120_000 => Kind::Symlink(String::new()),
            0 | 0o100_000 if file.is_dir() => Kind::Directory,
            0 | 0o100_000 => Kind::File,
            _ => return Err(ReadError::Unsupported { entry: self.name.clone(), what: "a device or pipe" }),
        };
        let mut entry = Entry::new(path_of(&name)?, kind);
        if let Some(mode) = mode {
            entry.mode = (mode & 0o7777) as u16;
        }
        if let Kind::Symlink(target) = &mut entry.kind {
            let bytes = short(&mut self.content()?, 4096)?.unwrap_or_default();
            *target = String::from_utf8(bytes).map_err(|error| ReadError::NotUtf8(shown(error.as_bytes())))?;
            check_target(&raw, target)?;
        } else if entry.kind == Kind::File {
            entry.size = self.size;
        }
        Ok(Some(entry))
    }

    /// The content of the current entry, from its beginning.
    ///
    /// # Errors
    /// When it is compressed in a way that is not known.
    ///
    /// # Panics
    /// Before the first entry.
    pub fn content(&mut self) -> Result<impl Read + '_, ReadError> {
        let index = self.next.checked_sub(1).expect("content is asked for after an entry");
        let file = self.archive.by_index(index).map_err(|error| fault(self.name.as_bytes(), error))?;
        let (given, most, limit) = (&mut self.given, self.most, &self.limit);
        Ok(Content { file, name: &self.name, left: self.size, given, most, limit })
    }
}

struct Content<'a, R> {
    file: R,
    name: &'a str,
    left: u64,
    given: &'a mut u64,
    most: u64,
    limit: &'a LimitError,
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        let bytes = read as u64;
        *self.given += bytes;
        if *self.given > self.most {
            return Err(self.limit.clone().into());
        }
        if bytes > self.left || (read == 0 && self.left > 0 && !buffer.is_empty()) {
            let why = "its content is not as long as it says".to_owned();
            return Err(ReadError::Header { entry: self.name.to_owned(), why }.into());
        }
        self.left -= bytes;
        Ok(read)
    }
}

fn fault(entry: &[u8], error: ZipError) -> ReadError {
    match error {
        ZipError::Io(error) => error.into(),
        other if entry.is_empty() => ReadError::Format { format: FORMAT, why: other.to_string() },
        other => ReadError::header(entry, other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use proptest::prelude::*;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn archive(fill: impl FnOnce(&mut zip::ZipWriter<Cursor<Vec<u8>>>)) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        fill(&mut writer);
        writer.finish().unwrap().into_inner()
    }

    fn plain() -> SimpleFileOptions {
        SimpleFileOptions::default().unix_permissions(0o644)
    }

    fn read(bytes: &[u8], limits: &Limits) -> Result<Vec<(Entry, Vec<u8>)>, ReadError> {
        let mut reader = Reader::new(Cursor::new(bytes), limits)?;
        let mut all = Vec::new();
        while let Some(entry) = reader.next_entry()? {
            let mut content = Vec::new();
            if entry.kind == Kind::File {
                reader.content()?.read_to_end(&mut content)?;
            }
            all.push((entry, content));
        }
        Ok(all)
    }

    #[test]
    fn reads_files_folders_and_links_with_modes() {
        let bytes = archive(|zip| {
            zip.add_directory("d", plain()).unwrap();
            zip.start_file("d/run", plain().unix_permissions(0o755)).unwrap();
            zip.write_all(b"#!/bin/sh\n").unwrap();
            zip.add_symlink("d/link", "run", plain()).unwrap();
        });
        let all = read(&bytes, &Limits::default()).unwrap();
        let kinds: Vec<_> = all.iter().map(|(e, _)| (e.path.as_str(), e.kind.clone(), e.mode)).collect();
        assert_eq!(kinds[0].0, "d");
        assert_eq!(kinds[0].1, Kind::Directory);
        assert_eq!(kinds[1], ("d/run", Kind::File, 0o755));
        assert_eq!(all[1].1, b"#!/bin/sh\n");
        assert_eq!(kinds[2].1, Kind::Symlink("run".into()));
    }

    #[test]
    fn refuses_names_that_leave_the_folder() {
        for bad in ["../x", "/x", "a/../../x"] {
            let bytes = archive(|zip| zip.start_file(bad, plain()).unwrap());
            let error = read(&bytes, &Limits::default()).map(|all| all[0].0.path.to_string());
            assert!(matches!(error, Err(ReadError::Path(_))), "{bad}: {error:?}");
        }
    }

    #[test]
    fn a_bomb_is_refused() {
        let bytes = archive(|zip| {
            zip.start_file("zeros", plain()).unwrap();
            zip.write_all(&vec![0; 8 << 20]).unwrap();
        });
        let limits = Limits { ratio_from: 1 << 20, ..Limits::default() };
        assert!(matches!(read(&bytes, &limits), Err(ReadError::Limit(LimitError::Ratio(250)))));
        let limits = Limits { total_bytes: 1 << 20, ..Limits::default() };
        assert!(matches!(read(&bytes, &limits), Err(ReadError::Limit(LimitError::TotalBytes(_)))));
        let limits = Limits { entries: 0, ..Limits::default() };
        assert!(matches!(read(&bytes, &limits), Err(ReadError::Limit(LimitError::Entries(0)))));
    }

    #[test]
    fn damage_is_an_error() {
        let text = b"a text that is stored as it stands";
        let stored = plain().compression_method(zip::CompressionMethod::Stored);
        let mut bytes = archive(|zip| {
            zip.start_file("a", stored).unwrap();
            zip.write_all(text).unwrap();
        });
        let at = bytes.windows(text.len()).position(|w| w == text).unwrap();
        bytes[at] ^= 1;
        assert!(read(&bytes, &Limits::default()).is_err());
        assert!(read(&bytes[..bytes.len() - 30], &Limits::default()).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..400, with: u8) {
            let _ = read(&bytes, &Limits::default());
            let mut good = archive(|zip| {
                zip.start_file("a", plain()).unwrap();
                zip.write_all(b"some text").unwrap();
                zip.add_symlink("b", "a", plain()).unwrap();
            });
            let at = at % good.len();
            good[at] = with;
            let _ = read(&good, &Limits::default());
        }
    }
}
