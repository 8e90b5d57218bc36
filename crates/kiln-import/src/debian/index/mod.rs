//! The archive's indexes in a form that opens at once: `Packages` as [`Index<Record>`], `Sources` as
//! [`Index<SourceRecord>`].
//!
//! A file holds every record, the names that records have or provide, sorted, and for each name where its records are.
//! It is a cache: built once from an index that a verified release names, kept under that index's digest, and built
//! again when it is damaged ([`IndexError::is_unusable`]). Every page of it is checked before it is read. The layout is
//! in `docs/format/archive-index.md`.
//!
//! Files are written aside and renamed, so several processes may build one at once and none sees half of it.

mod pages;
mod record;
mod source;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use kiln_model::Digest;

pub use pages::PagesError;
pub use record::{MultiArch, Priority, Record};
pub use source::{SourceFile, SourceRecord};

use self::pages::{PageWriter, Pages};
use super::relation;
use crate::deb::deb822::{self, Reader, Stanza};

/// The version of the format. Raise it when the layout, or what records hold, changes.
pub const FORMAT: u32 = 1;

/// The name that lists the Essential packages: none that a package can have.
const ESSENTIAL: &str = "";

/// The size of an entry of the table of names.
const ENTRY: u64 = 16;

/// What an index can hold.
pub trait Entry: Sized {
    /// Tells the kinds of files apart.
    const KIND: u32;
    /// Takes it from a stanza; the error is the field that is missing or wrong.
    ///
    /// # Errors
    /// When a field that every package has is missing or makes no sense.
    fn read(stanza: &Stanza<'_>) -> Result<Self, &'static str>;
    /// Its name and version.
    fn identity(&self) -> (&str, &str);
    /// The other names it is found under.
    fn provided(&self) -> Vec<String>;
    /// Is it taken for granted?
    fn is_essential(&self) -> bool;
    /// Writes it.
    fn put(&self, out: &mut Vec<u8>);
    /// Reads what [`Self::put`] wrote.
    fn take(bytes: &[u8]) -> Option<Self>;
}

impl Entry for Record {
    const KIND: u32 = 1;

    fn read(stanza: &Stanza<'_>) -> Result<Self, &'static str> {
        Self::from_stanza(stanza)
    }

    fn identity(&self) -> (&str, &str) {
        (&self.name, &self.version)
    }

    fn provided(&self) -> Vec<String> {
        // What cannot be parsed provides nothing here; who selects the package hears of it.
        let groups = relation::parse(&self.provides).unwrap_or_default();
        let mut names: Vec<_> = groups.iter().flatten().map(|relation| relation.name.to_owned()).collect();
        names.sort();
        names.dedup();
        names
    }

    fn is_essential(&self) -> bool {
        self.essential
    }

    fn put(&self, out: &mut Vec<u8>) {
        self.encode(out);
    }

    fn take(bytes: &[u8]) -> Option<Self> {
        Self::decode(bytes)
    }
}

impl Entry for SourceRecord {
    const KIND: u32 = 2;

    fn read(stanza: &Stanza<'_>) -> Result<Self, &'static str> {
        Self::from_stanza(stanza)
    }

    fn identity(&self) -> (&str, &str) {
        (&self.name, &self.version)
    }

    fn provided(&self) -> Vec<String> {
        Vec::new()
    }

    fn is_essential(&self) -> bool {
        false
    }

    fn put(&self, out: &mut Vec<u8>) {
        self.encode(out);
    }

    fn take(bytes: &[u8]) -> Option<Self> {
        Self::decode(bytes)
    }
}

/// Why an index cannot be built or read.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The archive's index is not in control syntax.
    #[error("the archive's index cannot be read")]
    Syntax(#[from] deb822::Error),
    /// A package without what every package has.
    #[error("the archive's index has a package on line {line} whose field `{field}` is missing or wrong")]
    Field {
        /// The line.
        line: u64,
        /// The field.
        field: &'static str,
    },
    /// More than the format can hold.
    #[error("the archive's index is too large")]
    TooLarge,
    /// The file cannot be used or read.
    #[error("the kept index cannot be used")]
    Pages(#[from] PagesError),
    /// A file could not be written.
    #[error("cannot write `{}`", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl IndexError {
    /// Is the file damaged, of another version or missing, so that it should be built again?
    #[must_use]
    pub fn is_unusable(&self) -> bool {
        match self {
            Self::Pages(PagesError::Unusable { .. }) => true,
            Self::Pages(PagesError::Io { action, source, .. }) => {
                *action == "open" && source.kind() == io::ErrorKind::NotFound
            }
            _ => false,
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Pages(PagesError::Unusable { path, .. }) => {
                Some(format!("remove `{}`: it is built again from the archive's own index", path.display()))
            }
            Self::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("free some space, then try again".to_owned())
            }
            Self::Syntax(_) | Self::Field { .. } => Some("the archive is broken: tell its maintainers".to_owned()),
            _ => None,
        }
    }
}

/// Where a record is: its place and length.
type Place = (u32, u32);

/// An index, open.
#[derive(Debug)]
pub struct Index<R = Record> {
    pages: Pages,
    records: std::marker::PhantomData<fn() -> R>,
}

impl<R: Entry> Index<R> {
    const VERSION: u32 = FORMAT << 8 | R::KIND;

