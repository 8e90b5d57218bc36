//! The folders that a command may write to, and how it sees them without seeing where they are.
//!
//! `/proc/self/mountinfo` tells of a bind mount where its folder lies in the file system: in the store, and so whose store
//! it is. Of an overlay it tells only the options as they were given. So the folders are the upper side of an overlay over
//! nothing, mounted with relative names, and it is that overlay's folders which are shown. They lie one level below its
//! root: a folder that is on the upper side alone gets none of an overlay's own marks.
//!
//! Where the file system of the folders cannot carry an overlay (it is one itself, or NFS), they are shown as they are.
//!
//! ```text
//! ROOM/world/build, out      the folders; what else is made in `world` can be shown too
//! ROOM/nothing               the lower side
//! ROOM/overlay               what the kernel needs beside the upper side
//! ROOM/changes/NAME/files    what was changed in a folder of the root: the upper side of an overlay of its own
//! ROOM/changes/NAME/overlay  what the kernel needs beside it
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A folder of this machine with everything that one command, or one after the other, may write to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    room: PathBuf,
}

pub(super) const WORLD: &str = "world";
pub(super) const NOTHING: &str = "nothing";
pub(super) const OVERLAY: &str = "overlay";
pub(super) const CHANGES: &str = "changes";
pub(super) const FILES: &str = "files";

impl Folders {
    /// Those in `room`, which were made there before.
    #[must_use]
    pub fn at(room: impl Into<PathBuf>) -> Self {
        Self { room: room.into() }
    }

    /// Makes them in `room`, which is there, but for `build`: the caller lays it out.
    ///
    /// # Errors
    /// When one cannot be made.
    pub fn make(room: impl Into<PathBuf>) -> io::Result<Self> {
        let folders = Self::at(room);
        for name in [WORLD, NOTHING, OVERLAY] {
            fs::create_dir(folders.room.join(name))?;
        }
        fs::create_dir(folders.out())?;
        Ok(folders)
    }

    /// Makes them in `room`, with nothing in any of them.
    ///
    /// # Errors
    /// When one cannot be made.
    pub fn make_empty(room: impl Into<PathBuf>) -> io::Result<Self> {
        let folders = Self::make(room)?;
        fs::create_dir(folders.build())?;
        Ok(folders)
    }

    /// The folder that they are in.
    #[must_use]
    pub fn room(&self) -> &Path {
        &self.room
    }

    /// Becomes `/build`, the working directory and home.
    #[must_use]
    pub fn build(&self) -> PathBuf {
        self.beside("build")
    }

    /// Becomes `/out`.
    #[must_use]
    pub fn out(&self) -> PathBuf {
        self.beside("out")
    }

    /// Another folder that can be shown to a command.
    #[must_use]
    pub fn beside(&self, name: &str) -> PathBuf {
        self.room.join(WORLD).join(name)
    }

    /// Makes the place of what is changed in a folder of the root ([`super::Sandbox::changed`]), but for the folder
    /// [`Folders::changes`] in it: the caller makes that, empty or with what may be changed of the files that are there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make_changes(&self, name: &str) -> io::Result<()> {
        let place = self.room.join(CHANGES).join(name);
        fs::create_dir_all(place.join(OVERLAY))
    }

    /// What was changed in a folder of the root: new and changed files, in directories that lead to them.
    #[must_use]
    pub fn changes(&self, name: &str) -> PathBuf {
        self.room.join(CHANGES).join(name).join(FILES)
    }

    /// After a command: the kernel leaves an empty folder that nobody may enter, which would be in the way of who removes
    /// all of them.
    pub(super) fn clear(&self) {
        // Not there, when there was no overlay.
        let _ = fs::remove_dir(self.room.join(OVERLAY).join("work"));
        for place in fs::read_dir(self.room.join(CHANGES)).into_iter().flatten().flatten() {
            let _ = fs::remove_dir(place.path().join(OVERLAY).join("work"));
        }
    }
}
