//! From the scripts of a package to what they come to.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use kiln_model::facts::Permission;
use kiln_model::{Facts, TreePath};

use crate::account::{Became, Outcome, Place, Reading, Unfollowed};
use crate::debconf;
use crate::evaluate::{Evaluator, Manager};
use crate::state::{Effects, Made, MadeKind, State};
use crate::value::Value;
use crate::world::{Seen, World};

/// The scripts of a package that a fresh installation would run, by their texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scripts<'a> {
    /// The package.
    pub package: &'a str,
    /// Its version.
    pub version: &'a str,
    /// What runs before its files are there.
    pub preinst: Option<&'a str>,
    /// What runs after.
    pub postinst: Option<&'a str>,
    /// What asks questions.
    pub config: Option<&'a str>,
    /// The questions.
    pub templates: Option<&'a str>,
    /// What `config` comes to when nobody is asked, where somebody has read that it does: it is not read then.
    pub answers: &'a [(&'a str, &'a str)],
}

/// Reads the scripts of a package: `before` is the image without its files, `after` with them.
#[must_use]
pub fn read(scripts: &Scripts<'_>, before: &dyn World, after: &dyn World) -> Reading {
    let mut evaluator = Evaluator::new(before, scripts.package, Manager::Dpkg);
    evaluator.templates = Rc::new(scripts.templates.map(debconf::templates).unwrap_or_default());
    for (name, question) in evaluator.templates.iter() {
        // An answer that is chosen while the package is configured is not the template's.
        evaluator.state.answers.insert(name.clone(), question.default.as_str().into());
    }
    // `config` decides answers, and leaves marks for the other scripts: nothing else of what it would do counts.
    for (question, answer) in scripts.answers {
        evaluator.state.answers.insert((*question).to_owned(), (*answer).into());
    }
    if let Some(text) = scripts.config.filter(|_| scripts.answers.is_empty()) {
        let mut asking = Evaluator::new(after, scripts.package, Manager::Dpkg);
        asking.templates = Rc::clone(&evaluator.templates);
        asking.state.answers.clone_from(&evaluator.state.answers);
        asking.script("config", text, &["configure".into(), "".into()], after);
        evaluator.state.questions = asking.state.questions;
        evaluator.state.filled_in = asking.state.filled_in;
        evaluator.state.effects.made = asking.state.effects.made;
        // Where one of its ways ended before, what the other has set since is not known to be set.
        let in_doubt = asking.state.doubt.is_some();
        let is_followed = asking.state.unfollowed.is_empty() && !in_doubt;
        for (question, answer) in asking.state.answers {
            let changed = evaluator.state.answers.get(&question) != Some(&answer) && !in_doubt;
            let named = text.contains(&question);
            let answer = if changed || is_followed || !(named && text.contains("db_set")) {
                answer
            } else {
                Value::unknown(format!("the answer to `{question}` depends on what `config` would find"))
            };
            evaluator.state.answers.insert(question, answer);
        }
    }
    if let Some(text) = scripts.preinst {
        evaluator.script("preinst", text, &["install".into()], before);
    }
    if let Some(text) = scripts.postinst {
        evaluator.script("postinst", text, &["configure".into(), "".into()], after);
    }
    finish(evaluator, after)
}

/// A script of a package of RPM's or Alpine's, or of one of its triggers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scriptlet<'a> {
    /// Its name: `pre`, `post`, `.post-install`.
    pub name: &'static str,
    /// Its text, under a line that names its interpreter: `#!/bin/sh`, `#!<lua>`.
    pub text: &'a str,
    /// Does it run before the package's files are there?
    pub is_before: bool,
}

