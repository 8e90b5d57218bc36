//! Running a plan: who goes next, on how many threads, and what comes of it.
//!
//! A node passes through at most four places: **waiting** for dependencies, **unresolved** (they are done; its key can
//! be computed and looked up), **ready** (its result is not there), **elsewhere** (another process, or another node
//! with the same key, is making it; looked at again after a while). All places are behind one mutex, which is never
//! held while a key is computed, the store is asked or an action runs.

use std::any::Any;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use kiln_model::report::Task;
use kiln_model::{ActionKey, Reporter, Silent};
use kiln_store::{ActionResult, Session};

use super::commit::{Committer, store_error};
use super::order::Plan;
use super::{
    ActionError, Context, Finished, Graph, GraphError, Inputs, NodeFailure, NodeId, Resource, RunOptions, Skipped,
};

/// How long until a node that is being made elsewhere is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The highest goes first: the longest chain, then the most work, so that no long action is left for the end, then the
/// earliest node.
type Turn = (u32, u64, Reverse<NodeId>);

#[derive(Default)]
struct State {
    /// By node: dependencies that are not done.
    missing: Vec<usize>,
    unresolved: BinaryHeap<Turn>,
    ready: BTreeMap<Resource, BinaryHeap<Turn>>,
    elsewhere: Vec<(Instant, NodeId)>,
    keys: BTreeMap<NodeId, ActionKey>,
    /// Nodes in the hands of a thread.
    active: usize,
    /// Threads that wait for a job.
    idle: BTreeMap<Resource, usize>,
    stop: bool,
    failed: BTreeMap<NodeId, ActionError>,
    /// By node that was not tried: the failed node it needs.
    skipped: BTreeMap<NodeId, NodeId>,
    fault: Option<GraphError>,
    panic: Option<Box<dyn Any + Send>>,
    ran: usize,
    cached: usize,
}

enum Job {
    Resolve(NodeId),
    Make(NodeId, ActionKey),
}

/// What became of a job.
enum Outcome {
    Cached(ActionKey, Arc<ActionResult>),
    Made(Arc<ActionResult>),
    Missing(ActionKey),
    Elsewhere,
    Failed(ActionError),
    Fault(GraphError),
}

struct Scheduler<'a> {
    graph: &'a Graph,
    plan: &'a Plan,
    session: &'a Session,
    reporter: &'a dyn Reporter,
    options: &'a RunOptions,
    committer: Committer<'a>,
    results: Vec<OnceLock<Arc<ActionResult>>>,
    state: Mutex<State>,
    /// What the threads of each resource wait at.
    processor: Condvar,
    network: Condvar,
}

pub(super) fn run(
    graph: &Graph,
    plan: &Plan,
    session: &Session,
    reporter: &dyn Reporter,
    options: &RunOptions,
) -> Result<Finished, GraphError> {
    let mut state = State { missing: plan.dependencies.iter().map(Vec::len).collect(), ..State::default() };
    for &node in plan.order.iter().filter(|node| plan.dependencies[node.index()].is_empty()) {
        state.unresolved.push(turn(graph, plan, node));
    }
    let scheduler = Scheduler {
        graph,
        plan,
        session,
        reporter,
        options,
        committer: Committer::new(session),
        results: (0..graph.nodes.len()).map(|_| OnceLock::new()).collect(),
        state: Mutex::new(state),
        processor: Condvar::new(),
        network: Condvar::new(),
    };
    std::thread::scope(|scope| {
        let scheduler = &scheduler;
        let flusher = scope.spawn(|| scheduler.publish());
        // Ends also when what follows panics, or the scope would wait for the flusher for ever.
        let end = scheduler.committer.end_when_dropped();
        std::thread::scope(|scope| {
            for (resource, width) in [(Resource::Processor, options.jobs), (Resource::Network, options.connections)] {
                // More threads than nodes would only wait.
                for _ in 0..width.get().min(plan.order.len()) {
                    scope.spawn(move || scheduler.work(resource));
                }
            }
        });
        drop(end);
        // A panic there is one of the store's, and goes on here.
        flusher.join().unwrap_or_else(|panic| resume_unwind(panic));
    });
    scheduler.finish()
}

fn turn(graph: &Graph, plan: &Plan, node: NodeId) -> Turn {
    (plan.height[node.index()], graph.action(node).map_or(0, super::Action::weight), Reverse(node))
}

