//! Which packages share a layer, and in what order the layers lie.
//!
//! Registries and caches share layers by digest, and programs that unpack images share *chains* of layers from the
//! bottom. So the plan has two aims: a changed package changes few layers, and what changes most lies on top.
//!
//! **Order.** By [`Stability`]: the distribution's packages, then the project's, overlays, files, finalizers and last
//! the release stamp. Among the packages of one stability the largest come first: each is as likely to change as
//! another, and what lies below is not unpacked again.
//!
//! **Grouping.** While the layers fit the budget, each package is its own layer. When they do not, each stability has a
//! fixed share of the budget. Half of a share goes to its largest packages, one layer each; the other half is a
//! fixed number of buckets, into which the small packages fall by the hash of their *name*. So adding, removing or
//! changing a small package changes one bucket, whatever else is in the image; and a large package is never sent
//! again because a small one changed. Shares are not lent between stabilities, and sizes count only by their power
//! of two: either would let one package reshuffle the others. Name ranges would do as well for a fixed set, but
//! their borders move with every package; a hash has none.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use kiln_model::{Digest, Dir, Entry, TreePath};

/// How many layers an image has at most unless the user says otherwise. Overlay mounts and image stores stop at 127.
pub const DEFAULT_BUDGET: NonZeroUsize = NonZeroUsize::new(60).unwrap();

/// What a layer holds, in the order of how seldom that changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stability {
    /// A package of a distribution's archive.
    Distribution,
    /// A package that the project builds.
    Project,
    /// An overlay tree.
    Overlays,
    /// The image's own files.
    Files,
    /// What finalizers made of the whole.
    Finalizers,
    /// What names the commit, for example `os-release`: different in every build.
    Release,
}

impl Stability {
    /// How many there are.
    const COUNT: usize = 6;
    /// The sum of all shares.
    const SHARES: usize = 60;

    /// The share of a budget, in sixtieths.
    const fn share(self) -> usize {
        match self {
            Self::Distribution => 42,
            Self::Project => 12,
            Self::Overlays => 3,
            Self::Files | Self::Finalizers | Self::Release => 1,
        }
    }
}

/// One part of an image that could be a layer of its own.
#[derive(Debug, Clone)]
pub struct LayerInput {
    /// The package, or what else it is; unique within its stability. It decides the bucket.
    pub name: String,
    /// What it holds.
    pub stability: Stability,
    /// Its files. No other input of the image has the same path, but for directories.
    pub tree: Arc<Dir>,
    /// What `history` says about it, for example `debian:libc6 2.41-12`.
    pub comment: String,
}

/// The inputs that share one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Indexes into the inputs, by name.
    pub members: Vec<usize>,
}

/// Two inputs of one layer claim one path. Composition rules this out, so it is a fault of the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` has different content in two parts of one layer")]
pub struct MergeError(pub TreePath);

impl Group {
    /// The tree of the layer: that of its one member, or the union of all.
    ///
    /// Files that are names of one inode stay so. Should two packages hold hard linked files of equal content and
    /// metadata, all of them become one inode: nothing in an image can tell.
    ///
    /// # Errors
    /// When two members differ at a path.
    pub fn tree(&self, inputs: &[LayerInput]) -> Result<Arc<Dir>, MergeError> {
        let mut members = self.members.iter().map(|&index| &inputs[index].tree);
        let mut union = Arc::clone(members.next().unwrap_or(&Arc::default()));
        for tree in members {
            merge(Arc::make_mut(&mut union), tree, &TreePath::root())?;
        }
        Ok(union)
    }

    /// How many bytes its files have.
    #[must_use]
    pub fn size(&self, inputs: &[LayerInput]) -> u64 {
        self.members.iter().map(|&member| content_size(&inputs[member].tree)).sum()
    }

    /// What `history` says about the layer.
    #[must_use]
    pub fn comment(&self, inputs: &[LayerInput]) -> String {
        let comments: Vec<&str> = self.members.iter().map(|&index| inputs[index].comment.as_str()).collect();
        comments.join(", ")
    }
}

