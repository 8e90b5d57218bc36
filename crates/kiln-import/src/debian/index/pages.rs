//! A file of checked pages: nothing is read from it that was not compared with its checksum first.
//!
//! ```text
//! body        any bytes, in pages of PAGE bytes, the last one shorter
//! checksums   8 bytes a page: the beginning of the page's sha256
//! footer      magic[8] version:u32 pad:u32 key[32] body_len:u64 root:u64 tail:u64 sha256[32] of checksums + footer so far
//! ```
//!
//! Numbers are little-endian. `root` and `tail` are for the layer above: where its directory begins and how many
//! entries it has. Opening reads footer and checksums only; a page is read and checked when it is first asked for.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use kiln_model::{Digest, Hasher};

const PAGE: usize = 16 << 10;
const FOOTER: usize = 8 + 8 + 32 + 24 + 32;
const MAGIC: &[u8; 8] = b"kilnidx\n";
const CHECKSUM: usize = 8;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PagesError {
    /// It is damaged, or of another version, or of other content. It can be built again.
    #[error("`{}` is not usable: {why}", .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// The system failed.
    #[error("cannot {action} `{}`", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Writes such a file, in one pass.
pub(super) struct PageWriter {
    out: BufWriter<File>,
    path: PathBuf,
    page: Vec<u8>,
    checksums: Vec<u8>,
    len: u64,
}

fn fault(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PagesError {
    let path = path.to_owned();
    move |source| PagesError::Io { action, path, source }
}

impl PageWriter {
    pub(super) fn new(file: File, path: &Path) -> Self {
        Self {
            out: BufWriter::with_capacity(256 << 10, file),
            path: path.to_owned(),
            page: Vec::with_capacity(PAGE),
            checksums: Vec::new(),
            len: 0,
        }
    }

    /// How many bytes there are: where the next ones go.
    pub(super) fn position(&self) -> u64 {
        self.len
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), PagesError> {
        self.len += bytes.len() as u64;
        while !bytes.is_empty() {
            let take = bytes.len().min(PAGE - self.page.len());
            self.page.extend_from_slice(&bytes[..take]);
            bytes = &bytes[take..];
            if self.page.len() == PAGE {
                self.flush_page()?;
            }
        }
        Ok(())
    }

    fn flush_page(&mut self) -> Result<(), PagesError> {
        self.checksums.extend_from_slice(&checksum(&self.page));
        self.out.write_all(&self.page).map_err(fault("write", &self.path))?;
        self.page.clear();
        Ok(())
    }

    /// Ends the file and gives it back, written to the disk.
    pub(super) fn finish(mut self, version: u32, key: &Digest, root: u64, tail: u64) -> Result<(), PagesError> {
        if !self.page.is_empty() {
            self.flush_page()?;
        }
        let mut footer = Vec::with_capacity(FOOTER);
        footer.extend_from_slice(MAGIC);
        footer.extend_from_slice(&version.to_le_bytes());
        footer.extend_from_slice(&[0; 4]);
        footer.extend_from_slice(key.as_bytes());
        for number in [self.len, root, tail] {
            footer.extend_from_slice(&number.to_le_bytes());
        }
        let mut hasher = Hasher::new();
        hasher.update(&self.checksums);
        hasher.update(&footer);
        footer.extend_from_slice(hasher.finish().as_bytes());
        let mut write = || -> io::Result<()> {
            self.out.write_all(&self.checksums)?;
            self.out.write_all(&footer)?;
            self.out.flush()?;
            self.out.get_ref().sync_data()
        };
        write().map_err(fault("write", &self.path))
    }
}

fn checksum(page: &[u8]) -> [u8; CHECKSUM] {
    let mut short = [0; CHECKSUM];
    short.copy_from_slice(&Digest::of(page).as_bytes()[..CHECKSUM]);
    short
}

/// Such a file, open.
#[derive(Debug)]
pub(super) struct Pages {
    file: File,
    path: PathBuf,
    len: u64,
    checksums: Vec<u8>,
    pub(super) root: u64,
    pub(super) tail: u64,
    read: Mutex<BTreeMap<usize, Arc<[u8]>>>,
}

impl Pages {
    /// Opens a file that must be of this version and key.
    pub(super) fn open(path: &Path, version: u32, key: &Digest) -> Result<Self, PagesError> {
        let file = File::open(path).map_err(fault("open", path))?;
        let size = file.metadata().map_err(fault("read", path))?.len();
        let unusable = |why| PagesError::Unusable { path: path.to_owned(), why };
        let mut footer = [0; FOOTER];
        let at = size.checked_sub(FOOTER as u64).ok_or_else(|| unusable("it is cut short"))?;
        file.read_exact_at(&mut footer, at).map_err(fault("read", path))?;
        if footer[..8] != *MAGIC {
            return Err(unusable("it does not end as one"));
        }
        if footer[8..12] != version.to_le_bytes() {
            return Err(unusable("it is of another version"));
        }
        if footer[16..48] != *key.as_bytes() {
            return Err(unusable("it is of other content"));
        }
        let number = |at: usize| footer[at..at + 8].iter().rev().fold(0u64, |all, &b| all << 8 | u64::from(b));
        let (len, root, tail) = (number(48), number(56), number(64));
        let checksum_bytes = len.div_ceil(PAGE as u64).checked_mul(CHECKSUM as u64);
        let whole = checksum_bytes.and_then(|bytes| bytes.checked_add(len)?.checked_add(FOOTER as u64));
        if whole != Some(size) || root > len {
            return Err(unusable("its length is wrong"));
        }
        let count = usize::try_from(at - len).map_err(|_| unusable("its length is wrong"))?;
        let mut checksums = vec![0; count];
        file.read_exact_at(&mut checksums, len).map_err(fault("read", path))?;
        let mut hasher = Hasher::new();
        hasher.update(&checksums);
        hasher.update(&footer[..FOOTER - 32]);
        if hasher.finish().as_bytes() != &footer[FOOTER - 32..] {
            return Err(unusable("its end is damaged"));
        }
        Ok(Self { file, path: path.to_owned(), len, checksums, root, tail, read: Mutex::default() })
    }

    pub(super) fn unusable(&self, why: &'static str) -> PagesError {
        PagesError::Unusable { path: self.path.clone(), why }
    }

    /// Where the body ends.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    fn page(&self, number: usize) -> Result<Arc<[u8]>, PagesError> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = read.get(&number) {
            return Ok(page.clone());
        }
        let at = number as u64 * PAGE as u64;
        let left = self.len.checked_sub(at).ok_or_else(|| self.unusable("it points past its end"))?;
        let mut bytes = vec![0; PAGE.min(usize::try_from(left).unwrap_or(PAGE))];
        self.file.read_exact_at(&mut bytes, at).map_err(fault("read", &self.path))?;
        let wanted = self.checksums.get(number * CHECKSUM..(number + 1) * CHECKSUM);
        if wanted != Some(&checksum(&bytes)[..]) {
            return Err(self.unusable("a page is damaged"));
        }
        let page: Arc<[u8]> = bytes.into();
        read.insert(number, page.clone());
        Ok(page)
    }

    /// Reads `len` bytes at `at`.
    pub(super) fn bytes(&self, at: u64, len: usize) -> Result<Vec<u8>, PagesError> {
        let past = || self.unusable("it points past its end");
        let end = at.checked_add(len as u64).filter(|end| *end <= self.len).ok_or_else(past)?;
        let mut bytes = Vec::with_capacity(len);
        let mut at = at;
        while at < end {
            let number = usize::try_from(at / PAGE as u64).map_err(|_| past())?;
            let page = self.page(number)?;
            let from = usize::try_from(at % PAGE as u64).map_err(|_| past())?;
            let take = (page.len() - from).min(usize::try_from(end - at).unwrap_or(usize::MAX));
            bytes.extend_from_slice(&page[from..from + take]);
            at += take as u64;
        }
        Ok(bytes)
    }

    /// Reads a number of four bytes at `at`.
    pub(super) fn u32(&self, at: u64) -> Result<u32, PagesError> {
        let past = || self.unusable("it points past its end");
        let (number, from) = (at / PAGE as u64, at % PAGE as u64);
        let page = self.page(usize::try_from(number).map_err(|_| past())?)?;
        let from = usize::try_from(from).map_err(|_| past())?;
        match page.get(from..from + 4) {
            Some(bytes) => Ok(bytes.iter().rev().fold(0, |all, &b| all << 8 | u32::from(b))),
            // The number lies across two pages.
            None => Ok(self.bytes(at, 4)?.iter().rev().fold(0, |all, &b| all << 8 | u32::from(b))),
        }
    }
}
