//! Behaviour of a whole store, in a temporary folder.

mod basics;
mod checkouts;
mod faults;
mod fsck;
mod gc;

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kiln_model::{ActionKey, Digest, Dir, Entry, FileEntry, ObjectSink as _, TreeId, TreePath};

use crate::{ActionResult, Durability, OpenOptions, Session, Store};

/// Some time in 2033. Tests move on from it as they like.
pub(crate) fn time(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(2_000_000_000 + seconds)
}

pub(crate) fn open_at(root: &Path, seconds: u64) -> Store {
    Store::open(root, OpenOptions::new(time(seconds)).durability(Durability::Process)).unwrap()
}

pub(crate) fn open(root: &Path) -> Store {
    open_at(root, 0)
}

pub(crate) fn key(text: &str) -> ActionKey {
    ActionKey(Digest::of(text.as_bytes()))
}

pub(crate) fn path(text: &str) -> TreePath {
    text.parse().unwrap()
}

/// Writes a tree of plain files; a name that begins with `bin/` is executable.
pub(crate) fn put_tree(session: &Session, files: &[(&str, &str)]) -> TreeId {
    let mut dir = Dir::default();
    for (name, content) in files {
        let object = session.put(content.as_bytes()).unwrap();
        let file = FileEntry::plain(object, content.len() as u64, name.starts_with("bin/"));
        dir.insert(&path(name), Entry::File(file)).unwrap();
    }
    session.put_tree(&dir).unwrap()
}

/// Performs an action whose result is one tree of one file and one object.
pub(crate) fn perform(session: &Session, name: &str) -> Result<ActionResult, crate::WriteError> {
    let result = stage(session, name)?;
    session.commit(key(name), &result)?;
    Ok(result)
}

/// The result of [`perform`], not yet committed.
pub(crate) fn stage(session: &Session, name: &str) -> Result<ActionResult, crate::WriteError> {
    let failed = |error: kiln_model::ObjectError| match error {
        kiln_model::ObjectError::Io { source, .. } => crate::FileError::new("write", "object", source),
        other => panic!("{other}"),
    };
    let object = session.put(format!("content of {name}").as_bytes()).map_err(failed)?;
    let size = 11 + name.len() as u64;
    let mut dir = Dir::default();
    dir.insert(&path("usr/bin/program"), Entry::File(FileEntry::plain(object, size, true))).unwrap();
    dir.insert(&path("etc/file"), Entry::File(FileEntry::plain(object, size, false))).unwrap();
    let tree = session.put_tree(&dir)?;
    Ok(ActionResult {
        trees: [("files".to_owned(), tree)].into(),
        objects: [("log".to_owned(), (object, size))].into(),
        meta: [("name".to_owned(), name.to_owned())].into(),
    })
}
