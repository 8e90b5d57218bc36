//! Writing tar archives: the same calls give the same bytes.
//!
//! Headers are ustar. A PAX header goes before one only for what ustar cannot carry: names that are long or not ASCII,
//! numbers that are too large, extended attributes. Its records come in a fixed order. Nothing is taken from the system: the caller
//! says every owner, mode and time. The archive ends with two blocks of zeros and no further padding.

use std::io::{self, Read, Write};

use super::BLOCK;
use super::header::{self, Header};
use super::pax;
use crate::{BUFFER, Entry, Kind};

/// Writes entries.
pub struct Writer<W> {
    writer: W,
    buffer: Box<[u8]>,
}

impl<W: Write> Writer<W> {
    /// Writes to `writer`, which should be buffered.
    pub fn new(writer: W) -> Self {
        Self { writer, buffer: vec![0; BUFFER].into_boxed_slice() }
    }

    /// Writes an entry without content.
    ///
    /// # Errors
    /// When it cannot be written or expressed, or has content.
    pub fn add_empty(&mut self, entry: &Entry) -> io::Result<()> {
        self.add(entry, &mut io::empty())
    }

    /// Writes an entry and, for a file, exactly `entry.size` bytes of `content`.
    ///
    /// # Errors
    /// When it cannot be written or expressed, or `content` is shorter or longer than it should be. The archive is then
    /// of no use.
    pub fn add(&mut self, entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
        if entry.kind != Kind::File && entry.size > 0 {
            return Err(invalid(entry, "has a length but is no file"));
        }
        self.head(entry)?;
        let mut left = entry.size;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            let read = content.read(&mut self.buffer[..wanted])?;
            if read == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("the content of `{}` is shorter than it should be", entry.path),
                ));
            }
            self.writer.write_all(&self.buffer[..read])?;
            left -= read as u64;
        }
        if entry.kind == Kind::File && content.read(&mut self.buffer[..1])? != 0 {
            return Err(invalid(entry, "has more content than it should"));
        }
        self.pad(entry.size)
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let padding = size.next_multiple_of(BLOCK as u64) - size;
        self.writer.write_all(&[0; BLOCK][..padding as usize])
    }

    fn head(&mut self, entry: &Entry) -> io::Result<()> {
        let mut name = match (entry.path.is_root(), &entry.kind) {
            (true, Kind::Directory) => "./".to_owned(),
            (true, _) => return Err(invalid(entry, "is the root, which is a directory")),
            (false, _) => entry.path.as_str().to_owned(),
        };
        if entry.kind == Kind::Directory && !entry.path.is_root() {
            name.push('/');
        }
        let mut header = Header::ustar();
        let mut records = Vec::new();
        name_into(&mut header, &mut records, &name);
        header.set_number(header::MODE, u64::from(entry.mode & 0o7777));
        let mut number = |header: &mut Header, field: std::ops::Range<usize>, key, number: u64| {
            if header::fits(&field, number) {
                header.set_number(field, number);
            } else {
                header.set_number(field, 0);
                pax::write(&mut records, key, number.to_string().as_bytes());
            }
        };
        number(&mut header, header::UID, "uid", u64::from(entry.uid));
        number(&mut header, header::GID, "gid", u64::from(entry.gid));
        number(&mut header, header::SIZE, "size", entry.size);
        match u64::try_from(entry.mtime) {
            Ok(mtime) => number(&mut header, header::MTIME, "mtime", mtime),
            Err(_) => pax::write(&mut records, "mtime", entry.mtime.to_string().as_bytes()),
        }
        header.0[header::TYPE] = match &entry.kind {
            Kind::File => b'0',
            Kind::Hardlink(target) => {
                link_into(&mut header, &mut records, target.as_str());
                b'1'
            }
            Kind::Symlink(target) => {
                link_into(&mut header, &mut records, target);
                b'2'
            }
            Kind::Character { .. } => b'3',
            Kind::Block { .. } => b'4',
            Kind::Directory => b'5',
            Kind::Fifo => b'6',
        };
        for (field, key, text) in [(header::USER, "uname", &entry.user), (header::GROUP, "gname", &entry.group)] {
            if text.len() < field.len() && text.is_ascii() {
                header.set_text(field, text.as_bytes());
            } else {
                pax::write(&mut records, key, text.as_bytes());
            }
        }
        let (major, minor) = match entry.kind {
            Kind::Character { major, minor } | Kind::Block { major, minor } => (major, minor),
            _ => (0, 0),
        };
        for (field, number) in [(header::MAJOR, major), (header::MINOR, minor)] {
            if !header::fits(&field, u64::from(number)) {
                return Err(invalid(entry, "has a device number that tar cannot carry"));
            }
            header.set_number(field, u64::from(number));
        }
        for (name, value) in &entry.xattrs {
            if name.contains('=') {
                return Err(invalid(entry, "has an extended attribute whose name holds `=`"));
            }
            pax::write(&mut records, &format!("{}{name}", pax::XATTR), value);
        }
        if let Some(sha1) = &entry.sha1 {
            let hex: String = sha1.iter().map(|byte| format!("{byte:02x}")).collect();
            pax::write(&mut records, pax::SHA1, hex.as_bytes());
        }
        self.records(&records, entry)?;
        header.seal();
        self.writer.write_all(&header.0)
    }

    /// Writes the PAX header, if there is one.
    fn records(&mut self, records: &[u8], entry: &Entry) -> io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let mut header = Header::ustar();
        // A name that only programs without PAX will see.
        let last = entry.path.file_name().unwrap_or(".");
        header.set_text(header::NAME, &[b"PaxHeaders/", ascii(last, 80).as_bytes()].concat());
        for field in [header::UID, header::GID, header::MAJOR, header::MINOR] {
            header.set_number(field, 0);
        }
        header.set_number(header::MODE, 0o644);
        header.set_number(header::SIZE, records.len() as u64);
        header.set_number(header::MTIME, kiln_model::SOURCE_DATE_EPOCH);
        header.0[header::TYPE] = b'x';
        header.seal();
        self.writer.write_all(&header.0)?;
        self.writer.write_all(records)?;
        self.pad(records.len() as u64)
    }

    /// Ends the archive and gives back the writer.
    ///
    /// # Errors
    /// When the end cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.writer.write_all(&[0; 2 * BLOCK])?;
        Ok(self.writer)
    }
}

