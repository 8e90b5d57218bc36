//! A folder of the project as a source: the files that Git tracks in it, and those that it would if asked to (new and not
//! ignored). What is ignored (build results, editors' files) is no part of it, and neither is `.git`. What is neither
//! ignored nor can be kept, such as a pipe, is an error.
//!
//! The content is read and hashed on every run, for it is the key; nothing is stored unless the key is new.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kiln_model::{ActionKey, Dir, Hasher, KeyBuilder, ObjectError, ObjectId, ObjectSink, ObjectWriter};
use kiln_store::ActionResult;

use super::git::{Git, GitError};
use super::tree_result;
use crate::disk::{Fault, FaultKind, IngestError, ingest_files};
use crate::graph::{Action, ActionError, Context, Inputs, NodeId};

/// Why a folder cannot be a source.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Git cannot list it.
    #[error("cannot list the files of `{}`", .path.display())]
    List {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: GitError,
    },
    /// It cannot be read, or holds what no source may hold.
    #[error("`{}` cannot be a source", .path.display())]
    Ingest {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: IngestError,
    },
    /// Another repository is in it.
    #[error("`{}` holds the repository `{inner}`", .path.display())]
    Repository {
        /// The folder.
        path: PathBuf,
        /// The other repository, below it.
        inner: String,
    },
    /// Somewhere on the way to it is a symbolic link.
    #[error("`{}` is a symbolic link, so what is behind it is no part of the repository", .0.display())]
    Link(PathBuf),
    /// Nothing is in it.
    #[error("`{}` has no file that Git tracks or would track", .0.display())]
    Empty(PathBuf),
    /// It changed while it was read.
    #[error("`{}` was changed while it was read", .0.display())]
    Changed(PathBuf),
}

impl FolderError {
    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::List { source, .. } => source.hint(),
            Self::Repository { inner, .. } => Some(format!("make `{inner}` a source of its own: `git: {inner}`")),
            Self::Link(_) => Some("put the folder itself there; `git add` keeps a link as a link".to_owned()),
            Self::Empty(_) => Some("perhaps `.gitignore` covers it".to_owned()),
            Self::Changed(_) => Some("run it again".to_owned()),
            Self::Ingest { source, .. } => source.hint(),
        }
    }
}

impl From<FolderError> for ActionError {
    fn from(error: FolderError) -> Self {
        let hint = error.hint();
        Self::new(error).with_hint(hint)
    }
}

/// Reads a folder of the project. The result has the tree [`super::TREE`].
pub struct FolderAction {
    /// What it is, for messages: the path from the project's root.
    pub name: String,
    /// The folder.
    pub folder: PathBuf,
    /// The Git to ask.
    pub git: Arc<Git>,
}

impl FolderAction {
    /// The first part of the path below the project that is a symbolic link.
    fn link(&self) -> Option<PathBuf> {
        let below = Path::new(&self.name).components().count();
        let mut parts: Vec<&Path> = self.folder.ancestors().take(below).collect();
        parts.reverse();
        parts.into_iter().find(|part| part.is_symlink()).map(Path::to_owned)
    }

    fn read(&self, objects: &dyn ObjectSink, jobs: NonZeroUsize) -> Result<Dir, FolderError> {
        if let Some(link) = self.link() {
            return Err(FolderError::Link(link));
        }
        let arguments = ["ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate", "-z"];
        let listed = self.git.output(Some(&self.folder), &arguments);
        let listed = listed.map_err(|source| FolderError::List { path: self.folder.clone(), source })?;
        let mut files = Vec::new();
        for name in listed.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            let place = self.folder.join(OsString::from_vec(name.to_vec()));
            match std::fs::symlink_metadata(&place) {
                // A submodule, or a repository that is no submodule: Git names only its folder.
                Ok(found) if found.is_dir() => {
                    let inner = String::from_utf8_lossy(name).trim_end_matches('/').to_owned();
                    return Err(FolderError::Repository { path: self.folder.clone(), inner });
                }
                // Tracked, and deleted in the working tree.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                _ => files.push(name.to_vec()),
            }
        }
        let overlooked = self.overlooked(&files)?;
        if !overlooked.is_empty() {
            let source = IngestError::Faults(overlooked);
            return Err(FolderError::Ingest { path: self.folder.clone(), source });
        }
        if files.is_empty() {
            return Err(FolderError::Empty(self.folder.clone()));
        }
        let ingested = ingest_files(&self.folder, &files, objects, jobs);
        Ok(ingested.map_err(|source| FolderError::Ingest { path: self.folder.clone(), source })?.tree)
    }
}

