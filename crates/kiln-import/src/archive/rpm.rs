//! RPM's repositories and packages behind the seam.

use kiln_archive::Limits;
use kiln_model::lock::{LockedOrigin, LockedPackage, PackageKey};
use kiln_model::package::Relations;
use kiln_model::project::{Origin, RpmOrigin, Signed};
use kiln_model::{Architecture, ArchiveKind, ObjectSink, OriginName};

use super::relations::{Provided, RelationSyntax, SyntaxError, Term, Wish};
use super::{
    ArchiveFormat, ImportError, Imported, Means, Offer, OpenArchive, OriginError, OriginRequest, PackageFile, of_type,
};
use crate::rpm::{self, Bound, Config, FoundFiles, Relation, Simple, Solved};
use crate::solver::{SolveError, SolveRequest};

/// RPM's.
pub(super) struct Rpm;

impl OpenArchive for rpm::Archive {
    fn state(&self) -> LockedOrigin {
        self.state.clone()
    }

    fn offers(&self, package: &PackageKey, _: &Means<'_>) -> Result<Vec<Offer>, OriginError> {
        let Some(architecture) = package.architecture else { return Ok(Vec::new()) };
        let repositories = self.repositories(architecture);
        let named = repositories.iter().flat_map(|repository| {
            let fits = |record: &&rpm::Record| record.name == package.name.as_str() && record.fits(architecture);
            let records = repository.index.records.iter().filter(fits);
            records.map(|record| rpm::Selected { origin: repository.origin, folder: repository.folder, record })
        });
        let offer = |selected: rpm::Selected<'_>| Offer {
            version: selected.record.version.clone(),
            path: rpm::path_of(&selected),
            sha256: selected.record.sha256,
            size: selected.record.size,
        };
        Ok(named.map(offer).collect())
    }
}

fn settings<'a>(request: &OriginRequest<'a>) -> &'a RpmOrigin {
    let Origin::Rpm(settings) = request.origin else { unreachable!("an origin is opened by its own kind") };
    settings
}

impl ArchiveFormat for Rpm {
    fn kind(&self) -> ArchiveKind {
        ArchiveKind::Rpm
    }

    fn mirror_holds(&self) -> &'static str {
        "the folders that `repositories:` names"
    }

    fn open(&self, request: &OriginRequest<'_>, means: &Means<'_>) -> Result<Box<dyn OpenArchive>, OriginError> {
        let settings = settings(request);
        let config = Config { origin: request.name, settings, architectures: request.architectures };
        let keyring = request.project.join(settings.keyring.value.as_str());
        let archive = match request.locked.filter(|locked| rpm::Archive::serves(&config, locked)) {
            Some(locked) => rpm::Archive::open(&config, locked, request.mirrors, means)?,
            None => {
                let same = |o: &&LockedOrigin| o.suite == settings.suite && o.components == settings.repositories;
                let (keys, _) = rpm::read_keyring(&keyring)?;
                let now = (request.now, request.floor.filter(same));
                rpm::Archive::update(&config, &keys, request.mirrors, means, now)?
            }
        };
        Ok(Box::new(match settings.signed {
            Signed::Repository => archive,
            Signed::Packages => archive.with_signed_packages(keyring, request.now),
        }))
    }

    fn kept_state(
        &self,
        request: &OriginRequest<'_>,
        locked: &LockedOrigin,
        means: &Means<'_>,
    ) -> Option<LockedOrigin> {
        let config = Config { origin: request.name, settings: settings(request), architectures: request.architectures };
        if !rpm::Archive::serves(&config, locked) {
            return None;
        }
        let state = rpm::Archive::kept_state(&config, locked, means.folder)?;
        // Index by index, as the lock has them; what the statements do not speak of stays.
        let of_state = |path: &str| state.indexes.iter().find(|pin| pin.path == path).cloned();
        let indexes = locked.indexes.iter().map(|index| of_state(&index.path).unwrap_or_else(|| index.clone()));
        let (release, date) = (state.release, state.date.clone());
        Some(LockedOrigin { release, date, indexes: indexes.collect(), ..locked.clone() })
    }

    fn unknown(
        &self,
        archives: &[(&OriginName, &dyn OpenArchive)],
        requests: &[SolveRequest],
        architecture: Architecture,
        _: &Means<'_>,
    ) -> Result<Vec<(SolveRequest, SolveError)>, OriginError> {
        let archives = of_type::<rpm::Archive>(archives);
        let repositories: Vec<_> =
            archives.iter().flat_map(|(_, archive)| archive.repositories(architecture)).collect();
        Ok(rpm::unknown(&repositories, requests, architecture)?)
    }

    fn resolve(
        &self,
        archives: &[(&OriginName, &dyn OpenArchive)],
        requests: &[SolveRequest],
        architecture: Architecture,
        means: &Means<'_>,
    ) -> Result<Vec<(PackageKey, LockedPackage)>, OriginError> {
        let archives = of_type::<rpm::Archive>(archives);
        let repositories: Vec<_> =
            archives.iter().flat_map(|(_, archive)| archive.repositories(architecture)).collect();
        let mut found = FoundFiles::new();
        loop {
            // Each time it asks for files that it did not ask for before, so it ends.
            let wants = match rpm::solve(&repositories, requests, architecture, &found)? {
                Solved::Packages(list) => {
                    for (_, archive) in &archives {
                        archive.check_packages(&list, means)?;
                    }
                    return list.iter().map(|package| locked(package, architecture)).collect();
                }
                Solved::Wants(wants) => wants,
            };
            for (_, archive) in &archives {
                archive.find_files(architecture, &wants, means, &mut found)?;
            }
        }
    }

    fn importer(&self) -> &'static str {
        "import.rpm/1"
    }

    fn import(
        &self,
        package: PackageFile<'_>,
        origin: OriginName,
        objects: &dyn ObjectSink,
        limits: &Limits,
    ) -> Result<Imported, ImportError> {
        let package = rpm::import(package.file, objects, limits)?;
        let tree = package.tree.clone();
        Ok(Imported { record: package.into_record(origin)?, tree })
    }

    fn relations(&self) -> &dyn RelationSyntax {
        self
    }
}

