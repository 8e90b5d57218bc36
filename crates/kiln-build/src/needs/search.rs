//! Who provides a library or a program.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kiln_model::package::PinnedPackage;
use kiln_model::{Architecture, Dir, Entry, PackageName, PackageRecord, TreePath};

use super::{Built, Want, generated_paths};

/// Top folders that are links into `/usr`.
const MERGED: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// Where programs are looked for by name.
const PROGRAMS: [&str; 5] = ["usr/bin", "usr/sbin", "usr/local/bin", "usr/local/sbin", "usr/games"];

/// Who provides something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Provider {
    /// A package of an origin.
    Pinned(PinnedPackage),
    /// A package of the project itself.
    Recipe(PackageName),
}

/// A package of the environment that something was built in.
#[derive(Debug, Clone)]
pub struct EnvironmentPackage {
    /// Which.
    pub provider: Provider,
    /// Its files.
    pub tree: Arc<Dir>,
    /// Paths that its facts make, such as those of alternatives.
    pub generated: BTreeSet<TreePath>,
}

impl EnvironmentPackage {
    /// From a package's record and tree.
    #[must_use]
    pub fn new(record: &PackageRecord, tree: Arc<Dir>) -> Self {
        let provider = match &record.origin {
            Some(origin) => Provider::Pinned(PinnedPackage {
                origin: origin.clone(),
                name: record.name.clone(),
                version: record.version.clone(),
            }),
            None => Provider::Recipe(record.name.clone()),
        };
        Self { provider, tree, generated: generated_paths(&record.facts) }
    }
}

pub(super) struct Search<'a> {
    own: Vec<(Provider, &'a Dir)>,
    /// By file name: which of the built packages has a library or program of that name.
    names: BTreeMap<&'a str, usize>,
    environment: Vec<&'a EnvironmentPackage>,
    libraries: Vec<TreePath>,
}

impl<'a> Search<'a> {
    pub fn new(built: &[Built<'a>], environment: &'a [EnvironmentPackage], architecture: Architecture) -> Self {
        let own: Vec<_> = built.iter().map(|built| (Provider::Recipe(built.name.clone()), built.tree)).collect();
        let mut names = BTreeMap::new();
        for (index, built) in built.iter().enumerate() {
            add_names(built.tree, index, &mut names);
        }
        let mut environment: Vec<_> = environment.iter().collect();
        environment.sort_by(|a, b| a.provider.cmp(&b.provider));
        let multiarch = architecture.multiarch();
        let folders = [
            format!("usr/local/lib/{multiarch}"),
            "usr/local/lib".into(),
            format!("usr/lib/{multiarch}"),
            "usr/lib".into(),
            "usr/lib64".into(),
        ];
        let libraries = folders.iter().filter_map(|folder| folder.parse().ok()).collect();
        Self { own, names, environment, libraries }
    }

    /// Who provides what `file` wants.
    pub fn provider(&self, file: &TreePath, want: &Want) -> Option<&Provider> {
        match want {
            Want::Library { name, .. } if name.contains('/') => self.at(&absolute(name)?),
            Want::Library { name, runpath } => {
                let said = runpath.iter().filter_map(|folder| expand(folder, file));
                let folders = said.chain(self.libraries.iter().cloned());
                let found = folders.filter_map(|folder| folder.join(name).ok()).find_map(|path| self.at(&path));
                found.or_else(|| self.names.get(name.as_str()).map(|index| &self.own[*index].0))
            }
            Want::Interpreter { path, .. } => self.at(&absolute(path)?),
            Want::Program { name } => {
                let folders = PROGRAMS.iter().filter_map(|folder| folder.parse::<TreePath>().ok());
                folders.filter_map(|folder| folder.join(name).ok()).find_map(|path| self.at(&path))
            }
        }
    }

    /// Who has something at `path`: the built packages first.
    fn at(&self, path: &TreePath) -> Option<&Provider> {
        let is_there = |tree: &Dir| tree.get(path).is_some_and(|entry| !matches!(entry, Entry::Dir(_)));
        let own = self.own.iter().find(|(_, tree)| is_there(tree)).map(|(provider, _)| provider);
        let environment = || self.environment.iter().find(|package| is_there(&package.tree)).map(|p| &p.provider);
        let generated =
            || self.environment.iter().find(|package| package.generated.contains(path)).map(|p| &p.provider);
        own.or_else(environment).or_else(generated)
    }
}

fn add_names<'a>(dir: &'a Dir, index: usize, names: &mut BTreeMap<&'a str, usize>) {
    for (name, entry) in dir.entries() {
        match entry {
            Entry::Dir(below) => add_names(below, index, names),
            _ => drop(names.entry(name).or_insert(index)),
        }
    }
}

/// An absolute path, without `.` and `..`, below `/usr` where the top folder is only a link.
fn absolute(path: &str) -> Option<TreePath> {
    let path = TreePath::root().resolve_link(path.strip_prefix('/').map(|_| path)?);
    let merged = path.components().next().is_some_and(|top| MERGED.contains(&top));
    if merged { format!("usr/{}", path.as_str()).parse().ok() } else { Some(path) }
}

/// A folder of a file's `RUNPATH`.
fn expand(folder: &str, file: &TreePath) -> Option<TreePath> {
    let origin = file.parent().unwrap_or_default().to_string();
    let expanded = folder.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin);
    if expanded.contains('$') { None } else { absolute(&expanded) }
}
