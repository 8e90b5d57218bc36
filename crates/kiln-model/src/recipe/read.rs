//! Reads a recipe's file, after what it inherits has been merged into it.

use std::collections::BTreeMap;

use super::{
    Build, BuilderCall, Condition, Conditional, Declarer, Limits, Method, Need, Part, Patch, Recipe, RecipeOption,
    Source, StepTemplate, facts::read_facts,
};
use crate::builder::{Argument, Builders, ParameterKind};
use crate::diagnostic::{Place, Problem, Spanned};
use crate::project::ProjectPath;
use crate::template::{Scope, Template};
use crate::yaml::{Key, Node, Reader, did_you_mean, nearest};
use crate::{OptionName, PackageName, PackageRef};

/// What reading one recipe needs besides its node.
pub(super) struct RecipeReader<'r, 's> {
    pub(super) reader: &'r Reader<'s>,
    /// Names for texts that are needed before anything is built.
    pub(super) known: Scope,
    /// Names for scripts.
    pub(super) steps: Scope,
}

impl RecipeReader<'_, '_> {
    /// A text all of whose variables are known now.
    pub(super) fn known_text(&self, node: &Node) -> Option<String> {
        self.reader.filled(node)?;
        self.known.text(self.reader, node)
    }

    /// A path relative to the folder of the file that it is written in, which need not be the recipe's own: an
    /// inherited path stays with its recipe.
    pub(super) fn path(&self, node: &Node) -> Option<Spanned<ProjectPath>> {
        let text = self.reader.filled(node)?;
        self.path_at(text, node.place)
    }

    fn path_at(&self, text: &str, place: Place) -> Option<Spanned<ProjectPath>> {
        let folder = self.reader.sources().path(place.file).parse::<ProjectPath>().unwrap_or_default().folder();
        self.checked_path(folder.join(text), place)
    }

    /// A path relative to the project's root.
    pub(super) fn root_path(&self, text: &str, place: Place) -> Option<Spanned<ProjectPath>> {
        self.checked_path(text.parse(), place)
    }

    fn checked_path(
        &self,
        path: Result<ProjectPath, crate::path::PathError>,
        place: Place,
    ) -> Option<Spanned<ProjectPath>> {
        match path {
            Ok(path) => Some(Spanned::new(path, place)),
            Err(error) => {
                let problem = Problem::new(place, error.to_string());
                self.reader.report(problem.hint("a path in the project is relative, and does not leave its folder"));
                None
            }
        }
    }
}

/// Reads a recipe. `variables` are the project's; the places of those that are used are added to `used`.
pub fn read(
    reader: &Reader<'_>,
    node: &Node,
    folder: &ProjectPath,
    builders: &Builders,
    variables: &BTreeMap<String, Spanned<String>>,
    used: &mut std::collections::BTreeSet<Place>,
) -> Option<Recipe> {
    let provide = |scope: Scope| {
        let mut scope = scope.declare(variables);
        for name in ["name", "version"] {
            if let Some(text) = node.get(name).and_then(Node::peek_text) {
                scope = scope.provide(name, text);
            }
        }
        scope
    };
    let known = provide(Scope::new());
    let steps = provide(Scope::new().later(["out", "jobs", "architecture", "multiarch"]));
    let recipe = RecipeReader { reader, known, steps };
    let value = recipe.recipe(node, folder, builders);
    used.extend(recipe.known.used());
    used.extend(recipe.steps.used());
    value
}

