//! The folders that building uses besides the store.
//!
//! ```text
//! WORK/scratch/PID-N/       one running action's own folder
//! WORK/scratch/PID-N.lock   held (flock) by the process that owns it, so that what a killed one left is told apart
//! WORK/downloads/SHA256     a file that is being fetched; partial ones stay, to be resumed
//! WORK/git/NAME.git         objects of a Git repository, by the digest of its address
//! WORK/git/NAME.lock        held while it is fetched into
//! WORK/git/config           the only configuration that Git reads
//! WORK/failed/PACKAGE/      where the last build of a package stopped, for `kiln shell PACKAGE --failed`
//! ```
//!
//! All of it can be removed at any time when no Kiln runs, and `kiln gc` removes what was not used lately ([`clean`]).

pub mod clean;
mod log;
mod scratch;

use std::io;
use std::path::{Path, PathBuf};

pub use log::Log;
pub use scratch::Scratch;
pub(crate) use scratch::remove_all;

/// Why a working folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`", .path.display())]
pub struct WorkError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl WorkError {
    pub(crate) fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self { action, path: path.to_owned(), source }
    }

    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self.source.kind() {
            io::ErrorKind::StorageFull => Some("the disk is full: `kiln gc` makes room".to_owned()),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Some("choose a store on a file system that this user may write to".to_owned())
            }
            _ => None,
        }
    }
}

impl From<WorkError> for crate::graph::ActionError {
    fn from(error: WorkError) -> Self {
        let hint = error.hint();
        Self::new(error).with_hint(hint)
    }
}

/// The folder that building works in. It should be on the file system of the store.
#[derive(Debug, Clone)]
pub struct Workplace {
    root: PathBuf,
}

impl Workplace {
    /// The folder `root`, made if need be, and cleared of what killed processes left in it.
    ///
    /// # Errors
    /// When it cannot be made or cleared.
    pub fn open(root: &Path) -> Result<Self, WorkError> {
        for folder in ["scratch", "downloads", "git", "failed"] {
            let path = root.join(folder);
            std::fs::create_dir_all(&path).map_err(|source| WorkError::new("create", &path, source))?;
        }
        let root = root.canonicalize().map_err(|source| WorkError::new("find", root, source))?;
        scratch::sweep(&root.join("scratch"))?;
        Ok(Self { root })
    }

    /// A new empty folder, which goes when the value does.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn scratch(&self) -> Result<Scratch, WorkError> {
        Scratch::new(&self.root.join("scratch"))
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where files are put while they are fetched.
    #[must_use]
    pub fn downloads(&self) -> PathBuf {
        self.root.join("downloads")
    }

    /// Where Git repositories are kept.
    #[must_use]
    pub fn git(&self) -> PathBuf {
        self.root.join("git")
    }

    /// Where the last failed build of `package` is kept.
    #[must_use]
    pub fn failed(&self, package: &str) -> PathBuf {
        self.root.join("failed").join(package)
    }
}
