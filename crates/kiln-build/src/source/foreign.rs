//! Source packages of distributions, whose formats other crates know.

use std::path::Path;
use std::sync::Arc;

use kiln_model::{ActionKey, KeyBuilder, ObjectId};
use kiln_store::{ActionResult, Session};

use super::{FILE, tree_result};
use crate::disk::{Whose, ingest};
use crate::graph::{Action, ActionError, Context, Inputs, NodeId};
use crate::work::Workplace;

/// A file of a source package, verified and in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Its name, by which the package's description refers to it.
    pub name: String,
    /// Its content.
    pub object: ObjectId,
    /// Its length.
    pub size: u64,
}

/// Knows how to unpack the source packages of one distribution.
pub trait Unpacker: Send + Sync {
    /// Names the format, the version of this code, and every choice that changes what comes out. Enters the key.
    fn identity(&self) -> String;

    /// Unpacks `files`, whose contents are in `session`, into `destination`, which is not there yet.
    ///
    /// # Errors
    /// When the files are not a source package of this kind.
    fn unpack(&self, files: &[SourceFile], session: &Session, destination: &Path) -> Result<(), ActionError>;
}

/// Unpacks a source package that fetch nodes brought. The result has the tree [`super::TREE`].
pub struct ForeignAction {
    /// What it is, for messages: `nginx 1.26.3-3`.
    pub name: String,
    /// Its files by name, and the nodes that brought them.
    pub files: Vec<(String, NodeId)>,
    /// How to unpack it.
    pub unpacker: Arc<dyn Unpacker>,
    /// Where it is unpacked first.
    pub work: Workplace,
}

impl ForeignAction {
    fn source_files(&self, inputs: &Inputs) -> Result<Vec<SourceFile>, ActionError> {
        let file = |(name, node): &(String, NodeId)| {
            let (object, size) = inputs.object(*node, FILE)?;
            Ok(SourceFile { name: name.clone(), object, size })
        };
        let mut files = self.files.iter().map(file).collect::<Result<Vec<_>, ActionError>>()?;
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }
}

impl Action for ForeignAction {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn verb(&self) -> &'static str {
        "Unpacking"
    }

    fn dependencies(&self) -> Vec<NodeId> {
        self.files.iter().map(|(_, node)| *node).collect()
    }

    fn key(&self, inputs: &Inputs) -> Result<ActionKey, ActionError> {
        let files = self.source_files(inputs)?;
        let mut key = KeyBuilder::new("source.package/1").field("unpacker", self.unpacker.identity());
        key = key.list("names", files.iter().map(|file| &file.name));
        key = key.list("files", files.iter().map(|file| file.object.0.as_bytes()));
        Ok(key.finish())
    }

    fn run(&self, context: &Context<'_>, inputs: &Inputs) -> Result<ActionResult, ActionError> {
        let scratch = self.work.scratch()?;
        let folder = scratch.path().join("source");
        self.unpacker.unpack(&self.source_files(inputs)?, context.session, &folder)?;
        let ingested = ingest(&folder, context.session, context.jobs, Whose::Kiln(&[]))?;
        tree_result(context.session, &ingested.tree)
    }
}
