use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use kiln_model::{ActionKey, KeyBuilder, ObjectSink as _, ObjectSource as _, Silent};
use kiln_store::{ActionResult, Durability, OpenOptions, Session, Store};

use super::*;

type Log = Arc<Mutex<Vec<&'static str>>>;

/// Puts its text after the texts of its dependencies.
struct Join {
    name: &'static str,
    needs: Vec<NodeId>,
    /// Enters the key.
    source: &'static str,
    /// Enters the result.
    text: &'static str,
    fails: bool,
    resource: Resource,
    takes: Duration,
    log: Log,
}

impl Action for Join {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn verb(&self) -> &'static str {
        "Joining"
    }

    fn dependencies(&self) -> Vec<NodeId> {
        self.needs.clone()
    }

    fn key(&self, inputs: &Inputs) -> Result<ActionKey, ActionError> {
        let mut key = KeyBuilder::new("test.join/1").field("source", self.source);
        for (_, input) in inputs.iter() {
            key = key.field("input", input.objects["text"].0.to_hex());
        }
        Ok(key.finish())
    }

    fn run(&self, context: &Context<'_>, inputs: &Inputs) -> Result<ActionResult, ActionError> {
        self.log.lock().unwrap().push(self.name);
        std::thread::sleep(self.takes);
        if self.fails {
            return Err(ActionError::message("it is broken").with_hint(Some("mend it".to_owned())));
        }
        let mut bytes = Vec::new();
        for (node, _) in inputs.iter() {
            let (object, _) = inputs.object(node, "text")?;
            bytes.extend(context.session.read(&object).map_err(ActionError::new)?);
        }
        bytes.extend_from_slice(self.text.as_bytes());
        let object = context.session.put(&bytes).map_err(ActionError::new)?;
        let mut result = ActionResult::default();
        result.objects.insert("text".to_owned(), (object, bytes.len() as u64));
        Ok(result)
    }

    fn resource(&self) -> Resource {
        self.resource
    }
}

struct Bench {
    _folder: tempfile::TempDir,
    store: Store,
    log: Log,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = OpenOptions::new(SystemTime::UNIX_EPOCH).durability(Durability::Process);
        let store = Store::open(&folder.path().join("store"), options).unwrap();
        Self { _folder: folder, store, log: Log::default() }
    }

    fn join(&self, name: &'static str, needs: &[NodeId]) -> Join {
        let (needs, log) = (needs.to_vec(), Arc::clone(&self.log));
        let (fails, takes) = (false, Duration::ZERO);
        Join { name, needs, source: name, text: name, fails, resource: Resource::Processor, takes, log }
    }

    fn ran(&self) -> Vec<&'static str> {
        let mut ran = std::mem::take(&mut *self.log.lock().unwrap());
        ran.sort_unstable();
        ran
    }

    fn session(&self) -> Session {
        self.store.session().unwrap()
    }
}

fn options() -> RunOptions {
    let two = NonZeroUsize::new(2).unwrap();
    RunOptions { jobs: two, connections: two, keep_going: false, cancel: Cancel::new() }
}

fn text(session: &Session, finished: &Finished, node: NodeId) -> String {
    let (object, _) = finished.result(node).unwrap().objects["text"];
    String::from_utf8(session.read(&object).unwrap()).unwrap()
}

#[test]
fn makes_what_is_needed_once_and_then_nothing() {
    let bench = Bench::new();
    let mut graph = Graph::new();
    let a = graph.add(bench.join("a", &[]));
    let b = graph.add(bench.join("b", &[a]));
    let c = graph.add(bench.join("c", &[a]));
    let d = graph.add(bench.join("d", &[b, c, a]));
    let unneeded = graph.add(bench.join("e", &[]));
    for expected in [vec!["a", "b", "c", "d"], vec![]] {
        let session = bench.session();
        let finished = graph.run(&[d], &session, &Silent, &options()).unwrap();
        assert_eq!(text(&session, &finished, d), "aabacd");
        assert_eq!((finished.ran, finished.cached), (expected.len(), 4 - expected.len()));
        assert!(finished.result(unneeded).is_none());
        assert_eq!(bench.ran(), expected);
    }
}

