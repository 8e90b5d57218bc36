//! Testing a package: its own steps, in a root with only the package and what it needs to run.

use kiln_build::graph::{Action, ActionError, Context, FailedLog, Inputs, NodeId};
use kiln_build::package::TREE;
use kiln_build::sandbox::{Folders, Limits, Sandbox, SandboxError};
use kiln_build::work::Workplace;
use kiln_model::recipe::Step;
use kiln_model::{ActionKey, Dir, Entry, KeyBuilder, TreePath};
use kiln_store::ActionResult;

use super::hinted;

/// Runs the steps of a recipe's `test`. The result has nothing but its key: it is there when they passed.
pub struct TestAction {
    /// The package, for messages.
    pub name: String,
    /// The node of the root.
    pub root: NodeId,
    /// What is run.
    pub steps: Vec<Step>,
    /// How much it may take.
    pub limits: Limits,
    /// Where it is run.
    pub work: Workplace,
}

/// What a shell would do something with.
const SHELL: &[char] =
    &['|', '&', ';', '<', '>', '(', ')', '$', '`', '\\', '"', '\'', '*', '?', '[', '#', '~', '=', '%', '\n'];

impl TestAction {
    /// The command of a step: by the root's own shell if it has one, else the bare words.
    fn command(&self, root: &Dir, step: &Step) -> Result<Vec<String>, ActionError> {
        for shell in ["/bin/bash", "/bin/sh"] {
            let path: TreePath = shell[1..].parse().unwrap_or_default();
            if matches!(root.resolve(&path), Some((_, Some(Entry::File(_))))) {
                let mut words = vec![shell.to_owned(), "-eu".to_owned()];
                if shell.ends_with("bash") {
                    words.extend(["-o".to_owned(), "pipefail".to_owned()]);
                }
                words.extend(["-c".to_owned(), step.run.clone()]);
                return Ok(words);
            }
        }
        let words: Vec<String> = step.run.split_whitespace().map(str::to_owned).collect();
        if words.is_empty() || step.run.trim().contains(SHELL) {
            let message = format!("the test `{}` of `{}` needs a shell, and its root has none", step.name, self.name);
            let hint = "write it as a program and its arguments, or add a shell to the recipe's `runtime`";
            return Err(ActionError::message(message).with_hint(Some(hint.to_owned())));
        }
        Ok(words)
    }
}

impl Action for TestAction {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn verb(&self) -> &'static str {
        "Testing"
    }

    fn dependencies(&self) -> Vec<NodeId> {
        vec![self.root]
    }

    fn key(&self, inputs: &Inputs) -> Result<ActionKey, ActionError> {
        Ok(KeyBuilder::new("test.recipe/1")
            .field("root", inputs.tree(self.root, TREE)?.0.as_bytes())
            .list("steps", self.steps.iter().map(|step| &step.run))
            .finish())
    }

    fn run(&self, context: &Context<'_>, inputs: &Inputs) -> Result<ActionResult, ActionError> {
        let session = context.session;
        let id = inputs.tree(self.root, TREE)?;
        let root = session.tree(id).map_err(hinted(kiln_store::TreeError::hint))?;
        let checkout = session.checkout(id).map_err(hinted(kiln_store::CheckoutError::hint))?;
        let scratch = self.work.scratch()?;
        let folders = Folders::make_empty(scratch.path()).map_err(ActionError::new)?;
        let mut log = session.log_writer(&context.key).map_err(hinted(kiln_store::FileError::hint))?;
        for step in &self.steps {
            let mut sandbox = Sandbox::new(checkout.path(), folders.clone(), self.command(&root, step)?);
            sandbox.limits = self.limits;
            let finished = sandbox.run(&mut log).map_err(hinted(SandboxError::hint))?;
            if !finished.exit.succeeded() {
                let message = format!("the test `{}` of `{}` {}", step.name, self.name, finished.exit);
                let path = session.log_path(&context.key);
                let hint = "the root has the package and what it needs to run, and nothing else";
                return Err(ActionError::message(message)
                    .with_hint(Some(hint.to_owned()))
                    .with_log(FailedLog { path, tail: finished.tail }));
            }
        }
        Ok(ActionResult::default())
    }
}
