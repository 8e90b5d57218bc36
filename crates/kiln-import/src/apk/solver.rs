//! Which packages a set of requests needs, by Alpine's relations.
//!
//! What is different from Debian's: a name that is provided *with* a version is like a package of that name, so only one
//! package of an image can answer to it. One that is provided *without* a version is only an offer: such a package is
//! taken for it when it has a priority, is asked for or needed by its own name, or is the only one. A package with
//! `install_if` comes by itself when all it names are there and nothing is against it.

use std::cell::{OnceCell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use kiln_model::{Architecture, OriginName, PackageName};

use super::architecture_name;
use super::dependency::Dependency;
use super::index::{Index, Record};
use crate::solver::{
    Exclusion, Group, PackageId, Provider, Roots, SolveError, SolveRequest, Universe, requests, similar, unsatisfiable,
};

/// One repository of an origin for one architecture.
#[derive(Debug, Clone, Copy)]
pub struct Repository<'a> {
    /// The origin.
    pub origin: &'a OriginName,
    /// The folder of its packages, below a mirror's: `v3.22/main/x86_64`.
    pub folder: &'a str,
    /// What it has.
    pub index: &'a Index,
}

/// A package of the solution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selected<'a> {
    /// The origin.
    pub origin: &'a OriginName,
    /// The folder that it is in.
    pub folder: &'a str,
    /// What the index says of it.
    pub record: &'a Record,
}

struct Package<'a> {
    selected: Selected<'a>,
    depends: Vec<Dependency<'a>>,
    provides: Vec<Dependency<'a>>,
    install_if: Vec<Dependency<'a>>,
    needs: OnceCell<Rc<[Group]>>,
    excludes: OnceCell<Rc<[Exclusion]>>,
}

impl Package<'_> {
    fn name(&self) -> &str {
        &self.selected.record.name
    }

    /// Does it satisfy a relation, by its own name or by one that it provides?
    fn satisfies(&self, wanted: &Dependency<'_>) -> bool {
        let own = self.name() == wanted.name && wanted.admits(Some(&self.selected.record.version));
        own || self.provides.iter().any(|p| p.name == wanted.name && wanted.admits(p.bound.map(|(_, version)| version)))
    }
}

struct Alpine<'a> {
    packages: Vec<Package<'a>>,
    named: BTreeMap<&'a str, Vec<PackageId>>,
    providers: BTreeMap<&'a str, Vec<PackageId>>,
    narrowed: BTreeMap<String, &'a OriginName>,
    every_version: bool,
    /// Packages that are asked for or needed by their own names.
    wanted: RefCell<BTreeSet<String>>,
}

impl<'a> Alpine<'a> {
    fn new(repositories: &[Repository<'a>], architecture: Architecture) -> Result<Self, SolveError> {
        let mut all: Vec<(usize, Selected<'a>)> = Vec::new();
        for (place, repository) in repositories.iter().enumerate() {
            let Repository { origin, folder, index } = *repository;
            let fits = |record: &&Record| {
                matches!(&*record.architecture, "noarch") || record.architecture == architecture_name(architecture)
            };
            all.extend(index.records.iter().filter(fits).map(|record| (place, Selected { origin, folder, record })));
        }
        // Numbers are preference: the highest version of a name first, of equal ones that of the first repository.
        all.sort_by(|(x, a), (y, b)| {
            let (a, b) = (a.record, b.record);
            let version = kiln_model::version::apk::compare(&b.version, &a.version);
            a.name.cmp(&b.name).then(version).then(x.cmp(y))
        });
        all.dedup_by(|(_, b), (_, a)| {
            a.origin == b.origin && a.record.name == b.record.name && a.record.version == b.record.version
        });
        let mut alpine = Self {
            packages: Vec::with_capacity(all.len()),
            named: BTreeMap::new(),
            providers: BTreeMap::new(),
            narrowed: BTreeMap::new(),
            every_version: false,
            wanted: RefCell::default(),
        };
        for (id, (_, selected)) in all.into_iter().enumerate() {
            let record = selected.record;
            let parse = |text: &'a str| {
                Dependency::parse_all(text)
                    .map_err(|source| SolveError::Relation { package: record.name.clone(), source: Box::new(source) })
            };
            let package = Package {
                selected,
                depends: parse(&record.depends)?,
                provides: parse(&record.provides)?,
                install_if: parse(&record.install_if)?,
                needs: OnceCell::new(),
                excludes: OnceCell::new(),
            };
            alpine.named.entry(&record.name).or_default().push(id);
            for provided in &package.provides {
                let list = alpine.providers.entry(provided.name).or_default();
                if list.last() != Some(&id) {
                    list.push(id);
                }
            }
            alpine.packages.push(package);
        }
        Ok(alpine)
    }

    /// The candidates of a name: those of the origin that it was asked of, of each origin the highest version.
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
        self.candidates(self.packages[id].name()).contains(&id)
    }

