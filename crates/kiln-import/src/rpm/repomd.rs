//! `repodata/repomd.xml`: a repository's signed statement of its indexes.

use kiln_archive::Compression;
use kiln_model::Digest;

use super::error::IndexError;
use super::xml::{self, Element, Visitor};

/// Its place in a repository.
pub(super) const PATH: &str = "repodata/repomd.xml";

/// No statement is longer.
pub(super) const LIMIT: u64 = 4 << 20;

/// What tells a number of seconds from the number of a release: 1990.
const EARLIEST: u64 = 631_152_000;

/// An index that a statement names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFile {
    /// Its path in the repository.
    pub path: String,
    /// Its digest.
    pub sha256: Digest,
    /// Its size, where the statement says it.
    pub size: Option<u64>,
    /// What it is unpacked, in bytes, where the statement says it.
    pub unpacked: Option<u64>,
    /// How it is packed, by its name.
    pub compression: Compression,
}

/// What a statement says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// When it was made, in seconds since 1970.
    pub date: u64,
    /// The index of packages.
    pub primary: DataFile,
    /// The index of all their files, where there is one.
    pub filelists: Option<DataFile>,
}

impl Statement {
    /// Reads a statement. Whoever calls has checked its signature, or knows its digest.
    ///
    /// # Errors
    /// When it is none, or names an index in a way that cannot be used.
    pub fn parse(bytes: &[u8]) -> Result<Self, IndexError> {
        let fault = |why| IndexError::Read { file: PATH.to_owned(), why };
        let mut read = Statements::default();
        xml::read(bytes, &mut read).map_err(fault)?;
        let timestamps = read.timestamps.iter().copied().max();
        // A revision is the time, unless whoever made the repository chose another.
        let revision = read.revision.filter(|revision| *revision > EARLIEST);
        let date = revision.or(timestamps).ok_or_else(|| fault("it does not say when it was made".to_owned()))?;
        let primary = read.primary.ok_or_else(|| fault("it names no index `primary`".to_owned()))?;
        Ok(Self { date, primary, filelists: read.filelists })
    }
}

#[derive(Default)]
struct Statements {
    revision: Option<u64>,
    timestamps: Vec<u64>,
    primary: Option<DataFile>,
    filelists: Option<DataFile>,
    data: Data,
}

/// The entry that is read.
#[derive(Default)]
struct Data {
    kind: String,
    digest: String,
    sha256: Option<Digest>,
    size: Option<u64>,
    unpacked: Option<u64>,
    path: Option<String>,
    is_elsewhere: bool,
}

impl Data {
    fn finish(self) -> Result<DataFile, String> {
        let kind = &self.kind;
        let sha256 = self.sha256.ok_or_else(|| format!("it names `{kind}` by something other than its SHA-256"))?;
        let path = self.path.filter(|_| !self.is_elsewhere).filter(|path| is_sound(path));
        let path = path.ok_or_else(|| format!("`{kind}` is not within the repository"))?;
        let suffix = path.rfind('/').map_or(&*path, |at| &path[at..]);
        let suffix = suffix.rfind(".xml").map(|at| &suffix[at + ".xml".len()..]);
        let compression = suffix.and_then(Compression::of_suffix);
        let compression = compression.ok_or_else(|| format!("`{path}` is packed in a way that is not known"))?;
        Ok(DataFile { sha256, size: self.size, unpacked: self.unpacked, compression, path })
    }
}

/// Does a path stay within the folder that it is relative to, and can it be part of an address?
pub(super) fn is_sound(path: &str) -> bool {
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'\\' | b'?' | b'#' | b'"' | b'<' | b'>');
    !path.is_empty()
        && path.bytes().all(plain)
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && !path.contains("://")
}

impl Visitor for Statements {
    fn start(&mut self, name: &str, element: &Element<'_>) -> Result<(), String> {
        match name {
            "data" => self.data = Data { kind: element.require("type")?, ..Data::default() },
            "checksum" => self.data.digest = element.require("type")?,
            "location" => {
                self.data.is_elsewhere = element.get("base")?.is_some();
                self.data.path = Some(element.require("href")?);
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, name: &str, text: &str) -> Result<(), String> {
        let text = text.trim();
        let number = || text.parse::<u64>().ok();
        match name {
            "revision" => self.revision = number(),
            "timestamp" => self.timestamps.extend(number()),
            "size" => self.data.size = number(),
            "open-size" => self.data.unpacked = number(),
            "checksum" if self.data.digest == "sha256" => self.data.sha256 = text.parse().ok(),
            "data" => {
                let data = std::mem::take(&mut self.data);
                let place = match &*data.kind {
                    "primary" => &mut self.primary,
                    "filelists" => &mut self.filelists,
                    _ => return Ok(()),
                };
                if place.is_some() {
                    return Err(format!("it names `{}` twice", data.kind));
                }
                *place = Some(data.finish()?);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHA: &str = "75699018292c12ab8b38830c416a328824fd15cad491816b76be055a28b9b8ee";

    fn statement(revision: &str, href: &str, algorithm: &str) -> String {
        format!(
            "<repomd xmlns=\"x\"><revision>{revision}</revision><data type=\"primary\"><checksum type=\"{algorithm}\">{SHA}\
             </checksum><open-checksum type=\"sha256\">00</open-checksum><location href=\"{href}\"/><timestamp>1700000000\
             </timestamp><size>662</size><open-size>1615</open-size></data><data type=\"other\"></data></repomd>"
        )
    }

    #[test]
    fn names_the_index_and_the_date() {
        let read = |revision| Statement::parse(statement(revision, "repodata/x-primary.xml.zst", "sha256").as_bytes());
        let found = read("1795694049").unwrap();
        assert_eq!((found.date, found.primary.size, found.primary.unpacked), (1_795_694_049, Some(662), Some(1615)));
        assert_eq!((found.primary.compression, found.filelists), (Compression::Zstd, None));
        assert_eq!(read("42").unwrap().date, 1_700_000_000, "a number of one's own is no date");
    }

    #[test]
    fn what_leads_elsewhere_or_is_named_weakly_is_refused() {
        for (href, algorithm, part) in [
            ("../x-primary.xml.gz", "sha256", "not within"),
            ("/x-primary.xml.gz", "sha256", "not within"),
            ("https://elsewhere/x-primary.xml.gz", "sha256", "not within"),
            ("repodata/primary.xml.gz", "sha1", "other than its SHA-256"),
            ("repodata/primary.xml.lzma", "sha256", "not known"),
        ] {
            let told = Statement::parse(statement("1", href, algorithm).as_bytes()).unwrap_err().to_string();
            assert!(told.contains(part), "{href}: {told}");
        }
        assert!(Statement::parse(b"<repomd/>").is_err());
    }

    proptest! {
        #[test]
        fn a_damaged_statement_never_panics(at in 0usize..400, byte in any::<u8>()) {
            let mut bytes = statement("1795694049", "repodata/primary.xml", "sha256").into_bytes();
            let place = at % bytes.len();
            bytes[place] = byte;
            let _ = Statement::parse(&bytes);
        }
    }
}