/// Puts a name where it fits: the name field, name and prefix, or a record.
fn name_into(header: &mut Header, records: &mut Vec<u8>, name: &str) {
    if name.is_ascii() {
        if name.len() <= header::NAME.len() {
            return header.set_text(header::NAME, name.as_bytes());
        }
        // Split at the first slash that leaves few enough bytes after it, and at least one.
        let from = name.len() - header::NAME.len() - 1;
        let cut = name.as_bytes()[from..name.len() - 1].iter().position(|&b| b == b'/').map(|at| from + at);
        if let Some(cut) = cut.filter(|&cut| (1..=header::PREFIX.len()).contains(&cut)) {
            header.set_text(header::PREFIX, &name.as_bytes()[..cut]);
            return header.set_text(header::NAME, &name.as_bytes()[cut + 1..]);
        }
    }
    pax::write(records, "path", name.as_bytes());
    let directory = if name.ends_with('/') { "/" } else { "" };
    let stand_in = ascii(name.trim_end_matches('/'), header::NAME.len() - 1) + directory;
    header.set_text(header::NAME, stand_in.as_bytes());
}

fn link_into(header: &mut Header, records: &mut Vec<u8>, target: &str) {
    if target.is_ascii() && target.len() <= header::LINK.len() {
        header.set_text(header::LINK, target.as_bytes());
    } else {
        pax::write(records, "linkpath", target.as_bytes());
        header.set_text(header::LINK, ascii(target, header::LINK.len()).as_bytes());
    }
}

/// The last `length` bytes of a text at most, with `_` for what is not ASCII.
fn ascii(text: &str, length: usize) -> String {
    let plain: String = text.chars().map(|c| if c.is_ascii() { c } else { '_' }).collect();
    plain[plain.len().saturating_sub(length)..].trim_start_matches('/').to_owned()
}

fn invalid(entry: &Entry, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("`{}` {what}", entry.path))
}