impl Scheduler<'_> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One thread: takes jobs until there will be none.
    fn work(&self, resource: Resource) {
        let mut state = self.state();
        loop {
            if self.options.cancel.is_cancelled() {
                state.stop = true;
            }
            if state.stop {
                self.wake_all();
                return;
            }
            let Some(job) = self.next(&mut state, resource) else {
                let nothing_left = state.active == 0
                    && state.unresolved.is_empty()
                    && state.elsewhere.is_empty()
                    && state.ready.values().all(BinaryHeap::is_empty);
                if nothing_left {
                    self.wake_all();
                    return;
                }
                *state.idle.entry(resource).or_default() += 1;
                if resource == Resource::Processor {
                    self.committer.idle();
                }
                // The time-out is for what changes without a notice: other processes' locks and the wish to stop.
                let waited = self.waiting(resource).wait_timeout(state, LOOK_AGAIN);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
                *state.idle.entry(resource).or_default() -= 1;
                continue;
            };
            state.active += 1;
            self.wake(&state);
            drop(state);
            let (Job::Resolve(node) | Job::Make(node, _)) = job;
            let outcome = catch_unwind(AssertUnwindSafe(|| self.perform(&job)));
            state = self.state();
            state.active -= 1;
            match outcome {
                Ok(outcome) => self.settle(&mut state, node, outcome),
                Err(panic) => {
                    state.stop = true;
                    state.panic.get_or_insert(panic);
                }
            }
        }
    }

    fn waiting(&self, resource: Resource) -> &Condvar {
        match resource {
            Resource::Processor => &self.processor,
            Resource::Network => &self.network,
        }
    }

    fn wake_all(&self) {
        self.processor.notify_all();
        self.network.notify_all();
    }

    /// Wakes as many threads as there are jobs that nobody took. Who calls has taken his own already.
    fn wake(&self, state: &State) {
        let ready = |resource| state.ready.get(&resource).map_or(0, BinaryHeap::len);
        let idle = |resource| state.idle.get(&resource).copied().unwrap_or_default();
        let wake = |resource, jobs: usize| {
            let woken = jobs.min(idle(resource));
            (0..woken).for_each(|_| self.waiting(resource).notify_one());
            jobs - woken
        };
        // Any thread can resolve a node; those of the network do when all others are busy.
        let left = wake(Resource::Processor, state.unresolved.len() + ready(Resource::Processor));
        wake(Resource::Network, left.min(state.unresolved.len()) + ready(Resource::Network));
    }

    /// The thread that flushes, so that no thread that works waits for the disk.
    fn publish(&self) {
        while self.committer.wait() {
            if let Err(fault) = self.committer.flush() {
                let mut state = self.state();
                state.fault.get_or_insert(fault);
                state.stop = true;
            }
        }
    }

    fn next(&self, state: &mut State, resource: Resource) -> Option<Job> {
        // Keys first: they are cheap, and what they find decides what is worth running.
        if let Some((_, _, Reverse(node))) = state.unresolved.pop() {
            return Some(Job::Resolve(node));
        }
        let now = Instant::now();
        let due = state.elsewhere.iter().position(|(at, node)| *at <= now && self.resource(*node) == resource);
        let node = match due {
            Some(place) => state.elsewhere.remove(place).1,
            None => state.ready.get_mut(&resource)?.pop()?.2.0,
        };
        Some(Job::Make(node, state.keys[&node]))
    }

    fn resource(&self, node: NodeId) -> Resource {
        self.graph.action(node).map_or(Resource::Processor, super::Action::resource)
    }

    fn perform(&self, job: &Job) -> Outcome {
        match *job {
            Job::Resolve(node) => self.resolve(node),
            Job::Make(node, key) => self.make(node, key).unwrap_or_else(Outcome::Fault),
        }
    }

    fn inputs(&self, node: NodeId) -> Inputs {
        let result = |node: &NodeId| {
            let result = self.results[node.index()].get().expect("dependencies are resolved before their dependents");
            (*node, Arc::clone(result))
        };
        Inputs::new(self.plan.dependencies[node.index()].iter().map(result).collect())
    }

    fn resolve(&self, node: NodeId) -> Outcome {
        let action = self.graph.action(node).expect("a plan holds defined nodes only");
        let key = match action.key(&self.inputs(node)) {
            Ok(key) => key,
            Err(error) => return Outcome::Failed(error),
        };
        match self.session.action(&key) {
            Ok(Some(result)) => Outcome::Cached(key, Arc::new(result)),
            Ok(None) => Outcome::Missing(key),
            Err(error) => Outcome::Fault(store_error(error)),
        }
    }

    fn make(&self, node: NodeId, key: ActionKey) -> Result<Outcome, GraphError> {
        let Some(lock) = self.session.store().try_lock_action(&key).map_err(store_error)? else {
            self.committer.hurry();
            return Ok(Outcome::Elsewhere);
        };
        // Whoever had the lock before may have made it.
        if let Some(result) = self.session.action(&key).map_err(store_error)? {
            return Ok(Outcome::Cached(key, Arc::new(result)));
        }
        let action = self.graph.action(node).expect("a plan holds defined nodes only");
        let reporter = if action.reports_itself() { &Silent } else { self.reporter };
        let task = Task::start(reporter, action.verb(), &action.name(), action.total());
        let began = Instant::now();
        let made = {
            let context = Context {
                session: self.session,
                key,
                reporter: self.reporter,
                task: &task,
                cancel: &self.options.cancel,
                jobs: self.options.jobs,
            };
            action.run(&context, &self.inputs(node))
        };
        match made {
            Ok(result) => {
                self.committer.commit(key, &result, lock, began.elapsed())?;
                task.finish("", false);
                Ok(Outcome::Made(Arc::new(result)))
            }
            Err(error) => {
                task.finish("failed", false);
                Ok(Outcome::Failed(error))
            }
        }
    }

    fn settle(&self, state: &mut State, node: NodeId, outcome: Outcome) {
        match outcome {
            Outcome::Cached(key, result) => {
                state.cached += 1;
                state.keys.insert(node, key);
                self.done(state, node, result);
            }
            Outcome::Made(result) => {
                state.ran += 1;
                self.done(state, node, result);
            }
            Outcome::Missing(key) => {
                state.keys.insert(node, key);
                state.ready.entry(self.resource(node)).or_default().push(turn(self.graph, self.plan, node));
            }
            Outcome::Elsewhere => state.elsewhere.push((Instant::now() + LOOK_AGAIN, node)),
            Outcome::Failed(error) => {
                state.failed.insert(node, error);
                self.skip_above(state, node);
                state.stop |= !self.options.keep_going;
            }
            Outcome::Fault(fault) => {
                state.fault.get_or_insert(fault);
                state.stop = true;
            }
        }
    }

    fn done(&self, state: &mut State, node: NodeId, result: Arc<ActionResult>) {
        // A node is settled as done once, so the place is empty.
        let _ = self.results[node.index()].set(result);
        for &above in &self.plan.dependents[node.index()] {
            let missing = &mut state.missing[above.index()];
            *missing -= 1;
            if *missing == 0 {
                state.unresolved.push(turn(self.graph, self.plan, above));
            }
        }
    }

    fn skip_above(&self, state: &mut State, failed: NodeId) {
        let mut todo = vec![failed];
        while let Some(node) = todo.pop() {
            for &above in &self.plan.dependents[node.index()] {
                if state.skipped.insert(above, failed).is_none() {
                    todo.push(above);
                }
            }
        }
    }

    fn finish(self) -> Result<Finished, GraphError> {
        // Even after a failure: what was made is kept.
        let flushed = self.committer.flush();
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(panic) = state.panic {
            resume_unwind(panic);
        }
        let results: Vec<_> = self.results.into_iter().map(OnceLock::into_inner).collect();
        let done = self.plan.order.iter().filter(|node| results[node.index()].is_some()).count();
        if !state.failed.is_empty() {
            let untried = self.plan.order.len() - done - state.failed.len() - state.skipped.len();
            let failures = state.failed.into_iter().map(|(node, error)| NodeFailure {
                name: self.graph.name(node),
                error,
                needed_by: self.plan.needed_by(node).into_iter().map(|node| self.graph.name(node)).collect(),
            });
            let skipped = state
                .skipped
                .into_iter()
                .map(|(node, failed)| Skipped { name: self.graph.name(node), because_of: self.graph.name(failed) });
            let (failures, skipped) = (failures.collect(), skipped.collect());
            let finished = Finished { results, keys: state.keys, ran: state.ran, cached: state.cached };
            return Err(GraphError::Failed { failures, skipped, untried, finished: Box::new(finished) });
        }
        if let Some(fault) = state.fault {
            return Err(fault);
        }
        flushed?;
        if done < self.plan.order.len() {
            return Err(GraphError::Cancelled);
        }
        Ok(Finished { results, keys: state.keys, ran: state.ran, cached: state.cached })
    }
}
