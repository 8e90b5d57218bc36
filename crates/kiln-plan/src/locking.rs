//! Resolving what a project names and pinning it: `kiln lock`.
//!
//! A lock that says what the project asks is left as it is. Where it does not, everything is resolved again, but within
//! the states of the archives that are locked: only an update moves those. So adding a package to an image changes the
//! version of no other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use kiln_build::source::{GitError, GitLocation as Repository, resolve_rev};
use kiln_import::debian::archive::{Access, Archive, ArchiveConfig, ArchiveError, ArchiveState, IndexPin};
use kiln_import::debian::mirror::MirrorError;
use kiln_import::debian::openpgp::{Keyring, KeyringError};
use kiln_import::debian::release::MaxAge as ReleaseAge;
use kiln_import::debian::solver::{SolveError, SolveOptions, SolveRequest, Source as Solvable, solve};
use kiln_import::debian::{date, version};
use kiln_model::lock::{
    Lock, LockedFile, LockedIndex, LockedOrigin, LockedPackage, LockedSource, LockedTarget, PackageKey, Staleness,
    TargetKey,
};
use kiln_model::project::{DebOrigin, MaxAge, Origin, WantedSource, WantedTarget};
use kiln_model::recipe::SourceKind;
use kiln_model::{OriginName, PackageName, Reporter};

use crate::services::Services;
use crate::workspace::Workspace;

/// What to move besides what has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// Nothing.
    Nothing,
    /// Everything.
    Everything,
    /// These origins, recipes and packages. A package moves with its whole origin: an archive's packages are made for
    /// each other.
    Only(BTreeSet<String>),
}

impl Update {
    fn names(&self, name: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Only(names) => names.contains(name),
        }
    }
}

/// Why nothing can be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Nobody names a mirror.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// The archive cannot be used.
    #[error(transparent)]
    Archive(Box<ArchiveError>),
    /// No keyring.
    #[error(
        "there is no keyring of `{distribution}` on this machine, so nothing that origin `{origin}` has can be believed"
    )]
    NoKeyring {
        /// The origin.
        origin: OriginName,
        /// The distribution.
        distribution: String,
    },
    /// A keyring cannot be read.
    #[error("cannot read the keyring `{}`", .path.display())]
    ReadKeyring {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A keyring is none.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The lock has a date that is none.
    #[error("`{date}` in `kiln.lock` is not a date")]
    Date {
        /// The text.
        date: String,
    },
    /// The packages do not go together.
    #[error("cannot resolve `{target}`")]
    Solve {
        /// Which target.
        target: String,
        /// Why.
        #[source]
        source: Box<SolveError>,
    },
    /// The archive does not have a source package.
    #[error("the origin `{origin}` has no source package `{package}`{}", .wanted.as_ref().map_or_else(String::new, |v| format!(" {v}")))]
    NoSource {
        /// The origin.
        origin: OriginName,
        /// The source package.
        package: PackageName,
        /// The version.
        wanted: Option<String>,
        /// The versions that are there.
        versions: Vec<String>,
    },
    /// The index of source packages cannot be read.
    #[error("cannot read the source packages of the origin `{origin}`")]
    SourceIndex {
        /// The origin.
        origin: OriginName,
        /// Why.
        #[source]
        source: Box<kiln_import::debian::index::IndexError>,
    },
    /// A Git repository does not say which commit.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A name that `--update` gave is nothing here.
    #[error("`{0}` is no origin, recipe or locked package of this project")]
    NoSuchName(String),
}

impl LockError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Mirror(error) => error.hint(),
            Self::Archive(error) => error.hint(),
            Self::NoKeyring { origin, distribution } => Some(format!(
                "install it (`apt install {distribution}-archive-keyring`), or put one into the project and name it: \
                 `origins: {{ {origin}: {{ keyring: keys/archive.gpg }} }}`"
            )),
            Self::Keyring(error) => error.hint(),
            Self::Date { .. } => {
                Some("remove the block of that origin from `kiln.lock`, then run `kiln lock`".to_owned())
            }
            Self::Solve { source, .. } => source.hint(),
            Self::NoSource { versions, .. } if !versions.is_empty() => Some(format!("it has {}", versions.join(", "))),
            Self::NoSource { .. } => {
                Some("source packages often have another name than the packages built from them".to_owned())
            }
            Self::Git(error) => error.hint(),
            Self::SourceIndex { source, .. } => source.hint(),
            Self::ReadKeyring { .. } | Self::NoSuchName(_) => None,
        }
    }
}

