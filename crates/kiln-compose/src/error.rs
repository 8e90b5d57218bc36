//! Why a composition fails, and what to do about it.

use std::fmt;

use kiln_model::{ObjectError, PackageRef, TreePath};

use crate::accounts::AccountError;
use crate::answers::AnswerFaults;
use crate::diversion::DiversionError;
use crate::finalizer::FinalizeError;
use crate::hooks::HookFaults;
use crate::owner::Owner;
use crate::work::PlaceError;

/// A path that more than one owner claims with different content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The path.
    pub path: TreePath,
    /// Who claims it, and what they would put there.
    pub claims: Vec<(Owner, String)>,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`:", self.path)?;
        for (place, (owner, what)) in self.claims.iter().enumerate() {
            write!(f, "{} {what} by {owner}", if place == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// Every conflict of a composition, in order of path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflicts(pub Vec<Conflict>);

/// So many are listed in a message.
const SHOWN: usize = 20;

impl fmt::Display for Conflicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("a path is claimed more than once")?,
            count => write!(f, "{count} paths are claimed more than once")?,
        }
        for conflict in self.0.iter().take(SHOWN) {
            write!(f, "\n  {conflict}")?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

/// Two packages that want different permissions of one path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` has {field} {first} by {first_owner}, but {second} by {second_owner}")]
pub struct PermissionConflict {
    /// The path.
    pub path: TreePath,
    /// Owner, group, mode, ...
    pub field: &'static str,
    /// One value.
    pub first: String,
    /// Who says so.
    pub first_owner: Owner,
    /// The other value.
    pub second: String,
    /// Who says so.
    pub second_owner: Owner,
}

/// Why a composition fails.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// Owners claim the same paths.
    #[error("{0}")]
    Conflicts(Conflicts),
    /// Two versions of one package.
    #[error("package `{package}` is in the image twice, as {first} and as {second}")]
    Twice {
        /// The package.
        package: PackageRef,
        /// One version.
        first: String,
        /// The other.
        second: String,
    },
    /// Two overlays have one name.
    #[error("two overlays are named `{0}`")]
    OverlayTwice(String),
    /// Something cannot be put where it is declared.
    #[error("{by} cannot have its way")]
    Place {
        /// Who wants it.
        by: Owner,
        /// Why not.
        #[source]
        source: PlaceError,
    },
    /// Accounts cannot be told.
    #[error("the users and groups of the image do not fit together")]
    Accounts(#[from] AccountError),
    /// An entry of `replace` that decides nothing.
    #[error("`replace` of `{path}` by `{package}` has no effect: {why}")]
    IdleReplace {
        /// The path.
        path: TreePath,
        /// The package.
        package: PackageRef,
        /// Why it has none.
        why: &'static str,
    },
    /// A permission names a path that is not in the image.
    #[error("{by} declares permissions of `{path}`, which is not in the image")]
    NoSuchPath {
        /// Who declares it.
        by: Owner,
        /// The path.
        path: TreePath,
    },
    /// Not a capability, or not an attribute.
    #[error("{by} gives `{path}` {what} `{text}`, which does not exist")]
    Attribute {
        /// Who declares it.
        by: Owner,
        /// The path.
        path: TreePath,
        /// Capability or attribute.
        what: &'static str,
        /// The text.
        text: String,
    },
    /// Two packages want different permissions of one path.
    #[error(transparent)]
    Permissions(Box<PermissionConflict>),
    /// Files cannot be diverted.
    #[error(transparent)]
    Diversion(Box<DiversionError>),
    /// Declared files are for packages; an image brings its own.
    #[error("the image declares the file `{0}` among its facts")]
    FileOfImage(TreePath),
    /// Hooks that nothing stands for, or words on hooks that have no effect.
    #[error(transparent)]
    Hooks(Box<HookFaults>),
    /// Answers that no question takes.
    #[error(transparent)]
    Answers(Box<AnswerFaults>),
    /// A switched-off finalizer that does not exist.
    #[error("there is no finalizer `{0}` to switch off")]
    NoSuchFinalizer(String),
    /// A finalizer fails.
    #[error("finalizer `{name}` fails")]
    Finalizer {
        /// Its name.
        name: &'static str,
        /// Why.
        #[source]
        source: FinalizeError,
    },
    /// A rule copies a file that is not there.
    #[error("the rule for {by} copies `{template}` to `{path}`, but the image has no such file")]
    Template {
        /// The package.
        by: Owner,
        /// The copy.
        path: TreePath,
        /// What is to be copied.
        template: TreePath,
    },
    /// An object cannot be read or written.
    #[error("the image's content cannot be read or written")]
    Object(#[from] ObjectError),
}

impl ComposeError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Conflicts(conflicts) => {
                let first = conflicts.0.first()?;
                let packages: Vec<&PackageRef> = first
                    .claims
                    .iter()
                    .filter_map(|(owner, _)| if let Owner::Package(package) = owner { Some(package) } else { None })
                    .collect();
                match packages.first() {
                    None => Some("give the overlays different priorities: the higher wins".to_owned()),
                    Some(package) => Some(format!(
                        "say who wins: `replace: {{ {}: {package} }}` in the image; or an overlay that brings the \
                         path; or `alternatives:` in the recipes, for two programs of one name; or a diversion",
                        first.path
                    )),
                }
            }
            Self::Accounts(error) => error.hint(),
            Self::Hooks(faults) => Some(faults.hint()),
            Self::Answers(faults) => Some(faults.hint()),
            Self::IdleReplace { .. } => Some("take the entry out".to_owned()),
            Self::NoSuchPath { path, .. } => {
                Some(format!("declare it under `directories:` if it is a directory to be made, or correct `{path}`"))
            }
            Self::Attribute { what: "capability", .. } => {
                Some("capabilities(7) lists them, for example `cap_net_bind_service`".to_owned())
            }
            Self::Permissions(conflict) => Some(format!(
                "say it in the image, whose word wins: `facts: {{ permissions: {{ {}: {{ ... }} }} }}`",
                conflict.path
            )),
            Self::NoSuchFinalizer(_) => {
                let names: Vec<&str> = crate::finalizer::TABLE.iter().map(|f| f.name).collect();
                Some(format!("the finalizers are {}", names.join(", ")))
            }
            Self::Finalizer { source, .. } => source.hint(),
            Self::Twice { .. } | Self::OverlayTwice(_) => None,
            Self::Diversion(error) => error.hint(),
            Self::FileOfImage(path) => {
                Some(format!("`files: {{ {path}: {{ content: ... }} }}` of the image brings it"))
            }
            Self::Place { source, .. } => source.hint(),
            Self::Attribute { .. } => None,
            Self::Template { .. } | Self::Object(_) => None,
        }
    }
}
