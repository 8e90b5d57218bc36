//! Everything that a project pins, and where a project that brings it itself has it.
//!
//! ```text
//! vendor/sha256/AB/CDEF...   a file by its digest: packages, archives of sources, layers of images
//! vendor/git/COMMIT/         a bare repository of one commit, without its history
//! sources/RECIPE/            a submodule that stands for the recipe's Git repository; further ones of a recipe: RECIPE-2
//! ```
//!
//! A build looks there first, whether or not it may open a socket, and checks what it finds as it checks what a mirror
//! sends.

use std::path::PathBuf;
use std::sync::Arc;

use kiln_build::graph::{Graph, NodeId};
use kiln_build::source::{GitError, GitLocation};
use kiln_fetch::Url;
use kiln_model::lock::{Lock, LockedSource};
use kiln_model::{Digest, PackageName};

use crate::imports::{Imports, PinnedBy};
use crate::recipes::RecipeError;
use crate::workspace::Workspace;

/// The folder in a project.
pub const VENDOR: &str = "vendor";
/// The folder of commits in it.
pub const VENDORED_COMMITS: &str = "git";
/// The folder of a project's submodules that stand for repositories of sources.
pub const SUBMODULES: &str = "sources";

/// Everything that a lock pins, but for folders of the project itself.
#[derive(Debug, Default)]
pub struct Everything {
    /// Files, with the nodes that bring them.
    pub files: Vec<(Digest, NodeId)>,
    /// Commits.
    pub commits: Vec<PinnedCommit>,
}

/// A pinned commit.
#[derive(Debug, Clone)]
pub struct PinnedCommit {
    /// The repository, as the recipe names it.
    pub url: String,
    /// Where it is now: the submodule, where there is one.
    pub location: GitLocation,
    /// The commit.
    pub commit: String,
    /// The submodule that stands for it, if the project has one: from the project's folder.
    pub submodule: PathBuf,
}

/// Where the submodule of a recipe's source is, or would be.
#[must_use]
pub fn submodule_of((recipe, index): &(PackageName, u32)) -> PathBuf {
    let name = if *index == 0 { recipe.to_string() } else { format!("{recipe}-{}", index + 1) };
    PathBuf::from(SUBMODULES).join(name)
}

/// Where a recipe's repository is: in the project's submodule of it, where there is one.
pub(crate) fn git_location(
    workspace: &Workspace,
    key: &(PackageName, u32),
    address: &str,
) -> Result<GitLocation, GitError> {
    let near = workspace.folder.join(submodule_of(key));
    // One that was not brought is an empty folder.
    if near.join(".git").exists()
        && let Ok(near) = std::path::absolute(&near)
    {
        return Ok(GitLocation::Local(near));
    }
    GitLocation::parse(address, &workspace.folder)
}

/// Adds the nodes of everything that a lock pins.
pub(crate) fn everything(
    workspace: &Workspace,
    lock: &Lock,
    graph: &mut Graph,
    imports: &mut Imports<'_>,
) -> Result<Everything, RecipeError> {
    let mut all = Everything::default();
    for (key, package) in &lock.packages {
        let (file, parts) = imports.files(graph, key, package)?;
        all.files.push((package.sha256, file));
        all.files.extend(package.parts.iter().map(|part| part.sha256).zip(parts));
    }
    for (key, source) in &lock.sources {
        let by = PinnedBy::Source(key.0.clone(), key.1);
        match source {
            LockedSource::Origin { origin, package, version, files } => {
                for file in files {
                    let node = imports.source_file(graph, origin, (package, version), file, &by)?;
                    all.files.push((file.sha256, node));
                }
            }
            LockedSource::Archive { url, sha256, size } => {
                let address = Url::parse(url).map_err(|_| RecipeError::Address(url.clone()))?;
                let text = workspace.lock_text.clone();
                let place = Arc::new(move || by.place(text.as_deref(), None));
                all.files.push((*sha256, imports.address(graph, address, (*sha256, *size), place)));
            }
            LockedSource::Git { url, commit, .. } => all.commits.push(PinnedCommit {
                url: url.clone(),
                location: git_location(workspace, key, url)?,
                commit: commit.clone(),
                submodule: submodule_of(key),
            }),
            LockedSource::Path { .. } => {}
        }
    }
    Ok(all)
}
