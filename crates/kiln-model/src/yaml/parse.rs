//! From text to nodes, over the parser's events. The stack is ours, so depth is bounded and nothing recurses.

use std::collections::HashSet;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, Tag};

use super::{DEEPEST, Key, LONGEST, Node, Scalar, Value};
use crate::diagnostic::{Diagnostics, FileId, MOST_TOLD, Place, Problem, Sources};

/// Parses one file on its own.
///
/// # Errors
/// When it is not one document of the subset.
pub fn parse(path: &str, text: &str) -> Result<(Sources, Node), Diagnostics> {
    let mut sources = Sources::new();
    let file = sources.add(path, text);
    let mut problems = Vec::new();
    match parse_into(file, text, &mut problems) {
        Some(node) if problems.is_empty() => Ok((sources, node)),
        _ => Err(sources.diagnostics(problems)),
    }
}

/// Parses one of many files; problems are added to those given. There may be a node even when there are problems.
pub fn parse_into(file: FileId, text: &str, problems: &mut Vec<Problem>) -> Option<Node> {
    let start = Place { file, line: 1, column: 1, length: 1 };
    if text.len() > LONGEST {
        let message = format!("the file is longer than {} KiB", LONGEST / 1024);
        problems.push(Problem::new(start, message).hint("keep long content in a file of its own and refer to it"));
        return None;
    }
    let mut builder = Builder { file, stack: Vec::new(), root: None, problems, documents: 0 };
    for event in Parser::new_from_str(text) {
        let outcome = match event {
            Ok((event, span)) => builder.event(event, span),
            Err(error) => {
                let problem = scan_problem(file, text, &error);
                builder.problems.push(problem);
                return None;
            }
        };
        if outcome.is_break() {
            return None;
        }
    }
    match builder.root.take() {
        Some(Node { value: Value::Null, place, .. }) => {
            problems.push(Problem::new(place, "the file is empty"));
            None
        }
        Some(node) => Some(node),
        None => {
            problems.push(Problem::new(start, "the file is empty"));
            None
        }
    }
}

/// The parser's error in our words, where ours are better.
fn scan_problem(file: FileId, text: &str, error: &ScanError) -> Problem {
    let place = point(file, *error.marker());
    if let Some(index) = text.lines().position(|line| line.starts_with("<<<<<<< ")) {
        let line = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let problem = Problem::new(Place { file, line, column: 1, length: 7 }, "Git left a merge conflict here");
        return problem.hint("settle it: keep one side, or both, and remove the marks");
    }
    let line = text.lines().nth(error.marker().line().saturating_sub(1)).unwrap_or("");
    let tabbed = line.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t');
    let problem = Problem::new(place, format!("this is not YAML: {}", error.info()));
    if tabbed || error.info().contains("tab") {
        problem.hint("indent with spaces: YAML allows no tabs there")
    } else {
        problem
    }
}

fn point(file: FileId, marker: Marker) -> Place {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Place { file, line: number(marker.line().max(1)), column: number(marker.col() + 1), length: 1 }
}

enum Open {
    List { place: Place, replace: bool, items: Vec<Node> },
    Map { place: Place, replace: bool, entries: Vec<(Key, Node)>, seen: HashSet<Box<str>>, key: Option<Key> },
}

struct Builder<'p> {
    file: FileId,
    stack: Vec<Open>,
    root: Option<Node>,
    problems: &'p mut Vec<Problem>,
    documents: usize,
}

type Flow = std::ops::ControlFlow<()>;

