//! The union of package trees, with every conflict found in one pass.
//!
//! Directories merge, equal files and links are one, everything else that meets at one path is a conflict unless one
//! side is declared to win: by the image's `replace`, or by a package's own `Replaces` as dpkg would have it. Both are
//! statements, so the result depends on the set alone. A directory that only one package brings is shared, not copied.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kiln_model::{Dir, Entry, Meta, TreePath};

use crate::owner::{OwnerId, OwnerNode};

/// A path that more than one owner claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clash {
    pub path: TreePath,
    pub claims: Vec<(OwnerId, Claim)>,
}

/// What an owner would put there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub kind: &'static str,
    /// What tells it from others of its kind: the content, the link's target, the mode.
    pub detail: String,
}

/// Who wins what.
pub(crate) struct Precedence<'a> {
    /// `replaces(a, b)`: does owner `a` declare to replace files of owner `b`?
    pub replaces: &'a dyn Fn(OwnerId, OwnerId) -> bool,
    /// The image's `replace`, by path.
    pub winners: &'a BTreeMap<TreePath, OwnerId>,
}

/// The union, its owners, what clashed, and which entries of `winners` decided something.
#[derive(Default)]
pub(crate) struct Union {
    pub tree: Arc<Dir>,
    pub owners: OwnerNode,
    pub clashes: Vec<Clash>,
    pub used_winners: BTreeSet<TreePath>,
}

/// Unites trees. They must come in the order of their owners.
pub(crate) fn unite(trees: &[(OwnerId, &Arc<Dir>)], precedence: &Precedence<'_>) -> Union {
    let mut merge = Merge { precedence, clashes: Vec::new(), used_winners: BTreeSet::new() };
    if trees.is_empty() {
        return Union::default();
    }
    let (tree, owners) = merge.directories(&TreePath::root(), trees);
    Union { tree, owners, clashes: merge.clashes, used_winners: merge.used_winners }
}

struct Merge<'a> {
    precedence: &'a Precedence<'a>,
    clashes: Vec<Clash>,
    used_winners: BTreeSet<TreePath>,
}

fn claim(entry: &Entry) -> Claim {
    let detail = match entry {
        Entry::Dir(dir) => format!("mode {:04o}", dir.meta().mode),
        Entry::File(file) => format!("{}, mode {:04o}", file.object.0.short(), file.meta.mode),
        Entry::Symlink(link) => format!("-> {}", link.target),
        Entry::Device(device, _) => format!("{device:?}"),
    };
    Claim { kind: entry.kind(), detail }
}

/// Equal but for being one of several names of an inode, which says nothing of the path.
fn same(a: &Entry, b: &Entry) -> bool {
    match (a, b) {
        (Entry::File(a), Entry::File(b)) => a.object == b.object && a.meta == b.meta,
        (Entry::Dir(_), Entry::Dir(_)) => true,
        _ => a == b,
    }
}

impl Merge<'_> {
    fn directories(&mut self, at: &TreePath, dirs: &[(OwnerId, &Arc<Dir>)]) -> (Arc<Dir>, OwnerNode) {
        let (first_owner, first) = dirs[0];
        if let [(owner, dir)] = dirs {
            return (Arc::clone(dir), OwnerNode::whole(*owner));
        }
        if dirs.iter().all(|(_, dir)| Arc::ptr_eq(dir, first)) {
            let also = dirs.iter().map(|(owner, _)| *owner).collect();
            return (Arc::clone(first), OwnerNode { also, ..OwnerNode::whole(first_owner) });
        }
        let mut names: BTreeMap<&str, Vec<(OwnerId, &Entry)>> = BTreeMap::new();
        for (owner, dir) in dirs {
            for (name, entry) in dir.entries() {
                names.entry(name).or_default().push((*owner, entry));
            }
        }
        let mut node = OwnerNode {
            default: None,
            also: dirs.iter().map(|(owner, _)| *owner).collect(),
            children: BTreeMap::new(),
        };
        let mut dir = Dir::new(self.directory_meta(at, dirs));
        for (name, claims) in names {
            // Names came out of directories, where each was checked; only a path past the length limit cannot be told.
            let path = at.join(name).unwrap_or_default();
            let (entry, owners) = self.entry(&path, claims);
            node.children.insert(name.into(), owners);
            // For the same reason this cannot fail.
            let _ = dir.set_entry(name, entry);
        }
        (Arc::new(dir), node)
    }

    /// Facts decide the metadata of shared directories later; here what says something wins over the default.
    fn directory_meta(&mut self, at: &TreePath, dirs: &[(OwnerId, &Arc<Dir>)]) -> Meta {
        let mut special = dirs.iter().filter(|(_, dir)| !dir.meta().is_default(0o755));
        let Some((_, chosen)) = special.next() else {
            return Meta::root_owned(0o755);
        };
        if special.any(|(_, dir)| dir.meta() != chosen.meta()) {
            let claims = dirs
                .iter()
                .filter(|(_, dir)| !dir.meta().is_default(0o755))
                .map(|(owner, dir)| (*owner, claim(&Entry::Dir(Arc::clone(dir)))))
                .collect();
            self.clashes.push(Clash { path: at.clone(), claims });
        }
        chosen.meta().clone()
    }

    fn entry(&mut self, path: &TreePath, mut claims: Vec<(OwnerId, &Entry)>) -> (Entry, OwnerNode) {
        if claims.len() > 1 && !claims.iter().all(|(_, entry)| same(entry, claims[0].1)) {
            self.settle(path, &mut claims);
        }
        let (owner, entry) = claims[0];
        if let Entry::Dir(_) = entry {
            let dirs: Vec<(OwnerId, &Arc<Dir>)> = claims
                .iter()
                .filter_map(|(owner, entry)| if let Entry::Dir(dir) = entry { Some((*owner, dir)) } else { None })
                .collect();
            let (dir, owners) = self.directories(path, &dirs);
            return (Entry::Dir(dir), owners);
        }
        (entry.clone(), OwnerNode::whole(owner))
    }

    /// Leaves only the claims of those who win; notes a clash when nobody does.
    fn settle(&mut self, path: &TreePath, claims: &mut Vec<(OwnerId, &Entry)>) {
        let mut at = Some(path.clone());
        while let Some(place) = at {
            if let Some(winner) = self.precedence.winners.get(&place)
                && claims.iter().any(|(owner, _)| owner == winner)
            {
                claims.retain(|(owner, _)| owner == winner);
                self.used_winners.insert(place);
                return;
            }
            at = place.parent();
        }
        let replaces = self.precedence.replaces;
        let loses = |(loser, entry): &(OwnerId, &Entry)| {
            claims
                .iter()
                .any(|(owner, other)| !same(entry, other) && replaces(*owner, *loser) && !replaces(*loser, *owner))
        };
        let kept: Vec<(OwnerId, &Entry)> = claims.iter().filter(|claim| !loses(claim)).copied().collect();
        if let Some((_, first)) = kept.first()
            && kept.iter().all(|(_, entry)| same(entry, first))
        {
            *claims = kept;
            return;
        }
        self.clashes.push(Clash {
            path: path.clone(),
            claims: claims.iter().map(|(owner, entry)| (*owner, claim(entry))).collect(),
        });
    }
}
