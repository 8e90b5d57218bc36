//! Reads nodes as typed values and notes every problem on the way, so that all errors of a file are told at once.
//!
//! A reading function gives `None` when the value is wrong; the problem is noted by then. Whoever is done asks
//! [`Reader::finish`], which fails when anything was noted.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use super::{Key, Node, Value, did_you_mean, flag};
use crate::diagnostic::{Diagnostics, Place, Problem, Sources, Spanned};

/// Reads nodes and collects problems.
#[derive(Debug)]
pub struct Reader<'s> {
    sources: &'s Sources,
    problems: RefCell<Vec<Problem>>,
}

impl<'s> Reader<'s> {
    /// A reader of files among `sources`.
    #[must_use]
    pub fn new(sources: &'s Sources) -> Self {
        Self { sources, problems: RefCell::new(Vec::new()) }
    }

    /// The files.
    #[must_use]
    pub fn sources(&self) -> &'s Sources {
        self.sources
    }

    /// Notes a problem.
    pub fn report(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// Notes that something is wrong at a place.
    pub fn wrong(&self, place: Place, message: impl Into<String>) {
        self.report(Problem::new(place, message));
    }

    /// Notes that this version cannot do what is asked. Nothing is accepted and ignored.
    pub fn unsupported(&self, place: Place, what: &str) {
        self.report(Problem::new(place, format!("{what} is not supported by this version of Kiln")).hint("remove it"));
    }

    /// How many problems are noted.
    #[must_use]
    pub fn count(&self) -> usize {
        self.problems.borrow().len()
    }

    /// Takes the problems noted so far.
    #[must_use]
    pub fn take_problems(&self) -> Vec<Problem> {
        self.problems.take()
    }

    /// The value, if there is one and nothing was noted.
    ///
    /// # Errors
    /// Everything that was noted.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Diagnostics> {
        let problems = self.problems.into_inner();
        match value {
            Some(value) if problems.is_empty() => Ok(value),
            _ => Err(self.sources.diagnostics(problems)),
        }
    }

    fn mismatch(&self, node: &Node, wanted: &str) -> Problem {
        Problem::new(node.place, format!("this has to be {wanted}, and is {}", node.kind()))
    }

    /// A mapping with known keys. `what` completes "unknown key of ...".
    pub fn map<'r, 'n>(&'r self, node: &'n Node, what: &'static str) -> Option<Fields<'r, 's, 'n>> {
        let entries = self.entries(node)?;
        Some(Fields { reader: self, place: node.place, what, entries, known: Vec::new(), refused: Vec::new() })
    }

    /// A mapping whose keys are data.
    pub fn entries<'n>(&self, node: &'n Node) -> Option<&'n [(Key, Node)]> {
        match &node.value {
            Value::Map(entries) => Some(entries),
            _ => {
                self.report(self.mismatch(node, "a mapping").hint("write `key: value` lines, or `{ key: value }`"));
                None
            }
        }
    }

    /// A mapping whose keys are data, each read by its type, each value by `read`.
    pub fn table<K, V>(&self, node: &Node, mut read: impl FnMut(&Key, &Node) -> Option<V>) -> Option<BTreeMap<K, V>>
    where
        K: FromStr<Err: Display> + Ord,
    {
        let mut table = BTreeMap::new();
        for (key, node) in self.entries(node)? {
            let name = self.key::<K>(key);
            let value = read(key, node);
            if let (Some(name), Some(value)) = (name, value) {
                table.insert(name, value);
            }
        }
        Some(table)
    }

    /// A key, by its type.
    pub fn key<T: FromStr<Err: Display>>(&self, key: &Key) -> Option<T> {
        self.text_as(&key.text, key.place)
    }

    /// A list.
    pub fn list<'n>(&self, node: &'n Node) -> Option<&'n [Node]> {
        match &node.value {
            Value::List(items) => Some(items),
            Value::Null | Value::Map(_) => {
                self.report(self.mismatch(node, "a list").hint("write `[a, b]`, or lines that begin with `- `"));
                None
            }
            Value::Scalar(scalar) => {
                let hint = format!("write `[{}]`", scalar.text.lines().next().unwrap_or(""));
                self.report(self.mismatch(node, "a list").hint(hint));
                None
            }
        }
    }

    /// A list whose elements are each read by `read`.
    pub fn each<T>(&self, node: &Node, read: impl FnMut(&Node) -> Option<T>) -> Option<Vec<T>> {
        Some(self.list(node)?.iter().filter_map(read).collect())
    }

    /// A list of texts, each read by its type.
    pub fn each_as<T: FromStr<Err: Display>>(&self, node: &Node) -> Option<Vec<Spanned<T>>> {
        self.each(node, |item| self.parse(item))
    }

    /// A text. A number is taken as it is written; a flag has to be put in quotes.
    pub fn text<'n>(&self, node: &'n Node) -> Option<&'n str> {
        match &node.value {
            Value::Scalar(scalar) if scalar.plain && flag(&scalar.text).is_some() => {
                self.report(self.mismatch(node, "a text").hint(format!("put it in quotes: \"{}\"", scalar.text)));
                None
            }
            Value::Scalar(scalar) => Some(&scalar.text),
            _ => {
                self.report(self.mismatch(node, "a text"));
                None
            }
        }
    }

    /// A text that says something.
    pub fn filled<'n>(&self, node: &'n Node) -> Option<&'n str> {
        let text = self.text(node)?;
        if text.trim().is_empty() {
            self.wrong(node.place, "this text is empty");
            return None;
        }
        Some(text)
    }

    /// A text that has to be of one line and say something.
    pub fn line(&self, node: &Node) -> Option<String> {
        let text = self.filled(node)?;
        if text.chars().any(char::is_control) {
            self.wrong(node.place, "this has to be one line, without control characters");
            return None;
        }
        Some(text.to_owned())
    }

    /// A text, by its type.
    pub fn parse<T: FromStr<Err: Display>>(&self, node: &Node) -> Option<Spanned<T>> {
        let text = self.text(node)?;
        Some(Spanned::new(self.text_as(text, node.place)?, node.place))
    }

    fn text_as<T: FromStr<Err: Display>>(&self, text: &str, place: Place) -> Option<T> {
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.report(Problem::new(place, error.to_string()));
                None
            }
        }
    }

    /// `true` or `false`.
    pub fn flag(&self, node: &Node) -> Option<bool> {
        if let Value::Scalar(scalar) = &node.value
            && scalar.plain
        {
            if let Some(value) = flag(&scalar.text) {
                return Some(value);
            }
            if matches!(scalar.text.to_ascii_lowercase().as_str(), "yes" | "no" | "on" | "off") {
                let hint = "YAML 1.2 knows only `true` and `false`";
                self.report(self.mismatch(node, "`true` or `false`").hint(hint));
                return None;
            }
        }
        self.report(self.mismatch(node, "`true` or `false`"));
        None
    }

    /// A whole number.
    pub fn number<T: FromStr>(&self, node: &Node) -> Option<T> {
        if let Value::Scalar(scalar) = &node.value {
            if let Ok(number) = scalar.text.parse() {
                return Some(number);
            }
            if scalar.text.parse::<i128>().is_ok() {
                self.wrong(node.place, format!("`{}` is out of range", scalar.text));
                return None;
            }
        }
        self.report(self.mismatch(node, "a whole number"));
        None
    }

    /// One of a few words.
    pub fn word<T: Copy>(&self, node: &Node, what: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(node)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let hint = did_you_mean(text, "there are", words.iter().map(|(word, _)| *word));
            self.report(Problem::new(node.place, format!("`{text}` is not {what}")).maybe_hint(hint));
        }
        found
    }
}

