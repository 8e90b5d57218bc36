//! Checks the files of a project against each other: what is named has to be there, and what is there has to be right.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{ImagePlace, OciOrigin, Origin, Project, ProjectPath};
use crate::diagnostic::{Place, Problem, Spanned};
use crate::hooks::HooksWords;
use crate::image::{FileContent, Image};
use crate::recipe::{GitLocation, Recipe, SourceKind, Switches};
use crate::yaml::{Reader, did_you_mean};
use crate::{ArchiveKind, ImageName, OptionName, OriginName, PackageName, PackageRef, PartName};

/// What a path of the project is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A file, or a link to one.
    File,
    /// A folder.
    Folder,
}

/// Knows which files a project has.
pub trait Files {
    /// What a path is; none when there is nothing.
    fn kind(&self, path: &ProjectPath) -> Option<FileKind>;

    /// Names beside a path, for "did you mean". None have to be known.
    fn beside(&self, path: &ProjectPath) -> Vec<String> {
        let _ = path;
        Vec::new()
    }
}

/// A list of files, as Git gives it: folders are what files are in.
impl Files for BTreeSet<String> {
    fn kind(&self, path: &ProjectPath) -> Option<FileKind> {
        if self.contains(path.as_str()) {
            return Some(FileKind::File);
        }
        let below = format!("{path}/");
        let inside =
            path.as_str().is_empty() || self.range(below.clone()..).next().is_some_and(|f| f.starts_with(&below));
        inside.then_some(FileKind::Folder)
    }

    fn beside(&self, path: &ProjectPath) -> Vec<String> {
        let folder = path.folder();
        let inside = self.iter().filter_map(|file| file.parse::<ProjectPath>().ok()?.below(&folder).map(str::to_owned));
        inside.take(10_000).collect()
    }
}

struct Check<'c, 's> {
    reader: &'c Reader<'s>,
    project: &'c Project,
    recipes: &'c BTreeMap<PackageName, Recipe>,
    declared: &'c Declared<'c>,
    files: &'c dyn Files,
}

/// Names that are there, right or wrong: what is wrong has been told of, and whoever names it is not to blame.
pub(super) struct Declared<'d> {
    pub(super) recipes: BTreeSet<&'d str>,
    pub(super) origins: BTreeSet<&'d str>,
}

/// Checks everything against everything.
pub(super) fn check(
    reader: &Reader<'_>,
    project: &Project,
    recipes: &BTreeMap<PackageName, Recipe>,
    images: &BTreeMap<ImageName, Image>,
    declared: &Declared<'_>,
    files: &dyn Files,
) {
    let check = Check { reader, project, recipes, declared, files };
    check.project();
    recipes.values().for_each(|recipe| check.recipe(recipe));
    images.values().for_each(|image| check.image(image));
    check.cycles();
}

impl Check<'_, '_> {
    fn project(&self) {
        self.hooks(&self.project.hooks);
        for origin in self.project.origins.values() {
            if let Origin::Oci(OciOrigin { place: ImagePlace::Layout(layout), .. }) = &origin.value {
                self.file(layout, FileKind::Folder, "image layout");
            }
            let Some(keyring) = origin.value.keyring() else { continue };
            // Alpine's keys are a file each, and may be a folder of them.
            let folder =
                origin.value.kind() == ArchiveKind::Apk && self.files.kind(&keyring.value) == Some(FileKind::Folder);
            self.file(keyring, if folder { FileKind::Folder } else { FileKind::File }, "keyring");
        }
        for package in &self.project.environment {
            self.reference(package);
            if let PackageRef::Recipe(_) = package.value {
                let what = "a recipe of the project in its own build environment";
                self.reader.unsupported(package.place, what);
            }
        }
        for (name, switches) in &self.project.options {
            match self.recipes.get(name) {
                Some(recipe) => self.switches(recipe, &switches.value),
                None if self.declared.recipes.contains(name.as_str()) => {}
                None => self.no_recipe(name.as_str(), switches.place),
            }
        }
    }

    fn recipe(&self, recipe: &Recipe) {
        recipe.needs.iter().chain(&recipe.runtime).for_each(|need| self.reference(&need.value));
        for patch in &recipe.patches {
            self.file(&patch.path, FileKind::File, "patch");
        }
        recipe.units.values().for_each(|unit| self.file(unit, FileKind::File, "unit"));
        for source in &recipe.sources {
            match &source.kind {
                SourceKind::Origin { origin, .. } => {
                    self.origin(&origin.value, origin.place, &["url", "git", "path"]);
                    self.only_deb(&origin.value, origin.place, "has no source packages");
                }
                SourceKind::Path { path } => self.file(path, FileKind::Folder, "source"),
                SourceKind::Git { location: GitLocation::Path(path), .. } => {
                    self.file(path, FileKind::Folder, "repository");
                }
                SourceKind::Git { .. } | SourceKind::Archive { .. } => {}
            }
        }
    }

