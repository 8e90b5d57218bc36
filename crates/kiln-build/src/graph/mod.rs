//! The action graph: every step of Kiln's work, from an imported package to a written image, as nodes of one kind.
//!
//! A node is an [`Action`]. It names the nodes it needs, gives the key of its result once theirs are known, and can
//! make that result. Nothing else is known of it here, so imports, compositions, builds and outputs all fit.
//!
//! Invariants:
//! - A key is computed from the *results* of the dependencies, never from their keys. A dependency that was made
//!   again with the same bytes therefore changes no key above it: that is the whole of early cutoff.
//! - An action runs only while this process holds the store's lock on its key and after looking for the result once
//!   more under that lock, so that processes that want one action run it once.
//! - A result is seen by others only after the store's commit. A lock is let go only after that.
//! - What is reported at the end (failures, skipped nodes, cycles) is in the order of the nodes, not of time.

mod cancel;
mod commit;
mod error;
mod order;
mod schedule;

use std::any::Any;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use kiln_model::{ActionKey, ObjectId, Reporter, TreeId};
use kiln_store::{ActionResult, Session};

pub use cancel::Cancel;
pub use error::{ActionError, FailedLog, GraphError, NodeFailure, Skipped};

/// Names a node of one graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

impl NodeId {
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// What an action mostly waits for. Each has its own number of places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Resource {
    /// Processor and disk.
    #[default]
    Processor,
    /// The network.
    Network,
}

/// One step of known inputs.
pub trait Action: Any + Send + Sync {
    /// What it works on, for people: `nginx 1.26.3`.
    fn name(&self) -> String;

    /// What it does, as a present participle: `Building`.
    fn verb(&self) -> &'static str;

    /// The nodes whose results it needs.
    fn dependencies(&self) -> Vec<NodeId>;

    /// The digest of everything that can influence the result. It is asked for on every run, so it should be cheap: it
    /// may read small files of the project, and must not read whole trees.
    ///
    /// # Errors
    /// When an input cannot be read.
    fn key(&self, inputs: &Inputs) -> Result<ActionKey, ActionError>;

    /// Makes the result. What it names must have been put into the context's session.
    ///
    /// # Errors
    /// When it cannot be made. Nothing is kept then.
    fn run(&self, context: &Context<'_>, inputs: &Inputs) -> Result<ActionResult, ActionError>;

    /// What it mostly waits for.
    fn resource(&self) -> Resource {
        Resource::Processor
    }

    /// How much work it is beside others of its kind: of those that may run, the heaviest goes first.
    fn weight(&self) -> u64 {
        0
    }

    /// Does it tell of its own progress as it runs? Then the graph tells nothing of it.
    fn reports_itself(&self) -> bool {
        false
    }

    /// How much there is to do, in bytes or items, if that is known before it runs. Progress is told in the same unit.
    fn total(&self) -> Option<u64> {
        None
    }
}

/// The results of a node's dependencies.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// By node.
    results: Vec<(NodeId, Arc<ActionResult>)>,
}

impl Inputs {
    fn new(mut results: Vec<(NodeId, Arc<ActionResult>)>) -> Self {
        results.sort_unstable_by_key(|(node, _)| *node);
        Self { results }
    }

    /// The result of `node`.
    ///
    /// # Panics
    /// When the action did not name `node` as a dependency: a key that reads it would not be covered by the graph.
    #[must_use]
    pub fn get(&self, node: NodeId) -> &Arc<ActionResult> {
        let found = self.results.binary_search_by_key(&node, |(dependency, _)| *dependency);
        &self.results[found.expect("an action reads only the results of nodes it depends on")].1
    }

    /// The results in the order of the nodes.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &Arc<ActionResult>)> {
        self.results.iter().map(|(node, result)| (*node, result))
    }

    /// The tree that the result of `node` has under `name`.
    ///
    /// # Errors
    /// When it has none: the record was made by another version of the action without a new kind.
    pub fn tree(&self, node: NodeId, name: &str) -> Result<TreeId, ActionError> {
        let found = self.get(node).trees.get(name).copied();
        found.ok_or_else(|| ActionError::message(format!("an input has no tree `{name}`")))
    }

    /// The object that the result of `node` has under `name`.
    ///
    /// # Errors
    /// When it has none.
    pub fn object(&self, node: NodeId, name: &str) -> Result<(ObjectId, u64), ActionError> {
        let found = self.get(node).objects.get(name).copied();
        found.ok_or_else(|| ActionError::message(format!("an input has no object `{name}`")))
    }
}

