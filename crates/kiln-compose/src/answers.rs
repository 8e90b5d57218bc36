//! Answers that an image gives to the questions of its packages: each has to be one that the question takes, and somebody
//! has to ask it.

use std::collections::BTreeMap;
use std::fmt;

use kiln_hooks::Question;
use kiln_model::{HooksWord, ObjectError, ObjectSource, PackageRef};

use crate::error::ComposeError;
use crate::hooks::LARGEST;
use crate::request::{Member, Request};

/// So many questions are named where one is not there.
const NAMED: usize = 12;

/// Everything that is wrong with the answers of an image, each with where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerFaults(pub Vec<(String, String)>);

impl fmt::Display for AnswerFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("answers of the image cannot be taken")?;
        self.0.iter().try_for_each(|(place, why)| write!(f, "\n  {place}: {why}"))
    }
}

impl AnswerFaults {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        "correct the answer, or take it out; `kiln audit` lists the hooks of a package".to_owned()
    }
}

impl std::error::Error for AnswerFaults {}

/// Checks the answers. The members have been read.
pub(crate) fn check(request: &Request, source: &dyn ObjectSource) -> Result<(), ComposeError> {
    let mut faults = Vec::new();
    for (package, answers) in &request.answers {
        let member = request.members.iter().find(|member| member.reference() == *package);
        let questions = member.map(|member| questions(member, source)).transpose()?;
        for (name, answer) in answers {
            let why = match &questions {
                None => Some(format!("`{package}` is not in the image")),
                Some(questions) => why_not(request, package, questions, name, &answer.text),
            };
            faults.extend(why.map(|why| (answer.place.clone(), why)));
        }
    }
    faults.sort();
    if faults.is_empty() { Ok(()) } else { Err(ComposeError::Answers(Box::new(AnswerFaults(faults)))) }
}

fn questions(member: &Member, source: &dyn ObjectSource) -> Result<BTreeMap<String, Question>, ObjectError> {
    let hook = member.record.hooks.iter().find(|hook| hook.name == "templates" && hook.size <= LARGEST);
    let Some(hook) = hook else { return Ok(BTreeMap::new()) };
    Ok(kiln_hooks::templates(&String::from_utf8_lossy(&source.read(&hook.object)?)))
}

fn why_not(
    request: &Request,
    package: &PackageRef,
    questions: &BTreeMap<String, Question>,
    name: &str,
    answer: &str,
) -> Option<String> {
    let Some(question) = questions.get(name) else {
        let takes = |question: &Question| {
            matches!(&*question.kind, "boolean" | "string" | "password" | "select" | "multiselect")
        };
        let names: Vec<String> =
            questions.iter().filter(|(_, q)| takes(q)).take(NAMED).map(|(name, _)| format!("`{name}`")).collect();
        let asks = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return Some(format!("`{package}` has no question `{name}`; it has {asks}"));
    };
    if let Some(why) = question.refuses(answer) {
        return Some(format!("`{answer}` does not answer `{name}`: {why}"));
    }
    let asks = |member: &&Member| member.reading.questions.contains(name);
    let asking: Vec<&Member> = request.members.iter().filter(asks).collect();
    if asking.is_empty() {
        return Some(format!("no hook that is followed asks `{name}`"));
    }
    let stands = |member: &Member| {
        let replaced = request.hooks.get(&member.reference()).map(|said| &said.word);
        member.rule.as_ref().is_some_and(|rule| !rule.adds) || matches!(replaced, Some(HooksWord::Replace { .. }))
    };
    let has_no_effect = asking.into_iter().all(stands);
    has_no_effect
        .then(|| format!("`{name}` is asked by hooks that something else stands for, so the answer has no effect"))
}
