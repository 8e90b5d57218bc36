//! From the scripts of a package to what they come to.

use crate::account::{Reading, Unfollowed};
use crate::debconf;
use crate::evaluate::Evaluator;
use crate::state::{Effects, MadeKind};
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
}

/// Reads the scripts of a package: `before` is the image without its files, `after` with them.
#[must_use]
pub fn read(scripts: &Scripts<'_>, before: &dyn World, after: &dyn World) -> Reading {
    let mut evaluator = Evaluator::new(before, scripts.package);
    for (name, question) in scripts.templates.map(debconf::templates).unwrap_or_default() {
        // An answer that is chosen while the package is configured is not the template's.
        let answer =
            if question.kind == "password" && question.default.is_empty() { String::new() } else { question.default };
        evaluator.state.answers.insert(name, answer.into());
    }
    // `config` decides answers and nothing else: what it would do besides is of no account.
    if let Some(text) = scripts.config {
        let mut asking = Evaluator::new(after, scripts.package);
        asking.state.answers.clone_from(&evaluator.state.answers);
        asking.script("config", text, &["configure", ""], after);
        evaluator.state.questions = asking.state.questions;
        let is_followed = asking.state.unfollowed.is_empty();
        for (question, answer) in asking.state.answers {
            let changed = evaluator.state.answers.get(&question) != Some(&answer);
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
        evaluator.script("preinst", text, &["install"], before);
    }
    if let Some(text) = scripts.postinst {
        evaluator.script("postinst", text, &["configure", ""], after);
    }
    let failed = evaluator.failed;
    let mut state = evaluator.state;
    if failed {
        // A hook that fails ends the installation. One that fails as it was read was not read rightly: nothing of it counts.
        state.effects = Effects::default();
    }
    check(&mut state.effects, &mut state.unfollowed, after);
    let triggers = std::mem::take(&mut state.effects.triggers);
    Reading {
        facts: state.effects.into_facts(),
        outcomes: state.outcomes,
        unfollowed: state.unfollowed.into_iter().collect(),
        triggers,
        questions: state.questions,
    }
}

/// What is left of the effects has to hold in the image: nothing is said of a path that is not there.
fn check(effects: &mut Effects, unfollowed: &mut std::collections::BTreeSet<Unfollowed>, world: &dyn World) {
    let place = || crate::account::Place { script: "postinst".to_owned(), line: 1 };
    effects.permissions.retain(|path, _| world.entry(path, true).is_some());
    let ships = |path: &kiln_model::TreePath| Effects::is_passing(path) || world.entry(path, false).is_none();
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
            unfollowed.insert(Unfollowed { place: place(), text: path.to_string(), why });
        }
    }
    for (path, made) in &effects.made {
        if let MadeKind::Unknown(why) = &made.kind
            && !Effects::is_passing(path)
        {
            let why = format!("what it leaves in `{path}` is not known: {why}");
            unfollowed.insert(Unfollowed { place: place(), text: path.to_string(), why });
        }
    }
}
