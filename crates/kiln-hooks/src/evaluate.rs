//! Follows a script the way a fresh installation would go through it, with values that are known or not.
//!
//! A condition that is not known is followed both ways. When both come to the same, it did not matter; when they do not,
//! neither is taken, and the condition is reported. Two things are certain without being known: a hook that ends with a
//! failure ends the installation, so the way there was not taken; and a command whose result nobody looks at succeeded.
//! Where a hook fails on every way that is read, something in it was misread: that is reported, and what comes after is
//! followed, since an installation gets there.

mod compound;
mod doubt;
mod expand;
mod input;
mod simple;

use std::collections::BTreeMap;
use std::rc::Rc;

use brush_parser::SourceSpan;
use brush_parser::ast::{AndOr, AndOrList, Command, CompoundCommand, CompoundList, Pipeline, SourceLocation};
use kiln_model::TreePath;

use crate::account::{Became, Outcome, Place, Unfollowed};
use crate::debconf::Question;
use crate::paths;
use crate::script;
use crate::state::{Effects, MadeKind, State, USUAL_UMASK};
use crate::value::{Status, Value};
use crate::world::World;
pub(crate) use doubt::Doubt;
use doubt::Reach;
pub(crate) use expand::PROCESS;

/// What happens after a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Next,
    /// The script ends, with success or not.
    Exit(bool),
    Return,
    Break,
    Continue,
}

/// Whose scripts they are: who would run them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manager {
    Dpkg,
    Rpm,
    /// Of Alpine, where busybox's commands are the usual ones.
    Apk,
}

/// So many commands are followed in one script; a loop that goes on is not.
const MOST_STEPS: usize = 100_000;

/// What is told where a hook would end an installation.
const FAILS: &str = "as it is read, the hook ends here with a failure, which no installation does";

/// So deep may functions call each other.
const MOST_CALLS: usize = 60;

/// Follows scripts of one package.
pub(crate) struct Evaluator<'w> {
    pub world: &'w dyn World,
    pub package: &'w str,
    pub manager: Manager,
    /// The questions that the package brings.
    pub templates: Rc<BTreeMap<String, Question>>,
    pub state: State,
    /// The script that is read: `preinst`, `postinst`, `config`.
    script: &'static str,
    lines: Vec<String>,
    /// The line that commands of a text within the script belong to.
    fixed_line: Option<usize>,
    line: usize,
    /// Is the status of what runs looked at?
    in_condition: usize,
    steps: usize,
    calls: usize,
    /// Ways of conditions and subshells around what is followed: what fails there ends no installation for certain.
    nested: usize,
    /// What a command prints, where somebody reads it.
    captured: Vec<Value>,
}

impl<'w> Evaluator<'w> {
    pub fn new(world: &'w dyn World, package: &'w str, manager: Manager) -> Self {
        Self {
            world,
            package,
            manager,
            templates: Rc::default(),
            state: State::default(),
            script: "postinst",
            lines: Vec::new(),
            fixed_line: None,
            line: 0,
            in_condition: 0,
            steps: 0,
            calls: 0,
            nested: 0,
            captured: Vec::new(),
        }
    }

    /// Follows a whole script with its arguments.
    pub fn script(&mut self, name: &'static str, text: &str, arguments: &[Value], world: &'w dyn World) {
        self.script = name;
        self.world = world;
        self.lines = text.lines().map(str::to_owned).collect();
        self.line = 1;
        self.steps = 0;
        self.state.arguments = arguments.to_vec();
        self.state.doubt = None;
        self.state.functions.clear();
        self.state.aliases.clear();
        self.state.at_exit = None;
        self.state.directory = "/".to_owned();
        self.state.input = None;
        self.state.umask = USUAL_UMASK;
        self.state.variables = self.environment(name);
        let interpreter = text.lines().next().unwrap_or_default();
        self.state.errexit =
            interpreter.split_ascii_whitespace().skip(1).any(|word| word.starts_with('-') && word.contains('e'));
        if !is_shell(interpreter) {
            self.unfollowed("it is no shell script".into());
            return;
        }
        let program = match script::parse(text, self.is_bash()) {
            Ok(program) => program,
            Err(why) => return self.unfollowed(why.into()),
        };
        for list in &program.complete_commands {
            match self.list(list) {
                Flow::Next => {}
                // It does not, or there would be no installation; whatever was misread, what comes next is gone through.
                Flow::Exit(false) => self.unfollowed(FAILS.into()),
                _ => break,
            }
        }
        self.at_exit();
    }

