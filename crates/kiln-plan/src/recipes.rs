//! The nodes of recipes: sources, build environment, build.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use kiln_archive::Limits as ArchiveLimits;
use kiln_archive::extract::Links;
use kiln_build::graph::{Graph, NodeId};
use kiln_build::recipe::{BuildAction, BuildPatch, BuildSource, Environment, Sandboxed};
use kiln_build::sandbox::Limits;
use kiln_build::source::{FolderAction, ForeignAction, GitAction, GitError, UnpackAction};
use kiln_fetch::Url;
use kiln_model::lock::{Lock, LockedSource};
use kiln_model::project::Variant;
use kiln_model::recipe::{BuildVars, OutwardLinks, Recipe, Source, SourceKind};
use kiln_model::{Architecture, PackageName, PackageRef, PartName};

use crate::action::{Built, ComposeAction, Content, DebianUnpacker, MemberNode, TestAction};
use crate::hooks;
use crate::imports::{self, Imports, ImportsError, PinnedBy};
use crate::rules::Rules;
use crate::services::Services;
use crate::units::{self, UnitError};
use crate::vendored::{VENDOR, VENDORED_COMMITS, git_location};
use crate::workspace::Workspace;

/// Why a recipe cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// A package of its environment, or a file of its source, cannot be brought.
    #[error(transparent)]
    Imports(#[from] ImportsError),
    /// A patch cannot be read.
    #[error("cannot read the patch `{}`", .path.display())]
    Patch {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A unit file cannot be had.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// The lock does not pin a source.
    #[error("`kiln.lock` does not pin source {} of `{recipe}`", .index + 1)]
    Source {
        /// The recipe.
        recipe: PackageName,
        /// Which source.
        index: u32,
    },
    /// An address cannot be one.
    #[error("`{0}` is not an address")]
    Address(String),
    /// A repository cannot be named.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A recipe that is needed is not there.
    #[error("there is no recipe `{0}`")]
    NoRecipe(PackageName),
}

impl RecipeError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Imports(error) => error.hint(),
            Self::Git(error) => error.hint(),
            Self::Unit(error) => error.hint(),
            Self::Source { .. } => Some("run `kiln lock`".to_owned()),
            Self::Patch { .. } | Self::Address(_) | Self::NoRecipe(_) => None,
        }
    }
}

/// The nodes of a recipe.
#[derive(Debug, Clone)]
pub struct RecipeNodes {
    /// Builds it.
    pub build: NodeId,
    /// Composes its environment.
    pub environment: NodeId,
    /// The imported packages of its environment.
    pub members: Arc<[MemberNode]>,
    /// The recipes that its environment has, or may have.
    pub built: Arc<[Built]>,
    /// Tests it, if it has tests.
    pub test: Option<NodeId>,
}

/// What recipes bring to a composition.
pub struct Brought {
    /// The packages that the project builds.
    pub built: Arc<[Built]>,
    /// Imported ones that those may bring along.
    pub candidates: Arc<[MemberNode]>,
}

/// Adds recipe nodes to a graph.
pub struct Recipes<'a> {
    workspace: &'a Workspace,
    lock: &'a Lock,
    services: &'a Services,
    /// The rules that stand for hooks.
    rules: Arc<Rules>,
    /// What the project says of the hooks of packages in every environment.
    content: Arc<Content>,
    architecture: Architecture,
    nodes: BTreeMap<String, RecipeNodes>,
    /// Environments by what they are composed of: recipes that need the same share one.
    environments: BTreeMap<Vec<NodeId>, NodeId>,
    sources: BTreeMap<(PackageName, u32), NodeId>,
}

impl<'a> Recipes<'a> {
    /// For the recipes of a project.
    #[must_use]
    pub fn new(
        workspace: &'a Workspace,
        lock: &'a Lock,
        services: &'a Services,
        rules: Arc<Rules>,
        architecture: Architecture,
    ) -> Self {
        let (nodes, environments, sources) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let content = Arc::new(Content { hooks: hooks::of_project(workspace), ..Content::default() });
        Self { workspace, lock, services, rules, content, architecture, nodes, environments, sources }
    }

