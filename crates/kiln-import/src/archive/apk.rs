//! Alpine's archives and packages behind the seam.

use kiln_archive::Limits;
use kiln_model::lock::{LockedOrigin, LockedPackage, PackageKey};
use kiln_model::package::Relations;
use kiln_model::project::{ApkOrigin, Origin};
use kiln_model::{Architecture, ArchiveKind, ObjectSink, OriginName};

use super::relations::{Provided, RelationSyntax, SyntaxError, Term, Wish};
use super::{
    ArchiveFormat, ImportError, Imported, Means, Offer, OpenArchive, OriginError, OriginRequest, PackageFile, of_type,
};
use crate::apk::{self, Bound, Config, Dependency, Keys};
use crate::solver::{SolveError, SolveRequest};

/// Alpine's.
pub(super) struct Apk;

impl OpenArchive for apk::Archive {
    fn state(&self) -> LockedOrigin {
        self.state.clone()
    }

    fn offers(&self, package: &PackageKey, means: &Means<'_>) -> Result<Vec<Offer>, OriginError> {
        let repositories = package.architecture.map(|architecture| self.repositories(architecture));
        let named = repositories.iter().flatten().flat_map(|repository| {
            let records = repository.index.records.iter().filter(|record| record.name == package.name.as_str());
            records.map(|record| apk::Selected { origin: repository.origin, folder: repository.folder, record })
        });
        let offer = |selected: apk::Selected<'_>| Offer {
            version: selected.record.version.clone(),
            path: apk::path_of(&selected),
            sha256: self.pinned(&selected, means),
            size: selected.record.size,
        };
        Ok(named.map(offer).collect())
    }
}

fn settings<'a>(request: &OriginRequest<'a>) -> &'a ApkOrigin {
    let Origin::Apk(settings) = request.origin else { unreachable!("an origin is opened by its own kind") };
    settings
}

impl ArchiveFormat for Apk {
    fn kind(&self) -> ArchiveKind {
        ArchiveKind::Apk
    }

    fn mirror_holds(&self) -> &'static str {
        "the branches, such as `v3.22`"
    }

    fn open(&self, request: &OriginRequest<'_>, means: &Means<'_>) -> Result<Box<dyn OpenArchive>, OriginError> {
        let settings = settings(request);
        let config = Config { origin: request.name, settings, architectures: request.architectures };
        if let Some(locked) = request.locked.filter(|locked| apk::Archive::serves(&config, locked)) {
            return Ok(Box::new(apk::Archive::open(&config, locked, request.mirrors, means)?));
        }
        let keys = Keys::open(&request.project.join(settings.keyring.value.as_str())).map_err(apk::IndexError::from)?;
        let same = |o: &&LockedOrigin| o.suite == settings.suite && o.components == settings.components;
        let floor = request.floor.filter(same);
        Ok(Box::new(apk::Archive::update(&config, &keys, request.mirrors, means, floor)?))
    }

    fn kept_state(
        &self,
        request: &OriginRequest<'_>,
        locked: &LockedOrigin,
        means: &Means<'_>,
    ) -> Option<LockedOrigin> {
        let config = Config { origin: request.name, settings: settings(request), architectures: request.architectures };
        if !apk::Archive::serves(&config, locked) {
            return None;
        }
        apk::Archive::kept_state(&config, locked, means.folder)
    }

    fn unknown(
        &self,
        archives: &[(&OriginName, &dyn OpenArchive)],
        requests: &[SolveRequest],
        architecture: Architecture,
        _: &Means<'_>,
    ) -> Result<Vec<(SolveRequest, SolveError)>, OriginError> {
        let archives = of_type::<apk::Archive>(archives);
        let repositories: Vec<_> =
            archives.iter().flat_map(|(_, archive)| archive.repositories(architecture)).collect();
        Ok(apk::unknown(&repositories, requests, architecture)?)
    }

    fn resolve(
        &self,
        archives: &[(&OriginName, &dyn OpenArchive)],
        requests: &[SolveRequest],
        architecture: Architecture,
        means: &Means<'_>,
    ) -> Result<Vec<(PackageKey, LockedPackage)>, OriginError> {
        let archives = of_type::<apk::Archive>(archives);
        let repositories: Vec<_> =
            archives.iter().flat_map(|(_, archive)| archive.repositories(architecture)).collect();
        let solved = apk::solve(&repositories, requests, architecture)?;
        let mut locked = Vec::with_capacity(solved.len());
        for (origin, archive) in &archives {
            let own: Vec<_> = solved.iter().copied().filter(|selected| selected.origin == *origin).collect();
            for (selected, sha256) in own.iter().zip(archive.pin(&own, means)?) {
                let record = selected.record;
                let name = record.name.parse().map_err(|_| SolveError::Name(record.name.clone()))?;
                // A repository has its own file even of what runs on every architecture.
                let key = PackageKey { origin: (*origin).clone(), name, architecture: Some(architecture) };
                let source = record.source.clone().filter(|source| *source != record.name);
                let package = LockedPackage {
                    version: record.version.clone(),
                    path: apk::path_of(selected),
                    sha256,
                    size: record.size,
                    source: source.map(|source| (source, record.version.clone())),
                    parts: Vec::new(),
                };
                locked.push((key, package));
            }
        }
        Ok(locked)
    }

    fn importer(&self) -> &'static str {
        "import.apk/1"
    }

    fn import(
        &self,
        package: PackageFile<'_>,
        origin: OriginName,
        objects: &dyn ObjectSink,
        limits: &Limits,
    ) -> Result<Imported, ImportError> {
        let package = apk::import(package.file, objects, limits)?;
        let tree = package.tree.clone();
        Ok(Imported { record: package.into_record(origin)?, tree })
    }

    fn relations(&self) -> &dyn RelationSyntax {
        self
    }
}

fn parse(field: &str) -> Result<Vec<Dependency<'_>>, SyntaxError> {
    Dependency::parse_all(field).map_err(SyntaxError::new)
}

fn term(wanted: &Dependency<'_>) -> Term {
    let version = wanted.bound.map(|(bound, version)| (bound.as_str().to_owned(), version.to_owned()));
    Term { name: wanted.name.to_owned(), version }
}

impl RelationSyntax for Apk {
    fn needs(&self, relations: &Relations) -> Result<Vec<Wish>, SyntaxError> {
        let wish = |wanted: &Dependency<'_>| Wish { text: wanted.to_string(), any_of: vec![term(wanted)] };
        Ok(parse(&relations.depends)?.iter().map(wish).collect())
    }

    fn against(&self, relations: &Relations) -> Result<Vec<(&'static str, Term)>, SyntaxError> {
        Ok(parse(&relations.conflicts)?.iter().map(|wanted| ("conflicts with", term(wanted))).collect())
    }

    fn provides(&self, relations: &Relations) -> Result<Vec<Provided>, SyntaxError> {
        let provided = |provided: &Dependency<'_>| Provided {
            name: provided.name.to_owned(),
            version: provided.bound.map(|(_, version)| version.to_owned()),
        };
        Ok(parse(&relations.provides)?.iter().map(provided).collect())
    }

    fn admits(&self, version: &str, operator: &str, bound: &str) -> bool {
        Bound::ALL.iter().find(|known| known.as_str() == operator).is_some_and(|known| known.admits(version, bound))
    }
}
