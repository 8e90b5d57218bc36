//! The sources of a recipe as one patched tree.

use std::sync::Arc;

use kiln_model::{Dir, Entry, TreePath};
use kiln_store::Session;

use super::{BuildAction, BuildError};
use crate::graph::{ActionError, Inputs};
use crate::patch::{TreeFiles, apply};
use crate::source;

/// Puts the sources together in their order and applies the patches in theirs.
pub(super) fn prepare(build: &BuildAction, session: &Session, inputs: &Inputs) -> Result<Dir, ActionError> {
    let mut whole = Dir::default();
    let mut owners: Vec<(&str, TreePath, Arc<Dir>)> = Vec::new();
    for one in &build.sources {
        let tree = session.tree(inputs.tree(one.node, source::TREE)?).map_err(BuildError::Tree)?;
        let into = one.into.clone().unwrap_or_default();
        let folder = whole.dir_mut(&into).map_err(|source| BuildError::Into { name: one.name.clone(), source })?;
        if let Err(path) = merge(folder, &tree, &into) {
            let first = owners.iter().find(|(_, at, tree)| holds(tree, at, &path));
            let first = first.map_or_else(String::new, |(name, ..)| (*name).to_owned());
            return Err(BuildError::Sources { path, first, second: one.name.clone() }.into());
        }
        owners.push((&one.name, into, tree));
    }
    let mut files = TreeFiles::new(whole, session, session);
    for patch in &build.patches {
        apply(&patch.name, &patch.bytes, &mut files).map_err(BuildError::Patch)?;
    }
    Ok(files.into_tree())
}

/// Adds all of `from`. The first path at which something else is, if there is one.
fn merge(to: &mut Dir, from: &Dir, at: &TreePath) -> Result<(), TreePath> {
    for (name, entry) in from.entries() {
        // A source's paths fit within a tree, if perhaps not below a deep `into`.
        let path = at.join(name).map_err(|_| at.clone())?;
        match (to.entry(name), entry) {
            (Some(Entry::Dir(_)), Entry::Dir(below)) => {
                let one = name.parse().map_err(|_| path.clone())?;
                let folder = to.dir_mut(&one).map_err(|_| path.clone())?;
                merge(folder, below, &path)?;
            }
            (Some(there), new) if there == new => {}
            (Some(_), _) => return Err(path),
            (None, new) => drop(to.set_entry(name, new.clone()).map_err(|_| path)?),
        }
    }
    Ok(())
}

fn holds(tree: &Dir, at: &TreePath, path: &TreePath) -> bool {
    let below = path.components().skip(at.components().count()).collect::<Vec<_>>().join("/");
    path.starts_with(at) && below.parse().is_ok_and(|below: TreePath| tree.get(&below).is_some())
}