fn merge(into: &mut Dir, from: &Dir, at: &TreePath) -> Result<(), MergeError> {
    if into.meta() != from.meta() {
        return Err(MergeError(at.clone()));
    }
    for (name, entry) in from.entries() {
        // Names in a tree are checked when they are set, and paths of both trees were walked before.
        let path = at.join(name).map_err(|_| MergeError(at.clone()))?;
        let merged = match (into.remove_entry(name), entry) {
            (None, entry) => entry.clone(),
            (Some(Entry::Dir(mut ours)), Entry::Dir(theirs)) => {
                if ours != *theirs {
                    merge(Arc::make_mut(&mut ours), theirs, &path)?;
                }
                Entry::Dir(ours)
            }
            (Some(ours), theirs) if ours == *theirs => ours,
            _ => return Err(MergeError(path)),
        };
        into.set_entry(name, merged).map_err(|_| MergeError(path))?;
    }
    Ok(())
}

/// Sorts and groups `inputs` into at most `budget` layers, bottom first. Every input is in exactly one group, and the
/// plan depends on the set of inputs, not on their order.
#[must_use]
pub fn plan_layers(inputs: &[LayerInput], budget: NonZeroUsize) -> Vec<Group> {
    let mut kinds: BTreeMap<Stability, Vec<usize>> = BTreeMap::new();
    for (index, input) in inputs.iter().enumerate() {
        kinds.entry(input.stability).or_default().push(index);
    }
    let sizes: Vec<u32> = inputs.iter().map(|input| size_class(&input.tree)).collect();
    for members in kinds.values_mut() {
        members.sort_by(|&a, &b| sizes[b].cmp(&sizes[a]).then_with(|| inputs[a].name.cmp(&inputs[b].name)));
    }
    let groups = if inputs.len() <= budget.get() {
        kinds.into_values().flatten().map(|index| vec![index]).collect()
    } else {
        grouped(inputs, &kinds, budget.get())
    };
    let by_name = |mut members: Vec<usize>| {
        members.sort_by(|&a, &b| (inputs[a].stability, &inputs[a].name).cmp(&(inputs[b].stability, &inputs[b].name)));
        Group { members }
    };
    groups.into_iter().map(by_name).collect()
}

fn grouped(inputs: &[LayerInput], kinds: &BTreeMap<Stability, Vec<usize>>, budget: usize) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (place, (kind, members)) in kinds.iter().enumerate() {
        if place < budget {
            let spare = budget.saturating_sub(Stability::COUNT);
            let share = 1 + spare * (kind.share() - 1) / (Stability::SHARES - Stability::COUNT);
            groups.extend(share_out(inputs, members, share));
        } else if let Some(last) = groups.last_mut() {
            // Fewer layers than kinds: the upper kinds share the topmost layer.
            last.extend(members);
        }
    }
    groups
}

/// `members`, largest first, into at most `share` groups.
fn share_out(inputs: &[LayerInput], members: &[usize], share: usize) -> Vec<Vec<usize>> {
    if members.len() <= share {
        return members.iter().map(|&index| vec![index]).collect();
    }
    let alone = share / 2;
    let buckets = (share - alone) as u64;
    let mut groups: Vec<Vec<usize>> = members[..alone].iter().map(|&index| vec![index]).collect();
    let mut small: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for &index in &members[alone..] {
        small.entry(bucket(&inputs[index].name, buckets)).or_default().push(index);
    }
    groups.extend(small.into_values());
    groups
}

fn bucket(name: &str, buckets: u64) -> u64 {
    let digest = Digest::of(name.as_bytes());
    let mut head = [0; 8];
    head.copy_from_slice(&digest.as_bytes()[..8]);
    u64::from_be_bytes(head) % buckets
}

/// The power of two just below the size of all files.
fn size_class(tree: &Dir) -> u32 {
    content_size(tree).checked_ilog2().map_or(0, |class| class + 1)
}

/// The size of all files below `tree`.
pub(crate) fn content_size(tree: &Dir) -> u64 {
    tree.entries().fold(0, |sum, (_, entry)| match entry {
        Entry::Dir(dir) => content_size(dir).saturating_add(sum),
        Entry::File(file) => file.size.saturating_add(sum),
        Entry::Symlink(_) | Entry::Device(..) => sum,
    })
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
