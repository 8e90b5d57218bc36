//! Builders: how a kind of source is built, as data. Those shipped with Kiln stand in `builders/*.yaml` and are part of
//! this program; a project adds its own under the same path. A builder has typed parameters and steps; the steps are
//! templates over the parameters, and every value enters the shell quoted.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;

use crate::diagnostic::{Diagnostics, Place, Problem, Sources, Spanned};
use crate::recipe::{BuildVars, Conditional, Options, read_word};
use crate::template::{Scope, Template, is_variable_name, shell_quoted};
use crate::yaml::{Key, Node, Reader, did_you_mean, parse_into};

/// The builders that are part of this program: file name and text.
pub const SHIPPED: &[(&str, &str)] = &[
    ("builders/cmake.yaml", include_str!("../../../../builders/cmake.yaml")),
    ("builders/configure.yaml", include_str!("../../../../builders/configure.yaml")),
    ("builders/copy.yaml", include_str!("../../../../builders/copy.yaml")),
    ("builders/make.yaml", include_str!("../../../../builders/make.yaml")),
    ("builders/meson.yaml", include_str!("../../../../builders/meson.yaml")),
];

/// Keys of a recipe's `build:` that no parameter may take.
pub const RESERVED: &[&str] = &["uses", "steps", "before", "after", "env", "limits"];

/// Builders by name.
pub type Builders = BTreeMap<String, Arc<Builder>>;

/// A builder.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Builder {
    /// The name that recipes use.
    pub name: Spanned<String>,
    /// What it builds, in one line.
    pub summary: String,
    /// What a recipe may set.
    #[schemars(default)]
    pub parameters: BTreeMap<String, Parameter>,
    /// What it runs.
    pub steps: Vec<BuilderStep>,
}

/// Something a recipe may set.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Parameter {
    /// What kind of value it takes.
    pub kind: ParameterKind,
    /// What it is for, in one line.
    pub summary: String,
    /// Its value when a recipe does not set it: nothing, by default.
    #[schemars(with = "Option<serde_json::Value>")]
    pub default: Argument,
    /// Has a recipe to set it?
    #[schemars(default)]
    pub required: bool,
}

/// Kinds of parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum ParameterKind {
    /// One text, which enters the shell as one word.
    Text,
    /// `true` or `false`, for `when:` and `unless:`.
    Flag,
    /// A list of texts, which enters the shell as that many words. An element may depend on an option.
    Words,
    /// A mapping, which enters the shell as words `NAME=VALUE`.
    Assignments,
    /// A mapping, which enters the shell as words `KEY VALUE KEY VALUE`.
    Pairs,
}

/// One thing a builder runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuilderStep {
    /// Its name, for logs.
    pub name: String,
    /// A shell script.
    pub run: Template,
    /// Only when this flag has this value.
    pub condition: Option<(String, bool)>,
}

impl JsonSchema for BuilderStep {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "BuilderStep".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "object",
            "description": "A shell script, run with -e, -u and pipefail; `when` and `unless` name a flag",
            "properties": {
                "name": { "type": "string" },
                "run": { "type": "string" },
                "when": { "type": "string" },
                "unless": { "type": "string" },
            },
            "required": ["name", "run"],
            "additionalProperties": false,
        })
    }
}

/// A value of a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// Of a [`ParameterKind::Text`].
    Text(Template),
    /// Of a [`ParameterKind::Flag`].
    Flag(bool),
    /// Of [`ParameterKind::Words`].
    Words(Vec<Conditional<Template>>),
    /// Of [`ParameterKind::Assignments`] or [`ParameterKind::Pairs`].
    Map(Vec<(String, Template)>),
}

impl ParameterKind {
    const ALL: &[(&str, Self)] = &[
        ("text", Self::Text),
        ("flag", Self::Flag),
        ("words", Self::Words),
        ("assignments", Self::Assignments),
        ("pairs", Self::Pairs),
    ];

    fn nothing(self) -> Argument {
        match self {
            Self::Text => Argument::Text(Template::default()),
            Self::Flag => Argument::Flag(false),
            Self::Words => Argument::Words(Vec::new()),
            Self::Assignments | Self::Pairs => Argument::Map(Vec::new()),
        }
    }

