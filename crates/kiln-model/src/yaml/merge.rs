//! Inheritance, for `extends:` and `base:` alike: lists append, mappings merge, `!replace` replaces.

use std::collections::HashMap;

use super::{Node, Value};
use crate::diagnostic::Problem;

/// What a scalar does that is given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalars {
    /// It overrides the inherited one, as in a recipe with a `base:`.
    Override,
    /// It is an error unless marked `!replace`, as between an image and what it extends.
    MarkReplaced,
}

/// Lays `over` on top of `under`. Every value keeps its own place, so later errors point to the file that is wrong.
pub fn merge(under: Node, over: Node, scalars: Scalars, problems: &mut Vec<Problem>) -> Node {
    merge_at(under, over, scalars, "", problems)
}

fn merge_at(under: Node, over: Node, scalars: Scalars, key: &str, problems: &mut Vec<Problem>) -> Node {
    if over.replace {
        return over;
    }
    let replace = under.replace;
    match (under.value, over.value) {
        (Value::List(mut first), Value::List(second)) => {
            first.extend(second);
            Node { place: over.place, replace, value: Value::List(first) }
        }
        (Value::Map(mut first), Value::Map(second)) => {
            let index: HashMap<Box<str>, usize> =
                first.iter().enumerate().map(|(at, (key, _))| (key.text.clone(), at)).collect();
            for (name, node) in second {
                match index.get(&name.text).copied() {
                    None => first.push((name, node)),
                    Some(at) => {
                        let empty = Node { place: node.place, replace: false, value: Value::Null };
                        let inherited = std::mem::replace(&mut first[at].1, empty);
                        first[at].1 = merge_at(inherited, node, scalars, &name.text, problems);
                        first[at].0 = name;
                    }
                }
            }
            Node { place: over.place, replace, value: Value::Map(first) }
        }
        (Value::Scalar(first), Value::Scalar(second)) => {
            if scalars == Scalars::MarkReplaced {
                let problem = Problem::new(over.place, format!("`{key}` is already set by what this file extends"));
                let hint = format!("write `{key}: !replace {}` to set it anew", second.text);
                problems.push(problem.label("set again here").related(under.place, "first set here").hint(hint));
            }
            drop(first);
            Node { place: over.place, replace, value: Value::Scalar(second) }
        }
        (Value::Null, value) => Node { place: over.place, replace, value },
        (value, Value::Null) => Node { place: under.place, replace, value },
        (first, second) => {
            let under = Node { place: under.place, replace, value: first };
            let over = Node { place: over.place, replace: false, value: second };
            let message = format!("`{key}` is {} here, but {} in what this extends", over.kind(), under.kind());
            problems.push(Problem::new(over.place, message).related(under.place, "the inherited value"));
            over
        }
    }
}
