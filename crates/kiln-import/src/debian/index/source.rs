//! One source package as an index keeps it.

use kiln_model::Digest;

use super::record::{number, take_number, take_text, text};
use crate::deb::deb822::Stanza;

/// A source package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRecord {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its format: `3.0 (quilt)`, `3.0 (native)`, `1.0`.
    pub format: String,
    /// The folder of its files below the mirror's.
    pub directory: String,
    /// Its files, in the order of the index.
    pub files: Vec<SourceFile>,
}

/// A file of a source package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Its name, without folders.
    pub name: String,
    /// Its size.
    pub size: u64,
    /// Its digest.
    pub sha256: Digest,
}

fn plain(component: &str) -> bool {
    let odd = |c: char| c.is_control() || matches!(c, '/' | '\\' | '?' | '#' | '%');
    !matches!(component, "" | "." | "..") && !component.contains(odd)
}

impl SourceRecord {
    /// Takes it from a stanza of `Sources`; the error is the field that is missing or wrong.
    ///
    /// # Errors
    /// When a field that every source package has is missing or makes no sense.
    pub fn from_stanza(stanza: &Stanza<'_>) -> Result<Self, &'static str> {
        let needed = |field: &'static str| stanza.get(field).filter(|v| !v.is_empty()).map(str::to_owned).ok_or(field);
        let directory = needed("Directory")?;
        if directory != "." && !directory.split('/').all(plain) {
            return Err("Directory");
        }
        let mut files = Vec::new();
        for line in stanza.lines("Checksums-Sha256") {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let [sha256, size, name] = words[..] else { return Err("Checksums-Sha256") };
            let (Ok(sha256), Ok(size), true) = (sha256.parse(), size.parse(), plain(name)) else {
                return Err("Checksums-Sha256");
            };
            files.push(SourceFile { name: name.to_owned(), size, sha256 });
        }
        if files.is_empty() {
            return Err("Checksums-Sha256");
        }
        Ok(Self { name: needed("Package")?, version: needed("Version")?, format: needed("Format")?, directory, files })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        for field in [&self.name, &self.version, &self.format, &self.directory] {
            text(out, field);
        }
        for file in &self.files {
            text(out, &file.name);
            number(out, file.size);
            out.extend_from_slice(file.sha256.as_bytes());
        }
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let from = &mut bytes;
        let mut record = Self {
            name: take_text(from)?,
            version: take_text(from)?,
            format: take_text(from)?,
            directory: take_text(from)?,
            files: Vec::new(),
        };
        while !from.is_empty() {
            let (name, size) = (take_text(from)?, take_number(from)?);
            let (digest, rest) = from.split_first_chunk::<32>()?;
            record.files.push(SourceFile { name, size, sha256: Digest::from_bytes(*digest) });
            *from = rest;
        }
        Some(record)
    }
}
