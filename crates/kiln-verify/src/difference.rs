//! Two trees, path by path.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;

use kiln_model::{Dir, Entry, FileEntry, ObjectError, ObjectSource, TreePath};

use crate::cause::Cause;
use crate::file::{Contents, FileDifference};

/// Which of two builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that is compared with.
    First,
    /// The one under another condition.
    Second,
}

/// A path that is not the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which.
    pub path: TreePath,
    /// What is not the same of it.
    pub change: Change,
}

/// What is not the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Only one build has it.
    Only(Side),
    /// It is of another kind.
    Kind(&'static str, &'static str),
    /// It has another owner, mode or attribute.
    Metadata(String, String),
    /// The link leads elsewhere.
    Target(String, String),
    /// It has another content.
    Content(FileDifference),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only(Side::First) => write!(f, "is missing under this condition"),
            Self::Only(Side::Second) => write!(f, "is there only under this condition"),
            Self::Kind(first, second) => write!(f, "is a {second}, not a {first}"),
            Self::Metadata(first, second) => write!(f, "has {second}, not {first}"),
            Self::Target(first, second) => write!(f, "leads to `{second}`, not to `{first}`"),
            Self::Content(difference) => write!(f, "{difference}"),
        }
    }
}

impl Change {
    /// What it most likely comes from.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        match self {
            Self::Content(difference) => difference.cause,
            Self::Target(first, second) => {
                let at = first.bytes().zip(second.bytes()).take_while(|(a, b)| a == b).count();
                Cause::guess(first.as_bytes(), second.as_bytes(), at)
            }
            _ => None,
        }
    }
}

