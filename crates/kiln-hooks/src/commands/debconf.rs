//! The commands of debconf's shell library: debconf-devel(7).

use super::{Call, Done, Outcome, Stuck};
use crate::account::Became;
use crate::evaluate::Evaluator;
use crate::value::{Status, Value};

/// `db_get QUESTION`: its answer goes to `RET`.
pub(super) fn get(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let question = call.arguments.known()?.first().copied().unwrap_or_default().to_owned();
    evaluator.state.questions.insert(question.clone());
    let Some(answer) = answer_to(evaluator, &question) else {
        evaluator.state.variables.insert("RET".to_owned(), format!("10 {question} doesn't exist").into());
        return Ok(Done { status: Status::Known(10), output: Value::empty() });
    };
    evaluator.state.variables.insert("RET".to_owned(), answer);
    Done::quietly()
}

/// What is answered: by the image, by what the hook itself said, by the template of whichever package has it.
fn answer_to(evaluator: &Evaluator<'_>, question: &str) -> Option<Value> {
    let answered = evaluator.world.answer(question).map(Value::from);
    let own = answered.or_else(|| evaluator.state.answers.get(question).cloned());
    own.or_else(|| evaluator.world.default_answer(question).map(Value::from))
}

/// `db_register TEMPLATE QUESTION`: a question of its own, which begins with the answer of the template.
pub(super) fn register(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let [template, question] = words[..] else { return Done::quietly() };
    if answer_to(evaluator, question).is_none() {
        let answer = answer_to(evaluator, template);
        let answer = answer.unwrap_or_else(|| Value::unknown(format!("the template `{template}` is not known")));
        evaluator.state.answers.insert(question.to_owned(), answer);
    }
    Done::quietly()
}

/// `db_set QUESTION ANSWER`.
pub(super) fn set(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let Some(Value::Known(question)) = call.arguments.0.first() else {
        return Err(Stuck("which question is answered is not known".into()));
    };
    let answer = Value::joined(call.arguments.0.get(1..).unwrap_or_default());
    evaluator.state.answers.insert(question.clone(), answer);
    Done::quietly()
}

/// Asking, where nobody answers: a question that is not shown ends with 30; debconf-devel(7).
pub(super) fn ask(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    if call.name == "db_fget" {
        // No question has been seen by anybody.
        evaluator.state.variables.insert("RET".to_owned(), "false".into());
        return Done::quietly();
    }
    let code = if call.name == "db_input" { 30 } else { 0 };
    Ok(Done { status: Status::Known(code), output: Value::empty() })
}

/// What changes nothing but how a question would look.
pub(super) fn say(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    match call.name {
        // The value itself is the answer.
        "db_metaget" if call.arguments.0.get(1).and_then(Value::known) == Some("value") => return get(evaluator, call),
        "db_metaget" => {
            evaluator.state.variables.insert("RET".to_owned(), Value::unknown("a question's text is not followed"));
        }
        "db_reset" => evaluator.note(Became::Nothing("a fresh system has the default answers")),
        _ => {}
    }
    Done::quietly()
}