/// What an action may use while it runs.
pub struct Context<'a> {
    /// Where its result goes, and where the objects and trees of its inputs are.
    pub session: &'a Session,
    /// Its key: names its log and its folders.
    pub key: ActionKey,
    /// Takes warnings, and tasks within this one.
    pub reporter: &'a dyn Reporter,
    /// Takes its progress.
    pub task: &'a kiln_model::report::Task<'a>,
    /// Says when to give up.
    pub cancel: &'a Cancel,
    /// How many threads or processes it may use by itself.
    pub jobs: NonZeroUsize,
}

struct Node {
    label: String,
    action: Option<Box<dyn Action>>,
}

/// Nodes and what they need.
#[derive(Default)]
pub struct Graph {
    nodes: Vec<Node>,
}

/// How to run a graph.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Actions at once that want the processor.
    pub jobs: NonZeroUsize,
    /// Actions at once that want the network.
    pub connections: NonZeroUsize,
    /// After a failure go on with everything that does not depend on it.
    pub keep_going: bool,
    /// Says when to stop.
    pub cancel: Cancel,
}

/// A graph that ran.
#[derive(Debug, Default)]
pub struct Finished {
    results: Vec<Option<Arc<ActionResult>>>,
    keys: BTreeMap<NodeId, ActionKey>,
    /// How many actions ran.
    pub ran: usize,
    /// How many results were there already.
    pub cached: usize,
}

impl Finished {
    /// The result of a node that was asked for, or that one of those needs.
    #[must_use]
    pub fn result(&self, node: NodeId) -> Option<&Arc<ActionResult>> {
        self.results.get(node.index())?.as_ref()
    }

    /// The keys of all nodes that were brought up to date: what keeps their results from being cleaned away.
    pub fn keys(&self) -> impl Iterator<Item = ActionKey> {
        self.keys.values().copied()
    }

    /// What `action` would be given, if everything it needs was brought up to date: to do by hand what it does.
    #[must_use]
    pub fn inputs(&self, action: &dyn Action) -> Option<Inputs> {
        let result = |node: NodeId| Some((node, Arc::clone(self.result(node)?)));
        Some(Inputs::new(action.dependencies().into_iter().map(result).collect::<Option<_>>()?))
    }
}

impl Graph {
    /// An empty graph.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a node.
    pub fn add(&mut self, action: impl Action + 'static) -> NodeId {
        let node = self.declare(action.name());
        self.define(node, action);
        node
    }

    /// Names a node whose action comes later, so that nodes may be added in any order. `label` stands for it in
    /// messages until then.
    ///
    /// # Panics
    /// With more than `u32::MAX` nodes.
    pub fn declare(&mut self, label: impl Into<String>) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).expect("fewer than 2^32 nodes"));
        self.nodes.push(Node { label: label.into(), action: None });
        id
    }

    /// Gives a declared node its action.
    ///
    /// # Panics
    /// When it has one.
    pub fn define(&mut self, node: NodeId, action: impl Action + 'static) {
        let slot = &mut self.nodes[node.index()].action;
        assert!(slot.is_none(), "a node is defined once");
        *slot = Some(Box::new(action));
    }

    /// How many nodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Is there no node?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The name of a node.
    #[must_use]
    pub fn name(&self, node: NodeId) -> String {
        let node = &self.nodes[node.index()];
        node.action.as_ref().map_or_else(|| node.label.clone(), |action| action.name())
    }

    /// The action of a node, once it is defined.
    #[must_use]
    pub fn action(&self, node: NodeId) -> Option<&dyn Action> {
        self.nodes[node.index()].action.as_deref()
    }

    /// Brings `targets` and everything they need up to date.
    ///
    /// # Errors
    /// When the graph has a cycle, when actions fail, when the store fails, or when it is cancelled. What was made
    /// before is kept in the store in every case.
    pub fn run(
        &self,
        targets: &[NodeId],
        session: &Session,
        reporter: &dyn Reporter,
        options: &RunOptions,
    ) -> Result<Finished, GraphError> {
        let plan = order::plan(self, targets)?;
        schedule::run(self, &plan, session, reporter, options)
    }
}

#[cfg(test)]
mod tests;