    fn image(&self, image: &Image) {
        for package in &image.packages {
            self.reference(&package.reference);
            let PackageRef::Recipe(name) = &package.reference.value else { continue };
            let Some(recipe) = self.recipes.get(name) else { continue };
            self.switches(recipe, &package.switches);
            for part in package.parts.iter().filter(|part| !recipe.parts.contains_key(&part.value)) {
                let hint = did_you_mean(part.as_str(), "its parts", recipe.parts.keys().map(PartName::as_str));
                let problem = Problem::new(part.place, format!("`{name}` has no part `{part}`"));
                self.reader.report(problem.maybe_hint(hint));
            }
        }
        for file in image.files.values() {
            if let FileContent::Source(path) = &file.content {
                self.file(path, FileKind::File, "file");
            }
        }
        for (name, unit) in &image.units {
            self.file(unit, FileKind::File, "unit");
            let user = image.facts.services.get(name).is_some_and(|service| service.user);
            let path = crate::unit::packaged_path(name, user);
            if path.is_some_and(|path| image.files.contains_key(&path)) {
                self.reader.wrong(unit.place, format!("`{name}` is under `files:` of the image already"));
            }
        }
        image.overlays.iter().for_each(|overlay| self.file(&overlay.tree, FileKind::Folder, "overlay"));
        image.replace.values().for_each(|package| self.reference(package));
        self.hooks(&image.hooks);
        for (package, word) in &image.hooks {
            if let Some(other) = self.project.hooks.get(package).filter(|other| *other == word) {
                let problem =
                    Problem::new(word.place, format!("the project says the same of the hooks of `{package}`"));
                self.reader.report(problem.related(other.place, "here").hint("take one of them out"));
            }
        }
        for (package, answers) in &image.answers {
            let Some(first) = answers.values().map(|answer| answer.place).min() else { continue };
            self.reference(&Spanned::new(package.clone(), first));
            if let PackageRef::Recipe(name) = package {
                self.reader.wrong(first, format!("`{name}` is built here, and asks no questions"));
            }
        }
    }

    fn hooks(&self, words: &HooksWords) {
        for (package, word) in words {
            self.reference(&Spanned::new(package.clone(), word.place));
            match package {
                PackageRef::Recipe(name) => {
                    self.reader.wrong(word.place, format!("`{name}` is built here, and has no hooks"));
                }
                PackageRef::Essential(_) => {
                    self.reader.wrong(word.place, "hooks are spoken of package by package");
                }
                PackageRef::Origin(..) => {}
            }
        }
    }

    fn reference(&self, package: &Spanned<PackageRef>) {
        match &package.value {
            PackageRef::Recipe(name) => {
                if !self.declared.recipes.contains(name.as_str()) {
                    self.no_recipe(name.as_str(), package.place);
                }
            }
            PackageRef::Origin(origin, _) => self.origin(origin, package.place, &[]),
            PackageRef::Essential(origin) => {
                self.origin(origin, package.place, &[]);
                self.only_deb(origin, package.place, "marks no package essential");
            }
        }
    }

    fn no_recipe(&self, name: &str, place: Place) {
        let near = did_you_mean(name, "recipes here", self.declared.recipes.iter().copied());
        let origin = self.project.origins.keys().next();
        let other = origin.map(|origin| format!("a package of an origin is written with its name: `{origin}:{name}`"));
        let problem = Problem::new(place, format!("there is no recipe `{name}`"));
        let hint = match (near, other) {
            (Some(near), _) if near.starts_with("did you mean") => Some(near),
            (near, other) => other.or(near),
        };
        self.reader.report(problem.maybe_hint(hint));
    }

    fn origin(&self, origin: &OriginName, place: Place, also: &[&str]) {
        if self.declared.origins.contains(origin.as_str()) {
            return;
        }
        let names = self.project.origins.keys().map(OriginName::as_str).chain(also.iter().copied());
        let hint = did_you_mean(origin.as_str(), "there are", names)
            .unwrap_or_else(|| format!("declare it under `origins:` in `{}`", super::PROJECT_FILE));
        self.reader.report(Problem::new(place, format!("there is no origin `{origin}`")).hint(hint));
    }

    /// What only archives of Debian's have.
    fn only_deb(&self, origin: &OriginName, place: Place, lacks: &str) {
        let kind = self.project.origins.get(origin).map(|origin| origin.value.kind());
        if let Some(kind) = kind.filter(|kind| *kind != ArchiveKind::Deb) {
            let message = format!("`{origin}` is {}, which {lacks}", kind.described());
            self.reader.wrong(place, message);
        }
    }

    fn switches(&self, recipe: &Recipe, switches: &Switches) {
        for option in switches.with.iter().chain(&switches.without) {
            if recipe.options.contains_key(&option.value) {
                continue;
            }
            let hint = did_you_mean(option.as_str(), "its options", recipe.options.keys().map(OptionName::as_str));
            let problem = Problem::new(option.place, format!("`{}` has no option `{option}`", recipe.name));
            self.reader.report(problem.maybe_hint(hint));
        }
    }

