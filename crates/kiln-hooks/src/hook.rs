//! From the scripts of a package to what they come to.

use crate::account::{Reading, Unfollowed};
use crate::debconf;
use crate::evaluate::Evaluator;
use crate::state::{Effects, MadeKind};
use crate::value::Value;
use crate::world::World;

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
    let mut state = evaluator.state;
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
    effects.permissions.retain(|path, _| world.entry(path, true).is_some());
    let place = || crate::account::Place { script: "postinst".to_owned(), line: 1 };
    for (path, made) in &effects.made {
        if let MadeKind::Unknown(why) = &made.kind
            && !Effects::is_passing(path)
        {
            let why = format!("what it leaves in `{path}` is not known: {why}");
            unfollowed.insert(Unfollowed { place: place(), text: path.to_string(), why });
        }
    }
}
