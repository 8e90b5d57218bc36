//! update-alternatives(1): candidates become facts; which of them wins is decided when the image is composed.

use std::collections::BTreeMap;

use kiln_model::TreePath;
use kiln_model::facts::{Alternative, Slave};

use super::{Call, Done, Outcome, Stuck, stuck};
use crate::account::Became;
use crate::evaluate::Evaluator;
use crate::value::{Status, Value};

fn path(text: &str) -> Result<TreePath, Stuck> {
    crate::paths::tree(text).ok_or_else(|| Stuck(format!("`{text}` is no path of an image").into()))
}

pub(super) fn update_alternatives(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let words: Vec<&str> = words
        .into_iter()
        .filter(|word| !matches!(*word, "--quiet" | "--force" | "--skip-auto" | "--verbose"))
        .collect();
    match words.as_slice() {
        ["--install", link, name, to, priority, rest @ ..] => {
            let Ok(priority) = priority.parse::<i32>() else {
                return stuck(format!("`{priority}` is no priority"));
            };
            let mut slaves = BTreeMap::new();
            let mut rest = rest;
            while let ["--slave", link, name, to, more @ ..] = rest {
                slaves.insert(path(link)?, Slave { to: path(to)?, name: Some((*name).to_owned()) });
                rest = more;
            }
            if !rest.is_empty() {
                return stuck(format!("`{}` is not followed", rest.join(" ")));
            }
            let alternative = Alternative { to: path(to)?, priority, name: Some((*name).to_owned()), slaves };
            let link = path(link)?;
            evaluator.effect(Became::Fact("alternative", link.to_string()), |effects| {
                // Of several candidates of one package the strongest stands for it; of those as strong, since they are kept
                // in order of their paths, the smallest. The same again is what was said last.
                let rank = |of: &Alternative| (of.priority, std::cmp::Reverse(of.to.clone()));
                let there = effects.facts.alternatives.get(&link);
                if there.is_none_or(|there| rank(there) <= rank(&alternative)) {
                    effects.facts.alternatives.insert(link, alternative);
                }
            });
            Done::quietly()
        }
        ["--remove" | "--remove-all" | "--auto" | "--set-selections", ..] => {
            evaluator.note(Became::Nothing("a fresh system has no alternative to remove"));
            Done::quietly()
        }
        // What another package's hook would have made is not there. What this one made is decided later.
        ["--query" | "--display" | "--list", name]
            if !evaluator.state.effects.facts.alternatives.values().any(|own| own.name.as_deref() == Some(*name)) =>
        {
            Ok(Done { status: Status::Known(2), output: Value::empty() })
        }
        ["--query" | "--display" | "--list" | "--get-selections", ..] => {
            Done::unknown("which alternatives there are is decided later")
        }
        _ => stuck(format!("`update-alternatives {}` is not followed", words.join(" "))),
    }
}
