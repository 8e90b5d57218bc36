//! Which packages a set of requests needs.
//!
//! The search is [`crate::solver`]'s; what is said to it about Debian's relations is in [`universe`].
//!
//! The result is a function of the *set* of requests. Each name has one candidate, its highest version, unless a
//! request says otherwise; only when that has no solution are lower versions looked at. Of alternatives the first
//! that can be had is taken, but one that is there already is taken before it: what is needed without a choice is
//! settled before any choice is made, and choices one after the other. Nothing Essential is added unless it is asked for or depended on.

mod universe;

use std::collections::{BTreeMap, BTreeSet};

use kiln_model::{Architecture, Digest, OriginName, PackageName};

use self::universe::Universe;
use super::index::{Index, Record};
use crate::solver::{PackageId, Provider, Roots, unsatisfiable};
pub use crate::solver::{SolveError, SolveRequest};

/// An origin's indexes: its suites and components together.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The origin.
    pub origin: &'a OriginName,
    /// Its indexes. Among equal versions the first one's is taken.
    pub indexes: &'a [&'a Index<Record>],
}

/// How to solve.
#[derive(Debug, Clone, Copy)]
pub struct SolveOptions {
    /// For which architecture. Packages for all are in it.
    pub architecture: Architecture,
    /// Take recommended packages too, where they can be had?
    pub recommends: bool,
}

/// A package of the solution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    /// The origin.
    pub origin: OriginName,
    /// The name.
    pub name: PackageName,
    /// The version.
    pub version: String,
    /// The architecture; none when it runs on all.
    pub architecture: Option<Architecture>,
    /// The digest of the package's file.
    pub sha256: Digest,
    /// The size of the package's file.
    pub size: u64,
    /// Its path in the archive.
    pub path: String,
    /// The source package's name and version.
    pub source: (String, String),
    /// Why it is there.
    pub why: Vec<Why>,
}

/// A reason for a package to be in the solution.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// It was asked for.
    Requested,
    /// Another one needs it.
    Needed {
        /// The other one.
        by: PackageName,
        /// The relation, as the archive has it: `b (>= 2) | c`.
        relation: String,
    },
    /// Another one recommends it.
    Recommended {
        /// The other one.
        by: PackageName,
        /// The relation, as the archive has it.
        relation: String,
    },
}

