//! Which packages a set of requests needs, whatever the kind of archive.
//!
//! The search is `resolvo`'s, a SAT solver made for packages ([`provider`]). What the packages of a kind of archive mean to
//! each other is told by its [`Universe`]; why nothing was found is told by `explain` in the archive's own terms.

mod error;
mod explain;
mod provider;
pub(crate) mod requests;
mod similar;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;

use kiln_model::{OriginName, PackageName, PackageRef};

pub use self::error::{SolveError, Way};
pub(crate) use self::explain::unsatisfiable;
pub(crate) use self::provider::Provider;
pub(crate) use self::similar::similar;

/// A package: its place in its universe.
pub(crate) type PackageId = usize;

/// Something that is needed, and who can serve it, best first.
#[derive(Debug)]
pub(crate) struct Group {
    /// As the archive writes it.
    pub(crate) text: String,
    /// The names in it, in order.
    pub(crate) names: Vec<String>,
    pub(crate) candidates: Vec<PackageId>,
    /// It counts only where, of each of these, one is there. Most are needed whatever else is.
    pub(crate) when: Vec<Vec<PackageId>>,
}

/// Something that cannot be there at the same time.
#[derive(Debug)]
pub(crate) struct Exclusion {
    /// `conflicts with`, `breaks`.
    pub(crate) verb: &'static str,
    pub(crate) text: String,
    pub(crate) victims: Vec<PackageId>,
}

/// The packages that a solution may be made of, and what they mean to each other. Of one name, the package with the
/// lowest number is preferred, and at most one is chosen.
pub(crate) trait Universe {
    /// A package's name.
    fn name(&self, id: PackageId) -> String;
    /// A package's version.
    fn version(&self, id: PackageId) -> String;
    /// The candidates of a name, in order of preference.
    fn named(&self, name: &str) -> Result<Rc<[PackageId]>, SolveError>;
    /// What a package needs.
    fn needs(&self, id: PackageId) -> Result<Rc<[Group]>, SolveError>;
    /// What cannot be there together with a package.
    fn excludes(&self, id: PackageId) -> Result<Rc<[Exclusion]>, SolveError>;
    /// The versions that there are of a name, for messages.
    fn versions(&self, name: &str) -> Result<Vec<String>, SolveError>;
    /// The names of those that provide a name, for messages.
    fn provider_names(&self, name: &str) -> Result<Vec<String>, SolveError>;
}

/// One thing that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SolveRequest {
    /// Every package that the origin marks `Essential: yes`.
    Essential(OriginName),
    /// A package of an origin.
    Package {
        /// The origin.
        origin: OriginName,
        /// The name.
        name: PackageName,
        /// The exact version; the highest when none is given.
        version: Option<String>,
    },
}

/// The names that a solver begins with, each with the requests that it is there for.
pub(crate) type Roots = BTreeMap<String, BTreeSet<SolveRequest>>;

impl fmt::Display for SolveRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Package { version: Some(version), .. } => write!(f, "`{}` {version}", self.reference()),
            _ => write!(f, "`{}`", self.reference()),
        }
    }
}

impl SolveRequest {
    /// What a project calls it.
    #[must_use]
    pub fn reference(&self) -> PackageRef {
        match self {
            Self::Essential(origin) => PackageRef::Essential(origin.clone()),
            Self::Package { origin, name, .. } => PackageRef::Origin(origin.clone(), name.clone()),
        }
    }

    /// Can one package be what both ask for? Of requests for one name.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Package { origin: a, version: x, .. }, Self::Package { origin: b, version: y, .. }) => {
                a == b && (x.is_none() || y.is_none() || x == y)
            }
            _ => self == other,
        }
    }

    /// What a project refers to; none for its own recipes.
    #[must_use]
    pub fn from_reference(reference: &PackageRef) -> Option<Self> {
        match reference {
            PackageRef::Recipe(_) => None,
            PackageRef::Origin(origin, name) => {
                Some(Self::Package { origin: origin.clone(), name: name.clone(), version: None })
            }
            PackageRef::Essential(origin) => Some(Self::Essential(origin.clone())),
        }
    }
}
