//! Unpacking an archive that is in the store.

use kiln_archive::extract::{Links, Options, Strip};
use kiln_archive::{Limits, open_file};
use kiln_model::{ActionKey, KeyBuilder};
use kiln_store::ActionResult;

use super::{FILE, TREE, tree_result};
use crate::graph::{Action, ActionError, Context, Inputs, NodeId};

/// Unpacks a file that a [`super::FetchAction`] brought. The result has the tree [`TREE`].
pub struct UnpackAction {
    /// What it is, for messages: the file's name.
    pub name: String,
    /// The node that brought it.
    pub file: NodeId,
    /// How many top folders to leave out; none leaves out the one that holds everything, if there is one.
    pub strip: Option<u32>,
    /// Where its symbolic links may lead.
    pub links: Links,
    /// How much it may hold.
    pub limits: Limits,
}

impl Action for UnpackAction {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn verb(&self) -> &'static str {
        "Unpacking"
    }

    fn dependencies(&self) -> Vec<NodeId> {
        vec![self.file]
    }

    fn key(&self, inputs: &Inputs) -> Result<ActionKey, ActionError> {
        let (object, _) = inputs.object(self.file, FILE)?;
        // The limits are not in it: they can only make it fail.
        let strip = self.strip.map_or_else(|| "single".to_owned(), |count| count.to_string());
        Ok(KeyBuilder::new("source.unpack/1")
            .field("file", object.0.as_bytes())
            .field("strip", strip)
            .field("links", format!("{:?}", self.links))
            .finish())
    }

    fn run(&self, context: &Context<'_>, inputs: &Inputs) -> Result<ActionResult, ActionError> {
        let (object, size) = inputs.object(self.file, FILE)?;
        let file = context.session.object_file(&object, size).map_err(ActionError::new)?;
        let strip = self.strip.map_or(Strip::SingleFolder, |count| Strip::Folders(count as usize));
        let options = Options { limits: self.limits.clone(), strip, links: self.links };
        let mut archive = open_file(file, &self.limits).map_err(|error| {
            let hint = error.hint();
            ActionError::new(error).with_hint(hint)
        })?;
        let tree = kiln_archive::tree::read(&mut *archive, context.session, &options).map_err(|error| {
            let hint = error.hint();
            ActionError::new(error).with_hint(hint)
        })?;
        debug_assert!(tree.is_plain(), "`{TREE}` of a source is plain");
        tree_result(context.session, &tree)
    }
}
