//! One archive of Alpine's as a project uses it: bring its state up to date, open the state that is locked, pin packages.
//!
//! What is kept is a cache in one folder:
//!
//! ```text
//! SHA256.apkindex        an index as its repository has it, named by its digest
//! CONTROL-SIZE.apk-pin   the SHA-256 of the package whose control section and size the index names so
//! NAME.apk-download      a package while it is fetched and checked
//! ```

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use kiln_fetch::{Expect, Job, Request};
use kiln_model::lock::{LockedIndex, LockedOrigin};
use kiln_model::project::ApkOrigin;
use kiln_model::{Architecture, ArchiveKind, Digest, OriginName};

use super::architecture_name;
use super::envelope;
use super::error::{ApkError, IndexError};
use super::index::Index;
use super::keys::Keys;
use super::solver::{Repository, Selected};
use crate::archive::Means;
use crate::debian::date;
use crate::mirror::Mirror;
use crate::reach::{self, ReachError, newest};

/// No index is longer, packed.
const INDEX_LIMIT: u64 = 256 << 20;

/// Which archive.
#[derive(Debug, Clone, Copy)]
pub struct Config<'a> {
    /// The origin's name in the project.
    pub origin: &'a OriginName,
    /// What the project says of it.
    pub settings: &'a ApkOrigin,
    /// The architectures.
    pub architectures: &'a [Architecture],
}

/// An archive whose indexes are open.
#[derive(Debug)]
pub struct Archive {
    /// Its state, for the lock.
    pub state: LockedOrigin,
    origin: OriginName,
    mirrors: Vec<Mirror>,
    indexes: Vec<(Architecture, String, Index)>,
}

/// The repositories that the project asks for: architecture, folder below the mirror's, path below the branch's.
fn wanted(config: &Config<'_>) -> Vec<(Architecture, String, String)> {
    let mut all = Vec::new();
    for component in &config.settings.components {
        for architecture in config.architectures {
            let below = format!("{component}/{}", architecture_name(*architecture));
            all.push((*architecture, format!("{}/{below}", config.settings.suite), format!("{below}/APKINDEX.tar.gz")));
        }
    }
    all
}

impl Archive {
    /// Takes the present state of the archive, of each repository the first mirror's index that is believed. `floor` is
    /// the state in the lock; an older one, of any of the repositories, is a replay.
    ///
    /// # Errors
    /// When no mirror serves.
    pub fn update(
        config: &Config<'_>,
        keys: &Keys,
        mirrors: &[Mirror],
        means: &Means<'_>,
        floor: Option<&LockedOrigin>,
    ) -> Result<Self, IndexError> {
        let (mut indexes, mut pins, mut dates) = (Vec::new(), Vec::new(), Vec::new());
        for (architecture, folder, path) in wanted(config) {
            let (bytes, index) = first_believed(config, keys, mirrors, means, &path)?;
            dates.push((path.clone(), index.newest()));
            let sha256 = Digest::of(&bytes);
            reach::keep(means.folder, &kept_index(&sha256), &bytes)?;
            pins.push(LockedIndex { path, sha256, size: bytes.len() as u64 });
            indexes.push((architecture, folder, index));
        }
        if let Some(floor) = floor {
            let before = |pin: &LockedIndex| {
                let bytes = reach::kept(means.folder, &kept_index(&pin.sha256), &pin.sha256)?;
                Some(Index::read(&bytes).ok()?.newest())
            };
            reach::check_floor(config.origin, floor, &dates, before)?;
        }
        Ok(Self::with(config, mirrors, indexes, pins))
    }

