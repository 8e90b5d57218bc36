//! Running a recipe's scripts: the folders they see, their environment, their log.

use std::collections::BTreeMap;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use kiln_model::recipe::JOBS_VARIABLE;
use kiln_model::{Dir, TreeId};
use kiln_store::{Checkout, Session};

use super::{BuildAction, BuildError};
use crate::disk::lay_out;
use crate::graph::{ActionError, Inputs};
use crate::package::TREE;
use crate::sandbox::{Exit, Finished, Folders, Limits, Sandbox, SandboxError};
use crate::work::{Scratch, WorkError};

/// What runs the text of a step.
pub(super) const PROGRAM: &str = "/bin/bash";
/// What is run for a person who wants to look.
pub(super) const SHELL: &str = "exec /bin/bash -i";

/// A script of a recipe and the folders it runs in.
#[derive(Debug, Clone)]
pub struct Script {
    /// A checkout of the environment.
    pub root: PathBuf,
    /// What it may write to.
    pub folders: Folders,
    /// The text, for `/bin/bash`.
    pub text: String,
    /// Its environment, besides what every build has.
    pub environment: BTreeMap<String, String>,
    /// How much it may take.
    pub limits: Limits,
}

/// Runs scripts. The sandbox does; tests and other places to build have their own.
pub trait Executor: Send + Sync {
    /// Runs a script to its end. What it writes goes to `log`.
    ///
    /// # Errors
    /// When it cannot be run. A script that fails is no error.
    fn run(&self, script: &Script, log: &mut (dyn Write + Send)) -> Result<Finished, SandboxError>;

    /// Runs a script with the terminal of this process.
    ///
    /// # Errors
    /// When it cannot be run.
    fn enter(&self, script: &Script) -> Result<Exit, SandboxError>;
}

/// Runs scripts in the sandbox of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sandboxed;

impl Sandboxed {
    fn sandbox(script: &Script) -> Sandbox {
        let words = [PROGRAM, "-eu", "-o", "pipefail", "-c", &script.text];
        let command = words.map(str::to_owned).to_vec();
        let mut sandbox = Sandbox::new(&script.root, script.folders.clone(), command);
        sandbox.environment = script.environment.clone();
        sandbox.limits = script.limits;
        sandbox
    }
}

impl Executor for Sandboxed {
    fn run(&self, script: &Script, log: &mut (dyn Write + Send)) -> Result<Finished, SandboxError> {
        Self::sandbox(script).run(log)
    }

    fn enter(&self, script: &Script) -> Result<Exit, SandboxError> {
        Self::sandbox(script).enter()
    }
}

/// The environment variables of every script.
///
/// Paths of the build folder in debugging information and messages become relative, because nothing that is installed may
/// name it. Programs that set their own flags are expected to add to these.
pub(super) fn environment(jobs: NonZeroUsize) -> BTreeMap<String, String> {
    let flags = "-O2 -ffile-prefix-map=/build=.";
    let fixed = [("CFLAGS", flags), ("CXXFLAGS", flags), ("FFLAGS", flags)];
    let fixed = fixed.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    fixed.chain([(JOBS_VARIABLE.to_owned(), jobs.to_string())]).collect()
}

/// The folders of one build.
pub(super) struct Room {
    pub scratch: Scratch,
    pub folders: Folders,
    /// Stays laid out while this lives.
    checkout: Checkout,
    pub root: TreeId,
    pub limits: Limits,
    pub jobs: NonZeroUsize,
}

impl Room {
    /// Lays out the sources and the environment.
    pub fn new(
        build: &BuildAction,
        sources: &Dir,
        session: &Session,
        inputs: &Inputs,
        jobs: NonZeroUsize,
    ) -> Result<Self, ActionError> {
        let root = inputs.tree(build.environment.root, TREE)?;
        let scratch = build.work.scratch()?;
        let failed = |source| WorkError::new("create", scratch.path(), source);
        let folders = Folders::make(scratch.path()).map_err(failed)?;
        lay_out(sources, session, &folders.build(), jobs).map_err(BuildError::LayOut)?;
        let checkout = session.checkout(root).map_err(BuildError::Checkout)?;
        Ok(Self { scratch, folders, checkout, root, limits: build.limits, jobs })
    }

    pub fn script(&self, text: &str) -> Script {
        Script {
            root: self.checkout.path().to_owned(),
            folders: self.folders.clone(),
            text: text.to_owned(),
            environment: environment(self.jobs),
            limits: self.limits,
        }
    }
}