#[test]
fn a_dependency_made_again_with_the_same_bytes_changes_nothing_above_it() {
    let bench = Bench::new();
    let run = |source, text| {
        let mut graph = Graph::new();
        let a = graph.add(Join { source, text, ..bench.join("a", &[]) });
        let b = graph.add(bench.join("b", &[a]));
        graph.run(&[b], &bench.session(), &Silent, &options()).unwrap();
        bench.ran()
    };
    assert_eq!(run("one", "x"), ["a", "b"]);
    assert_eq!(run("two", "x"), ["a"], "another key, the same content");
    assert_eq!(run("three", "y"), ["a", "b"]);
}

#[test]
fn two_nodes_with_one_key_are_made_once() {
    let bench = Bench::new();
    let mut graph = Graph::new();
    let slow = || Join { takes: Duration::from_millis(50), ..bench.join("a", &[]) };
    let (a, b) = (graph.add(slow()), graph.add(slow()));
    let session = bench.session();
    let finished = graph.run(&[a, b], &session, &Silent, &options()).unwrap();
    assert_eq!(bench.ran(), ["a"]);
    assert_eq!(text(&session, &finished, a), text(&session, &finished, b));
}

#[test]
fn two_runs_that_want_one_action_make_it_once() {
    let bench = Bench::new();
    let mut graph = Graph::new();
    // Each run begins at another end, so that each holds what the other wants.
    let leaves: Vec<_> = ["a", "b", "c", "d"]
        .into_iter()
        .map(|name| graph.add(Join { takes: Duration::from_millis(30), ..bench.join(name, &[]) }))
        .collect();
    let top = graph.add(bench.join("top", &leaves));
    std::thread::scope(|scope| {
        for jobs in [1, 2, 3] {
            let (graph, bench) = (&graph, &bench);
            let options = RunOptions { jobs: NonZeroUsize::new(jobs).unwrap(), ..options() };
            scope.spawn(move || graph.run(&[top], &bench.session(), &Silent, &options).unwrap());
        }
    });
    assert_eq!(bench.ran(), ["a", "b", "c", "d", "top"]);
}

#[test]
fn a_failure_names_who_needed_it_and_stops_what_has_not_begun() {
    let bench = Bench::new();
    let mut graph = Graph::new();
    let bad = graph.add(Join { fails: true, ..bench.join("bad", &[]) });
    let middle = graph.add(bench.join("middle", &[bad]));
    let top = graph.add(bench.join("top", &[middle]));
    let other = graph.add(bench.join("other", &[]));
    let last = graph.add(bench.join("last", &[other]));
    let one = RunOptions { jobs: NonZeroUsize::MIN, connections: NonZeroUsize::MIN, ..options() };
    let error = graph.run(&[top, last], &bench.session(), &Silent, &one).unwrap_err();
    assert_eq!(error.to_string(), "`bad` failed (`top` needs `middle` needs `bad`); 4 others were not tried");
    assert!(error.hint().unwrap().contains("--keep-going"));
    let GraphError::Failed { failures, skipped, untried, .. } = error else { panic!("not a failure") };
    assert_eq!(failures[0].error.to_string(), "it is broken");
    assert_eq!(failures[0].error.hint().unwrap(), "mend it");
    assert_eq!((skipped.len(), untried), (2, 2));
}

#[test]
fn keep_going_makes_everything_that_does_not_need_what_failed() {
    let bench = Bench::new();
    let mut graph = Graph::new();
    let bad = graph.add(Join { fails: true, ..bench.join("bad", &[]) });
    let worse = graph.add(Join { fails: true, ..bench.join("worse", &[]) });
    let top = graph.add(bench.join("top", &[bad, worse]));
    let good = graph.add(bench.join("good", &[]));
    let options = RunOptions { keep_going: true, ..options() };
    let error = graph.run(&[top, good], &bench.session(), &Silent, &options).unwrap_err();
    assert_eq!(bench.ran(), ["bad", "good", "worse"]);
    let GraphError::Failed { failures, skipped, untried, .. } = error else { panic!("not a failure") };
    assert_eq!(failures.iter().map(|f| &*f.name).collect::<Vec<_>>(), ["bad", "worse"]);
    assert_eq!((skipped.len(), untried), (1, 0));
    // What was made is kept.
    graph.run(&[good], &bench.session(), &Silent, &options).unwrap();
    assert!(bench.ran().is_empty());
}

