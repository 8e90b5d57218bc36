//! Importing one package of a distribution.

use std::collections::BTreeSet;

use kiln_archive::Limits;
use kiln_build::graph::{Action, ActionError, Context, Inputs, NodeId};
use kiln_build::package::put_package;
use kiln_build::source::FILE;
use kiln_import::archive::{ImportError, Imported, format_of};
use kiln_model::{ActionKey, ArchiveKind, KeyBuilder, OriginName};
use kiln_store::ActionResult;

use super::hinted;

/// The object with what is known of the package's programs and libraries.
pub const ANALYSIS: &str = "analysis";

/// Turns a package's file that a fetch node brought into a package. The result has a package's record and tree,
/// [`ANALYSIS`] and the package's hooks.
pub struct ImportAction {
    /// What it is, for messages: `libc6 2.41-12`.
    pub name: String,
    /// What the file is.
    pub kind: ArchiveKind,
    /// The origin's name, which is part of the package's record.
    pub origin: OriginName,
    /// The node that brought the file.
    pub file: NodeId,
    /// Its length.
    pub size: u64,
}

impl Action for ImportAction {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn kind(&self) -> &'static str {
        "import.deb"
    }

    fn verb(&self) -> &'static str {
        "Importing"
    }

    fn dependencies(&self) -> Vec<NodeId> {
        vec![self.file]
    }

    fn weight(&self) -> u64 {
        self.size
    }

    fn key(&self, inputs: &Inputs) -> Result<ActionKey, ActionError> {
        let (object, _) = inputs.object(self.file, FILE)?;
        Ok(KeyBuilder::new(format_of(self.kind).importer())
            .field("file", object.0.as_bytes())
            .field("origin", self.origin.as_str())
            .finish())
    }

    fn run(&self, context: &Context<'_>, inputs: &Inputs) -> Result<ActionResult, ActionError> {
        let session = context.session;
        let (object, size) = inputs.object(self.file, FILE)?;
        let file = session.object_file(&object, size).map_err(ActionError::new)?;
        let imported = format_of(self.kind).import(file, self.origin.clone(), session, &Limits::default());
        let Imported { record, tree } = imported.map_err(hinted(ImportError::hint))?;
        let analysis = kiln_compose::closure::analyse(&tree, session).map_err(ActionError::new)?;
        let mut result = ActionResult::default();
        for hook in &record.hooks {
            result.objects.insert(format!("hook.{}", hook.name), (hook.object, hook.size));
        }
        put_package(session, &mut result, None, &record, &tree, &BTreeSet::new())?;
        put_json(context, &mut result, ANALYSIS, super::compose::canonical(&analysis)?)?;
        Ok(result)
    }
}

/// Stores bytes as an object of a result.
pub(super) fn put_json(
    context: &Context<'_>,
    result: &mut ActionResult,
    name: &str,
    bytes: Vec<u8>,
) -> Result<(), ActionError> {
    let object = kiln_model::ObjectSink::put(context.session, &bytes).map_err(ActionError::new)?;
    result.objects.insert(name.to_owned(), (object, bytes.len() as u64));
    Ok(())
}
