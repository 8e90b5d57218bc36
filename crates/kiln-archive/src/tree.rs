//! An archive of sources straight into objects and a plain tree, without a disk in between.

use std::collections::BTreeMap;
use std::io::{self, Read};

use kiln_model::{Dir, FileEntry, ObjectError, ObjectId, ObjectSink, SymlinkEntry, TreePath};

use crate::extract::{ExtractError, Options, Strip, check_links};
use crate::{Archive, BUFFER, Kind};

/// Up to this size a file is held in memory and stored in one go.
const SMALL: u64 = 1 << 20;

/// Why a content cannot be stored: reading or writing.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be read.
    #[error(transparent)]
    Read(io::Error),
    /// It cannot be written.
    #[error(transparent)]
    Object(ObjectError),
}

/// Stores a content of `size` bytes as an object. A small one is stored in one go, a large one piece by piece.
///
/// # Errors
/// When it cannot be read or written.
pub fn store(content: &mut dyn Read, size: u64, objects: &dyn ObjectSink) -> Result<ObjectId, StoreError> {
    let mut buffer = Vec::new();
    if size <= SMALL {
        buffer.reserve_exact(size as usize);
        content.take(size).read_to_end(&mut buffer).map_err(StoreError::Read)?;
        return objects.put(&buffer).map_err(StoreError::Object);
    }
    buffer.resize(BUFFER, 0);
    let mut writer = objects.writer().map_err(StoreError::Object)?;
    loop {
        let read = content.read(&mut buffer).map_err(StoreError::Read)?;
        if read == 0 {
            return writer.finish().map(|(id, _)| id).map_err(StoreError::Object);
        }
        writer.write_all(&buffer[..read]).map_err(|error| StoreError::Object(error.into()))?;
    }
}

/// Reads `archive` into a plain tree: modes 0644 and 0755, owners and times dropped, a hard link a second file with the
/// same object. The rules are those of [`crate::extract::extract`].
///
/// # Errors
/// As there, and when an object cannot be written.
pub fn read(archive: &mut dyn Archive, objects: &dyn ObjectSink, options: &Options) -> Result<Dir, ExtractError> {
    let mut root = Dir::default();
    let mut links = BTreeMap::new();
    while let Some(mut entry) = archive.next_entry()? {
        let Some(path) = options.strip.apply(&entry.path) else { continue };
        let shown = entry.path.to_string();
        if let Kind::Hardlink(target) = &entry.kind {
            let source = options.strip.apply(target).filter(|source| *source != path);
            match source.and_then(|source| root.get(&source).cloned()) {
                Some(kiln_model::Entry::File(file)) => place(&mut root, &path, kiln_model::Entry::File(file), &shown)?,
                Some(kiln_model::Entry::Symlink(link)) => entry.kind = Kind::Symlink(link.target.into_string()),
                _ => return Err(ExtractError::MissingTarget { entry: shown, target: target.to_string() }),
            }
        }
        let new = match entry.kind {
            Kind::Directory => {
                make_dir(&mut root, &path, &shown)?;
                links.remove(path.as_str());
                continue;
            }
            Kind::Hardlink(_) => {
                links.remove(path.as_str());
                continue;
            }
            Kind::File => {
                let object = store(&mut *archive.content()?, entry.size, objects).map_err(|error| match error {
                    StoreError::Read(error) => ExtractError::Read(error.into()),
                    StoreError::Object(source) => ExtractError::Object { entry: shown.clone(), source },
                })?;
                links.remove(path.as_str());
                kiln_model::Entry::File(FileEntry::plain(object, entry.size, entry.mode & 0o100 != 0))
            }
            Kind::Symlink(target) => {
                links.insert(path.as_str().to_owned(), target.clone());
                kiln_model::Entry::Symlink(SymlinkEntry::plain(target))
            }
            Kind::Character { .. } | Kind::Block { .. } | Kind::Fifo => {
                return Err(ExtractError::Device { entry: shown, kind: entry.kind.name() });
            }
        };
        place(&mut root, &path, new, &shown)?;
    }
    let top = match (options.strip, root.entries().next()) {
        (Strip::SingleFolder, Some((name, kiln_model::Entry::Dir(dir)))) if root.entries().len() == 1 => {
            Some((name.to_owned(), Dir::clone(dir)))
        }
        _ => None,
    };
    let (prefix, root) = top.map_or((String::new(), root.clone()), |(name, dir)| (name + "/", dir));
    check_links(&links, &prefix, options.links)?;
    if root.is_empty() && matches!(options.strip, Strip::Folders(1..)) {
        return Err(ExtractError::NothingLeft);
    }
    Ok(root)
}

fn make_dir(root: &mut Dir, path: &TreePath, shown: &str) -> Result<(), ExtractError> {
    if root.get(path).is_some_and(|entry| entry.kind() != "directory") {
        root.remove(path);
    }
    root.dir_mut(path).map(|_| ()).map_err(|_| through(root, path, shown))
}

fn place(root: &mut Dir, path: &TreePath, entry: kiln_model::Entry, shown: &str) -> Result<(), ExtractError> {
    if root.dir(path).is_some_and(|dir| path.is_root() || !dir.is_empty()) {
        return Err(ExtractError::InTheWay { entry: shown.to_owned() });
    }
    match root.insert(path, entry) {
        Ok(_) => Ok(()),
        Err(_) => Err(through(root, path, shown)),
    }
}

/// What stands where a folder of `path` should be?
fn through(root: &Dir, path: &TreePath, shown: &str) -> ExtractError {
    let mut at = path.clone();
    while let Some(parent) = at.parent() {
        if root.get(&parent).is_some() {
            return ExtractError::ThroughLink { entry: shown.to_owned(), link: parent.to_string() };
        }
        at = parent;
    }
    ExtractError::InTheWay { entry: shown.to_owned() }
}
