//! Sources: everything a recipe is built from, as stored trees.
//!
//! Each source is an action whose result has one tree, [`TREE`], so it is brought and unpacked once, whatever is built
//! from it. The keys hold what pins a source (its sha256, its commit, its content) and not where it comes from: a
//! mirror is transport.
//!
//! | source | actions |
//! |---|---|
//! | archive | [`FetchAction`] brings the file into the store, [`UnpackAction`] makes the tree |
//! | Git commit | [`GitAction`] |
//! | a distribution's source package | a [`FetchAction`] a file, [`ForeignAction`] with that distribution's [`Unpacker`] |
//! | folder of the project | [`FolderAction`] |

mod archive;
mod fetch;
mod folder;
mod foreign;
mod git;

pub use archive::UnpackAction;
pub use fetch::{FILE, FetchAction, Pinned};
pub use folder::{FolderAction, FolderError};
pub use foreign::{ForeignAction, SourceFile, Unpacker};
pub use git::{
    Git, GitAction, GitError, GitLocation, missing as missing_commits, resolve_rev, vendor as vendor_commit,
};

/// The name of a source's tree in its result.
pub const TREE: &str = "tree";

use std::sync::Arc;

use kiln_model::Dir;
use kiln_store::{ActionResult, Session};

use crate::graph::ActionError;

/// Says where something is pinned: `kiln.lock:120`. It takes a search to know, so it is asked for only when it is told.
pub type PlaceOfPin = Arc<dyn Fn() -> String + Send + Sync>;

/// Stores a tree and makes it the result.
fn tree_result(session: &Session, tree: &Dir) -> Result<ActionResult, ActionError> {
    let id = session.put_tree(tree).map_err(|error| {
        let hint = error.hint();
        ActionError::new(error).with_hint(hint)
    })?;
    Ok(ActionResult { trees: [(TREE.to_owned(), id)].into(), ..ActionResult::default() })
}