impl RecipeReader<'_, '_> {
    fn recipe(&self, node: &Node, folder: &ProjectPath, builders: &Builders) -> Option<Recipe> {
        let reader = self.reader;
        let mut fields = reader.map(node, "a recipe")?;
        let name = fields.require("name");
        let base = fields.take("base");
        let version = fields.require("version");
        let (summary, license, author) = (fields.require("summary"), fields.require("license"), fields.take("author"));
        let (sources, patches, options) = (fields.take("sources"), fields.take("patches"), fields.take("options"));
        let (needs, runtime) = (fields.take("needs"), fields.take("runtime"));
        let build = fields.require("build");
        let (parts, facts, test) = (fields.take("parts"), fields.take("facts"), fields.take("test"));
        fields.finish();
        let name = name.and_then(|node| reader.parse::<PackageName>(node));
        let base = base.and_then(|node| {
            if reader.text(node)?.contains(':') {
                reader.unsupported(node.place, "a base from another origin");
                return None;
            }
            reader.parse::<PackageName>(node)
        });
        let version = version.and_then(|node| {
            let text = reader.line(node)?;
            let sound = text.bytes().all(|b| b.is_ascii_alphanumeric() || b".+-~:_".contains(&b));
            if !sound {
                let problem = Problem::new(node.place, format!("`{text}` is not a version"));
                reader.report(problem.hint("letters, digits and `. + - ~ : _`"));
            }
            sound.then(|| Spanned::new(text, node.place))
        });
        let line = |node: Option<&Node>| node.and_then(|node| reader.line(node));
        let (summary, license, author) = (line(summary), line(license), line(author));
        let options = options.map_or_else(|| Some(BTreeMap::new()), |node| self.options(node));
        let sources = sources.and_then(|node| reader.each(node, |item| Source::read(self, item)));
        let patches = patches.map(|node| self.patches(node));
        let need = |item: &Node| read_need(reader, item);
        let needs: Vec<Need> = needs.and_then(|node| reader.each(node, need)).unwrap_or_default();
        let runtime: Vec<Need> = runtime.and_then(|node| reader.each(node, need)).unwrap_or_default();
        let build = build.and_then(|node| self.build(node, builders));
        let parts = parts.and_then(|node| reader.table(node, |_, part| self.part(part)));
        let declared = facts.and_then(|node| read_facts(reader, node, Declarer::Recipe)).unwrap_or_default();
        let test = test.and_then(|node| reader.each(node, |item| self.step(item)));
        let recipe = Recipe {
            name: name?,
            folder: folder.clone(),
            base,
            version: version?,
            summary: summary?,
            license: license?,
            author,
            sources: sources.unwrap_or_default(),
            patches: patches.unwrap_or_default(),
            options: options?,
            needs,
            runtime,
            build: build?,
            parts: parts.unwrap_or_default(),
            facts: declared.facts,
            units: declared.units,
            test: test.unwrap_or_default(),
        };
        self.check(&recipe, node);
        Some(recipe)
    }

    fn options(&self, node: &Node) -> Option<BTreeMap<OptionName, RecipeOption>> {
        let reader = self.reader;
        reader.table(node, |key, node| {
            let mut fields = reader.map(node, "an option")?;
            let (default, summary) = (fields.require("default"), fields.require("summary"));
            fields.finish();
            let default = default.and_then(|node| reader.flag(node));
            let summary = summary.and_then(|node| reader.line(node));
            Some(RecipeOption { default: default?, summary: summary?, place: key.place })
        })
    }

    fn patches(&self, node: &Node) -> Vec<Patch> {
        let mut patches: Vec<Patch> = Vec::new();
        for (key, why) in self.reader.entries(node).unwrap_or_default() {
            let path = self.path_at(&key.text, key.place);
            let why = match &why.value {
                crate::yaml::Value::Null => {
                    let problem = Problem::new(key.place, format!("`{}` does not say why it is here", key.text));
                    self.reader.report(problem.hint("write the reason after it: `PATH: Why it is needed`"));
                    None
                }
                _ => self.reader.filled(why).map(str::to_owned),
            };
            if let (Some(path), Some(why)) = (path, why) {
                patches.push(Patch { path, why });
            }
        }
        patches
    }

    fn part(&self, node: &Node) -> Option<Part> {
        let reader = self.reader;
        let mut fields = reader.map(node, "a part")?;
        let claim = fields.require("claim");
        fields.finish();
        let claim = reader.each(claim?, |item| {
            let text = reader.filled(item)?;
            if let Err(error) = text.parse::<crate::TreePath>() {
                let problem = Problem::new(item.place, error.to_string());
                reader.report(problem.hint("a claim is a path or pattern without a leading slash: `usr/share/doc/**`"));
                return None;
            }
            Some(Spanned::new(text.to_owned(), item.place))
        })?;
        if claim.is_empty() {
            reader.wrong(node.place, "a part that claims nothing is empty");
        }
        Some(Part { claim })
    }

    fn step(&self, node: &Node) -> Option<StepTemplate> {
        let reader = self.reader;
        let mut fields = reader.map(node, "a step")?;
        let (name, run) = (fields.take("name"), fields.require("run"));
        let (when, unless) = (fields.take("when"), fields.take("unless"));
        fields.finish();
        let name = name.and_then(|node| reader.line(node));
        let condition = read_condition(reader, when, unless);
        let run = run?;
        reader.filled(run)?;
        Some(StepTemplate { name, run: self.steps.template(reader, run)?, condition, place: node.place })
    }

