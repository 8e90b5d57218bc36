//! The repositories of an origin as a project uses them: bring their state up to date, open the state that is locked.
//!
//! What is kept is a cache in one folder:
//!
//! ```text
//! SHA256.repomd         a statement that was believed, named by its digest
//! SHA256.rpm-index      an index as its repository has it, named by its digest
//! SHA256.rpm-download   an index or a package while it is fetched
//! SHA256.rpm-signed     the digest of the keyring that the package of this digest was believed by
//! ```

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use kiln_fetch::{Expect, Job, Request};
use kiln_model::lock::{LockedIndex, LockedOrigin};
use kiln_model::project::{MaxAge, RpmOrigin, Signed};
use kiln_model::{Architecture, ArchiveKind, Digest, OriginName};

use super::architecture_name;
use super::error::IndexError;
use super::index::{self, Index};
use super::repomd::{self, DataFile, Statement};
use super::signed::check as check_signature;
use super::solver::{FoundFiles, Repository, Selected};
use crate::archive::Means;
use crate::debian::date;
use crate::debian::openpgp::{CLOCK_SKEW, Keyring, verify_detached};
use crate::hashed::Hashed;
use crate::mirror::Mirror;
use crate::reach::{self, ReachError, newest};

/// No signature is longer.
const SIGNATURE_LIMIT: u64 = 256 << 10;

/// No index is longer, packed.
const INDEX_LIMIT: u64 = 1 << 30;

/// Which repositories.
#[derive(Debug, Clone, Copy)]
pub struct Config<'a> {
    /// The origin's name in the project.
    pub origin: &'a OriginName,
    /// What the project says of it.
    pub settings: &'a RpmOrigin,
    /// The architectures.
    pub architectures: &'a [Architecture],
}

/// One repository.
#[derive(Debug)]
struct Opened {
    folder: String,
    /// The architectures that it is asked for.
    architectures: Vec<Architecture>,
    statement: Statement,
    index: Index,
}

/// Repositories whose indexes are open.
#[derive(Debug)]
pub struct Archive {
    /// Their state, for the lock.
    pub state: LockedOrigin,
    origin: OriginName,
    mirrors: Vec<Mirror>,
    repositories: Vec<Opened>,
    /// Where packages are what is signed: the keyring's file, and what time it is.
    signed_packages: Option<(PathBuf, u64)>,
}

/// The repositories that the project asks for, by their folders below the mirror's, and for which architectures.
fn wanted(config: &Config<'_>) -> Vec<(String, Vec<Architecture>)> {
    let mut all: Vec<(String, Vec<Architecture>)> = Vec::new();
    for folder in &config.settings.repositories {
        for architecture in config.architectures {
            let named = folder.replace("$releasever", &config.settings.suite);
            let named = named.replace("$basearch", architecture_name(*architecture));
            let named = if named == "." { String::new() } else { named };
            match all.iter_mut().find(|(folder, _)| *folder == named) {
                Some((_, architectures)) => architectures.push(*architecture),
                None => all.push((named, vec![*architecture])),
            }
        }
    }
    all
}

/// A path in a repository, below the mirror's folder.
fn below(folder: &str, path: &str) -> String {
    if folder.is_empty() { path.to_owned() } else { format!("{folder}/{path}") }
}

/// The pins of a repository: its statement, and the indexes that this names.
fn pins(folder: &str, statement: &Statement, bytes: &[u8]) -> Vec<LockedIndex> {
    let own = LockedIndex { path: below(folder, repomd::PATH), sha256: Digest::of(bytes), size: bytes.len() as u64 };
    let named = std::iter::once(&statement.primary).chain(&statement.filelists);
    let pin = |file: &DataFile| LockedIndex {
        path: below(folder, &file.path),
        sha256: file.sha256,
        size: file.size.unwrap_or(0),
    };
    std::iter::once(own).chain(named.map(pin)).collect()
}

fn state(config: &Config<'_>, date: u64, mut indexes: Vec<LockedIndex>) -> LockedOrigin {
    indexes.sort();
    let statements: Vec<&LockedIndex> = indexes.iter().filter(|index| index.path.ends_with(repomd::PATH)).collect();
    LockedOrigin {
        archive: ArchiveKind::Rpm,
        distribution: config.settings.distribution.clone(),
        suite: config.settings.suite.clone(),
        components: config.settings.repositories.clone(),
        // Of several repositories each has its own statement, which is among the indexes.
        release: match &statements[..] {
            [only] => Some(only.sha256),
            _ => None,
        },
        date: date::format(date),
        indexes,
    }
}

