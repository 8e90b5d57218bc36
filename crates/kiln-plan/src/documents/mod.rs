//! What is in an image or package, and what it was made of, told from a graph that ran: the values that `kiln-sbom` makes
//! documents from.
//!
//! Nothing is built, composed or read twice for it. Who brings a file is told by the layers of the composed image, what a
//! package is by its record, where it came from by the lock, and what a recipe was built from by its action.

mod checksums;
mod inputs;
mod packages;

use std::collections::BTreeMap;

use kiln_build::graph::{ActionError, Finished, NodeId};
use kiln_build::recipe::BuildAction;
use kiln_compose::LayerName;
use kiln_model::image::Image;
use kiln_model::lock::Lock;
use kiln_model::project::Variant;
use kiln_model::{Architecture, Dir, Entry, ObjectId, PackageName, PackageRef, TreeId, TreePath};
use kiln_sbom::{Checksums, Description, File, Provenance, SubjectKind};

use crate::action::{Composed, hinted};
use crate::plan::{ImageNodes, Plan};
use crate::recipes::RecipeNodes;
use crate::services::Services;
use crate::workspace::Workspace;

/// Tells of images and packages of a plan that ran.
pub struct Documents<'a> {
    /// The plan.
    pub plan: &'a Plan<'a>,
    /// What came of it.
    pub finished: &'a Finished,
    /// The project.
    pub workspace: &'a Workspace,
    /// What it was planned with.
    pub lock: &'a Lock,
    /// The store.
    pub services: &'a Services,
    /// What it was built for.
    pub architecture: Architecture,
}

/// The nodes that build the recipes of a composition, by name.
type Builds = BTreeMap<PackageName, NodeId>;

