//! The graph of a project: everything that can be built of it, each thing once.

use std::any::Any;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use kiln_build::graph::{Action, ActionError, Finished, Graph, GraphError, NodeId, RunOptions};
use kiln_build::recipe::BuildAction;
use kiln_compose::audit::Audit;
use kiln_compose::{AccountIds, Composition};
use kiln_image::LayerCompression;
use kiln_model::image::Image;
use kiln_model::lock::Lock;
use kiln_model::project::Variant;
use kiln_model::{Architecture, ImageName, PackageName, PartName, Reporter, Silent};

use crate::action::{ComposeAction, Composed, LayersAction};
use crate::images::{self, ContentError};
use crate::imports::{Imports, ImportsError};
use crate::recipes::{Brought, RecipeError, RecipeNodes, Recipes};
use crate::rules::Rules;
use crate::services::Services;
use crate::vendored::{self, Everything};
use crate::workspace::Workspace;

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A package cannot be brought.
    #[error(transparent)]
    Imports(#[from] ImportsError),
    /// What an image adds cannot be had.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// A recipe cannot be built.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
}

impl PlanError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Imports(error) => error.hint(),
            Self::Content(error) => error.hint(),
            Self::Recipe(error) => error.hint(),
        }
    }
}

/// Why there is no account of the hooks of an image.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// What it is made of cannot be had.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Something of it cannot be read.
    #[error(transparent)]
    Action(#[from] ActionError),
}

/// The nodes of an image.
#[derive(Debug, Clone, Copy)]
pub struct ImageNodes {
    /// Composes it.
    pub compose: NodeId,
}

/// A graph that is being made for a project.
pub struct Plan<'a> {
    workspace: &'a Workspace,
    lock: &'a Lock,
    services: &'a Services,
    architecture: Architecture,
    graph: Graph,
    imports: Imports<'a>,
    recipes: Recipes<'a>,
    rules: Arc<Rules>,
    locked: Arc<AccountIds>,
    images: BTreeMap<ImageName, ImageNodes>,
}

impl<'a> Plan<'a> {
    /// An empty plan for one architecture.
    #[must_use]
    pub fn new(workspace: &'a Workspace, lock: &'a Lock, services: &'a Services, architecture: Architecture) -> Self {
        let locked = Arc::new(images::locked_ids(lock));
        let rules = services.rules_of(workspace);
        Self {
            workspace,
            lock,
            services,
            architecture,
            graph: Graph::new(),
            imports: Imports::new(workspace, services, lock),
            recipes: Recipes::new(workspace, lock, services, Arc::clone(&rules), architecture),
            rules,
            locked,
            images: BTreeMap::new(),
        }
    }

    /// The nodes of an image.
    ///
    /// # Errors
    /// When a package of it cannot be brought, or a file read.
    pub fn image(&mut self, image: &Image) -> Result<ImageNodes, PlanError> {
        if let Some(nodes) = self.images.get(&image.name.value) {
            return Ok(*nodes);
        }
        let members = self.imports.target(&mut self.graph, &format!("image:{}", image.name), self.architecture)?;
        let mut roots = Vec::new();
        let mut parts: BTreeMap<PackageName, Vec<PartName>> = BTreeMap::new();
        for package in &image.packages {
            if let Some(variant) = self.workspace.project.image_variant(package) {
                parts.insert(variant.recipe.clone(), package.parts.iter().map(|part| part.value.clone()).collect());
                roots.push(variant);
            }
        }
        let Brought { built, candidates } = self.recipes.built(&mut self.graph, &mut self.imports, roots, &parts)?;
        let content = images::content(image, self.workspace, self.services)?;
        let compose = self.graph.add(ComposeAction {
            name: format!("image {}", image.name),
            is_image: true,
            architecture: self.architecture,
            members,
            candidates,
            built,
            content: Arc::new(content),
            locked: Arc::clone(&self.locked),
            rules: Arc::clone(&self.rules),
            records: Arc::clone(&self.services.records),
            tools: self.services.tools(),
        });
        let nodes = ImageNodes { compose };
        self.images.insert(image.name.value.clone(), nodes);
        Ok(nodes)
    }

