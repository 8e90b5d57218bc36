//! Immutable file trees.
//!
//! A [`Dir`] is a Merkle tree of directories over objects. Its digest is the digest of its root's canonical encoding,
//! which is a `Directory` message of the Remote Execution API v2 (`build/bazel/remote/execution/v2`), so that a tree has
//! the same name in the store, in a remote cache and on a build farm ([`encode`]).
//!
//! Two kinds of tree use the one type. A **plain** tree holds directories, files, executable files and symbolic links
//! and nothing else: what a build may produce. A **composed** tree also holds numeric owners, special modes, extended
//! attributes and devices, which come from facts. [`Dir::is_plain`] tells them apart.
//!
//! Directories are shared by reference and copied on write, so union and change of large trees cost what they touch.

mod decode;
mod encode;
mod walk;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use crate::path::{PathError, check_component};
use crate::{ObjectId, TreeId, TreePath};

pub use decode::{DecodeError, decode};
pub use encode::{directories, encode};
pub use walk::Walk;

/// Owner, mode and extended attributes of an entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Meta {
    /// Permission bits, set-user-id, set-group-id and sticky bit: `mode & 0o7777`. Always 0o777 for links.
    pub mode: u16,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Extended attributes, by full name (`security.capability`).
    pub xattrs: BTreeMap<Box<str>, Box<[u8]>>,
}

impl Meta {
    /// Owned by root, without extended attributes.
    #[must_use]
    pub const fn root_owned(mode: u16) -> Self {
        Self { mode: mode & 0o7777, uid: 0, gid: 0, xattrs: BTreeMap::new() }
    }

    /// Owned by root, no extended attributes, and this mode?
    #[must_use]
    pub fn is_default(&self, mode: u16) -> bool {
        self.mode == mode && self.uid == 0 && self.gid == 0 && self.xattrs.is_empty()
    }
}

/// A regular file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileEntry {
    /// Its content.
    pub object: ObjectId,
    /// The content's length in bytes.
    pub size: u64,
    /// Owner, mode, attributes.
    pub meta: Meta,
    /// All files of one package with this flag, the same object and the same meta are names of one inode.
    pub hardlinked: bool,
}

impl FileEntry {
    /// A file owned by root with mode 0644, or 0755 when `executable`.
    #[must_use]
    pub const fn plain(object: ObjectId, size: u64, executable: bool) -> Self {
        let mode = if executable { 0o755 } else { 0o644 };
        Self { object, size, meta: Meta::root_owned(mode), hardlinked: false }
    }

    /// May its owner execute it?
    #[must_use]
    pub const fn is_executable(&self) -> bool {
        self.meta.mode & 0o100 != 0
    }
}

/// A symbolic link.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SymlinkEntry {
    /// Where it leads, as written.
    pub target: Box<str>,
    /// Owner and attributes; the mode is 0777.
    pub meta: Meta,
}

impl SymlinkEntry {
    /// A link owned by root.
    #[must_use]
    pub fn plain(target: impl Into<Box<str>>) -> Self {
        Self { target: target.into(), meta: Meta::root_owned(0o777) }
    }
}

/// What kind of special file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Device {
    /// A character device.
    Character {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// What a directory holds under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A directory.
    Dir(Arc<Dir>),
    /// A regular file.
    File(FileEntry),
    /// A symbolic link.
    Symlink(SymlinkEntry),
    /// A device or named pipe.
    Device(Device, Meta),
}

impl Entry {
    /// Owner, mode, attributes.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        match self {
            Self::Dir(dir) => &dir.meta,
            Self::File(file) => &file.meta,
            Self::Symlink(link) => &link.meta,
            Self::Device(_, meta) => meta,
        }
    }

    /// The kind in one word, for messages.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Dir(_) => "directory",
            Self::File(_) => "file",
            Self::Symlink(_) => "link",
            Self::Device(..) => "device",
        }
    }
}

