//! Git commits as sources.
//!
//! The `git` program is used for transport and for reading objects, and for nothing else. There is no checkout, so no
//! hook, filter, attribute or line-end conversion can have a say: the tree is what the commit holds, byte for byte
//! (with Git LFS that is the pointer files). It reads no configuration of the user or the machine, asks nobody for a
//! password, and knows no transport but `https`, `ssh` and files.

mod action;
mod contents;
mod program;
mod repository;
mod vendor;

use std::path::{Path, PathBuf};

pub use action::GitAction;
pub use program::Git;
pub use repository::resolve_rev;
pub use vendor::{missing, vendor};

/// Where a repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GitLocation {
    /// On the network: `https://...`, `ssh://...` or `user@host:path`.
    Remote(String),
    /// On this machine: a folder of the project, a submodule, or what a `file://` address names.
    Local(PathBuf),
}

impl GitLocation {
    /// Reads an address; a relative path is from `base`.
    ///
    /// # Errors
    /// When its transport is not one of those that Kiln uses.
    pub fn parse(text: &str, base: &Path) -> Result<Self, GitError> {
        let refused = || GitError::Address(text.to_owned());
        if text.is_empty() || text.starts_with('-') || text.contains(['\0', '\n']) || text.contains("::") {
            return Err(refused());
        }
        if let Some(path) = text.strip_prefix("file://") {
            return if path.starts_with('/') { Ok(Self::Local(path.into())) } else { Err(refused()) };
        }
        if text.starts_with("https://") || text.starts_with("ssh://") {
            return Ok(Self::Remote(text.to_owned()));
        }
        if text.contains("://") {
            return Err(refused());
        }
        // As Git itself tells them apart: a colon before any slash is a host's.
        match text.split_once(':') {
            Some((host, _)) if !host.contains('/') => {
                if host.is_empty() || host.rsplit('@').next().is_none_or(|host| host.starts_with('-')) {
                    return Err(refused());
                }
                Ok(Self::Remote(text.to_owned()))
            }
            // Git is run elsewhere, and a project is often `.`.
            _ => std::path::absolute(base.join(text)).map(Self::Local).map_err(|_| refused()),
        }
    }

    /// The address of a submodule, which may be relative to its parent's.
    pub(super) fn join(&self, text: &str) -> Result<Self, GitError> {
        if !text.starts_with("./") && !text.starts_with("../") {
            return Self::parse(text, Path::new("/"));
        }
        let whole = match self {
            Self::Remote(address) => address.clone(),
            Self::Local(path) => path.to_string_lossy().into_owned(),
        };
        let mut base = whole.trim_end_matches('/');
        // What stood before the component taken off last: a slash, or the colon after a host.
        let mut separator = '/';
        let mut rest = text;
        loop {
            if let Some(after) = rest.strip_prefix("./") {
                rest = after;
            } else if let Some(after) = rest.strip_prefix("../") {
                rest = after;
                let cut =
                    base.rfind(['/', ':']).filter(|at| separator == '/' && !base[..*at].ends_with('/') && *at > 0);
                let cut = cut.ok_or_else(|| GitError::Address(text.to_owned()))?;
                separator = if base[cut..].starts_with(':') { ':' } else { '/' };
                base = &base[..cut];
            } else {
                break;
            }
        }
        match self {
            Self::Remote(_) => Self::parse(&format!("{base}{separator}{rest}"), Path::new("/")),
            Self::Local(_) => Ok(Self::Local(Path::new(base).join(rest))),
        }
    }
}

impl std::fmt::Display for GitLocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Remote(address) => f.write_str(&without_password(address)),
            Self::Local(path) => path.display().fmt(f),
        }
    }
}

/// Takes `user:password@` out of an address that is shown.
fn without_password(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let host = rest.split('/').next().unwrap_or_default();
    match host.rsplit_once('@') {
        Some((user, _)) if user.contains(':') => format!("{scheme}://{}", &rest[user.len() + 1..]),
        _ => address.to_owned(),
    }
}

