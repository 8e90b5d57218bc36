//! Commands that run another one: as a user, with another priority. What runs is followed like any other.

use super::{Call, Done, Outcome, stuck};
use crate::evaluate::Evaluator;
use crate::value::Value;

/// `setpriv OPTIONS -- COMMAND`, `runuser -u USER -- COMMAND`. What `su -c` runs is a text, and is not followed.
pub(super) fn as_user(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.0;
    let Some(at) = words.iter().position(|word| word.known() == Some("--")) else {
        return stuck(format!("what `{}` runs is not followed", call.name));
    };
    run(evaluator, &words[at + 1..])
}

/// `env NAME=VALUE COMMAND`, `nice COMMAND`.
pub(super) fn plain(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let is_own = |word: &Value| {
        word.known().is_some_and(|word| word.starts_with('-') || word.contains('=') || word.parse::<f64>().is_ok())
    };
    let skipped = call.arguments.0.iter().take_while(|word| is_own(word)).count();
    run(evaluator, &call.arguments.0[skipped..])
}

fn run(evaluator: &mut Evaluator<'_>, words: &[Value]) -> Outcome {
    let Some((name, arguments)) = words.split_first() else { return Done::quietly() };
    let Some(name) = name.known() else { return stuck("which command this is is not known") };
    let (_, output) = evaluator.capture(|evaluator| evaluator.program(name, arguments));
    Ok(Done { status: evaluator.state.status.clone(), output })
}