    /// Those that satisfy a relation, best first: who has the name, then who provides it, by version, priority and name.
    fn serving(&self, wanted: &Dependency<'_>) -> Vec<PackageId> {
        let own = self.candidates(wanted.name).into_iter();
        let own: Vec<_> = own.filter(|&id| wanted.admits(Some(&self.packages[id].selected.record.version))).collect();
        let (mut firm, mut offers) = (Vec::new(), Vec::new());
        for &id in self.providers.get(wanted.name).into_iter().flatten() {
            let package = &self.packages[id];
            if own.contains(&id) || !self.is_candidate(id) {
                continue;
            }
            let versions = package.provides.iter().filter(|provided| provided.name == wanted.name);
            let versions = versions.map(|provided| provided.bound.map(|(_, version)| version));
            for version in versions.filter(|version| wanted.admits(*version)).take(1) {
                let priority = Reverse(package.selected.record.provider_priority);
                match version {
                    Some(version) => firm.push((version, priority, id)),
                    None => offers.push((priority, id)),
                }
            }
        }
        firm.sort_by(|a, b| kiln_model::version::apk::compare(b.0, a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
        offers.sort_unstable();
        let alone = own.is_empty() && firm.is_empty() && offers.len() == 1;
        let known = self.wanted.borrow();
        let taken = |(priority, id): &(Reverse<u32>, PackageId)| {
            alone || priority.0 > 0 || known.contains(self.packages[*id].name())
        };
        let offers = offers.iter().filter(|offer| taken(offer)).map(|(_, id)| *id);
        own.into_iter().chain(firm.into_iter().map(|(_, _, id)| id)).chain(offers).collect()
    }

    /// Notes every package that is needed by its own name by what `roots` bring: those may serve where nothing but an
    /// offer does.
    fn follow(&self, roots: &Roots) {
        let mut queue: Vec<PackageId> = Vec::new();
        let mut seen = BTreeSet::new();
        let note = |name: &str, queue: &mut Vec<PackageId>| {
            if self.named.contains_key(name) {
                self.wanted.borrow_mut().insert(name.to_owned());
            }
            queue.extend(self.candidates(name).first());
        };
        roots.keys().for_each(|root| note(root, &mut queue));
        while let Some(id) = queue.pop() {
            if !seen.insert(id) {
                continue;
            }
            for wanted in self.packages[id].depends.iter().filter(|wanted| !wanted.conflict) {
                if self.named.contains_key(wanted.name) {
                    note(wanted.name, &mut queue);
                } else {
                    queue.extend(self.serving(wanted).first());
                }
            }
        }
    }

    /// The packages that come by themselves where `chosen` are.
    fn triggered(&self, chosen: &BTreeSet<PackageId>) -> Vec<PackageId> {
        let there =
            |wanted: &Dependency<'_>| chosen.iter().any(|&id| self.packages[id].satisfies(wanted)) != wanted.conflict;
        let comes = |id: &PackageId| {
            let package = &self.packages[*id];
            !chosen.contains(id) && !package.install_if.is_empty() && package.install_if.iter().all(there)
        };
        (0..self.packages.len()).filter(comes).filter(|id| self.is_candidate(*id)).collect()
    }

    fn root(&self, origin: &OriginName, name: &PackageName) -> Result<String, SolveError> {
        if self.named.get(name.as_str()).into_iter().flatten().any(|&id| self.packages[id].selected.origin == origin) {
            return Ok(name.to_string());
        }
        let of_origin = |id: &&PackageId| self.packages[**id].selected.origin == origin;
        let ids = self.providers.get(name.as_str()).into_iter().flatten().filter(of_origin);
        let providers: BTreeSet<String> = ids.map(|&id| self.packages[id].name().to_owned()).collect();
        let (origin, name) = (origin.clone(), name.clone());
        match providers.len() {
            0 => {
                let names: Vec<String> = self.named.keys().map(|name| (*name).to_owned()).collect();
                let similar = similar(name.as_str(), &names);
                Err(SolveError::UnknownPackage { origin, name, similar })
            }
            1 => Ok(providers.into_iter().next().unwrap_or_default()),
            _ => Err(SolveError::Virtual { origin, name, providers: providers.into_iter().collect() }),
        }
    }
}

impl Universe for Alpine<'_> {
    fn name(&self, id: PackageId) -> String {
        self.packages[id].name().to_owned()
    }

    fn version(&self, id: PackageId) -> String {
        self.packages[id].selected.record.version.clone()
    }

    fn named(&self, name: &str) -> Result<Rc<[PackageId]>, SolveError> {
        Ok(self.candidates(name).into())
    }

    fn needs(&self, id: PackageId) -> Result<Rc<[Group]>, SolveError> {
        let package = &self.packages[id];
        let groups = || {
            let wanted = package.depends.iter().filter(|wanted| !wanted.conflict && !package.satisfies(wanted));
            let group = |wanted: &Dependency<'_>| Group {
                text: wanted.to_string(),
                names: vec![wanted.name.to_owned()],
                candidates: self.serving(wanted),
                when: Vec::new(),
            };
            wanted.map(group).collect()
        };
        Ok(package.needs.get_or_init(groups).clone())
    }

