//! What a hook has done so far, in a form that can be copied, compared and joined.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use brush_parser::ast::FunctionBody;
use kiln_model::facts::{Directory, File, FileContent, Group, Mode, Permission, Service, User};
use kiln_model::name::AccountName;
use kiln_model::{Facts, TreePath};

use crate::account::{Became, Outcome, Unfollowed};
use crate::value::{Status, Value};

/// A path that the hook made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    pub kind: MadeKind,
    pub mode: Option<Mode>,
    pub owner: Option<AccountName>,
    pub group: Option<AccountName>,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MadeKind {
    Directory,
    /// A file with this content.
    Text(String),
    /// A copy of a file of the image.
    Copy(TreePath),
    /// A file whose content is not known. It must not be left at the end.
    Unknown(Rc<str>),
    Link(String),
}

impl Made {
    pub fn new(kind: MadeKind) -> Self {
        Self { kind, mode: None, owner: None, group: None }
    }
}

/// What counts in the end: two ways through a script that agree in this are one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Effects {
    pub made: BTreeMap<TreePath, Made>,
    pub removed: BTreeSet<TreePath>,
    pub permissions: BTreeMap<TreePath, Permission>,
    /// Alternatives, services and the like, which are recorded as they are.
    pub facts: Facts,
    pub triggers: BTreeSet<String>,
}

/// Everything that changes while a script is read.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub effects: Effects,
    pub variables: BTreeMap<String, Value>,
    pub arguments: Vec<Value>,
    /// Each with whether another file than the script has it.
    pub functions: BTreeMap<String, (Rc<FunctionBody>, bool)>,
    pub status: Status,
    pub directory: String,
    pub errexit: bool,
    /// Why the script may have ended already. Nothing may happen after that without being told.
    pub doubt: Option<Rc<str>>,
    pub outcomes: Vec<Outcome>,
    pub unfollowed: BTreeSet<Unfollowed>,
    /// Answers that the script itself gave.
    pub answers: BTreeMap<String, Value>,
    pub questions: BTreeSet<String>,
    /// What a command reads.
    pub input: Option<Value>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            effects: Effects::default(),
            variables: BTreeMap::new(),
            arguments: Vec::new(),
            functions: BTreeMap::new(),
            status: Status::SUCCESS,
            directory: "/".to_owned(),
            errexit: false,
            doubt: None,
            outcomes: Vec::new(),
            unfollowed: BTreeSet::new(),
            answers: BTreeMap::new(),
            questions: BTreeSet::new(),
            input: None,
        }
    }
}

/// Folders whose content does not outlive a start, or is the kernel's: what a hook leaves there is nothing of an image.
const PASSING: &[&str] = &["tmp", "dev", "proc", "sys"];

impl Effects {
    /// Is a path in a folder whose content does not last?
    pub fn is_passing(path: &TreePath) -> bool {
        path.components().next().is_some_and(|first| PASSING.contains(&first))
            || path.as_str().starts_with("var/tmp/")
            || path.as_str().starts_with("var/lib/dpkg/")
            || path.as_str().starts_with("var/cache/debconf/")
    }

    /// The facts. What is at a path is one of a directory, a file, a link; its permissions go with it.
    pub fn into_facts(self) -> Facts {
        let mut facts = self.facts;
        for (path, made) in self.made {
            if Self::is_passing(&path) {
                continue;
            }
            let Made { kind, mode, owner, group } = made;
            let content = match kind {
                MadeKind::Directory => {
                    facts.directories.insert(path, Directory { owner, group, mode });
                    continue;
                }
                MadeKind::Link(target) => {
                    facts.links.insert(path, target);
                    continue;
                }
                MadeKind::Text(text) => FileContent::Content(text),
                MadeKind::Copy(from) => FileContent::Copy(from),
                MadeKind::Unknown(_) => continue,
            };
            facts.files.insert(path, File { content, mode, owner, group });
        }
        for (path, permission) in self.permissions {
            if !Self::is_passing(&path) && permission != Permission::default() {
                facts.permissions.insert(path, permission);
            }
        }
        facts
    }

    /// Adds a user, or to what is said of one.
    pub fn user(&mut self, name: AccountName) -> &mut User {
        self.facts.users.entry(name).or_default()
    }

    /// Adds a group, or to what is said of one.
    pub fn group(&mut self, name: AccountName) -> &mut Group {
        self.facts.groups.entry(name).or_default()
    }

    /// Adds a unit, or to what is said of one.
    pub fn service(&mut self, unit: &str) -> &mut Service {
        self.facts.services.entry(unit.to_owned()).or_default()
    }
}

impl State {
    /// Takes from the account what has an effect, but for the first `count` outcomes.
    pub fn forget_effects_after(&mut self, count: usize) {
        let mut index = 0;
        self.outcomes.retain(|outcome| {
            index += 1;
            index <= count || !matches!(outcome.became, Became::Fact(..) | Became::Trigger(_))
        });
    }

    /// What is the same however a condition went: variables that differ are not known any more.
    pub fn join(&mut self, other: &Self, why: &Rc<str>) {
        let names: BTreeSet<String> = self.variables.keys().chain(other.variables.keys()).cloned().collect();
        for name in names {
            if self.variables.get(&name) != other.variables.get(&name) {
                self.variables.insert(name, Value::Unknown(Rc::clone(why)));
            }
        }
        let answered: BTreeSet<String> = self.answers.keys().chain(other.answers.keys()).cloned().collect();
        for question in answered {
            if self.answers.get(&question) != other.answers.get(&question) {
                self.answers.insert(question, Value::Unknown(Rc::clone(why)));
            }
        }
        if self.status != other.status {
            self.status = Status::Unknown(Rc::clone(why));
        }
        if self.input != other.input {
            self.input = Some(Value::Unknown(Rc::clone(why)));
        }
        self.functions.extend(other.functions.iter().map(|(name, body)| (name.clone(), body.clone())));
        self.unfollowed.extend(other.unfollowed.iter().cloned());
        self.questions.extend(other.questions.iter().cloned());
        for outcome in &other.outcomes {
            if !self.outcomes.contains(outcome) {
                self.outcomes.push(outcome.clone());
            }
        }
        if self.doubt.is_none() {
            self.doubt.clone_from(&other.doubt);
        }
    }
}
