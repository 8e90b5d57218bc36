//! One archive as a project uses it: bring its state up to date, open the state that is locked, fetch packages.
//!
//! Everything kept is a cache in one folder, each file named by the digest of what it was made from:
//!
//! ```text
//! SHA256-packages.1   an index of binary packages, see `index`; the number is the format's version
//! SHA256-sources.1    an index of source packages
//! SHA256.release      the signed statement of a state that was believed once, to check what a lock says of the state
//! SHA256.download     the archive's own index while it is fetched and read; removed afterwards
//! lock                held (`flock`) while an index is made, so that two processes make it once
//! ```
//!
//! Once a state is locked its indexes are known by digest, so opening it needs no signature and, when the files are
//! there, no network.

mod error;
mod pool;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};

use kiln_archive::compress::{self, Compression};
use kiln_fetch::{Expect, FetchError, Fetcher, Request, shown};
use kiln_model::lock::LockedIndex;
use kiln_model::report::Task;
use kiln_model::{Architecture, Digest, Event, OriginName, Reporter};

pub use self::error::ArchiveError;
pub use self::pool::{PoolFile, fetch_pool, package_requests};
use super::index::{Entry, FORMAT, Index, IndexError, Record, SourceRecord};
use super::mirror::Mirror;
use super::openpgp::Keyring;
use super::release::{Checks, IndexFile, MaxAge, ReleaseError, SignedRelease, VerifiedRelease};
use crate::reach::{self, ReachError};

/// No release file is longer.
const RELEASE_LIMIT: u64 = 32 << 20;

/// No index is longer, unpacked, when the release does not say how long it is.
const INDEX_LIMIT: u64 = 4 << 30;

/// Which archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveConfig {
    /// The origin's name in the project.
    pub origin: OriginName,
    /// The distribution: what the archive calls its `Origin`, whatever the case of its letters.
    pub distribution: String,
    /// The suite, by its name or its code name.
    pub suite: String,
    /// The components.
    pub components: Vec<String>,
    /// The architectures.
    pub architectures: Vec<Architecture>,
    /// Read the index of source packages too?
    pub sources: bool,
    /// How long a release counts that does not say so itself.
    pub max_age: Option<MaxAge>,
}

/// Where from, and with what.
#[derive(Clone, Copy)]
pub struct Access<'a> {
    /// The mirrors to ask, in this order.
    pub mirrors: &'a [Mirror],
    /// Fetches.
    pub fetcher: &'a Fetcher,
    /// Where indexes are kept.
    pub folder: &'a Path,
    /// Is told what happens.
    pub reporter: &'a dyn Reporter,
}

/// A state of an archive: what the lock keeps of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveState {
    /// The digest of the signed release file.
    pub release: Digest,
    /// Its date, in seconds since 1970; see [`super::date`].
    pub date: u64,
    /// Its indexes, by path.
    pub indexes: Vec<LockedIndex>,
}

/// An archive whose indexes are open.
#[derive(Debug)]
pub struct Archive {
    /// The state.
    pub state: ArchiveState,
    packages: Vec<(String, Index<Record>)>,
    sources: Vec<Index<SourceRecord>>,
}

impl Archive {
    /// Takes the present state of the archive: the first mirror's whose release file is believed. `locked` is the date
    /// of the state in the lock; an older one is a replay. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// When no mirror serves, or the archive lacks what the project asks for.
    pub fn update(
        config: &ArchiveConfig,
        keyrings: &[Keyring],
        access: Access<'_>,
        now: u64,
        locked: Option<u64>,
    ) -> Result<Self, ArchiveError> {
        check_names(config)?;
        let checks = Checks {
            suite: &config.suite,
            distribution: &config.distribution,
            now,
            max_age: config.max_age,
            not_before: locked,
        };
        let (release, bytes, mirrors) = first_believed(config, keyrings, access, &checks)?;
        reach::keep(access.folder, &kept_release(&release.digest()), &bytes)?;
        let fault = |source| ArchiveError::Release { origin: config.origin.clone(), source: Box::new(source) };
        let files = wanted(config, &release).map_err(fault)?;
        let access = Access { mirrors: &mirrors, ..access };
        let indexes: Vec<_> =
            files.iter().map(|f| LockedIndex { path: f.path.clone(), sha256: f.sha256, size: f.size }).collect();
        let state = ArchiveState { release: release.digest(), date: release.date(), indexes };
        Self::with(config, state, &files, access)
    }