    /// Opens the state that is locked. What is kept is not fetched again.
    ///
    /// # Errors
    /// When an index is neither kept nor to be had any more.
    pub fn open(
        config: &Config<'_>,
        locked: &LockedOrigin,
        mirrors: &[Mirror],
        means: &Means<'_>,
    ) -> Result<Self, IndexError> {
        let mut indexes = Vec::new();
        let mut pins = Vec::new();
        for (architecture, folder, path) in wanted(config) {
            let gone = || ReachError::Gone { origin: config.origin.clone(), path: path.clone() };
            let pin = locked.indexes.iter().find(|index| index.path == path).ok_or_else(gone)?;
            let below = format!("{}/{path}", config.settings.suite);
            let urls = mirrors.iter().map(|mirror| mirror.below(&below)).collect();
            let bytes = reach::pinned(config.origin, pin, &kept_index(&pin.sha256), urls, means)?;
            indexes.push((architecture, folder, Index::read(&bytes)?));
            pins.push(LockedIndex { size: bytes.len() as u64, ..pin.clone() });
        }
        Ok(Self::with(config, mirrors, indexes, pins))
    }

    fn with(
        config: &Config<'_>,
        mirrors: &[Mirror],
        indexes: Vec<(Architecture, String, Index)>,
        mut pins: Vec<LockedIndex>,
    ) -> Self {
        pins.sort();
        let date = newest(indexes.iter().map(|(_, _, index)| index.newest()));
        let state = LockedOrigin {
            archive: ArchiveKind::Apk,
            distribution: config.settings.distribution.clone(),
            suite: config.settings.suite.clone(),
            components: config.settings.components.clone(),
            release: None,
            date: date::format(date),
            indexes: pins,
        };
        Self { state, origin: config.origin.clone(), mirrors: mirrors.to_vec(), indexes }
    }

    /// A locked state where an index is not kept, with another in its place that is: of the same length, for the same
    /// architecture, and so that all are as new as the lock says. None when there is no such, or none is needed.
    #[must_use]
    pub fn kept_state(config: &Config<'_>, locked: &LockedOrigin, folder: &Path) -> Option<LockedOrigin> {
        let is_kept = |pin: &LockedIndex| folder.join(kept_index(&pin.sha256)).is_file();
        if locked.indexes.iter().all(is_kept) {
            return None;
        }
        let (mut state, mut dates) = (locked.clone(), Vec::new());
        for (architecture, _, path) in wanted(config) {
            let pin = state.indexes.iter_mut().find(|pin| pin.path == path)?;
            if !is_kept(pin) {
                pin.sha256 = of_length(pin.size, architecture, folder)?;
            }
            let bytes = reach::kept(folder, &kept_index(&pin.sha256), &pin.sha256)?;
            dates.push(Index::read(&bytes).ok()?.newest());
        }
        (date::format(newest(dates.into_iter())) == locked.date).then_some(state)
    }

    /// Does a locked state have every index that is wanted?
    #[must_use]
    pub fn serves(config: &Config<'_>, locked: &LockedOrigin) -> bool {
        locked.archive == ArchiveKind::Apk
            && locked.distribution == config.settings.distribution
            && locked.suite == config.settings.suite
            && locked.components == config.settings.components
            && wanted(config).iter().all(|(_, _, path)| locked.indexes.iter().any(|index| index.path == *path))
    }

