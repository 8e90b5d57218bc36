//! Debian's archives and packages behind the seam.

use std::collections::BTreeSet;
use std::path::PathBuf;

use kiln_archive::Limits;
use kiln_model::lock::{LockedOrigin, LockedPackage, PackageKey};
use kiln_model::package::Relations;
use kiln_model::project::{DebOrigin, MaxAge, Origin};
use kiln_model::{Architecture, ArchiveKind, ObjectSink, OriginName};

use super::relations::{Provided, RelationSyntax, SyntaxError, Term, Wish};
use super::{
    ArchiveFormat, ImportError, Imported, Means, Offer, OpenArchive, OriginError, OriginRequest, PackageFile, of_type,
};
use crate::deb;
use crate::debian::archive::{Access, Archive, ArchiveConfig, ArchiveState};
use crate::debian::date;
use crate::debian::index::{IndexError, Record, SourceRecord};
use crate::debian::openpgp::Keyring;
use crate::debian::relation::{self, Operator, Relation};
use crate::debian::release::MaxAge as ReleaseAge;
use crate::debian::solver::{SolveOptions, Source, solve, unknown};
use crate::solver::{SolveError, SolveRequest, similar};

/// Debian's.
pub(super) struct Deb;

struct Opened {
    settings: DebOrigin,
    archive: Archive,
}

impl OpenArchive for Opened {
    fn state(&self) -> LockedOrigin {
        let state = &self.archive.state;
        LockedOrigin {
            archive: ArchiveKind::Deb,
            distribution: self.settings.distribution.clone(),
            suite: self.settings.suite.clone(),
            components: self.settings.components.clone(),
            release: Some(state.release),
            date: date::format(state.date),
            indexes: state.indexes.clone(),
        }
    }

    fn sources(&self, package: &str) -> Result<Vec<SourceRecord>, IndexError> {
        let mut records = Vec::new();
        for index in self.archive.sources() {
            records.extend(index.named(package)?);
        }
        Ok(records)
    }

    fn similar_sources(&self, package: &str) -> Result<Vec<String>, IndexError> {
        // Who knows a package by what is built from it means the source of that.
        let mut found: Vec<String> = self.archive.named(package)?.into_iter().map(|record| record.source.0).collect();
        let mut names = Vec::new();
        for index in self.archive.sources() {
            names.extend(index.names()?);
        }
        names.sort();
        names.dedup();
        found.retain(|name| names.contains(name));
        found.extend(similar(package, &names));
        let mut seen = BTreeSet::new();
        found.retain(|name| seen.insert(name.clone()));
        found.truncate(3);
        Ok(found)
    }

    fn offers(&self, package: &PackageKey, _: &Means<'_>) -> Result<Vec<Offer>, OriginError> {
        let records = self.archive.named(package.name.as_str()).map_err(SolveError::from)?.into_iter();
        let fits = records.filter(|record| record.architecture.parse().ok() == package.architecture);
        let offer = |record: Record| Offer {
            version: record.version,
            path: record.path,
            sha256: Some(record.sha256),
            size: record.size,
        };
        Ok(fits.map(offer).collect())
    }
}

impl ArchiveFormat for Deb {
    fn kind(&self) -> ArchiveKind {
        ArchiveKind::Deb
    }

    fn mirror_holds(&self) -> &'static str {
        "`dists`"
    }

    fn is_apts(&self) -> bool {
        true
    }

    fn open(&self, request: &OriginRequest<'_>, means: &Means<'_>) -> Result<Box<dyn OpenArchive>, OriginError> {
        let settings = settings(request);
        let config = config(request, settings);
        let Means { fetcher, folder, reporter, .. } = *means;
        let access = Access { mirrors: request.mirrors, fetcher, folder, reporter };
        let date_of = |locked: &LockedOrigin| {
            date::parse(&locked.date).ok_or_else(|| OriginError::Date { date: locked.date.clone() })
        };
        // The locked state serves when it has every index that is wanted now.
        let serving = request.locked.filter(|locked| serves(locked, &config));
        let archive = match serving.and_then(|locked| locked.release.map(|release| (locked, release))) {
            Some((locked, release)) => {
                let state = ArchiveState { release, date: date_of(locked)?, indexes: locked.indexes.clone() };
                Archive::open(&config, state, access)?
            }
            None => {
                let keyrings = keyrings(request, settings)?;
                let same = |o: &&LockedOrigin| o.suite == settings.suite && o.distribution == settings.distribution;
                let floor = request.floor.filter(same).and_then(|locked| date::parse(&locked.date));
                Archive::update(&config, &keyrings, access, request.now, floor)?
            }
        };
        Ok(Box::new(Opened { settings: settings.clone(), archive }))
    }

    fn kept_state(
        &self,
        request: &OriginRequest<'_>,
        locked: &LockedOrigin,
        means: &Means<'_>,
    ) -> Option<LockedOrigin> {
        let config = config(request, settings(request));
        // What the statement does not speak of stays: other architectures' indexes, and what another suite would have.
        let release = locked.release.filter(|_| serves(locked, &config))?;
        // A date that is none is that of no statement.
        let date = date::parse(&locked.date).unwrap_or_default();
        let state = Archive::kept_state(&config, release, (date, &locked.indexes), means.folder)?;
        let of_state = |path: &str| state.indexes.iter().find(|pin| pin.path == path);
        let indexes = locked.indexes.iter().map(|index| of_state(&index.path).unwrap_or(index).clone()).collect();
        Some(LockedOrigin { release: Some(state.release), date: date::format(state.date), indexes, ..locked.clone() })
    }

    fn unknown(
        &self,
        archives: &[(&OriginName, &dyn OpenArchive)],
        requests: &[SolveRequest],
        architecture: Architecture,
        _: &Means<'_>,
    ) -> Result<Vec<(SolveRequest, SolveError)>, OriginError> {
        let archives = of_type::<Opened>(archives);
        let indexes: Vec<_> =
            archives.iter().map(|(name, opened)| (*name, opened.archive.packages(architecture))).collect();
        let sources: Vec<Source<'_>> = indexes.iter().map(|(origin, indexes)| Source { origin, indexes }).collect();
        Ok(unknown(&sources, requests, architecture)?)
    }

    fn resolve(
        &self,
        archives: &[(&OriginName, &dyn OpenArchive)],
        requests: &[SolveRequest],
        architecture: Architecture,
        _: &Means<'_>,
    ) -> Result<Vec<(PackageKey, LockedPackage)>, OriginError> {
        let archives = of_type::<Opened>(archives);
        let indexes: Vec<_> =
            archives.iter().map(|(name, opened)| (*name, opened.archive.packages(architecture))).collect();
        let sources: Vec<Source<'_>> = indexes.iter().map(|(origin, indexes)| Source { origin, indexes }).collect();
        let solved = solve(&sources, requests, SolveOptions { architecture, recommends: false })?;
        let locked = solved.into_iter().map(|selected| {
            let other = selected.source.0 != selected.name.as_str() || selected.source.1 != selected.version;
            let key = PackageKey { origin: selected.origin, name: selected.name, architecture: selected.architecture };
            let package = LockedPackage {
                version: selected.version,
                path: selected.path,
                sha256: selected.sha256,
                size: selected.size,
                source: other.then_some(selected.source),
                parts: Vec::new(),
            };
            (key, package)
        });
        Ok(locked.collect())
    }

    fn importer(&self) -> &'static str {
        "import.deb/2"
    }

    fn import(
        &self,
        package: PackageFile<'_>,
        origin: OriginName,
        objects: &dyn ObjectSink,
        limits: &Limits,
    ) -> Result<Imported, ImportError> {
        let package = deb::import(package.file, objects, limits)?;
        let tree = package.tree.clone();
        Ok(Imported { record: package.into_record(origin)?, tree })
    }

    fn relations(&self) -> &dyn RelationSyntax {
        self
    }
}