/// Reads the scripts of a package of RPM's, in the order in which a first installation runs them.
#[must_use]
pub fn read_scriptlets(package: &str, scriptlets: &[Scriptlet<'_>], before: &dyn World, after: &dyn World) -> Reading {
    let mut evaluator = Evaluator::new(before, package, Manager::Rpm);
    for scriptlet in scriptlets {
        let world = if scriptlet.is_before { before } else { after };
        let (first, rest) = scriptlet.text.split_once('\n').unwrap_or((scriptlet.text, ""));
        let interpreter = first.trim_start_matches("#!").trim();
        let not_read = match interpreter.split_ascii_whitespace().next() {
            Some("<lua>") => Some("it is written in Lua, for the interpreter within rpm"),
            Some("<expanded>") => Some("rpm would fill in values before it runs it"),
            _ => None,
        };
        if let Some(why) = not_read {
            let place = Place { script: scriptlet.name.to_owned(), line: 1 };
            let text = rest.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or(first).to_owned();
            evaluator.state.unfollowed.insert(Unfollowed { place, text, why: why.to_owned() });
        } else {
            // It is the first of its package: nothing is upgraded.
            evaluator.script(scriptlet.name, scriptlet.text, &["1".into()], world);
        }
    }
    finish(evaluator, after)
}

/// Reads the scripts of a package of Alpine's, in the order in which a first installation runs them. Each is told the
/// package's version, and a trigger the folders that set it off, of which nothing is known.
///
/// Source: apk-package(5), "Install scripts".
#[must_use]
pub fn read_apk_scripts(
    package: &str,
    version: &str,
    scripts: &[Scriptlet<'_>],
    before: &dyn World,
    after: &dyn World,
) -> Reading {
    let mut evaluator = Evaluator::new(before, package, Manager::Apk);
    for script in scripts {
        let world = if script.is_before { before } else { after };
        let argument = match script.name {
            ".trigger" => Value::unknown("the folders that set a trigger off are not known"),
            _ => version.into(),
        };
        evaluator.script(script.name, script.text, &[argument], world);
    }
    finish(evaluator, after)
}

/// What is left in the end of what the scripts do.
fn finish(evaluator: Evaluator<'_>, after: &dyn World) -> Reading {
    let (mut state, package) = (evaluator.state, evaluator.package);
    state.effects.doubt_processes();
    let elsewhere = check(&mut state, after);
    let triggers = std::mem::take(&mut state.effects.triggers);
    let unknown = |made: &Made| matches!(made.kind, MadeKind::Unknown(_));
    let unknown: BTreeSet<TreePath> =
        state.effects.made.iter().filter(|(_, made)| unknown(made)).map(|(path, _)| path.clone()).collect();
    let links = state.effects.owners_of_links();
    let is_earlier = |path: &&TreePath| after.earlier().is_some_and(|earlier| earlier.at(path).is_some());
    let later = elsewhere.keys().filter(is_earlier).cloned().collect();
    let facts = state.effects.into_facts(package);
    state.outcomes.iter_mut().for_each(|outcome| settle(&mut outcome.became, &facts, [&elsewhere, &links], &unknown));
    Reading {
        facts,
        elsewhere,
        links,
        outcomes: state.outcomes,
        unfollowed: state.unfollowed.into_iter().collect(),
        perhaps: state.perhaps.difference(&triggers).cloned().collect(),
        triggers,
        questions: state.questions,
        asks_earlier: state.asks_earlier,
        later,
    }
}

/// Permissions by path.
type Permissions = BTreeMap<TreePath, Permission>;

/// What is left of the effects has to hold in the image. Gives the permissions of paths that no package ships: what is said
/// of them holds only where something else brings them.
fn check(state: &mut State, world: &dyn World) -> Permissions {
    let State { effects, unfollowed, outcomes, .. } = state;
    let place = |path: &TreePath| {
        let about = path.to_string();
        let is_about = |outcome: &&Outcome| matches!(&outcome.became, Became::Fact(_, named) if *named == about);
        let unknown = || Place { script: "postinst".to_owned(), line: 1 };
        outcomes.iter().rev().find(is_about).map_or_else(unknown, |outcome| outcome.place.clone())
    };
    let (shipped, elsewhere): (Permissions, Permissions) =
        std::mem::take(&mut effects.permissions).into_iter().partition(|(path, _)| world.entry(path, true).is_some());
    effects.permissions = shipped;
    let ships = |path: &TreePath| Effects::is_passing(path) || world.entry(path, false).is_none();
    for path in std::mem::take(&mut effects.removed) {
        // What was removed and made anew as it was, was not changed.
        let there = world.entry(&path, false);
        let anew = effects.made.get(&path).map(|made| &made.kind);
        let same = match (&there, anew) {
            (Some(Seen::Link(shipped)), Some(MadeKind::Link(made))) => shipped == made,
            // An empty directory may give its place to a link.
            (Some(Seen::Directory), Some(MadeKind::Link(_))) => {
                effects.removed.insert(path);
                continue;
            }
            _ => false,
        };
        if same {
            effects.made.remove(&path);
        } else if !ships(&path) {
            let why = "it removes or changes what a package ships".to_owned();
            unfollowed.insert(Unfollowed { place: place(&path), text: path.to_string(), why });
        }
    }
    for (path, made) in &effects.made {
        if let MadeKind::Unknown(why) = &made.kind
            && !Effects::is_passing(path)
        {
            let why = format!("what it leaves in `{path}` is not known: {why}");
            unfollowed.insert(Unfollowed { place: place(path), text: path.to_string(), why });
        }
    }
    let lasts =
        |path: &TreePath, permission: &Permission| !Effects::is_passing(path) && *permission != Permission::default();
    elsewhere.into_iter().filter(|(path, permission)| lasts(path, permission)).collect()
}

/// What became of a command, now that it is known what is left of it in the end.
fn settle(became: &mut Became, facts: &Facts, [elsewhere, links]: [&Permissions; 2], unknown: &BTreeSet<TreePath>) {
    let Became::Fact(kind @ ("directory" | "file" | "link" | "permission" | "removal"), about) = &*became else {
        return;
    };
    let Ok(path) = TreePath::from_absolute(about) else { return };
    let of_machine = facts.first_boot.values().any(|job| job.creates == path);
    let made = of_machine
        || facts.directories.contains_key(&path)
        || facts.files.contains_key(&path)
        || facts.links.contains_key(&path);
    let is_there = match *kind {
        "permission" => made || facts.permissions.contains_key(&path) || links.contains_key(&path),
        "removal" => false,
        _ => made,
    };
    if is_there {
        return;
    }
    *became = if *kind == "permission" && elsewhere.contains_key(&path) {
        Became::Elsewhere(about.clone())
    } else if Effects::is_passing(&path) {
        Became::Nothing("what is there does not outlive a start")
    } else if unknown.contains(&path) {
        Became::Nothing("what is left there in the end is not known")
    } else {
        Became::Nothing("the hook itself takes it back")
    };
}
