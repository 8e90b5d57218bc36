//! What a hook has done so far, in a form that can be copied, compared and joined.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use brush_parser::ast::FunctionBody;
use kiln_model::facts::{Directory, File, FileContent, FirstBoot, Group, Mode, Permission, Service, User};
use kiln_model::name::AccountName;
use kiln_model::{Facts, TreePath};

use crate::account::{Became, Outcome, Unfollowed};
use crate::evaluate::{Doubt, PROCESS};
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
    /// What a machine makes for itself by the job whose first file this is: a key, an identity.
    OfMachine(TreePath),
}

/// Work that each machine has to do for itself, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// What it makes, in a line.
    pub summary: String,
    /// The mask that it ran with.
    pub umask: u16,
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
    /// Whose links themselves are that packages ship.
    pub links: BTreeMap<TreePath, Permission>,
    /// Alternatives, services and the like, which are recorded as they are.
    pub facts: Facts,
    /// Work of machines, by the first path that it makes.
    pub jobs: BTreeMap<TreePath, Job>,
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
    pub aliases: BTreeMap<String, String>,
    pub status: Status,
    /// What the script does at its end, by `trap`.
    pub at_exit: Option<Value>,
    pub directory: String,
    pub errexit: bool,
    /// What `umask` takes from the mode of new files.
    pub umask: u16,
    /// That this may not be reached. Nothing may happen then without being told.
    pub doubt: Option<Doubt>,
    pub outcomes: Vec<Outcome>,
    pub unfollowed: BTreeSet<Unfollowed>,
    /// Answers that the script itself gave.
    pub answers: BTreeMap<String, Value>,
    pub questions: BTreeSet<String>,
    /// What `db_subst` fills into questions, by question and name.
    pub filled_in: BTreeMap<(String, String), Value>,
    /// Questions that `db_input` brought up and `db_go` has not put yet.
    pub to_ask: BTreeSet<String>,
    /// Was something asked for that hooks of other packages may have made before?
    pub asks_earlier: bool,
    /// Users with their homes, and groups, that systemd-sysusers made.
    pub sysusers: (BTreeMap<String, String>, BTreeSet<String>),
    /// What dpkg says of a package, as far as it is known, under the reason why the whole is not.
    pub record: Option<(Rc<str>, String)>,
    /// A line of the table of users, in which all but the numbers is known, under the reason why the whole is not.
    pub user_line: Option<(Rc<str>, String)>,
    /// Units that deb-systemd-helper was told of, each with whether its links are there.
    pub units: BTreeMap<String, bool>,
    /// Triggers that some way sets off, whether or not it is gone.
    pub perhaps: BTreeSet<String>,
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
            aliases: BTreeMap::new(),
            status: Status::SUCCESS,
            at_exit: None,
            directory: "/".to_owned(),
            errexit: false,
            umask: USUAL_UMASK,
            doubt: None,
            outcomes: Vec::new(),
            unfollowed: BTreeSet::new(),
            answers: BTreeMap::new(),
            questions: BTreeSet::new(),
            filled_in: BTreeMap::new(),
            to_ask: BTreeSet::new(),
            asks_earlier: false,
            sysusers: Default::default(),
            units: BTreeMap::new(),
            user_line: None,
            record: None,
            perhaps: BTreeSet::new(),
            input: None,
        }
    }
}

/// The mask that the package manager runs hooks with.
pub(crate) const USUAL_UMASK: u16 = 0o022;

/// Folders whose content does not outlive a start, or is the kernel's: what a hook leaves there is nothing of an image.
const PASSING: &[&str] = &["tmp", "dev", "proc", "sys"];

impl Effects {
    /// Is a path in a folder whose content does not last?
    pub fn is_passing(path: &TreePath) -> bool {
        path.components().next().is_some_and(|first| PASSING.contains(&first))
            || path.as_str().starts_with("var/tmp/")
            || path.as_str().starts_with("var/lib/dpkg/")
            || path.as_str().starts_with("var/cache/debconf/")
            || path.as_str().starts_with("var/lib/ucf/")
    }

    /// Do two ways agree in everything that lasts? What is in folders whose content does not may differ.
    pub fn lasts_as(&self, other: &Self) -> bool {
        fn lasting<V>(map: &BTreeMap<TreePath, V>) -> impl Iterator<Item = (&TreePath, &V)> {
            map.iter().filter(|(path, _)| !Effects::is_passing(path))
        }
        let removed = |effects: &Self| -> Vec<TreePath> {
            effects.removed.iter().filter(|path| !Self::is_passing(path)).cloned().collect()
        };
        lasting(&self.made).eq(lasting(&other.made))
            && lasting(&self.permissions).eq(lasting(&other.permissions))
            && lasting(&self.links).eq(lasting(&other.links))
            && removed(self) == removed(other)
            && (&self.facts, &self.jobs, &self.triggers) == (&other.facts, &other.jobs, &other.triggers)
    }

    /// Makes every file unknown that is gone, or is another one, on a way that may have been gone: a copy that the hook
    /// compares and then moves or removes must not be left behind. What is only given away or closed stays.
    pub fn doubt_where(&mut self, other: &Self, why: &Rc<str>) {
        for (path, made) in &mut self.made {
            let same = other.made.get(path).is_some_and(|other| other.kind == made.kind);
            if !same && made.kind != MadeKind::Directory {
                made.kind = MadeKind::Unknown(Rc::clone(why));
            }
        }
    }