impl From<ArchiveError> for LockError {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(Box::new(error))
    }
}

/// What the project asks of its lock.
pub struct Wanted {
    /// Sets of packages.
    pub targets: Vec<WantedTarget>,
    /// Sources.
    pub sources: Vec<WantedSource>,
}

impl Wanted {
    /// Of a project, for this machine.
    #[must_use]
    pub fn of(workspace: &Workspace, services: &Services) -> Self {
        let project = &workspace.project;
        let architectures = project.architectures(services.settings.native);
        let targets = architectures.into_iter().flat_map(|architecture| project.wanted_targets(architecture)).collect();
        Self { targets, sources: project.wanted_sources() }
    }

    /// Everything in which a lock does not say what the project asks.
    #[must_use]
    pub fn stale(&self, workspace: &Workspace, lock: &Lock) -> Vec<Staleness> {
        lock.stale(&workspace.project.project.origins, &self.targets, &self.sources)
    }
}

/// Resolves what a project names. `old` is the lock there is, if there is one.
///
/// # Errors
/// When something cannot be resolved; nothing is written in any case.
pub fn lock(
    workspace: &Workspace,
    services: &Services,
    old: Option<&Lock>,
    update: &Update,
    reporter: &dyn Reporter,
) -> Result<Lock, LockError> {
    let wanted = Wanted::of(workspace, services);
    let empty = Lock::default();
    let old = old.unwrap_or(&empty);
    check_names(workspace, old, update)?;
    let stale = wanted.stale(workspace, old);
    if *update == Update::Nothing && stale.is_empty() {
        return Ok(old.clone());
    }
    let mut new = Lock { ids: old.ids.clone(), ..Lock::default() };
    let mut archives = BTreeMap::new();
    for (name, origin) in &workspace.project.project.origins {
        let Origin::Deb(deb) = &origin.value;
        let moved = update.names(name.as_str())
            || old.packages.keys().any(|key| key.origin == *name && update.names(key.name.as_str()));
        let archive =
            open(workspace, services, name, deb, &wanted, old.origins.get(name).filter(|_| !moved), old, reporter)?;
        new.origins.insert(name.clone(), locked_origin(deb, &archive.state));
        archives.insert(name.clone(), archive);
    }
    for target in &wanted.targets {
        resolve(target, &archives, &mut new)?;
    }
    // Other machines lock other architectures: theirs stay.
    let spoken_of: BTreeSet<_> = wanted.targets.iter().map(|target| target.architecture).collect();
    for (key, target) in old.targets.iter().filter(|(key, _)| !spoken_of.contains(&key.architecture)) {
        new.targets.insert(key.clone(), target.clone());
        for package in &target.packages {
            if let Some((key, locked)) = old.find(package, key.architecture) {
                new.packages.entry(key.clone()).or_insert_with(|| locked.clone());
            }
        }
    }
    for source in &wanted.sources {
        let key = (source.recipe.clone(), source.index);
        let kept = old
            .sources
            .get(&key)
            .filter(|locked| locked.is(&source.source.kind) && !update.names(source.recipe.as_str()));
        let kept = kept.filter(|locked| match locked {
            LockedSource::Origin { origin, .. } => !update.names(origin.as_str()),
            LockedSource::Git { .. } => *update != Update::Everything,
            LockedSource::Archive { .. } | LockedSource::Path { .. } => true,
        });
        let locked = match kept {
            Some(locked) => locked.clone(),
            None => pin(workspace, services, source, &archives)?,
        };
        new.sources.insert(key, locked);
    }
    new.prune();
    Ok(new)
}

fn check_names(workspace: &Workspace, old: &Lock, update: &Update) -> Result<(), LockError> {
    let Update::Only(names) = update else { return Ok(()) };
    let project = &workspace.project;
    for name in names {
        let known = project.project.origins.keys().any(|origin| origin.as_str() == name)
            || project.recipes.keys().any(|recipe| recipe.as_str() == name)
            || old.packages.keys().any(|key| key.name.as_str() == name);
        if !known {
            return Err(LockError::NoSuchName(name.clone()));
        }
    }
    Ok(())
}

