//! What is kept of a composition: [`Composed`], in a result of [`super::ComposeAction`].

use kiln_build::graph::ActionError;
use kiln_compose::{AccountIds, LayerName};
use kiln_model::{ObjectId, ObjectSource, PackageRef, TreeId};
use kiln_store::{ActionResult, Session};
use serde::{Deserialize, Serialize};

/// The object that describes a composition.
pub const COMPOSED: &str = "composed";

/// One layer's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerTree {
    /// What it comes from.
    pub name: LayerName,
    /// Its files.
    pub tree: TreeId,
    /// What an image's history says about it.
    pub comment: String,
}

/// A package of a composition, for lists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComposedPackage {
    /// Which.
    pub package: PackageRef,
    /// Its version.
    pub version: String,
    /// The digest of its record, which names everything it is.
    pub record: ObjectId,
    /// The digest of its files.
    pub tree: TreeId,
}

/// Something the user should know of a composition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// What.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// What is kept of a composition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// Everything.
    pub tree: TreeId,
    /// The same, taken apart; what changes least first. None of a build environment.
    pub layers: Vec<LayerTree>,
    /// The packages, by name.
    pub packages: Vec<ComposedPackage>,
    /// Numbers that nothing declares.
    pub allotted: AccountIds,
    /// What the user should know.
    pub notes: Vec<Note>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    tree: TreeId,
    layers: Vec<(String, TreeId, String)>,
    packages: Vec<ComposedPackage>,
    allotted: AccountIds,
    notes: Vec<Note>,
}

fn layer_name(text: &str) -> Option<LayerName> {
    Some(match text {
        "@finalizers" => LayerName::Finalizers,
        "@overlays" => LayerName::Overlays,
        "@files" => LayerName::Files,
        "@label" => LayerName::Label,
        package => LayerName::Package(package.parse().ok()?),
    })
}

fn layer_text(name: &LayerName) -> String {
    match name {
        LayerName::Package(package) => package.to_string(),
        other => format!("@{other}"),
    }
}

impl Composed {
    /// Reads the description in a result of [`super::ComposeAction`].
    ///
    /// # Errors
    /// When it is missing or damaged.
    pub fn read(session: &Session, result: &ActionResult) -> Result<Self, ActionError> {
        let (object, _) =
            result.objects.get(COMPOSED).ok_or_else(|| ActionError::message("a composition has no description"))?;
        let wire: Wire = read_json(session, object)?;
        let layer = |(name, tree, comment): (String, TreeId, String)| {
            let name = layer_name(&name).ok_or_else(|| ActionError::message(format!("`{name}` is no layer")))?;
            Ok(LayerTree { name, tree, comment })
        };
        Ok(Self {
            tree: wire.tree,
            layers: wire.layers.into_iter().map(layer).collect::<Result<_, ActionError>>()?,
            packages: wire.packages,
            allotted: wire.allotted,
            notes: wire.notes,
        })
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, ActionError> {
        let layers =
            self.layers.iter().map(|layer| (layer_text(&layer.name), layer.tree, layer.comment.clone())).collect();
        canonical(&Wire {
            tree: self.tree,
            layers,
            packages: self.packages.clone(),
            allotted: self.allotted.clone(),
            notes: self.notes.clone(),
        })
    }
}

/// Canonical JSON of something that has text keys only.
pub(super) fn canonical(value: &impl Serialize) -> Result<Vec<u8>, ActionError> {
    serde_json::to_vec(value).map_err(ActionError::new)
}

/// Reads an object that holds JSON.
pub(super) fn read_json<T: serde::de::DeserializeOwned>(
    session: &Session,
    object: &ObjectId,
) -> Result<T, ActionError> {
    let bytes = session.read(object).map_err(ActionError::new)?;
    serde_json::from_slice(&bytes).map_err(ActionError::new)
}
