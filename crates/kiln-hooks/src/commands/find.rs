//! find(1): a walk over what is known of the image, with what it asks of every path and what it does with it.
//!
//! Paths come in the order of their names. The order of a real `find` is that of the file system, so no hook can mean
//! another one. Where a question has no known answer, a `find` that only prints prints what is not known, and one that
//! changes something is not followed at all: nothing of it is done.

mod expression;

use std::rc::Rc;

use kiln_model::TreePath;

use self::expression::{Action, Node, Search, Test};
use super::files::{current, place};
use super::{Arguments, Call, Done, Outcome, Stuck, files, stuck, wrappers};
use crate::evaluate::Evaluator;
use crate::pattern;
use crate::state::{Effects, MadeKind};
use crate::value::{Status, Value};
use crate::world::Seen;

/// More paths than this are not gone through.
const MOST_PATHS: usize = 50_000;

/// `find`.
pub(super) fn find(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = match call.arguments.known() {
        Ok(words) => words,
        Err(Stuck(why)) => return given_up(evaluator, call, why),
    };
    let search = match Search::read(&words) {
        Ok(search) => search,
        Err(Stuck(why)) => return given_up(evaluator, call, why),
    };
    let before = evaluator.state.clone();
    let mut walk = Walk { search: &search, printed: Value::empty(), together: Vec::new(), pruned: false, paths: 0 };
    match walk.everything(evaluator) {
        Ok(status) => Ok(Done { status, output: walk.printed }),
        Err(Stuck(why)) => {
            // No part of it is done either.
            let told = std::mem::replace(&mut evaluator.state, before).unfollowed;
            evaluator.state.unfollowed.extend(told);
            given_up(evaluator, call, why)
        }
    }
}

/// What comes of a `find` that is not followed: what it may have changed is not known from here on.
fn given_up(evaluator: &mut Evaluator<'_>, call: &Call<'_>, why: Rc<str>) -> Outcome {
    let changes = |word: &str| {
        ["-exec", "-ok", "-fprint", "-fls"].iter().any(|start| word.starts_with(start)) || word == "-delete"
    };
    let words: Vec<&str> = call.arguments.0.iter().filter_map(Value::known).collect();
    if !words.iter().any(|word| changes(word)) {
        return Done::unknown(why);
    }
    for word in words {
        if let Ok(below) = place(evaluator, word) {
            evaluator.state.effects.doubt_below(&below, &why);
        }
    }
    stuck(why)
}

/// An answer, or why there is none.
type Answer = Result<bool, Rc<str>>;

struct Walk<'s, 'a> {
    search: &'s Search<'a>,
    printed: Value,
    /// What `-exec ... +` gathers, in the order in which the expression has them.
    together: Vec<(Vec<String>, Vec<String>)>,
    /// Is what is below the path left out?
    pruned: bool,
    paths: usize,
}

impl Walk<'_, '_> {
    fn everything(&mut self, evaluator: &mut Evaluator<'_>) -> Result<Status, Stuck> {
        let mut status = Status::SUCCESS;
        for start in &self.search.starts {
            let follow = self.search.follows_starts || start.ends_with('/');
            match evaluator.seen_with_earlier(start, follow) {
                Some(seen) => self.path(evaluator, start, &seen, 0)?,
                None if Effects::is_passing(&place(evaluator, start)?) => {
                    return stuck(format!("what is in `{start}` is not known"));
                }
                // It complains, and goes on.
                None => status = Status::FAILURE,
            }
        }
        for (words, paths) in std::mem::take(&mut self.together) {
            let words: Vec<Value> = words.into_iter().chain(paths).map(Value::from).collect();
            self.printed.push(&wrappers::run(evaluator, &words)?.output);
            if evaluator.state.status != Status::SUCCESS {
                status = evaluator.state.status.clone();
            }
        }
        Ok(status)
    }

    fn path(&mut self, evaluator: &mut Evaluator<'_>, text: &str, seen: &Seen, depth: usize) -> Result<(), Stuck> {
        self.paths += 1;
        if self.paths > MOST_PATHS {
            return stuck("too many paths are gone through");
        }
        let is_asked = (self.search.depths.0..=self.search.depths.1).contains(&depth);
        self.pruned = false;
        if is_asked && !self.search.inside_first {
            self.ask(evaluator, text, seen)?;
        }
        if *seen == Seen::Directory && !self.pruned && depth < self.search.depths.1 {
            let folder = place(evaluator, text)?;
            if Effects::is_passing(&folder) && !evaluator.state.effects.made.contains_key(&folder) {
                return stuck(format!("what is in `{folder}` is not known"));
            }
            for name in evaluator.names_with_earlier(&folder.to_string()) {
                let inside = format!("{}/{name}", text.strip_suffix('/').unwrap_or(text));
                if let Some(seen) = evaluator.seen_with_earlier(&inside, false) {
                    self.path(evaluator, &inside, &seen, depth + 1)?;
                }
            }
        }
        if is_asked && self.search.inside_first {
            self.ask(evaluator, text, seen)?;
        }
        Ok(())
    }

    fn ask(&mut self, evaluator: &mut Evaluator<'_>, text: &str, seen: &Seen) -> Result<(), Stuck> {
        let search = self.search;
        self.node(evaluator, &search.expression, text, seen, None).map(drop)
    }