#[allow(clippy::too_many_arguments, reason = "each is another thing, and there is one caller")]
fn open(
    workspace: &Workspace,
    services: &Services,
    name: &OriginName,
    origin: &DebOrigin,
    wanted: &Wanted,
    locked: Option<&LockedOrigin>,
    old: &Lock,
    reporter: &dyn Reporter,
) -> Result<Archive, LockError> {
    let architectures: BTreeSet<_> = wanted.targets.iter().map(|target| target.architecture).collect();
    let from_here = |source: &WantedSource| matches!(&source.source.kind, SourceKind::Origin { origin, .. } if origin.value == *name);
    let config = ArchiveConfig {
        origin: name.clone(),
        distribution: origin.distribution.clone(),
        suite: origin.suite.clone(),
        components: origin.components.clone(),
        architectures: architectures.into_iter().collect(),
        sources: wanted.sources.iter().any(from_here),
        max_age: origin.max_age.map(|age| match age {
            MaxAge::Unlimited => ReleaseAge::Unlimited,
            MaxAge::For(duration) => ReleaseAge::Seconds(duration.as_secs()),
        }),
    };
    let mirrors = services.settings.mirrors.choose(name.as_str(), &origin.distribution)?;
    let folder = services.archives();
    let access = Access { mirrors: &mirrors, fetcher: &services.fetcher, folder: &folder, reporter };
    // The locked state serves when it has every index that is wanted now.
    if let Some(locked) = locked.filter(|locked| serves(locked, &config)) {
        let state = ArchiveState {
            release: locked.release,
            date: date::parse(&locked.date).ok_or_else(|| LockError::Date { date: locked.date.clone() })?,
            indexes: locked
                .indexes
                .iter()
                .map(|index| IndexPin { path: index.path.clone(), sha256: index.sha256, size: index.size })
                .collect(),
        };
        return Ok(Archive::open(&config, state, access)?);
    }
    let keyrings = keyrings(workspace, services, name, origin)?;
    let floor = old.origins.get(name).filter(|o| o.suite == origin.suite && o.distribution == origin.distribution);
    let floor = floor.and_then(|locked| date::parse(&locked.date));
    Ok(Archive::update(&config, &keyrings, access, services.settings.now, floor)?)
}

/// Has a locked state every index that is wanted?
fn serves(locked: &LockedOrigin, config: &ArchiveConfig) -> bool {
    let same = locked.suite == config.suite
        && locked.distribution == config.distribution
        && locked.components == config.components;
    let has = |folder: String| locked.indexes.iter().any(|index| index.path.contains(&folder));
    same && config.components.iter().all(|component| {
        config.architectures.iter().all(|architecture| has(format!("{component}/binary-{architecture}/")))
            && (!config.sources || has(format!("{component}/source/")))
    })
}

fn locked_origin(origin: &DebOrigin, state: &ArchiveState) -> LockedOrigin {
    LockedOrigin {
        distribution: origin.distribution.clone(),
        suite: origin.suite.clone(),
        components: origin.components.clone(),
        release: state.release,
        date: date::format(state.date),
        indexes: state
            .indexes
            .iter()
            .map(|pin| LockedIndex { path: pin.path.clone(), sha256: pin.sha256, size: pin.size })
            .collect(),
    }
}

/// The keyrings that an origin is believed by: the project's own, or those of the machine that are the distribution's.
fn keyrings(
    workspace: &Workspace,
    services: &Services,
    name: &OriginName,
    origin: &DebOrigin,
) -> Result<Vec<Keyring>, LockError> {
    let read = |path: PathBuf| {
        let bytes = std::fs::read(&path).map_err(|source| LockError::ReadKeyring { path: path.clone(), source })?;
        Ok::<_, LockError>(Keyring::parse(&path.display().to_string(), &bytes)?)
    };
    if let Some(own) = &origin.keyring {
        return Ok(vec![read(workspace.folder.join(own.value.as_str()))?]);
    }
    let mut found = Vec::new();
    for folder in &services.settings.keyring_folders {
        for ending in ["gpg", "pgp", "asc"] {
            let path = folder.join(format!("{}-archive-keyring.{ending}", origin.distribution));
            if path.is_file() {
                found.push(read(path)?);
            }
        }
    }
    if found.is_empty() {
        let distribution = origin.distribution.clone();
        return Err(LockError::NoKeyring { origin: name.clone(), distribution });
    }
    Ok(found)
}

