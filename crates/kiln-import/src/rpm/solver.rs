//! Which packages a set of requests needs, by RPM's relations.
//!
//! A package answers to what it provides, which its own name is part of, and to its files. A name that is provided without
//! a version satisfies who asks for any. What a package obsoletes cannot be there with it, and is taken last where another
//! serves too. `Recommends` and its like are not looked at.
//!
//! An index of packages names a part of their files. Where another is needed, [`solve`] says which, and is asked again with
//! who has it.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use kiln_model::version::rpm;
use kiln_model::{Architecture, OriginName, PackageName};

use super::index::{Index, Record};
use super::relation::{Relation, RelationError, Simple};
use super::{merged, rich};
use crate::solver::{
    Exclusion, Group, PackageId, Provider, SolveError, SolveRequest, Universe, requests, similar, unsatisfiable,
};

/// One repository of an origin.
#[derive(Debug, Clone, Copy)]
pub struct Repository<'a> {
    /// The origin.
    pub origin: &'a OriginName,
    /// Its folder, below a mirror's; empty for the mirror's own.
    pub folder: &'a str,
    /// What it has.
    pub index: &'a Index,
}

/// A package of the solution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selected<'a> {
    /// The origin.
    pub origin: &'a OriginName,
    /// The folder of its repository.
    pub folder: &'a str,
    /// What the index says of it.
    pub record: &'a Record,
}

/// Packages by the paths that they have, as a list of all files says; packages by [`Record::identity`]. A path that was
/// looked for and that nobody has is there too.
pub type FoundFiles = BTreeMap<String, BTreeSet<String>>;

/// What came of solving.
#[derive(Debug)]
pub enum Solved<'a> {
    /// These packages.
    Packages(Vec<Selected<'a>>),
    /// It has to be known first who has these files.
    Wants(BTreeSet<String>),
}

struct Package<'a> {
    selected: Selected<'a>,
    is_obsoleted: bool,
    needs: OnceCell<Rc<[Group]>>,
    excludes: OnceCell<Rc<[Exclusion]>>,
}

struct Rpms<'a> {
    packages: Vec<Package<'a>>,
    named: BTreeMap<&'a str, Vec<PackageId>>,
    providers: BTreeMap<&'a str, Vec<(PackageId, Simple<'a>)>>,
    files: BTreeMap<String, Vec<PackageId>>,
    found: &'a FoundFiles,
    /// Files that nobody is known to have, and that were not looked for.
    wants: RefCell<BTreeSet<String>>,
    narrowed: BTreeMap<String, &'a OriginName>,
    every_version: bool,
}

fn fault(record: &Record, source: impl std::error::Error + Send + Sync + 'static) -> SolveError {
    SolveError::Relation { package: record.name.clone(), source: Box::new(source) }
}

/// The absolute paths in relations.
fn paths(relations: &str) -> impl Iterator<Item = &str> {
    let words = relations.lines().flat_map(|line| line.split([' ', '(', ')']));
    words.filter(|word| word.starts_with('/'))
}

