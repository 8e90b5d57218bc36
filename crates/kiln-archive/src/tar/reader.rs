//! Reading tar archives as a stream, through one buffer.

use std::io::{self, BufRead, Read};

use kiln_model::TreePath;

use super::BLOCK;
use super::header::{self, Header};
use super::pax::Records;
use crate::error::shown;
use crate::{BUFFER, Entry, Kind, LimitError, Limits, ReadError};

/// The longest PAX header and the longest GNU long name that are held in memory.
const MAX_RECORDS: u64 = 4 << 20;

/// Reads one entry after the other. Reading from it (it is also a [`BufRead`]) gives the content of the current one.
pub struct Reader<R> {
    reader: R,
    buffer: Box<[u8]>,
    /// The bytes of `buffer` that are not yet used.
    start: usize,
    end: usize,
    /// What is left of the current entry's content, and of the padding after it.
    left: u64,
    padding: u64,
    globals: Records,
    /// How many more entries there may be.
    entries_left: u64,
    entries: u64,
    /// The current entry, for messages.
    name: String,
    done: bool,
}

/// What the headers before an entry said about it.
#[derive(Default)]
struct Pending {
    records: Records,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl<R: Read> Reader<R> {
    /// Reads from `reader`, which needs no buffer of its own, at most as many entries as `limits` allow.
    pub fn new(reader: R, limits: &Limits) -> Self {
        Self {
            reader,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            start: 0,
            end: 0,
            left: 0,
            padding: 0,
            globals: Records::default(),
            entries_left: limits.entries,
            entries: limits.entries,
            name: String::new(),
            done: false,
        }
    }

    /// Skips what is left of the current entry and gives the next one; none at the end.
    ///
    /// # Errors
    /// When the archive cannot be read, a header is damaged, a name must not be used, or an entry is of a kind that is
    /// not supported.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, ReadError> {
        let mut pending = Pending::default();
        loop {
            let Some(header) = self.header()? else { return Ok(None) };
            let size = self.size(&header, &pending)?;
            match header.kind() {
                b'x' | b'X' => pending.records.add(&self.small(size)?)?,
                b'g' => {
                    let bytes = self.small(size)?;
                    self.globals.add(&bytes)?;
                    self.globals.check_global()?;
                }
                b'L' => pending.long_name = Some(self.long_name(size)?),
                b'K' => pending.long_link = Some(self.long_name(size)?),
                b'V' => self.content(size),
                _ => return self.entry(&header, pending, size).map(Some),
            }
        }
    }

    /// The next header block that is one; none at the end.
    fn header(&mut self) -> Result<Option<Header>, ReadError> {
        self.skip()?;
        if self.done || !self.fill_block()? {
            self.end_of_archive()?;
            return Ok(None);
        }
        let mut block = [0; BLOCK];
        block.copy_from_slice(&self.buffer[self.start..self.start + BLOCK]);
        self.start += BLOCK;
        if block == [0; BLOCK] {
            self.end_of_archive()?;
            return Ok(None);
        }
        let header = Header(block);
        if header.is_valid() {
            return Ok(Some(header));
        }
        if self.name.is_empty() {
            return Err(ReadError::Format { format: "a tar archive", why: "its first block is no header".into() });
        }
        Err(ReadError::Header { entry: self.name.clone(), why: "the header after it is damaged".into() })
    }

