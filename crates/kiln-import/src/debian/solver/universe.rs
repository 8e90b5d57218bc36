//! The packages that a solution may be made of, read from the indexes as they are asked for, and what Debian's
//! relations mean among them.
//!
//! A package is a candidate for its architecture or for all. Of each name only the highest version is one, unless a
//! request narrows the name to an origin or a version. Relations are answered as lists of candidates: real packages
//! before providers, providers by priority, then name.

use std::cell::{OnceCell, RefCell};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::rc::Rc;

use kiln_model::{Architecture, OriginName, PackageName};

use super::{SolveError, Source};
use crate::debian::index::{MultiArch, Record};
use crate::debian::relation::{self, Relation, RelationError};
use crate::debian::version;
use crate::solver::{self, Exclusion, Group, PackageId, similar};

/// A package that may be taken.
#[derive(Debug)]
pub(super) struct Package {
    /// The place of its source among the sources.
    pub(super) source: usize,
    pub(super) record: Record,
    needs: OnceCell<Rc<[Group]>>,
    excludes: OnceCell<Rc<[Exclusion]>>,
}

#[derive(Debug, Clone, Default)]
struct Narrow {
    source: usize,
    version: Option<String>,
}

/// See the module.
pub(super) struct Universe<'a> {
    sources: &'a [Source<'a>],
    architecture: Architecture,
    every_version: bool,
    narrowed: RefCell<BTreeMap<String, Narrow>>,
    packages: RefCell<Vec<Rc<Package>>>,
    named: RefCell<BTreeMap<String, Rc<[PackageId]>>>,
}

