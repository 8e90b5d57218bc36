//! Where the loader looks for libraries: ld.so(8) and ldconfig(8).

use kiln_model::{Architecture, Dir, Entry, ObjectError, ObjectSource, TreePath};

/// The folders that the loader knows without being told, in its order: Debian's multiarch folder, then the plain ones. A
/// loader of a distribution that has no such folder, as those of RPM's packages, was made for `lib64`.
pub(crate) fn default_folders(tree: &Dir, architecture: Architecture) -> Vec<TreePath> {
    let multiarch = architecture.multiarch();
    let is_there = |folder: &str| folder.parse().is_ok_and(|path| tree.dir(&path).is_some());
    let own = if !is_there(&format!("usr/lib/{multiarch}")) && is_there("usr/lib64") {
        ["lib64".to_owned(), "usr/lib64".to_owned()]
    } else {
        [format!("lib/{multiarch}"), format!("usr/lib/{multiarch}")]
    };
    let plain = ["lib".to_owned(), "usr/lib".to_owned()];
    own.iter().chain(&plain).filter_map(|path| path.parse().ok()).collect()
}

/// So deep may `ld.so.conf` include.
const INCLUDE_DEPTH: usize = 8;

/// The folders that `ld.so.conf` names, in its order.
pub(crate) fn configured_folders(tree: &Dir, source: &dyn ObjectSource) -> Result<Vec<TreePath>, ObjectError> {
    let mut folders = Vec::new();
    let start = "etc/ld.so.conf".parse().unwrap_or_default();
    read_configuration(tree, source, &start, INCLUDE_DEPTH, &mut folders)?;
    Ok(folders)
}

fn read_configuration(
    tree: &Dir,
    source: &dyn ObjectSource,
    path: &TreePath,
    depth: usize,
    folders: &mut Vec<TreePath>,
) -> Result<(), ObjectError> {
    let Some((place, Some(Entry::File(file)))) = tree.resolve(path) else {
        return Ok(());
    };
    if depth == 0 || file.size > 1024 * 1024 {
        return Ok(());
    }
    let text = source.read(&file.object)?;
    for line in String::from_utf8_lossy(&text).lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(patterns) = line.strip_prefix("include").filter(|rest| rest.starts_with([' ', '\t'])) {
            for pattern in patterns.split_ascii_whitespace() {
                for path in expand(tree, &place, pattern) {
                    read_configuration(tree, source, &path, depth - 1, folders)?;
                }
            }
        } else if let Ok(folder) = TreePath::from_absolute(line.split('=').next().unwrap_or_default().trim_end()) {
            folders.push(folder);
        }
    }
    Ok(())
}

/// The files that a pattern of an `include` line names, in byte order. Only the last component may have wildcards.
fn expand(tree: &Dir, from: &TreePath, pattern: &str) -> Vec<TreePath> {
    let folder = from.parent().unwrap_or_default();
    let (parent, name) = pattern.rsplit_once('/').unwrap_or((".", pattern));
    let parent = if pattern.starts_with('/') {
        TreePath::root().resolve_link(&format!("{parent}/"))
    } else {
        folder.join("x").unwrap_or_default().resolve_link(parent)
    };
    let Some((parent, _)) = tree.resolve(&parent) else {
        return Vec::new();
    };
    let Some(dir) = tree.dir(&parent) else {
        return Vec::new();
    };
    let matching = dir.entries().filter(|(entry, _)| matches(name.as_bytes(), entry.as_bytes()));
    matching.filter_map(|(entry, _)| parent.join(entry).ok()).collect()
}

/// glob(7) with `*` and `?`; a leading period is matched only by a period.
pub(crate) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    if name.first() == Some(&b'.') && pattern.first() != Some(&b'.') {
        return false;
    }
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((sp, sn)) => {
                    p = sp + 1;
                    n = sn + 1;
                    star = Some((sp, sn + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_the_shell_has_it() {
        assert!(matches(b"*.conf", b"libc.conf"));
        assert!(matches(b"a*b*c", b"aXbYbZc"));
        assert!(matches(b"?.conf", b"x.conf"));
        assert!(!matches(b"*.conf", b".hidden.conf"));
        assert!(!matches(b"*.conf", b"libc.conf.bak"));
        assert!(matches(b"plain", b"plain"));
    }
}