/// A mapping with known keys, being read. A key is known once it has been asked for.
#[derive(Debug)]
pub struct Fields<'r, 's, 'n> {
    reader: &'r Reader<'s>,
    place: Place,
    what: &'static str,
    entries: &'n [(Key, Node)],
    known: Vec<&'static str>,
    refused: Vec<&'static str>,
}

impl<'n> Fields<'_, '_, 'n> {
    /// Where the mapping stands.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// The entry under a key.
    pub fn entry(&mut self, key: &'static str) -> Option<&'n (Key, Node)> {
        self.known.push(key);
        self.entries.iter().find(|(k, _)| &*k.text == key)
    }

    /// The value under a key. A key without a value is a problem: it looks like a setting and would be none.
    pub fn take(&mut self, key: &'static str) -> Option<&'n Node> {
        let (name, node) = self.entry(key)?;
        if node.value == Value::Null {
            let problem = Problem::new(name.place, format!("`{key}` has no value"));
            self.reader.report(problem.hint("give it one, or remove the line"));
            return None;
        }
        Some(node)
    }

    /// The value under a key that has to be there.
    pub fn require(&mut self, key: &'static str) -> Option<&'n Node> {
        if !self.entries.iter().any(|(k, _)| &*k.text == key) {
            self.known.push(key);
            self.reader.wrong(self.place, format!("`{key}` is missing from {}", self.what));
            return None;
        }
        self.take(key)
    }

    /// Refuses a key whose job this version cannot do.
    pub fn refuse(&mut self, key: &'static str, what: &str) {
        self.refused.push(key);
        if let Some((name, _)) = self.entries.iter().find(|(k, _)| &*k.text == key) {
            self.reader.unsupported(name.place, what);
        }
    }

    /// Reports every key that nobody asked for.
    pub fn finish(self) {
        self.finish_except(&[]);
    }

    /// Reports every key that nobody asked for, except those that are read elsewhere.
    pub fn finish_except(self, elsewhere: &[&str]) {
        for (key, node) in self.entries {
            let text = &*key.text;
            if self.known.contains(&text) || self.refused.contains(&text) || elsewhere.contains(&text) {
                continue;
            }
            let hint = if node.value == Value::Null && text.contains(' ') {
                Some("in `{ }` and `[ ]` a comma ends a value: put a text that has one in quotes".to_owned())
            } else {
                did_you_mean(text, "keys here", self.known.iter().copied())
            };
            let problem = Problem::new(key.place, format!("unknown key `{text}`"));
            self.reader.report(problem.label(format!("not a key of {}", self.what)).maybe_hint(hint));
        }
    }
}
