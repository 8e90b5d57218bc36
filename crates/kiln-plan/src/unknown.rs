//! Names of packages that no origin has, each with the place that names it: all of them at once, before anything is
//! resolved.

use std::collections::{BTreeMap, BTreeSet};

use kiln_import::archive::{Means, format_of};
use kiln_import::solver::SolveRequest;
use kiln_model::diagnostic::{Diagnostics, Place, Problem, Spanned};
use kiln_model::recipe::SourceKind;
use kiln_model::{ArchiveKind, PackageRef};

use crate::locking::{Archives, LockError, Wanted, source_records};
use crate::workspace::Workspace;

/// Everything that the project names and its origins do not have.
pub(crate) fn names(
    workspace: &Workspace,
    wanted: &Wanted,
    archives: &Archives,
    means: &Means<'_>,
) -> Result<Diagnostics, LockError> {
    let mut problems = packages(workspace, wanted, archives, means)?;
    problems.extend(sources(wanted, archives)?);
    Ok(workspace.project.sources.diagnostics(problems))
}

/// Where each package of an origin is named.
fn places(workspace: &Workspace) -> BTreeMap<&PackageRef, Vec<Place>> {
    let project = &workspace.project;
    let needs = project.recipes.values().flat_map(|recipe| recipe.needs.iter().chain(&recipe.runtime));
    let images = project.images.values().flat_map(|image| &image.packages);
    let named = project.project.environment.iter();
    let named = named.chain(needs.map(|need| &need.value)).chain(images.map(|package| &package.reference));
    let mut places: BTreeMap<&PackageRef, Vec<Place>> = BTreeMap::new();
    for Spanned { value, place } in named {
        places.entry(value).or_default().push(*place);
    }
    places
}

fn packages(
    workspace: &Workspace,
    wanted: &Wanted,
    archives: &Archives,
    means: &Means<'_>,
) -> Result<Vec<Problem>, LockError> {
    let places = places(workspace);
    let kinds: BTreeSet<ArchiveKind> = archives.values().map(|(kind, _)| *kind).collect();
    let mut problems = Vec::new();
    for architecture in wanted.architectures() {
        let targets = wanted.targets.iter().filter(|target| target.architecture == architecture);
        let requests: BTreeSet<&PackageRef> = targets.flat_map(|target| &target.requests).collect();
        for kind in &kinds {
            let own: Vec<_> = archives.iter().filter(|(_, (of, _))| of == kind).collect();
            let own: Vec<_> = own.into_iter().map(|(name, (_, archive))| (name, &**archive)).collect();
            let here = requests.iter().filter(|request| own.iter().any(|(name, _)| request.origin() == Some(*name)));
            let requests: Vec<SolveRequest> =
                here.filter_map(|request| SolveRequest::from_reference(request)).collect();
            for (request, error) in format_of(*kind).unknown(&own, &requests, architecture, means)? {
                let SolveRequest::Package { origin, name, .. } = request else { continue };
                for place in places.get(&PackageRef::Origin(origin, name)).into_iter().flatten() {
                    problems.push(Problem::new(*place, error.to_string()).maybe_hint(error.hint()));
                }
            }
        }
    }
    Ok(problems)
}

fn sources(wanted: &Wanted, archives: &Archives) -> Result<Vec<Problem>, LockError> {
    let mut problems = Vec::new();
    for source in &wanted.sources {
        let SourceKind::Origin { origin, package, version, .. } = &source.source.kind else { continue };
        let records = source_records(archives, &origin.value, &package.value)?;
        if records.is_empty() {
            let message = format!("the origin `{origin}` has no source package `{package}`");
            let near = match archives.get(&origin.value) {
                Some((_, archive)) => archive.similar_sources(package.as_str()).map_err(|source| {
                    LockError::SourceIndex { origin: origin.value.clone(), source: Box::new(source) }
                })?,
                None => Vec::new(),
            };
            let near: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
            let hint = match &near[..] {
                [] => "source packages often have another name than the packages built from them".to_owned(),
                near => format!("did you mean {}?", near.join(", ")),
            };
            problems.push(Problem::new(package.place, message).hint(hint));
        } else if let Some(version) = version
            && !records.iter().any(|record| record.version == *version)
        {
            let there: Vec<&str> = records.iter().map(|record| record.version.as_str()).collect();
            let message = format!("the origin `{origin}` has no version {version} of the source package `{package}`");
            problems.push(Problem::new(package.place, message).hint(format!("it has {}", there.join(", "))));
        }
    }
    Ok(problems)
}
