//! Resolving what a project names and pinning it: `kiln lock`.
//!
//! A lock that says what the project asks is left as it is. Where it does not, everything is resolved again, but within
//! the states of the archives that are locked: only an update moves those. So adding a package to an image changes the
//! version of no other.

use std::collections::{BTreeMap, BTreeSet};

use kiln_build::source::{GitError, GitLocation as Repository, resolve_rev};
use kiln_import::archive::{Means, OpenArchive, OriginError, OriginRequest, format_of};
use kiln_import::mirror::MirrorError;
use kiln_import::solver::SolveRequest;
use kiln_model::lock::{Lock, LockedFile, LockedOrigin, LockedSource, LockedTarget, Staleness, TargetKey};
use kiln_model::project::{Origin, WantedSource, WantedTarget};
use kiln_model::recipe::SourceKind;
use kiln_model::version;
use kiln_model::{ArchiveKind, OriginName, PackageName, Reporter};

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
    /// An origin cannot be used.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// The packages do not go together.
    #[error("cannot resolve `{target}`")]
    Solve {
        /// Which target.
        target: String,
        /// Why.
        #[source]
        source: Box<OriginError>,
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
    /// What was read to be pinned cannot be kept.
    #[error("cannot keep the packages that were read")]
    Keep(#[from] kiln_store::WriteError),
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
            Self::Origin(error) => error.hint(),
            Self::Keep(error) => error.hint(),
            Self::Solve { source, .. } => source.hint(),
            Self::NoSource { versions, .. } if !versions.is_empty() => Some(format!("it has {}", versions.join(", "))),
            Self::NoSource { .. } => {
                Some("source packages often have another name than the packages built from them".to_owned())
            }
            Self::Git(error) => error.hint(),
            Self::SourceIndex { source, .. } => source.hint(),
            Self::NoSuchName(_) => None,
        }
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
    let folder = services.archives();
    let means = Means { fetcher: &services.fetcher, folder: &folder, session: &services.session, reporter };
    let mut archives = Archives::new();
    for (name, origin) in &workspace.project.project.origins {
        let moved = update.names(name.as_str())
            || old.packages.keys().any(|key| key.origin == *name && update.names(key.name.as_str()));
        let locked = old.origins.get(name).filter(|_| !moved);
        let archive = open(workspace, services, name, &origin.value, &wanted, locked, old, &means)?;
        new.origins.insert(name.clone(), archive.state());
        archives.insert(name.clone(), (origin.value.kind(), archive));
    }
    for target in &wanted.targets {
        resolve(target, &archives, &means, &mut new)?;
    }
    // Packages that had to be read are in the store now; what is written there counts once it is published.
    services.session.flush()?;
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

/// Archives by origin, each with its kind.
type Archives = BTreeMap<OriginName, (ArchiveKind, Box<dyn OpenArchive>)>;

#[allow(clippy::too_many_arguments, reason = "each is another thing, and there is one caller")]
fn open(
    workspace: &Workspace,
    services: &Services,
    name: &OriginName,
    origin: &Origin,
    wanted: &Wanted,
    locked: Option<&LockedOrigin>,
    old: &Lock,
    means: &Means<'_>,
) -> Result<Box<dyn OpenArchive>, LockError> {
    let architectures: BTreeSet<_> = wanted.targets.iter().map(|target| target.architecture).collect();
    let architectures: Vec<_> = architectures.into_iter().collect();
    let from_here = |source: &WantedSource| matches!(&source.source.kind, SourceKind::Origin { origin, .. } if origin.value == *name);
    let mirrors = services.settings.mirrors.choose(origin.kind(), name.as_str(), origin.distribution())?;
    let request = OriginRequest {
        name,
        origin,
        project: &workspace.folder,
        keyrings: &services.settings.keyring_folders,
        mirrors: &mirrors,
        architectures: &architectures,
        sources: wanted.sources.iter().any(from_here),
        locked,
        floor: old.origins.get(name).filter(|locked| locked.archive == origin.kind()),
        now: services.settings.now,
    };
    Ok(format_of(origin.kind()).open(&request, means)?)
}

/// Resolves a target. Packages of different kinds of archive know nothing of each other, so each kind's requests are
/// resolved among its own; whether all go together is found out when they are composed.
fn resolve(target: &WantedTarget, archives: &Archives, means: &Means<'_>, new: &mut Lock) -> Result<(), LockError> {
    let key = TargetKey { name: target.name.clone(), architecture: target.architecture };
    let mut locked = LockedTarget { requests: target.requests.clone(), packages: BTreeSet::new() };
    let kinds: BTreeSet<ArchiveKind> = archives.values().map(|(kind, _)| *kind).collect();
    for kind in kinds {
        let own: Vec<(&OriginName, &dyn OpenArchive)> =
            archives.iter().filter(|(_, (of, _))| *of == kind).map(|(name, (_, archive))| (name, &**archive)).collect();
        let here = |request: &&kiln_model::PackageRef| own.iter().any(|(name, _)| request.origin() == Some(*name));
        let requests: Vec<SolveRequest> =
            target.requests.iter().filter(here).filter_map(SolveRequest::from_reference).collect();
        if requests.is_empty() {
            continue;
        }
        let solved = format_of(kind).resolve(&own, &requests, target.architecture, means);
        let solved =
            solved.map_err(|source| LockError::Solve { target: target.name.clone(), source: Box::new(source) })?;
        for (key, package) in solved {
            locked.packages.insert(key.reference());
            new.packages.insert(key, package);
        }
    }
    new.targets.insert(key, locked);
    Ok(())
}

fn pin(
    workspace: &Workspace,
    services: &Services,
    wanted: &WantedSource,
    archives: &Archives,
) -> Result<LockedSource, LockError> {
    Ok(match &wanted.source.kind {
        SourceKind::Origin { origin, package, version: wanted, apply_patches, .. } => {
            let origin = &origin.value;
            let fault = |source| LockError::SourceIndex { origin: origin.clone(), source: Box::new(source) };
            let archive = archives.get(origin);
            let mut records = match archive {
                Some((_, archive)) => archive.sources(package.value.as_str()).map_err(fault)?,
                None => Vec::new(),
            };
            let kind = archive.map(|(kind, _)| *kind).unwrap_or_default();
            records.sort_by(|a, b| version::compare(kind, &b.version, &a.version));
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