    /// Makes every file unknown whose name or content has the number of a process, which nobody knows.
    pub fn doubt_processes(&mut self) {
        let has = |text: &str| text.contains(PROCESS);
        for (path, made) in &mut self.made {
            let inside = match &made.kind {
                MadeKind::Text(text) => has(text),
                MadeKind::Link(target) => has(target),
                MadeKind::Copy(from) => has(from.as_str()),
                _ => false,
            };
            if inside || has(path.as_str()) {
                made.kind = MadeKind::Unknown("the number of a process is not known".into());
            }
        }
    }

    /// Makes every file at or below a path unknown: something that is not followed may have changed or removed it.
    pub fn doubt_below(&mut self, path: &TreePath, why: &Rc<str>) {
        let below =
            self.made.iter_mut().filter(|(made, what)| made.starts_with(path) && what.kind != MadeKind::Directory);
        below.for_each(|(_, made)| made.kind = MadeKind::Unknown(Rc::clone(why)));
    }

    /// Makes what does not last and is not the same on another way unknown: it may be there, with whatever in it.
    fn join_passing(&mut self, other: &Self, why: &Rc<str>) {
        let paths: BTreeSet<TreePath> =
            self.made.keys().chain(other.made.keys()).filter(|path| Self::is_passing(path)).cloned().collect();
        for path in paths {
            if self.made.get(&path) != other.made.get(&path) {
                self.made.insert(path, Made::new(MadeKind::Unknown(Rc::clone(why))));
            }
        }
    }

    /// Whose links themselves are: of those that packages ship, and of those that the hook made.
    pub fn owners_of_links(&self) -> BTreeMap<TreePath, Permission> {
        let is_link = |made: &&Made| matches!(made.kind, MadeKind::Link(_));
        let made = self.made.iter().filter(|(_, made)| is_link(made)).map(|(path, made)| {
            let (owner, group) = (made.owner.clone(), made.group.clone());
            (path.clone(), Permission { owner, group, ..Permission::default() })
        });
        let all = self.links.iter().map(|(path, permission)| (path.clone(), permission.clone())).chain(made);
        all.filter(|(path, given)| !Self::is_passing(path) && *given != Permission::default()).collect()
    }

    /// The facts. What is at a path is one of a directory, a file, a link; its permissions go with it.
    pub fn into_facts(self, package: &str) -> Facts {
        let jobs = self.first_boot(package);
        let mut facts = self.facts;
        facts.first_boot.extend(jobs);
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
                MadeKind::Unknown(_) | MadeKind::OfMachine(_) => continue,
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

    /// The jobs of machines, each with whose its files are to be.
    fn first_boot(&self, package: &str) -> BTreeMap<String, FirstBoot> {
        let units = self.facts.services.iter().filter(|(unit, service)| service.enabled && unit.ends_with(".service"));
        let before: BTreeSet<String> = units.map(|(unit, _)| unit.clone()).collect();
        let mut jobs = BTreeMap::new();
        for (creates, job) in &self.jobs {
            if !self.made.get(creates).is_some_and(|made| made.kind == MadeKind::OfMachine(creates.clone())) {
                continue;
            }
            let mut after = Vec::new();
            for (path, made) in self.made.iter().filter(|(_, made)| made.kind == MadeKind::OfMachine(creates.clone())) {
                let name = |name: &Option<AccountName>| name.as_ref().map_or("", AccountName::as_str).to_owned();
                match (name(&made.owner), name(&made.group)) {
                    (owner, group) if owner.is_empty() && group.is_empty() => {}
                    (owner, group) if group.is_empty() => after.push(format!("chown {owner} {path}")),
                    (owner, group) => after.push(format!("chown {owner}:{group} {path}")),
                }
                after.extend(made.mode.map(|mode| format!("chmod {mode} {path}")));
            }
            let mut command = job.command.clone();
            if job.umask != USUAL_UMASK || !after.is_empty() {
                let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
                let mut parts = vec![words.join(" ")];
                if job.umask != USUAL_UMASK {
                    parts.insert(0, format!("umask {:04o}", job.umask));
                }
                parts.extend(after);
                command = ["/bin/sh", "-c", &parts.join(" && ")].map(str::to_owned).to_vec();
            }
            let file: String = creates.file_name().unwrap_or_default().to_owned();
            let file = file.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
            let job = FirstBoot {
                summary: job.summary.clone(),
                command,
                creates: creates.clone(),
                user: None,
                before: before.clone(),
            };
            jobs.insert(format!("{package}-{}", file.trim_matches('-')), job);
        }
        jobs
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

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
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
        self.effects.join_passing(&other.effects, why);
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
        let filled: BTreeSet<(String, String)> = self.filled_in.keys().chain(other.filled_in.keys()).cloned().collect();
        for name in filled {
            if self.filled_in.get(&name) != other.filled_in.get(&name) {
                self.filled_in.insert(name, Value::Unknown(Rc::clone(why)));
            }
        }
        self.to_ask.extend(other.to_ask.iter().cloned());
        if self.status != other.status {
            self.status = Status::Unknown(Rc::clone(why));
        }
        if self.at_exit != other.at_exit {
            self.at_exit = Some(Value::Unknown(Rc::clone(why)));
        }
        if self.input != other.input {
            self.input = Some(Value::Unknown(Rc::clone(why)));
        }
        self.functions.extend(other.functions.iter().map(|(name, body)| (name.clone(), body.clone())));
        self.unfollowed.extend(other.unfollowed.iter().cloned());
        self.questions.extend(other.questions.iter().cloned());
        self.asks_earlier |= other.asks_earlier;
        // Where two ways differ, both lead on: what is asked of it is what a fresh system says.
        self.units.retain(|unit, state| other.units.get(unit) == Some(state));
        self.sysusers.0.retain(|name, home| other.sysusers.0.get(name) == Some(home));
        self.sysusers.1.retain(|name| other.sysusers.1.contains(name));
        self.perhaps.extend(other.perhaps.iter().cloned());
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
