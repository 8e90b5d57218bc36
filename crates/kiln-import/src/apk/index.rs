//! `APKINDEX.tar.gz`: what a repository has.
//!
//! A file is a signature in a gzip member of its own, and behind it, signed as it stands, a tar archive with `APKINDEX`.
//! That has a paragraph for each package, a letter a field.

use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kiln_archive::{Compression, Kind, Limits, ReadError, limits, tar};
use kiln_model::project::IndexSignatures;

use super::dependency::Dependency;
use super::envelope::{self, Identity};
use super::error::IndexError;
use super::keys::{Keys, SignatureError};
use crate::reach::newest;

/// No index is longer, unpacked: fifty times Alpine's largest.
const LIMIT: u64 = 1 << 30;

/// What an index says of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture, in Alpine's words.
    pub architecture: String,
    /// What it is known by.
    pub identity: Identity,
    /// The size of its file.
    pub size: u64,
    /// The package whose build it came out of.
    pub source: Option<String>,
    /// What it needs and what it cannot be with, as written.
    pub depends: String,
    /// Names it also answers to, as written.
    pub provides: String,
    /// When all of these are there it comes by itself, as written.
    pub install_if: String,
    /// Of several that provide a name without a version the highest is taken, and none where nobody says so.
    pub provider_priority: u32,
    /// When it was built, in seconds since 1970.
    pub built: u64,
}

/// An index.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Index {
    /// Its packages, in its order.
    pub records: Vec<Record>,
}

impl Index {
    /// Reads an index that one of the keys signed.
    ///
    /// # Errors
    /// When no signature counts, or it cannot be read.
    pub fn verify(bytes: &[u8], keys: &Keys, weakest: IndexSignatures) -> Result<Self, IndexError> {
        let (first, rest) = envelope::member(bytes, 1 << 20).map_err(IndexError::Read)?;
        let signatures = envelope::signatures(&first.decoded).map_err(IndexError::Read)?;
        keys.verify(&signatures.ok_or(SignatureError::None)?, rest, weakest)?;
        Self::unpack(rest)
    }

    /// Reads an index that is known by its digest: one that was believed before.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(bytes: &[u8]) -> Result<Self, IndexError> {
        let (_, rest) = envelope::member(bytes, 1 << 20).map_err(IndexError::Read)?;
        Self::unpack(rest)
    }

    /// When its newest package was built. An index has no date of its own; this one is signed with it.
    #[must_use]
    pub fn newest(&self) -> u64 {
        newest(self.records.iter().map(|record| record.built))
    }

    fn unpack(packed: &[u8]) -> Result<Self, IndexError> {
        let fault = |error: std::io::Error| IndexError::Read(ReadError::from(error));
        let bounds = Limits { entries: 64, total_bytes: LIMIT, ..Limits::default() };
        let reader = limits::open(Compression::Gzip, packed, &bounds).map_err(fault)?;
        let mut tar = tar::Reader::new(reader, &bounds);
        let mut text = None;
        while let Some(entry) = tar.next_entry().map_err(IndexError::Read)? {
            if entry.kind == Kind::File && entry.path.as_str() == "APKINDEX" {
                let mut bytes = Vec::new();
                tar.read_to_end(&mut bytes).map_err(fault)?;
                if text.replace(bytes).is_some() {
                    let why = "it is there twice".to_owned();
                    return Err(IndexError::Read(ReadError::Header { entry: "APKINDEX".to_owned(), why }));
                }
            }
        }
        let why = || "it has no `APKINDEX`".to_owned();
        let text = text.ok_or_else(|| IndexError::Read(ReadError::Format { format: "an index", why: why() }))?;
        Self::parse(&text)
    }

    /// Reads the text of an index.
    ///
    /// # Errors
    /// At the first record that makes no sense.
    pub fn parse(bytes: &[u8]) -> Result<Self, IndexError> {
        // Descriptions may be in any encoding; nothing else is anything but ASCII.
        let text = String::from_utf8_lossy(bytes);
        let paragraphs = text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty());
        Ok(Self { records: paragraphs.map(record).collect::<Result<_, _>>()? })
    }
}