impl<'a> Rpms<'a> {
    fn new(
        repositories: &[Repository<'a>],
        architecture: Architecture,
        found: &'a FoundFiles,
    ) -> Result<Self, SolveError> {
        let mut all: Vec<(usize, Selected<'a>)> = Vec::new();
        for (place, repository) in repositories.iter().enumerate() {
            let Repository { origin, folder, index } = *repository;
            let fits = |record: &&Record| record.fits(architecture);
            all.extend(index.records.iter().filter(fits).map(|record| (place, Selected { origin, folder, record })));
        }
        // Numbers are preference: the highest version of a name first, of equal ones that of the first repository.
        all.sort_by(|(x, a), (y, b)| {
            let (a, b) = (a.record, b.record);
            a.name.cmp(&b.name).then_with(|| rpm::compare(&b.version, &a.version)).then(x.cmp(y))
        });
        all.dedup_by(|(_, b), (_, a)| {
            a.origin == b.origin && a.record.name == b.record.name && a.record.version == b.record.version
        });
        let mut rpms = Self {
            packages: Vec::with_capacity(all.len()),
            named: BTreeMap::new(),
            providers: BTreeMap::new(),
            files: BTreeMap::new(),
            found,
            wants: RefCell::default(),
            narrowed: BTreeMap::new(),
            every_version: false,
        };
        for (id, (_, selected)) in all.into_iter().enumerate() {
            let record = selected.record;
            rpms.named.entry(&record.name).or_default().push(id);
            for provided in record.provides.lines() {
                let provided = Simple::parse(provided).map_err(|error| fault(record, error))?;
                rpms.providers.entry(provided.name).or_default().push((id, provided));
            }
            let (needs, excludes) = (OnceCell::new(), OnceCell::new());
            rpms.packages.push(Package { selected, is_obsoleted: false, needs, excludes });
        }
        rpms.find_files();
        rpms.find_obsoleted()?;
        Ok(rpms)
    }

    /// Notes who has the files that anybody needs.
    fn find_files(&mut self) {
        let relations = |record: &'a Record| [&*record.requires, &record.conflicts];
        let records = self.packages.iter().map(|package| package.selected.record);
        let wanted: BTreeSet<String> =
            records.clone().flat_map(relations).flat_map(paths).map(|path| merged(path).into_owned()).collect();
        let mut files: BTreeMap<String, Vec<PackageId>> = BTreeMap::new();
        let mut by_identity: BTreeMap<&str, Vec<PackageId>> = BTreeMap::new();
        for (id, record) in records.enumerate() {
            by_identity.entry(&record.identity).or_default().push(id);
            for path in record.files.lines().map(merged).filter(|path| wanted.contains(&**path)) {
                files.entry(path.into_owned()).or_default().push(id);
            }
        }
        for (path, identities) in self.found {
            let ids = identities.iter().filter_map(|identity| by_identity.get(&**identity)).flatten();
            files.entry(path.clone()).or_default().extend(ids);
        }
        self.files = files;
    }

    /// Notes the packages that another one, which is a candidate itself, takes the place of.
    fn find_obsoleted(&mut self) -> Result<(), SolveError> {
        let mut obsoleted = BTreeSet::new();
        for (id, package) in self.packages.iter().enumerate() {
            if !package.selected.record.obsoletes.is_empty() && self.is_candidate(id) {
                obsoleted.extend(self.obsoletes(package.selected.record)?.into_iter().flat_map(|(_, victims)| victims));
            }
        }
        obsoleted.into_iter().for_each(|id: PackageId| self.packages[id].is_obsoleted = true);
        Ok(())
    }

    /// What a package takes the place of: by names of packages alone, not by what they provide.
    fn obsoletes(&self, record: &'a Record) -> Result<Vec<(Simple<'a>, Vec<PackageId>)>, SolveError> {
        let mut list = Vec::new();
        for line in record.obsoletes.lines() {
            let wanted = Simple::parse(line).map_err(|error| fault(record, error))?;
            let named = self.named.get(wanted.name).into_iter().flatten().copied();
            let others = named.filter(|id| {
                let other = self.packages[*id].selected.record;
                other.name != record.name && wanted.admits(&other.version)
            });
            list.push((wanted, others.collect()));
        }
        Ok(list)
    }

    fn name(&self, id: PackageId) -> &'a str {
        &self.packages[id].selected.record.name
    }

    /// The candidates of a name: those of the origin that it was asked of; the highest version, unless all are asked for.
    fn candidates(&self, name: &str) -> Vec<PackageId> {
        let narrow = self.narrowed.get(name);
        let all = self.named.get(name).into_iter().flatten().copied();
        let mut found: Vec<_> =
            all.filter(|id| narrow.is_none_or(|origin| self.packages[*id].selected.origin == *origin)).collect();
        if !self.every_version {
            found.truncate(1);
        }
        found
    }

    fn is_candidate(&self, id: PackageId) -> bool {
        self.candidates(self.name(id)).contains(&id)
    }

    /// Every package that satisfies a name, candidate or not.
    fn satisfying(&self, wanted: &Simple<'_>) -> BTreeSet<PackageId> {
        let provided = self.providers.get(wanted.name).into_iter().flatten();
        let mut all: BTreeSet<PackageId> =
            provided.filter(|(_, given)| wanted.overlaps(given)).map(|(id, _)| *id).collect();
        if wanted.name.starts_with('/') {
            all.extend(self.files.get(&*merged(wanted.name)).into_iter().flatten());
        }
        all
    }

    /// The candidates that satisfy a name: who is called so, then the others by length and order of their names; those
    /// whose place another takes come last.
    fn serving(&self, wanted: &Simple<'_>) -> Vec<PackageId> {
        let all = self.satisfying(wanted);
        if all.is_empty() && wanted.name.starts_with('/') {
            let path = merged(wanted.name).into_owned();
            if !self.found.contains_key(&path) {
                self.wants.borrow_mut().insert(path);
            }
        }
        let mut list: Vec<PackageId> = all.into_iter().filter(|id| self.is_candidate(*id)).collect();
        list.sort_by_key(|&id| {
            let name = self.name(id);
            (self.packages[id].is_obsoleted, name != wanted.name, name.len(), id)
        });
        list
    }

    fn root(&self, origin: &OriginName, name: &PackageName) -> Result<String, SolveError> {
        let of_origin = |id: &PackageId| self.packages[*id].selected.origin == origin;
        if self.named.get(name.as_str()).into_iter().flatten().any(of_origin) {
            return Ok(name.to_string());
        }
        let ids = self.providers.get(name.as_str()).into_iter().flatten().map(|(id, _)| *id).filter(of_origin);
        let providers: BTreeSet<&str> = ids.map(|id| self.name(id)).collect();
        let (origin, name) = (origin.clone(), name.clone());
        let providers: Vec<String> = providers.into_iter().map(str::to_owned).collect();
        match &providers[..] {
            [] => {
                let names: Vec<String> = self.named.keys().map(|name| (*name).to_owned()).collect();
                let similar = similar(name.as_str(), &names);
                Err(SolveError::UnknownPackage { origin, name, similar })
            }
            [only] => Ok(only.clone()),
            _ => Err(SolveError::Virtual { origin, name, providers }),
        }
    }

    fn groups(&self, id: PackageId) -> Result<Rc<[Group]>, SolveError> {
        let record = self.packages[id].selected.record;
        let mut groups = Vec::new();
        for line in record.requires.lines() {
            let relation = Relation::parse(line).map_err(|error| fault(record, error))?;
            let clauses = rich::clauses(&relation, &|simple| self.serving(simple))
                .map_err(|why| fault(record, RelationError::new(line, why)))?;
            // What it provides itself it need not be given.
            for clause in clauses.into_iter().filter(|clause| !clause.any_of.contains(&id)) {
                let (candidates, when, names) = (clause.any_of, clause.when, clause.names);
                groups.push(Group { text: line.to_owned(), names, candidates, when });
            }
        }
        Ok(groups.into())
    }

    fn exclusions(&self, id: PackageId) -> Result<Rc<[Exclusion]>, SolveError> {
        let record = self.packages[id].selected.record;
        let mut found = Vec::new();
        let mut add = |verb, text: String, victims: Vec<PackageId>| {
            let victims: Vec<_> = victims.into_iter().filter(|victim| self.name(*victim) != record.name).collect();
            if !victims.is_empty() {
                found.push(Exclusion { verb, text, victims });
            }
        };
        for line in record.conflicts.lines() {
            let relation = Relation::parse(line).map_err(|error| fault(record, error))?;
            let victims = rich::one(&relation, &|simple| self.satisfying(simple).into_iter().collect())
                .map_err(|why| fault(record, RelationError::new(line, why)))?;
            add("conflicts with", line.to_owned(), victims);
        }
        for (wanted, victims) in self.obsoletes(record)? {
            add("obsoletes", wanted.to_string(), victims);
        }
        Ok(found.into())
    }

    /// The same, with nothing remembered of what needs and excludes what.
    fn renewed(mut self, every_version: bool) -> Self {
        for package in &mut self.packages {
            package.needs.take();
            package.excludes.take();
        }
        self.every_version = every_version;
        self
    }
}

fn remembered<T: ?Sized>(
    cell: &OnceCell<Rc<T>>,
    make: impl FnOnce() -> Result<Rc<T>, SolveError>,
) -> Result<Rc<T>, SolveError> {
    if let Some(known) = cell.get() {
        return Ok(Rc::clone(known));
    }
    let made = make()?;
    Ok(Rc::clone(cell.get_or_init(|| made)))
}

impl Universe for Rpms<'_> {
    fn name(&self, id: PackageId) -> String {
        self.name(id).to_owned()
    }

