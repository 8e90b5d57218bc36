//! From what a project asks of its origins to the names that a solver begins with, for archives whose repositories are
//! asked by origin and name.

use std::collections::{BTreeMap, BTreeSet};

use kiln_model::{OriginName, PackageName};

use super::{Roots, SolveError, SolveRequest};

/// Every request that names no package, with why. `root` gives the name that a solver knows a package by.
pub(crate) fn unknown(
    requests: &[SolveRequest],
    origins: &[&OriginName],
    root: impl Fn(&OriginName, &PackageName) -> Result<String, SolveError>,
) -> Vec<(SolveRequest, SolveError)> {
    let mut found = Vec::new();
    for request in requests.iter().collect::<BTreeSet<_>>() {
        let SolveRequest::Package { origin, name, version: _ } = request else { continue };
        // An origin without an index here has been told of when it was opened.
        if !origins.contains(&origin) {
            continue;
        }
        if let Err(error) = root(origin, name) {
            found.push((request.clone(), error));
        }
    }
    found
}

/// The names that a solver begins with, and which of the origins each is to come from.
pub(crate) fn roots<'o>(
    requests: &[SolveRequest],
    origins: &[&'o OriginName],
    root: impl Fn(&OriginName, &PackageName) -> Result<String, SolveError>,
) -> Result<(Roots, BTreeMap<String, &'o OriginName>), SolveError> {
    let mut asked: BTreeMap<&PackageName, &SolveRequest> = BTreeMap::new();
    let (mut roots, mut narrowed) = (Roots::new(), BTreeMap::new());
    for request in requests {
        let SolveRequest::Package { origin, name, version: _ } = request else { continue };
        let known = origins.iter().copied().find(|known| *known == origin);
        let known = known.ok_or_else(|| SolveError::UnknownOrigin(origin.clone()))?;
        if let Some(other) = asked.insert(name, request).filter(|other| !request.agrees_with(other)) {
            let (first, second) = (Box::new(other.clone()), Box::new(request.clone()));
            return Err(SolveError::TwoVersions { name: name.clone(), first, second });
        }
        let root = root(origin, name)?;
        roots.entry(root.clone()).or_default().insert(request.clone());
        narrowed.insert(root, known);
    }
    Ok((roots, narrowed))
}
