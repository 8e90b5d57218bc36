//! Listing what a store holds, for gc, fsck and sizes. Names that the store does not write are told apart.

use kiln_model::Digest;

use crate::files::{Files, Result};
use crate::layout;

/// A file of a folder with fan-out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) at: String,
    pub(crate) what: Name,
}

/// What its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    /// Named by a digest.
    Plain(Digest),
    /// An object's executable inode.
    Executable(Digest),
    /// Nothing the store writes.
    Foreign,
}

/// Calls `each` for every file in a folder with fan-out, in order of digests. One directory is held in memory at a time.
pub(crate) fn each<E>(
    files: &Files,
    folder: &str,
    mut each: impl FnMut(Found) -> std::result::Result<(), E>,
) -> std::result::Result<(), E>
where
    E: From<crate::FileError>,
{
    for outer in files.names(folder)? {
        let at = format!("{folder}/{outer}");
        let is_directory =
            files.look(&at)?.is_some_and(|stat| crate::files::kind(&stat) == rustix::fs::FileType::Directory);
        if !is_directory || layout::parse(&outer, &"0".repeat(62)).is_none() {
            each(Found { at, what: Name::Foreign })?;
            continue;
        }
        for inner in files.names(&at)? {
            let what = match (layout::parse(&outer, &inner), inner.strip_suffix(".x")) {
                (Some(digest), _) => Name::Plain(digest),
                (None, Some(stem)) if folder == layout::OBJECTS => {
                    layout::parse(&outer, stem).map_or(Name::Foreign, Name::Executable)
                }
                _ => Name::Foreign,
            };
            each(Found { at: format!("{at}/{inner}"), what })?;
        }
    }
    Ok(())
}

/// A number of files and their length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    /// How many.
    pub count: u64,
    /// Bytes on the disk. A file that several names lead to counts once, as an object.
    pub bytes: u64,
}

impl Size {
    /// Counts one more.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

impl std::ops::AddAssign for Size {
    fn add_assign(&mut self, other: Self) {
        self.count += other.count;
        self.bytes += other.bytes;
    }
}

/// What a store takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Objects.
    pub objects: Size,
    /// Executable inodes of objects.
    pub executables: Size,
    /// Trees.
    pub trees: Size,
    /// Results of actions.
    pub actions: Size,
    /// Logs.
    pub logs: Size,
    /// Checkouts: how many, and what they hold beyond links to objects.
    pub checkouts: Size,
    /// Files of sessions, alive or dead.
    pub staging: Size,
}

impl Usage {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> Size {
        let mut total = Size::default();
        for part in [self.objects, self.executables, self.trees, self.actions, self.logs, self.checkouts, self.staging]
        {
            total += part;
        }
        total
    }
}

/// What a file takes on the disk.
pub(crate) fn bytes_of(stat: &crate::files::Stat) -> u64 {
    stat.st_blocks as u64 * 512
}

/// What the files below a folder take that have no name elsewhere.
pub(crate) fn own_bytes(files: &Files, at: &str) -> Result<Size> {
    let mut size = Size::default();
    let mut todo = vec![at.to_owned()];
    while let Some(at) = todo.pop() {
        let Some(stat) = files.look(&at)? else { continue };
        if crate::files::kind(&stat) == rustix::fs::FileType::Directory {
            size.bytes += bytes_of(&stat);
            todo.extend(files.names(&at)?.into_iter().map(|name| format!("{at}/{name}")));
        } else if stat.st_nlink == 1 {
            size.add(bytes_of(&stat));
        }
    }
    Ok(size)
}

impl crate::Store {
    /// What the store takes. Others may work meanwhile; then it is a glimpse.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn usage(&self) -> Result<Usage> {
        let files = self.files();
        let mut usage = Usage::default();
        let folders = [layout::OBJECTS, layout::TREES, layout::ACTIONS, layout::LOGS];
        for folder in folders {
            each(files, folder, |found| {
                let Some(stat) = files.look(&found.at)? else { return Ok(()) };
                let part = match (folder, found.what) {
                    (layout::OBJECTS, Name::Executable(_)) => &mut usage.executables,
                    (layout::OBJECTS, _) => &mut usage.objects,
                    (layout::TREES, _) => &mut usage.trees,
                    (layout::ACTIONS, _) => &mut usage.actions,
                    _ => &mut usage.logs,
                };
                part.add(bytes_of(&stat));
                Ok::<(), crate::FileError>(())
            })?;
        }
        for name in files.names(layout::CHECKOUTS)? {
            usage.checkouts.add(own_bytes(files, &format!("{}/{name}", layout::CHECKOUTS))?.bytes);
        }
        for name in files.names(layout::STAGING)? {
            usage.staging += own_bytes(files, &format!("{}/{name}", layout::STAGING))?;
        }
        Ok(usage)
    }
}