impl Builder<'_> {
    fn place(&self, span: Span) -> Place {
        let mut place = point(self.file, span.start);
        if span.end.line() == span.start.line() {
            place.length = u32::try_from(span.end.col().saturating_sub(span.start.col()).max(1)).unwrap_or(u32::MAX);
        }
        place
    }

    fn fail(&mut self, problem: Problem) -> Flow {
        self.problems.push(problem);
        Flow::Break(())
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Flow {
        let place = self.place(span);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Flow::Continue(()),
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    let problem = Problem::new(place, "a second document begins here");
                    return self.fail(problem.hint("one file holds one document: remove the `---`, or split the file"));
                }
                Flow::Continue(())
            }
            Event::Alias(_) => {
                let problem = Problem::new(place, "aliases are not supported");
                self.fail(
                    problem.hint("write the value out; what several images share goes into a file they `extends:`"),
                )
            }
            Event::Scalar(text, style, anchor, tag) => {
                let replace = self.mark(place, anchor, tag.as_deref())?;
                let plain = style == ScalarStyle::Plain;
                let value = match &*text {
                    "" | "~" | "null" | "Null" | "NULL" if plain => Value::Null,
                    text => Value::Scalar(Scalar { text: text.into(), plain }),
                };
                let mut place = place;
                if plain && span.start.line() == span.end.line() {
                    place.length = u32::try_from(text.chars().count().max(1)).unwrap_or(u32::MAX);
                }
                self.node(Node { place, replace, value })
            }
            Event::SequenceStart(anchor, tag) => {
                let replace = self.mark(place, anchor, tag.as_deref())?;
                self.open(place, Open::List { place, replace, items: Vec::new() })
            }
            Event::MappingStart(anchor, tag) => {
                let replace = self.mark(place, anchor, tag.as_deref())?;
                let open = Open::Map { place, replace, entries: Vec::new(), seen: HashSet::new(), key: None };
                self.open(place, open)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(Open::List { place, replace, items }) => {
                    self.node(Node { place, replace, value: Value::List(items) })
                }
                Some(Open::Map { place, replace, entries, .. }) => {
                    self.node(Node { place, replace, value: Value::Map(entries) })
                }
                None => self.fail(Problem::new(place, "this ends something that did not begin")),
            },
        }
    }

    /// Refuses anchors and all tags but `!replace`.
    fn mark(&mut self, place: Place, anchor: usize, tag: Option<&Tag>) -> std::ops::ControlFlow<(), bool> {
        if anchor != 0 {
            self.fail(Problem::new(place, "anchors are not supported").hint("write the value out where it is needed"))?;
        }
        match tag {
            None => std::ops::ControlFlow::Continue(false),
            Some(tag) if tag.handle == "!" && tag.suffix == "replace" => std::ops::ControlFlow::Continue(true),
            Some(tag) => {
                let message = format!("unknown tag `{}{}`", tag.handle, tag.suffix);
                self.fail(Problem::new(place, message).hint("the only tag is `!replace`, before an inherited value"))?;
                std::ops::ControlFlow::Continue(false)
            }
        }
    }

    fn open(&mut self, place: Place, open: Open) -> Flow {
        if let Some(Open::Map { key: None, .. }) = self.stack.last() {
            return self.fail(Problem::new(place, "a key has to be a plain text").label("this is a list or a mapping"));
        }
        if self.stack.len() >= DEEPEST {
            return self.fail(Problem::new(place, format!("nested deeper than {DEEPEST} levels")));
        }
        self.stack.push(open);
        Flow::Continue(())
    }

    fn node(&mut self, node: Node) -> Flow {
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { key: slot @ None, .. }) => match node.value {
                Value::Scalar(scalar) if &*scalar.text != "<<" => {
                    *slot = Some(Key { text: scalar.text, place: node.place });
                }
                Value::Scalar(_) => {
                    let problem = Problem::new(node.place, "merge keys are not supported");
                    return self.fail(problem.hint("images share what a file they `extends:` says"));
                }
                _ => return self.fail(Problem::new(node.place, "a key has to be a plain text")),
            },
            Some(Open::Map { entries, seen, key, .. }) => {
                let key = key.take().expect("the arm above took a mapping without a key");
                if seen.insert(key.text.clone()) {
                    entries.push((key, node));
                } else {
                    // A search for each of a million doubled keys would take too long.
                    let few = self.problems.len() < MOST_TOLD;
                    let first = entries.iter().find(|(k, _)| few && k.text == key.text).map(|(k, _)| k.place);
                    let problem = Problem::new(key.place, format!("`{}` is given twice", key.text)).label("again here");
                    let problem = match first {
                        Some(first) => problem.related(first, "first here"),
                        None => problem,
                    };
                    // Not the end: the rest of the file is still worth reading.
                    self.problems.push(problem);
                }
            }
        }
        Flow::Continue(())
    }
}
