//! Which nodes a run touches, in which order they may be tried, and whether they can be at all.

use super::{Graph, GraphError, NodeId};

/// The part of a graph that some targets need.
pub(super) struct Plan {
    /// The nodes, each after everything it needs.
    pub order: Vec<NodeId>,
    /// By node: what it needs, each once, in the order it said. Empty outside the plan.
    pub dependencies: Vec<Vec<NodeId>>,
    /// By node: which nodes of the plan need it.
    pub dependents: Vec<Vec<NodeId>>,
    /// By node: how long the longest chain from it up to a target is. The longest goes first.
    pub height: Vec<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    Open,
    Done,
}

/// Finds everything that `targets` need.
pub(super) fn plan(graph: &Graph, targets: &[NodeId]) -> Result<Plan, GraphError> {
    let count = graph.nodes.len();
    let mut plan = Plan {
        order: Vec::new(),
        dependencies: vec![Vec::new(); count],
        dependents: vec![Vec::new(); count],
        height: vec![0; count],
    };
    let mut marks = vec![Mark::New; count];
    let mut seen_by = vec![None; count];
    // A stack of its own, since a graph may be deeper than a thread's stack.
    let mut stack: Vec<(NodeId, usize)> = Vec::new();
    for &target in targets {
        if marks[target.index()] == Mark::New {
            enter(graph, target, &mut plan, &mut marks, &mut seen_by, &mut stack)?;
        }
        while let Some((node, next)) = stack.last_mut() {
            let node = *node;
            let Some(&below) = plan.dependencies[node.index()].get(*next) else {
                marks[node.index()] = Mark::Done;
                plan.order.push(node);
                stack.pop();
                continue;
            };
            *next += 1;
            plan.dependents[below.index()].push(node);
            match marks[below.index()] {
                Mark::Done => {}
                Mark::New => enter(graph, below, &mut plan, &mut marks, &mut seen_by, &mut stack)?,
                Mark::Open => return Err(cycle(graph, &stack, below)),
            }
        }
    }
    for &node in plan.order.iter().rev() {
        let height = plan.dependents[node.index()].iter().map(|above| plan.height[above.index()] + 1).max();
        plan.height[node.index()] = height.unwrap_or(0);
    }
    for above in &mut plan.dependents {
        above.sort_unstable();
    }
    Ok(plan)
}

/// Begins a node. `seen_by` says of each node which one named it last, so that none is named twice.
fn enter(
    graph: &Graph,
    node: NodeId,
    plan: &mut Plan,
    marks: &mut [Mark],
    seen_by: &mut [Option<NodeId>],
    stack: &mut Vec<(NodeId, usize)>,
) -> Result<(), GraphError> {
    let action = graph.action(node).ok_or_else(|| GraphError::Undefined(graph.name(node)))?;
    let mut dependencies = action.dependencies();
    dependencies.retain(|dependency| seen_by[dependency.index()].replace(node) != Some(node));
    plan.dependencies[node.index()] = dependencies;
    marks[node.index()] = Mark::Open;
    stack.push((node, 0));
    Ok(())
}

fn cycle(graph: &Graph, stack: &[(NodeId, usize)], back_to: NodeId) -> GraphError {
    let names = stack.iter().map(|(node, _)| *node).skip_while(|node| *node != back_to).chain([back_to]);
    GraphError::Cycle(names.map(|node| graph.name(node)).collect())
}

impl Plan {
    /// The shortest way from `node` up to something that nothing else needs; of several the first by node.
    pub fn needed_by(&self, node: NodeId) -> Vec<NodeId> {
        let mut from: std::collections::BTreeMap<NodeId, NodeId> = std::collections::BTreeMap::new();
        let mut queue = std::collections::VecDeque::from([node]);
        while let Some(at) = queue.pop_front() {
            let above = &self.dependents[at.index()];
            if above.is_empty() {
                let mut path = vec![at];
                while let Some(&below) = path.last().filter(|last| **last != node).and_then(|last| from.get(last)) {
                    path.push(below);
                }
                path.reverse();
                return path;
            }
            for &next in above {
                if next != node && !from.contains_key(&next) {
                    from.insert(next, at);
                    queue.push_back(next);
                }
            }
        }
        vec![node]
    }
}
