//! What Git says of the project: which commit, and whether the tree differs from it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The state of the project's folder in its repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitState {
    /// The commit; none before the first one.
    pub commit: Option<String>,
    /// Does the folder differ from the commit?
    pub dirty: bool,
}

impl GitState {
    /// How the state is written where a version is wanted: the commit, with `-dirty` when the tree differs.
    pub fn version(&self) -> String {
        let commit = self.commit.as_deref().unwrap_or("uncommitted");
        if self.dirty { format!("{commit}-dirty") } else { commit.to_owned() }
    }
}

/// Why Git could not tell.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// No repository.
    #[error("`{}` is not in a Git repository", .0.display())]
    NoRepository(PathBuf),
    /// The program is missing.
    #[error("cannot run `git`")]
    Program(#[source] std::io::Error),
    /// It failed.
    #[error("`git status` failed in `{}`: {message}", .folder.display())]
    Failed {
        /// Where.
        folder: PathBuf,
        /// What it said.
        message: String,
    },
}

impl GitError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::NoRepository(folder) => format!(
                "a project is a Git repository, so that every build has a commit: `git init {0} && git -C {0} add .`",
                folder.display()
            ),
            Self::Program(_) => "install Git: `apt install git`".to_owned(),
            Self::Failed { message, .. } if message.contains("dubious ownership") => {
                "the repository belongs to another user; Git's own message says how to trust it".to_owned()
            }
            Self::Failed { .. } => "mend what Git complains about, then try again".to_owned(),
        }
    }
}

/// Reads the state of `folder`. Changes elsewhere in the repository do not make it dirty.
pub fn state(folder: &Path) -> Result<GitState, GitError> {
    let absolute = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    if !absolute.ancestors().any(|dir| dir.join(".git").exists()) {
        return Err(GitError::NoRepository(folder.to_owned()));
    }
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["--no-optional-locks", "status", "--porcelain=v2", "--branch", "--untracked-files=normal", "--", "."])
        .output()
        .map_err(GitError::Program)?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(GitError::Failed { folder: folder.to_owned(), message });
    }
    Ok(parse(&String::from_utf8_lossy(&output.stdout)))
}

/// Reads porcelain version 2 (git-status(1)).
fn parse(text: &str) -> GitState {
    let mut state = GitState { commit: None, dirty: false };
    for line in text.lines() {
        match line.strip_prefix("# ") {
            Some(header) => {
                if let Some(commit) = header.strip_prefix("branch.oid ") {
                    state.commit = (commit != "(initial)").then(|| commit.to_owned());
                }
            }
            None => state.dirty = true,
        }
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_commit_and_dirt() {
        let clean = parse("# branch.oid 1234\n# branch.head main\n");
        assert_eq!(clean, GitState { commit: Some("1234".to_owned()), dirty: false });
        assert_eq!(clean.version(), "1234");
        let dirty = parse("# branch.oid 1234\n1 .M N... 100644 100644 100644 a b kiln.yaml\n");
        assert_eq!(dirty.version(), "1234-dirty");
        let first = parse("# branch.oid (initial)\n? kiln.yaml\n");
        assert_eq!(first.version(), "uncommitted-dirty");
    }
}
