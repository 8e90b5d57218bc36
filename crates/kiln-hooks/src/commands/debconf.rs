//! The commands of debconf's shell library: debconf-devel(7).

use std::rc::Rc;

use super::{Call, Done, Outcome, Stuck};
use crate::account::Became;
use crate::debconf;
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
    match call.name {
        "db_fget" => {
            // No question has been seen by anybody.
            evaluator.state.variables.insert("RET".to_owned(), "false".into());
            Done::quietly()
        }
        "db_input" => {
            let question = call.arguments.0.get(1).and_then(Value::known).unwrap_or_default();
            evaluator.state.to_ask.insert(question.to_owned());
            Ok(Done { status: Status::Known(30), output: Value::empty() })
        }
        _ => {
            std::mem::take(&mut evaluator.state.to_ask).iter().for_each(|question| choose(evaluator, question));
            Done::quietly()
        }
    }
}

/// What debconf's frontend without anybody to ask makes of a question with a list of answers: one that is not on the list
/// gives way to the list's first.
fn choose(evaluator: &mut Evaluator<'_>, question: &str) {
    let templates = Rc::clone(&evaluator.templates);
    let Some(template) = templates.get(question).filter(|template| template.kind == "select") else { return };
    let Some(Value::Known(answer)) = answer_to(evaluator, question) else { return };
    let chosen = match filled(evaluator, question, &template.choices_text) {
        Value::Known(choices) => {
            let choices = debconf::choices_of(&choices);
            if choices.contains(&answer) {
                return;
            }
            choices.first().cloned().unwrap_or_default().into()
        }
        // The default is on the list of who wrote both; the first of an unknown list is unknown.
        Value::Unknown(_) if !answer.is_empty() => return,
        unknown => unknown,
    };
    evaluator.state.answers.insert(question.to_owned(), chosen);
}

/// A text of a question with all that is filled in.
fn filled(evaluator: &Evaluator<'_>, question: &str, text: &str) -> Value {
    let mut whole = Value::empty();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, after)) = after.split_once('}') else { break };
        whole.push(&before.into());
        if let Some(value) = evaluator.state.filled_in.get(&(question.to_owned(), name.to_owned())) {
            whole.push(value);
        }
        rest = after;
    }
    whole.push(&rest.into());
    whole
}

/// `db_subst QUESTION NAME TEXT`: what a text of the question has in place of a name.
pub(super) fn fill_in(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    if let [Value::Known(question), Value::Known(name), text @ ..] = call.arguments.0 {
        evaluator.state.filled_in.insert((question.clone(), name.clone()), Value::joined(text));
    }
    Done::quietly()
}

/// `db_metaget QUESTION FIELD`: the answer itself, or what the template says.
pub(super) fn describe(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let [question, field] = words[..] else { return Done::unknown("this use of `db_metaget` is not followed") };
    if field == "value" {
        return get(evaluator, call);
    }
    let templates = Rc::clone(&evaluator.templates);
    let said = match (field, templates.get(question)) {
        ("owners", _) => match &evaluator.world.owners(question)[..] {
            [owner] => owner.as_str().into(),
            _ => Value::unknown("which packages have asked the question before is not known"),
        },
        ("choices", Some(template)) => filled(evaluator, question, &template.choices_text),
        ("description", Some(template)) => filled(evaluator, question, &template.description),
        ("type", Some(template)) => template.kind.as_str().into(),
        _ => Value::unknown("a question's text is not followed"),
    };
    evaluator.state.variables.insert("RET".to_owned(), said);
    Done::quietly()
}

/// What changes nothing but how a question would look.
pub(super) fn say(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    if call.name == "db_reset" {
        evaluator.note(Became::Nothing("a fresh system has the default answers"));
    }
    Done::quietly()
}
