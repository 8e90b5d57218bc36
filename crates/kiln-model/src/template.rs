//! `{{ name }}`: substitution of declared variables, and nothing more.
//!
//! A literal `{{` is written `{{ '{{' }}`. A name that is not declared is an error where it stands. Values that are known
//! when a file is read are put in at once; what a build decides (`out`, `jobs`) stays a [`Piece::Variable`] until
//! [`Template::render`].

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::{MOST_TOLD, Place, Problem, Spanned};
use crate::yaml::{Node, Reader, did_you_mean};

/// A text with variables left in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Template {
    pieces: Vec<Piece>,
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Piece {
    /// Text as it is.
    Text(String),
    /// A variable's value.
    Variable(String),
}

/// A declared variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its value.
    pub value: String,
    /// Where it is declared; none when Kiln provides it.
    pub place: Option<Place>,
}

/// Which names a text may use.
#[derive(Debug, Default)]
pub struct Scope {
    variables: BTreeMap<String, Variable>,
    later: BTreeSet<String>,
    used: RefCell<BTreeSet<Place>>,
}

impl Scope {
    /// No names.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares a name whose value Kiln knows now. It need not be used.
    #[must_use]
    pub fn provide(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), Variable { value: value.to_owned(), place: None });
        self
    }

    /// Declares names whose values come later.
    #[must_use]
    pub fn later<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.later.extend(names.into_iter().map(str::to_owned));
        self
    }

    /// Declares variables that a file declares; a later declaration hides an earlier one.
    #[must_use]
    pub fn declare<'a>(mut self, variables: impl IntoIterator<Item = (&'a String, &'a Spanned<String>)>) -> Self {
        for (name, value) in variables {
            let variable = Variable { value: value.value.clone(), place: Some(value.place) };
            self.variables.insert(name.clone(), variable);
        }
        self
    }

    /// The declarations that were used, by place.
    #[must_use]
    pub fn used(&self) -> BTreeSet<Place> {
        self.used.borrow().clone()
    }

    /// Reads a text and puts in what is known.
    pub fn template(&self, reader: &Reader<'_>, node: &Node) -> Option<Template> {
        let text = reader.text(node)?;
        self.resolve(reader, text, node.place)
    }

    /// Reads a text all of whose variables are known now.
    pub fn text(&self, reader: &Reader<'_>, node: &Node) -> Option<String> {
        debug_assert!(self.later.is_empty(), "a text that is needed now cannot use what comes later");
        Some(self.template(reader, node)?.render(|_| None))
    }

    /// Puts what is known into `text`, which stands at `place`.
    pub fn resolve(&self, reader: &Reader<'_>, text: &str, place: Place) -> Option<Template> {
        if !text.contains("{{") {
            return Some(Template::literal(text));
        }
        let mut template = Template::default();
        let mut sound = true;
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let mut rest = text;
        while let Some(open) = rest.find("{{") {
            template.push_text(&rest[..open]);
            let Some((raw, name, after)) = variable(&rest[open..]) else {
                let at = reader.sources().find(place, "{{", 0);
                reader.report(Problem::new(at, "`{{` without `}}`").hint("a literal `{{` is written `{{ '{{' }}`"));
                return None;
            };
            let nth = seen.entry(raw).or_default();
            // Looking a place up costs a walk through the file: worth it for a person's mistakes, not for a thousand.
            let at = |nth| if reader.count() < MOST_TOLD { reader.sources().find(place, raw, nth) } else { place };
            if matches!(name, "'{{'" | "\"{{\"") {
                template.push_text("{{");
            } else if let Some(known) = self.variables.get(name) {
                template.push_text(&known.value);
                if let Some(place) = known.place {
                    self.used.borrow_mut().insert(place);
                }
            } else if self.later.contains(name) {
                template.pieces.push(Piece::Variable(name.to_owned()));
            } else {
                let names = self.variables.keys().chain(&self.later).map(String::as_str);
                let hint = did_you_mean(name, "variables here", names)
                    .unwrap_or_else(|| "declare it under `variables:`".to_owned());
                let message = if name.is_empty() { "`{{ }}` names no variable".to_owned() } else { undeclared(name) };
                let literal = "a literal `{{` is written `{{ '{{' }}`";
                reader.report(Problem::new(at(*nth), message).hint(format!("{hint}\n{literal}")));
                sound = false;
            }
            *nth += 1;
            rest = after;
        }
        template.push_text(rest);
        sound.then_some(template)
    }
}

fn undeclared(name: &str) -> String {
    format!("the variable `{}` is not declared", name.chars().take(60).collect::<String>())
}

