//! Questions of debconf: templates, and the answers that a fresh system without anybody to ask would have.
//!
//! debconf-devel(7): a template's `Default:` is the answer that nobody gave.

use std::collections::BTreeMap;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Question {
    /// Its type: `boolean`, `select`, `string`, ...
    pub kind: String,
    /// The answer that nobody gave.
    pub default: String,
    /// The answers there are, where they are known.
    pub choices: Option<Vec<String>>,
    /// The same as they are written, with what is to be filled in: `${choices}`.
    pub choices_text: String,
    /// What is asked, in a line.
    pub description: String,
}

impl Question {
    /// Why a text is no answer to this question. None when it is one, or when that cannot be known.
    #[must_use]
    pub fn refuses(&self, answer: &str) -> Option<String> {
        let one_of =
            |choices: &[String]| choices.iter().map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(", ");
        match (&*self.kind, &self.choices) {
            ("boolean", _) if !matches!(answer, "true" | "false") => Some("the answer is `true` or `false`".to_owned()),
            ("boolean" | "string" | "password", _) => None,
            ("select", Some(choices)) if !choices.iter().any(|choice| choice == answer) => {
                Some(format!("the answer is one of {}", one_of(choices)))
            }
            ("multiselect", Some(choices)) => {
                let chosen = answer.split(',').map(str::trim).filter(|word| !word.is_empty());
                let wrong = chosen.into_iter().find(|word| !choices.iter().any(|choice| choice == word));
                wrong.map(|wrong| format!("`{wrong}` is none of {}", one_of(choices)))
            }
            ("select" | "multiselect", _) => None,
            (kind, _) => Some(format!("it shows a text (`{kind}`) and takes no answer")),
        }
    }
}

/// The choices of a template. One whose list is made when it is asked has none that are known.
fn choices(text: &str) -> Option<Vec<String>> {
    if text.contains("${") { None } else { Some(choices_of(text)) }
}

/// The choices that a text lists.
pub(crate) fn choices_of(text: &str) -> Vec<String> {
    // debconf-devel(7): a comma within a choice is written `\\,`.
    let escaped = text.replace("\\,", "\u{1}");
    let choices = escaped.split(',').map(|choice| choice.trim().replace('\u{1}', ","));
    choices.filter(|choice| !choice.is_empty()).collect()
}

/// The questions of a `templates` file, by name.
#[must_use]
pub fn templates(text: &str) -> BTreeMap<String, Question> {
    let mut questions = BTreeMap::new();
    for stanza in text.split("\n\n") {
        let field = |name: &str| {
            let value = stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.map(|value| value.trim().to_owned())
        };
        if let Some(name) = field("Template") {
            let choices_text = field("Choices-C").or_else(|| field("Choices"));
            let choices = choices_text.as_deref().and_then(choices);
            let (kind, default) = (field("Type").unwrap_or_default(), field("Default").unwrap_or_default());
            let description = field("Description").unwrap_or_default();
            let choices_text = choices_text.unwrap_or_default();
            let question = Question { kind, default, choices, choices_text, description };
            questions.insert(name, question);
        }
    }
    questions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_have_types_and_defaults() {
        let questions = templates(
            "Template: a/b\nType: boolean\nDefault: false\nDescription: x\n y\n\nTemplate: a/c\nType: string\n",
        );
        let boolean = Question {
            kind: "boolean".to_owned(),
            default: "false".to_owned(),
            description: "x".to_owned(),
            ..Question::default()
        };
        assert_eq!(questions["a/b"], boolean);
        assert_eq!(questions["a/c"].default, "");
    }

    #[test]
    fn an_answer_has_to_be_one_that_the_question_takes() {
        let text = "Template: a/b\nType: boolean\n\nTemplate: a/s\nType: select\nChoices: one, two\\, or three\n\n\
                    Template: a/m\nType: multiselect\nChoices: x, y\n\nTemplate: a/n\nType: note\n\n\
                    Template: a/v\nType: select\nChoices: ${made}\n";
        let questions = templates(text);
        for (question, answer) in
            [("a/b", "true"), ("a/s", "two, or three"), ("a/m", "x,  y"), ("a/m", ""), ("a/v", "anything")]
        {
            assert_eq!(questions[question].refuses(answer), None, "{question} {answer}");
        }
        for (question, answer) in [("a/b", "yes"), ("a/s", "two"), ("a/m", "x, z"), ("a/n", "true")] {
            assert!(questions[question].refuses(answer).is_some(), "{question} {answer}");
        }
    }
}
