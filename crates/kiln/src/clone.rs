//! A project at one of its commits, elsewhere: a clone of its repository.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use kiln_build::source::GitLocation;

use crate::cli::GIT;
use crate::context::Outcome;
use crate::failure::Failure;
use crate::room::Room;

/// Runs `git` in a folder, to its end.
pub fn git_output(folder: &Path, arguments: &[&OsStr]) -> Outcome<Output> {
    let mut command = Command::new("git");
    // A variable of a surrounding `git` would lead it to another repository.
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(name);
    }
    command.arg("-C").arg(folder).args(arguments).output().map_err(|error| {
        let hint = "install `git`".to_owned();
        Failure::failed(&error, Some(hint)).within("cannot run `git`".to_owned())
    })
}

/// Runs `git` in a folder; gives what it prints. Where it fails, `doing` says what could not be done.
pub fn git(folder: &Path, arguments: &[&OsStr], doing: &str) -> Outcome<String> {
    let output = git_output(folder, arguments)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Failure::failed(&io::Error::other(said), None).within(doing.to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// Projects that are commits of Git repositories: each is cloned once, for as long as a command runs.
#[derive(Default)]
pub struct Clones {
    made: Mutex<BTreeMap<PathBuf, (Room, PathBuf)>>,
}

impl Clones {
    /// The folder of a project that is named `git+URL#REV`.
    pub fn folder(&self, named: &Path, offline: bool) -> Outcome<PathBuf> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, folder)) = made.get(named) {
            return Ok(folder.clone());
        }
        let text = named.to_string_lossy().into_owned();
        let address = text.strip_prefix(GIT).unwrap_or(&text);
        let (url, rev) = address.rsplit_once('#').unwrap_or((address, "HEAD"));
        let parsed =
            GitLocation::parse(url, Path::new(".")).map_err(|error| Failure::usage(error.to_string(), error.hint()))?;
        let from = match &parsed {
            GitLocation::Remote(_) if offline => {
                let hint = "leave `--offline` out, or name a repository on this machine".to_owned();
                return Err(Failure::failed(&io::Error::other("no socket may be opened"), Some(hint))
                    .within(format!("cannot clone `{parsed}`")));
            }
            GitLocation::Remote(url) => url.clone().into(),
            GitLocation::Local(path) => path.clone().into_os_string(),
        };
        let room = Room::new("kiln-clone-", &std::env::temp_dir())
            .map_err(|error| Failure::failed(&error, None).within("cannot make a temporary folder".to_owned()))?;
        let folder = room.path().join("project");
        let doing = format!("cannot clone `{parsed}`");
        let clone = ["clone", "--quiet", "--no-checkout", "--no-local", "--"].map(OsStr::new);
        git(room.path(), &[&clone[..], &[from.as_os_str(), folder.as_os_str()]].concat(), &doing)?;
        // A branch of the repository is one of a remote here.
        let remote = format!("origin/{rev}");
        let commit = commit_of(&folder, &remote).or_else(|_| commit_of(&folder, rev)).map_err(|_| {
            let hint = "name a commit, a branch or a tag of that repository".to_owned();
            Failure::usage(format!("`{parsed}` has no `{rev}`"), Some(hint))
        })?;
        git(&folder, &["checkout", "--quiet", "--detach", &commit].map(OsStr::new), &doing)?;
        let modules = ["submodule", "update", "--quiet", "--init", "--recursive"].map(OsStr::new);
        if folder.join(".gitmodules").exists() && !offline {
            git(&folder, &modules, &doing)?;
        }
        made.insert(named.to_owned(), (room, folder.clone()));
        Ok(folder)
    }

    /// As what the project in a folder was named, if it is a clone.
    pub fn name_of(&self, folder: &Path) -> Option<PathBuf> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.iter().find(|(_, (_, clone))| clone == folder).map(|(named, _)| named.clone())
    }
}

/// The commit that a name stands for in the project's repository.
pub fn commit_of(project: &Path, rev: &str) -> Outcome<String> {
    let name = format!("{rev}^{{commit}}");
    let arguments = ["rev-parse", "--verify", "--quiet", "--end-of-options", &name].map(OsStr::new);
    git(project, &arguments, "").map_err(|_| {
        let hint = "name a commit, a branch or a tag of the project's repository".to_owned();
        Failure::usage(format!("`{rev}` is no commit of `{}`", project.display()), Some(hint))
    })
}

/// Clones the repository of a project to `into`, which must be missing, and checks a commit out. Gives the project's folder.
pub fn clone_at(project: &Path, commit: &str, into: &Path) -> Outcome<PathBuf> {
    let doing = format!("cannot clone the project at `{}`", project.display());
    let source = project
        .canonicalize()
        .map_err(|error| Failure::failed(&error, None).within(format!("cannot find `{}`", project.display())))?;
    let top = PathBuf::from(git(&source, &["rev-parse", "--show-toplevel"].map(OsStr::new), &doing)?);
    let clone = ["clone", "--quiet", "--no-checkout", "--no-local", "--"].map(OsStr::new);
    git(&source, &[&clone[..], &[top.as_os_str(), into.as_os_str()]].concat(), &doing)?;
    git(into, &["checkout", "--quiet", "--detach", commit].map(OsStr::new), &doing)?;
    Ok(into.join(source.strip_prefix(&top).unwrap_or(Path::new(""))))
}