/// Finds the packages that `requests` need, each with its reasons, sorted by name.
///
/// # Errors
/// When a request means nothing, or they cannot all be had.
pub fn solve(
    sources: &[Source<'_>],
    requests: &[SolveRequest],
    options: SolveOptions,
) -> Result<Vec<Selected>, SolveError> {
    let requests: BTreeSet<&SolveRequest> = requests.iter().collect();
    let universe = Universe::new(sources, options.architecture);
    let roots = resolve_requests(&universe, sources, &requests)?;
    let mut provider = Provider::new(universe);
    let mut found = provider.solve(&roots, &[])?;
    if found.is_none() {
        // Rarely an older version, from another suite, is the way out.
        provider = Provider::new(provider.into_universe().with_every_version());
        found = provider.solve(&roots, &[])?;
    }
    let Some(mut chosen) = found else {
        let universe = provider.into_universe().with_highest_versions();
        return Err(unsatisfiable(&universe, &roots));
    };
    if options.recommends {
        let mut soft: Vec<PackageId> = Vec::new();
        loop {
            let more = provider.universe().recommended(&chosen)?;
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
    }
    select(provider.universe(), &roots, &chosen, options.recommends)
}

/// Every request that names no package, with why.
///
/// # Errors
/// When an index cannot be read.
pub fn unknown(
    sources: &[Source<'_>],
    requests: &[SolveRequest],
    architecture: Architecture,
) -> Result<Vec<(SolveRequest, SolveError)>, SolveError> {
    let mut found = Vec::new();
    for request in requests.iter().collect::<BTreeSet<_>>() {
        let universe = Universe::new(sources, architecture);
        match resolve_requests(&universe, sources, &BTreeSet::from([request])) {
            Ok(_) => {}
            Err(error @ SolveError::Index(_)) => return Err(error),
            Err(error) => found.push((request.clone(), error)),
        }
    }
    Ok(found)
}

/// The packages that the requests name, with what narrows the choice of versions told to the universe.
fn resolve_requests(
    universe: &Universe<'_>,
    sources: &[Source<'_>],
    requests: &BTreeSet<&SolveRequest>,
) -> Result<Roots, SolveError> {
    let known = |origin: &OriginName| {
        let place = sources.iter().position(|source| source.origin == origin);
        place.ok_or_else(|| SolveError::UnknownOrigin(origin.clone()))
    };
    let mut roots = Roots::new();
    let mut asked: BTreeMap<&PackageName, Vec<&SolveRequest>> = BTreeMap::new();
    for &request in requests {
        let SolveRequest::Package { origin, name, version } = request else { continue };
        let place = known(origin)?;
        let others = asked.entry(name).or_default();
        if let Some(other) = others.iter().find(|other| !request.agrees_with(other)) {
            let (first, second) = (Box::new((*other).clone()), Box::new(request.clone()));
            return Err(SolveError::TwoVersions { name: name.clone(), first, second });
        }
        others.push(request);
        let available = universe.of_origin(name.as_str(), place)?;
        if available.is_empty() {
            let provider = universe.only_provider(origin, name, place)?;
            roots.entry(provider).or_default().insert(request.clone());
            continue;
        }
        if let Some(exact) = version
            && !available.contains(exact)
        {
            let (origin, name) = (origin.clone(), name.clone());
            return Err(SolveError::NoSuchVersion { origin, name, wanted: exact.clone(), available });
        }
        universe.narrow(name.as_str(), place, version.as_deref());
        roots.entry(name.to_string()).or_default().insert(request.clone());
    }
    for &request in requests {
        let SolveRequest::Essential(origin) = request else { continue };
        for name in universe.essential(known(origin)?)? {
            roots.entry(name).or_default().insert(request.clone());
        }
    }
    Ok(roots)
}

fn select(
    universe: &Universe<'_>,
    roots: &Roots,
    chosen: &BTreeSet<PackageId>,
    recommends: bool,
) -> Result<Vec<Selected>, SolveError> {
    let mut why: BTreeMap<PackageId, BTreeSet<Why>> = BTreeMap::new();
    let checked = |name: &str| name.parse::<PackageName>().map_err(|_| SolveError::Name(name.to_owned()));
    for &id in chosen {
        let package = universe.package(id);
        let by = checked(&package.record.name)?;
        if roots.contains_key(&package.record.name) {
            why.entry(id).or_default().insert(Why::Requested);
        }
        for group in universe.needs(id)?.iter() {
            if let Some(&taken) = group.candidates.iter().find(|candidate| chosen.contains(candidate)) {
                let reason = Why::Needed { by: by.clone(), relation: group.text.clone() };
                why.entry(taken).or_default().insert(reason);
            }
        }
        for group in if recommends { universe.recommends(id)? } else { Vec::new() } {
            if let Some(&taken) = group.candidates.iter().find(|candidate| chosen.contains(candidate)) {
                let reason = Why::Recommended { by: by.clone(), relation: group.text };
                why.entry(taken).or_default().insert(reason);
            }
        }
    }
    let mut selected = Vec::with_capacity(chosen.len());
    for &id in chosen {
        let package = universe.package(id);
        let record = &package.record;
        selected.push(Selected {
            origin: universe.origin(package.source).clone(),
            name: checked(&record.name)?,
            version: record.version.clone(),
            architecture: record.architecture.parse().ok(),
            sha256: record.sha256,
            size: record.size,
            path: record.path.clone(),
            source: record.source.clone(),
            why: why.remove(&id).unwrap_or_default().into_iter().collect(),
        });
    }
    selected.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(selected)
}
