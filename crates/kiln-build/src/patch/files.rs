//! What a patch is applied to.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use kiln_model::tree::InsertError;
use kiln_model::{Dir, Entry, FileEntry, ObjectError, ObjectSink, ObjectSource, SymlinkEntry, TreePath};

/// A file larger than this is not patched: it would have to be held in memory.
const LARGEST: u64 = 256 << 20;

/// What a path holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The bytes of a file, or the target of a link.
    pub bytes: Vec<u8>,
    /// An executable file?
    pub executable: bool,
    /// A symbolic link?
    pub link: bool,
}

/// Why files cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// There is something that is neither a file nor a link.
    #[error("`{}` is a {}", .0.as_str(), .1)]
    Kind(TreePath, &'static str),
    /// A folder on the way is a link or a file.
    #[error("`{}` is not below folders only, and no patch is applied through a link", .0.as_str())]
    Link(TreePath),
    /// A link's target is not UTF-8 or has a NUL.
    #[error("`{}` would be a link to something that is no path", .0.as_str())]
    Target(TreePath),
    /// Too large.
    #[error("`{}` is larger than {} MiB", .0.as_str(), LARGEST >> 20)]
    Large(TreePath),
    /// An object cannot be read or written.
    #[error("the content of `{}` cannot be had or kept", .0.as_str())]
    Object(TreePath, #[source] ObjectError),
    /// The file system says no.
    #[error("cannot {action} `{}`", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Files by path. No method follows a link.
pub trait Files {
    /// What is at `path`; none when there is nothing.
    ///
    /// # Errors
    /// When there is a folder or a device, or when it cannot be read.
    fn read(&self, path: &TreePath) -> Result<Option<Content>, FilesError>;

    /// Puts a file or link at `path`, in place of what is there, and makes folders on the way.
    ///
    /// # Errors
    /// When something on the way is not a folder, or when it cannot be written.
    fn write(&mut self, path: &TreePath, content: &Content) -> Result<(), FilesError>;

    /// Takes away the file or link at `path`, and the folders that this leaves empty.
    ///
    /// # Errors
    /// When it cannot be taken away.
    fn remove(&mut self, path: &TreePath) -> Result<(), FilesError>;
}

fn link_target(path: &TreePath, bytes: &[u8]) -> Result<String, FilesError> {
    let target = String::from_utf8(bytes.to_vec()).ok().filter(|t| !t.is_empty() && !t.contains(['\0', '\n']));
    target.ok_or_else(|| FilesError::Target(path.clone()))
}

/// A tree whose files are objects. Only the files that a patch touches are read, and only what it makes is written.
pub struct TreeFiles<'a> {
    tree: Dir,
    source: &'a dyn ObjectSource,
    sink: &'a dyn ObjectSink,
}

impl<'a> TreeFiles<'a> {
    /// The files of `tree`.
    #[must_use]
    pub fn new(tree: Dir, source: &'a dyn ObjectSource, sink: &'a dyn ObjectSink) -> Self {
        Self { tree, source, sink }
    }

    /// The tree as it is now.
    #[must_use]
    pub fn into_tree(self) -> Dir {
        self.tree
    }
}

impl Files for TreeFiles<'_> {
    fn read(&self, path: &TreePath) -> Result<Option<Content>, FilesError> {
        let content = match self.tree.get(path) {
            None => return Ok(None),
            Some(Entry::File(file)) if file.size > LARGEST => return Err(FilesError::Large(path.clone())),
            Some(Entry::File(file)) => {
                let bytes = self.source.read(&file.object).map_err(|e| FilesError::Object(path.clone(), e))?;
                Content { bytes, executable: file.is_executable(), link: false }
            }
            Some(Entry::Symlink(link)) => {
                Content { bytes: link.target.as_bytes().to_vec(), executable: false, link: true }
            }
            Some(other) => return Err(FilesError::Kind(path.clone(), other.kind())),
        };
        Ok(Some(content))
    }

    fn write(&mut self, path: &TreePath, content: &Content) -> Result<(), FilesError> {
        let entry = if content.link {
            Entry::Symlink(SymlinkEntry::plain(link_target(path, &content.bytes)?))
        } else {
            let object = self.sink.put(&content.bytes).map_err(|e| FilesError::Object(path.clone(), e))?;
            Entry::File(FileEntry::plain(object, content.bytes.len() as u64, content.executable))
        };
        match self.tree.insert(path, entry) {
            Ok(_) => Ok(()),
            Err(InsertError::NotADirectory(..) | InsertError::Root | InsertError::Path(_)) => {
                Err(FilesError::Link(path.clone()))
            }
        }
    }

    fn remove(&mut self, path: &TreePath) -> Result<(), FilesError> {
        self.tree.remove(path);
        let mut above = path.parent();
        while let Some(folder) = above.filter(|f| !f.is_root() && self.tree.dir(f).is_some_and(Dir::is_empty)) {
            self.tree.remove(&folder);
            above = folder.parent();
        }
        Ok(())
    }
}