fn resolve(target: &WantedTarget, archives: &BTreeMap<OriginName, Archive>, new: &mut Lock) -> Result<(), LockError> {
    let key = TargetKey { name: target.name.clone(), architecture: target.architecture };
    let requests: Vec<SolveRequest> = target.requests.iter().filter_map(SolveRequest::from_reference).collect();
    let mut locked = LockedTarget { requests: target.requests.clone(), packages: BTreeSet::new() };
    if !requests.is_empty() {
        let indexes: Vec<_> =
            archives.iter().map(|(name, archive)| (name, archive.packages(target.architecture))).collect();
        let sources: Vec<Solvable<'_>> = indexes.iter().map(|(origin, indexes)| Solvable { origin, indexes }).collect();
        let options = SolveOptions { architecture: target.architecture, recommends: false };
        let solved = solve(&sources, &requests, options)
            .map_err(|source| LockError::Solve { target: target.name.clone(), source: Box::new(source) })?;
        for selected in solved {
            let key = PackageKey {
                origin: selected.origin,
                name: selected.name.clone(),
                architecture: selected.architecture,
            };
            let other = selected.source.0 != selected.name.as_str() || selected.source.1 != selected.version;
            locked.packages.insert(key.reference());
            new.packages.insert(
                key,
                LockedPackage {
                    version: selected.version,
                    path: selected.path,
                    sha256: selected.sha256,
                    size: selected.size,
                    source: other.then_some(selected.source),
                },
            );
        }
    }
    new.targets.insert(key, locked);
    Ok(())
}

fn pin(
    workspace: &Workspace,
    services: &Services,
    wanted: &WantedSource,
    archives: &BTreeMap<OriginName, Archive>,
) -> Result<LockedSource, LockError> {
    Ok(match &wanted.source.kind {
        SourceKind::Origin { origin, package, version: wanted, apply_patches, .. } => {
            let origin = &origin.value;
            let fault = |source| LockError::SourceIndex { origin: origin.clone(), source: Box::new(source) };
            let mut records = Vec::new();
            for index in archives.get(origin).map_or(&[][..], Archive::sources) {
                records.extend(index.named(package.value.as_str()).map_err(fault)?);
            }
            records.sort_by(|a, b| version::compare(&b.version, &a.version));
            let found = records.iter().find(|record| wanted.as_ref().is_none_or(|wanted| *wanted == record.version));
            let record = found.ok_or_else(|| LockError::NoSource {
                origin: origin.clone(),
                package: package.value.clone(),
                wanted: wanted.clone(),
                versions: records.iter().map(|record| record.version.clone()).collect(),
            })?;
            // Only what is used: the distribution's changes belong to it only when they are applied.
            let changes = |name: &str| name.contains(".debian.tar.") || name.contains(".diff.");
            let used = |name: &str| !name.ends_with(".asc") && (*apply_patches || !changes(name));
            let file = |file: &kiln_import::debian::index::SourceFile| LockedFile {
                name: file.name.clone(),
                path: format!("{}/{}", record.directory, file.name),
                sha256: file.sha256,
                size: file.size,
            };
            LockedSource::Origin {
                origin: origin.clone(),
                package: package.value.clone(),
                version: record.version.clone(),
                files: record.files.iter().filter(|file| used(&file.name)).map(file).collect(),
            }
        }
        SourceKind::Archive { url, sha256, .. } => {
            LockedSource::Archive { url: url.value.clone(), sha256: *sha256, size: None }
        }
        SourceKind::Git { location, rev } => {
            let repository = Repository::parse(&location.to_string(), &workspace.folder)?;
            let commit = resolve_rev(&services.git, &services.work, &repository, &rev.value, &services.cancel)?;
            LockedSource::Git { url: location.to_string(), rev: rev.value.clone(), commit, tree: None }
        }
        SourceKind::Path { path } => LockedSource::Path { path: path.to_string() },
    })
}
