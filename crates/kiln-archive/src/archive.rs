//! Tar and zip behind one face, for those who take either.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use crate::{BUFFER, Entry, Limits, ReadError, compress, limits, tar, zip};

/// An archive that is read entry by entry.
pub trait Archive {
    /// The next entry; none at the end.
    ///
    /// # Errors
    /// When the archive cannot be read or holds something that must not be used.
    fn next_entry(&mut self) -> Result<Option<Entry>, ReadError>;

    /// The content of the current entry.
    ///
    /// # Errors
    /// When it cannot be read.
    fn content(&mut self) -> Result<Box<dyn Read + '_>, ReadError>;
}

impl<R: Read> Archive for tar::Reader<R> {
    fn next_entry(&mut self) -> Result<Option<Entry>, ReadError> {
        Self::next_entry(self)
    }

    fn content(&mut self) -> Result<Box<dyn Read + '_>, ReadError> {
        Ok(Box::new(self))
    }
}

impl<R: Read + Seek> Archive for zip::Reader<R> {
    fn next_entry(&mut self) -> Result<Option<Entry>, ReadError> {
        Self::next_entry(self)
    }

    fn content(&mut self) -> Result<Box<dyn Read + '_>, ReadError> {
        Ok(Box::new(Self::content(self)?))
    }
}

/// Opens a file as what its first bytes say: a zip archive, or a tar archive, compressed or not.
///
/// # Errors
/// When it cannot be read or is no archive.
pub fn open_file(mut file: File, limits: &Limits) -> Result<Box<dyn Archive>, ReadError> {
    let mut first = Vec::new();
    file.by_ref().take(4).read_to_end(&mut first)?;
    file.seek(SeekFrom::Start(0))?;
    // An archive's first local header, or the end record of an empty one.
    if first.starts_with(b"PK\x03\x04") || first.starts_with(b"PK\x05\x06") {
        return Ok(Box::new(zip::Reader::new(BufReader::with_capacity(BUFFER, file), limits)?));
    }
    Ok(Box::new(open_tar(file, limits)?))
}

/// Opens a stream as a tar archive, compressed or not.
///
/// # Errors
/// When its first bytes cannot be read.
pub fn open_tar<'a>(
    reader: impl Read + Send + 'a,
    limits: &Limits,
) -> Result<tar::Reader<Box<dyn Read + Send + 'a>>, ReadError> {
    let (compression, reader) = compress::sniff(reader)?;
    Ok(tar::Reader::new(limits::open(compression, reader, limits)?, limits))
}

/// Reads a whole content that must be short.
pub(crate) fn short(reader: &mut dyn Read, most: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    reader.take(most + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= most).then_some(bytes))
}