/// Why an entry cannot be put at a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InsertError {
    /// A component on the way is not a directory.
    #[error("`{0}` is a {1}, not a directory")]
    NotADirectory(TreePath, &'static str),
    /// The root itself can be only a directory.
    #[error("the root of a tree is a directory")]
    Root,
    /// Not a component.
    #[error(transparent)]
    Path(#[from] PathError),
}

/// A directory, and with it the tree below it.
#[derive(Debug, Clone)]
pub struct Dir {
    meta: Meta,
    entries: BTreeMap<Box<str>, Entry>,
    /// The digest, once asked for. Every change clears it.
    id: OnceLock<(TreeId, u64)>,
}

impl Default for Dir {
    fn default() -> Self {
        Self::new(Meta::root_owned(0o755))
    }
}

impl PartialEq for Dir {
    fn eq(&self, other: &Self) -> bool {
        self.meta == other.meta && self.entries == other.entries
    }
}

impl Eq for Dir {}

impl Dir {
    /// An empty directory.
    #[must_use]
    pub const fn new(meta: Meta) -> Self {
        Self { meta, entries: BTreeMap::new(), id: OnceLock::new() }
    }

    /// Owner, mode, attributes of the directory itself.
    #[must_use]
    pub const fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Changes owner, mode, attributes of the directory itself.
    pub fn set_meta(&mut self, meta: Meta) {
        self.id = OnceLock::new();
        self.meta = meta;
    }

    /// The entries in byte order of their names.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(name, entry)| (&**name, entry))
    }

    /// One entry of this directory.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// Has it no entry?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Puts `entry` under `name` in this directory and gives back what was there.
    ///
    /// # Errors
    /// When `name` is not one component.
    pub fn set_entry(&mut self, name: &str, entry: Entry) -> Result<Option<Entry>, PathError> {
        check_component(name)?;
        self.id = OnceLock::new();
        Ok(self.entries.insert(name.into(), entry))
    }

    /// Takes `name` out of this directory.
    pub fn remove_entry(&mut self, name: &str) -> Option<Entry> {
        self.id = OnceLock::new();
        self.entries.remove(name)
    }

    /// The entry at `path`, without following links. The root is not an entry: use the directory itself.
    #[must_use]
    pub fn get(&self, path: &TreePath) -> Option<&Entry> {
        let mut dir = self;
        let mut parts = path.components().peekable();
        while let Some(part) = parts.next() {
            let entry = dir.entries.get(part)?;
            match (parts.peek(), entry) {
                (None, _) => return Some(entry),
                (Some(_), Entry::Dir(next)) => dir = next,
                (Some(_), _) => return None,
            }
        }
        None
    }

    /// The directory at `path`, without following links.
    #[must_use]
    pub fn dir(&self, path: &TreePath) -> Option<&Self> {
        if path.is_root() {
            return Some(self);
        }
        match self.get(path) {
            Some(Entry::Dir(dir)) => Some(dir),
            _ => None,
        }
    }

    /// The directory at `path` for changing; missing ones on the way are made, owned by root with mode 0755.
    ///
    /// # Errors
    /// When something on the way is not a directory.
    pub fn dir_mut(&mut self, path: &TreePath) -> Result<&mut Self, InsertError> {
        let mut dir = self;
        let mut at = TreePath::root();
        for part in path.components() {
            at = at.join(part)?;
            dir.id = OnceLock::new();
            let entry = dir.entries.entry(part.into()).or_insert_with(|| Entry::Dir(Arc::default()));
            match entry {
                Entry::Dir(next) => dir = Arc::make_mut(next),
                other => return Err(InsertError::NotADirectory(at, other.kind())),
            }
        }
        dir.id = OnceLock::new();
        Ok(dir)
    }

    /// Puts `entry` at `path`, makes missing directories on the way, and gives back what was there.
    ///
    /// # Errors
    /// When something on the way is not a directory, or `path` is the root.
    pub fn insert(&mut self, path: &TreePath, entry: Entry) -> Result<Option<Entry>, InsertError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(InsertError::Root);
        };
        Ok(self.dir_mut(&parent)?.set_entry(name, entry)?)
    }

    /// Takes out the entry at `path`, if there is one.
    pub fn remove(&mut self, path: &TreePath) -> Option<Entry> {
        self.get(path)?;
        let parent = path.parent()?;
        self.dir_mut(&parent).ok()?.remove_entry(path.file_name()?)
    }

    /// Follows links from the root as a program in the image would, and gives the path and entry it ends at. Nothing
    /// when a component is missing or there are more than 40 links on the way (the kernel's own limit).
    #[must_use]
    pub fn resolve(&self, path: &TreePath) -> Option<(TreePath, Option<&Entry>)> {
        let mut links = 0;
        let mut todo: Vec<String> = path.components().rev().map(str::to_owned).collect();
        let mut at = TreePath::root();
        let mut found: Option<&Entry> = None;
        while let Some(part) = todo.pop() {
            if part == ".." {
                at = at.parent().unwrap_or_default();
                found = self.get(&at);
                continue;
            }
            let here = self.dir(&at)?;
            let entry = here.entries.get(part.as_str())?;
            let next = at.join(&part).ok()?;
            if let Entry::Symlink(link) = entry {
                links += 1;
                if links > 40 {
                    return None;
                }
                if link.target.starts_with('/') {
                    at = TreePath::root();
                }
                todo.extend(link.target.split('/').rev().filter(|c| !matches!(*c, "" | ".")).map(str::to_owned));
                found = self.get(&at);
            } else {
                at = next;
                found = Some(entry);
            }
        }
        Some((at, found))
    }

    /// Every entry below this directory, parents first, in byte order of names within a directory.
    #[must_use]
    pub fn walk(&self) -> Walk<'_> {
        Walk::new(self)
    }

    /// The tree's name.
    #[must_use]
    pub fn id(&self) -> TreeId {
        self.id_and_size().0
    }

    /// The tree's name and the length of its root's encoding: a Remote Execution API digest.
    #[must_use]
    pub fn id_and_size(&self) -> (TreeId, u64) {
        *self.id.get_or_init(|| {
            let bytes = encode(self);
            (TreeId(crate::Digest::of(&bytes)), bytes.len() as u64)
        })
    }

    /// Is the tree what a build may produce: root's, directories 0755, files 0644 or 0755, links, nothing else?
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.meta.is_default(0o755)
            && self.entries.values().all(|entry| match entry {
                Entry::Dir(dir) => dir.is_plain(),
                Entry::File(file) => !file.hardlinked && (file.meta.is_default(0o644) || file.meta.is_default(0o755)),
                Entry::Symlink(link) => link.meta.is_default(0o777),
                Entry::Device(..) => false,
            })
    }
}

#[cfg(test)]
mod tests;