/// A package of the solution, for the lock.
fn locked(
    selected: &rpm::Selected<'_>,
    architecture: Architecture,
) -> Result<(PackageKey, LockedPackage), OriginError> {
    let record = selected.record;
    let name = record.name.parse().map_err(|_| SolveError::Name(record.name.clone()))?;
    let sha256 = record.sha256.ok_or_else(|| rpm::IndexError::Digest(record.name.clone()))?;
    // A repository has its own file even of what runs on every architecture.
    let key = PackageKey { origin: selected.origin.clone(), name, architecture: Some(architecture) };
    let source = rpm::source_of(&record.source).filter(|source| source.0 != record.name);
    let package = LockedPackage {
        version: record.version.clone(),
        path: rpm::path_of(selected),
        sha256,
        size: record.size,
        source,
        parts: Vec::new(),
    };
    Ok((key, package))
}

fn parse(field: &str) -> Result<Vec<Relation<'_>>, SyntaxError> {
    Relation::parse_all(field).map_err(SyntaxError::new)
}

/// A file is known by its place on a merged system.
fn term(wanted: &Simple<'_>) -> Term {
    let version = wanted.bound.map(|(bound, version)| (bound.as_str().to_owned(), version.to_owned()));
    Term { name: rpm::merged(wanted.name).into_owned(), version }
}

/// The names any of which serves; none where it cannot be said so.
fn any_of(relation: &Relation<'_>) -> Option<Vec<Term>> {
    match relation {
        Relation::Simple(simple) if simple.name.starts_with('/') && !rpm::is_in_primary(simple.name) => None,
        Relation::Simple(simple) => Some(vec![term(simple)]),
        Relation::Or(parts) => parts.iter().map(any_of).collect::<Option<Vec<_>>>().map(|parts| parts.concat()),
        _ => None,
    }
}

impl RelationSyntax for Rpm {
    /// What depends on a condition, or on a file that packages do not answer to by name, the solver alone has seen to.
    fn needs(&self, relations: &Relations) -> Result<Vec<Wish>, SyntaxError> {
        let mut wishes = Vec::new();
        for (line, relation) in relations.depends.lines().zip(parse(&relations.depends)?) {
            let parts = match relation {
                Relation::And(parts) => parts,
                other => vec![other],
            };
            let served = parts.iter().filter_map(any_of);
            wishes.extend(served.map(|any_of| Wish { text: line.to_owned(), any_of }));
        }
        Ok(wishes)
    }

    fn against(&self, relations: &Relations) -> Result<Vec<(&'static str, Term)>, SyntaxError> {
        let named = parse(&relations.conflicts)?.iter().filter_map(any_of).flatten().collect::<Vec<_>>();
        Ok(named.into_iter().map(|term| ("conflicts with", term)).collect())
    }

    fn provides(&self, relations: &Relations) -> Result<Vec<Provided>, SyntaxError> {
        let provided = |line| {
            let provided = Simple::parse(line).map_err(SyntaxError::new)?;
            let version = provided.bound.map(|(_, version)| version.to_owned());
            Ok(Provided { name: provided.name.to_owned(), version })
        };
        relations.provides.lines().map(provided).collect()
    }

    fn unversioned_serves(&self) -> bool {
        true
    }

    fn admits(&self, version: &str, operator: &str, bound: &str) -> bool {
        Bound::ALL.iter().find(|known| known.as_str() == operator).is_some_and(|known| known.admits(version, bound))
    }
}