    /// Opens the state that is locked. What is kept is not fetched again.
    ///
    /// # Errors
    /// When an index is neither kept nor to be had any more.
    pub fn open(config: &ArchiveConfig, state: ArchiveState, access: Access<'_>) -> Result<Self, ArchiveError> {
        check_names(config)?;
        let file = |pin: &LockedIndex| {
            let (folder, name) = pin.path.rsplit_once('/').unwrap_or(("", &pin.path));
            let ending = name.find('.').map_or("", |at| &name[at..]);
            let compression = Compression::of_suffix(ending).ok_or_else(|| ArchiveError::Name(pin.path.clone()))?;
            let safe = pin.path.split('/').all(is_plain);
            let by_hash = Some(format!("{folder}/by-hash/SHA256/{}", pin.sha256.to_hex()));
            let (path, sha256, size) = (pin.path.clone(), pin.sha256, pin.size);
            let file = IndexFile { path, by_hash, compression, sha256, size, unpacked: None };
            if safe { Ok(file) } else { Err(ArchiveError::Name(pin.path.clone())) }
        };
        let files = state.indexes.iter().map(file).collect::<Result<Vec<_>, _>>()?;
        Self::with(config, state, &files, access)
    }

    fn with(
        config: &ArchiveConfig,
        state: ArchiveState,
        files: &[IndexFile],
        access: Access<'_>,
    ) -> Result<Self, ArchiveError> {
        fs::create_dir_all(access.folder).map_err(ReachError::folder(access.folder))?;
        let mut archive = Self { state, packages: Vec::new(), sources: Vec::new() };
        for file in files {
            if file.path.contains("/source/") {
                archive.sources.push(index::<SourceRecord>(config, file, "sources", access)?);
            } else {
                archive.packages.push((file.path.clone(), index::<Record>(config, file, "packages", access)?));
            }
        }
        Ok(archive)
    }

    /// A state that was believed before, as its statement has it: known by its digest, or, where that is not kept, by
    /// everything else that is said of the state. None when it is not kept, or does not speak of what is asked for.
    #[must_use]
    pub fn kept_state(
        config: &ArchiveConfig,
        release: Digest,
        (date, indexes): (u64, &[LockedIndex]),
        folder: &Path,
    ) -> Option<ArchiveState> {
        if folder.join(kept_release(&release)).exists() {
            return state_of(config, release, folder);
        }
        let entries = fs::read_dir(folder).ok()?.filter_map(Result::ok);
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut releases: Vec<Digest> = names.filter_map(|name| name.strip_suffix(RELEASE)?.parse().ok()).collect();
        releases.sort();
        let mut states = releases.into_iter().filter_map(|release| state_of(config, release, folder));
        states.find(|state| state.date == date && state.indexes.iter().all(|pin| indexes.contains(pin)))
    }

    /// The packages of this name, for any architecture.
    ///
    /// # Errors
    /// When an index cannot be read.
    pub fn named(&self, name: &str) -> Result<Vec<Record>, IndexError> {
        let mut records = Vec::new();
        for (_, index) in &self.packages {
            records.extend(index.named(name)?);
        }
        Ok(records)
    }

    /// The indexes of binary packages that matter for an architecture.
    #[must_use]
    pub fn packages(&self, architecture: Architecture) -> Vec<&Index<Record>> {
        let fits = |path: &str| path.contains(&format!("/binary-{architecture}/")) || path.contains("/binary-all/");
        self.packages.iter().filter(|(path, _)| fits(path)).map(|(_, index)| index).collect()
    }

    /// The indexes of source packages.
    #[must_use]
    pub fn sources(&self) -> &[Index<SourceRecord>] {
        &self.sources
    }
}

