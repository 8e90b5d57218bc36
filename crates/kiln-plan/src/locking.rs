//! Resolving what a project names and pinning it: `kiln lock`.
//!
//! Everything is resolved again each time, but within the states of the archives that are locked: only an update moves
//! those. What packages a project needs is a function of what it asks and of those states, so adding a package to an
//! image changes the version of no other, and a lock that was edited or merged wrongly comes right. What cannot be had
//! from anywhere else is taken from the old lock: the states, the commits of branches, the numbers of accounts.
//!
//! When an archive cannot be reached and the lock says what the project asks, it is left as it is, and that is said.

use std::collections::{BTreeMap, BTreeSet};

use kiln_build::source::{GitError, GitLocation as Repository, resolve_rev};
use kiln_import::archive::{Means, OpenArchive, OriginError, OriginRequest, format_of};
use kiln_import::mirror::MirrorError;
use kiln_import::solver::SolveRequest;
use kiln_model::diagnostic::Diagnostics;
use kiln_model::lock::{LOCK_FILE, Lock, LockedFile, LockedOrigin, LockedSource, LockedTarget, Staleness, TargetKey};
use kiln_model::project::{Origin, WantedSource, WantedTarget};
use kiln_model::recipe::SourceKind;
use kiln_model::{Architecture, ArchiveKind, Event, OriginName, PackageName, Reporter};

use crate::services::Services;
use crate::unknown;
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
    #[error("cannot pin source {} of `{recipe}`", .index + 1)]
    Git {
        /// The recipe.
        recipe: PackageName,
        /// Which of its sources.
        index: u32,
        /// Why.
        #[source]
        source: Box<GitError>,
    },
    /// The project asks for packages that its origins do not have, or that do not go together.
    #[error("the project asks for packages that cannot be had")]
    Asked(Box<Diagnostics>),
    /// A name that `--update` gave is nothing here.
    #[error("`{name}` is no origin, recipe or locked package of this project")]
    NoSuchName {
        /// The name.
        name: String,
        /// One that may have been meant.
        near: Option<String>,
    },
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
            Self::Git { source, .. } => source.hint(),
            Self::SourceIndex { source, .. } => source.hint(),
            Self::NoSuchName { near, .. } => near.as_ref().map(|near| format!("did you mean `{near}`?")),
            Self::Asked(_) => None,
        }
    }

    /// Is it about reaching an archive, and not about what the project asks?
    fn is_of_reach(&self) -> bool {
        match self {
            Self::Mirror(_) => true,
            Self::Origin(source) => source.is_of_reach(),
            Self::Solve { source, .. } => source.is_of_reach(),
            _ => false,
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

    /// The architectures it speaks of.
    #[must_use]
    pub fn architectures(&self) -> Vec<Architecture> {
        let all: BTreeSet<_> = self.targets.iter().map(|target| target.architecture).collect();
        all.into_iter().collect()
    }

    /// Are source packages of an origin wanted?
    pub(crate) fn sources_of(&self, name: &OriginName) -> bool {
        let from_here = |source: &WantedSource| matches!(&source.source.kind, SourceKind::Origin { origin, .. } if origin.value == *name);
        self.sources.iter().any(from_here)
    }

    /// Everything in which a lock does not say what the project asks.
    #[must_use]
    pub fn stale(&self, workspace: &Workspace, lock: &Lock) -> Vec<Staleness> {
        lock.stale(&workspace.project.project.origins, &self.targets, &self.sources)
    }
}

/// Resolves what a project names. `old` is what there is of a lock, if there is one.
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
    match resolve_all(workspace, services, &wanted, old, update, reporter) {
        // Who only wants to know that the lock is up to date needs no network for it.
        Err(error) if error.is_of_reach() && *update == Update::Nothing && wanted.stale(workspace, old).is_empty() => {
            let message =
                format!("`{LOCK_FILE}` says what the project asks, but is not checked against the archive: {error}");
            reporter.report(Event::Warning { message, hint: error.hint() });
            Ok(old.clone())
        }
        resolved => resolved,
    }
}

