//! A project on disk: its files read, its state in Git, its lock.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kiln_model::diagnostic::Diagnostics;
use kiln_model::lock::{self, LOCK_FILE, Lock};
use kiln_model::project::{
    FileKind, Files, IMAGES, LoadedProject, PACKAGES, PROJECT_FILE, ProjectPath, RULES, parse_project_tree,
    wanted_files,
};

use crate::git::{self, GitError, GitState};

/// Larger project files are refused unread: nobody writes a recipe of a megabyte.
const MOST_BYTES: u64 = 1 << 20;

/// A project with everything its folder says.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// The project's folder.
    pub folder: PathBuf,
    /// Its files, read and checked.
    pub project: LoadedProject,
    /// Its state in Git.
    pub git: GitState,
    /// The text of `kiln.lock`; none before the first `kiln lock`. Bytes that are no text are U+FFFD, which reading the
    /// lock refuses.
    pub lock_text: Option<Arc<str>>,
    /// What that text says, or what is wrong with it.
    pub lock: Option<Result<Arc<Lock>, Diagnostics>>,
}

/// Why a project cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// A file cannot be read.
    #[error("cannot read `{}`", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is too large to be what it should be.
    #[error("`{}` is larger than {MOST_BYTES} bytes", .0.display())]
    Large(PathBuf),
    /// There is no folder.
    #[error("there is no folder `{}`", .0.display())]
    NoFolder(PathBuf),
    /// The folder is no project.
    #[error("there is no `{PROJECT_FILE}` in `{}`, so it is not a project", .0.display())]
    NoProject(PathBuf),
    /// A link of the project's that leads Kiln to its files: Git keeps the link, not what is behind it.
    #[error("`{}` is a symbolic link, so what is behind it is no part of the repository", .0.display())]
    Link(PathBuf),
    /// Git cannot tell.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The project's files are wrong.
    #[error("the project has errors")]
    Project(Box<Diagnostics>),
}

impl WorkspaceError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Git(error) => Some(error.hint()),
            Self::NoFolder(_) => {
                Some("give the folder of a project, or the name of an image in the project here".to_owned())
            }
            Self::NoProject(folder) => {
                Some(format!("give the folder of a project, or make one: `kiln init {}`", folder.display()))
            }
            Self::Link(_) => Some("put the folder itself there; `git add` keeps a link as a link".to_owned()),
            Self::Large(_) => {
                Some("a project's own files are written by people; put data under another name".to_owned())
            }
            Self::Read { .. } | Self::Project(_) => None,
        }
    }
}

/// Which files there are, asked from the disk one by one.
struct Disk<'a>(&'a Path);

impl Files for Disk<'_> {
    fn kind(&self, path: &ProjectPath) -> Option<FileKind> {
        let metadata = std::fs::metadata(self.0.join(path.as_str())).ok()?;
        Some(if metadata.is_dir() { FileKind::Folder } else { FileKind::File })
    }

    fn beside(&self, path: &ProjectPath) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.0.join(path.folder().as_str())) else { return Vec::new() };
        entries.take(10_000).filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
    }
}

impl Workspace {
    /// Reads the project in `folder`.
    ///
    /// # Errors
    /// When it is not in a Git repository, cannot be read, or has errors: then all of them.
    pub fn read(folder: &Path) -> Result<Self, WorkspaceError> {
        if !folder.is_dir() {
            return Err(WorkspaceError::NoFolder(folder.to_owned()));
        }
        if ![PROJECT_FILE, "kiln.yml"].iter().any(|name| folder.join(name).exists()) {
            return Err(WorkspaceError::NoProject(folder.to_owned()));
        }
        // Git takes a few milliseconds, most of them waiting, and the lock of a large project is long.
        std::thread::scope(|scope| {
            let git = scope.spawn(|| git::state(folder));
            let lock = scope.spawn(|| read_lock(folder));
            let texts = read_texts(folder)?;
            let named = texts.iter().map(|(path, text)| (path.as_str(), text.as_str()));
            let project =
                parse_project_tree(named, &Disk(folder)).map_err(|faults| WorkspaceError::Project(Box::new(faults)))?;
            let lock = lock.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            let git = git.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            let (lock_text, lock) = lock.unzip();
            Ok(Self { folder: folder.to_owned(), project, git, lock_text, lock })
        })
    }
}

type ReadLock = (Arc<str>, Result<Arc<Lock>, Diagnostics>);

/// The lock's text, and what it says.
fn read_lock(folder: &Path) -> Result<Option<ReadLock>, WorkspaceError> {
    let Some(bytes) = bytes(&folder.join(LOCK_FILE), u64::MAX)? else { return Ok(None) };
    let text: Arc<str> = String::from_utf8_lossy(&bytes).into();
    let lock = lock::parse(&text).map(Arc::new);
    Ok(Some((text, lock)))
}

/// The texts of the files that make a project, by path.
fn read_texts(folder: &Path) -> Result<Vec<(String, String)>, WorkspaceError> {
    let mut paths = vec![PROJECT_FILE.to_owned(), "kiln.yml".to_owned()];
    for (below, deep) in [(PACKAGES, true), (IMAGES, false), ("builders", false), (RULES, false)] {
        let entries = match std::fs::read_dir(folder.join(below)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(WorkspaceError::Read { path: folder.join(below), source }),
        };
        for entry in entries {
            let entry = entry.map_err(|source| WorkspaceError::Read { path: folder.join(below), source })?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = format!("{below}/{name}");
            if deep && entry.file_type().is_ok_and(|kind| kind.is_symlink()) && folder.join(&path).is_dir() {
                return Err(WorkspaceError::Link(folder.join(path)));
            }
            if deep && !wanted_files(&path) {
                paths.push(format!("{path}/package.yaml"));
                paths.push(format!("{path}/package.yml"));
            }
            paths.push(path);
        }
    }
    paths.retain(|path| wanted_files(path));
    paths.sort();
    let mut texts = Vec::with_capacity(paths.len());
    for path in paths {
        if let Some(bytes) = bytes(&folder.join(&path), MOST_BYTES)? {
            texts.push((path, String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
    Ok(texts)
}

/// The bytes of a file; none when it is not there.
fn bytes(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, WorkspaceError> {
    let wrap = |source| WorkspaceError::Read { path: path.to_owned(), source };
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > limit => return Err(WorkspaceError::Large(path.to_owned())),
        Ok(_) => {}
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(source) => return Err(wrap(source)),
    }
    std::fs::read(path).map(Some).map_err(wrap)
}
