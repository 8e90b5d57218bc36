//! The action that makes a commit a stored tree.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kiln_model::{ActionKey, Dir, Entry, KeyBuilder, TreeId, TreePath};
use kiln_store::ActionResult;

use super::repository::{Repository, check_commit};
use super::{Git, GitError, GitLocation, contents};
use crate::graph::{Action, ActionError, Context, Inputs, NodeId, Resource};
use crate::source::{PlaceOfPin, tree_result};
use crate::work::Workplace;

/// Submodules of submodules of ... so deep are a mistake or malice.
const DEEPEST: usize = 16;

/// Brings one commit. The result has the tree [`crate::source::TREE`].
pub struct GitAction {
    /// Where from. No part of the key.
    pub location: GitLocation,
    /// The commit, in full.
    pub commit: String,
    /// Bring its submodules too? Otherwise they are empty folders, as Git itself leaves them.
    pub submodules: bool,
    /// The content that the lock has for it, if it has one.
    pub expected: Option<TreeId>,
    /// Where it is pinned: `kiln.lock:120`. No part of the key.
    pub place: Option<PlaceOfPin>,
    /// The Git to use.
    pub git: Arc<Git>,
    /// Where repositories are kept.
    pub work: Workplace,
    /// A folder with repositories of one commit each, named by it, which are asked first. No part of the key.
    pub vendored: Option<PathBuf>,
    /// Never open a socket.
    pub offline: bool,
}

impl GitAction {
    fn pinned(&self, context: &Context<'_>) -> Result<Dir, GitError> {
        let tree = self.bring(context, &self.location, &self.commit, 0)?;
        let found = tree.id();
        match self.expected {
            Some(expected) if expected != found => {
                Err(GitError::Content { commit: self.commit.clone(), expected, found })
            }
            _ => Ok(tree),
        }
    }

    fn bring(
        &self,
        context: &Context<'_>,
        location: &GitLocation,
        commit: &str,
        depth: usize,
    ) -> Result<Dir, GitError> {
        let (git, cancel) = (&*self.git, context.cancel);
        let (mut contents, modules) = {
            let near = vendored_commit(self.vendored.as_deref(), commit);
            let repository = Repository::open(git, &self.work, near.as_ref().unwrap_or(location))?;
            repository.fetch(git, commit, self.offline, cancel)?;
            let contents = contents::read(git, &repository, commit, context.session, cancel)?;
            let declared = self.submodules && !contents.submodules.is_empty();
            let modules = if declared { submodule_addresses(git, &repository, commit)? } else { BTreeMap::new() };
            (contents, modules)
        };
        for (path, below) in &contents.submodules {
            let fault = |why| GitError::Submodule { path: path.as_str().to_owned(), commit: commit.to_owned(), why };
            let tree = if self.submodules {
                if depth >= DEEPEST {
                    return Err(fault("is too deep inside other submodules"));
                }
                let address = modules.get(path.as_str()).ok_or_else(|| fault("is not named in `.gitmodules`"))?;
                let inner = location.join(address)?;
                // Who writes a commit must not choose which folders of this machine are read.
                if matches!((location, &inner), (GitLocation::Remote(_), GitLocation::Local(_))) {
                    return Err(fault("is on this machine, and the commit is not"));
                }
                self.bring(context, &inner, below, depth + 1)?
            } else {
                Dir::default()
            };
            let placed = contents.tree.insert(path, Entry::Dir(Arc::new(tree)));
            placed.map_err(|_| fault("lies below a file"))?;
        }
        Ok(contents.tree)
    }
}

/// The repository of a commit in a folder of such, if it is there.
pub(super) fn vendored_commit(folder: Option<&Path>, commit: &str) -> Option<GitLocation> {
    check_commit(commit).ok()?;
    let place = folder?.join(commit);
    place.join("HEAD").is_file().then(|| std::path::absolute(place).ok().map(GitLocation::Local))?
}

/// The addresses in `.gitmodules`, by path.
pub(super) fn submodule_addresses(
    git: &Git,
    repository: &Repository,
    commit: &str,
) -> Result<BTreeMap<String, String>, GitError> {
    let blob = format!("--blob={commit}:.gitmodules");
    let listed = git.output(Some(repository.path()), &["config", "-z", &blob, "--list"])?;
    let listed = String::from_utf8_lossy(&listed).into_owned();
    let mut modules: BTreeMap<&str, (Option<&str>, Option<&str>)> = BTreeMap::new();
    for (key, value) in listed.split('\0').filter_map(|entry| entry.split_once('\n')) {
        let Some((name, what)) = key.strip_prefix("submodule.").and_then(|rest| rest.rsplit_once('.')) else {
            continue;
        };
        match what {
            "path" => modules.entry(name).or_default().0 = Some(value),
            "url" => modules.entry(name).or_default().1 = Some(value),
            _ => {}
        }
    }
    let paired = modules.into_values().filter_map(|(path, url)| Some((normal(path?)?, url?.to_owned())));
    Ok(paired.collect())
}

fn normal(path: &str) -> Option<String> {
    TreePath::from_archive(path).ok().map(|path| path.as_str().to_owned())
}

impl Action for GitAction {
    fn name(&self) -> String {
        format!("{} {}", self.location, self.commit.get(..12).unwrap_or(&self.commit))
    }

    fn verb(&self) -> &'static str {
        "Getting"
    }

    fn dependencies(&self) -> Vec<NodeId> {
        Vec::new()
    }

    fn resource(&self) -> Resource {
        Resource::Network
    }

    fn key(&self, _: &Inputs) -> Result<ActionKey, ActionError> {
        check_commit(&self.commit)?;
        let key = KeyBuilder::new("source.git/1").field("commit", &self.commit);
        let key = key.field("submodules", [u8::from(self.submodules)]);
        Ok(key.list("expected", self.expected.iter().map(|tree| tree.0.as_bytes())).finish())
    }

    fn run(&self, context: &Context<'_>, _: &Inputs) -> Result<ActionResult, ActionError> {
        let tree = self.pinned(context).map_err(|error| match (&self.place, error) {
            (_, GitError::Cancelled) => GitError::Cancelled,
            (Some(place), error) => GitError::Pinned { place: place(), source: Box::new(error) },
            (None, error) => error,
        })?;
        tree_result(context.session, &tree)
    }
}
