//! What came of a package's hooks: the result of a reading, and the account of it line by line.

use std::collections::{BTreeMap, BTreeSet};

use kiln_model::facts::Permission;
use kiln_model::{Facts, TreePath};

/// What the hooks of a package come to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    /// What they declare.
    pub facts: Facts,
    /// Permissions of paths that no package ships. They count where something else brings the path.
    pub elsewhere: BTreeMap<TreePath, Permission>,
    /// Whose symbolic links themselves are. No fact says that: what is said of a link's path is meant of where it leads.
    pub links: BTreeMap<TreePath, Permission>,
    /// Every command that would have run, and what became of it, in the order they would have run.
    pub outcomes: Vec<Outcome>,
    /// What could not be followed. Nothing is guessed of it.
    pub unfollowed: Vec<Unfollowed>,
    /// Triggers that they activate.
    pub triggers: BTreeSet<String>,
    /// Triggers that they may activate besides, by a way of which it is not known whether it is gone.
    pub perhaps: BTreeSet<String>,
    /// Questions of debconf whose answers they asked for.
    pub questions: BTreeSet<String>,
    /// Did they ask for something that hooks of other packages may have made before?
    pub asks_earlier: bool,
    /// Those of `elsewhere` that hooks before these made: here the later word counts.
    pub later: BTreeSet<TreePath>,
}

/// A command of a hook and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outcome {
    /// Where it stands.
    pub place: Place,
    /// The command.
    pub command: String,
    /// What became of it.
    pub became: Became,
}

/// A line of a hook. Shown as `postinst:12`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The script: `preinst`, `postinst` or `config`.
    pub script: String,
    /// The line, from 1.
    pub line: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.script, self.line)
    }
}

/// What becomes of a command that does not run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Became {
    /// A fact, of this kind, about this path or name.
    Fact(&'static str, String),
    /// Permissions of this path, which no package ships: a fact where something else in the image brings it.
    Elsewhere(String),
    /// This finalizer derives what it would have made.
    Finalizer(&'static str),
    /// It activates a trigger.
    Trigger(String),
    /// Nothing, for this reason.
    Nothing(&'static str),
}

/// Something in a hook that could not be followed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unfollowed {
    /// Where it stands.
    pub place: Place,
    /// The command or condition.
    pub text: String,
    /// Why.
    pub why: String,
}