fn resolve_all(
    workspace: &Workspace,
    services: &Services,
    wanted: &Wanted,
    old: &Lock,
    update: &Update,
    reporter: &dyn Reporter,
) -> Result<Lock, LockError> {
    let mut new = Lock { ids: old.ids.clone(), ..Lock::default() };
    let folder = services.archives();
    let means = Means { fetcher: &services.fetcher, folder: &folder, session: &services.session, reporter };
    let mut archives = Archives::new();
    for (name, origin) in &workspace.project.project.origins {
        let moved = update.names(name.as_str())
            || old.packages.keys().any(|key| {
                key.origin == *name && (update.names(key.name.as_str()) || update.names(&key.reference().to_string()))
            });
        let locked = old.origins.get(name).filter(|_| !moved);
        let archive = open(workspace, services, name, &origin.value, wanted, locked, old, &means)?;
        archives.insert(name.clone(), (origin.value.kind(), archive));
    }
    let unknown = unknown::names(workspace, wanted, &archives, &means)?;
    if !unknown.is_empty() {
        return Err(LockError::Asked(Box::new(unknown)));
    }
    for target in &wanted.targets {
        resolve(workspace, target, &archives, &means, &mut new)?;
    }
    // What an archive of images has is known only by now, name by name.
    new.origins = archives.iter().map(|(name, (_, archive))| (name.clone(), archive.state())).collect();
    // Packages that had to be read are in the store now; what is written there counts once it is published.
    services.session.flush()?;
    // Other machines lock other architectures: theirs stay.
    let spoken_of: BTreeSet<_> = wanted.targets.iter().map(|target| target.architecture).collect();
    for (key, target) in old.targets.iter().filter(|(key, _)| !spoken_of.contains(&key.architecture)) {
        new.targets.insert(key.clone(), target.clone());
        for package in target.packages.iter() {
            if let Some((key, locked)) = old.find(package, key.architecture) {
                new.packages.entry(key.clone()).or_insert_with(|| locked.clone());
            }
        }
    }
    for source in &wanted.sources {
        let key = (source.recipe.clone(), source.index);
        // Only of a branch nobody but the lock knows what it was; all else follows from the recipe and the archives.
        let kept = old.sources.get(&key).filter(|locked| {
            matches!(locked, LockedSource::Git { .. })
                && locked.is(&source.source.kind)
                && !update.names(source.recipe.as_str())
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
    let mut known: BTreeSet<String> = project.project.origins.keys().map(ToString::to_string).collect();
    known.extend(project.recipes.keys().map(ToString::to_string));
    for key in old.packages.keys() {
        known.extend([key.name.to_string(), key.reference().to_string()]);
    }
    match names.iter().find(|name| !known.contains(*name)) {
        None => Ok(()),
        Some(name) => {
            let near = kiln_model::yaml::nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
            Err(LockError::NoSuchName { name: name.clone(), near })
        }
    }
}

/// Archives by origin, each with its kind.
pub(crate) type Archives = BTreeMap<OriginName, (ArchiveKind, Box<dyn OpenArchive>)>;

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
    let architectures = wanted.architectures();
    let mirrors = services.settings.mirrors.places(name.as_str(), origin, &workspace.folder);
    let request = OriginRequest {
        name,
        origin,
        project: &workspace.folder,
        keyrings: &services.settings.keyring_folders,
        mirrors: mirrors.as_ref().map_or(&[], Vec::as_slice),
        architectures: &architectures,
        sources: wanted.sources_of(name),
        locked: None,
        floor: old.origins.get(name).filter(|locked| locked.archive == origin.kind()),
        now: services.settings.now,
    };
    let format = format_of(origin.kind());
    let stated = locked.map(|locked| format.kept_state(&request, locked, means).unwrap_or_else(|| locked.clone()));
    let opened = format.open(&OriginRequest { locked: stated.as_ref(), ..request }, means);
    let error = match opened {
        Ok(archive) => return Ok(archive),
        Err(error) => error,
    };
    // What the lock says of the state may be wrong, and the state be the archive's present one all the same.
    if let Some(locked) = locked.filter(|_| error.is_gone())
        && let Ok(present) = format.open(&request, means)
        && is_state(&present.state(), locked)
    {
        return Ok(present);
    }
    // Where nobody could be asked, because nobody is known, that is what to tell.
    mirrors.map_err(LockError::from)?;
    Err(error.into())
}

/// Is it the locked state, whatever else the lock says of it? The signed statement tells, or, without one, the date.
fn is_state(state: &LockedOrigin, locked: &LockedOrigin) -> bool {
    match (&state.release, &locked.release) {
        (Some(release), Some(locked)) => release == locked,
        (None, None) => state.suite == locked.suite && state.date == locked.date,
        _ => false,
    }
}

/// Resolves a target. Packages of different kinds of archive know nothing of each other, so each kind's requests are
/// resolved among its own; whether all go together is found out when they are composed.
fn resolve(
    workspace: &Workspace,
    target: &WantedTarget,
    archives: &Archives,
    means: &Means<'_>,
    new: &mut Lock,
) -> Result<(), LockError> {
    let key = TargetKey { name: target.name.clone(), architecture: target.architecture };
    let mut packages = BTreeSet::new();
    let kinds: BTreeSet<ArchiveKind> = archives.values().map(|(kind, _)| *kind).collect();
    for kind in kinds {
        let (own, requests) = of_kind(target, archives, kind);
        if requests.is_empty() {
            continue;
        }
        let solved = format_of(kind).resolve(&own, &requests, target.architecture, means);
        let solved = solved.map_err(|source| {
            let placed = match &source {
                OriginError::Solve(error) => unknown::contradiction(workspace, target, error),
                _ => None,
            };
            match placed {
                Some(placed) => LockError::Asked(Box::new(placed)),
                None => LockError::Solve { target: target.name.clone(), source: Box::new(source) },
            }
        })?;
        for (key, package) in solved {
            packages.insert(key.reference());
            new.packages.insert(key, package);
        }
    }
    new.targets
        .insert(key, LockedTarget { requests: target.requests.keys().cloned().collect(), packages: packages.into() });
    Ok(())
}

/// The requests of a target for packages of one kind of archive, and the archives of that kind.
pub(crate) fn of_kind<'a>(
    target: &WantedTarget,
    archives: &'a Archives,
    kind: ArchiveKind,
) -> (Vec<(&'a OriginName, &'a dyn OpenArchive)>, Vec<SolveRequest>) {
    let own: Vec<(&OriginName, &dyn OpenArchive)> =
        archives.iter().filter(|(_, (of, _))| *of == kind).map(|(name, (_, archive))| (name, &**archive)).collect();
    let here = |request: &&kiln_model::PackageRef| own.iter().any(|(name, _)| request.origin() == Some(*name));
    let requests = target.requests.keys().filter(here).filter_map(SolveRequest::from_reference).collect();
    (own, requests)
}

fn pin(
    workspace: &Workspace,
    services: &Services,
    wanted: &WantedSource,
    archives: &Archives,
) -> Result<LockedSource, LockError> {
    Ok(match &wanted.source.kind {
        SourceKind::Origin { origin, package, version, apply_patches, .. } => {
            let record = unknown::source(archives, origin, package, version.as_deref())?
                .map_err(|problem| LockError::Asked(Box::new(workspace.project.sources.diagnostics(vec![problem]))))?;
            // Only what is used: the distribution's changes belong to it only when they are applied.
            let changes = |name: &str| name.contains(".debian.tar.") || name.contains(".diff.");
            let used = |name: &str| !name.ends_with(".asc") && (*apply_patches || !changes(name));
            let file = |file: &kiln_import::debian::index::SourceFile| LockedFile {
                name: file.name.clone(),
                path: format!("{}/{}", record.directory, file.name),
                sha256: file.sha256,
                size: file.size,
            };
            let mut files: Vec<LockedFile> = record.files.iter().filter(|file| used(&file.name)).map(file).collect();
            files.sort();
            LockedSource::Origin {
                origin: origin.value.clone(),
                package: package.value.clone(),
                version: record.version.clone(),
                files,
            }
        }
        SourceKind::Archive { url, sha256, .. } => {
            LockedSource::Archive { url: url.value.clone(), sha256: *sha256, size: None }
        }
        SourceKind::Git { location, rev } => {
            let fault = |source| {
                let (recipe, index) = (wanted.recipe.clone(), wanted.index);
                LockError::Git { recipe, index, source: Box::new(source) }
            };
            let repository = Repository::parse(&location.to_string(), &workspace.folder).map_err(fault)?;
            let commit = resolve_rev(&services.git, &services.work, &repository, &rev.value, &services.cancel);
            let commit = commit.map_err(fault)?;
            LockedSource::Git { url: location.to_string(), rev: rev.value.clone(), commit, tree: None }
        }
        SourceKind::Path { path } => LockedSource::Path { path: path.to_string() },
    })
}
