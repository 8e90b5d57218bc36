//! Where everything is: names and paths, and nothing else. `docs/format/store.md` describes the same for people.
//!
//! ```text
//! version              `kiln-store 1\n`, written last when a store is made
//! lock                 flock: shared by every session, exclusive for gc and for the repairs of fsck
//! objects/ab/cd..      content of one file, mode 0444, named by its sha256; ab are the first two of 64 digits
//! objects/ab/cd...x    the same bytes again as an executable inode, mode 0555; made when a checkout needs it
//! trees/ab/cd..        all directories of one tree: a Remote Execution API `Tree` message
//! actions/ab/cd..      the result of one action: a checksum line, then canonical JSON
//! logs/ab/cd..         the log of an action's last run
//! locks/abcd..         flock: held by who performs the action
//! roots/NAME           what gc must keep: a checksum line, then one reference a line
//! checkouts/abcd../    a tree laid out: `root/`, `state`, `lock`
//! staging/NAME/        what one session has written and not yet published; `lock` is held while it lives
//! staging/lock         flock: held while a session's folder is made or buried
//! ```

use kiln_model::{ActionKey, Digest, ObjectId, TreeId};

/// The layout's version line.
pub(crate) const VERSION: &str = "kiln-store 1\n";
pub(crate) const VERSION_FILE: &str = "version";
pub(crate) const LOCK: &str = "lock";
pub(crate) const OBJECTS: &str = "objects";
pub(crate) const TREES: &str = "trees";
pub(crate) const ACTIONS: &str = "actions";
pub(crate) const LOGS: &str = "logs";
pub(crate) const LOCKS: &str = "locks";
pub(crate) const ROOTS: &str = "roots";
pub(crate) const CHECKOUTS: &str = "checkouts";
pub(crate) const STAGING: &str = "staging";
pub(crate) const STAGING_LOCK: &str = "staging/lock";

/// The folders of a store.
pub(crate) const FOLDERS: [&str; 8] = [OBJECTS, TREES, ACTIONS, LOGS, LOCKS, ROOTS, CHECKOUTS, STAGING];

/// The mode of objects, trees and records; they never change.
pub(crate) const PLAIN: u32 = 0o444;
/// The mode of executable inodes.
pub(crate) const EXECUTABLE: u32 = 0o555;

fn fan_out(folder: &str, digest: &Digest, suffix: &str) -> String {
    let hex = digest.to_hex();
    let mut path = String::with_capacity(folder.len() + 68);
    for part in [folder, "/", &hex[..2], "/", &hex[2..], suffix] {
        path.push_str(part);
    }
    path
}

pub(crate) fn object(id: &ObjectId) -> String {
    fan_out(OBJECTS, id.digest(), "")
}

pub(crate) fn executable(id: &ObjectId) -> String {
    fan_out(OBJECTS, id.digest(), ".x")
}

pub(crate) fn tree(id: &TreeId) -> String {
    fan_out(TREES, id.digest(), "")
}

pub(crate) fn action(key: &ActionKey) -> String {
    fan_out(ACTIONS, key.digest(), "")
}

pub(crate) fn log(key: &ActionKey) -> String {
    fan_out(LOGS, key.digest(), "")
}

pub(crate) fn action_lock(key: &ActionKey) -> String {
    format!("{LOCKS}/{}", key.to_hex())
}

pub(crate) fn checkout_lock(id: &TreeId) -> String {
    format!("{LOCKS}/checkout-{}", id.to_hex())
}

pub(crate) fn checkout(id: &TreeId) -> String {
    format!("{CHECKOUTS}/{}", id.to_hex())
}

/// Reads back the digest of a file in a folder with fan-out.
pub(crate) fn parse(outer: &str, inner: &str) -> Option<Digest> {
    if outer.len() != 2 || inner.len() != 62 {
        return None;
    }
    format!("{outer}{inner}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_back_and_nothing_else_does() {
        let id = ObjectId::of(b"kiln");
        let path = object(&id);
        let (outer, inner) = path.strip_prefix("objects/").unwrap().split_once('/').unwrap();
        assert_eq!(parse(outer, inner), Some(id.0));
        assert_eq!(executable(&id), format!("{path}.x"));
        for (outer, inner) in [("0", inner), ("zz", inner), (outer, "tmp"), ("..", inner), (outer, &inner[1..])] {
            assert_eq!(parse(outer, inner), None);
        }
    }
}