    /// Reads to the end of the stream, whatever is there, so that what decompresses it checks all of it.
    fn end_of_archive(&mut self) -> Result<(), ReadError> {
        self.done = true;
        loop {
            match self.reader.read(&mut self.buffer) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The length of what follows `header`.
    fn size(&self, header: &Header, pending: &Pending) -> Result<u64, ReadError> {
        let of_header = header.number(header::SIZE).and_then(|size| u64::try_from(size).ok());
        // Links, directories and devices have no content, whatever their header says: old archives repeat the length of
        // a hard link's file there.
        let size = match header.kind() {
            b'1'..=b'6' => Some(0),
            b'x' | b'X' | b'g' | b'L' | b'K' => of_header,
            _ => pending.records.size.or(of_header),
        };
        let size = size.filter(|size| *size <= i64::MAX as u64);
        size.ok_or_else(|| ReadError::header(&header.name(), "its length is not a number"))
    }

    fn content(&mut self, size: u64) {
        self.left = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
    }

    fn small(&mut self, size: u64) -> Result<Vec<u8>, ReadError> {
        if size > MAX_RECORDS {
            return Err(ReadError::header(self.name.as_bytes(), "the extended header after it is too large"));
        }
        self.content(size);
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn long_name(&mut self, size: u64) -> Result<Vec<u8>, ReadError> {
        let mut bytes = self.small(size)?;
        bytes.truncate(bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len()));
        Ok(bytes)
    }

    fn entry(&mut self, header: &Header, pending: Pending, size: u64) -> Result<Entry, ReadError> {
        let Some(left) = self.entries_left.checked_sub(1) else {
            return Err(ReadError::Limit(LimitError::Entries(self.entries)));
        };
        self.entries_left = left;
        let Pending { records, long_name, long_link } = pending;
        let raw = records.path.or(long_name).unwrap_or_else(|| header.name());
        self.name = shown(&raw);
        if records.sparse || header.kind() == b'S' {
            return Err(ReadError::Unsupported { entry: self.name.clone(), what: "a sparse file" });
        }
        let link = || records.link.or(long_link).unwrap_or_else(|| header.text(header::LINK).to_vec());
        let device = |field| {
            let number = header.number(field).and_then(|n| u32::try_from(n).ok());
            number.ok_or_else(|| ReadError::header(&raw, "its device number is none"))
        };
        let kind = match header.kind() {
            0 | b'0' | b'7' if raw.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' => Kind::File,
            b'1' => Kind::Hardlink(path(&link())?),
            b'2' => Kind::Symlink(target(&raw, link())?),
            b'3' => Kind::Character { major: device(header::MAJOR)?, minor: device(header::MINOR)? },
            b'4' => Kind::Block { major: device(header::MAJOR)?, minor: device(header::MINOR)? },
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            b'M' => {
                return Err(ReadError::Unsupported {
                    entry: self.name.clone(),
                    what: "part of a multi-volume archive",
                });
            }
            b'D' | b'N' => {
                return Err(ReadError::Unsupported { entry: self.name.clone(), what: "of an incremental dump" });
            }
            other => {
                return Err(ReadError::header(&raw, format!("its type `{}` is not known", other.escape_ascii())));
            }
        };
        let id = |record: Option<u32>, global: Option<u32>, field| {
            let of_header = || header.number(field).and_then(|n| u32::try_from(n).ok());
            let id = record.or(global).or_else(of_header);
            id.ok_or_else(|| ReadError::header(&raw, "its owner's number is none"))
        };
        let text = |record: Option<String>, global: &Option<String>, field| {
            let of_header = || {
                let field = if header.has_owners() { header.text(field) } else { b"" };
                String::from_utf8_lossy(field).into_owned()
            };
            record.or_else(|| global.clone()).unwrap_or_else(of_header)
        };
        let number = |field, what: &str| header.number(field).ok_or_else(|| ReadError::header(&raw, what));
        let mtime = match records.mtime.or(self.globals.mtime) {
            Some(mtime) => mtime,
            None => number(header::MTIME, "its time is not a number")?,
        };
        let entry = Entry {
            path: path(&raw)?,
            mode: (number(header::MODE, "its mode is not a number")? & 0o7777) as u16,
            uid: id(records.uid, self.globals.uid, header::UID)?,
            gid: id(records.gid, self.globals.gid, header::GID)?,
            user: text(records.user, &self.globals.user, header::USER),
            group: text(records.group, &self.globals.group, header::GROUP),
            size: if kind == Kind::File { size } else { 0 },
            mtime,
            xattrs: records.xattrs,
            sha1: records.sha1,
            kind,
        };
        self.content(size);
        Ok(entry)
    }

    /// Passes over what is left of the content and its padding.
    fn skip(&mut self) -> Result<(), ReadError> {
        self.left = self.left.saturating_add(self.padding);
        self.padding = 0;
        while self.left > 0 {
            let length = self.fill_buf()?.len();
            self.consume(length);
        }
        Ok(())
    }

    /// Brings a whole block into the buffer. False when the stream ends right here.
    fn fill_block(&mut self) -> Result<bool, ReadError> {
        while self.end - self.start < BLOCK {
            if self.buffer.len() - self.start < BLOCK {
                self.buffer.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            }
            if self.more()? == 0 {
                return match (self.end > self.start, self.name.is_empty()) {
                    (true, _) => Err(ReadError::Truncated { within: "a header".into() }),
                    (false, true) => Err(ReadError::Format { format: "a tar archive", why: "it is empty".into() }),
                    (false, false) => Ok(false),
                };
            }
        }
        Ok(true)
    }

    /// Reads more after what is in the buffer.
    fn more(&mut self) -> io::Result<usize> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        loop {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => {
                    let read = result?;
                    self.end += read;
                    return Ok(read);
                }
            }
        }
    }

    fn truncated(&self) -> io::Error {
        ReadError::Truncated { within: format!("`{}`", self.name) }.into()
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end && out.len() >= self.buffer.len() && self.left > 0 {
            // A large read needs no stop in between.
            let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(out.len());
            let read = self.reader.read(&mut out[..wanted])?;
            self.left -= read as u64;
            return if read == 0 { Err(self.truncated()) } else { Ok(read) };
        }
        let available = self.fill_buf()?;
        let length = available.len().min(out.len());
        out[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl<R: Read> BufRead for Reader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left > 0 && self.start == self.end && self.more()? == 0 {
            return Err(self.truncated());
        }
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.end - self.start);
        Ok(&self.buffer[self.start..self.start + length])
    }

    fn consume(&mut self, amount: usize) {
        self.start += amount;
        self.left -= amount as u64;
    }
}

/// A checked path. Empty and `.` components, which change nothing, are dropped; `..` and a leading slash are refused.
fn path(raw: &[u8]) -> Result<TreePath, ReadError> {
    let text = std::str::from_utf8(raw).map_err(|_| ReadError::NotUtf8(shown(raw)))?;
    if text.is_empty() {
        return Err(ReadError::header(raw, "it has no name"));
    }
    crate::entry::path_of(text)
}

fn target(entry: &[u8], raw: Vec<u8>) -> Result<String, ReadError> {
    let text = String::from_utf8(raw).map_err(|error| ReadError::NotUtf8(shown(error.as_bytes())))?;
    crate::entry::check_target(entry, &text)?;
    Ok(text)
}