    fn environment(&self, script: &str) -> BTreeMap<String, Value> {
        let known = [
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            ("HOME", "/root"),
            ("PWD", "/"),
            ("IFS", " \t\n"),
        ];
        let of_dpkg = [
            ("DPKG_ROOT", ""),
            ("DPKG_MAINTSCRIPT_PACKAGE", self.package),
            ("DPKG_MAINTSCRIPT_NAME", script),
            ("DPKG_MAINTSCRIPT_ARCH", self.world.architecture()),
            ("DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT", "1"),
            ("DPKG_ADMINDIR", "/var/lib/dpkg"),
            ("DEBIAN_FRONTEND", "noninteractive"),
        ];
        let own: &[(&str, &str)] = if self.manager == Manager::Dpkg { &of_dpkg } else { &[] };
        let mut variables: BTreeMap<String, Value> =
            known.iter().chain(own).map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
        if self.manager != Manager::Dpkg {
            return variables;
        }
        // dpkg sets it; which version it has in the image's future nobody can tell.
        variables.insert("DPKG_RUNNING_VERSION".to_owned(), Value::unknown("the version of dpkg is not known"));
        variables
    }

    // What is told.

    pub fn place(&self) -> Place {
        Place { script: self.script.to_owned(), line: self.fixed_line.unwrap_or(self.line).max(1) }
    }

    /// Is the script written for bash?
    fn is_bash(&self) -> bool {
        self.lines.first().is_some_and(|line| line.starts_with("#!") && line.contains("bash"))
    }

    fn text(&self) -> String {
        let line = self.fixed_line.unwrap_or(self.line).max(1);
        self.lines.get(line - 1).map_or("", |text| text.trim()).chars().take(200).collect()
    }

    /// Tells that something here cannot be followed.
    pub fn unfollowed(&mut self, why: Rc<str>) {
        let unfollowed = Unfollowed { place: self.place(), text: self.text(), why: why.to_string() };
        self.state.unfollowed.insert(unfollowed);
    }

    /// Tells that what a command does is not known, so that what it is given by name is not known from here on.
    pub fn unfollowed_with(&mut self, why: &Rc<str>, arguments: &[Value]) {
        self.unfollowed(Rc::clone(why));
        for path in arguments.iter().filter_map(|argument| paths::tree(argument.known()?)) {
            if let Some(made) = self.state.effects.made.get_mut(&path)
                && made.kind != MadeKind::Directory
            {
                made.kind = MadeKind::Unknown(Rc::clone(why));
            }
        }
    }

    /// Tells what became of the command here.
    pub fn note(&mut self, became: Became) {
        let outcome = Outcome { place: self.place(), command: self.text(), became };
        if !self.state.outcomes.contains(&outcome) {
            self.state.outcomes.push(outcome);
        }
    }

    /// Has an effect, unless the script may have ended before.
    pub fn effect(&mut self, became: Became, apply: impl FnOnce(&mut Effects)) {
        if self.change(apply) {
            self.note(became);
        }
    }

    /// Changes what there is, unless the script may have ended before: that is told, and what would have been changed is
    /// not known from here on. Was it changed?
    pub fn change(&mut self, apply: impl FnOnce(&mut Effects)) -> bool {
        let Some(why) = self.state.doubt.as_ref().map(|doubt| Rc::clone(&doubt.why)) else {
            apply(&mut self.state.effects);
            return true;
        };
        let mut otherwise = self.state.effects.clone();
        apply(&mut otherwise);
        self.state.effects.doubt_where(&otherwise, &why);
        self.unfollowed(format!("whether the hook gets here is not known: {why}").into());
        false
    }

    /// Takes away what the hook itself made. What does not last may go in any case.
    pub fn take_away(&mut self, made: &[TreePath]) {
        let (passing, lasting): (Vec<_>, Vec<_>) = made.iter().partition(|path| Effects::is_passing(path));
        passing.into_iter().for_each(|path| drop(self.state.effects.made.remove(path)));
        if !lasting.is_empty() {
            self.change(|effects| lasting.into_iter().for_each(|path| drop(effects.made.remove(path))));
        }
    }

    /// Prints.
    pub fn print(&mut self, text: &Value) {
        if let Some(captured) = self.captured.last_mut() {
            captured.push(text);
        }
    }

    fn at(&mut self, span: Option<SourceSpan>) {
        if let (None, Some(span)) = (self.fixed_line, span) {
            self.line = span.start.line;
        }
    }

    // Lists.

    pub fn list(&mut self, list: &CompoundList) -> Flow {
        for item in &list.0 {
            let flow = self.and_or(&item.0);
            if flow != Flow::Next {
                return flow;
            }
        }
        Flow::Next
    }

    fn and_or(&mut self, list: &AndOrList) -> Flow {
        self.rest(&list.first, &list.additional)
    }

    /// A pipeline and those that depend on how it ends.
    fn rest(&mut self, first: &Pipeline, more: &[AndOr]) -> Flow {
        let looked_at = !more.is_empty() || first.bang;
        self.in_condition += usize::from(looked_at);
        let flow = self.pipeline(first);
        self.in_condition -= usize::from(looked_at);
        if flow != Flow::Next {
            return flow;
        }
        let Some((next, more)) = more.split_first() else { return Flow::Next };
        let (wanted, pipeline) = match next {
            AndOr::And(pipeline) => (true, pipeline),
            AndOr::Or(pipeline) => (false, pipeline),
        };
        let status = self.state.status.clone();
        let line = self.line;
        match status.truth() {
            Some(truth) if truth == wanted => self.rest(pipeline, more),
            Some(_) => self.skip(more),
            None => {
                let why = reason(&status);
                self.line = line;
                self.fork(
                    &why,
                    |evaluator| evaluator.rest(pipeline, more),
                    |evaluator| {
                        evaluator.state.status = Status::of(!wanted);
                        evaluator.skip(more)
                    },
                )
            }
        }
    }

