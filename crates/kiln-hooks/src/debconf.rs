//! Questions of debconf: templates, and the answers that a fresh system without anybody to ask would have.
//!
//! debconf-devel(7): a template's `Default:` is the answer that nobody gave.

use std::collections::BTreeMap;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Question {
    pub kind: String,
    pub default: String,
}

/// The questions of a `templates` file, by name.
pub(crate) fn templates(text: &str) -> BTreeMap<String, Question> {
    let mut questions = BTreeMap::new();
    for stanza in text.split("\n\n") {
        let field = |name: &str| {
            let value = stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.map(|value| value.trim().to_owned())
        };
        if let Some(name) = field("Template") {
            let question =
                Question { kind: field("Type").unwrap_or_default(), default: field("Default").unwrap_or_default() };
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
        assert_eq!(questions["a/b"], Question { kind: "boolean".to_owned(), default: "false".to_owned() });
        assert_eq!(questions["a/c"].default, "");
    }
}