    /// Reads a value of this kind. Its texts may use the names of `scope`.
    pub fn read(self, reader: &Reader<'_>, scope: &Scope, node: &Node) -> Option<Argument> {
        Some(match self {
            Self::Text => Argument::Text(scope.template(reader, node)?),
            Self::Flag => Argument::Flag(reader.flag(node)?),
            Self::Words => Argument::Words(
                reader.each(node, |item| read_word(reader, scope, item))?.into_iter().flatten().collect(),
            ),
            Self::Assignments | Self::Pairs => {
                let read = |(key, value): &(Key, Node)| {
                    if self == Self::Assignments && !is_assignable(&key.text) {
                        reader.wrong(key.place, format!("`{}` cannot be a variable's name", key.text));
                        return None;
                    }
                    Some((key.text.to_string(), scope.template(reader, value)?))
                };
                Argument::Map(reader.entries(node)?.iter().filter_map(read).collect())
            }
        })
    }
}

fn is_assignable(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':'))
}

impl Argument {
    /// The value as words for the shell.
    fn shell(&self, kind: ParameterKind, options: &Options, value: &dyn Fn(&str) -> Option<String>) -> String {
        let words: Vec<String> = match self {
            Self::Text(text) => vec![shell_quoted(&text.render(value))],
            Self::Flag(flag) => vec![flag.to_string()],
            Self::Words(words) => {
                let held = words.iter().filter(|word| word.holds(options));
                held.map(|word| shell_quoted(&word.value.render(value))).collect()
            }
            Self::Map(entries) => entries
                .iter()
                .flat_map(|(key, text)| {
                    let text = text.render(value);
                    match kind {
                        ParameterKind::Pairs => vec![shell_quoted(key), shell_quoted(&text)],
                        _ => vec![shell_quoted(&format!("{key}={text}"))],
                    }
                })
                .collect(),
        };
        words.join(" ")
    }
}

impl Builder {
    /// Reads a builder's file.
    pub fn read(reader: &Reader<'_>, node: &Node) -> Option<Self> {
        let mut fields = reader.map(node, "a builder")?;
        let name = fields.require("name");
        let summary = fields.require("summary");
        let parameters = fields.take("parameters");
        let steps = fields.require("steps");
        fields.finish();
        let name = name.and_then(|node| Some(Spanned::new(reader.line(node)?, node.place)));
        let summary = summary.and_then(|node| reader.line(node));
        let mut table = BTreeMap::new();
        for (key, node) in parameters.and_then(|node| reader.entries(node)).unwrap_or_default() {
            let taken = RESERVED.contains(&&*key.text) || BuildVars::NAMES.contains(&&*key.text);
            if taken || !is_variable_name(&key.text) {
                reader.wrong(key.place, format!("`{}` cannot be a parameter's name", key.text));
            } else if let Some(parameter) = Parameter::read(reader, node) {
                table.insert(key.text.to_string(), parameter);
            }
        }
        let steps = steps.and_then(|node| reader.each(node, |step| BuilderStep::read(reader, &table, step)));
        if let (Some(node), Some([])) = (node.get("steps"), steps.as_deref())
            && reader.count() == 0
        {
            reader.wrong(node.place, "a builder needs at least one step");
        }
        check_used(reader, node, &table, steps.as_deref().unwrap_or_default());
        Some(Self { name: name?, summary: summary?, parameters: table, steps: steps? })
    }

    /// The steps, with a recipe's arguments, its options and the build's own values put in.
    #[must_use]
    pub fn steps(
        &self,
        arguments: &BTreeMap<String, Argument>,
        options: &Options,
        vars: &BuildVars,
    ) -> Vec<(String, String)> {
        let builtin = |name: &str| vars.value(name);
        let flag = |name: &str| match arguments.get(name).or_else(|| self.parameters.get(name).map(|p| &p.default)) {
            Some(Argument::Flag(flag)) => *flag,
            _ => false,
        };
        let value = |name: &str| match self.parameters.get(name) {
            None => vars.value(name),
            Some(parameter) => {
                let argument = arguments.get(name).unwrap_or(&parameter.default);
                Some(argument.shell(parameter.kind, options, &builtin))
            }
        };
        let held = self.steps.iter().filter(|step| step.condition.as_ref().is_none_or(|(name, is)| flag(name) == *is));
        held.map(|step| (step.name.clone(), step.run.render(value))).collect()
    }
}