    /// The nodes of one recipe with its options decided.
    ///
    /// # Errors
    /// When something it is made of cannot be brought.
    pub fn nodes(
        &mut self,
        graph: &mut Graph,
        imports: &mut Imports<'_>,
        variant: &Variant,
    ) -> Result<RecipeNodes, RecipeError> {
        if let Some(nodes) = self.nodes.get(&variant.label) {
            return Ok(nodes.clone());
        }
        let recipe = self.recipe(&variant.recipe)?;
        let members = imports.target(graph, &format!("recipe:{}:build", variant.label), self.architecture)?;
        let mut roots = Vec::new();
        for need in recipe.build_needs(&variant.options) {
            if let PackageRef::Recipe(name) = &need.value {
                roots.extend(self.workspace.project.variant(name));
            }
        }
        let Brought { built, candidates } = self.built(graph, imports, roots, &BTreeMap::new())?;
        let environment = self.environment(graph, &variant.label, &members, &candidates, &built);
        // What it is declared to need at run time provides interpreters too, though the build does not see it.
        let runtime = imports.target(graph, &format!("recipe:{}:runtime", variant.label), self.architecture)?;
        let members = together([&members, &candidates, &runtime]);
        let mut packages: Vec<NodeId> = members.iter().map(|member| member.node).collect();
        packages.extend(built.iter().map(|built| built.node));
        packages.sort_unstable();
        packages.dedup();
        let build = self.build(graph, imports, recipe, variant, Environment { root: environment, packages })?;
        let mut nodes = RecipeNodes { build, environment, members, built, test: None };
        // Known from here on: what it needs to run may need it in turn.
        self.nodes.insert(variant.label.clone(), nodes.clone());
        nodes.test = self.test(graph, imports, recipe, variant)?;
        self.nodes.insert(variant.label.clone(), nodes.clone());
        Ok(nodes)
    }

    /// The test of a recipe: in a root with the package and what it needs to run.
    fn test(
        &mut self,
        graph: &mut Graph,
        imports: &mut Imports<'_>,
        recipe: &Recipe,
        variant: &Variant,
    ) -> Result<Option<NodeId>, RecipeError> {
        let steps = recipe.test_steps(&variant.options, &BuildVars::new(recipe, self.architecture));
        if steps.is_empty() {
            return Ok(None);
        }
        let Brought { built, candidates } = self.built(graph, imports, vec![variant.clone()], &BTreeMap::new())?;
        let members = imports.target(graph, &format!("recipe:{}:runtime", variant.label), self.architecture)?;
        let root = graph.add(ComposeAction {
            name: format!("the test root of {}", variant.label),
            is_image: false,
            architecture: self.architecture,
            members,
            candidates,
            built,
            content: Arc::clone(&self.content),
            locked: Arc::default(),
            rules: Arc::clone(&self.rules),
            records: Arc::clone(&self.services.records),
            tools: self.services.tools(),
        });
        let (work, limits) = (self.services.work.clone(), limits(recipe));
        Ok(Some(graph.add(TestAction { name: variant.label.clone(), root, steps, limits, work })))
    }

    /// The packages that the project builds for a set of roots, and the imported ones that they may bring along.
    ///
    /// # Errors
    /// When something they are made of cannot be brought.
    pub fn built(
        &mut self,
        graph: &mut Graph,
        imports: &mut Imports<'_>,
        roots: Vec<Variant>,
        parts: &BTreeMap<PackageName, Vec<PartName>>,
    ) -> Result<Brought, RecipeError> {
        let mut built: BTreeMap<PackageName, Built> = BTreeMap::new();
        let mut candidates: Vec<Arc<[MemberNode]>> = Vec::new();
        for (name, variant) in self.workspace.project.runtime_recipes(roots) {
            let nodes = self.nodes(graph, imports, &variant)?;
            let parts = parts.get(&name).cloned().unwrap_or_default();
            built.insert(name.clone(), Built { name, node: nodes.build, parts, wanted: true });
            // What it was linked with may have to come along; which of it, is known once it is built.
            for other in nodes.built.iter() {
                built.entry(other.name.clone()).or_insert_with(|| Built { wanted: false, ..other.clone() });
            }
            candidates.push(nodes.members);
        }
        Ok(Brought { built: built.into_values().collect(), candidates: together(&candidates) })
    }