/// Why a commit cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// No `git`.
    #[error("cannot run `git`")]
    Program(#[source] std::io::Error),
    /// `git` failed.
    #[error("`git {command}` failed: {message}")]
    Failed {
        /// What it was to do.
        command: String,
        /// What it said last.
        message: String,
    },
    /// A repository that cannot be read.
    #[error("cannot read the Git repository `{location}`: {message}")]
    Unreachable {
        /// The repository.
        location: String,
        /// What `git` said last.
        message: String,
    },
    /// An address that is not used.
    #[error("`{0}` is not an address that Kiln gets Git repositories from")]
    Address(String),
    /// Not a full commit.
    #[error("`{0}` is not a commit: 40 or 64 hexadecimal digits")]
    Rev(String),
    /// A branch or tag that is not there.
    #[error("`{location}` has no branch, tag or commit `{rev}`")]
    NoSuchRev {
        /// The repository.
        location: String,
        /// What was asked for.
        rev: String,
    },
    /// The commit is not there.
    #[error("`{location}` does not have commit `{commit}`")]
    Missing {
        /// The repository.
        location: String,
        /// The commit.
        commit: String,
    },
    /// It names something else.
    #[error("`{commit}` is a {kind} and not a commit")]
    Kind {
        /// The name.
        commit: String,
        /// What it names.
        kind: String,
    },
    /// A socket would be needed.
    #[error("cannot get commit `{commit}` of `{location}` offline")]
    Offline {
        /// The repository.
        location: String,
        /// The commit.
        commit: String,
    },
    /// A submodule that cannot be brought.
    #[error("submodule `{path}` of commit `{commit}` {why}")]
    Submodule {
        /// Where it is in the commit.
        path: String,
        /// The commit that has it.
        commit: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A name in the commit that no tree can have.
    #[error("commit `{commit}` holds `{path}`, which {why}")]
    Entry {
        /// The commit.
        commit: String,
        /// The name.
        path: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The content is not what the lock says.
    #[error("commit `{commit}` has the content {found}, and the lock says {expected}")]
    Content {
        /// The commit.
        commit: String,
        /// What the lock says.
        expected: kiln_model::TreeId,
        /// What it is.
        found: kiln_model::TreeId,
    },
    /// A file cannot be kept.
    #[error("cannot keep a file of commit `{commit}`")]
    Object {
        /// The commit.
        commit: String,
        /// Why.
        #[source]
        source: kiln_model::ObjectError,
    },
    /// What a place pins cannot be had.
    #[error("cannot get what `{place}` pins")]
    Pinned {
        /// Where it is pinned: `kiln.lock:120`.
        place: String,
        /// Why.
        #[source]
        source: Box<GitError>,
    },
    /// A working folder fails.
    #[error(transparent)]
    Work(#[from] crate::work::WorkError),
    /// The user said stop.
    #[error("stopped")]
    Cancelled,
}

impl GitError {
    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Program(_) => "install `git`",
            Self::Address(_) => "use `https://`, `ssh://`, `user@host:path`, `file:///` or a path in the project",
            Self::Unreachable { .. } => {
                "check the address, and that this user may read it: `git ls-remote ADDRESS` without a password"
            }
            Self::Rev(_) | Self::NoSuchRev { .. } => "`kiln lock --update NAME` pins a branch or tag to its commit",
            Self::Missing { .. } => {
                "it may have been removed by a forced push: `kiln lock --update NAME` pins what is there now; if the lock \
                 was edited by hand, `git checkout kiln.lock` takes back what was committed"
            }
            Self::Kind { .. } => "name the commit that a tag stands for: `git rev-parse TAG^{commit}`",
            Self::Offline { .. } => "run once without `--offline`",
            Self::Content { .. } => "someone made another commit with the same name, or the lock was edited",
            Self::Work(error) => return error.hint(),
            Self::Pinned { source, .. } => return source.hint(),
            Self::Failed { message, .. } if message.contains("not a git repository") => {
                "a project is a Git repository: `git init`"
            }
            Self::Failed { .. } | Self::Submodule { .. } | Self::Entry { .. } => return None,
            Self::Object { .. } | Self::Cancelled => return None,
        };
        Some(text.to_owned())
    }
}

impl From<GitError> for crate::graph::ActionError {
    fn from(error: GitError) -> Self {
        let hint = error.hint();
        Self::new(error).with_hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<GitLocation, GitError> {
        GitLocation::parse(text, Path::new("/project"))
    }

    #[test]
    fn knows_the_addresses_it_uses_and_refuses_the_rest() {
        for text in ["https://host/x.git", "ssh://git@host/x", "git@host:x/y.git", "host:x"] {
            assert_eq!(parse(text).unwrap(), GitLocation::Remote(text.to_owned()));
        }
        assert_eq!(parse("file:///srv/x").unwrap(), GitLocation::Local("/srv/x".into()));
        assert_eq!(parse("vendor/x").unwrap(), GitLocation::Local("/project/vendor/x".into()));
        let bad = [
            "",
            "--upload-pack=x",
            "ext::sh -c x",
            "http://host/x",
            "git://host/x",
            "file://host/x",
            ":x",
            "-o:x",
            "u@-o:x",
            "a\nb",
        ];
        for text in bad {
            assert!(matches!(parse(text), Err(GitError::Address(_))), "{text}");
        }
    }

    #[test]
    fn a_submodule_may_be_relative_to_its_parent() {
        let join = |base: &str, text: &str| parse(base).unwrap().join(text).map(|l| l.to_string()).ok();
        assert_eq!(join("https://host/a/b.git", "../c.git").unwrap(), "https://host/a/c.git");
        assert_eq!(join("https://host/a/b.git", "./c").unwrap(), "https://host/a/b.git/c");
        assert_eq!(join("git@host:a/b", "../../c").unwrap(), "git@host:c");
        assert_eq!(join("file:///srv/a", "../b").unwrap(), "/srv/b");
        assert_eq!(join("https://host/a", "https://other/b").unwrap(), "https://other/b");
        assert_eq!(join("https://host", "../../x"), None);
        assert_eq!(join("https://host/a", "ext::x"), None);
    }

    #[test]
    fn a_password_is_never_shown() {
        assert_eq!(parse("https://me:secret@host/x").unwrap().to_string(), "https://host/x");
        assert_eq!(parse("ssh://git@host/x").unwrap().to_string(), "ssh://git@host/x");
    }
}