fn is_plain(part: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '+' | '~');
    !part.is_empty() && !part.starts_with('.') && part.chars().all(allowed)
}

fn check_names(config: &ArchiveConfig) -> Result<(), ArchiveError> {
    let mut names = std::iter::once(&config.suite).chain(&config.components);
    match names.find(|name| !name.split('/').all(is_plain)) {
        Some(name) => Err(ArchiveError::Name(name.clone())),
        None => Ok(()),
    }
}

/// What the names of kept statements end with.
const RELEASE: &str = ".release";

fn kept_release(digest: &Digest) -> String {
    format!("{}{RELEASE}", digest.to_hex())
}

/// The state whose statement has this digest.
fn state_of(config: &ArchiveConfig, release: Digest, folder: &Path) -> Option<ArchiveState> {
    let bytes = fs::read(folder.join(kept_release(&release))).ok()?;
    let known = SignedRelease::parse(&bytes).ok()?.known(&release).ok()?;
    let files = wanted(config, &known).ok()?;
    let pin = |file: IndexFile| LockedIndex { path: file.path, sha256: file.sha256, size: file.size };
    Some(ArchiveState { release, date: known.date(), indexes: files.into_iter().map(pin).collect() })
}

/// The indexes that the project asks for.
fn wanted(config: &ArchiveConfig, release: &VerifiedRelease) -> Result<Vec<IndexFile>, ReleaseError> {
    let mut files = Vec::new();
    for component in &config.components {
        for architecture in &config.architectures {
            files.push(release.index(&format!("{component}/binary-{architecture}/Packages"))?);
        }
        if release.all_is_apart() {
            files.push(release.index(&format!("{component}/binary-all/Packages"))?);
        }
        if config.sources {
            files.push(release.index(&format!("{component}/source/Sources"))?);
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup();
    Ok(files)
}

/// The release of the first mirror that is believed, its bytes, and the mirrors with that one first.
fn first_believed(
    config: &ArchiveConfig,
    keyrings: &[Keyring],
    access: Access<'_>,
    checks: &Checks<'_>,
) -> Result<(VerifiedRelease, Vec<u8>, Vec<Mirror>), ArchiveError> {
    let mut attempts = Vec::new();
    for (place, mirror) in access.mirrors.iter().enumerate() {
        let (origin, shown_mirror) = (config.origin.clone(), shown(&mirror.url));
        let request = Request {
            urls: vec![mirror.below(&format!("dists/{}/InRelease", config.suite))],
            expect: Expect::AtMost(RELEASE_LIMIT),
            subject: format!("{} {}", config.origin, config.suite),
        };
        let error = match access.fetcher.fetch_bytes(&request, access.reporter) {
            Err(source) => ArchiveError::Unreachable { origin, mirror: shown_mirror, source: Box::new(source) },
            Ok((bytes, _)) => match SignedRelease::parse(&bytes).and_then(|signed| signed.verify(keyrings, checks)) {
                Err(source) => ArchiveError::NotBelieved { origin, mirror: shown_mirror, source: Box::new(source) },
                Ok(release) => {
                    let mut mirrors = vec![mirror.clone()];
                    mirrors
                        .extend(access.mirrors.iter().enumerate().filter(|(n, _)| *n != place).map(|(_, m)| m.clone()));
                    return Ok((release, bytes, mirrors));
                }
            },
        };
        attempts.push(error);
    }
    match attempts.len() {
        0 => Err(ArchiveError::NoMirror(config.origin.clone())),
        1 => Err(attempts.remove(0)),
        _ => Err(ArchiveError::EveryMirror { origin: config.origin.clone(), attempts }),
    }
}

/// Has the archive another state now, so that what is locked is as good as gone?
pub(crate) fn moved_on(error: &FetchError) -> bool {
    match error {
        FetchError::EveryPlace { attempts, .. } => attempts.iter().all(moved_on),
        FetchError::WrongDigest { .. } | FetchError::WrongSize { .. } | FetchError::TooLarge { .. } => true,
        other => other.is_gone(),
    }
}

/// Opens a kept index, or makes it.
fn index<R: Entry>(
    config: &ArchiveConfig,
    file: &IndexFile,
    kind: &str,
    access: Access<'_>,
) -> Result<Index<R>, ArchiveError> {
    let kept = access.folder.join(format!("{}-{kind}.{FORMAT}", file.sha256.to_hex()));
    let fault = |source| {
        let (origin, path) = (config.origin.clone(), file.path.clone());
        ArchiveError::Index { origin, path, source: Box::new(source) }
    };
    match Index::open(&kept, &file.sha256) {
        Ok(index) => return Ok(index),
        Err(error) if error.is_unusable() => {
            if kept.exists() {
                let message = format!("`{}` was damaged and is made again", kept.display());
                access.reporter.report(Event::Warning { message, hint: None });
            }
        }
        Err(error) => return Err(fault(error)),
    }
    let lock_path = access.folder.join("lock");
    let folder_fault = ReachError::folder(&lock_path);
    let lock = File::options().create(true).truncate(false).write(true).open(&lock_path).map_err(&folder_fault)?;
    lock.lock().map_err(folder_fault)?;
    // Whoever held the lock may have made it.
    match Index::open(&kept, &file.sha256) {
        Err(error) if error.is_unusable() => {}
        other => return other.map_err(fault),
    }
    let download = access.folder.join(format!("{}.download", file.sha256.to_hex()));
    let mut urls = Vec::new();
    for path in file.by_hash.iter().chain([&file.path]) {
        let path = format!("dists/{}/{path}", config.suite);
        urls.extend(access.mirrors.iter().map(|mirror| mirror.below(&path)));
    }
    let request = Request {
        urls,
        expect: Expect::Digest { sha256: file.sha256, size: Some(file.size) },
        subject: format!("{} {} {}", config.origin, config.suite, file.path),
    };
    access.fetcher.fetch(&request, &download, access.reporter).map_err(|source| {
        let origin = config.origin.clone();
        // Under the plain path there may be another state's index by now.
        if moved_on(&source) {
            ArchiveError::IndexGone { origin, path: file.path.clone() }
        } else {
            ArchiveError::Fetch { origin, source: Box::new(source) }
        }
    })?;
    let task = Task::start(access.reporter, "Reading", &request.subject, None);
    let built = File::open(&download)
        .map_err(|source| ReachError::folder(&download)(source).into())
        .and_then(|packed| build::<R>(packed, file, &kept).map_err(fault));
    // It is only a cache; when it cannot be removed it is found and used the next time.
    let _ = fs::remove_file(&download);
    built?;
    task.finish(String::new(), false);
    Index::open(&kept, &file.sha256).map_err(fault)
}

/// Decompresses in one thread and reads in another.
fn build<R: Entry>(packed: File, file: &IndexFile, kept: &Path) -> Result<(), IndexError> {
    let limit = file.unpacked.unwrap_or(INDEX_LIMIT);
    let (sender, receiver) = sync_channel(8);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let decoded = compress::decoder(file.compression, packed).and_then(|mut decoder| {
                let mut total = 0;
                loop {
                    let mut chunk = Vec::new();
                    decoder.by_ref().take(1 << 20).read_to_end(&mut chunk)?;
                    total += chunk.len() as u64;
                    if total > limit {
                        return Err(io::Error::other(format!("it unpacks to more than {limit} bytes")));
                    }
                    // A reader that is gone has said why itself.
                    if chunk.is_empty() || sender.send(Ok(chunk)).is_err() {
                        return Ok(());
                    }
                }
            });
            if let Err(error) = decoded {
                let _ = sender.send(Err(error));
            }
        });
        Index::<R>::build(Pipe { receiver, chunk: io::Cursor::default() }, kept, &file.sha256)
    })
}

/// What another thread sends, as a stream.
struct Pipe {
    receiver: Receiver<io::Result<Vec<u8>>>,
    chunk: io::Cursor<Vec<u8>>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.chunk.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            match self.receiver.recv() {
                Ok(chunk) => self.chunk = io::Cursor::new(chunk?),
                Err(_) => return Ok(0),
            }
        }
    }
}
