//! Why a set of requests cannot be had, whatever the kind of archive.

use std::collections::BTreeSet;

use kiln_model::{OriginName, PackageName};

use super::SolveRequest;
use crate::debian::index::IndexError;

/// How a package came to be part of a contradiction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// What was asked for, at its beginning.
    pub asked: BTreeSet<SolveRequest>,
    /// Why each package on it is there, that of the contradiction first.
    pub steps: Vec<String>,
}

/// Why there is no solution.
#[derive(Debug, thiserror::Error)]
pub enum SolveError {
    /// A request names an origin that is none of the sources.
    #[error("the origin `{0}` has no indexes here")]
    UnknownOrigin(OriginName),
    /// A request names a package that the origin does not have.
    #[error("the origin `{origin}` has no package `{name}`")]
    UnknownPackage {
        /// The origin.
        origin: OriginName,
        /// The name.
        name: PackageName,
        /// Names that are near it.
        similar: Vec<String>,
    },
    /// A request names a version that the origin does not have.
    #[error("the origin `{origin}` has `{name}` in version {}, not {wanted}", .available.join(", "))]
    NoSuchVersion {
        /// The origin.
        origin: OriginName,
        /// The name.
        name: PackageName,
        /// The version that was asked for.
        wanted: String,
        /// Those that there are.
        available: Vec<String>,
    },
    /// A request names a virtual package that several packages provide.
    #[error("`{name}` is no package of `{origin}` but a name that several provide: {}", quoted(.providers))]
    Virtual {
        /// The origin.
        origin: OriginName,
        /// The name.
        name: PackageName,
        /// Who provides it.
        providers: Vec<String>,
    },
    /// Two requests name one package, but not one version of it.
    #[error("`{name}` is asked for twice, as {first} and as {second}")]
    TwoVersions {
        /// The package.
        name: PackageName,
        /// How it is asked for.
        first: Box<SolveRequest>,
        /// How else.
        second: Box<SolveRequest>,
    },
    /// The requests cannot all be had.
    #[error("the packages cannot be installed together: {why}{}", lines(.ways))]
    Unsatisfiable {
        /// The contradiction.
        why: String,
        /// How each of the packages in it came in.
        ways: Vec<Way>,
    },
    /// The index has something that is no relation.
    #[error("the package `{package}` of the archive has a relation that cannot be read")]
    Relation {
        /// The package.
        package: String,
        /// What is wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The index has a name that is none.
    #[error("the archive has a package whose name is none: `{0}`")]
    Name(String),
    /// The index cannot be read.
    #[error("the archive's index cannot be read")]
    Index(#[from] IndexError),
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Each step once, on a line of its own.
fn lines(ways: &[Way]) -> String {
    let mut seen = BTreeSet::new();
    let steps = ways.iter().flat_map(|way| &way.steps).filter(|step| seen.insert(*step));
    steps.map(|step| format!("\n  {step}")).collect()
}

impl SolveError {
    /// The ways from what was asked for to this; none where it is not about more than one of the requests.
    #[must_use]
    pub fn ways(&self) -> Vec<Way> {
        match self {
            Self::Unsatisfiable { ways, .. } => ways.clone(),
            Self::TwoVersions { first, second, .. } => {
                let way = |request: &SolveRequest| Way { asked: BTreeSet::from([request.clone()]), steps: Vec::new() };
                vec![way(first), way(second)]
            }
            _ => Vec::new(),
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::UnknownOrigin(_) => "declare it under `origins:` in `kiln.yaml`".to_owned(),
            Self::UnknownPackage { similar, .. } if similar.is_empty() => {
                "check the name, the suite and `components:` of the origin".to_owned()
            }
            Self::UnknownPackage { similar, .. } => format!("did you mean {}?", quoted(similar)),
            Self::NoSuchVersion { .. } => "ask for one of these, or for none in particular".to_owned(),
            Self::Virtual { .. } => "ask for one of them".to_owned(),
            Self::TwoVersions { .. } => "ask for it once".to_owned(),
            Self::Unsatisfiable { .. } => {
                "leave one of the packages out, or take another suite or origin for it".to_owned()
            }
            Self::Relation { .. } | Self::Name(_) => "the archive is broken: tell its maintainers".to_owned(),
            Self::Index(error) => return error.hint(),
        })
    }
}