    fn excludes(&self, id: PackageId) -> Result<Rc<[Exclusion]>, SolveError> {
        let package = &self.packages[id];
        let all = || {
            let mut found = Vec::new();
            let mut add = |verb, text: String, victims: Vec<PackageId>| {
                // A name stands for one package, so of its own name there is no other.
                let own = package.name();
                let victims: Vec<_> =
                    victims.into_iter().filter(|&victim| self.packages[victim].name() != own).collect();
                if !victims.is_empty() {
                    found.push(Exclusion { verb, text, victims });
                }
            };
            for wanted in package.depends.iter().filter(|wanted| wanted.conflict) {
                let named = self.named.get(wanted.name).into_iter().chain(self.providers.get(wanted.name)).flatten();
                let bare = Dependency { conflict: false, ..wanted.clone() };
                let victims = named.copied().filter(|&other| self.packages[other].satisfies(&bare)).collect();
                add("conflicts with", bare.to_string(), victims);
            }
            for provided in package.provides.iter().filter(|provided| provided.bound.is_some()) {
                let firm = |other: &PackageId| {
                    self.packages[*other].provides.iter().any(|p| p.name == provided.name && p.bound.is_some())
                };
                let others = self.providers.get(provided.name).into_iter().flatten().copied().filter(firm);
                let named = self.named.get(provided.name).into_iter().flatten().copied();
                add("answers, as only one can, to", provided.name.to_owned(), others.chain(named).collect());
            }
            found.into()
        };
        Ok(package.excludes.get_or_init(all).clone())
    }

    fn versions(&self, name: &str) -> Result<Vec<String>, SolveError> {
        Ok(self.named.get(name).into_iter().flatten().map(|&id| self.version(id)).collect())
    }

    fn provider_names(&self, name: &str) -> Result<Vec<String>, SolveError> {
        let names = self.providers.get(name).into_iter().flatten().map(|&id| self.name(id));
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
    let alpine = Alpine::new(repositories, architecture)?;
    Ok(requests::unknown(requests, &origins(repositories), |origin, name| alpine.root(origin, name)))
}

fn origins<'a>(repositories: &[Repository<'a>]) -> Vec<&'a OriginName> {
    repositories.iter().map(|repository| repository.origin).collect()
}