    /// What a node says of a path. `doubt`: why it is not known whether the node is come to.
    fn node(
        &mut self,
        evaluator: &mut Evaluator<'_>,
        node: &Node,
        text: &str,
        seen: &Seen,
        doubt: Option<&Rc<str>>,
    ) -> Result<Answer, Stuck> {
        let (left, right, wanted) = match node {
            Node::Test(test) => return self.test(evaluator, test, text, seen),
            Node::Act(action) => return self.act(evaluator, action, text, seen, doubt),
            Node::Not(inner) => {
                return Ok(self.node(evaluator, inner, text, seen, doubt)?.map(|holds| !holds));
            }
            Node::And(left, right) => (left, right, true),
            Node::Or(left, right) => (left, right, false),
        };
        match self.node(evaluator, left, text, seen, doubt)? {
            Ok(holds) if holds == wanted => self.node(evaluator, right, text, seen, doubt),
            Ok(holds) => Ok(Ok(holds)),
            Err(why) => {
                let right = self.node(evaluator, right, text, seen, Some(doubt.unwrap_or(&why)))?;
                // Whatever the left one says, the right one has said it already.
                Ok(right.ok().filter(|holds| *holds != wanted).ok_or(why))
            }
        }
    }

    fn test(&self, evaluator: &mut Evaluator<'_>, test: &Test, text: &str, seen: &Seen) -> Result<Answer, Stuck> {
        let path = place(evaluator, text)?;
        let made = evaluator.state.effects.made.get(&path).map(|made| made.kind.clone());
        Ok(Ok(match test {
            Test::Always(holds) => *holds,
            Test::Type(types) => match seen {
                Seen::File { .. } => types.contains('f'),
                Seen::Directory => types.contains('d'),
                Seen::Link(_) => types.contains('l'),
                Seen::Other if types.contains(['b', 'c', 'p', 's']) => {
                    return Ok(Err(format!("which kind of file `{path}` is is not known").into()));
                }
                Seen::Other => false,
            },
            Test::Name { pattern, whole, folded } => {
                let name = text.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
                let text = if *whole { text } else { name };
                if *folded {
                    pattern::matches(&pattern.to_lowercase(), &text.to_lowercase())
                } else {
                    pattern::matches(pattern, text)
                }
            }
            Test::Empty => match (seen, made) {
                (_, Some(MadeKind::Unknown(why))) => return Ok(Err(why)),
                (_, Some(MadeKind::OfMachine(_))) => false,
                (Seen::File { .. }, _) if evaluator.seen(text, false).is_none() => {
                    return Ok(Err(format!("what another package's hook wrote to `{path}` is not known").into()));
                }
                (Seen::File { size, .. }, _) => *size == 0,
                (Seen::Directory, _) => evaluator.names_with_earlier(&path.to_string()).is_empty(),
                _ => false,
            },
            Test::Mode(sign, bits) => {
                let mode = match (seen, current(evaluator, &path)) {
                    (Seen::Link(_), _) => 0o777,
                    (_, Ok(mode)) => mode.bits(),
                    (_, Err(Stuck(why))) => return Ok(Err(why)),
                };
                match sign {
                    '-' => mode & bits == *bits,
                    '/' => mode & bits != 0 || *bits == 0,
                    _ => mode == *bits,
                }
            }
            Test::Unknown(name) => return Ok(Err(format!("what `{name}` finds is not known").into())),
        }))
    }

    fn act(
        &mut self,
        evaluator: &mut Evaluator<'_>,
        action: &Action,
        text: &str,
        seen: &Seen,
        doubt: Option<&Rc<str>>,
    ) -> Result<Answer, Stuck> {
        // What another package's hook made: it may be given away and closed, and that is all that is followed.
        let is_own = evaluator.seen(text, false).is_some();
        let gives = |words: &[String]| matches!(words.first().map(String::as_str), Some("chmod" | "chown" | "chgrp"));
        match (action, doubt) {
            (Action::Print(_), None) if !is_own => {}
            (Action::Delete, None) if !is_own => {
                return stuck(format!("it removes `{text}`, which another package's hook makes"));
            }
            (Action::Run { words, .. }, None) if !is_own && !gives(words) => {
                return stuck(format!("what it does with `{text}`, which another package's hook makes, is not known"));
            }
            (Action::Print(_), Some(why)) => self.printed.push(&Value::Unknown(Rc::clone(why))),
            (Action::Print(end), None) => self.printed.push(&format!("{text}{end}").into()),
            (_, Some(why)) => return stuck(Rc::clone(why)),
            (Action::Prune, None) => self.pruned = true,
            (Action::Delete, None) => delete(evaluator, text, seen)?,
            (Action::Run { words, together: true }, None) => {
                match self.together.iter_mut().find(|(other, _)| other == words) {
                    Some((_, paths)) => paths.push(text.to_owned()),
                    None => self.together.push((words.clone(), vec![text.to_owned()])),
                }
            }
            (Action::Run { words, together: false }, None) => {
                let words: Vec<Value> = words.iter().map(|word| word.replace("{}", text).into()).collect();
                self.printed.push(&wrappers::run(evaluator, &words)?.output);
                return Ok(match &evaluator.state.status {
                    Status::Known(code) => Ok(*code == 0),
                    Status::Unknown(why) => Err(Rc::clone(why)),
                });
            }
        }
        Ok(Ok(true))
    }
}

/// `-delete`: a folder with something in it stays.
fn delete(evaluator: &mut Evaluator<'_>, text: &str, seen: &Seen) -> Result<(), Stuck> {
    let path: TreePath = place(evaluator, text)?;
    let words = [Value::from(path.to_string())];
    let (name, handler) = match seen {
        Seen::Directory => ("rmdir", files::rmdir as super::Handler),
        _ => ("rm", files::rm as super::Handler),
    };
    handler(evaluator, &Call { name, arguments: Arguments(&words) }).map(drop)
}
