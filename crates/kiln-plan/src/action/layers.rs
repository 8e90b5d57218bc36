//! The layers of an image: planned together, written one by one, each kept by what is in it.

use std::num::NonZeroUsize;

use kiln_build::graph::{Action, ActionError, Context, Inputs, NodeId};
use kiln_compose::LayerName;
use kiln_image::plan::Stability;
use kiln_image::{LayerCompression, LayerInfo, LayerInput, WrittenLayer, layer, plan_layers};
use kiln_model::{ActionKey, KeyBuilder, PackageRef};
use kiln_store::{ActionResult, Session};

use super::composed::Composed;
use super::hinted;
use crate::parallel;

/// The object that lists the layers, bottom first.
pub const LAYERS: &str = "layers";
const BLOB: &str = "blob";
const INFO: &str = "info";

/// Writes the layers of a composed image. The result has [`LAYERS`], a list, and the blobs.
pub struct LayersAction {
    /// The image's name, for messages.
    pub name: String,
    /// The node of the composed image.
    pub image: NodeId,
    /// How the blobs are compressed.
    pub compression: LayerCompression,
    /// How many layers there may be.
    pub budget: NonZeroUsize,
}

impl Action for LayersAction {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn verb(&self) -> &'static str {
        "Layering"
    }

    fn dependencies(&self) -> Vec<NodeId> {
        vec![self.image]
    }

    fn key(&self, inputs: &Inputs) -> Result<ActionKey, ActionError> {
        let (composed, _) = inputs.object(self.image, super::composed::COMPOSED)?;
        Ok(KeyBuilder::new("image.layers/1")
            .field("composed", composed.0.as_bytes())
            .field("layer", layer::KIND)
            .field("compression", self.compression.as_str())
            .field("budget", self.budget.to_string())
            .finish())
    }

    fn run(&self, context: &Context<'_>, inputs: &Inputs) -> Result<ActionResult, ActionError> {
        let composed = Composed::read(context.session, inputs.get(self.image))?;
        let parts = composed
            .layers
            .iter()
            .map(|part| {
                let tree = context.session.tree(part.tree).map_err(hinted(kiln_store::TreeError::hint))?;
                let name = part.name.to_string();
                Ok(LayerInput { name, stability: stability(&part.name), tree, comment: part.comment.clone() })
            })
            .collect::<Result<Vec<LayerInput>, ActionError>>()?;
        let plan = plan_layers(&parts, self.budget);
        // The largest first, so that none is left for the end when only one thread has work.
        let mut order: Vec<usize> = (0..plan.len()).collect();
        order.sort_by_key(|&index| std::cmp::Reverse(plan[index].size(&parts)));
        let mut written = parallel::map(context.jobs, &order, |&index| {
            if context.cancel.is_cancelled() {
                return Err(ActionError::message("stopped"));
            }
            let group = &plan[index];
            let tree = group.tree(&parts).map_err(ActionError::new)?;
            let info = write(context, self.compression, &tree)?;
            Ok((index, WrittenLayer { info, comment: group.comment(&parts) }))
        })?;
        written.sort_by_key(|(index, _)| *index);
        let mut layers = Vec::with_capacity(plan.len());
        let mut result = ActionResult::default();
        for (index, layer) in written {
            let blob = kiln_model::ObjectId(layer.info.digest);
            result.objects.insert(format!("{BLOB}.{index:04}"), (blob, layer.info.size));
            layers.push(layer);
        }
        let layers: Vec<(LayerInfo, String)> = layers.into_iter().map(|layer| (layer.info, layer.comment)).collect();
        super::import::put_json(context, &mut result, LAYERS, super::composed::canonical(&layers)?)?;
        Ok(result)
    }
}

/// The layers in a result of [`LayersAction`], bottom first.
///
/// # Errors
/// When the list is missing or damaged.
pub fn read_layers(session: &Session, result: &ActionResult) -> Result<Vec<WrittenLayer>, ActionError> {
    let (object, _) = result.objects.get(LAYERS).ok_or_else(|| ActionError::message("an image has no layers"))?;
    let layers: Vec<(LayerInfo, String)> = super::composed::read_json(session, object)?;
    Ok(layers.into_iter().map(|(info, comment)| WrittenLayer { info, comment }).collect())
}

/// Writes one layer, unless it is there.
fn write(
    context: &Context<'_>,
    compression: LayerCompression,
    tree: &kiln_model::Dir,
) -> Result<LayerInfo, ActionError> {
    let session = context.session;
    let key = layer::key(&tree.id(), compression);
    let known = session.action(&key).map_err(hinted(kiln_store::FileError::hint))?;
    if let Some(info) = known.and_then(|result| serde_json::from_str(result.meta.get(INFO)?).ok()) {
        return Ok(info);
    }
    let info = layer::store(tree, session, compression, session).map_err(hinted(kiln_image::LayerError::hint))?;
    let text = serde_json::to_string(&info).map_err(ActionError::new)?;
    let result = ActionResult {
        objects: [(BLOB.to_owned(), (kiln_model::ObjectId(info.digest), info.size))].into(),
        meta: [(INFO.to_owned(), text)].into(),
        ..ActionResult::default()
    };
    session.commit_later(key, &result).map_err(hinted(kiln_store::WriteError::hint))?;
    Ok(info)
}

/// What a part of an image is, in the order of how seldom it changes.
fn stability(name: &LayerName) -> Stability {
    match name {
        LayerName::Package(PackageRef::Recipe(_)) => Stability::Project,
        LayerName::Package(_) => Stability::Distribution,
        LayerName::Finalizers => Stability::Finalizers,
        LayerName::Overlays => Stability::Overlays,
        LayerName::Files => Stability::Files,
        LayerName::Label => Stability::Release,
    }
}
