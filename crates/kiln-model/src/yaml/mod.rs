//! YAML with places: a small, strict subset, read into [`Node`]s that know where they stand.
//!
//! One document a file; no anchors, aliases or tags but `!replace`; no merge keys; keys are plain texts and unique; at
//! most [`DEEPEST`] levels and [`LONGEST`] bytes. So there is no expansion, and reading is bounded by the file's size.
//! Scalars stay text: what type a value has to have is known by its reader ([`Reader`]), so `version: 1.10` is the
//! version `1.10` and never the number 1.1.

mod merge;
mod parse;
mod reader;
mod suggest;

pub use merge::{Scalars, merge};
pub use parse::{parse, parse_into};
pub use reader::{Fields, Reader};
pub use suggest::{did_you_mean, nearest};

use crate::diagnostic::Place;

/// The deepest nesting of a file.
pub const DEEPEST: usize = 32;
/// The longest file, in bytes.
pub const LONGEST: usize = 1 << 20;

/// A value in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it stands.
    pub place: Place,
    /// Is it marked `!replace`: does it take the place of an inherited value?
    pub replace: bool,
    /// What it is.
    pub value: Value,
}

/// Kinds of values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing: `key:` alone, `~` or `null`.
    Null,
    /// A text, a number or a flag.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<(Key, Node)>),
}

/// A text, a number or a flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// The text.
    pub text: Box<str>,
    /// Was it written without quotes, so that it may be a number or a flag?
    pub plain: bool,
}

/// A key of a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The text.
    pub text: Box<str>,
    /// Where it stands.
    pub place: Place,
}

impl Node {
    /// What kind of value it is, for messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Scalar(Scalar { text, plain: true }) if flag(text).is_some() => "a flag",
            Value::Scalar(Scalar { text, plain: true }) if text.parse::<f64>().is_ok() => "a number",
            Value::Scalar(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// Its value under a key, when it is a mapping.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(k, _)| &*k.text == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// Its text, when it is one; for looking ahead before the node is read in earnest.
    #[must_use]
    pub fn peek_text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }
}

fn flag(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
