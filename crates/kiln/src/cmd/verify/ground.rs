//! Where the builds that are compared take place: temporary folders, each with a store that has nothing but what was
//! downloaded before, and a clone of the project where it must lie elsewhere.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use kiln_model::ObjectId;
use kiln_model::lock::{Lock, LockedSource};
use kiln_plan::{Services, Workspace};
use kiln_store::Store;
use kiln_verify::{Condition, Surroundings};

use crate::clone::clone_at;
use crate::context::{Outcome, failed};
use crate::failure::Failure;
use crate::room::Room;

/// What all builds have in common.
pub struct Ground<'a> {
    workspace: &'a Workspace,
    /// Where folders are made that do not lie in memory.
    below: PathBuf,
    room: Room,
    now: u64,
    /// Downloaded files that the store has, by what they are.
    seeds: Vec<(ObjectId, PathBuf)>,
}

/// Where one build takes place.
pub struct Plot {
    room: Room,
    place: PathBuf,
    clone: Option<PathBuf>,
}

fn io_failed(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> Failure {
    Failure::io(doing, path, Some("choose another place for temporary stores: `--in DIR`".to_owned()))
}

fn room(below: &Path) -> Outcome<Room> {
    // Another user has to get in.
    Room::new("kiln-verify-", below).and_then(Room::open).map_err(io_failed("make a folder in", below))
}

impl<'a> Ground<'a> {
    /// Looks at what is there.
    pub fn new(workspace: &'a Workspace, services: &Services, within: Option<&Path>) -> Outcome<Self> {
        let below = within.map_or_else(std::env::temp_dir, Path::to_owned);
        let room = room(&below)?;
        Ok(Self { workspace, below, room, now: services.settings.now, seeds: Vec::new() })
    }

    /// Takes what was downloaded for the first build, so that no other one downloads it again.
    pub fn take_seeds(&mut self, services: &Services, lock: &Lock) {
        let mut digests: Vec<ObjectId> = Vec::new();
        for package in lock.packages.values() {
            digests.push(ObjectId(package.sha256));
            digests.extend(package.parts.iter().map(|part| ObjectId(part.sha256)));
        }
        for source in lock.sources.values() {
            match source {
                LockedSource::Origin { files, .. } => digests.extend(files.iter().map(|file| ObjectId(file.sha256))),
                LockedSource::Archive { sha256, .. } => digests.push(ObjectId(*sha256)),
                // Those are read from where they are.
                LockedSource::Git { .. } | LockedSource::Path { .. } => {}
            }
        }
        digests.sort();
        digests.dedup();
        self.seeds = digests.into_iter().filter_map(|id| Some((id, services.store.object_path(&id)?))).collect();
    }

    /// The folder of all of it.
    pub fn folder(&self) -> &Path {
        self.room.path()
    }

    /// This program, where every user can run it.
    pub fn program(&self) -> Outcome<PathBuf> {
        let copy = self.room.path().join("kiln");
        if !copy.exists() {
            let own = std::env::current_exe().map_err(io_failed("find", Path::new("kiln")))?;
            fs::copy(&own, &copy).map_err(io_failed("copy", &own))?;
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).map_err(io_failed("open", &copy))?;
        }
        Ok(copy)
    }

    /// Why a condition cannot be had of this project.
    pub fn obstacle(&self, condition: &Condition) -> Option<&'static str> {
        let git = &self.workspace.git;
        if condition.elsewhere && (git.dirty || git.commit.is_none()) {
            return Some("the project must lie elsewhere for it, and differs from its commit: commit first");
        }
        let modules = self.workspace.folder.join(".gitmodules").exists();
        (condition.elsewhere && modules).then_some("the project must lie elsewhere for it, and has submodules")
    }

    /// Makes the place of one build.
    pub fn plot(&self, surroundings: &Surroundings, condition: &Condition) -> Outcome<Plot> {
        // Beside the others, not in one of them: it may be kept.
        let room = room(&surroundings.below(&self.below))?;
        let place = room.path().join(&surroundings.place);
        for name in ["store", "home"] {
            fs::create_dir_all(place.join(name)).map_err(io_failed("make", &place))?;
        }
        let mut plot = Plot { room, place, clone: None };
        self.seed(&plot.path("store"))?;
        if condition.elsewhere {
            let commit = self.workspace.git.commit.clone().unwrap_or_default();
            plot.clone = Some(clone_at(&self.workspace.folder, &commit, &plot.path("project"))?);
        }
        if let Some(user) = surroundings.user {
            give(&plot.place, user).map_err(io_failed("give away", &plot.place))?;
        }
        Ok(plot)
    }

    /// A store with what was downloaded. Every byte of it is checked on the way.
    fn seed(&self, store: &Path) -> Outcome<()> {
        let inner = kiln_plan::services::store_folder(store);
        let store = Store::open(&inner, kiln_plan::services::store_options(self.now))
            .map_err(failed(kiln_store::OpenError::hint))?;
        let session = store.session().map_err(failed(kiln_store::SessionError::hint))?;
        for (id, path) in &self.seeds {
            let copy = inner.join("seed");
            fs::copy(path, &copy).map_err(io_failed("copy", path))?;
            session.import_file(&copy, Some(*id)).map_err(failed(kiln_store::WriteError::hint))?;
        }
        session.flush().map_err(failed(kiln_store::WriteError::hint))
    }
}

/// Gives everything in a folder to a user.
fn give(folder: &Path, user: u32) -> io::Result<()> {
    let mut todo = vec![folder.to_owned()];
    while let Some(path) = todo.pop() {
        let found = fs::symlink_metadata(&path)?;
        std::os::unix::fs::lchown(&path, Some(user), Some(user))?;
        if found.is_dir() {
            for entry in fs::read_dir(&path)? {
                todo.push(entry?.path());
            }
        }
    }
    chown(folder, Some(user), Some(user))
}

impl Plot {
    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    /// The project's folder: the clone, where there is one.
    pub fn project<'b>(&'b self, usual: &'b Path) -> &'b Path {
        self.clone.as_deref().unwrap_or(usual)
    }

    /// Leaves it where it is.
    pub fn keep(&mut self) -> Outcome<&Path> {
        self.room.keep().map_err(io_failed("keep", &self.place))?;
        Ok(&self.place)
    }
}