impl Documents<'_> {
    /// What is in an image.
    ///
    /// # Errors
    /// When something of it cannot be read.
    pub fn image(&self, image: &Image, nodes: ImageNodes) -> Result<Description, ActionError> {
        let composed = self.plan.composed(self.finished, nodes)?;
        let tree = self.tree(composed.tree)?;
        let sums = self.checksums(composed.layers.iter().map(|layer| layer.tree))?;
        let mut owned = self.owned(&composed, &tree, &sums)?;
        let builds = self.builds_of(nodes.compose);
        let mut packages = Vec::with_capacity(composed.packages.len());
        for package in &composed.packages {
            let files = owned.remove(&Some(package.package.clone())).unwrap_or_default();
            packages.push(self.package(package.record, &package.package, &tree, files, &builds)?);
        }
        Ok(Description {
            name: image.name.to_string(),
            kind: SubjectKind::Image,
            project: self.workspace.project.project.name.value.clone(),
            version: self.workspace.git.version(),
            commit: self.workspace.git.version(),
            architecture: self.architecture,
            tree: composed.tree.0,
            purl: None,
            packages,
            files: owned.remove(&None).unwrap_or_default(),
        })
    }

    /// What is in the package that a recipe builds, and in its parts.
    ///
    /// # Errors
    /// When something of it cannot be read.
    pub fn recipe(&self, variant: &Variant, nodes: &RecipeNodes) -> Result<Description, ActionError> {
        let built = self.finished.result(nodes.build).ok_or_else(|| not_built(&variant.recipe))?;
        let builds = Builds::from([(variant.recipe.clone(), nodes.build)]);
        let parts = self.builds(nodes.build).into_iter().flat_map(|build| build.parts.keys().cloned());
        let mut packages = Vec::new();
        for part in std::iter::once(None).chain(parts.map(Some)) {
            let record = kiln_build::package::record_object(built, part.as_ref())?;
            let name = kiln_build::package::name_of(&variant.recipe, part.as_ref()).map_err(ActionError::new)?;
            let id = self.record(record)?.tree;
            let (tree, sums) = (self.tree(id)?, self.checksums([id])?);
            let files = files(&tree, &sums)?.map(|(path, checksums)| File { path, checksums }).collect();
            packages.push(self.package(record, &PackageRef::Recipe(name), &tree, files, &builds)?);
        }
        let first = packages.first().ok_or_else(|| not_built(&variant.recipe))?;
        Ok(Description {
            name: variant.label.clone(),
            kind: SubjectKind::Package,
            project: self.workspace.project.project.name.value.clone(),
            version: first.version.clone(),
            commit: self.workspace.git.version(),
            architecture: self.architecture,
            tree: first.tree,
            purl: Some(first.purl.clone()),
            packages,
            files: Vec::new(),
        })
    }

    /// What an image was made of.
    ///
    /// # Errors
    /// When something of it cannot be read.
    pub fn provenance_of_image(&self, image: &Image, nodes: ImageNodes) -> Result<Provenance, ActionError> {
        let mut inputs = inputs::Inputs::new(self);
        inputs.image(nodes.compose)?;
        Ok(self.provenance(image.name.to_string(), inputs.finish()?))
    }

    /// What a package was made of.
    ///
    /// # Errors
    /// When something of it cannot be read.
    pub fn provenance_of_recipe(&self, variant: &Variant, nodes: &RecipeNodes) -> Result<Provenance, ActionError> {
        let mut inputs = inputs::Inputs::new(self);
        inputs.recipe(nodes.build);
        Ok(self.provenance(variant.label.clone(), inputs.finish()?))
    }

    fn provenance(&self, target: String, inputs: Vec<kiln_sbom::Input>) -> Provenance {
        Provenance {
            project: self.workspace.project.project.name.value.clone(),
            target,
            architecture: self.architecture,
            commit: self.workspace.git.commit.clone(),
            dirty: self.workspace.git.dirty,
            inputs,
        }
    }

    /// The files of a composed image by the package that brings them; under none, those that no package does.
    fn owned(
        &self,
        composed: &Composed,
        tree: &Dir,
        sums: &BTreeMap<ObjectId, Checksums>,
    ) -> Result<BTreeMap<Option<PackageRef>, Vec<File>>, ActionError> {
        let mut owner: BTreeMap<TreePath, Option<&PackageRef>> = BTreeMap::new();
        // The last layer that has a path is on top.
        for layer in &composed.layers {
            let package = match &layer.name {
                LayerName::Package(package) => Some(package),
                _ => None,
            };
            let layer = self.tree(layer.tree)?;
            owner.extend(layer.walk().filter(|(_, entry)| is_file(entry)).map(|(path, _)| (path, package)));
        }
        let mut owned: BTreeMap<Option<PackageRef>, Vec<File>> = BTreeMap::new();
        for (path, checksums) in files(tree, sums)? {
            let package = owner.get(&path).copied().flatten().cloned();
            owned.entry(package).or_default().push(File { path, checksums });
        }
        Ok(owned)
    }

    fn tree(&self, id: TreeId) -> Result<std::sync::Arc<Dir>, ActionError> {
        self.services.session.tree(id).map_err(hinted(kiln_store::TreeError::hint))
    }

    fn record(&self, object: ObjectId) -> Result<kiln_model::PackageRecord, ActionError> {
        Ok(kiln_build::package::record_of(&self.services.session, &object)?)
    }

    fn builds_of(&self, compose: NodeId) -> Builds {
        let built = self.plan.composes(compose).map(|action| &*action.built).unwrap_or_default();
        built.iter().map(|built| (built.name.clone(), built.node)).collect()
    }

    fn builds(&self, node: NodeId) -> Option<&BuildAction> {
        self.plan.builds(node)
    }
}

const fn is_file(entry: &Entry) -> bool {
    matches!(entry, Entry::File(_))
}

/// The files of a tree with their digests.
fn files<'t>(
    tree: &'t Dir,
    sums: &'t BTreeMap<ObjectId, Checksums>,
) -> Result<impl Iterator<Item = (TreePath, Checksums)>, ActionError> {
    let mut found = Vec::new();
    for (path, entry) in tree.walk() {
        let Entry::File(file) = entry else { continue };
        let checksums = sums.get(&file.object);
        let checksums =
            checksums.ok_or_else(|| ActionError::message(format!("`{path}` is in no layer of the image")))?;
        found.push((path, *checksums));
    }
    Ok(found.into_iter())
}

fn not_built(recipe: &PackageName) -> ActionError {
    ActionError::message(format!("`{recipe}` was not built"))
}