impl Archive {
    /// Takes the present state: of each repository the first mirror's whose statement is believed. `now` is in seconds
    /// since 1970; `floor` is the state in the lock; an older one, of any of the repositories, is a replay.
    ///
    /// # Errors
    /// When no mirror serves.
    pub fn update(
        config: &Config<'_>,
        keyring: &Keyring,
        mirrors: &[Mirror],
        means: &Means<'_>,
        (now, floor): (u64, Option<&LockedOrigin>),
    ) -> Result<Self, IndexError> {
        let mut believed = Vec::new();
        for (folder, architectures) in wanted(config) {
            let (bytes, statement) = first_believed(config, keyring, mirrors, means, &folder, now)?;
            believed.push((folder, architectures, bytes, statement));
        }
        let date = newest(believed.iter().map(|(.., statement)| statement.date));
        if let Some(floor) = floor {
            let own = believed.iter().map(|(folder, .., statement)| (below(folder, repomd::PATH), statement.date));
            let before = |pin: &LockedIndex| {
                let bytes = reach::kept(means.folder, &kept_statement(&pin.sha256), &pin.sha256)?;
                Some(Statement::parse(&bytes).ok()?.date)
            };
            reach::check_floor(config.origin, floor, &own.collect::<Vec<_>>(), before)?;
        }
        let (mut repositories, mut indexes) = (Vec::new(), Vec::new());
        for (folder, architectures, bytes, statement) in believed {
            reach::keep(means.folder, &kept_statement(&Digest::of(&bytes)), &bytes)?;
            indexes.extend(pins(&folder, &statement, &bytes));
            let index = read_primary(config.origin, mirrors, means, &folder, &statement)?;
            repositories.push(Opened { folder, architectures, statement, index });
        }
        let (origin, mirrors) = (config.origin.clone(), mirrors.to_vec());
        Ok(Self { state: state(config, date, indexes), origin, mirrors, repositories, signed_packages: None })
    }

    /// Opens the state that is locked. What is kept is not fetched again.
    ///
    /// # Errors
    /// When a statement or an index is neither kept nor to be had any more, or the lock says something else of it.
    pub fn open(
        config: &Config<'_>,
        locked: &LockedOrigin,
        mirrors: &[Mirror],
        means: &Means<'_>,
    ) -> Result<Self, IndexError> {
        let (mut repositories, mut indexes) = (Vec::new(), Vec::new());
        for (folder, architectures) in wanted(config) {
            let path = below(&folder, repomd::PATH);
            let gone = || ReachError::Gone { origin: config.origin.clone(), path: path.clone() };
            let pin = locked.indexes.iter().find(|index| index.path == path).ok_or_else(gone)?;
            let urls = mirrors.iter().map(|mirror| mirror.below(&path)).collect();
            let bytes = reach::pinned(config.origin, pin, &kept_statement(&pin.sha256), urls, means)?;
            let statement = Statement::parse(&bytes)?;
            let named = pins(&folder, &statement, &bytes);
            // A lock that says something else of what the statement names was edited: this state is not there.
            if let Some(other) = named.iter().find(|pin| !locked.indexes.contains(pin)) {
                return Err(ReachError::Gone { origin: config.origin.clone(), path: other.path.clone() }.into());
            }
            indexes.extend(named);
            let index = read_primary(config.origin, mirrors, means, &folder, &statement)?;
            repositories.push(Opened { folder, architectures, statement, index });
        }
        let date = newest(repositories.iter().map(|repository| repository.statement.date));
        let (origin, mirrors) = (config.origin.clone(), mirrors.to_vec());
        Ok(Self { state: state(config, date, indexes), origin, mirrors, repositories, signed_packages: None })
    }

    /// What the statements of a locked state say, where they are kept.
    #[must_use]
    pub fn kept_state(config: &Config<'_>, locked: &LockedOrigin, folder: &Path) -> Option<LockedOrigin> {
        let (mut indexes, mut date) = (Vec::new(), 0);
        for (repository, _) in wanted(config) {
            let path = below(&repository, repomd::PATH);
            let pin = locked.indexes.iter().find(|index| index.path == path)?;
            let bytes = reach::kept(folder, &kept_statement(&pin.sha256), &pin.sha256)?;
            let statement = Statement::parse(&bytes).ok()?;
            indexes.extend(pins(&repository, &statement, &bytes));
            date = date.max(statement.date);
        }
        Some(state(config, date, indexes))
    }

