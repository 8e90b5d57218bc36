//! Reads a whole project: every file is parsed, everything is checked against everything else, and all errors are told
//! at once. Pure: the caller brings the texts, and says which other files there are.

use std::collections::{BTreeMap, BTreeSet};

use super::check::{self, Declared, Files};
use super::{Project, ProjectPath};
use crate::builder::{self, Builder, Builders};
use crate::diagnostic::{Diagnostic, Diagnostics, FileId, Place, Problem, Sources, Spanned};
use crate::image::{self, Image, ImageFile};
use crate::recipe::{self, Recipe};
use crate::rule::{self, RuleFile};
use crate::template::read_variables;
use crate::yaml::{Node, Reader, Scalars, Value, did_you_mean, merge, parse_into};
use crate::{ImageName, PackageName};

/// The project's own file.
pub const PROJECT_FILE: &str = "kiln.yaml";
/// The folder of recipes.
pub const PACKAGES: &str = "packages";
/// The folder of images.
pub const IMAGES: &str = "images";
/// The folder of the project's own rules for hooks.
pub const RULES: &str = "rules";
/// The folder of the project's own builders.
const BUILDERS: &str = "builders";
const RECIPE_FILE: &str = "package.yaml";
/// How many threads parse a large project.
const THREADS: usize = 4;
/// How many files are worth a thread.
const SHARE: usize = 64;
/// The longest way from a recipe to what it starts from.
const DEEPEST_BASE: usize = 32;

/// A project, read and checked.
#[derive(Debug, Clone)]
pub struct LoadedProject {
    /// `kiln.yaml`.
    pub project: Project,
    /// The recipes.
    pub recipes: BTreeMap<PackageName, Recipe>,
    /// The images.
    pub images: BTreeMap<ImageName, Image>,
    /// The builders: those shipped, and the project's own.
    pub builders: Builders,
    /// The project's own rules for hooks, by file.
    pub rules: Vec<RuleFile>,
    /// The texts, for errors that are found later.
    pub sources: Sources,
}

impl LoadedProject {
    /// An error about something the project says, found later: it points to the place.
    #[must_use]
    pub fn error_at(&self, place: Place, message: impl Into<String>) -> Diagnostic {
        self.sources.diagnostic(&Problem::new(place, message))
    }
}

/// What a file of a project is to Kiln.
enum Role<'p> {
    Project,
    Recipe(&'p str),
    Image(&'p str),
    Builder,
    Rules,
    /// Nearly one of these: it would be overlooked in silence.
    Misnamed(String),
}

fn role(path: &str) -> Option<Role<'_>> {
    let mut parts = path.split('/');
    match (parts.next()?, parts.next(), parts.next(), parts.next()) {
        (PROJECT_FILE, None, ..) => Some(Role::Project),
        ("kiln.yml", None, ..) => Some(Role::Misnamed(PROJECT_FILE.to_owned())),
        (PACKAGES, Some(folder), Some(RECIPE_FILE), None) => Some(Role::Recipe(folder)),
        (PACKAGES, Some(folder), Some("package.yml"), None) => {
            Some(Role::Misnamed(format!("{PACKAGES}/{folder}/{RECIPE_FILE}")))
        }
        (PACKAGES, Some(file), None, _) if is_yaml(file) => {
            let name = file.rsplit_once('.').map_or(file, |(name, _)| name);
            Some(Role::Misnamed(format!("{PACKAGES}/{name}/{RECIPE_FILE}")))
        }
        (IMAGES, Some(file), None, _) if file.ends_with(".yaml") => Some(Role::Image(file)),
        (BUILDERS, Some(file), None, _) if file.ends_with(".yaml") => Some(Role::Builder),
        (RULES, Some(file), None, _) if file.ends_with(".yaml") => Some(Role::Rules),
        (folder @ (IMAGES | BUILDERS | RULES), Some(file), None, _) if is_yaml(file) => {
            Some(Role::Misnamed(format!("{folder}/{}aml", &file[..file.len() - 2])))
        }
        _ => None,
    }
}