/// A folder on disk that nobody else changes meanwhile.
#[derive(Debug)]
pub struct FolderFiles {
    root: PathBuf,
}

impl FolderFiles {
    /// The files below `root`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The place of `path` on disk, once every folder on the way is known to be one. None when one is missing.
    fn place(&self, path: &TreePath, make: bool) -> Result<Option<PathBuf>, FilesError> {
        let mut at = self.root.clone();
        let parent = path.parent().unwrap_or_default();
        for part in parent.components() {
            at.push(part);
            match std::fs::symlink_metadata(&at) {
                Ok(found) if found.is_dir() => {}
                Ok(_) => return Err(FilesError::Link(path.clone())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if !make {
                        return Ok(None);
                    }
                    std::fs::create_dir(&at).map_err(|e| failed("create", &at, e))?;
                }
                Err(error) => return Err(failed("look at", &at, error)),
            }
        }
        at.push(path.file_name().unwrap_or_default());
        Ok(Some(at))
    }
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> FilesError {
    FilesError::Io { action, path: path.to_owned(), source }
}

impl Files for FolderFiles {
    fn read(&self, path: &TreePath) -> Result<Option<Content>, FilesError> {
        let Some(place) = self.place(path, false)? else { return Ok(None) };
        let found = match std::fs::symlink_metadata(&place) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("look at", &place, error)),
        };
        if found.is_symlink() {
            let target = std::fs::read_link(&place).map_err(|e| failed("read", &place, e))?;
            let bytes = std::os::unix::ffi::OsStringExt::into_vec(target.into_os_string());
            return Ok(Some(Content { bytes, executable: false, link: true }));
        }
        if !found.is_file() {
            return Err(FilesError::Kind(path.clone(), if found.is_dir() { "directory" } else { "device" }));
        }
        if found.len() > LARGEST {
            return Err(FilesError::Large(path.clone()));
        }
        let bytes = std::fs::read(&place).map_err(|e| failed("read", &place, e))?;
        Ok(Some(Content { bytes, executable: found.mode() & 0o100 != 0, link: false }))
    }

    fn write(&mut self, path: &TreePath, content: &Content) -> Result<(), FilesError> {
        let place = self.place(path, true)?.ok_or_else(|| FilesError::Link(path.clone()))?;
        // The old file goes first: it may be a link, or one of several names of a file.
        match std::fs::remove_file(&place) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("replace", &place, error)),
        }
        if content.link {
            let target = link_target(path, &content.bytes)?;
            return std::os::unix::fs::symlink(target, &place).map_err(|e| failed("create", &place, e));
        }
        std::fs::write(&place, &content.bytes).map_err(|e| failed("write", &place, e))?;
        let mode = if content.executable { 0o755 } else { 0o644 };
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&place, permissions).map_err(|e| failed("change the mode of", &place, e))
    }

    fn remove(&mut self, path: &TreePath) -> Result<(), FilesError> {
        let Some(place) = self.place(path, false)? else { return Ok(()) };
        std::fs::remove_file(&place).map_err(|e| failed("remove", &place, e))?;
        let mut above = place.parent();
        while let Some(folder) = above.filter(|folder| *folder != self.root) {
            // A folder that is not empty stays, and so do those above it.
            if std::fs::remove_dir(folder).is_err() {
                break;
            }
            above = folder.parent();
        }
        Ok(())
    }
}
