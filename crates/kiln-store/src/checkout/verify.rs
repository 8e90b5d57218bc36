//! Comparing a checkout with its tree: every name, kind, link, mode, length, and whose inode it is. A file that is the
//! object's own inode is as whole as the object; another one is hashed.

use std::collections::BTreeSet;

use kiln_model::{Dir, Entry, FileEntry, ObjectId, TreePath};
use rustix::fs::FileType;

use crate::files::{self, FileError, Stat};
use crate::{Store, layout, object};

/// What a file of a tree is in a checkout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// The object's plain inode.
    Plain,
    /// The object's executable inode.
    Executable,
    /// A file of its own, with these permissions.
    Own(u32),
}

/// Write permission is not laid out where it follows from the rest: nobody may write to a checkout.
pub(crate) fn expected(file: &FileEntry) -> Expected {
    let permissions = u32::from(file.meta.mode) & 0o777;
    match permissions & !0o222 {
        layout::PLAIN => Expected::Plain,
        layout::EXECUTABLE => Expected::Executable,
        _ => Expected::Own(permissions),
    }
}

/// Compares the checkout at `at` with its tree. Gives what is wrong with it first, if anything.
pub(crate) fn verify(store: &Store, dir: &Dir, at: &str) -> files::Result<Option<String>> {
    for name in ["lock", "state"] {
        match store.files().look(&format!("{at}/{name}"))? {
            Some(stat) if files::kind(&stat) == FileType::RegularFile => {}
            _ => return Ok(Some(format!("its file `{name}` is missing"))),
        }
    }
    match store.files().look(&format!("{at}/root"))? {
        Some(stat) if files::kind(&stat) == FileType::Directory => {}
        _ => return Ok(Some("its folder `root` is missing".to_owned())),
    }
    let mut todo = vec![(TreePath::root(), dir)];
    while let Some((path, dir)) = todo.pop() {
        let here = if path.is_root() { format!("{at}/root") } else { format!("{at}/root{path}") };
        let names: BTreeSet<String> = store.files().names(&here)?.into_iter().collect();
        let laid_out = |entry: &Entry| !matches!(entry, Entry::Device(..));
        if let Some(foreign) = names.iter().find(|name| !dir.entry(name).is_some_and(laid_out)) {
            return Ok(Some(format!("`{path}` holds `{foreign}`, which is not in the tree")));
        }
        for (name, entry) in dir.entries().filter(|(_, entry)| laid_out(entry)) {
            let child = path.join(name).unwrap_or_default();
            if !names.contains(name) {
                return Ok(Some(format!("`{child}` is missing")));
            }
            let file = format!("{here}/{name}");
            if let Some(wrong) = compare(store, entry, &file)? {
                return Ok(Some(format!("`{child}` {wrong}")));
            }
            if let Entry::Dir(below) = entry {
                todo.push((child, below));
            }
        }
    }
    Ok(None)
}

fn compare(store: &Store, entry: &Entry, at: &str) -> files::Result<Option<&'static str>> {
    let Some(stat) = store.files().look(at)? else { return Ok(Some("is missing")) };
    let kind = files::kind(&stat);
    Ok(match entry {
        Entry::Dir(_) if kind != FileType::Directory => Some("is not a directory"),
        Entry::Dir(_) => (files::permissions(&stat) & 0o777 != 0o755).then_some("has the wrong mode"),
        Entry::Symlink(_) if kind != FileType::Symlink => Some("is not a link"),
        Entry::Symlink(link) => {
            let path = store.files().path(at);
            let target = std::fs::read_link(&path).map_err(|e| FileError::new("read", path, e))?;
            (target.as_os_str() != &*link.target).then_some("leads elsewhere")
        }
        Entry::File(_) if kind != FileType::RegularFile => Some("is not a file"),
        Entry::File(file) => compare_file(store, file, &stat, at)?,
        Entry::Device(..) => None,
    })
}

fn compare_file(store: &Store, file: &FileEntry, stat: &Stat, at: &str) -> files::Result<Option<&'static str>> {
    let (inode, mode) = match expected(file) {
        Expected::Plain => (Some(layout::object(&file.object)), layout::PLAIN),
        Expected::Executable => (Some(layout::executable(&file.object)), layout::EXECUTABLE),
        Expected::Own(mode) => (None, mode),
    };
    if files::permissions(stat) != mode {
        return Ok(Some("has the wrong mode"));
    }
    if stat.st_size as u64 != file.size {
        return Ok(Some("has the wrong length"));
    }
    if let Some(inode) = inode
        && let Some(object) = store.files().look(&inode)?
        && (object.st_ino, object.st_dev) == (stat.st_ino, stat.st_dev)
    {
        return Ok(None);
    }
    let path = store.files().path(at);
    // Opened by its path, since a file of its own may deny reading to all but root; that is not damage.
    let opened = match std::fs::File::open(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => return Ok(None),
        other => other.map_err(|e| FileError::new("open", &path, e))?,
    };
    let (found, _): (ObjectId, u64) =
        object::hash_file(&opened, &mut Vec::new()).map_err(|e| FileError::new("read", &path, e))?;
    Ok((found != file.object).then_some("is damaged"))
}