#[test]
fn a_cycle_is_shown() {
    let bench = Bench::new();
    let mut graph = Graph::new();
    let (a, b, c) = (graph.declare("a"), graph.declare("b"), graph.declare("c"));
    graph.define(a, bench.join("a", &[b]));
    graph.define(b, bench.join("b", &[c]));
    graph.define(c, bench.join("c", &[b]));
    let error = graph.run(&[a], &bench.session(), &Silent, &options()).unwrap_err();
    assert_eq!(error.to_string(), "these need each other: `b` needs `c` needs `b`");
    assert!(bench.ran().is_empty());
}

#[test]
fn a_node_without_an_action_is_named() {
    let bench = Bench::new();
    let mut graph = Graph::new();
    let ghost = graph.declare("ghost");
    let top = graph.add(bench.join("top", &[ghost]));
    let error = graph.run(&[top], &bench.session(), &Silent, &options()).unwrap_err();
    assert_eq!(error.to_string(), "`ghost` is needed, but nothing says how to make it");
}

#[test]
fn stops_when_it_is_told_to() {
    let bench = Bench::new();
    let mut graph = Graph::new();
    let mut below = None;
    for _ in 0..50 {
        let needs: Vec<_> = below.into_iter().collect();
        let takes = Duration::from_millis(20);
        below = Some(graph.add(Join { takes, ..bench.join("slow", &needs) }));
    }
    let options = options();
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(60));
            options.cancel.cancel();
        });
        graph.run(&[below.unwrap()], &bench.session(), &Silent, &options).unwrap_err()
    });
    assert!(matches!(error, GraphError::Cancelled), "{error}");
    let ran = bench.ran().len();
    assert!((1..50).contains(&ran), "{ran}");
    // What had ended is kept.
    graph.run(&[below.unwrap()], &bench.session(), &Silent, &RunOptions { cancel: Cancel::new(), ..options }).unwrap();
    assert_eq!(bench.ran().len(), 50 - ran);
}

#[test]
fn a_network_action_does_not_take_a_processor_place() {
    let bench = Bench::new();
    let mut graph = Graph::new();
    let fetch = |name| Join { resource: Resource::Network, takes: Duration::from_millis(300), ..bench.join(name, &[]) };
    let nodes = [graph.add(fetch("f")), graph.add(fetch("g")), graph.add(bench.join("p", &[]))];
    let one = RunOptions { jobs: NonZeroUsize::MIN, ..options() };
    graph.run(&nodes, &bench.session(), &Silent, &one).unwrap();
    assert_eq!(bench.log.lock().unwrap().len(), 3);
}

#[test]
fn a_long_chain_does_not_exhaust_the_stack() {
    let bench = Bench::new();
    let mut graph = Graph::new();
    let mut node = graph.add(Join { text: "", ..bench.join("n", &[]) });
    for _ in 0..3_000 {
        node = graph.add(Join { text: "", ..bench.join("n", &[node]) });
    }
    let finished = graph.run(&[node], &bench.session(), &Silent, &options()).unwrap();
    // All but the first have one key: the same source over the same empty object.
    assert_eq!(finished.ran, 2);
}

#[test]
#[should_panic(expected = "reads only the results")]
fn reading_an_input_that_was_not_named_is_a_mistake_of_the_action() {
    struct Sneaky(NodeId);
    impl Action for Sneaky {
        fn name(&self) -> String {
            "sneaky".to_owned()
        }
        fn verb(&self) -> &'static str {
            "Sneaking"
        }
        fn dependencies(&self) -> Vec<NodeId> {
            Vec::new()
        }
        fn key(&self, inputs: &Inputs) -> Result<ActionKey, ActionError> {
            let _ = inputs.get(self.0);
            Ok(KeyBuilder::new("test.sneaky/1").finish())
        }
        fn run(&self, _: &Context<'_>, _: &Inputs) -> Result<ActionResult, ActionError> {
            Ok(ActionResult::default())
        }
    }
    let bench = Bench::new();
    let mut graph = Graph::new();
    let a = graph.add(bench.join("a", &[]));
    let b = graph.add(Sneaky(a));
    let _ = graph.run(&[a, b], &bench.session(), &Silent, &options());
}