impl<'a> Universe<'a> {
    pub(super) fn new(sources: &'a [Source<'a>], architecture: Architecture) -> Self {
        Self {
            sources,
            architecture,
            every_version: false,
            narrowed: RefCell::default(),
            packages: RefCell::default(),
            named: RefCell::default(),
        }
    }

    /// The same, but lower versions are candidates too.
    pub(super) fn with_every_version(self) -> Self {
        Self { every_version: true, narrowed: self.narrowed, ..Self::new(self.sources, self.architecture) }
    }

    /// The same, but only the highest version of each name is a candidate.
    pub(super) fn with_highest_versions(self) -> Self {
        Self { narrowed: self.narrowed, ..Self::new(self.sources, self.architecture) }
    }

    /// Only packages of this source, and of this version, are candidates for `name`.
    pub(super) fn narrow(&self, name: &str, source: usize, version: Option<&str>) {
        let mut narrowed = self.narrowed.borrow_mut();
        let entry = narrowed.entry(name.to_owned()).or_default();
        entry.source = source;
        if let Some(version) = version {
            entry.version = Some(version.to_owned());
        }
    }

    pub(super) fn origin(&self, source: usize) -> &'a OriginName {
        self.sources[source].origin
    }

    pub(super) fn package(&self, id: PackageId) -> Rc<Package> {
        self.packages.borrow()[id].clone()
    }

    fn fits(&self, record: &Record) -> bool {
        record.architecture == "all" || record.architecture == self.architecture.as_str()
    }

    /// The versions of `name` that a source has.
    pub(super) fn of_origin(&self, name: &str, source: usize) -> Result<Vec<String>, SolveError> {
        let mut versions = Vec::new();
        for index in self.sources[source].indexes {
            versions.extend(index.named(name)?.into_iter().filter(|r| self.fits(r)).map(|record| record.version));
        }
        versions.sort_by(|a, b| version::compare(b, a));
        versions.dedup();
        Ok(versions)
    }

    /// The one package that provides a name that is no package's.
    pub(super) fn only_provider(
        &self,
        origin: &OriginName,
        name: &PackageName,
        source: usize,
    ) -> Result<String, SolveError> {
        let mut providers = Vec::new();
        for index in self.sources[source].indexes {
            providers.extend(index.providers(name.as_str())?.into_iter().filter(|r| self.fits(r)).map(|r| r.name));
        }
        providers.sort();
        providers.dedup();
        let (origin, name) = (origin.clone(), name.clone());
        match providers.len() {
            0 => {
                let mut names = Vec::new();
                for index in self.sources[source].indexes {
                    names.extend(index.names()?);
                }
                names.sort();
                names.dedup();
                let similar = similar(name.as_str(), &names);
                Err(SolveError::UnknownPackage { origin, name, similar })
            }
            1 => Ok(providers.remove(0)),
            _ => Err(SolveError::Virtual { origin, name, providers }),
        }
    }

    /// The names of a source's Essential packages.
    pub(super) fn essential(&self, source: usize) -> Result<Vec<String>, SolveError> {
        let mut names = Vec::new();
        for index in self.sources[source].indexes {
            names.extend(index.essential()?.into_iter().filter(|r| self.fits(r)).map(|record| record.name));
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// The candidates of this name, highest version first.
    pub(super) fn named(&self, name: &str) -> Result<Rc<[PackageId]>, SolveError> {
        if let Some(known) = self.named.borrow().get(name) {
            return Ok(known.clone());
        }
        let narrow = self.narrowed.borrow().get(name).cloned();
        let mut found: Vec<(usize, Record)> = Vec::new();
        for (place, source) in self.sources.iter().enumerate() {
            if narrow.as_ref().is_some_and(|narrow| narrow.source != place) {
                continue;
            }
            for index in source.indexes {
                let records = index.named(name)?.into_iter().filter(|record| self.fits(record));
                found.extend(records.map(|record| (place, record)));
            }
        }
        if let Some(exact) = narrow.and_then(|narrow| narrow.version) {
            found.retain(|(_, record)| record.version == exact);
        }
        // Stable: among equal versions the first source, and its first index, comes first.
        found.sort_by(|(_, a), (_, b)| version::compare(&b.version, &a.version));
        found.dedup_by(|(_, b), (_, a)| version::compare(&a.version, &b.version).is_eq());
        if !self.every_version {
            found.truncate(1);
        }
        let mut packages = self.packages.borrow_mut();
        let ids: Rc<[PackageId]> = found
            .into_iter()
            .map(|(source, record)| {
                let package = Package { source, record, needs: OnceCell::new(), excludes: OnceCell::new() };
                packages.push(Rc::new(package));
                packages.len() - 1
            })
            .collect();
        drop(packages);
        self.named.borrow_mut().insert(name.to_owned(), ids.clone());
        Ok(ids)
    }

    /// The candidates that provide `name` in a way that the relation admits, by priority, then name.
    fn providers(&self, relation: &Relation<'_>) -> Result<Vec<PackageId>, SolveError> {
        let mut names = Vec::new();
        for index in self.sources.iter().flat_map(|source| source.indexes) {
            names.extend(index.providers(relation.name)?.into_iter().map(|record| record.name));
        }
        names.sort();
        names.dedup();
        let mut found = Vec::new();
        for name in names {
            for &id in self.named(&name)?.iter() {
                let package = self.package(id);
                let provided = parse(&package.record, &package.record.provides)?;
                let serves = provided.iter().flatten().any(|provided| {
                    provided.name == relation.name
                        && match (relation.version, provided.version) {
                            (None, _) => true,
                            (Some((operator, bound)), Some((_, provided))) => operator.admits(provided, bound),
                            (Some(_), None) => false,
                        }
                });
                if serves {
                    found.push((Reverse(package.record.priority), id));
                }
            }
        }
        found.sort_by_key(|(priority, _)| *priority);
        Ok(found.into_iter().map(|(_, id)| id).collect())
    }

    /// The candidates that satisfy the relation, best first.
    fn matching(&self, relation: &Relation<'_>) -> Result<Vec<PackageId>, SolveError> {
        let mut found = Vec::new();
        for &id in self.named(relation.name)?.iter() {
            if relation.admits(&self.package(id).record.version) {
                found.push(id);
            }
        }
        for id in self.providers(relation)? {
            if !found.contains(&id) {
                found.push(id);
            }
        }
        match relation.qualifier {
            None | Some("native") => {}
            Some("any") => found.retain(|&id| self.package(id).record.multi_arch == MultiArch::Allowed),
            Some(architecture) if architecture == self.architecture.as_str() => {}
            Some(_) => found.clear(),
        }
        Ok(found)
    }

    fn groups(&self, id: PackageId, record: &Record, fields: &[&str]) -> Result<Vec<Group>, SolveError> {
        let mut groups = Vec::new();
        for field in fields {
            for group in parse(record, field)? {
                let mut candidates = Vec::new();
                for relation in &group {
                    for candidate in self.matching(relation)? {
                        if !candidates.contains(&candidate) {
                            candidates.push(candidate);
                        }
                    }
                }
                if !candidates.contains(&id) {
                    let names = group.iter().map(|relation| relation.name.to_owned()).collect();
                    groups.push(Group { text: relation::shown(&group), names, candidates, when: Vec::new() });
                }
            }
        }
        Ok(groups)
    }

    /// What a package needs.
    pub(super) fn needs(&self, id: PackageId) -> Result<Rc<[Group]>, SolveError> {
        let package = self.package(id);
        if let Some(known) = package.needs.get() {
            return Ok(known.clone());
        }
        let record = &package.record;
        let groups: Rc<[Group]> = self.groups(id, record, &[&record.pre_depends, &record.depends])?.into();
        Ok(package.needs.get_or_init(|| groups).clone())
    }

    /// What a package recommends.
    pub(super) fn recommends(&self, id: PackageId) -> Result<Vec<Group>, SolveError> {
        let package = self.package(id);
        self.groups(id, &package.record, &[&package.record.recommends])
    }

    /// The packages that those chosen recommend and that are not among them: the best candidate of each group.
    pub(super) fn recommended(
        &self,
        chosen: &std::collections::BTreeSet<PackageId>,
    ) -> Result<Vec<PackageId>, SolveError> {
        let mut found = Vec::new();
        for &id in chosen {
            for group in self.recommends(id)? {
                if !group.candidates.iter().any(|candidate| chosen.contains(candidate)) {
                    found.extend(group.candidates.first());
                }
            }
        }
        Ok(found)
    }

    /// What cannot be there together with a package.
    pub(super) fn excludes(&self, id: PackageId) -> Result<Rc<[Exclusion]>, SolveError> {
        let package = self.package(id);
        if let Some(known) = package.excludes.get() {
            return Ok(known.clone());
        }
        let record = &package.record;
        let mut found = Vec::new();
        for (verb, field) in [("conflicts with", &record.conflicts), ("breaks", &record.breaks)] {
            for relation in parse(record, field)?.into_iter().flatten() {
                let mut victims = self.matching(&relation)?;
                // A package that provides what it conflicts with wants to be the only one that does.
                victims.retain(|&victim| self.package(victim).record.name != record.name);
                if !victims.is_empty() {
                    found.push(Exclusion { verb, text: relation.to_string(), victims });
                }
            }
        }
        let found: Rc<[Exclusion]> = found.into();
        Ok(package.excludes.get_or_init(|| found).clone())
    }

    /// The versions that the sources have of a name, for messages.
    pub(super) fn versions(&self, name: &str) -> Result<Vec<String>, SolveError> {
        let mut versions = Vec::new();
        for place in 0..self.sources.len() {
            versions.extend(self.of_origin(name, place)?);
        }
        versions.dedup();
        Ok(versions)
    }

    /// The names of those that provide a name, for messages.
    pub(super) fn provider_names(&self, name: &str) -> Result<Vec<String>, SolveError> {
        let any = Relation { name, qualifier: None, version: None, architectures: Vec::new(), profiles: Vec::new() };
        Ok(self.providers(&any)?.into_iter().map(|id| self.package(id).record.name.clone()).collect())
    }
}

fn parse<'r>(record: &Record, field: &'r str) -> Result<Vec<relation::Group<'r>>, SolveError> {
    let fault = |source: RelationError| SolveError::Relation { package: record.name.clone(), source: Box::new(source) };
    relation::parse(field).map_err(fault)
}

impl solver::Universe for Universe<'_> {
    fn name(&self, id: PackageId) -> String {
        self.package(id).record.name.clone()
    }

    fn version(&self, id: PackageId) -> String {
        self.package(id).record.version.clone()
    }

    fn named(&self, name: &str) -> Result<Rc<[PackageId]>, SolveError> {
        self.named(name)
    }

    fn needs(&self, id: PackageId) -> Result<Rc<[Group]>, SolveError> {
        self.needs(id)
    }

    fn excludes(&self, id: PackageId) -> Result<Rc<[Exclusion]>, SolveError> {
        self.excludes(id)
    }

    fn versions(&self, name: &str) -> Result<Vec<String>, SolveError> {
        self.versions(name)
    }

    fn provider_names(&self, name: &str) -> Result<Vec<String>, SolveError> {
        self.provider_names(name)
    }
}
