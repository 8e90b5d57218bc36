//! Packages that a project names and cannot have, each with the places that name it: those that no origin has, all of
//! them at once, before anything is resolved; then those that do not go together.

use std::collections::{BTreeMap, BTreeSet};

use kiln_import::archive::{Means, format_of};
use kiln_import::debian::index::SourceRecord;
use kiln_import::solver::{SolveError, SolveRequest, Way};
use kiln_model::diagnostic::{Diagnostics, Place, Problem, Spanned};
use kiln_model::project::{Requests, WantedTarget};
use kiln_model::recipe::SourceKind;
use kiln_model::{Architecture, ArchiveKind, OriginName, PackageName, version};

use crate::locking::{Archives, LockError, Wanted};
use crate::workspace::Workspace;

/// Everything that the project names and its origins do not have.
pub(crate) fn names(
    workspace: &Workspace,
    wanted: &Wanted,
    archives: &Archives,
    means: &Means<'_>,
) -> Result<Diagnostics, LockError> {
    let mut problems = packages(wanted, archives, means)?;
    problems.extend(sources(wanted, archives)?);
    Ok(workspace.project.sources.diagnostics(problems))
}

/// No more places than these are shown of one contradiction.
const MOST_PLACES: usize = 8;

/// What a target asks for that does not go together, at the places that ask for it; none when it is about no request.
pub(crate) fn contradiction(workspace: &Workspace, target: &WantedTarget, error: &SolveError) -> Option<Diagnostics> {
    let mut places: BTreeMap<Place, Vec<String>> = BTreeMap::new();
    let mut first = None;
    for Way { asked, mut steps } in error.ways() {
        let essential = |request: &SolveRequest| matches!(request, SolveRequest::Essential(_));
        if asked.iter().all(essential) {
            steps.push("the Essential set comes with it".to_owned());
        }
        let requests = asked.iter().filter_map(|request| target.requests.get(&request.reference()));
        for place in requests.flatten() {
            first = first.or(Some(*place));
            let told = places.entry(*place).or_default();
            let new: Vec<String> = steps.iter().filter(|step| !told.contains(step)).cloned().collect();
            told.extend(new);
        }
    }
    let first = first?;
    let label = |told: Vec<String>| if told.is_empty() { "asked for here".to_owned() } else { told.join(", ") };
    let why = match error {
        SolveError::Unsatisfiable { why, .. } => why.clone(),
        other => other.to_string(),
    };
    let message = format!("cannot resolve `{}`: {why}", target.name);
    let own = label(places.remove(&first).unwrap_or_default());
    let mut problem = Problem::new(first, message).label(own).maybe_hint(error.hint());
    for (place, told) in places.into_iter().take(MOST_PLACES - 1) {
        problem = problem.related(place, label(told));
    }
    Some(workspace.project.sources.diagnostics(vec![problem]))
}

/// Where each package of an origin is asked for, for an architecture.
fn places(wanted: &Wanted, architecture: Architecture) -> Requests {
    let mut all = Requests::new();
    for target in wanted.targets.iter().filter(|target| target.architecture == architecture) {
        for (request, places) in &target.requests {
            all.entry(request.clone()).or_default().extend(places);
        }
    }
    all
}

fn packages(wanted: &Wanted, archives: &Archives, means: &Means<'_>) -> Result<Vec<Problem>, LockError> {
    let kinds: BTreeSet<ArchiveKind> = archives.values().map(|(kind, _)| *kind).collect();
    let mut problems = Vec::new();
    for architecture in wanted.architectures() {
        let places = places(wanted, architecture);
        for kind in &kinds {
            let own: Vec<_> = archives.iter().filter(|(_, (of, _))| of == kind).collect();
            let own: Vec<_> = own.into_iter().map(|(name, (_, archive))| (name, &**archive)).collect();
            let here = places.keys().filter(|request| own.iter().any(|(name, _)| request.origin() == Some(*name)));
            let requests: Vec<SolveRequest> = here.filter_map(SolveRequest::from_reference).collect();
            for (request, error) in format_of(*kind).unknown(&own, &requests, architecture, means)? {
                for place in places.get(&request.reference()).into_iter().flatten() {
                    problems.push(Problem::new(*place, error.to_string()).maybe_hint(error.hint()));
                }
            }
        }
    }
    Ok(problems)
}

fn sources(wanted: &Wanted, archives: &Archives) -> Result<Vec<Problem>, LockError> {
    let mut problems = Vec::new();
    for wanted in &wanted.sources {
        if let SourceKind::Origin { origin, package, version, .. } = &wanted.source.kind {
            problems.extend(source(archives, origin, package, version.as_deref())?.err());
        }
    }
    Ok(problems)
}

/// The source package of a name: of this version, or of the highest; or what is wrong with asking for it.
pub(crate) fn source(
    archives: &Archives,
    origin: &OriginName,
    package: &Spanned<PackageName>,
    version: Option<&str>,
) -> Result<Result<SourceRecord, Problem>, LockError> {
    let fault = |source| LockError::SourceIndex { origin: origin.clone(), source: Box::new(source) };
    let (mut records, mut near) = (Vec::new(), Vec::new());
    if let Some((kind, archive)) = archives.get(origin) {
        records = archive.sources(package.as_str()).map_err(fault)?;
        records.sort_by(|a, b| version::compare(*kind, &b.version, &a.version));
        if records.is_empty() {
            near = archive.similar_sources(package.as_str()).map_err(fault)?;
        }
    }
    let there: Vec<String> = records.iter().map(|record| record.version.clone()).collect();
    let found = records.into_iter().find(|record| version.is_none_or(|version| version == record.version));
    let missing = || {
        let (message, hint) = match (version, &near[..]) {
            (Some(version), _) if !there.is_empty() => {
                let message =
                    format!("the origin `{origin}` has no version {version} of the source package `{package}`");
                (message, format!("it has {}", there.join(", ")))
            }
            (_, near) => {
                let near: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
                let hint = match &near[..] {
                    [] => "source packages often have another name than the packages built from them".to_owned(),
                    near => format!("did you mean {}?", near.join(", ")),
                };
                (format!("the origin `{origin}` has no source package `{package}`"), hint)
            }
        };
        Problem::new(package.place, message).hint(hint)
    };
    Ok(found.ok_or_else(missing))
}