    /// Does a locked state have every repository that is wanted?
    #[must_use]
    pub fn serves(config: &Config<'_>, locked: &LockedOrigin) -> bool {
        let has = |folder: &str| locked.indexes.iter().any(|index| index.path == below(folder, repomd::PATH));
        locked.archive == ArchiveKind::Rpm
            && locked.distribution == config.settings.distribution
            && locked.suite == config.settings.suite
            && locked.components == config.settings.repositories
            && wanted(config).iter().all(|(folder, _)| has(folder))
    }

    /// The repositories for an architecture, for the solver.
    #[must_use]
    pub fn repositories(&self, architecture: Architecture) -> Vec<Repository<'_>> {
        let fits = self.repositories.iter().filter(|repository| repository.architectures.contains(&architecture));
        let shown = |opened| {
            let Opened { folder, index, .. }: &Opened = opened;
            Repository { origin: &self.origin, folder, index }
        };
        fits.map(shown).collect()
    }

    /// The same where packages have to be signed each, by a key of this keyring, in seconds since 1970.
    #[must_use]
    pub fn with_signed_packages(mut self, keyring: PathBuf, now: u64) -> Self {
        self.signed_packages = Some((keyring, now));
        self
    }

    /// Where packages are what is signed, fetches those that were not believed before, and checks them.
    ///
    /// # Errors
    /// When one cannot be had, is not signed by a key of the keyring, or is not what the index says.
    pub fn check_packages(&self, selected: &[Selected<'_>], means: &Means<'_>) -> Result<(), IndexError> {
        let Some((path, now)) = &self.signed_packages else { return Ok(()) };
        let (keyring, digest) = read_keyring(path)?;
        let (mut packages, mut jobs) = (Vec::new(), Vec::new());
        for package in selected.iter().filter(|package| *package.origin == self.origin) {
            let record = package.record;
            let sha256 = record.sha256.ok_or_else(|| IndexError::Digest(record.name.clone()))?;
            if fs::read_to_string(means.folder.join(signed_name(&sha256))).is_ok_and(|by| by == digest.to_hex()) {
                continue;
            }
            let path = path_of(package);
            let request = Request {
                urls: self.mirrors.iter().map(|mirror| mirror.below(&path)).collect(),
                expect: Expect::Digest { sha256, size: Some(record.size) },
                subject: format!("{} {}", record.name, record.version),
            };
            jobs.push(Job { request, dest: means.folder.join(format!("{}.rpm-download", sha256.to_hex())) });
            packages.push((record, sha256));
        }
        let check = |at: usize, file: &Path| {
            let (record, sha256) = packages[at];
            let opened = File::open(file).map_err(ReachError::folder(file))?;
            check_signature(opened, record, &keyring, *now).map_err(|source| IndexError::Package {
                origin: self.origin.clone(),
                package: format!("{} {}", record.name, record.version),
                source: Box::new(source),
            })?;
            Ok::<_, IndexError>(sha256)
        };
        reach::checked(&self.origin, &jobs, means, check, |_, sha256| (signed_name(sha256), digest.to_hex()))
    }

    /// Looks in the lists of all files of the repositories for an architecture, and notes who has these.
    ///
    /// # Errors
    /// When a list cannot be had or read.
    pub fn find_files(
        &self,
        architecture: Architecture,
        paths: &BTreeSet<String>,
        means: &Means<'_>,
        found: &mut FoundFiles,
    ) -> Result<(), IndexError> {
        for path in paths {
            found.entry(path.clone()).or_default();
        }
        for repository in self.repositories.iter().filter(|opened| opened.architectures.contains(&architecture)) {
            let Some(list) = &repository.statement.filelists else { continue };
            let file = fetch(&self.origin, &self.mirrors, means, &repository.folder, list)?;
            for (path, owners) in index::owners(list.compression, file, list.unpacked, paths)? {
                found.entry(path).or_default().extend(owners);
            }
        }
        Ok(())
    }
}

/// The path of a package below a mirror's folder.
#[must_use]
pub fn path_of(package: &Selected<'_>) -> String {
    below(package.folder, &package.record.path)
}

/// The keys of a file, and its digest.
///
/// # Errors
/// When it cannot be read, or has no key in it.
pub(crate) fn read_keyring(path: &Path) -> Result<(Keyring, Digest), IndexError> {
    let bytes = fs::read(path).map_err(|source| IndexError::ReadKeyring { path: path.to_owned(), source })?;
    Ok((Keyring::parse(&path.display().to_string(), &bytes)?, Digest::of(&bytes)))
}

