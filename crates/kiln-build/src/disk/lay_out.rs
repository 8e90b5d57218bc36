//! A tree as a folder of its own, writable, every time the same.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use kiln_model::{Dir, Entry, FileEntry, ObjectError, ObjectSource, SOURCE_DATE_EPOCH};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

/// Why a tree cannot be written out.
#[derive(Debug, thiserror::Error)]
pub enum LayOutError {
    /// The tree is not plain.
    #[error("`{path}` is a {kind}, which a build cannot be given")]
    Kind {
        /// Where in the tree.
        path: String,
        /// What it is.
        kind: &'static str,
    },
    /// An object cannot be read.
    #[error("cannot read the content of `{}`", .path.display())]
    Object {
        /// The file it was for.
        path: PathBuf,
        /// Why.
        #[source]
        source: ObjectError,
    },
    /// The disk says no.
    #[error("cannot write `{}`", .path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl LayOutError {
    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("the disk is full: `kiln gc` makes room".to_owned())
            }
            Self::Object { .. } => Some("`kiln fsck --repair` finds and mends damage of the store".to_owned()),
            _ => None,
        }
    }
}

fn failed(path: &Path, source: io::Error) -> LayOutError {
    LayOutError::Io { path: path.to_owned(), source }
}

/// Writes `tree` into `root`, which must be missing, with `jobs` threads. All files belong to the caller, may be written,
/// and have the one time stamp.
///
/// # Errors
/// When the tree has special files, when objects are missing, or when the disk does not take it. What was written by then
/// is left for the caller to remove.
pub fn lay_out(tree: &Dir, objects: &dyn ObjectSource, root: &Path, jobs: NonZeroUsize) -> Result<(), LayOutError> {
    make_directory(root)?;
    let mut directories = vec![root.to_owned()];
    let mut files: Vec<(PathBuf, &FileEntry)> = Vec::new();
    for (path, entry) in tree.walk() {
        let place = root.join(path.as_str());
        match entry {
            Entry::Dir(_) => {
                make_directory(&place)?;
                directories.push(place);
            }
            Entry::File(file) => files.push((place, file)),
            Entry::Symlink(link) => {
                symlink(&*link.target, &place).map_err(|error| failed(&place, error))?;
                set_time(&place)?;
            }
            Entry::Device(..) => return Err(LayOutError::Kind { path: path.to_string(), kind: entry.kind() }),
        }
    }
    let next = AtomicUsize::new(0);
    let error: Mutex<Option<LayOutError>> = Mutex::new(None);
    let work = || {
        while let Some((place, file)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(fault) = write_file(place, file, objects) {
                error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
                next.store(files.len(), Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..jobs.get().min(files.len().div_ceil(64)) {
            scope.spawn(work);
        }
        work();
    });
    if let Some(error) = error.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    // Last, since every file written changed its directory's time.
    directories.iter().rev().try_for_each(|directory| set_time(directory))
}

fn make_directory(place: &Path) -> Result<(), LayOutError> {
    fs::DirBuilder::new().mode(0o755).create(place).map_err(|error| failed(place, error))?;
    // The caller's umask took bits away.
    fs::set_permissions(place, fs::Permissions::from_mode(0o755)).map_err(|error| failed(place, error))
}

fn write_file(place: &Path, file: &FileEntry, objects: &dyn ObjectSource) -> Result<(), LayOutError> {
    let mode = if file.is_executable() { 0o755 } else { 0o644 };
    let reading = |source| LayOutError::Object { path: place.to_owned(), source };
    let mut input = objects.open(&file.object).map_err(reading)?;
    let mut output: File =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(place).map_err(|error| failed(place, error))?;
    let copied = io::copy(&mut input, &mut output).map_err(|error| failed(place, error))?;
    if copied != file.size {
        return Err(reading(ObjectError::Damaged(file.object)));
    }
    output.set_permissions(fs::Permissions::from_mode(mode)).map_err(|error| failed(place, error))?;
    drop(output);
    set_time(place)
}

fn set_time(place: &Path) -> Result<(), LayOutError> {
    let stamp = Timespec { tv_sec: SOURCE_DATE_EPOCH as i64, tv_nsec: 0 };
    let times = Timestamps { last_access: stamp, last_modification: stamp };
    utimensat(CWD, place, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(|error| failed(place, error.into()))
}