/// Finds the packages that `requests` need, sorted by name. Alpine marks no package essential.
///
/// # Errors
/// When a request means nothing, or they cannot all be had.
pub fn solve<'a>(
    repositories: &[Repository<'a>],
    requests: &[SolveRequest],
    architecture: Architecture,
) -> Result<Vec<Selected<'a>>, SolveError> {
    let mut alpine = Alpine::new(repositories, architecture)?;
    let (roots, narrowed) =
        requests::roots(requests, &origins(repositories), |origin, name| alpine.root(origin, name))?;
    alpine.narrowed = narrowed;
    alpine.follow(&roots);
    let mut provider = Provider::new(alpine);
    let mut found = provider.solve(&roots, &[])?;
    if found.is_none() {
        // Rarely an older version, from another repository, is the way out.
        let mut alpine = provider.into_universe().renewed();
        alpine.every_version = true;
        provider = Provider::new(alpine);
        found = provider.solve(&roots, &[])?;
    }
    let Some(mut chosen) = found else {
        let mut alpine = provider.into_universe().renewed();
        alpine.every_version = false;
        return Err(unsatisfiable(&alpine, &roots));
    };
    let mut soft: Vec<PackageId> = Vec::new();
    loop {
        let more = provider.universe().triggered(&chosen);
        let more: Vec<_> = more.into_iter().filter(|id| !soft.contains(id)).collect();
        if more.is_empty() {
            break;
        }
        soft.extend(more);
        match provider.solve(&roots, &soft)? {
            Some(better) => chosen = better,
            None => break,
        }
    }
    let alpine = provider.universe();
    Ok(chosen.into_iter().map(|id| alpine.packages[id].selected).collect())
}