impl FolderAction {
    /// What Git passes over without a word though nothing says that it should: pipes, sockets and devices, and folders
    /// that cannot be read.
    fn overlooked(&self, files: &[Vec<u8>]) -> Result<Vec<Fault>, FolderError> {
        let parent = |name: &[u8]| name.iter().rposition(|byte| *byte == b'/').map(|at| name[..at].to_vec());
        // Folders that hold what Git lists; what is in others it ignores or has not seen.
        let mut known: BTreeSet<Vec<u8>> = BTreeSet::new();
        for file in files {
            let mut next = parent(file);
            while let Some(folder) = next {
                next = parent(&folder);
                if !known.insert(folder) {
                    break;
                }
            }
        }
        let mut level: Vec<Vec<u8>> = known.into_iter().chain([Vec::new()]).collect();
        let seen: BTreeSet<Vec<u8>> = level.iter().cloned().collect();
        let mut faults = Vec::new();
        while !level.is_empty() {
            let mut found: Vec<(Vec<u8>, Option<FaultKind>)> = Vec::new();
            for folder in level {
                let place = self.folder.join(OsStr::from_bytes(&folder));
                let Ok(entries) = std::fs::read_dir(place) else {
                    found.push((folder, Some(FaultKind::Unreadable)));
                    continue;
                };
                for entry in entries.filter_map(Result::ok) {
                    let name = entry.file_name().into_encoded_bytes();
                    let path = if folder.is_empty() { name.clone() } else { [&*folder, &*name].join(&b'/') };
                    match entry.file_type() {
                        Ok(kind) if kind.is_file() || kind.is_symlink() => {}
                        Ok(kind) if kind.is_dir() && (name == b".git" || seen.contains(&path)) => {}
                        Ok(kind) if kind.is_dir() => found.push((path, None)),
                        Ok(kind) => found.push((path, Some(FaultKind::of_special(kind)))),
                        Err(_) => {}
                    }
                }
            }
            let ignored = self.ignored(&found)?;
            level = Vec::new();
            for (path, kind) in found.into_iter().filter(|(path, _)| !ignored.contains(path)) {
                match kind {
                    Some(kind) => faults.push(Fault { path: path.escape_ascii().to_string(), kind }),
                    None => level.push(path),
                }
            }
        }
        faults.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(faults)
    }

    /// Which of them Git is told to ignore.
    fn ignored(&self, found: &[(Vec<u8>, Option<FaultKind>)]) -> Result<BTreeSet<Vec<u8>>, FolderError> {
        if found.is_empty() {
            return Ok(BTreeSet::new());
        }
        let names: Vec<&OsStr> = found.iter().map(|(path, _)| OsStr::from_bytes(path)).collect();
        let listed = self.git.check_ignore(&self.folder, &names);
        let listed = listed.map_err(|source| FolderError::List { path: self.folder.clone(), source })?;
        Ok(listed.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect())
    }
}

impl Action for FolderAction {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn verb(&self) -> &'static str {
        "Reading"
    }

    fn dependencies(&self) -> Vec<NodeId> {
        Vec::new()
    }

    fn key(&self, _: &Inputs) -> Result<ActionKey, ActionError> {
        let tree = self.read(&HashOnly, NonZeroUsize::MIN)?;
        Ok(KeyBuilder::new("source.folder/1").field("tree", tree.id().0.as_bytes()).finish())
    }

    fn run(&self, context: &Context<'_>, _: &Inputs) -> Result<ActionResult, ActionError> {
        let tree = self.read(context.session, context.jobs)?;
        let key = KeyBuilder::new("source.folder/1").field("tree", tree.id().0.as_bytes()).finish();
        if key != context.key {
            return Err(FolderError::Changed(self.folder.clone()).into());
        }
        tree_result(context.session, &tree)
    }
}

/// Takes objects only to name them.
struct HashOnly;

impl ObjectSink for HashOnly {
    fn put(&self, bytes: &[u8]) -> Result<ObjectId, ObjectError> {
        Ok(ObjectId::of(bytes))
    }

    fn writer(&self) -> Result<Box<dyn ObjectWriter + '_>, ObjectError> {
        Ok(Box::new(HashWriter::default()))
    }
}

#[derive(Default)]
struct HashWriter {
    hasher: Hasher,
    size: u64,
}

impl Write for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ObjectWriter for HashWriter {
    fn finish(self: Box<Self>) -> Result<(ObjectId, u64), ObjectError> {
        Ok((ObjectId(self.hasher.finish()), self.size))
    }
}