    /// The repositories for an architecture, for the solver.
    #[must_use]
    pub fn repositories(&self, architecture: Architecture) -> Vec<Repository<'_>> {
        let fits = self.indexes.iter().filter(|(of, _, _)| *of == architecture);
        fits.map(|(_, folder, index)| Repository { origin: &self.origin, folder, index }).collect()
    }

    /// The SHA-256 of packages that the index names otherwise: each is fetched and checked, once, and brought into the
    /// store, where building finds it.
    ///
    /// # Errors
    /// When one cannot be had or is not what the index says.
    pub fn pin(&self, selected: &[Selected<'_>], means: &Means<'_>) -> Result<Vec<Digest>, IndexError> {
        let mut jobs = Vec::new();
        for package in selected {
            if self.pinned(package, means).is_none() {
                let path = path_of(package);
                let request = Request {
                    urls: self.mirrors.iter().map(|mirror| mirror.below(&path)).collect(),
                    expect: Expect::AtMost(package.record.size),
                    subject: format!("{} {}", package.record.name, package.record.version),
                };
                jobs.push((package, Job { request, dest: download(package, means) }));
            }
        }
        let (packages, jobs): (Vec<_>, Vec<Job>) = jobs.into_iter().unzip();
        let note = |at: usize, sha256: &Digest| (pin_name(packages[at]), sha256.to_hex());
        reach::checked(&self.origin, &jobs, means, |at, file| self.check(packages[at], file), note)?;
        let gone = |package: &Selected<'_>| {
            let place = means.folder.join(pin_name(package));
            IndexError::from(ReachError::folder(&place)(std::io::ErrorKind::NotFound.into()))
        };
        selected.iter().map(|package| self.pinned(package, means).ok_or_else(|| gone(package))).collect()
    }

    /// The SHA-256 of a package, where it was read before.
    pub(crate) fn pinned(&self, package: &Selected<'_>, means: &Means<'_>) -> Option<Digest> {
        fs::read_to_string(means.folder.join(pin_name(package))).ok()?.parse().ok()
    }

    /// Checks a package against the record that the index has of it.
    fn check(&self, package: &Selected<'_>, file: &Path) -> Result<Digest, IndexError> {
        let record = package.record;
        let fault = |source: ApkError| IndexError::Package {
            origin: self.origin.clone(),
            package: format!("{} {}", record.name, record.version),
            source: Box::new(source),
        };
        let opened = File::open(file).map_err(ReachError::folder(file))?;
        let checked = envelope::check(opened, &record.identity).map_err(fault)?;
        let info = &checked.info;
        let same = info.name == record.name && info.version == record.version && checked.size == record.size;
        // An index lists packages for all architectures under its own.
        let fits = info.architecture == record.architecture || info.architecture == "noarch";
        if same && fits { Ok(checked.sha256) } else { Err(fault(ApkError::Identity)) }
    }
}

/// The path of a package below a mirror's folder.
#[must_use]
pub fn path_of(package: &Selected<'_>) -> String {
    format!("{}/{}-{}.apk", package.folder, package.record.name, package.record.version)
}

fn pin_name(package: &Selected<'_>) -> String {
    format!("{}-{}.apk-pin", package.record.identity.to_hex(), package.record.size)
}

fn download(package: &Selected<'_>, means: &Means<'_>) -> PathBuf {
    means.folder.join(format!("{}.apk-download", package.record.identity.to_hex()))
}

/// What the names of kept indexes end with.
const INDEX: &str = ".apkindex";

fn kept_index(sha256: &Digest) -> String {
    format!("{}{INDEX}", sha256.to_hex())
}

/// The only kept index of this length with packages for an architecture.
fn of_length(length: u64, architecture: Architecture, folder: &Path) -> Option<Digest> {
    let fits = |sha256: &Digest| {
        let bytes = reach::kept(folder, &kept_index(sha256), sha256)?;
        let index = Index::read(&bytes).ok()?;
        Some(index.records.iter().any(|record| record.architecture == architecture_name(architecture)))
    };
    let entries = fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let entries = entries.filter(|entry| entry.metadata().is_ok_and(|found| found.len() == length));
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let digests = names.filter_map(|name| name.strip_suffix(INDEX)?.parse::<Digest>().ok());
    let mut found = digests.filter(|sha256| fits(sha256) == Some(true));
    found.next().filter(|_| found.next().is_none())
}

/// The first mirror's index that is believed.
fn first_believed(
    config: &Config<'_>,
    keys: &Keys,
    mirrors: &[Mirror],
    means: &Means<'_>,
    path: &str,
) -> Result<(Vec<u8>, Index), IndexError> {
    let believed = |mirror: &Mirror| {
        let request = Request {
            urls: vec![mirror.below(&format!("{}/{path}", config.settings.suite))],
            expect: Expect::AtMost(INDEX_LIMIT),
            subject: format!("{} {path}", config.origin),
        };
        let fault = |source| ReachError::Fetch { origin: config.origin.clone(), source: Box::new(source) };
        let (bytes, _) = means.fetcher.fetch_bytes(&request, means.reporter).map_err(fault)?;
        let index = Index::verify(&bytes, keys, config.settings.signatures)?;
        Ok::<_, IndexError>((bytes, index))
    };
    Ok(reach::first_believed(config.origin, mirrors, path, IndexError::hint, believed)?)
}
