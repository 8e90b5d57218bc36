//! What an archive holds under one name, whatever the archive's format.

use std::collections::BTreeMap;

use kiln_model::TreePath;

use crate::ReadError;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file; its content follows.
    File,
    /// A directory.
    Directory,
    /// Another name of a file that came before.
    Hardlink(TreePath),
    /// A symbolic link and its target as written: never empty, without NUL.
    Symlink(String),
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

impl Kind {
    /// The kind in words, for messages.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Hardlink(_) => "hard link",
            Self::Symlink(_) => "symbolic link",
            Self::Character { .. } => "character device",
            Self::Block { .. } => "block device",
            Self::Fifo => "named pipe",
        }
    }
}

/// One entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it goes; the root for an archive's own `./`.
    pub path: TreePath,
    /// What it is.
    pub kind: Kind,
    /// Permission bits: `mode & 0o7777`.
    pub mode: u16,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Owner by name; empty when the archive gives none.
    pub user: String,
    /// Group by name; empty when the archive gives none.
    pub group: String,
    /// The content's length: 0 for everything but files.
    pub size: u64,
    /// Seconds since 1970.
    pub mtime: i64,
    /// Extended attributes by full name.
    pub xattrs: BTreeMap<Box<str>, Box<[u8]>>,
    /// The SHA-1 that the archive says the content has, or a symbolic link's target: Alpine's packages do. Not checked
    /// here.
    pub sha1: Option<[u8; 20]>,
}

impl Entry {
    /// An entry owned by root, with the mode that its kind has by default, no content and the one time stamp.
    #[must_use]
    pub fn new(path: TreePath, kind: Kind) -> Self {
        let mode = match kind {
            Kind::Directory => 0o755,
            Kind::Symlink(_) => 0o777,
            _ => 0o644,
        };
        Self {
            path,
            kind,
            mode,
            uid: 0,
            gid: 0,
            user: String::new(),
            group: String::new(),
            size: 0,
            mtime: kiln_model::SOURCE_DATE_EPOCH.cast_signed(),
            xattrs: BTreeMap::new(),
            sha1: None,
        }
    }
}

/// A checked path from an archive. Empty and `.` components, which change nothing, are dropped; `..` and a leading slash
/// are refused.
pub(crate) fn path_of(text: &str) -> Result<TreePath, ReadError> {
    let parsed = if text.contains("//") || text.contains("/./") {
        let absolute = if text.starts_with('/') { "/" } else { "" };
        let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        TreePath::from_archive(&format!("{absolute}{}", parts.join("/")))
    } else {
        TreePath::from_archive(text)
    };
    parsed.map_err(ReadError::Path)
}

/// Can it be the target of a symbolic link?
pub(crate) fn check_target(entry: &[u8], target: &str) -> Result<(), ReadError> {
    match target {
        "" => Err(ReadError::header(entry, "it is a symbolic link to nothing")),
        _ if target.contains('\0') => Err(ReadError::header(entry, "its target has a NUL byte")),
        _ if target.len() > 4095 => Err(ReadError::header(entry, "its target is longer than 4095 bytes")),
        _ => Ok(()),
    }
}