    fn build(&self, node: &Node, builders: &Builders) -> Option<Build> {
        let reader = self.reader;
        let mut fields = reader.map(node, "`build`")?;
        let (uses, steps) = (fields.take("uses"), fields.take("steps"));
        let (env, limits) = (fields.take("env"), fields.take("limits"));
        let read_steps = |node: Option<&Node>| match node {
            Some(node) => reader.each(node, |item| self.step(item)),
            None => Some(Vec::new()),
        };
        let method = match (uses, steps) {
            (Some(uses), None) => {
                let (before, after) = (fields.take("before"), fields.take("after"));
                let mut known = vec!["uses", "env", "limits", "before", "after"];
                let name = reader.text(uses)?;
                let Some(builder) = builders.get(name) else {
                    let hint = did_you_mean(name, "builders here", builders.keys().map(String::as_str));
                    reader.report(Problem::new(uses.place, format!("there is no builder `{name}`")).maybe_hint(hint));
                    return None;
                };
                let mut arguments: BTreeMap<String, Argument> = BTreeMap::new();
                for (parameter, declared) in &builder.parameters {
                    known.push(parameter);
                    match node.get(parameter) {
                        Some(value) => {
                            if let Some(argument) = declared.kind.read(reader, &self.steps, value) {
                                arguments.insert(parameter.clone(), argument);
                            }
                        }
                        None if declared.required => {
                            let problem = Problem::new(uses.place, format!("the builder `{name}` needs `{parameter}`"));
                            reader.report(problem.hint(declared.summary.clone()));
                        }
                        None => {}
                    }
                }
                report_unknown(reader, node, name, &known);
                let (before, after) = (read_steps(before), read_steps(after));
                let call = BuilderCall { builder: builder.clone(), arguments, before: before?, after: after? };
                Method::Builder(call)
            }
            (None, Some(steps)) => {
                fields.finish();
                let list = reader.each(steps, |item| self.step(item))?;
                if list.is_empty() {
                    reader.wrong(steps.place, "there is no step");
                }
                Method::Steps(list)
            }
            (Some(uses), Some(steps)) => {
                let problem = Problem::new(steps.place, "a build has a builder or steps, not both");
                let hint = "steps around a builder's own go under `before` and `after`";
                reader.report(problem.related(uses.place, "the builder").hint(hint));
                return None;
            }
            (None, None) => {
                let known = ["uses", "steps", "env", "limits", "before", "after"];
                let entries = reader.entries(node)?;
                // A key that is nearly one of these is what is wrong, and then nothing is missing.
                let near = |key: &Key| nearest(&key.text, known).filter(|near| *near != &*key.text);
                let slips: Vec<_> = entries.iter().filter_map(|(key, _)| Some((key, near(key)?))).collect();
                for (key, near) in &slips {
                    let problem = Problem::new(key.place, format!("unknown key `{}`", key.text));
                    reader.report(problem.label("not a key of `build`").hint(format!("did you mean `{near}`?")));
                }
                if slips.is_empty() {
                    let problem = Problem::new(node.place, "this says nothing of how it is built");
                    reader.report(problem.hint("give `uses: BUILDER` or `steps:`"));
                }
                return None;
            }
        };
        let limits = limits.and_then(|node| Limits::read(reader, node)).unwrap_or_default();
        let env = match env {
            Some(node) => match ParameterKind::Assignments.read(reader, &self.steps, node)? {
                Argument::Map(entries) => entries,
                _ => Vec::new(),
            },
            None => Vec::new(),
        };
        for (name, _) in &env {
            let sound = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if let (false, Some((key, _))) = (sound, entry(node.get("env"), name)) {
                reader.wrong(key.place, format!("`{name}` cannot be the name of an environment variable"));
            }
        }
        Some(Build { method, env, limits })
    }

