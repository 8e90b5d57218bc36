//! The tree while it is being composed, together with its owners. Every change goes through here, so that the two can
//! never disagree.

use std::sync::Arc;

use kiln_model::{Dir, Entry, Meta, SymlinkEntry, TreePath};

use crate::owner::{OwnerId, Owners};

/// Why a path cannot be placed or filled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// The links on the way go round in a circle.
    #[error("`{0}` cannot be reached: its links lead round in a circle")]
    Circle(TreePath),
    /// Something on the way is not a directory.
    #[error("`{path}` cannot be made: `{blocker}` is a {kind}, not a directory")]
    Blocked {
        /// What was to be made.
        path: TreePath,
        /// What is in the way.
        blocker: TreePath,
        /// What it is.
        kind: &'static str,
    },
    /// A directory is there, which a file or link would take the place of with all it holds.
    #[error("`{0}` is a directory: it cannot be replaced")]
    Directory(TreePath),
    /// The root was named where an entry is wanted.
    #[error("`/` is the root of the image: it cannot be made or replaced")]
    Root,
}

impl PlaceError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Blocked { blocker, .. } => Some(format!(
                "nothing can lie below `{blocker}`: `kiln why {blocker}` says who brings it; name another path"
            )),
            Self::Directory(path) => Some(format!("name a path in `{path}`, or leave out what fills it")),
            Self::Circle(_) | Self::Root => None,
        }
    }
}

/// As many links as the kernel follows.
const LINK_LIMIT: usize = 40;

/// A tree and its owners.
#[derive(Debug, Default)]
pub(crate) struct Work {
    pub tree: Dir,
    pub owners: Owners,
}

impl Work {
    /// Where `path` really is: links of its parents followed, not the last component's own. What is missing stays as
    /// it is written.
    pub fn place(&self, path: &TreePath) -> Result<TreePath, PlaceError> {
        let mut todo: Vec<String> = path.components().rev().map(str::to_owned).collect();
        let mut at = TreePath::root();
        let mut here = Some(&self.tree);
        let mut links = 0;
        while let Some(part) = todo.pop() {
            if part == ".." {
                at = at.parent().unwrap_or_default();
                here = self.tree.dir(&at);
                continue;
            }
            let entry = here.and_then(|dir| dir.entry(&part));
            let next = at.join(&part).map_err(|_| PlaceError::Circle(path.clone()))?;
            match entry {
                _ if todo.is_empty() => return Ok(next),
                Some(Entry::Symlink(link)) => {
                    links += 1;
                    if links > LINK_LIMIT {
                        return Err(PlaceError::Circle(path.clone()));
                    }
                    if link.target.starts_with('/') {
                        at = TreePath::root();
                        here = Some(&self.tree);
                    }
                    todo.extend(link.target.split('/').rev().filter(|c| !matches!(*c, "" | ".")).map(str::to_owned));
                }
                Some(Entry::Dir(dir)) => {
                    at = next;
                    here = Some(dir);
                }
                Some(other) => {
                    return Err(PlaceError::Blocked { path: path.clone(), blocker: next, kind: other.kind() });
                }
                None => {
                    at = next;
                    here = None;
                }
            }
        }
        Ok(at)
    }

    /// The entry at `path`, links of its parents followed.
    pub fn find(&self, path: &TreePath) -> Option<(TreePath, &Entry)> {
        let place = self.place(path).ok()?;
        let entry = self.tree.get(&place)?;
        Some((place, entry))
    }

    /// Who brings `path`.
    pub fn owner(&self, path: &TreePath) -> Option<OwnerId> {
        self.owners.root.get(path)
    }

    /// Puts `entry` at `path`, which replaces what is there. Missing directories are made.
    pub fn put(&mut self, path: &TreePath, entry: Entry, owner: OwnerId) -> Result<TreePath, PlaceError> {
        let place = self.place(path)?;
        let Some(parent) = place.parent() else {
            return Err(PlaceError::Root);
        };
        self.make_dir(&parent, owner)?;
        self.tree.insert(&place, entry).map_err(|_| PlaceError::Root)?;
        self.owners.root.set(&place, owner);
        Ok(place)
    }

    /// Takes away what is at `place`; the directory that held it stays.
    pub fn remove(&mut self, place: &TreePath) -> Option<Entry> {
        self.tree.remove(place)
    }

    /// Makes sure there is a directory at `path`; new ones belong to root with mode 0755. Was it made?
    pub fn make_dir(&mut self, path: &TreePath, owner: OwnerId) -> Result<bool, PlaceError> {
        let mut missing = None;
        let mut at = TreePath::root();
        for part in path.components() {
            at = at.join(part).map_err(|_| PlaceError::Root)?;
            match self.tree.get(&at) {
                Some(Entry::Dir(_)) => {}
                Some(other) => {
                    return Err(PlaceError::Blocked { path: path.clone(), blocker: at, kind: other.kind() });
                }
                None => {
                    missing = Some(at);
                    break;
                }
            }
        }
        let Some(first) = missing else {
            self.owners.root.share(path, owner);
            return Ok(false);
        };
        self.tree.dir_mut(path).map_err(|_| PlaceError::Root)?;
        self.owners.root.set(&first, owner);
        Ok(true)
    }

    /// Puts a link of root's.
    pub fn put_link(&mut self, path: &TreePath, target: &str, owner: OwnerId) -> Result<(), PlaceError> {
        self.put(path, Entry::Symlink(SymlinkEntry::plain(target)), owner).map(drop)
    }

    /// Changes owner, mode and attributes of what is at `place`, which must be there.
    pub fn set_meta(&mut self, place: &TreePath, meta: Meta) {
        if place.is_root() {
            self.tree.set_meta(meta);
            return;
        }
        let (Some(parent), Some(name)) = (place.parent(), place.file_name()) else {
            return;
        };
        let Some(mut entry) = self.tree.get(place).cloned() else {
            return;
        };
        match &mut entry {
            Entry::Dir(dir) => Arc::make_mut(dir).set_meta(meta),
            Entry::File(file) => file.meta = meta,
            Entry::Symlink(link) => link.meta = Meta { mode: 0o777, ..meta },
            Entry::Device(_, old) => *old = meta,
        }
        if let Ok(dir) = self.tree.dir_mut(&parent) {
            // The name came out of a path, where it was checked.
            let _ = dir.set_entry(name, entry);
        }
    }
}
