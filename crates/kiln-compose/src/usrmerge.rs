//! Merged `/usr`: `/bin`, `/sbin` and `/lib*` are links into `/usr`, and what anyone ships below them goes there.
//!
//! Each of the names is merged when any package ships it as a link or ships its counterpart below `/usr`. So the links
//! are there in an image without `base-files` too, where the loader's path `/lib64/ld-linux-x86-64.so.2` needs them.

use std::collections::BTreeSet;
use std::sync::Arc;

use kiln_model::{Dir, Entry, TreePath};

use crate::owner::OwnerId;
use crate::work::{PlaceError, Work};

/// The name that owns the links.
pub(crate) const NAME: &str = "usr-merge";

const NAMES: [&str; 6] = ["bin", "lib", "lib32", "lib64", "libx32", "sbin"];

/// Which top-level names are merged.
pub(crate) struct Merged(BTreeSet<&'static str>);

impl Merged {
    /// Of a set of package trees.
    pub fn of<'a>(trees: impl Iterator<Item = &'a Dir>) -> Self {
        let mut merged = BTreeSet::new();
        for tree in trees {
            let usr = if let Some(Entry::Dir(usr)) = tree.entry("usr") { Some(usr) } else { None };
            for name in NAMES {
                let linked = matches!(tree.entry(name), Some(Entry::Symlink(_)));
                if linked || usr.is_some_and(|usr| matches!(usr.entry(name), Some(Entry::Dir(_)))) {
                    merged.insert(name);
                }
            }
        }
        Self(merged)
    }

    /// `tree` with what it ships below merged names moved below `usr`. Where both are there, the two trees stay two
    /// claims: `usr` gets what does not clash, the rest stays and is found out by the union.
    pub fn relocate(&self, tree: &Arc<Dir>) -> Arc<Dir> {
        let misplaced: Vec<&str> =
            self.0.iter().copied().filter(|name| matches!(tree.entry(name), Some(Entry::Dir(_)))).collect();
        if misplaced.is_empty() {
            return Arc::clone(tree);
        }
        let mut moved = Dir::clone(tree);
        for name in misplaced {
            let Some(Entry::Dir(from)) = moved.remove_entry(name) else {
                continue;
            };
            let target: TreePath = format!("usr/{name}").parse().unwrap_or_default();
            let rest = merge_into(&mut moved, &target, &from);
            if let Some(rest) = rest {
                // The name came out of this directory.
                let _ = moved.set_entry(name, Entry::Dir(Arc::new(rest)));
            }
        }
        Arc::new(moved)
    }

    /// Where `path` is once names are merged.
    pub fn path(&self, path: &TreePath) -> TreePath {
        match path.components().next() {
            Some(first) if self.0.contains(first) => {
                format!("usr/{}", path.as_str()).parse().unwrap_or_else(|_| path.clone())
            }
            _ => path.clone(),
        }
    }

    /// Makes the links that no package ships.
    pub fn link(&self, work: &mut Work, owner: OwnerId) -> Result<(), PlaceError> {
        for name in &self.0 {
            let path: TreePath = name.parse().unwrap_or_default();
            if work.tree.entry(name).is_none() {
                work.put_link(&path, &format!("usr/{name}"), owner)?;
            }
        }
        Ok(())
    }
}

/// Moves what `from` holds to `to`; gives back what is there already with other content.
fn merge_into(root: &mut Dir, to: &TreePath, from: &Dir) -> Option<Dir> {
    let mut rest = Dir::new(from.meta().clone());
    for (name, entry) in from.entries() {
        let Ok(path) = to.join(name) else {
            continue;
        };
        let left = match (root.get(&path).cloned(), entry) {
            (None, _) => root.insert(&path, entry.clone()).err().map(|_| entry.clone()),
            (Some(Entry::Dir(_)), Entry::Dir(below)) => {
                merge_into(root, &path, below).map(|rest| Entry::Dir(Arc::new(rest)))
            }
            (Some(there), _) => (there != *entry).then(|| entry.clone()),
        };
        if let Some(left) = left {
            // The name came out of a directory.
            let _ = rest.set_entry(name, left);
        }
    }
    if from.is_empty() {
        // An empty directory is still one to be made.
        let _ = root.dir_mut(to);
    }
    (!rest.is_empty()).then_some(rest)
}
