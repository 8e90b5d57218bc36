//! What a person says of a package's hooks: `hooks:` of an image or a project, and `answers:`.
//!
//! ```yaml
//! hooks:
//!   debian:chrony: { accept: "the key is made when it is needed" }
//!   debian:some-package:
//!     reason: Makes the folder of its state
//!     facts: { directories: { /var/lib/some: { owner: some } } }
//! answers:
//!   debian:some-package: { some-package/start: false }
//! ```

use std::collections::BTreeMap;

use schemars::JsonSchema;

use crate::diagnostic::{Problem, Spanned};
use crate::facts::File;
use crate::recipe::{Declarer, file, read_by_path, read_facts};
use crate::yaml::{Node, Reader, Value};
use crate::{Facts, PackageRef, TreePath};

/// What is said of the hooks of one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HooksWord {
    /// What Kiln cannot follow of them is known not to matter here.
    Accept {
        /// Why.
        reason: String,
    },
    /// These facts, in place of everything that the hooks do.
    Replace {
        /// What the hooks do, and why this stands for it.
        reason: String,
        /// The facts.
        facts: Box<Facts>,
    },
}

/// What is said of hooks, by package.
pub type HooksWords = BTreeMap<PackageRef, Spanned<HooksWord>>;

/// Answers to the questions of packages, by package and question.
pub type Answers = BTreeMap<PackageRef, BTreeMap<String, Spanned<String>>>;

impl HooksWord {
    /// Why it is said.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Accept { reason } | Self::Replace { reason, .. } => reason,
        }
    }
}

/// Reads `hooks:`.
pub(crate) fn read_words(reader: &Reader<'_>, node: &Node) -> Option<HooksWords> {
    reader.table(node, |key, value| Some(Spanned::new(word(reader, value)?, key.place)))
}

fn word(reader: &Reader<'_>, node: &Node) -> Option<HooksWord> {
    let mut fields = reader.map(node, "what is said of a package's hooks")?;
    let (accept, reason) = (fields.take("accept"), fields.take("reason"));
    let (facts, files) = (fields.take("facts"), fields.take("files"));
    let place = fields.place();
    fields.finish();
    let replaces = facts.or(files);
    if let Some(accept) = accept {
        if let Some(other) = reason.or(replaces) {
            let problem = Problem::new(other.place, "hooks are accepted or replaced, not both");
            let hint = "`accept: WHY` alone leaves out what cannot be followed; `reason:` with `facts:` or `files:` puts \
                        these in place of all that the hooks do";
            reader.report(problem.related(accept.place, "`accept`").hint(hint));
            return None;
        }
        return Some(HooksWord::Accept { reason: reader.line(accept)? });
    }
    if reason.is_none() || replaces.is_none() {
        let problem = Problem::new(place, "this does not say what becomes of the hooks");
        let hint = "`accept: WHY` leaves out what cannot be followed; `reason: WHY` with `facts:` or `files:` puts these in \
                    place of all that the hooks do (`facts: {}`: nothing)";
        reader.report(problem.hint(hint));
        return None;
    }
    let declared = facts.map(|node| read_facts(reader, node, Declarer::Rule));
    let files = files.map(|node| read_by_path(reader, node, |_, node| file(reader, node)));
    let reason = reader.line(reason?)?;
    let mut facts = declared.map_or_else(|| Some(Facts::default()), |declared| Some(declared?.facts))?;
    facts.files.extend(files.unwrap_or_else(|| Some(BTreeMap::new()))?);
    Some(HooksWord::Replace { reason, facts: Box::new(facts) })
}

/// Reads `answers:`. An answer is a text; `true` and `false` need no quotes here, since they are what many questions ask for.
pub(crate) fn read_answers(reader: &Reader<'_>, node: &Node) -> Option<Answers> {
    reader.table(node, |_, node| {
        reader.table(node, |_, node| {
            let text = match &node.value {
                Value::Scalar(scalar) => scalar.text.to_string(),
                _ => reader.text(node)?.to_owned(),
            };
            if text.chars().any(char::is_control) {
                reader.wrong(node.place, "an answer is one line, without control characters");
                return None;
            }
            Some(Spanned::new(text, node.place))
        })
    })
}

/// The shape of what is said of the hooks of one package.
#[derive(JsonSchema)]
#[schemars(untagged, rename = "HooksWord")]
#[allow(dead_code, reason = "it is there for its schema alone")]
pub(crate) enum WordSchema {
    /// What cannot be followed of them is known not to matter here.
    Accept(AcceptSchema),
    /// Facts, in place of everything that the hooks do.
    Replace(Box<ReplaceSchema>),
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "AcceptedHooks")]
#[allow(dead_code, reason = "it is there for its schema alone")]
pub(crate) struct AcceptSchema {
    /// Why.
    accept: String,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "ReplacedHooks")]
#[allow(dead_code, reason = "it is there for its schema alone")]
pub(crate) struct ReplaceSchema {
    /// What the hooks do, and why this stands for it.
    reason: String,
    /// What is declared in their place.
    #[schemars(default)]
    facts: Facts,
    /// Files, made where nothing is.
    #[schemars(default)]
    files: BTreeMap<TreePath, File>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::parse;

    fn words(text: &str) -> Result<HooksWords, String> {
        let (sources, node) = parse("t.yaml", text).map_err(|told| told.to_string())?;
        let reader = Reader::new(&sources);
        let words = read_words(&reader, &node);
        reader.finish(words).map_err(|told| told.to_string())
    }

    #[test]
    fn hooks_are_accepted_or_replaced() {
        let read = words(
            "debian:a: { accept: it is old }\ndebian:b: { reason: a folder, facts: { directories: { /srv/b: {} } }, files: { /etc/b: { content: x } } }\n",
        )
        .unwrap();
        let (a, b) = (&read[&"debian:a".parse().unwrap()].value, &read[&"debian:b".parse().unwrap()].value);
        assert_eq!((a.reason(), b.reason()), ("it is old", "a folder"));
        let HooksWord::Replace { facts, .. } = b else { panic!("{b:?}") };
        assert_eq!((facts.directories.len(), facts.files.len()), (1, 1));
    }

    #[test]
    fn a_word_that_says_nothing_or_too_much_is_refused_with_its_place() {
        for (text, place, part) in [
            ("debian:a: { accept: '' }\n", "t.yaml:1", "empty"),
            ("debian:a: { reason: x }\n", "t.yaml:1", "what becomes"),
            ("debian:a: { facts: {} }\n", "t.yaml:1", "what becomes"),
            ("debian:a:\n  accept: x\n  facts: {}\n", "t.yaml:3", "not both"),
            ("debian:a: { map: x }\n", "t.yaml:1", "unknown key `map`"),
        ] {
            let told = words(text).unwrap_err();
            assert!(told.contains(place) && told.contains(part), "{text}: {told}");
        }
    }

    #[test]
    fn flags_and_numbers_are_answers_as_they_are_written() {
        let (sources, node) = parse("t.yaml", "debian:a: { a/b: true, a/c: 1.10, a/d: '' }\n").unwrap();
        let reader = Reader::new(&sources);
        let read = read_answers(&reader, &node);
        let answers = &reader.finish(read).unwrap()[&"debian:a".parse().unwrap()];
        let texts: Vec<&str> = answers.values().map(|answer| answer.value.as_str()).collect();
        assert_eq!(texts, ["true", "1.10", ""]);
    }
}
