//! Publishing: how what a session wrote becomes the store's. This is the one commit point.
//!
//! 1. One `syncfs`: the bytes of all staged files are on the disk.
//! 2. Objects, then trees, are renamed to their places.
//! 3. One `syncfs`: so are their names.
//! 4. Records are renamed to their places. **Now the actions are done.**
//! 5. One `syncfs`: and stay done.
//!
//! A kill between any two steps leaves objects and trees that nothing names yet, which are whole, and gc removes them; or
//! some actions done and others not. A power cut is no worse: a file is given its place only when its bytes are on the
//! disk, so no object can be torn, whatever order the file system writes names in; and a record only when the names of
//! what it needs are. Steps are left out when there is nothing to do in them. One `syncfs` for thousands of files
//! costs less than a tenth of writing them (`benches/write.rs`), where an `fsync` each would cost many times that.

use std::path::PathBuf;

use kiln_model::{ActionKey, Dir, Entry, ObjectId, TreeId};

use crate::action::ActionResult;
use crate::files::{self, FileError};
use crate::object::Trust;
use crate::parallel::in_parallel;
use crate::session::{Known, Session};
use crate::store::Durability;
use crate::{Store, layout};

/// Why something cannot be written to the store.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A call failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file is not the object it should be.
    #[error("`{}` is not what was expected: it has {found}, not {expected}", .path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: ObjectId,
        /// What it is.
        found: ObjectId,
    },
    /// Something names an object that the store does not have.
    #[error("{by} needs object {object}, which the store does not have")]
    MissingObject {
        /// Who names it.
        by: String,
        /// The object.
        object: ObjectId,
    },
    /// Something names an object with another length than it has.
    #[error("{by} says that object {object} has {expected} bytes, and it has {found}")]
    WrongSize {
        /// Who names it.
        by: String,
        /// The object.
        object: ObjectId,
        /// The length it is said to have.
        expected: u64,
        /// The length it has.
        found: u64,
    },
    /// A result names a tree that the store does not have.
    #[error("the result of action {action} needs tree {tree}, which the store does not have")]
    MissingTree {
        /// The action.
        action: ActionKey,
        /// The tree.
        tree: TreeId,
    },
}

impl WriteError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::MissingObject { .. } | Self::WrongSize { .. } | Self::MissingTree { .. } => {
                Some("the store may be damaged: run `kiln fsck --repair`".to_owned())
            }
            Self::Mismatch { .. } => None,
        }
    }
}

impl Store {
    /// Waits for the disk, if this store is to survive a power cut.
    pub(crate) fn settle(&self) -> files::Result<()> {
        match self.options().durability {
            Durability::PowerCut => self.files().sync(),
            Durability::Process => Ok(()),
        }
    }
}

impl Session {
    /// Writes a tree. Every object it names must be there already.
    ///
    /// # Errors
    /// When an object is missing or of another length, or the tree cannot be written.
    pub fn put_tree(&self, dir: &Dir) -> Result<TreeId, WriteError> {
        let id = dir.id();
        if self.has_tree(id)? {
            return Ok(id);
        }
        let mut todo = vec![dir];
        while let Some(dir) = todo.pop() {
            for (name, entry) in dir.entries() {
                match entry {
                    Entry::File(file) => self.check_object(&file.object, file.size, || format!("file `{name}`"))?,
                    Entry::Dir(below) if !self.state().complete.contains(&below.id()) => todo.push(below),
                    _ => {}
                }
            }
        }
        Ok(self.stage_tree(dir)?)
    }

    fn has_tree(&self, id: TreeId) -> files::Result<bool> {
        Ok(self.state().trees.contains_key(&id) || self.files().look(&layout::tree(&id))?.is_some())
    }

    fn check_object(&self, id: &ObjectId, expected: u64, by: impl Fn() -> String) -> Result<(), WriteError> {
        match self.object_size(id)? {
            Some(found) if found == expected => Ok(()),
            Some(found) => Err(WriteError::WrongSize { by: by(), object: *id, expected, found }),
            None => Err(WriteError::MissingObject { by: by(), object: *id }),
        }
    }