impl Alpine<'_> {
    /// The same, with nothing remembered of what needs and excludes what.
    fn renewed(mut self) -> Self {
        for package in &mut self.packages {
            package.needs.take();
            package.excludes.take();
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "C:Q1qK0GPp9EZ5eX1WoaGMAP+ndAhGs=\nA:x86_64\nS:1\n";

    /// `name version` and then fields, each on a line; packages are separated by `;`.
    fn index(text: &str) -> Index {
        let package = |text: &str| {
            let mut lines = text.trim().split('\n').map(str::trim);
            let (name, version) = lines.next().unwrap().split_once(' ').unwrap();
            format!("{HEAD}P:{name}\nV:{version}\n{}\n\n", lines.collect::<Vec<_>>().join("\n"))
        };
        Index::parse(text.split(';').map(package).collect::<String>().as_bytes()).unwrap()
    }

    fn request(name: &str) -> SolveRequest {
        SolveRequest::Package { origin: "alpine".parse().unwrap(), name: name.parse().unwrap(), version: None }
    }

    fn try_solve(text: &str, asked: &[&str]) -> Result<String, SolveError> {
        let (index, origin) = (index(text), "alpine".parse().unwrap());
        let repository = Repository { origin: &origin, folder: "v1/main/x86_64", index: &index };
        let requests: Vec<_> = asked.iter().map(|name| request(name)).collect();
        let found = solve(&[repository], &requests, Architecture::Amd64)?;
        let shown = found.iter().map(|selected| format!("{}-{}", selected.record.name, selected.record.version));
        Ok(shown.collect::<Vec<_>>().join(" "))
    }

    fn told(text: &str, asked: &[&str]) -> String {
        try_solve(text, asked).unwrap_err().to_string()
    }

    #[test]
    fn libraries_commands_and_versions_are_found() {
        let archive = "app 1-r0\nD:so:libz.so.1 cmd:awk lib>=2;zlib 1.3-r1\np:so:libz.so.1=1.3.1;gawk 5-r0\np:cmd:awk=5-r0;lib 1-r9;lib 2.1-r0";
        assert_eq!(try_solve(archive, &["app"]).unwrap(), "app-1-r0 gawk-5-r0 lib-2.1-r0 zlib-1.3-r1");
        assert!(
            told("app 1\nD:lib>3;lib 2.1-r0", &["app"])
                .contains("`app` needs `lib>3`, but the archive has `lib` only in version 2.1-r0")
        );
        assert!(told("app 1\nD:so:none.so", &["app"]).contains("the archive has no `so:none.so`"));
    }

    #[test]
    fn of_those_that_provide_a_version_only_one_can_be_there() {
        let archive = "a 1\nD:one;b 1\nD:two;one 1\np:tool=1;two 1\np:tool=2";
        assert!(told(archive, &["a", "b"]).contains("answers, as only one can, to"));
        assert_eq!(try_solve(archive, &["a"]).unwrap(), "a-1 one-1");
        // The higher version goes first, then the higher priority.
        assert_eq!(try_solve("c 1\nD:tool;one 1\np:tool=1;two 1\np:tool=2", &["c"]).unwrap(), "c-1 two-1");
        assert_eq!(try_solve("c 1\nD:tool;one 1\np:tool=1\nk:5;two 1\np:tool=1\nk:10", &["c"]).unwrap(), "c-1 two-1");
    }

    #[test]
    fn an_offer_without_a_version_is_taken_only_when_something_speaks_for_it() {
        let two = "app 1\nD:mta;postfix 1\np:mta;exim 1\np:mta";
        let error = try_solve(two, &["app"]).unwrap_err();
        assert!(error.to_string().contains("none of those that provide `mta` fits: exim, postfix"), "{error}");
        assert_eq!(try_solve(two, &["app", "exim"]).unwrap(), "app-1 exim-1");
        let by_name = "app 1\nD:mta other;other 1\nD:exim;postfix 1\np:mta;exim 1\np:mta";
        assert_eq!(try_solve(by_name, &["app"]).unwrap(), "app-1 exim-1 other-1");
        let priority = "app 1\nD:mta;postfix 1\np:mta\nk:1;exim 1\np:mta\nk:2";
        assert_eq!(try_solve(priority, &["app"]).unwrap(), "app-1 exim-1");
        assert_eq!(try_solve("app 1\nD:mta;postfix 1\np:mta", &["app"]).unwrap(), "app-1 postfix-1");
        assert!(try_solve("app 1\nD:mta>1;postfix 1\np:mta", &["app"]).is_err());
        // Several offers may be there at once.
        assert_eq!(try_solve(two, &["exim", "postfix"]).unwrap(), "exim-1 postfix-1");
    }

    #[test]
    fn conflicts_hold_for_versions_and_provided_names() {
        assert!(told("a 1\nD:!b;b 1", &["a", "b"]).contains("conflicts with `b`"));
        assert!(try_solve("a 1\nD:!b<1;b 1", &["a", "b"]).is_ok());
        assert!(try_solve("a 1\nD:!tool;b 1\np:tool", &["a", "b"]).is_err());
        assert_eq!(try_solve("a 1\nD:!tool\np:tool", &["a"]).unwrap(), "a-1", "nothing is against itself");
        let way_out = "app 1\nD:tool !one;one 1\np:tool=2;two 1\np:tool=1";
        assert_eq!(try_solve(way_out, &["app"]).unwrap(), "app-1 two-1");
    }

    #[test]
    fn what_is_installed_if_others_are_comes_by_itself() {
        let archive = "a 1;docs 1;a-doc 1\ni:a=1 docs;more 1\ni:a-doc";
        assert_eq!(try_solve(archive, &["a"]).unwrap(), "a-1");
        assert_eq!(try_solve(archive, &["a", "docs"]).unwrap(), "a-1 a-doc-1 docs-1 more-1");
        let against = "a 1\nD:!a-doc;docs 1;a-doc 1\ni:a docs";
        assert_eq!(try_solve(against, &["a", "docs"]).unwrap(), "a-1 docs-1");
    }

    #[test]
    fn what_is_asked_for_wrongly_is_told() {
        assert!(
            matches!(try_solve("busybox 1", &["busybos"]), Err(SolveError::UnknownPackage { similar, .. }) if similar == ["busybox"])
        );
        assert!(matches!(try_solve("a 1\np:t;b 1\np:t", &["t"]), Err(SolveError::Virtual { .. })));
        assert_eq!(try_solve("a 1\np:t", &["t"]).unwrap(), "a-1");
    }

    #[test]
    fn an_older_version_is_the_way_out_where_the_newest_is_none() {
        let archive = "a 1\nD:b c<2;b 1;c 1;c 2";
        assert_eq!(try_solve(archive, &["a"]).unwrap(), "a-1 b-1 c-1");
        let origins: [OriginName; 2] = ["alpine".parse().unwrap(), "edge".parse().unwrap()];
        let indexes = [index("a 1"), index("a 2")];
        let repository = |n: usize| Repository { origin: &origins[n], folder: "f", index: &indexes[n] };
        let found = solve(&[repository(0), repository(1)], &[request("a")], Architecture::Amd64).unwrap();
        assert_eq!(found[0].record.version, "1", "of the origin that it was asked of");
    }
}
