//! Building a recipe: from sources, patches, steps and an environment to packages.
//!
//! 1. The sources' trees are put together and patched, in memory ([`sources`]); no file is written before every patch fits.
//! 2. That tree is written out as `/build`, the environment's tree is checked out as the root, `/out` is empty.
//! 3. Each step runs in the sandbox; all they write goes to the action's log. Where one fails, `/build` and `/out` are kept
//!    for `kiln shell PACKAGE --failed` ([`failed`]).
//! 4. `/out` is checked, split into parts, and stored; what each part needs to run is found from its files ([`finish`]).
//!
//! The key has everything of this that can change the result, and not the limits, the names of steps and patches, the number
//! of jobs, or where anything comes from.

mod error;
mod failed;
mod finish;
mod sandboxed;
mod sources;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use kiln_model::recipe::Step;
use kiln_model::{
    ActionKey, Architecture, Digest, Dir, Facts, KeyBuilder, OptionName, PackageName, PartName, TreePath,
};
use kiln_store::{ActionResult, Session};

use crate::graph::{Action, ActionError, Context, FailedLog, Inputs, NodeId};
use crate::needs::EnvironmentPackage;
use crate::package::{RECORD, TREE, package_record};
use crate::sandbox::{Exit, Limits};
use crate::work::{Log, Workplace};
use crate::{patch, source};

pub use error::{BuildError, OutputError};
pub use failed::FailedBuild;
pub use sandboxed::{Executor, Sandboxed, Script};

use sandboxed::Room;

/// A source of a recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildSource {
    /// What it is, for messages.
    pub name: String,
    /// The node whose result has the tree [`source::TREE`].
    pub node: NodeId,
    /// The folder of `/build` that it is put into; `/build` itself by default.
    pub into: Option<TreePath>,
}

/// A patch of a recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildPatch {
    /// Its path in the project.
    pub name: String,
    /// Its bytes.
    pub bytes: Arc<[u8]>,
}

/// What a recipe is built in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// The node whose result has the composed root as the tree [`TREE`].
    pub root: NodeId,
    /// The nodes of the packages it was composed from, each with a [`RECORD`] and a [`TREE`].
    pub packages: Vec<NodeId>,
}

/// Builds one recipe with one choice of options. The result is a package, see [`crate::package`].
pub struct BuildAction {
    /// The package's name.
    pub name: PackageName,
    /// Its version.
    pub version: String,
    /// What it is built for.
    pub architecture: Architecture,
    /// Every option of the recipe, decided.
    pub options: BTreeMap<OptionName, bool>,
    /// In the order they are put together.
    pub sources: Vec<BuildSource>,
    /// In the order they are applied.
    pub patches: Vec<BuildPatch>,
    /// In the order they run.
    pub steps: Vec<Step>,
    /// What it is built in.
    pub environment: Environment,
    /// The parts and what each claims.
    pub parts: BTreeMap<PartName, Vec<String>>,
    /// What the package declares.
    pub facts: Facts,
    /// Files of the recipe that become part of the package besides what its steps install: its unit files.
    pub added: BTreeMap<TreePath, Arc<[u8]>>,
    /// How much building it may take.
    pub limits: Limits,
    /// The project's folder on this machine, which no file of a package may name.
    pub project: PathBuf,
    /// Where it is built.
    pub work: Workplace,
    /// What runs the steps.
    pub executor: Arc<dyn Executor>,
}

impl Action for BuildAction {
    fn name(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    fn verb(&self) -> &'static str {
        "Building"
    }

    fn dependencies(&self) -> Vec<NodeId> {
        let sources = self.sources.iter().map(|source| source.node);
        let environment = self.environment.packages.iter().copied();
        sources.chain([self.environment.root]).chain(environment).collect()
    }

    fn total(&self) -> Option<u64> {
        Some(self.steps.len() as u64)
    }

