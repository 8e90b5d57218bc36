//! Where a path of the container really is, when its root has symbolic links on the way.
//!
//! Mount points are made in the upper side of the overlay, which is empty and Kiln's own, so nothing in an image can lead
//! such a write to another place. That needs each path free of the image's links first.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use kiln_model::TreePath;

/// How many links a path may lead through, as in the kernel.
const LINKS: usize = 40;

/// Follows the links of a checkout, within it. None when there are too many of them, or one is not text.
pub(crate) fn resolve(root: &Path, path: &TreePath) -> Option<TreePath> {
    let mut wanted: Vec<String> = path.components().rev().map(str::to_owned).collect();
    let mut found = TreePath::root();
    let mut links = 0;
    while let Some(name) = wanted.pop() {
        let next = found.join(&name).ok()?;
        let Ok(target) = fs::read_link(root.join(next.as_str())) else {
            found = next;
            continue;
        };
        links += 1;
        if links > LINKS {
            return None;
        }
        // From the root again: the target itself may lead through links.
        let target = next.resolve_link(target.to_str()?);
        wanted.extend(target.components().rev().map(str::to_owned).collect::<Vec<_>>());
        found = TreePath::root();
    }
    Some(found)
}

/// The mode of a directory of the checkout, or that of a new one.
pub(crate) fn directory_mode(root: &Path, path: &TreePath) -> u32 {
    match fs::symlink_metadata(root.join(path.as_str())) {
        Ok(found) if found.is_dir() => found.mode() & 0o7777,
        _ => 0o755,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn resolved(root: &Path, path: &str) -> Option<String> {
        resolve(root, &TreePath::from_absolute(path).unwrap()).map(|p| p.to_string())
    }

    #[test]
    fn follows_links_and_stays_inside() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("var")).unwrap();
        fs::create_dir_all(root.join("run")).unwrap();
        for (target, path) in [
            ("/run", "var/run"),
            ("../../../../etc", "var/etc"),
            ("loop", "loop"),
            ("var/run", "short"),
            ("a/b", "deep"),
        ] {
            symlink(target, root.join(path)).unwrap();
        }
        assert_eq!(resolved(root, "/var/run/postgresql").as_deref(), Some("/run/postgresql"));
        assert_eq!(resolved(root, "/short/x").as_deref(), Some("/run/x"));
        assert_eq!(resolved(root, "/var/etc/x").as_deref(), Some("/etc/x"));
        assert_eq!(resolved(root, "/deep/x").as_deref(), Some("/a/b/x"));
        assert_eq!(resolved(root, "/new/x").as_deref(), Some("/new/x"));
        assert_eq!(resolved(root, "/loop/x"), None);
    }
}