    fn file(&self, path: &Spanned<ProjectPath>, wanted: FileKind, what: &str) {
        let message = match (self.files.kind(&path.value), wanted) {
            (Some(found), wanted) if found == wanted => return,
            (Some(FileKind::Folder), _) => format!("the {what} `{path}` is a folder"),
            (Some(FileKind::File), _) => format!("the {what} `{path}` is a file, and has to be a folder"),
            (None, _) => format!("the {what} `{path}` is not there"),
        };
        let hint = match (self.files.kind(&path.value), what) {
            (Some(FileKind::Folder), "file") => {
                Some(format!("name a file in it, or put all of it in the image: `overlays: [ {{ tree: {path} }} ]`"))
            }
            (Some(_), "source") => Some("a single file goes into a folder of its own".to_owned()),
            (Some(FileKind::Folder), _) => Some("name a file in it".to_owned()),
            (Some(FileKind::File), _) => Some("name the folder that it is in".to_owned()),
            (None, _) => {
                let name = path.value.below(&path.value.folder()).unwrap_or_default();
                let beside = self.files.beside(&path.value);
                did_you_mean(name, "there are", beside.iter().map(String::as_str))
                    .or_else(|| Some("put it there, or correct the path".to_owned()))
            }
        };
        self.reader.report(Problem::new(path.place, message).maybe_hint(hint));
    }

    /// A recipe that would have to be built before itself. To build a recipe takes what it needs, and what that needs
    /// to run; so a circle is an error when it has a build in it, while packages may well run only together.
    fn cycles(&self) {
        let mut edges: BTreeMap<&PackageName, Vec<(&PackageName, bool, Place)>> = BTreeMap::new();
        for recipe in self.recipes.values() {
            let project = self.project.options.get(&recipe.name.value).map(|switches| &switches.value);
            let options = recipe.options(&project.into_iter().collect::<Vec<_>>());
            let own = |need: &crate::recipe::Need, build: bool| match &need.value.value {
                PackageRef::Recipe(name) if need.holds(&options) => {
                    self.recipes.get_key_value(name).map(|(name, _)| (name, build, need.value.place))
                }
                _ => None,
            };
            let list = edges.entry(&recipe.name.value).or_default();
            list.extend(recipe.needs.iter().filter_map(|need| own(need, true)));
            list.extend(recipe.runtime.iter().filter_map(|need| own(need, false)));
        }
        peel(&mut edges);
        let mut told: BTreeSet<&PackageName> = BTreeSet::new();
        for (from, list) in &edges {
            for (to, build, place) in list {
                if !*build || told.contains(from) {
                    continue;
                }
                let Some(path) = shortest(&edges, to, from) else { continue };
                told.extend(path.iter().copied());
                let names: Vec<String> = std::iter::once(*from).chain(path).map(|name| format!("`{name}`")).collect();
                let message = format!("these recipes need each other: {}", names.join(" → "));
                let problem = Problem::new(*place, message).label("this need closes the circle");
                self.reader.report(
                    problem.hint(
                        "break it by an option (`unless: OPTION`), or by a recipe of its own for the first stage",
                    ),
                );
            }
        }
    }
}

type Edges<'e> = BTreeMap<&'e PackageName, Vec<(&'e PackageName, bool, Place)>>;

/// Takes away whatever cannot be part of a circle because it needs nothing that is left. Mostly nothing is left then,
/// and the search that follows has nothing to do.
fn peel(edges: &mut Edges<'_>) {
    let mut needed_by: BTreeMap<&PackageName, Vec<&PackageName>> = BTreeMap::new();
    let mut open: BTreeMap<&PackageName, usize> = BTreeMap::new();
    for (from, list) in edges.iter() {
        open.insert(from, list.len());
        list.iter().for_each(|(to, _, _)| needed_by.entry(to).or_default().push(from));
    }
    let mut free: Vec<&PackageName> = open.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect();
    while let Some(name) = free.pop() {
        edges.remove(name);
        for from in needed_by.remove(name).unwrap_or_default() {
            if let Some(count) = open.get_mut(from) {
                *count -= 1;
                if *count == 0 {
                    free.push(from);
                }
            }
        }
    }
}

/// The shortest way from one recipe to another, both ends included.
fn shortest<'e>(edges: &Edges<'e>, from: &'e PackageName, to: &PackageName) -> Option<Vec<&'e PackageName>> {
    let mut before: BTreeMap<&PackageName, Option<&'e PackageName>> = BTreeMap::from([(from, None)]);
    let mut queue = VecDeque::from([from]);
    while let Some(at) = queue.pop_front() {
        if at == to {
            let mut path = vec![at];
            while let Some(Some(previous)) = before.get(path[path.len() - 1]) {
                path.push(previous);
            }
            path.reverse();
            return Some(path);
        }
        for (next, _, _) in edges.get(at).into_iter().flatten() {
            if !before.contains_key(*next) {
                before.insert(next, Some(at));
                queue.push_back(next);
            }
        }
    }
    None
}
