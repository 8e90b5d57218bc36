//! Who each path of a composition comes from.
//!
//! Ownership mirrors the tree, but only where owners differ: a subtree with one owner is one node. So keeping it costs
//! what composition touches, not what the image holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use kiln_model::{PackageRef, TreePath};

use crate::diversion::{Diverted, Moved};

/// What a path comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// A package.
    Package(PackageRef),
    /// An overlay of the image, by its name.
    Overlay(String),
    /// The image's own `files` and `facts`.
    Image,
    /// A finalizer, by its name in the table.
    Finalizer(&'static str),
}

impl Owner {
    /// The layer its paths go to.
    #[must_use]
    pub fn layer(&self) -> LayerName {
        match self {
            Self::Package(package) => LayerName::Package(package.clone()),
            Self::Overlay(_) => LayerName::Overlays,
            Self::Image => LayerName::Files,
            // It changes with every commit, so it must not drag the other finalizers' files along.
            Self::Finalizer("os-release") => LayerName::Label,
            Self::Finalizer(_) => LayerName::Finalizers,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Package(package) => write!(f, "package `{package}`"),
            Self::Overlay(name) => write!(f, "overlay `{name}`"),
            Self::Image => f.write_str("the image"),
            Self::Finalizer(name) => write!(f, "finalizer `{name}`"),
        }
    }
}

/// A layer of a composition. They order as they change: what changes least comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LayerName {
    /// What one package brings.
    Package(PackageRef),
    /// What the finalizers wrote.
    Finalizers,
    /// The image's overlays.
    Overlays,
    /// The image's own files.
    Files,
    /// What names the commit: `os-release`.
    Label,
}

impl fmt::Display for LayerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Package(package) => package.fmt(f),
            Self::Finalizers => f.write_str("finalizers"),
            Self::Overlays => f.write_str("overlays"),
            Self::Files => f.write_str("files"),
            Self::Label => f.write_str("label"),
        }
    }
}

/// An owner by its place in the list of owners.
pub(crate) type OwnerId = u32;

/// The owners of a subtree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct OwnerNode {
    /// Who brings everything below that `children` does not name, and the directory itself.
    pub default: Option<OwnerId>,
    /// Who else brings this directory.
    pub also: BTreeSet<OwnerId>,
    /// Where it differs.
    pub children: BTreeMap<Box<str>, OwnerNode>,
}

impl OwnerNode {
    /// A subtree with one owner.
    pub fn whole(owner: OwnerId) -> Self {
        Self { default: Some(owner), ..Self::default() }
    }

    /// Everyone who brings this directory or file itself.
    pub fn holders(&self) -> impl Iterator<Item = OwnerId> {
        self.default.into_iter().chain(self.also.iter().copied())
    }

    /// Sets who owns `path` and everything below it; directories on the way that `owner` may have made are its own too.
    pub fn set(&mut self, path: &TreePath, owner: OwnerId) {
        let mut node = self;
        for part in path.components() {
            let default = node.default;
            node.also.insert(owner);
            node = node.children.entry(part.into()).or_insert_with(|| Self { default, ..Self::default() });
        }
        *node = Self::whole(owner);
    }

    /// Adds `owner` to those who bring the directory at `path`.
    pub fn share(&mut self, path: &TreePath, owner: OwnerId) {
        let mut node = self;
        node.also.insert(owner);
        for part in path.components() {
            let default = node.default;
            node = node.children.entry(part.into()).or_insert_with(|| Self { default, ..Self::default() });
            if node.default.is_none() {
                node.default = Some(owner);
            }
            node.also.insert(owner);
        }
    }

    /// Who brings `path`, the first of them when it is a directory of many.
    pub fn get(&self, path: &TreePath) -> Option<OwnerId> {
        let mut node = self;
        let mut owner = node.default;
        for part in path.components() {
            match node.children.get(part) {
                None => return owner,
                Some(next) => node = next,
            }
            owner = node.default;
        }
        owner.or_else(|| node.also.first().copied())
    }
}

/// Who each path comes from.
#[derive(Debug, Clone, Default)]
pub struct Owners {
    pub(crate) root: OwnerNode,
    pub(crate) list: Vec<Owner>,
    pub(crate) moved: Moved,
}

impl Owners {
    /// Who brings `path`. For a directory that many bring, one of them. The answer means nothing for a path that is
    /// not in the tree.
    #[must_use]
    pub fn of(&self, path: &TreePath) -> Option<&Owner> {
        self.list.get(self.root.get(path)? as usize)
    }

    /// Everyone who brings `path` itself, in order.
    #[must_use]
    pub fn all(&self, path: &TreePath) -> BTreeSet<&Owner> {
        let mut node = &self.root;
        for part in path.components() {
            match node.children.get(part) {
                Some(next) => node = next,
                None => return node.default.and_then(|id| self.list.get(id as usize)).into_iter().collect(),
            }
        }
        node.holders().filter_map(|id| self.list.get(id as usize)).collect()
    }

    /// Where the file at `path` was to be, if a diversion moved it there.
    #[must_use]
    pub fn diverted(&self, path: &TreePath) -> Option<&Diverted> {
        self.moved.diverted.get(path)
    }

    /// Where a diversion moved `path` of one owner.
    pub(crate) fn place_of(&self, owner: OwnerId, path: &TreePath) -> Option<&TreePath> {
        self.moved.places.get(&(owner, path.clone()))
    }

    pub(crate) fn name(&self, id: OwnerId) -> &Owner {
        &self.list[id as usize]
    }

    /// The id of `owner`, which is added when it is new.
    pub(crate) fn id(&mut self, owner: Owner) -> OwnerId {
        let place = self.list.iter().position(|o| *o == owner).unwrap_or_else(|| {
            self.list.push(owner);
            self.list.len() - 1
        });
        u32::try_from(place).unwrap_or(u32::MAX)
    }
}