    fn version(&self, id: PackageId) -> String {
        self.packages[id].selected.record.version.clone()
    }

    fn named(&self, name: &str) -> Result<Rc<[PackageId]>, SolveError> {
        Ok(self.candidates(name).into())
    }

    fn needs(&self, id: PackageId) -> Result<Rc<[Group]>, SolveError> {
        remembered(&self.packages[id].needs, || self.groups(id))
    }

    fn excludes(&self, id: PackageId) -> Result<Rc<[Exclusion]>, SolveError> {
        remembered(&self.packages[id].excludes, || self.exclusions(id))
    }

    fn versions(&self, name: &str) -> Result<Vec<String>, SolveError> {
        Ok(self.named.get(name).into_iter().flatten().map(|&id| self.version(id)).collect())
    }

    fn provider_names(&self, name: &str) -> Result<Vec<String>, SolveError> {
        let names = self.providers.get(name).into_iter().flatten().map(|(id, _)| self.name(*id).to_owned());
        Ok(names.collect::<BTreeSet<_>>().into_iter().collect())
    }
}

/// Every request that names no package, with why.
///
/// # Errors
/// When an index cannot be read.
pub fn unknown(
    repositories: &[Repository<'_>],
    requests: &[SolveRequest],
    architecture: Architecture,
) -> Result<Vec<(SolveRequest, SolveError)>, SolveError> {
    let files = FoundFiles::new();
    let rpms = Rpms::new(repositories, architecture, &files)?;
    Ok(requests::unknown(requests, &origins(repositories), |origin, name| rpms.root(origin, name)))
}

fn origins<'a>(repositories: &[Repository<'a>]) -> Vec<&'a OriginName> {
    repositories.iter().map(|repository| repository.origin).collect()
}