fn record(paragraph: &str) -> Result<Record, IndexError> {
    let field = |letter: char| {
        let mut lines = paragraph.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.chars().eq([letter])).map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    };
    let name = field('P').unwrap_or("?");
    let fault = |why: String| IndexError::Record { package: name.chars().take(80).collect(), why };
    let required = |letter: char| field(letter).ok_or_else(|| fault(format!("it has no `{letter}:`")));
    let number = |letter: char| match field(letter) {
        None => Ok(None),
        Some(text) => text.parse::<u64>().map(Some).map_err(|_| fault(format!("`{letter}:{text}` is not a number"))),
    };
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-._".contains(&b));
    let (name, version, architecture) = (required('P')?, required('V')?, required('A')?);
    // They become the name of a file on a mirror.
    for text in [name, version, architecture] {
        if !plain(text) || text.starts_with('.') {
            return Err(fault(format!("`{}` cannot be part of a file's name", text.escape_debug())));
        }
    }
    let relations = |letter: char| -> Result<String, IndexError> {
        let text = field(letter).unwrap_or_default();
        Dependency::parse_all(text).map_err(|source| IndexError::Dependency { package: name.to_owned(), source })?;
        Ok(text.to_owned())
    };
    Ok(Record {
        identity: identity(required('C')?).ok_or_else(|| fault("its `C:` is no digest".to_owned()))?,
        size: number('S')?.ok_or_else(|| fault("it has no `S:`".to_owned()))?,
        source: field('o').map(str::to_owned),
        depends: relations('D')?,
        provides: relations('p')?,
        install_if: relations('i')?,
        provider_priority: number('k')?.and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
        built: number('t')?.unwrap_or(0),
        name: name.to_owned(),
        version: version.to_owned(),
        architecture: architecture.to_owned(),
    })
}

/// `Q1` and a SHA-1, or `Q2` and a SHA-256, in base 64.
fn identity(text: &str) -> Option<Identity> {
    let (kind, digits) = text.split_at_checked(2)?;
    let bytes = STANDARD.decode(digits).ok()?;
    match kind {
        "Q1" => bytes.try_into().ok().map(Identity::Sha1),
        "Q2" => bytes.try_into().ok().map(Identity::Sha256),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SAMPLE: &str = "C:Q1qK0GPp9EZ5eX1WoaGMAP+ndAhGs=\nP:busybox\nV:1.37.0-r12\nA:x86_64\nS:500000\nI:900000\nT:Size optimized toolbox\nU:https://busybox.example\nL:GPL-2.0-only\no:busybox\nm:A <a@example.org>\nt:1736000000\nc:abc\nD:so:libc.musl-x86_64.so.1\np:cmd:busybox=1.37.0-r12\nk:100\ni:a b\n\n";

    #[test]
    fn reads_each_field() {
        let index = Index::parse(format!("{SAMPLE}{}", SAMPLE.replace("P:busybox", "P:other")).as_bytes()).unwrap();
        let [busybox, other] = &index.records[..] else { panic!("{index:?}") };
        assert_eq!((&*busybox.name, &*busybox.version, busybox.size), ("busybox", "1.37.0-r12", 500_000));
        assert_eq!((busybox.provider_priority, busybox.built, &*busybox.install_if), (100, 1_736_000_000, "a b"));
        assert!(matches!(busybox.identity, Identity::Sha1(_)));
        assert_eq!(other.name, "other");
    }

    #[test]
    fn refuses_records_that_lead_elsewhere_or_lack_something() {
        for (from, to) in [
            ("P:busybox", "P:../../x"),
            ("V:1.37.0-r12", "V:1/../2"),
            ("A:x86_64", "A:"),
            ("C:Q1qK0GPp9EZ5eX1WoaGMAP+ndAhGs=", "C:Q1qK0G"),
            ("C:Q1qK0GPp9EZ5eX1WoaGMAP+ndAhGs=", "C:"),
            ("S:500000", "S:many"),
            ("S:500000\n", ""),
            ("D:so:libc", "D:a@edge so:libc"),
        ] {
            let text = SAMPLE.replace(from, to);
            assert!(Index::parse(text.as_bytes()).is_err(), "{to}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), text in "([CPVASDpik]:[ -~]{0,12}\n){0,12}\n?") {
            let _ = Index::parse(&bytes);
            let _ = Index::read(&bytes);
            let _ = Index::parse(text.as_bytes());
        }
    }
}