fn signed_name(sha256: &Digest) -> String {
    format!("{}.rpm-signed", sha256.to_hex())
}

fn kept_statement(sha256: &Digest) -> String {
    format!("{}.repomd", sha256.to_hex())
}

fn digest_of(path: &Path) -> Option<Digest> {
    let mut hashed = Hashed::new(File::open(path).ok()?);
    std::io::copy(&mut hashed, &mut std::io::sink()).ok()?;
    Some(hashed.finish().0)
}

/// An index, fetched unless it is kept.
fn fetch(
    origin: &OriginName,
    mirrors: &[Mirror],
    means: &Means<'_>,
    folder: &str,
    file: &DataFile,
) -> Result<File, IndexError> {
    let kept = means.folder.join(format!("{}.rpm-index", file.sha256.to_hex()));
    if digest_of(&kept) != Some(file.sha256) {
        fs::create_dir_all(means.folder).map_err(ReachError::folder(means.folder))?;
        let download: PathBuf = means.folder.join(format!("{}.rpm-download", file.sha256.to_hex()));
        let path = below(folder, &file.path);
        let size = file.size.filter(|size| *size <= INDEX_LIMIT);
        let unbounded = || "its statement does not say that it is of a length that an index has".to_owned();
        let size = size.ok_or_else(|| IndexError::Read { file: path.clone(), why: unbounded() })?;
        let request = Request {
            urls: mirrors.iter().map(|mirror| mirror.below(&path)).collect(),
            expect: Expect::Digest { sha256: file.sha256, size: Some(size) },
            subject: format!("{origin} {path}"),
        };
        let fault = |source| ReachError::of_locked(origin, &path, source);
        means.fetcher.fetch(&request, &download, means.reporter).map_err(fault)?;
        fs::rename(&download, &kept).map_err(ReachError::folder(&kept))?;
    }
    Ok(File::open(&kept).map_err(ReachError::folder(&kept))?)
}

fn read_primary(
    origin: &OriginName,
    mirrors: &[Mirror],
    means: &Means<'_>,
    folder: &str,
    statement: &Statement,
) -> Result<Index, IndexError> {
    let file = fetch(origin, mirrors, means, folder, &statement.primary)?;
    Index::read(statement.primary.compression, file, statement.primary.unpacked)
}

/// The statement of the first mirror that is believed.
fn first_believed(
    config: &Config<'_>,
    keyring: &Keyring,
    mirrors: &[Mirror],
    means: &Means<'_>,
    folder: &str,
    now: u64,
) -> Result<(Vec<u8>, Statement), IndexError> {
    let path = below(folder, repomd::PATH);
    let get = |mirror: &Mirror, path: &str, limit| {
        let request = Request {
            urls: vec![mirror.below(path)],
            expect: Expect::AtMost(limit),
            subject: format!("{} {path}", config.origin),
        };
        means.fetcher.fetch_bytes(&request, means.reporter).map(|(bytes, _)| bytes)
    };
    let fault = |source| ReachError::Fetch { origin: config.origin.clone(), source: Box::new(source) };
    let believed = |mirror: &Mirror| {
        let bytes = get(mirror, &path, repomd::LIMIT).map_err(fault)?;
        if config.settings.signed == Signed::Repository {
            let signature = get(mirror, &format!("{path}.asc"), SIGNATURE_LIMIT).map_err(|source| match source {
                source if source.is_gone() => IndexError::Unsigned { path: path.clone(), source: Box::new(source) },
                source => fault(source).into(),
            })?;
            verify_detached(&bytes, &signature, std::slice::from_ref(keyring), now)?;
        }
        let statement = Statement::parse(&bytes)?;
        check_age(&statement, config.settings.max_age, now)?;
        Ok::<_, IndexError>((bytes, statement))
    };
    Ok(reach::first_believed(config.origin, mirrors, &path, IndexError::hint, believed)?)
}

fn check_age(statement: &Statement, max_age: MaxAge, now: u64) -> Result<(), IndexError> {
    let fault = |why: &str, old| IndexError::Age { date: date::format(statement.date), why: why.to_owned(), old };
    match max_age {
        _ if statement.date > now + CLOCK_SKEW => Err(fault("which is yet to come", false)),
        MaxAge::For(age) if statement.date + age.as_secs() < now => {
            Err(fault(&format!("and may be no older than {max_age}"), true))
        }
        _ => Ok(()),
    }
}
