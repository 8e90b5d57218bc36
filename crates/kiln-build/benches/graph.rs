//! How long it takes to find out that nothing is to be done: a graph of 1,000 nodes with all results in the store.
//!
//! Run it with `cargo bench -p kiln-build --bench graph`.

use std::num::NonZeroUsize;
use std::time::{Instant, SystemTime};

use kiln_build::graph::{Action, ActionError, Cancel, Context, Graph, Inputs, NodeId, RunOptions};
use kiln_model::{ActionKey, KeyBuilder, ObjectSink as _, Silent};
use kiln_store::{ActionResult, Durability, OpenOptions, Store};

struct Node {
    number: usize,
    needs: Vec<NodeId>,
}

impl Action for Node {
    fn name(&self) -> String {
        self.number.to_string()
    }

    fn verb(&self) -> &'static str {
        "Doing"
    }

    fn dependencies(&self) -> Vec<NodeId> {
        self.needs.clone()
    }

    fn key(&self, inputs: &Inputs) -> Result<ActionKey, ActionError> {
        let objects = inputs.iter().map(|(_, result)| *result.objects["x"].0.0.as_bytes());
        Ok(KeyBuilder::new("bench/1").field("number", self.number.to_le_bytes()).list("inputs", objects).finish())
    }

    fn run(&self, context: &Context<'_>, _: &Inputs) -> Result<ActionResult, ActionError> {
        let bytes = self.number.to_le_bytes();
        let object = context.session.put(&bytes).map_err(ActionError::new)?;
        Ok(ActionResult { objects: [("x".to_owned(), (object, 8))].into(), ..ActionResult::default() })
    }
}

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = OpenOptions::new(SystemTime::UNIX_EPOCH).durability(Durability::Process);
    let store = Store::open(folder.path(), options).expect("a store");
    let mut graph = Graph::new();
    let mut nodes: Vec<NodeId> = Vec::new();
    for number in 0..1_000_usize {
        let needs = (1..=5).filter_map(|back| number.checked_sub(back * 7)).map(|below| nodes[below]).collect();
        nodes.push(graph.add(Node { number, needs }));
    }
    let two = NonZeroUsize::new(2).expect("not zero");
    let options = RunOptions { jobs: two, connections: two, keep_going: false, cancel: Cancel::new() };
    for name in ["all to do", "nothing to do", "nothing to do", "nothing to do"] {
        let session = store.session().expect("a session");
        let began = Instant::now();
        let finished = graph.run(&nodes, &session, &Silent, &options).expect("it runs");
        println!("{name}: {:?} ({} ran, {} were there)", began.elapsed(), finished.ran, finished.cached);
    }
}