    /// Goes on after a pipeline that was passed over.
    fn skip(&mut self, more: &[AndOr]) -> Flow {
        let Some((next, more)) = more.split_first() else { return Flow::Next };
        let (wanted, pipeline) = match next {
            AndOr::And(pipeline) => (true, pipeline),
            AndOr::Or(pipeline) => (false, pipeline),
        };
        match self.state.status.truth() {
            Some(truth) if truth == wanted => self.rest(pipeline, more),
            _ => self.skip(more),
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline) -> Flow {
        self.at(pipeline.location());
        let flow = match pipeline.seq.as_slice() {
            [command] => self.command(command),
            commands => self.piped(commands),
        };
        if pipeline.bang {
            self.state.status = self.state.status.clone().negated();
        }
        let ends = self.state.errexit && self.in_condition == 0 && !pipeline.bang && is_looked_at(pipeline);
        if flow == Flow::Next && ends {
            return match &self.state.status {
                Status::Known(0) => Flow::Next,
                Status::Known(_) if self.nested > 0 => Flow::Exit(false),
                Status::Known(_) => {
                    self.unfollowed(FAILS.into());
                    self.state.status = Status::SUCCESS;
                    Flow::Next
                }
                // It succeeded, or there would be no installation.
                Status::Unknown(_) => {
                    self.state.status = Status::SUCCESS;
                    Flow::Next
                }
            };
        }
        flow
    }

    /// Follows two ways. Where they come to the same, that; otherwise nothing of them, and the line is told.
    fn fork(
        &mut self,
        why: &Rc<str>,
        first: impl FnOnce(&mut Self) -> Flow,
        second: impl FnOnce(&mut Self) -> Flow,
    ) -> Flow {
        let before = self.state.clone();
        let place = (self.line, self.fixed_line, self.captured.clone());
        self.nested += 1;
        let first_flow = first(self);
        let first_state = std::mem::replace(&mut self.state, before.clone());
        let first_captured = std::mem::replace(&mut self.captured, place.2.clone());
        (self.line, self.fixed_line) = (place.0, place.1);
        let second_flow = second(self);
        self.nested -= 1;
        (self.line, self.fixed_line) = (place.0, place.1);
        // A way that ends in failure was not gone: the installation succeeded.
        match (first_flow, second_flow) {
            (Flow::Exit(false), Flow::Exit(false)) => {}
            (Flow::Exit(false), _) => return second_flow,
            (_, Flow::Exit(false)) => {
                self.state = first_state;
                self.captured = first_captured;
                return first_flow;
            }
            _ => {}
        }
        if !first_state.effects.lasts_as(&self.state.effects) {
            let (mut joined, mut second_state) = (before, std::mem::take(&mut self.state));
            // What only a way would have done is not done, and the account must not say that it is.
            let (mut first_state, so_far) = (first_state, joined.outcomes.len());
            first_state.forget_effects_after(so_far);
            second_state.forget_effects_after(so_far);
            joined.join(&first_state, why);
            joined.join(&second_state, why);
            joined.effects.doubt_where(&first_state.effects, why);
            joined.effects.doubt_where(&second_state.effects, why);
            self.state = joined;
            self.unfollowed(format!("which way this goes is not known: {why}").into());
        } else {
            self.state.join(&first_state, why);
        }
        for (here, there) in self.captured.iter_mut().zip(&first_captured) {
            if here != there {
                *here = Value::Unknown(Rc::clone(why));
            }
        }
        if first_flow == second_flow {
            return first_flow;
        }
        // One way ends here, the other goes on: until both meet again nothing is certain to happen.
        self.begin_doubt(why, Reach::of(first_flow).max(Reach::of(second_flow)));
        if first_flow == Flow::Next { first_flow } else { second_flow }
    }
}

/// Does `set -e` look at how this ends? Of a compound command it looks at what is in it, not at the whole.
fn is_looked_at(pipeline: &Pipeline) -> bool {
    match pipeline.seq.as_slice() {
        [Command::Compound(CompoundCommand::Subshell(_), _)] => true,
        [Command::Compound(..)] => false,
        _ => true,
    }
}

/// Does a first line name a POSIX shell?
fn is_shell(interpreter: &str) -> bool {
    let Some(rest) = interpreter.strip_prefix("#!") else { return false };
    let mut words = rest.split_ascii_whitespace();
    let mut program = words.next().unwrap_or_default();
    if program.ends_with("/env") {
        program = words.next().unwrap_or_default();
    }
    matches!(program.rsplit('/').next(), Some("sh" | "dash" | "bash"))
}

/// Why a status is not known.
fn reason(status: &Status) -> Rc<str> {
    match status {
        Status::Unknown(why) => Rc::clone(why),
        Status::Known(_) => "it is known".into(),
    }
}