    fn key(&self, inputs: &Inputs) -> Result<ActionKey, ActionError> {
        let mut places = Vec::new();
        for source in &self.sources {
            let tree = inputs.tree(source.node, source::TREE)?;
            places.push(format!("{} {}", tree.to_hex(), source.into.clone().unwrap_or_default().as_str()));
        }
        // What provides a library is told by the records: their names and versions enter the result.
        let mut packages = Vec::new();
        for node in &self.environment.packages {
            packages.push(inputs.object(*node, RECORD)?.0.0);
        }
        packages.sort_unstable();
        packages.dedup();
        let parts =
            self.parts.iter().flat_map(|(part, claims)| claims.iter().map(move |claim| format!("{part} {claim}")));
        let added = self.added.iter().map(|(path, bytes)| format!("{} {path}", Digest::of(bytes).to_hex()));
        let key = KeyBuilder::new("build.recipe/2")
            .field("patcher", patch::VERSION)
            .field("name", self.name.as_str())
            .field("version", &self.version)
            .field("architecture", self.architecture.as_str())
            .list("options", self.options.iter().map(|(name, on)| format!("{name}={on}")))
            .list("sources", places)
            .list("patches", self.patches.iter().map(|patch| *Digest::of(&patch.bytes).as_bytes()))
            .list("steps", self.steps.iter().map(|step| &step.run))
            .field("environment", inputs.tree(self.environment.root, TREE)?.0.as_bytes())
            .list("packages", packages.iter().map(|digest| *digest.as_bytes()))
            .list("parts", parts)
            .list("added", added)
            .field("facts", self.facts.canonical());
        Ok(key.finish())
    }

    fn run(&self, context: &Context<'_>, inputs: &Inputs) -> Result<ActionResult, ActionError> {
        let tree = sources::prepare(self, context.session, inputs)?;
        let room = Room::new(self, &tree, context.session, inputs, context.jobs)?;
        self.run_steps(context, &room)?;
        let environment = environment_packages(&self.environment, context.session, inputs)?;
        // The failed build is kept for this too: the way out is often to look at what was installed.
        let result = finish::package(self, context, &room, &environment).map_err(|fault| {
            let error = BuildError::Output { package: self.name.clone(), fault: Box::new(fault), shell: None };
            self.keep(&room, None, error)
        })?;
        failed::forget(&self.work, &self.name);
        Ok(result)
    }
}

impl BuildAction {
    fn run_steps(&self, context: &Context<'_>, room: &Room) -> Result<(), ActionError> {
        let file = context.session.log_writer(&context.key).map_err(BuildError::Log)?;
        let mut log = Log::new(file, context.cancel);
        for (index, step) in self.steps.iter().enumerate() {
            log.heading(&step.name).map_err(BuildError::WriteLog)?;
            let finished = match self.executor.run(&room.script(&step.run), &mut log) {
                Ok(finished) => finished,
                Err(_) if context.cancel.is_cancelled() => return Err(BuildError::Cancelled.into()),
                Err(error) => return Err(BuildError::Sandbox(error).into()),
            };
            context.task.progress(index as u64 + 1);
            if !finished.exit.succeeded() {
                let path = context.session.log_path(&context.key);
                let error = self.step_failed(step, finished.exit);
                let error = self.keep(room, Some(step), error);
                return Err(ActionError::from(error).with_log(FailedLog { path, tail: finished.tail }));
            }
        }
        Ok(())
    }

    fn step_failed(&self, step: &Step, exit: Exit) -> BuildError {
        BuildError::Step {
            package: self.name.clone(),
            step: step.name.clone(),
            exit,
            limits: self.limits.allowed(exit),
            kept: false,
        }
    }

    /// Keeps the folders of a build that failed, for a person to look into.
    fn keep(&self, room: &Room, step: Option<&Step>, error: BuildError) -> BuildError {
        if !error.is_of_the_build() {
            return error;
        }
        // Not being able to keep them must not hide why the build failed.
        let kept = failed::keep(&self.work, &self.name, room, step).is_ok();
        error.with_kept(kept, &self.name)
    }

    /// A sandbox with this recipe's patched sources, in which none of its steps has run, and a shell in it.
    ///
    /// `inputs` come from [`crate::graph::Finished::inputs`], after the dependencies were brought up to date.
    ///
    /// # Errors
    /// When the sources do not go together, or the sandbox cannot be had.
    pub fn shell(&self, session: &Session, inputs: &Inputs, jobs: std::num::NonZeroUsize) -> Result<Exit, ActionError> {
        let tree = sources::prepare(self, session, inputs)?;
        let room = Room::new(self, &tree, session, inputs, jobs)?;
        Ok(self.executor.enter(&room.script(sandboxed::SHELL)).map_err(BuildError::Sandbox)?)
    }
}

/// The packages of an environment, as they are searched for libraries.
fn environment_packages(
    environment: &Environment,
    session: &Session,
    inputs: &Inputs,
) -> Result<Vec<EnvironmentPackage>, ActionError> {
    let mut packages = Vec::new();
    for node in &environment.packages {
        let record = package_record(session, inputs.get(*node), None)?;
        let tree: Arc<Dir> = session.tree(inputs.tree(*node, TREE)?).map_err(BuildError::Tree)?;
        packages.push(EnvironmentPackage::new(&record, tree));
    }
    Ok(packages)
}
