//! Importing one package of a distribution.

use std::collections::BTreeSet;
use std::sync::Arc;

use kiln_archive::Limits;
use kiln_build::graph::{Action, ActionError, Context, Inputs, NodeId};
use kiln_build::package::put_package;
use kiln_build::source::FILE;
use kiln_import::archive::{ImportError, Imported, PackageFile, format_of};
use kiln_model::{ActionKey, Architecture, ArchiveKind, KeyBuilder, OriginName, PackageName, PackageRecord};
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
    /// The nodes that brought the further files that it consists of.
    pub parts: Vec<NodeId>,
    /// The length of all of them.
    pub size: u64,
    /// The name, version and architecture that the lock gives it.
    pub package: (PackageName, String, Option<Architecture>),
    /// Where the lock does so, for a field of the entry.
    pub place: Arc<dyn Fn(&str) -> String + Send + Sync>,
}

/// A package is another one than the lock says.
#[derive(Debug, thiserror::Error)]
#[error("the {field} of this package is `{is}`, and `{place}` says `{said}`")]
struct AnotherPackage {
    field: &'static str,
    is: String,
    said: String,
    place: String,
}

impl ImportAction {
    fn check(&self, record: &PackageRecord) -> Result<(), ActionError> {
        let shown = |architecture: Option<Architecture>| architecture.map_or("all", Architecture::as_str).to_owned();
        let (name, version, architecture) = &self.package;
        let fields = [
            ("name", record.name.to_string(), name.to_string()),
            ("version", record.version.clone(), version.clone()),
            ("architecture", shown(record.architecture), shown(*architecture)),
        ];
        // A repository of Alpine's or RPM's has its own file even of what runs on every architecture.
        let of_repository = matches!(self.kind, ArchiveKind::Apk | ArchiveKind::Rpm);
        let own = |field: &str| field == "architecture" && of_repository && record.architecture.is_none();
        let differs = fields.into_iter().find(|(field, is, said)| is != said && !own(field));
        let Some((field, is, said)) = differs else { return Ok(()) };
        let place = (self.place)(field);
        let hint = "if the lock was edited or merged by hand, `kiln lock` puts it right".to_owned();
        Err(ActionError::new(AnotherPackage { field, is, said, place }).with_hint(Some(hint)))
    }
}

impl Action for ImportAction {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn verb(&self) -> &'static str {
        "Importing"
    }

    fn dependencies(&self) -> Vec<NodeId> {
        std::iter::once(self.file).chain(self.parts.iter().copied()).collect()
    }

    fn weight(&self) -> u64 {
        self.size
    }

    fn key(&self, inputs: &Inputs) -> Result<ActionKey, ActionError> {
        let (object, _) = inputs.object(self.file, FILE)?;
        let format = format_of(self.kind);
        let mut key =
            KeyBuilder::new(format.importer()).field("file", object.0.as_bytes()).field("origin", self.origin.as_str());
        // A file that names its further files by their digests says all that they could.
        if format.is_named_by_the_lock() {
            let (name, version, _) = &self.package;
            key = key.field("name", name.as_str()).field("version", version.as_str());
        }
        Ok(key.finish())
    }

    fn run(&self, context: &Context<'_>, inputs: &Inputs) -> Result<ActionResult, ActionError> {
        let session = context.session;
        let (object, size) = inputs.object(self.file, FILE)?;
        let file = session.object_file(&object, size).map_err(ActionError::new)?;
        let mut parts = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let (object, size) = inputs.object(*part, FILE)?;
            parts.push((object.0, session.object_file(&object, size).map_err(ActionError::new)?));
        }
        let (name, version, _) = &self.package;
        let file = PackageFile { name, version, file, parts };
        let imported = format_of(self.kind).import(file, self.origin.clone(), session, &Limits::default());
        let Imported { record, tree } = imported.map_err(hinted(ImportError::hint))?;
        self.check(&record)?;
        let analysis = kiln_compose::closure::analyse(&tree, session).map_err(ActionError::new)?;
        let mut result = ActionResult::default();
        for hook in &record.hooks {
            result.objects.insert(format!("hook.{}", hook.name), (hook.object, hook.size));
        }
        put_package(session, &mut result, None, &record, &tree, &BTreeSet::new())?;
        put_json(context, &mut result, ANALYSIS, super::composed::canonical(&analysis)?)?;
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