/// Everything in which two trees differ, in order of path.
///
/// # Errors
/// When a file that differs cannot be read.
pub fn differences(
    (first, first_objects): (&Dir, &dyn ObjectSource),
    (second, second_objects): (&Dir, &dyn ObjectSource),
) -> Result<Vec<Difference>, ObjectError> {
    let list =
        |dir: &Dir| -> BTreeMap<TreePath, Entry> { dir.walk().map(|(path, entry)| (path, entry.clone())).collect() };
    let (before, mut after) = (list(first), list(second));
    let mut found = Vec::new();
    for (path, one) in before {
        let change = match after.remove(&path) {
            None => Some(Change::Only(Side::First)),
            Some(two) => compare(&one, first_objects, &two, second_objects)?,
        };
        found.extend(change.map(|change| Difference { path, change }));
    }
    found.extend(after.into_keys().map(|path| Difference { path, change: Change::Only(Side::Second) }));
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn compare(
    one: &Entry,
    one_objects: &dyn ObjectSource,
    two: &Entry,
    two_objects: &dyn ObjectSource,
) -> Result<Option<Change>, ObjectError> {
    match (one, two) {
        (Entry::File(a), Entry::File(b)) if a.object != b.object => {
            let (a, b) = (read(a, one_objects)?, read(b, two_objects)?);
            return Ok(Some(Change::Content(FileDifference::of(&a, &b))));
        }
        (Entry::Symlink(a), Entry::Symlink(b)) if a.target != b.target => {
            return Ok(Some(Change::Target(a.target.to_string(), b.target.to_string())));
        }
        _ => {}
    }
    if one.kind() != two.kind() {
        return Ok(Some(Change::Kind(one.kind(), two.kind())));
    }
    let (a, b) = (metadata(one), metadata(two));
    Ok((a != b).then_some(Change::Metadata(a, b)))
}

/// All of an entry that is not its content, for people. Two that read the same are the same.
fn metadata(entry: &Entry) -> String {
    let meta = entry.meta();
    let mut text = format!("mode {:04o}, owner {}:{}", meta.mode, meta.uid, meta.gid);
    for (name, value) in &meta.xattrs {
        text = format!("{text}, {name}={}", value.escape_ascii());
    }
    if let Entry::File(file) = entry
        && file.hardlinked
    {
        text.push_str(", several names");
    }
    if let Entry::Device(device, _) = entry {
        text = format!("{text}, {device:?}");
    }
    text
}

/// So much of a file is held to compare it; of what is behind it only the length counts.
const MOST: u64 = 64 << 20;

fn read(file: &FileEntry, objects: &dyn ObjectSource) -> Result<Contents, ObjectError> {
    let mut bytes = Vec::new();
    let reader = objects.open(&file.object)?;
    reader
        .take(MOST)
        .read_to_end(&mut bytes)
        .map_err(|source| ObjectError::Io { action: format!("cannot read object {}", file.object), source })?;
    Ok(Contents { bytes, size: file.size })
}

#[cfg(test)]
mod tests {
    use kiln_model::{FileEntry, MemoryObjects, Meta, ObjectSink as _, SymlinkEntry};

    use super::*;

    fn tree(objects: &MemoryObjects, entries: &[(&str, Entry)]) -> Dir {
        let mut dir = Dir::default();
        for (path, entry) in entries {
            dir.insert(&path.parse().unwrap(), entry.clone()).unwrap();
        }
        // What a test forgot to put would be missing only when it is read.
        let stored =
            |entry: &Entry| if let Entry::File(file) = entry { objects.open(&file.object).is_ok() } else { true };
        assert!(dir.walk().all(|(_, entry)| stored(entry)));
        dir
    }

    fn file(objects: &MemoryObjects, content: &str) -> FileEntry {
        FileEntry::plain(objects.put(content.as_bytes()).unwrap(), content.len() as u64, false)
    }

    #[test]
    fn every_kind_of_difference_is_told_by_path() {
        let (one, two) = (MemoryObjects::default(), MemoryObjects::default());
        let link = |target: &str| Entry::Symlink(SymlinkEntry::plain(target));
        let mut owned = file(&two, "owned");
        owned.meta = Meta { uid: 7, mode: 0o4755, ..Meta::root_owned(0o755) };
        let first = tree(
            &one,
            &[
                ("a/content", Entry::File(file(&one, "at 2026-11-26"))),
                ("a/gone", Entry::File(file(&one, "gone"))),
                ("a/kind", Entry::File(file(&one, "kind"))),
                ("a/link", link("one")),
                ("a/owned", Entry::File(file(&one, "owned"))),
                ("a/same", Entry::File(file(&one, "same"))),
            ],
        );
        let second = tree(
            &two,
            &[
                ("a/content", Entry::File(file(&two, "at 2026-11-27!"))),
                ("a/kind", link("x")),
                ("a/link", link("two")),
                ("a/new", Entry::File(file(&two, "new"))),
                ("a/owned", Entry::File(owned)),
                ("a/same", Entry::File(file(&two, "same"))),
            ],
        );
        let found = differences((&first, &one), (&second, &two)).unwrap();
        let told: Vec<String> = found.iter().map(|found| format!("{} {}", found.path.as_str(), found.change)).collect();
        assert_eq!(
            told,
            [
                "a/content differs at byte 12: \"026-11-27!\", not \"026-11-26\" (14 bytes, not 13)",
                "a/gone is missing under this condition",
                "a/kind is a link, not a file",
                "a/link leads to `two`, not to `one`",
                "a/new is there only under this condition",
                "a/owned has mode 4755, owner 7:0, not mode 0644, owner 0:0",
            ]
        );
        assert_eq!(found[0].change.cause(), Some(Cause::Time));
        assert_eq!(differences((&first, &one), (&first, &one)).unwrap(), []);
    }

    #[test]
    fn a_content_that_is_lost_is_an_error() {
        let (one, two) = (MemoryObjects::default(), MemoryObjects::default());
        let first = tree(&one, &[("a", Entry::File(file(&one, "one")))]);
        let second = tree(&two, &[("a", Entry::File(file(&two, "two")))]);
        assert!(differences((&first, &one), (&second, &MemoryObjects::default())).is_err());
    }
}
