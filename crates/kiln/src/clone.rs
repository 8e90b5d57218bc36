//! A project at one of its commits, elsewhere: a clone of its repository.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::context::Outcome;
use crate::failure::Failure;

/// Runs `git` in a folder; gives what it prints.
fn git(folder: &Path, arguments: &[&OsStr], doing: &str) -> Outcome<String> {
    let mut command = Command::new("git");
    // A variable of a surrounding `git` would lead it to another repository.
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(name);
    }
    let output = command.arg("-C").arg(folder).args(arguments).output().map_err(|error| {
        let hint = "install `git`".to_owned();
        Failure::failed(&error, Some(hint)).within("cannot run `git`".to_owned())
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Failure::failed(&io::Error::other(said), None).within(doing.to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
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
