//! Builds that failed, kept so that a person can look into them. One a package: the last.
//!
//! ```text
//! WORK/failed/PACKAGE/world/build, out     as the build left them
//! WORK/failed/PACKAGE/failed.json          what is needed to enter the sandbox again
//! ```

use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kiln_model::recipe::Step;
use kiln_model::{PackageName, TreeId};
use kiln_store::Session;
use serde::{Deserialize, Serialize};

use super::sandboxed::{Executor, Room, SHELL, Script, environment};
use super::{BuildError, Exit, Limits};
use crate::graph::ActionError;
use crate::sandbox::Folders;
use crate::work::{WorkError, Workplace, remove_all};

/// The name of the description.
const DESCRIPTION: &str = "failed.json";

/// A build that failed.
#[derive(Debug)]
pub struct FailedBuild {
    folder: PathBuf,
    description: Description,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    environment: TreeId,
    /// The step that failed; none when all ran, and what they installed was refused.
    step: Option<String>,
    /// Its script.
    run: Option<String>,
    jobs: NonZeroUsize,
    processes: u64,
    memory: Option<u64>,
}

/// Moves the folders of a build to where `kiln shell --failed` finds them.
pub(super) fn keep(work: &Workplace, package: &PackageName, room: &Room, step: Option<&Step>) -> Result<(), WorkError> {
    let scratch = &room.scratch;
    let description = Description {
        environment: room.root,
        step: step.map(|step| step.name.clone()),
        run: step.map(|step| step.run.clone()),
        jobs: room.jobs,
        processes: room.limits.processes,
        memory: room.limits.memory,
    };
    let text = serde_json::to_vec_pretty(&description).map_err(io::Error::other);
    let path = scratch.path().join(DESCRIPTION);
    text.and_then(|text| fs::write(&path, text)).map_err(|e| WorkError::new("write", &path, e))?;
    let place = work.failed(package.as_str());
    remove_all(&place).map_err(|e| WorkError::new("remove", &place, e))?;
    fs::rename(scratch.path(), &place).map_err(|e| WorkError::new("create", &place, e))
}

/// Removes what an earlier failure of the package left: it builds now.
pub(super) fn forget(work: &Workplace, package: &PackageName) {
    // What cannot be removed is only in nobody's way.
    let _ = remove_all(&work.failed(package.as_str()));
}

impl FailedBuild {
    /// The last failed build of `package`, if there is one.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn find(work: &Workplace, package: &PackageName) -> Result<Option<Self>, WorkError> {
        let folder = work.failed(package.as_str());
        let path = folder.join(DESCRIPTION);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(WorkError::new("read", &path, error)),
        };
        let description = serde_json::from_slice(&bytes).map_err(|e| WorkError::new("read", &path, e.into()))?;
        Ok(Some(Self { folder, description }))
    }

    /// The step that failed; none when all ran, and what they installed was refused.
    #[must_use]
    pub fn step(&self) -> Option<&str> {
        self.description.step.as_deref()
    }

    /// The script of that step.
    #[must_use]
    pub fn script(&self) -> Option<&str> {
        self.description.run.as_deref()
    }

    /// Where its folders are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Opens a shell in the sandbox as the build left it.
    ///
    /// # Errors
    /// When the environment is no longer in the store, or the sandbox cannot be had.
    pub fn enter(&self, session: &Session, executor: &dyn Executor) -> Result<Exit, ActionError> {
        let checkout = session.checkout(self.description.environment).map_err(BuildError::Checkout)?;
        let Description { jobs, processes, memory, .. } = self.description;
        let script = Script {
            root: checkout.path().to_owned(),
            folders: Folders::at(&self.folder),
            text: SHELL.to_owned(),
            environment: environment(jobs),
            limits: Limits { time: Duration::MAX, memory, processes },
        };
        Ok(executor.enter(&script).map_err(BuildError::Sandbox)?)
    }
}