/// Splits `{{ name }}...` into the whole, the name and what follows.
fn variable(text: &str) -> Option<(&str, &str, &str)> {
    // The quoted braces of a literal would end the search too early or too late.
    for quoted in ["'{{'", "\"{{\""] {
        let inner = text[2..].trim_start();
        if let Some(after) = inner.strip_prefix(quoted)
            && let Some(after) = after.trim_start().strip_prefix("}}")
        {
            return Some((&text[..text.len() - after.len()], quoted, after));
        }
    }
    let close = text.find("}}")?;
    Some((&text[..close + 2], text[2..close].trim(), &text[close + 2..]))
}

impl Template {
    /// A text without variables.
    #[must_use]
    pub fn literal(text: &str) -> Self {
        let mut template = Self::default();
        template.push_text(text);
        template
    }

    fn push_text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        match self.pieces.last_mut() {
            Some(Piece::Text(last)) => last.push_str(text),
            _ => self.pieces.push(Piece::Text(text.to_owned())),
        }
    }

    /// Its parts.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The variables left in it.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Variable(name) => Some(&**name),
            Piece::Text(_) => None,
        })
    }

    /// The text with values put in; a variable without one gives nothing, which [`Scope`] has ruled out for all names
    /// it let through.
    #[must_use]
    pub fn render(&self, value: impl Fn(&str) -> Option<String>) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Variable(name) => text.push_str(&value(name).unwrap_or_default()),
            }
        }
        text
    }
}

impl schemars::JsonSchema for Template {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Template".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "number"], "description": "A text; `{{ name }}` is a variable's value" })
    }
}

/// A word as the shell takes it literally.
#[must_use]
pub fn shell_quoted(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-+=./:,@%".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Checks a variable's name: letters, digits, `-` and `_`, beginning with a letter.
#[must_use]
pub fn is_variable_name(name: &str) -> bool {
    name.len() <= 60
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// Reads a `variables:` mapping.
pub fn read_variables(reader: &Reader<'_>, node: &Node) -> BTreeMap<String, Spanned<String>> {
    let mut variables = BTreeMap::new();
    for (key, node) in reader.entries(node).unwrap_or_default() {
        if !is_variable_name(&key.text) {
            let message = format!("`{}` is not a variable's name", key.text);
            let hint = "letters, digits, `-` and `_`, beginning with a letter";
            reader.report(Problem::new(key.place, message).hint(hint));
            continue;
        }
        if let Some(text) = reader.text(node) {
            variables.insert(key.text.to_string(), Spanned::new(text.to_owned(), key.place));
        }
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Sources;
    use crate::yaml::parse;

    fn read(yaml: &str) -> Result<String, String> {
        let (sources, node) = parse("t.yaml", yaml).map_err(|e| e.to_string())?;
        let scope = Scope::new().provide("name", "web").later(["out"]);
        let reader = Reader::new(&sources);
        let template = scope.template(&reader, &node);
        let text = template.map(|t| t.render(|name| Some(format!("<{name}>"))));
        reader.finish(text).map_err(|e| e.to_string())
    }

    #[test]
    fn puts_in_values_now_and_later() {
        assert_eq!(read("'{{ name }}/{{out}}/{{ name }}'").unwrap(), "web/<out>/web");
        assert_eq!(read("no variables, }} is text").unwrap(), "no variables, }} is text");
        assert_eq!(read("\"a {{ '{{' }} b\"").unwrap(), "a {{ b");
    }

    #[test]
    fn an_undeclared_name_is_told_where_it_stands() {
        assert_eq!(
            read("|\n  make\n  make {{ nmae }}\n").unwrap_err(),
            "t.yaml:3:8: the variable `nmae` is not declared"
        );
        assert!(read("'{{ }}'").unwrap_err().contains("names no variable"));
        assert!(read("'{{ name '").unwrap_err().contains("without"));
    }

    #[test]
    fn quoting_keeps_the_shell_out() {
        assert_eq!(shell_quoted("--with-cc-opt=-O2"), "--with-cc-opt=-O2");
        assert_eq!(shell_quoted("$(rm -rf /)"), "'$(rm -rf /)'");
        assert_eq!(shell_quoted("it's"), "'it'\\''s'");
        assert_eq!(shell_quoted(""), "''");
        assert_eq!(shell_quoted("~root"), "'~root'");
    }

    #[test]
    fn a_declared_variable_that_is_used_is_known_to_be() {
        let mut sources = Sources::new();
        let file = sources.add("t.yaml", "'{{ a }}'");
        let place = Place { file, line: 9, column: 1, length: 1 };
        let node = crate::yaml::parse_into(file, "'{{ a }}'", &mut Vec::new()).unwrap();
        let variables = BTreeMap::from([("a".to_owned(), Spanned::new("x".to_owned(), place))]);
        let scope = Scope::new().declare(&variables);
        let reader = Reader::new(&sources);
        assert_eq!(scope.text(&reader, &node).unwrap(), "x");
        assert_eq!(scope.used(), BTreeSet::from([place]));
    }
}