    /// What only the whole recipe shows.
    fn check(&self, recipe: &Recipe, node: &Node) {
        let reader = self.reader;
        let before = reader.count();
        let mut used: std::collections::BTreeSet<&OptionName> = std::collections::BTreeSet::new();
        let mut check = |condition: &Option<Condition>| {
            let Some(Condition { option, .. }) = condition else { return };
            if let Some((name, _)) = recipe.options.get_key_value(&option.value) {
                used.insert(name);
                return;
            }
            let message = format!("`{}` has no option `{option}`", recipe.name);
            let hint = did_you_mean(option.as_str(), "its options", recipe.options.keys().map(OptionName::as_str))
                .unwrap_or_else(|| "declare it under `options:`".to_owned());
            reader.report(Problem::new(option.place, message).hint(hint));
        };
        recipe.needs.iter().chain(&recipe.runtime).for_each(|need| check(&need.condition));
        recipe.test.iter().for_each(|step| check(&step.condition));
        match &recipe.build.method {
            Method::Steps(steps) => steps.iter().for_each(|step| check(&step.condition)),
            Method::Builder(call) => {
                call.before.iter().chain(&call.after).for_each(|step| check(&step.condition));
                for argument in call.arguments.values() {
                    if let Argument::Words(words) = argument {
                        words.iter().for_each(|word| check(&word.condition));
                    }
                }
            }
        }
        // An option that is misspelt where it is used is not to be told of as unused too.
        let misspelt = reader.count() > before;
        for (name, option) in recipe.options.iter().filter(|(name, _)| !misspelt && !used.contains(name)) {
            let problem = Problem::new(option.place, format!("the option `{name}` changes nothing"));
            reader
                .report(problem.hint(format!("use it: `when: {name}` under `needs`, `with` or `steps`, or remove it")));
        }
        let mut folders: BTreeMap<crate::TreePath, Place> = BTreeMap::new();
        for source in &recipe.sources {
            if let Some(first) = folders.insert(source.folder(), source.place) {
                let problem = Problem::new(source.place, "two sources in one folder").related(first, "the other one");
                reader.report(problem.hint("give one of them a folder of its own: `into: NAME`"));
            }
        }
        if let (true, Some((key, _))) = (recipe.sources.is_empty(), entry(Some(node), "patches")) {
            reader.wrong(key.place, "there are patches, but no source that they could apply to");
        }
    }
}

fn entry<'n>(node: Option<&'n Node>, name: &str) -> Option<&'n (Key, Node)> {
    match &node?.value {
        crate::yaml::Value::Map(entries) => entries.iter().find(|(key, _)| &*key.text == name),
        _ => None,
    }
}

fn report_unknown(reader: &Reader<'_>, node: &Node, builder: &str, known: &[&str]) {
    for (key, _) in reader.entries(node).unwrap_or_default().iter().filter(|(key, _)| !known.contains(&&*key.text)) {
        let hint = did_you_mean(&key.text, "keys here", known.iter().copied());
        let problem = Problem::new(key.place, format!("unknown key `{}`", key.text));
        reader.report(problem.label(format!("not a parameter of the builder `{builder}`")).maybe_hint(hint));
    }
}

/// Reads `when:` and `unless:`, of which at most one may be given.
fn read_condition(reader: &Reader<'_>, when: Option<&Node>, unless: Option<&Node>) -> Option<Condition> {
    if let (Some(when), Some(unless)) = (when, unless) {
        let problem = Problem::new(unless.place, "`when` and `unless` are given at once");
        reader.report(problem.related(when.place, "`when`"));
    }
    let (node, on) = when.map(|node| (node, true)).or(unless.map(|node| (node, false)))?;
    Some(Condition { option: reader.parse(node)?, on })
}

/// Reads a package that is needed: `NAME`, `ORIGIN:NAME`, or `{ when: OPTION, package: ... }`.
pub fn read_need(reader: &Reader<'_>, node: &Node) -> Option<Need> {
    if node.peek_text().is_some() {
        return Some(Conditional::always(reader.parse::<PackageRef>(node)?));
    }
    let mut fields = reader.map(node, "a need")?;
    let (when, unless, package) = (fields.take("when"), fields.take("unless"), fields.require("package"));
    fields.finish();
    let condition = read_condition(reader, when, unless);
    Some(Conditional { value: reader.parse(package?)?, condition })
}

/// Reads a word of a list, or several that depend on one option: `{ when: OPTION, add: WORD }`.
pub fn read_word(reader: &Reader<'_>, scope: &Scope, node: &Node) -> Option<Vec<Conditional<Template>>> {
    if node.peek_text().is_some() {
        return Some(vec![Conditional::always(scope.template(reader, node)?)]);
    }
    let mut fields = reader.map(node, "a word of a list")?;
    let (when, unless, add) = (fields.take("when"), fields.take("unless"), fields.require("add"));
    fields.finish();
    let condition = read_condition(reader, when, unless);
    let add = add?;
    let words = match add.peek_text() {
        Some(_) => vec![scope.template(reader, add)?],
        None => reader.each(add, |item| scope.template(reader, item))?,
    };
    Some(words.into_iter().map(|value| Conditional { value, condition: condition.clone() }).collect())
}