    /// Builds the file from the text of the archive's index, whose digest is `key`.
    ///
    /// # Errors
    /// When the text is not such an index, or the file cannot be written. No file is left then.
    pub fn build(text: impl Read, path: &Path, key: &Digest) -> Result<(), IndexError> {
        let fault = |source| IndexError::Write { path: path.to_owned(), source };
        let folder = path.parent().unwrap_or(Path::new("."));
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        // Whatever goes wrong, dropping it removes the file.
        let aside = tempfile::Builder::new().prefix(".index-").permissions(mode).tempfile_in(folder).map_err(fault)?;
        let file = aside.as_file().try_clone().map_err(fault)?;
        Self::write(text, file, path, key)?;
        aside.persist(path).map_err(|error| fault(error.error))?;
        Ok(())
    }

    fn write(text: impl Read, file: File, path: &Path, key: &Digest) -> Result<(), IndexError> {
        let mut writer = PageWriter::new(file, path);
        let mut reader = Reader::new(BufReader::with_capacity(256 << 10, text));
        let mut names: Vec<(String, bool, Place)> = Vec::new();
        let mut bytes = Vec::new();
        while let Some(stanza) = reader.stanza()? {
            let record = R::read(&stanza).map_err(|field| IndexError::Field { line: stanza.line(), field })?;
            bytes.clear();
            record.put(&mut bytes);
            let place = (short(writer.position())?, short(bytes.len() as u64)?);
            writer.write(&bytes)?;
            names.push((record.identity().0.to_owned(), false, place));
            if record.is_essential() {
                names.push((ESSENTIAL.to_owned(), false, place));
            }
            names.extend(record.provided().into_iter().map(|name| (name, true, place)));
        }
        names.sort_unstable();
        let mut table = Vec::new();
        for of_name in names.chunk_by(|a, b| a.0 == b.0) {
            let name_at = short(writer.position())?;
            let mut bytes = of_name[0].0.clone().into_bytes();
            let name_len = bytes.len();
            for (_, _, (at, len)) in of_name {
                bytes.extend_from_slice(&at.to_le_bytes());
                bytes.extend_from_slice(&len.to_le_bytes());
            }
            writer.write(&bytes)?;
            let own = of_name.iter().filter(|(_, provided, _)| !provided).count();
            for number in [u64::from(name_at), name_len as u64, own as u64, (of_name.len() - own) as u64] {
                table.extend_from_slice(&short(number)?.to_le_bytes());
            }
        }
        let root = writer.position();
        writer.write(&table)?;
        Ok(writer.finish(Self::VERSION, key, root, table.len() as u64 / ENTRY)?)
    }

    /// Opens the file that was built from the index whose digest is `key`.
    ///
    /// # Errors
    /// When it is not there, damaged, or of something else.
    pub fn open(path: &Path, key: &Digest) -> Result<Self, IndexError> {
        let pages = Pages::open(path, Self::VERSION, key)?;
        if pages.tail.checked_mul(ENTRY).and_then(|len| len.checked_add(pages.root)) != Some(pages.len()) {
            return Err(pages.unusable("its table is damaged").into());
        }
        Ok(Self { pages, records: std::marker::PhantomData })
    }

    /// How many names it has, provided ones too.
    #[must_use]
    pub fn name_count(&self) -> u64 {
        self.pages.tail
    }

    fn entry(&self, number: u64) -> Result<[u32; 4], PagesError> {
        let at = self.pages.root + number * ENTRY;
        Ok([self.pages.u32(at)?, self.pages.u32(at + 4)?, self.pages.u32(at + 8)?, self.pages.u32(at + 12)?])
    }

    fn name(&self, entry: [u32; 4]) -> Result<Vec<u8>, PagesError> {
        self.pages.bytes(u64::from(entry[0]), entry[1] as usize)
    }

    fn find_entry(&self, name: &str) -> Result<Option<[u32; 4]>, IndexError> {
        let (mut low, mut high) = (0, self.pages.tail);
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = self.entry(middle)?;
            match self.name(entry)?.as_slice().cmp(name.as_bytes()) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(Some(entry)),
            }
        }
        Ok(None)
    }

    fn records(&self, entry: [u32; 4], from: u32, count: u32) -> Result<Vec<R>, IndexError> {
        let places = u64::from(entry[0]) + u64::from(entry[1]) + u64::from(from) * 8;
        (0..u64::from(count))
            .map(|number| {
                let at = places + number * 8;
                let (at, len) = (self.pages.u32(at)?, self.pages.u32(at + 4)?);
                let bytes = self.pages.bytes(u64::from(at), len as usize)?;
                R::take(&bytes).ok_or_else(|| self.pages.unusable("a record is damaged").into())
            })
            .collect()
    }

    /// The packages of this name, in the order of the archive's index.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn named(&self, name: &str) -> Result<Vec<R>, IndexError> {
        match self.find_entry(name)? {
            Some(entry) => self.records(entry, 0, entry[2]),
            None => Ok(Vec::new()),
        }
    }

    /// The packages that provide this name.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn providers(&self, name: &str) -> Result<Vec<R>, IndexError> {
        match self.find_entry(name)? {
            Some(entry) => self.records(entry, entry[2], entry[3]),
            None => Ok(Vec::new()),
        }
    }

    /// The packages that are taken for granted.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn essential(&self) -> Result<Vec<R>, IndexError> {
        self.named(ESSENTIAL)
    }

    /// Every name, provided ones too, sorted.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn names(&self) -> Result<Vec<String>, IndexError> {
        let mut names = Vec::new();
        for number in 0..self.pages.tail {
            let name = String::from_utf8(self.name(self.entry(number)?)?);
            names.push(name.map_err(|_| self.pages.unusable("a name is damaged"))?);
        }
        names.retain(|name| name != ESSENTIAL);
        Ok(names)
    }
}

fn short(number: u64) -> Result<u32, IndexError> {
    u32::try_from(number).map_err(|_| IndexError::TooLarge)
}

#[cfg(test)]
mod tests;