impl Parameter {
    fn read(reader: &Reader<'_>, node: &Node) -> Option<Self> {
        let mut fields = reader.map(node, "a parameter")?;
        let (kind, summary) = (fields.require("kind"), fields.require("summary"));
        let (default, required) = (fields.take("default"), fields.take("required"));
        fields.finish();
        let kind = kind.and_then(|node| reader.word(node, "a kind of parameter", ParameterKind::ALL));
        let summary = summary.and_then(|node| reader.line(node));
        let required = required.and_then(|node| reader.flag(node)).unwrap_or(false);
        if let (true, Some(default)) = (required, default) {
            reader.wrong(default.place, "a parameter that is required has no use for a default");
        }
        let scope = Scope::new().later(BuildVars::NAMES.iter().copied());
        let kind = kind?;
        let default = match default {
            Some(node) => kind.read(reader, &scope, node)?,
            None => kind.nothing(),
        };
        Some(Self { kind, summary: summary?, default, required })
    }
}

impl BuilderStep {
    fn read(reader: &Reader<'_>, parameters: &BTreeMap<String, Parameter>, node: &Node) -> Option<Self> {
        let mut fields = reader.map(node, "a builder's step")?;
        let (name, run) = (fields.require("name"), fields.require("run"));
        let (when, unless) = (fields.take("when"), fields.take("unless"));
        fields.finish();
        if let (Some(_), Some(unless)) = (when, unless) {
            reader.wrong(unless.place, "a step has `when` or `unless`, not both");
        }
        let condition = when.map(|node| (node, true)).or(unless.map(|node| (node, false)));
        let condition = condition.and_then(|(node, is)| {
            let text = reader.text(node)?;
            let flags = || parameters.iter().filter(|(_, p)| p.kind == ParameterKind::Flag).map(|(name, _)| &**name);
            if !flags().any(|flag| flag == text) {
                let hint = did_you_mean(text, "flags here", flags());
                reader
                    .report(Problem::new(node.place, format!("`{text}` is no flag of this builder")).maybe_hint(hint));
            }
            Some((text.to_owned(), is))
        });
        let names = parameters.keys().map(String::as_str).chain(BuildVars::NAMES.iter().copied());
        let run = run.and_then(|node| Scope::new().later(names).template(reader, node));
        Some(Self { name: name.and_then(|node| reader.line(node))?, run: run?, condition })
    }
}

/// A parameter that no step uses would be accepted and ignored.
fn check_used(reader: &Reader<'_>, node: &Node, parameters: &BTreeMap<String, Parameter>, steps: &[BuilderStep]) {
    let Some(entries) = node.get("parameters").and_then(|node| match &node.value {
        crate::yaml::Value::Map(entries) => Some(entries),
        _ => None,
    }) else {
        return;
    };
    for (key, _) in entries.iter().filter(|(key, _)| parameters.contains_key(&*key.text)) {
        let named = |step: &BuilderStep| {
            step.condition.as_ref().is_some_and(|(flag, _)| **flag == *key.text)
                || step.run.variables().any(|name| *name == *key.text)
        };
        if reader.count() == 0 && !steps.iter().any(named) {
            reader.wrong(key.place, format!("no step uses the parameter `{}`", key.text));
        }
    }
}

/// The builders that are part of this program.
///
/// # Errors
/// When one of them is wrong, which a test rules out.
pub fn shipped(sources: &mut Sources) -> Result<Builders, Diagnostics> {
    read_all(sources, SHIPPED.iter().copied())
}

/// Reads builders' files; of two with one name, the second is an error.
///
/// # Errors
/// Everything wrong in any of them.
pub fn read_all<'a>(
    sources: &mut Sources,
    files: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<Builders, Diagnostics> {
    let mut problems = Vec::new();
    let nodes: Vec<Node> = files
        .filter_map(|(path, text)| {
            let file = sources.add(path, text);
            parse_into(file, text, &mut problems)
        })
        .collect();
    let reader = Reader::new(sources);
    problems.into_iter().for_each(|problem| reader.report(problem));
    let mut builders = Builders::new();
    for node in &nodes {
        if let Some(builder) = Builder::read(&reader, node) {
            add(&reader, &mut builders, builder);
        }
    }
    reader.finish(Some(builders))
}

/// Adds a builder under its name.
pub fn add(reader: &Reader<'_>, builders: &mut Builders, builder: Builder) {
    let place: Place = builder.name.place;
    if let Some(first) = builders.get(&builder.name.value) {
        let problem = Problem::new(place, format!("there is already a builder `{}`", builder.name));
        reader.report(problem.related(first.name.place, "the other one"));
        return;
    }
    builders.insert(builder.name.value.clone(), Arc::new(builder));
}
