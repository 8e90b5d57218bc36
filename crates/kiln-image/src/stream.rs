//! A tree as a stream of tar entries, straight from objects.
//!
//! Entries come parents first, in byte order of names within a directory, beginning with the root itself as `./`, so that
//! its mode is the image's and not whatever a client takes. Owners are numbers, times one constant. Of hard linked files
//! the first in this order carries the content and the others are links to it. Each object is read to its
//! end, where its source answers for its bytes: a damaged store stops the image instead of going into it. At any time one buffer of [`BUFFER`] bytes holds content.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::io::{self, Read, Write};

use kiln_archive::{Kind, tar};
use kiln_model::{Device, Dir, Entry, FileEntry, Meta, ObjectError, ObjectId, ObjectSource, TreePath};

use crate::LayerError;

/// The size of buffers that content goes through.
pub(crate) const BUFFER: usize = 128 << 10;

/// What names a layer must not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// Any.
    All,
    /// None that begins with `.wh.`: in a layer that would remove a file of the layers below.
    NoWhiteouts,
}

/// Writes `tree` as a tar archive.
pub(crate) fn write_tree<W: Write>(
    tree: &Dir,
    objects: &dyn ObjectSource,
    names: Names,
    out: W,
) -> Result<W, LayerError> {
    let mut writer = tar::Writer::new(out);
    let root = entry(TreePath::root(), Kind::Directory, tree.meta());
    writer.add_empty(&root).map_err(LayerError::Write)?;
    let mut links = Links::default();
    for (path, found) in tree.walk() {
        if names == Names::NoWhiteouts && path.file_name().is_some_and(|name| name.starts_with(".wh.")) {
            return Err(LayerError::ReservedName(path));
        }
        let kind = match found {
            Entry::Dir(_) => Kind::Directory,
            Entry::Symlink(link) => Kind::Symlink(link.target.to_string()),
            Entry::Device(Device::Character { major, minor }, _) => Kind::Character { major: *major, minor: *minor },
            Entry::Device(Device::Block { major, minor }, _) => Kind::Block { major: *major, minor: *minor },
            Entry::Device(Device::Fifo, _) => Kind::Fifo,
            Entry::File(file) => match links.first(&path, file) {
                Some(first) => Kind::Hardlink(first),
                None => {
                    add_file(&mut writer, objects, &path, file)?;
                    continue;
                }
            },
        };
        let mut entry = entry(path, kind, found.meta());
        if matches!(entry.kind, Kind::Hardlink(_)) {
            // They belong to the inode, and were given with its first name.
            entry.xattrs.clear();
        }
        writer.add_empty(&entry).map_err(LayerError::Write)?;
    }
    writer.finish().map_err(LayerError::Write)
}

fn add_file<W: Write>(
    writer: &mut tar::Writer<W>,
    objects: &dyn ObjectSource,
    path: &TreePath,
    file: &FileEntry,
) -> Result<(), LayerError> {
    let unreadable = |source| LayerError::Object { path: path.clone(), source };
    let mut object = ObjectReader::open(objects, file.object, file.size).map_err(unreadable)?;
    let mut entry = entry(path.clone(), Kind::File, &file.meta);
    entry.size = file.size;
    writer.add(&entry, &mut object).map_err(|error| object.fault().map_or(LayerError::Write(error), unreadable))
}

fn entry(path: TreePath, kind: Kind, meta: &Meta) -> kiln_archive::Entry {
    let mut entry = kiln_archive::Entry::new(path, kind);
    (entry.mode, entry.uid, entry.gid) = (meta.mode, meta.uid, meta.gid);
    entry.xattrs.clone_from(&meta.xattrs);
    entry
}

/// The first name of each hard linked file of a tree.
#[derive(Default)]
pub(crate) struct Links<'a>(BTreeMap<(ObjectId, &'a Meta), TreePath>);

impl<'a> Links<'a> {
    /// The name that came first for the inode of `file`, or nothing when `path` is that name.
    pub(crate) fn first(&mut self, path: &TreePath, file: &'a FileEntry) -> Option<TreePath> {
        if !file.hardlinked {
            return None;
        }
        match self.0.entry((file.object, &file.meta)) {
            Slot::Occupied(first) => Some(first.get().clone()),
            Slot::Vacant(slot) => {
                slot.insert(path.clone());
                None
            }
        }
    }
}

/// Reads an object of a known size to its end, so that the source tells when it is not the one that was asked for.
pub(crate) struct ObjectReader {
    inner: Box<dyn Read + Send>,
    object: ObjectId,
    left: u64,
    ended: bool,
    fault: Option<ObjectError>,
}

impl ObjectReader {
    /// Opens an object of a known size.
    pub(crate) fn open(objects: &dyn ObjectSource, object: ObjectId, size: u64) -> Result<Self, ObjectError> {
        let inner = objects.open(&object)?;
        Ok(Self { inner, object, left: size, ended: false, fault: None })
    }

    /// What is wrong with the object, after a read failed. Nothing when it was not the reading.
    pub(crate) fn fault(self) -> Option<ObjectError> {
        self.fault
    }

    fn fail(&mut self, fault: ObjectError) -> io::Error {
        self.fault = Some(fault);
        io::Error::from(io::ErrorKind::InvalidData)
    }

    fn part(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            _ => self.fail(error.into()),
        })
    }

    fn end(&mut self, more: usize) -> io::Result<()> {
        if more > 0 {
            return Err(self.fail(ObjectError::Damaged(self.object)));
        }
        self.ended = true;
        Ok(())
    }
}

impl Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let mut read = 0;
        if self.left > 0 {
            read = self.part(&mut buffer[..wanted])?;
            if read == 0 {
                return Err(self.fail(ObjectError::Damaged(self.object)));
            }
        }
        self.left -= read as u64;
        if self.left == 0 && !self.ended {
            // What comes after the end is how the source says that all before was right.
            while let Err(error) = self.part(&mut [0; 1]).and_then(|more| self.end(more)) {
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
        Ok(read)
    }
}