    /// The node that writes an image's layers.
    ///
    /// # Errors
    /// As [`Plan::image`].
    pub fn layers(
        &mut self,
        image: &Image,
        compression: LayerCompression,
        budget: NonZeroUsize,
    ) -> Result<NodeId, PlanError> {
        let compose = self.image(image)?.compose;
        let name = format!("image {}", image.name);
        Ok(self.graph.add(LayersAction { name, image: compose, compression, budget }))
    }

    /// The nodes of a recipe.
    ///
    /// # Errors
    /// When a package of its environment or a source cannot be brought.
    pub fn recipe(&mut self, variant: &Variant) -> Result<RecipeNodes, PlanError> {
        Ok(self.recipes.nodes(&mut self.graph, &mut self.imports, variant)?)
    }

    /// The graph.
    #[must_use]
    pub const fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The nodes of everything that the lock pins, for every architecture.
    ///
    /// # Errors
    /// When nobody can be asked for something.
    pub fn everything(&mut self) -> Result<Everything, PlanError> {
        let Self { workspace, lock, graph, imports, .. } = self;
        Ok(vendored::everything(workspace, lock, graph, imports)?)
    }

    /// The tests of every recipe that is in the plan.
    #[must_use]
    pub fn tests(&self) -> Vec<NodeId> {
        self.recipes.tests()
    }

    /// Brings nodes up to date.
    ///
    /// # Errors
    /// When something fails.
    pub fn run(&self, targets: &[NodeId], keep_going: bool, reporter: &dyn Reporter) -> Result<Finished, GraphError> {
        let jobs = self.services.settings.jobs;
        let options = RunOptions { jobs, connections: CONNECTIONS, keep_going, cancel: self.services.cancel.clone() };
        self.graph.run(targets, &self.services.session, reporter, &options)
    }

    /// The account of the hooks of an image: whatever it is made of is brought, and nothing is composed.
    ///
    /// # Errors
    /// When a package cannot be brought or built, or a script not be read.
    pub fn audit(&self, nodes: ImageNodes, reporter: &dyn Reporter) -> Result<Audit, AuditError> {
        let missing = || ActionError::message("the image is not planned");
        let action = self.composes(nodes.compose).ok_or_else(missing)?;
        let finished = self.run(&Action::dependencies(action), false, reporter)?;
        let inputs = finished.inputs(action).ok_or_else(missing)?;
        Ok(action.audit(&self.services.session, &inputs, self.services.settings.jobs)?)
    }

    /// The composition of an image that ran.
    ///
    /// # Errors
    /// When its description cannot be read.
    pub fn composed(&self, finished: &Finished, nodes: ImageNodes) -> Result<Composed, ActionError> {
        let missing = || ActionError::message("the image was not composed");
        Composed::read(&self.services.session, finished.result(nodes.compose).ok_or_else(missing)?)
    }

    /// Composes an image that ran once more, for who brings what.
    ///
    /// # Errors
    /// When it cannot be composed.
    pub fn compose_again(&self, finished: &Finished, nodes: ImageNodes) -> Result<Composition, ActionError> {
        let missing = || ActionError::message("the image was not composed");
        let action = self.composes(nodes.compose).ok_or_else(missing)?;
        let inputs = finished.inputs(action).ok_or_else(missing)?;
        let jobs = self.services.settings.jobs;
        Ok(action.composition(&self.services.session, &inputs, &Silent, jobs)?.0)
    }

    /// The composition behind a node.
    #[must_use]
    pub fn composes(&self, node: NodeId) -> Option<&ComposeAction> {
        (self.graph.action(node)? as &dyn Any).downcast_ref()
    }

    /// The build behind a node.
    #[must_use]
    pub fn builds(&self, node: NodeId) -> Option<&BuildAction> {
        (self.graph.action(node)? as &dyn Any).downcast_ref()
    }
}

/// Downloads at once: enough to hide a mirror's latency, few enough to be polite.
const CONNECTIONS: NonZeroUsize = NonZeroUsize::new(6).unwrap();