    /// The tests of every recipe so far.
    #[must_use]
    pub fn tests(&self) -> Vec<NodeId> {
        self.nodes.values().filter_map(|nodes| nodes.test).collect()
    }

    fn recipe(&self, name: &PackageName) -> Result<&'a Recipe, RecipeError> {
        self.workspace.project.recipes.get(name).ok_or_else(|| RecipeError::NoRecipe(name.clone()))
    }

    fn environment(
        &mut self,
        graph: &mut Graph,
        label: &str,
        members: &Arc<[MemberNode]>,
        candidates: &Arc<[MemberNode]>,
        built: &Arc<[Built]>,
    ) -> NodeId {
        let mut of: Vec<NodeId> = members.iter().chain(&**candidates).map(|member| member.node).collect();
        of.extend(built.iter().map(|built| built.node));
        of.sort_unstable();
        of.dedup();
        if let Some(node) = self.environments.get(&of) {
            return *node;
        }
        let node = graph.add(ComposeAction {
            name: format!("the build environment of {label}"),
            is_image: false,
            architecture: self.architecture,
            members: Arc::clone(members),
            candidates: Arc::clone(candidates),
            built: Arc::clone(built),
            content: Arc::clone(&self.content),
            // Ids that nothing declares follow from the names alone. The lock's would make every environment anew for
            // each id that an image adds.
            locked: Arc::default(),
            rules: Arc::clone(&self.rules),
            records: Arc::clone(&self.services.records),
            tools: self.services.tools(),
        });
        self.environments.insert(of, node);
        node
    }

    fn build(
        &mut self,
        graph: &mut Graph,
        imports: &mut Imports<'_>,
        recipe: &Recipe,
        variant: &Variant,
        environment: Environment,
    ) -> Result<NodeId, RecipeError> {
        let mut sources = Vec::new();
        for (index, source) in (0..).zip(&recipe.sources) {
            let node = self.source(graph, imports, recipe, index, source)?;
            sources.push(BuildSource { name: source.kind.to_string(), node, into: source.into.clone() });
        }
        let mut patches = Vec::new();
        for patch in &recipe.patches {
            let path = self.workspace.folder.join(patch.path.as_str());
            let bytes = std::fs::read(&path).map_err(|source| RecipeError::Patch { path, source })?;
            patches.push(BuildPatch { name: patch.path.to_string(), bytes: bytes.into() });
        }
        let (facts, added) = units::of_recipe(recipe, &self.workspace.folder)?;
        Ok(graph.add(BuildAction {
            name: recipe.name.value.clone(),
            version: recipe.version.value.clone(),
            architecture: self.architecture,
            options: variant.options.clone(),
            sources,
            patches,
            steps: recipe.steps(&variant.options, &BuildVars::new(recipe, self.architecture)),
            environment,
            parts: recipe
                .parts
                .iter()
                .map(|(name, part)| (name.clone(), part.claim.iter().map(|claim| claim.value.clone()).collect()))
                .collect(),
            facts,
            added,
            limits: limits(recipe),
            project: self.workspace.folder.clone(),
            work: self.services.work.clone(),
            executor: Arc::new(Sandboxed),
        }))
    }

    fn source(
        &mut self,
        graph: &mut Graph,
        imports: &mut Imports<'_>,
        recipe: &Recipe,
        index: u32,
        source: &Source,
    ) -> Result<NodeId, RecipeError> {
        let key = (recipe.name.value.clone(), index);
        if let Some(node) = self.sources.get(&key) {
            return Ok(*node);
        }
        let locked = self.lock.sources.get(&key);
        let missing = || RecipeError::Source { recipe: recipe.name.value.clone(), index };
        let work = self.services.work.clone();
        let node = match (&source.kind, locked.ok_or_else(missing)?) {
            (
                SourceKind::Origin { apply_patches, links, .. },
                LockedSource::Origin { origin, package, version, files },
            ) => {
                let mut nodes = Vec::new();
                for file in files {
                    let by = PinnedBy::Source(key.0.clone(), index);
                    let node = imports.source_file(graph, origin, (package, version), file, &by)?;
                    nodes.push((file.name.clone(), node));
                }
                graph.add(ForeignAction {
                    name: format!("{package} {version}"),
                    files: nodes,
                    unpacker: Arc::new(DebianUnpacker { apply_patches: *apply_patches, links: outward(*links) }),
                    work,
                })
            }
            (SourceKind::Archive { strip, links, .. }, LockedSource::Archive { url, sha256, size }) => {
                let address = Url::parse(url).map_err(|_| RecipeError::Address(url.clone()))?;
                let name = address.path_segments().and_then(|mut s| s.next_back()).unwrap_or(url).to_owned();
                let at = format!("{}:{}", self.workspace.project.sources.path(source.place.file), source.place.line);
                let file = imports.address(graph, address, (*sha256, *size), Arc::new(move || at.clone()));
                graph.add(UnpackAction {
                    name,
                    file,
                    strip: *strip,
                    links: outward(*links),
                    limits: ArchiveLimits::default(),
                })
            }
            (SourceKind::Git { location, .. }, LockedSource::Git { commit, tree, .. }) => graph.add(GitAction {
                location: git_location(self.workspace, &key, &location.to_string())?,
                commit: commit.clone(),
                submodules: true,
                expected: *tree,
                place: Some({
                    let (by, text) = (PinnedBy::Source(key.0.clone(), index), self.workspace.lock_text.clone());
                    Arc::new(move || by.place(text.as_deref(), Some("commit")))
                }),
                git: Arc::clone(&self.services.git),
                work,
                vendored: Some(self.workspace.folder.join(VENDOR).join(VENDORED_COMMITS)),
                offline: self.services.settings.fetch.offline,
            }),
            (SourceKind::Path { path }, LockedSource::Path { .. }) => graph.add(FolderAction {
                name: path.to_string(),
                folder: self.workspace.folder.join(path.as_str()),
                git: Arc::clone(&self.services.git),
            }),
            _ => return Err(missing()),
        };
        self.sources.insert(key, node);
        Ok(node)
    }
}

