//! What is known of the image that a package goes into.

use std::collections::{BTreeMap, BTreeSet};

use kiln_model::TreePath;

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A regular file.
    File {
        /// May it be executed?
        executable: bool,
        /// Its length in bytes.
        size: u64,
    },
    /// A directory.
    Directory,
    /// A symbolic link, with its target.
    Link(String),
    /// A device, a pipe, a socket.
    Other,
}

/// What the hooks of packages made that are certain to come before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Earlier {
    /// Users.
    pub users: BTreeSet<String>,
    /// Groups.
    pub groups: BTreeSet<String>,
    /// What is at paths that no package ships.
    pub made: BTreeMap<TreePath, Seen>,
}

impl Earlier {
    /// What was made at a path, or the folder of something that was.
    pub(crate) fn at(&self, path: &TreePath) -> Option<Seen> {
        let below = || self.made.keys().any(|made| made.starts_with(path)).then_some(Seen::Directory);
        self.made.get(path).cloned().or_else(below)
    }
}

/// The packages of an image before any hook has run, as far as a hook can ask about them.
///
/// A path that no package ships is not there; that is certain, not a guess: hooks are read for a fresh system.
pub trait World {
    /// What is at a path. Links on the way are followed; the last component's own only if `follow` says so.
    fn entry(&self, path: &TreePath, follow: bool) -> Option<Seen>;

    /// The mode of what is at a path, links followed.
    fn mode(&self, path: &TreePath) -> Option<u16>;

    /// The names in a directory, sorted.
    fn names(&self, path: &TreePath) -> Vec<String>;

    /// The text of a file; none when there is none, or it is too large or no text.
    fn read(&self, path: &TreePath) -> Option<String>;

    /// Is what is at a path no package's, but made by a hook that every other may count on? Hooks may change such a file:
    /// what they make of it is a fact of theirs, and whoever puts several of them together has to see that they agree.
    fn may_change(&self, path: &TreePath) -> bool {
        let _ = path;
        false
    }

    /// The version of a package that is in the image.
    fn package(&self, name: &str) -> Option<String>;

    /// The names of all packages; none when they are not known.
    fn packages(&self) -> Option<Vec<String>> {
        None
    }

    /// The paths that a package ships, sorted; none when it is not there.
    fn files(&self, package: &str) -> Option<Vec<TreePath>>;

    /// The answer that the image gives to a question of debconf.
    fn answer(&self, question: &str) -> Option<String>;

    /// The default answer to a question that another package of the image brings.
    fn default_answer(&self, question: &str) -> Option<String> {
        let _ = question;
        None
    }

    /// The packages of the image that bring a question, sorted.
    fn owners(&self, question: &str) -> Vec<String> {
        let _ = question;
        Vec::new()
    }

    /// The architecture, as Debian calls it.
    fn architecture(&self) -> &str;

    /// What hooks before these made, for whoever asks for accounts or goes through a folder. None when that is not known:
    /// it is taken for nothing, and [`Reading::asks_earlier`](crate::Reading::asks_earlier) says whether it was asked for.
    fn earlier(&self) -> Option<&Earlier> {
        None
    }
}
