//! Trees on disk: one file a tree, holding all its directories as a Remote Execution API `Tree` message, the root first,
//! each directory once. Every directory is hashed when a tree is loaded, so what loads is the tree that was named.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use kiln_model::tree::{DecodeError, decode, directories};
use kiln_model::{Dir, TreeId};

use crate::files::{FileError, Files};
use crate::{Store, layout};

/// No tree is longer: a million files take 150 MB.
const LIMIT: u64 = 1 << 30;
/// How many loaded trees are kept in memory.
const CACHED: usize = 64;

/// Why a tree cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// It is not there.
    #[error("tree {0} is missing")]
    Missing(TreeId),
    /// It is there, but its bytes are not those it is named by.
    #[error("tree {id} is damaged")]
    Damaged {
        /// The tree.
        id: TreeId,
        /// What is wrong with it.
        #[source]
        source: DecodeError,
    },
    /// A call failed.
    #[error(transparent)]
    File(#[from] FileError),
}

impl TreeError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing(_) | Self::Damaged { .. } => Some(
                "run `kiln fsck --repair`: it drops every result that needs this tree, so that it is made again"
                    .to_owned(),
            ),
            Self::File(error) => error.hint(),
        }
    }
}

fn varint(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The file of a tree, and the names of all its directories.
pub(crate) fn to_bytes(dir: &Dir) -> (Vec<TreeId>, Vec<u8>) {
    let directories = directories(dir);
    let mut out = Vec::with_capacity(directories.iter().map(|(_, bytes)| bytes.len() + 6).sum());
    let mut ids = Vec::with_capacity(directories.len());
    for (index, (id, bytes)) in directories.into_iter().enumerate() {
        out.push(if index == 0 { 0x0a } else { 0x12 });
        varint(bytes.len(), &mut out);
        out.extend_from_slice(&bytes);
        ids.push(id);
    }
    (ids, out)
}

/// Reads a tree's file.
pub(crate) fn from_bytes(id: TreeId, mut bytes: &[u8]) -> Result<Arc<Dir>, DecodeError> {
    const ENDS: DecodeError = DecodeError::Wire("it ends inside a directory");
    let mut messages = Vec::new();
    while let Some((&tag, rest)) = bytes.split_first() {
        if tag != if messages.is_empty() { 0x0a } else { 0x12 } {
            return Err(DecodeError::Wire("not a tree message"));
        }
        bytes = rest;
        let (mut length, mut shift) = (0usize, 0);
        loop {
            let (&byte, rest) = bytes.split_first().ok_or(ENDS)?;
            bytes = rest;
            if shift > 28 {
                return Err(DecodeError::Wire("a number is too long"));
            }
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let (message, rest) = bytes.split_at_checked(length).ok_or(ENDS)?;
        messages.push(message);
        bytes = rest;
    }
    decode(id, messages)
}

/// Loads the tree at `at`.
pub(crate) fn load(files: &Files, at: &str, id: TreeId) -> Result<Arc<Dir>, TreeError> {
    let bytes = files.read(at, LIMIT).map_err(|error| match error {
        error if error.is_missing() => TreeError::Missing(id),
        error => TreeError::File(error),
    })?;
    from_bytes(id, &bytes).map_err(|source| TreeError::Damaged { id, source })
}

/// The trees used last. Trees never change, so nothing has to be dropped but for room.
#[derive(Debug, Default)]
pub(crate) struct TreeCache {
    trees: BTreeMap<TreeId, (u64, Arc<Dir>)>,
    clock: u64,
}

impl TreeCache {
    pub(crate) fn get(&mut self, id: TreeId) -> Option<Arc<Dir>> {
        self.clock += 1;
        let (used, tree) = self.trees.get_mut(&id)?;
        *used = self.clock;
        Some(Arc::clone(tree))
    }

    pub(crate) fn insert(&mut self, id: TreeId, tree: Arc<Dir>) {
        self.clock += 1;
        if self.trees.len() >= CACHED
            && let Some(oldest) = self.trees.iter().min_by_key(|(_, (used, _))| *used).map(|(id, _)| *id)
        {
            self.trees.remove(&oldest);
        }
        self.trees.insert(id, (self.clock, tree));
    }
}

impl Store {
    /// Loads a tree and verifies it.
    ///
    /// # Errors
    /// When it is missing, damaged, or cannot be read.
    pub fn tree(&self, id: TreeId) -> Result<Arc<Dir>, TreeError> {
        self.tree_at(id, &layout::tree(&id))
    }

    pub(crate) fn tree_at(&self, id: TreeId, at: &str) -> Result<Arc<Dir>, TreeError> {
        if let Some(tree) = self.cache().lock().unwrap_or_else(PoisonError::into_inner).get(id) {
            return Ok(tree);
        }
        let tree = load(self.files(), at, id)?;
        self.cache().lock().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::clone(&tree));
        Ok(tree)
    }
}

#[cfg(test)]
mod tests {
    use kiln_model::{Entry, FileEntry, ObjectId};
    use proptest::prelude::*;

    use super::*;

    fn sample(names: &[String]) -> Dir {
        let mut dir = Dir::default();
        for name in names {
            let file = FileEntry::plain(ObjectId::of(name.as_bytes()), name.len() as u64, false);
            let _ = dir.insert(&name.parse().unwrap(), Entry::File(file));
        }
        dir
    }

    #[test]
    fn an_empty_tree_is_an_empty_root() {
        let (ids, bytes) = to_bytes(&Dir::default());
        assert_eq!((ids.len(), bytes.as_slice()), (1, [0x0a, 0].as_slice()));
        assert!(from_bytes(ids[0], &bytes).unwrap().is_empty());
        assert!(from_bytes(ids[0], &[]).is_err());
    }

    #[test]
    fn the_cache_drops_what_was_used_longest_ago() {
        let mut cache = TreeCache::default();
        let ids: Vec<TreeId> = (0..=CACHED as u64).map(|i| TreeId(kiln_model::Digest::of(&i.to_le_bytes()))).collect();
        for id in &ids[..CACHED] {
            cache.insert(*id, Arc::default());
        }
        assert!(cache.get(ids[0]).is_some());
        cache.insert(ids[CACHED], Arc::default());
        assert!(cache.get(ids[0]).is_some() && cache.get(ids[1]).is_none());
        assert_eq!(cache.trees.len(), CACHED);
    }

    proptest! {
        #[test]
        fn any_tree_round_trips_and_any_flipped_bit_shows(
            names in proptest::collection::vec("[a-d](/[a-d]{1,2}){0,3}", 1..12), at in any::<usize>(), bit in 0u8..8,
        ) {
            let dir = sample(&names);
            let (ids, mut bytes) = to_bytes(&dir);
            prop_assert_eq!(&*from_bytes(ids[0], &bytes).unwrap(), &dir);
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            prop_assert!(from_bytes(ids[0], &bytes).is_err());
            prop_assert!(from_bytes(ids[0], &bytes[..at]).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let id = TreeId(kiln_model::Digest::of(&bytes));
            prop_assert!(from_bytes(id, &bytes).is_err() || bytes.len() < 3);
        }
    }
}