/// What is in any of these sets, in the order of the references. Most recipes have one environment: their sets are one
/// and the same, and cost nothing here.
fn together<'s>(sets: impl IntoIterator<Item = &'s Arc<[MemberNode]>>) -> Arc<[MemberNode]> {
    let mut different: Vec<&Arc<[MemberNode]>> = Vec::new();
    for set in sets {
        if !set.is_empty() && !different.iter().any(|other| Arc::ptr_eq(other, set)) {
            different.push(set);
        }
    }
    if let [] | [_] = different[..] {
        return different.first().map_or_else(Arc::default, |set| Arc::clone(set));
    }
    let members = different.iter().flat_map(|set| set.iter());
    let by_reference: BTreeMap<PackageRef, &MemberNode> =
        members.map(|member| (imports::reference(member), member)).collect();
    by_reference.into_values().cloned().collect()
}

/// What unpacking does with links that lead out.
const fn outward(links: OutwardLinks) -> Links {
    match links {
        OutwardLinks::Refuse => Links::Inside,
        OutwardLinks::Keep => Links::Anywhere,
    }
}

/// How much building and testing a recipe may take.
fn limits(recipe: &Recipe) -> Limits {
    let (standard, wanted) = (Limits::default(), &recipe.build.limits);
    Limits {
        time: wanted.time.unwrap_or(standard.time),
        memory: wanted.memory.or(standard.memory),
        processes: wanted.processes.map_or(standard.processes, u64::from),
    }
}