    /// Makes an action done: when this returns, its result and all that it names survive.
    ///
    /// # Errors
    /// When something that it names is not there, or it cannot be written; then the action is not done.
    pub fn commit(&self, key: ActionKey, result: &ActionResult) -> Result<(), WriteError> {
        self.commit_later(key, result)?;
        self.flush()
    }

    /// Makes an action done with the next [`Session::flush`]. This session sees its result at once, others then.
    ///
    /// # Errors
    /// When something that it names is not there, or it cannot be written.
    pub fn commit_later(&self, key: ActionKey, result: &ActionResult) -> Result<(), WriteError> {
        for tree in result.trees.values() {
            if !self.has_tree(*tree)? {
                return Err(WriteError::MissingTree { action: key, tree: *tree });
            }
        }
        for (object, size) in result.objects.values() {
            self.check_object(object, *size, || format!("the result of action {key}"))?;
        }
        Ok(self.stage_record(&key, result)?)
    }

    /// Publishes everything that this session wrote. Threads that flush at once share one flush.
    ///
    /// # Errors
    /// When something cannot be published. It stays with the session then, and the next flush tries again.
    pub fn flush(&self) -> Result<(), WriteError> {
        // Whoever waits here finds its own things published by the one before.
        let _one_at_a_time = self.publishing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (objects, trees, records) = {
            let state = self.state();
            let objects: Vec<_> = state.objects.iter().map(|(id, staged)| (*id, *staged)).collect();
            let trees: Vec<_> = state.trees.iter().map(|(id, staged)| (*id, *staged)).collect();
            let records: Vec<_> = state.records.iter().map(|(key, (number, _))| (*key, *number)).collect();
            (objects, trees, records)
        };
        if objects.is_empty() && trees.is_empty() && records.is_empty() {
            return Ok(());
        }
        let staging = self.staging()?;
        self.settle()?;
        in_parallel(self.options().threads, &objects, |(id, (number, size)), _| {
            let ours = self.publish(&staging.path(*number), &layout::object(id), *size)?;
            let trust = if ours { Trust::Own } else { Trust::Verify };
            let mut state = self.state();
            state.objects.remove(id);
            state.known.insert(*id, Known { size: *size, trust });
            Ok::<_, FileError>(())
        })?;
        for (id, (number, size)) in &trees {
            self.publish(&staging.path(*number), &layout::tree(id), *size)?;
            self.state().trees.remove(id);
        }
        if records.is_empty() {
            return Ok(());
        }
        if !(objects.is_empty() && trees.is_empty()) {
            self.settle()?;
        }
        for (key, number) in &records {
            self.files().rename(&staging.path(*number), &layout::action(key))?;
            let mut state = self.state();
            // A result committed again meanwhile waits for the next flush.
            if state.records.get(key).is_some_and(|(current, _)| current == number) {
                state.records.remove(key);
            }
        }
        Ok(self.settle()?)
    }

    /// Gives a file its place, and says whether what lies there now is surely that file. One that is there already stays,
    /// so that links to it stay links to one inode, unless its length tells that it is damaged.
    fn publish(&self, from: &str, to: &str, size: u64) -> files::Result<bool> {
        match self.files().rename_new(from, to) {
            Err(error) if error.is_there_already() => {
                let whole = self.files().look(to)?.is_some_and(|stat| {
                    files::kind(&stat) == rustix::fs::FileType::RegularFile && stat.st_size as u64 == size
                });
                if whole {
                    self.files().unlink(from)?
                } else {
                    self.files().rename(from, to)?
                }
                Ok(!whole)
            }
            // Published by a flush that failed afterwards, and its entry is still here.
            Err(error) if error.is_missing() && self.files().look(to)?.is_some() => Ok(false),
            other => other.map(|()| true),
        }
    }
}
