//! Diversions: a file of other packages moves aside, so that the one who declares it can have the path. dpkg-divert(1).
//!
//! They are applied to the trees of packages before these are united, each to the tree as it was shipped: one diversion
//! never moves what another has moved, so their order cannot matter. Directories are never diverted, as with dpkg.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kiln_model::{Dir, Entry, TreePath};

use crate::owner::{Owner, OwnerId};
use crate::request::{Member, Request};
use crate::usrmerge::Merged;

/// Why the diversions of an image cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiversionError {
    /// Two that want one path to go to different places.
    #[error("`{path}` is diverted to `{first}` by {first_owner}, but to `{second}` by {second_owner}")]
    Twice {
        /// The path.
        path: TreePath,
        /// One place.
        first: TreePath,
        /// Who says so.
        first_owner: Owner,
        /// The other place.
        second: TreePath,
        /// Who says so.
        second_owner: Owner,
    },
    /// One of the image's that moves nothing.
    #[error("the image diverts `{path}`, but no package brings a file there")]
    Idle {
        /// The path.
        path: TreePath,
    },
    /// One that leads to itself.
    #[error("{by} diverts `{path}` to itself")]
    Circle {
        /// The path.
        path: TreePath,
        /// Who says so.
        by: Owner,
    },
}

impl DiversionError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Twice { path, .. } => Some(format!(
                "say it in the image, whose word wins: `facts: {{ diversions: {{ {path}: {{ to: ... }} }} }}`"
            )),
            Self::Idle { .. } => Some("take it out, or correct the path".to_owned()),
            Self::Circle { .. } => None,
        }
    }
}

/// A file that was moved aside.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diverted {
    /// Where it was to be.
    pub from: TreePath,
    /// Who has it moved.
    pub by: Owner,
}

struct Rule {
    to: TreePath,
    /// Who declares it; their own files stay.
    by: BTreeSet<OwnerId>,
    name: Owner,
}

/// Every diversion of an image, by path.
pub(crate) struct Diversions(BTreeMap<TreePath, Rule>);

/// What diversions did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Moved {
    /// By the new path.
    pub diverted: BTreeMap<TreePath, Diverted>,
    /// Where a file of one package went.
    pub places: BTreeMap<(OwnerId, TreePath), TreePath>,
}

impl Diversions {
    /// Those of packages and of the image, whose word wins.
    pub fn of(members: &[(OwnerId, &Member)], request: &Request, merged: &Merged) -> Result<Self, Box<DiversionError>> {
        let mut rules: BTreeMap<TreePath, Rule> = BTreeMap::new();
        let image = request.facts.diversions.iter().map(|said| (None, Owner::Image, said));
        let packages = members.iter().flat_map(|(owner, member)| {
            let name = Owner::Package(member.reference());
            member.facts.diversions.iter().map(move |said| (Some(*owner), name.clone(), said))
        });
        for (owner, name, (path, diversion)) in image.chain(packages) {
            let (path, to) = (merged.path(path), merged.path(&diversion.to));
            if path == to {
                return Err(Box::new(DiversionError::Circle { path, by: name }));
            }
            match rules.get_mut(&path) {
                None => {
                    rules.insert(path, Rule { to, by: owner.into_iter().collect(), name });
                }
                Some(rule) if rule.to == to => rule.by.extend(owner),
                // The image has spoken: where the file goes, and from whom.
                Some(rule) if rule.name == Owner::Image => rule.by.extend(owner),
                Some(rule) => {
                    return Err(Box::new(DiversionError::Twice {
                        path,
                        first: rule.to.clone(),
                        first_owner: rule.name.clone(),
                        second: to,
                        second_owner: name,
                    }));
                }
            }
        }
        Ok(Self(rules))
    }

    /// Moves the files of one package.
    pub fn apply(&self, owner: OwnerId, tree: Arc<Dir>, moved: &mut Moved) -> Arc<Dir> {
        let of_others = self.0.iter().filter(|(_, rule)| !rule.by.contains(&owner));
        let found: Vec<(&TreePath, &Rule, Entry)> = of_others
            .filter_map(|(path, rule)| Some((path, rule, tree.get(path)?.clone())))
            .filter(|(_, _, entry)| !matches!(entry, Entry::Dir(_)))
            .collect();
        if found.is_empty() {
            return tree;
        }
        let mut changed = Dir::clone(&tree);
        for (path, _, _) in &found {
            changed.remove(path);
        }
        for (path, rule, entry) in found {
            // Where the package has something at the new place itself, the union finds out: it is put beside, and fails.
            if changed.get(&rule.to).is_none() && changed.insert(&rule.to, entry.clone()).is_ok() {
                moved.diverted.insert(rule.to.clone(), Diverted { from: path.clone(), by: rule.name.clone() });
                moved.places.insert((owner, path.clone()), rule.to.clone());
            } else {
                let _ = changed.insert(path, entry);
            }
        }
        Arc::new(changed)
    }

    /// Every diversion of the image's own has to move something.
    pub fn check(&self, moved: &Moved) -> Result<(), Box<DiversionError>> {
        let idle = self.0.iter().find(|(path, rule)| {
            rule.name == Owner::Image && !moved.diverted.values().any(|diverted| diverted.from == **path)
        });
        idle.map_or(Ok(()), |(path, _)| Err(Box::new(DiversionError::Idle { path: path.clone() })))
    }
}