/// Finds the packages that `requests` need, sorted by name. `found` is what lists of all files were asked for so far.
///
/// # Errors
/// When a request means nothing, or they cannot all be had.
pub fn solve<'a>(
    repositories: &[Repository<'a>],
    requests: &[SolveRequest],
    architecture: Architecture,
    found: &'a FoundFiles,
) -> Result<Solved<'a>, SolveError> {
    let mut rpms = Rpms::new(repositories, architecture, found)?;
    let (roots, narrowed) = requests::roots(requests, &origins(repositories), |origin, name| rpms.root(origin, name))?;
    rpms.narrowed = narrowed;
    let mut provider = Provider::new(rpms);
    let mut chosen = provider.solve(&roots, &[])?;
    if chosen.is_none() && provider.universe().wants.borrow().is_empty() {
        // Rarely an older version is the way out.
        provider = Provider::new(provider.into_universe().renewed(true));
        chosen = provider.solve(&roots, &[])?;
    }
    let rpms = provider.into_universe();
    let wants = rpms.wants.take();
    match chosen {
        _ if !wants.is_empty() => Ok(Solved::Wants(wants)),
        Some(chosen) => Ok(Solved::Packages(chosen.into_iter().map(|id| rpms.packages[id].selected).collect())),
        None => Err(unsatisfiable(&rpms.renewed(false), &roots)),
    }
}

#[cfg(test)]
mod tests;
