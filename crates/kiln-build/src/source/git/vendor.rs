//! Commits as repositories of their own, for a project that brings everything itself.

use std::collections::BTreeSet;
use std::path::Path;

use super::action::{submodule_addresses, vendored_commit};
use super::repository::Repository;
use super::{Git, GitError, GitLocation};
use crate::graph::Cancel;
use crate::work::Workplace;

/// Puts a commit, and those of its submodules, below `folder` as bare repositories named by the commit: no history, one
/// pack. Those that are there stay as they are. Tells all of them.
///
/// # Errors
/// When one cannot be had, or not be written.
pub fn vendor(
    git: &Git,
    work: &Workplace,
    (location, commit): (&GitLocation, &str),
    folder: &Path,
    offline: bool,
    cancel: &Cancel,
) -> Result<BTreeSet<String>, GitError> {
    let mut all = BTreeSet::new();
    let mut todo = vec![(location.clone(), commit.to_owned())];
    while let Some((location, commit)) = todo.pop() {
        if !all.insert(commit.clone()) {
            continue;
        }
        let near = vendored_commit(Some(folder), &commit);
        let repository = Repository::open(git, work, near.as_ref().unwrap_or(&location))?;
        repository.fetch(git, &commit, offline, cancel)?;
        if near.is_none() {
            repository.copy_commit(git, &commit, &folder.join(&commit), cancel)?;
        }
        let modules = submodules(git, repository.path(), &commit)?;
        if modules.is_empty() {
            continue;
        }
        let addresses = submodule_addresses(git, &repository, &commit)?;
        for (below, path) in modules {
            let why = "is not named in `.gitmodules`";
            let fault = || GitError::Submodule { path: path.clone(), commit: commit.clone(), why };
            todo.push((location.join(addresses.get(&path).ok_or_else(fault)?)?, below));
        }
    }
    Ok(all)
}

/// The commits of the submodules of a commit, each with its path.
fn submodules(git: &Git, repository: &Path, commit: &str) -> Result<Vec<(String, String)>, GitError> {
    let listed = git.output(Some(repository), &["ls-tree", "-r", "-z", "--full-tree", commit])?;
    let listed = String::from_utf8_lossy(&listed).into_owned();
    let entries = listed.split('\0').filter_map(|entry| entry.strip_prefix("160000 commit ")?.split_once('\t'));
    Ok(entries.map(|(commit, path)| (commit.to_owned(), path.to_owned())).collect())
}

/// Which of a commit and its submodules' is not below `folder` with every byte of it.
#[must_use]
pub fn missing(git: &Git, folder: &Path, commit: &str) -> BTreeSet<String> {
    let (mut seen, mut missing, mut todo) = (BTreeSet::new(), BTreeSet::new(), vec![commit.to_owned()]);
    while let Some(commit) = todo.pop() {
        if !seen.insert(commit.clone()) {
            continue;
        }
        let modules = vendored_commit(Some(folder), &commit).and_then(|place| {
            let GitLocation::Local(place) = place else { return None };
            git.output(Some(&place), &["fsck", "--no-progress", "--no-dangling", "--full"]).ok()?;
            submodules(git, &place, &commit).ok()
        });
        match modules {
            Some(modules) => todo.extend(modules.into_iter().map(|(commit, _)| commit)),
            None => drop(missing.insert(commit)),
        }
    }
    missing
}