fn settings<'a>(request: &OriginRequest<'a>) -> &'a DebOrigin {
    let Origin::Deb(settings) = request.origin else { unreachable!("an origin is opened by its own kind") };
    settings
}

fn config(request: &OriginRequest<'_>, settings: &DebOrigin) -> ArchiveConfig {
    ArchiveConfig {
        origin: request.name.clone(),
        distribution: settings.distribution.clone(),
        suite: settings.suite.clone(),
        components: settings.components.clone(),
        architectures: request.architectures.to_vec(),
        sources: request.sources,
        max_age: settings.max_age.map(|age| match age {
            MaxAge::Unlimited => ReleaseAge::Unlimited,
            MaxAge::For(duration) => ReleaseAge::Seconds(duration.as_secs()),
        }),
    }
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

/// The keyrings that an origin is believed by: the project's own, or those of the machine that are the distribution's.
fn keyrings(request: &OriginRequest<'_>, settings: &DebOrigin) -> Result<Vec<Keyring>, OriginError> {
    let read = |path: PathBuf| {
        let bytes = std::fs::read(&path).map_err(|source| OriginError::ReadKeyring { path: path.clone(), source })?;
        Ok::<_, OriginError>(Keyring::parse(&path.display().to_string(), &bytes)?)
    };
    if let Some(own) = &settings.keyring {
        return Ok(vec![read(request.project.join(own.value.as_str()))?]);
    }
    let mut found = Vec::new();
    for folder in request.keyrings {
        for ending in ["gpg", "pgp", "asc"] {
            let path = folder.join(format!("{}-archive-keyring.{ending}", settings.distribution));
            if path.is_file() {
                found.push(read(path)?);
            }
        }
    }
    if found.is_empty() {
        let distribution = settings.distribution.clone();
        return Err(OriginError::NoKeyring { origin: request.name.clone(), distribution });
    }
    Ok(found)
}

fn term(relation: &Relation<'_>) -> Term {
    let version = relation.version.map(|(operator, version)| (operator.as_str().to_owned(), version.to_owned()));
    Term { name: relation.name.to_owned(), version }
}

fn parse(field: &str) -> Result<Vec<relation::Group<'_>>, SyntaxError> {
    relation::parse(field).map_err(SyntaxError::new)
}

impl RelationSyntax for Deb {
    fn needs(&self, relations: &Relations) -> Result<Vec<Wish>, SyntaxError> {
        let wish = |group: &relation::Group<'_>| Wish {
            text: relation::shown(group),
            any_of: group.iter().map(term).collect(),
        };
        Ok(parse(&relations.depends)?.iter().map(wish).collect())
    }

    fn against(&self, relations: &Relations) -> Result<Vec<(&'static str, Term)>, SyntaxError> {
        let mut all = Vec::new();
        for (verb, field) in [("conflicts with", &relations.conflicts), ("breaks", &relations.breaks)] {
            all.extend(parse(field)?.iter().flatten().map(|relation| (verb, term(relation))));
        }
        Ok(all)
    }

    fn provides(&self, relations: &Relations) -> Result<Vec<Provided>, SyntaxError> {
        let provided = |relation: &Relation<'_>| Provided {
            name: relation.name.to_owned(),
            version: relation.version.map(|(_, version)| version.to_owned()),
        };
        Ok(parse(&relations.provides)?.iter().flatten().map(provided).collect())
    }

    fn admits(&self, version: &str, operator: &str, bound: &str) -> bool {
        Operator::ALL.iter().find(|known| known.as_str() == operator).is_some_and(|known| known.admits(version, bound))
    }
}