fn is_yaml(file: &str) -> bool {
    file.ends_with(".yaml") || file.ends_with(".yml")
}

/// Is this a file whose text [`parse_project_tree`] needs? Paths are relative to the project's root.
#[must_use]
pub fn wanted_files(path: &str) -> bool {
    role(path).is_some()
}

#[derive(Default)]
struct Parsed {
    project: Option<Node>,
    recipes: BTreeMap<String, Node>,
    images: Vec<ImageFile>,
    builders: Vec<Node>,
    /// By path.
    rules: Vec<(String, Node)>,
}

/// Reads a project from the texts of its files; `files` says what else there is.
///
/// # Errors
/// Everything wrong with it.
pub fn parse_project_tree<'a>(
    texts: impl IntoIterator<Item = (&'a str, &'a str)>,
    files: &dyn Files,
) -> Result<LoadedProject, Diagnostics> {
    let mut sources = Sources::new();
    let shipped = builder::shipped(&mut sources)?;
    // By path, so that the order the caller found them in does not matter.
    let texts: BTreeMap<&str, &str> = texts.into_iter().collect();
    let mut problems = Vec::new();
    let mut parsed = Parsed::default();
    let mut files_read: Vec<(Role<'_>, FileId, &str, &str)> = Vec::new();
    for (path, text) in &texts {
        if let Some(role) = role(path) {
            files_read.push((role, sources.add(path, text), path, text));
        }
    }
    let nodes = parse_all(&files_read);
    for ((role, file, path, _), (node, found)) in files_read.into_iter().zip(nodes) {
        if let Role::Misnamed(right) = role {
            let place = Place { file, line: 1, column: 1, length: 1 };
            problems
                .push(Problem::new(place, format!("Kiln does not read `{path}`")).hint(format!("name it `{right}`")));
            continue;
        }
        problems.extend(found);
        let Some(node) = node else { continue };
        // An image's name is looked for before it is read as one; what can have none would be overlooked.
        if let (Role::Image(_), false) = (&role, matches!(node.value, Value::Map(_))) {
            let message = format!("an image has to be a mapping, and this is {}", node.kind());
            problems.push(Problem::new(node.place, message).hint("write `name: NAME`, and what is in it"));
            continue;
        }
        match role {
            Role::Project => parsed.project = Some(node),
            Role::Recipe(folder) => {
                parsed.recipes.insert(folder.to_owned(), node);
            }
            Role::Image(name) => parsed.images.push(ImageFile { name: name.to_owned(), node }),
            Role::Builder => parsed.builders.push(node),
            Role::Rules => parsed.rules.push((path.to_owned(), node)),
            Role::Misnamed(_) => {}
        }
    }
    if !texts.contains_key(PROJECT_FILE) {
        let mut told = sources.diagnostics(problems);
        let missing = Diagnostic::error(format!("there is no `{PROJECT_FILE}` here, so this is not a project"));
        told.0.insert(0, missing.hint("`kiln init` writes one"));
        return Err(told);
    }
    let reader = Reader::new(&sources);
    problems.into_iter().for_each(|problem| reader.report(problem));
    let read = read_all(&reader, &parsed, shipped, files);
    let rules = parsed.rules.iter().filter_map(|(path, node)| rule::read(&reader, node, path)).collect();
    let problems = reader.take_problems();
    match read {
        Some((project, builders, recipes, images)) if problems.is_empty() => {
            Ok(LoadedProject { project, recipes, images, builders, rules, sources })
        }
        _ => Err(sources.diagnostics(problems)),
    }
}

/// Parses every file. Most of the time of loading goes here, so large projects use a few threads; what comes out is the
/// same.
fn parse_all(files: &[(Role<'_>, FileId, &str, &str)]) -> Vec<(Option<Node>, Vec<Problem>)> {
    let parse = |(role, file, _, text): &(Role<'_>, FileId, &str, &str)| {
        let mut problems = Vec::new();
        let node = match role {
            Role::Misnamed(_) => None,
            _ if text.contains(char::REPLACEMENT_CHARACTER) => {
                problems.push(not_text(*file, text));
                None
            }
            _ => parse_into(*file, text, &mut problems),
        };
        (node, problems)
    };
    let share = files.len().div_ceil(THREADS).max(SHARE);
    std::thread::scope(|scope| {
        let mut shares = files.chunks(share);
        let last = shares.next_back().unwrap_or_default();
        let threads: Vec<_> =
            shares.map(|share| scope.spawn(move || share.iter().map(parse).collect::<Vec<_>>())).collect();
        let last: Vec<_> = last.iter().map(parse).collect();
        let joined =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        let mut nodes: Vec<_> = joined.flatten().collect();
        nodes.extend(last);
        nodes
    })
}

/// The first place in a file that is no text: who reads the files puts U+FFFD for bytes that are not UTF-8.
fn not_text(file: FileId, text: &str) -> Problem {
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let before = text.split(char::REPLACEMENT_CHARACTER).next().unwrap_or_default();
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let place = Place { file, line: small(before.matches('\n').count() + 1), column: small(column), length: 1 };
    Problem::new(place, "this is not UTF-8 text").hint("save the file as UTF-8")
}

type Everything = (Project, Builders, BTreeMap<PackageName, Recipe>, BTreeMap<ImageName, Image>);

fn read_all(reader: &Reader<'_>, parsed: &Parsed, shipped: Builders, files: &dyn Files) -> Option<Everything> {
    let mut builders = shipped;
    for node in &parsed.builders {
        if let Some(own) = Builder::read(reader, node) {
            builder::add(reader, &mut builders, own);
        }
    }
    let project = parsed.project.as_ref().and_then(|node| Project::read(reader, node));
    // Known even when the rest of the file is wrong, lest every use of them looked wrong too.
    let variables = match (&project, &parsed.project) {
        (Some(project), _) => project.variables.clone(),
        (None, Some(node)) => node.get("variables").map(|node| read_variables(reader, node)).unwrap_or_default(),
        (None, None) => BTreeMap::new(),
    };
    let mut used = BTreeSet::new();
    let recipes = read_recipes(reader, &parsed.recipes, &builders, &variables, &mut used);
    let images = read_images(reader, &parsed.images, &variables, &mut used);
    if parsed.recipes.len() == recipes.len() && reader.count() == 0 {
        report_unused(reader, &variables, &used);
    }
    let project = project?;
    let origins = parsed.project.as_ref().and_then(|node| node.get("origins"));
    let origins = match origins.map(|node| &node.value) {
        Some(Value::Map(entries)) => entries.iter().map(|(key, _)| &*key.text).collect(),
        _ => BTreeSet::new(),
    };
    let declared = Declared { recipes: parsed.recipes.keys().map(String::as_str).collect(), origins };
    check::check(reader, &project, &recipes, &images, &declared, files);
    Some((project, builders, recipes, images))
}

fn report_unused(reader: &Reader<'_>, variables: &BTreeMap<String, Spanned<String>>, used: &BTreeSet<Place>) {
    for (name, value) in variables.iter().filter(|(_, value)| !used.contains(&value.place)) {
        let problem = Problem::new(value.place, format!("the variable `{name}` is not used"));
        reader.report(problem.hint(format!("use it as `{{{{ {name} }}}}` in a recipe or an image, or remove it")));
    }
}

fn read_recipes(
    reader: &Reader<'_>,
    nodes: &BTreeMap<String, Node>,
    builders: &Builders,
    variables: &BTreeMap<String, Spanned<String>>,
    used: &mut BTreeSet<Place>,
) -> BTreeMap<PackageName, Recipe> {
    let mut recipes = BTreeMap::new();
    for (folder, node) in nodes {
        let Some(merged) = with_base(reader, nodes, folder, node) else { continue };
        let node = merged.as_ref().unwrap_or(node);
        let path: ProjectPath = format!("{PACKAGES}/{folder}").parse().unwrap_or_default();
        let Some(recipe) = recipe::read(reader, node, &path, builders, variables, used) else { continue };
        if recipe.name.as_str() != folder {
            let message = format!("this recipe is named `{}`, but its folder `{folder}`", recipe.name);
            reader.report(Problem::new(recipe.name.place, message).hint("give both one name"));
            continue;
        }
        recipes.insert(recipe.name.value.clone(), recipe);
    }
    recipes
}

/// A recipe laid on its base, and that on its own; `Some(None)` when it has none.
fn with_base(reader: &Reader<'_>, nodes: &BTreeMap<String, Node>, folder: &str, node: &Node) -> Option<Option<Node>> {
    let mut chain = vec![(folder, node)];
    while let Some((_, last)) = chain.last()
        && let Some(base) = last.get("base")
    {
        // Anything else is told of when the recipe is read.
        let Some(name) = base.peek_text().filter(|name| !name.contains(':')) else { break };
        if let Some(start) = chain.iter().position(|(seen, _)| *seen == name) {
            let mut names: Vec<String> = chain[start..].iter().map(|(name, _)| format!("`{name}`")).collect();
            names.push(format!("`{name}`"));
            let message = format!("these recipes are each other's base: {}", names.join(" → "));
            reader.report(Problem::new(base.place, message));
            return None;
        }
        let Some((name, under)) = nodes.get_key_value(name) else {
            let hint = did_you_mean(name, "recipes here", nodes.keys().map(String::as_str));
            reader.report(Problem::new(base.place, format!("there is no recipe `{name}`")).maybe_hint(hint));
            return None;
        };
        if chain.len() > DEEPEST_BASE {
            reader.wrong(base.place, format!("this starts from more than {DEEPEST_BASE} recipes, one on the other"));
            return None;
        }
        chain.push((name, under));
    }
    if chain.len() == 1 {
        return Some(None);
    }
    let mut problems = Vec::new();
    let mut merged: Option<Node> = None;
    while let Some((_, node)) = chain.pop() {
        merged = Some(match merged {
            None => node.clone(),
            Some(under) => merge(without(under, node), node.clone(), Scalars::Override, &mut problems),
        });
    }
    problems.into_iter().for_each(|problem| reader.report(problem));
    Some(merged)
}

/// An inherited recipe without what cannot be inherited: a builder's parameters where the heir builds in another way.
fn without(mut under: Node, over: &Node) -> Node {
    let method = |node: &Node| {
        let build = node.get("build")?;
        let uses = build.get("uses").and_then(Node::peek_text).map(str::to_owned);
        uses.or_else(|| build.get("steps").map(|_| String::new()))
    };
    let changed = method(over).is_some_and(|new| method(&under).is_some_and(|old| old != new));
    if let Value::Map(entries) = &mut under.value {
        entries.retain(|(key, _)| !(changed && &*key.text == "build"));
    }
    under
}

fn read_images(
    reader: &Reader<'_>,
    files: &[ImageFile],
    variables: &BTreeMap<String, Spanned<String>>,
    used: &mut BTreeSet<Place>,
) -> BTreeMap<ImageName, Image> {
    let mut images: BTreeMap<ImageName, Image> = BTreeMap::new();
    for (file, node) in image::flatten(reader, files) {
        let Some(mut image) = image::read(reader, &node, variables, used) else { continue };
        let list = file.node.get("extends").and_then(|list| reader.list(list)).unwrap_or_default();
        image.extends = list.iter().filter_map(Node::peek_text).map(str::to_owned).collect();
        if let Some(first) = images.get(&image.name.value) {
            let problem = Problem::new(image.name.place, format!("there are two images named `{}`", image.name));
            reader.report(problem.label("this is one").related(first.name.place, "this is the other"));
            continue;
        }
        images.insert(image.name.value.clone(), image);
    }
    images
}
