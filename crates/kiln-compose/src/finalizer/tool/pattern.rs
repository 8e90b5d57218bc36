//! Patterns of paths: `*` and `?` within a component, as glob(7) has them, `**` for any number of components.

use kiln_model::{Dir, Entry, TreePath};

use crate::closure::search::matches;

/// Any number of components.
const ANY: &str = "**";

/// Does `path` match? Both are absolute.
pub(super) fn covers(pattern: &str, path: &TreePath) -> bool {
    let pattern: Vec<&str> = components(pattern).collect();
    let path: Vec<&str> = path.components().collect();
    covers_parts(&pattern, &path)
}

fn components(pattern: &str) -> impl Iterator<Item = &str> {
    pattern.split('/').filter(|part| !part.is_empty())
}

fn covers_parts(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        // At the end it stands for what is below, not for the directory itself.
        (Some((&ANY, [])), _) => !path.is_empty(),
        (Some((&ANY, rest)), _) => (0..=path.len()).any(|skipped| covers_parts(rest, &path[skipped..])),
        (Some((first, rest)), Some((name, below))) => {
            matches(first.as_bytes(), name.as_bytes()) && covers_parts(rest, below)
        }
        _ => false,
    }
}

/// Everything in `tree` that matches, directories too, in order of path. Links on the way are followed where the pattern
/// names them, and never where it has a wildcard.
pub(super) fn select<'a>(tree: &'a Dir, pattern: &str) -> Vec<(TreePath, &'a Entry)> {
    let parts: Vec<&str> = components(pattern).collect();
    let plain = parts.iter().take_while(|part| !part.contains(['*', '?'])).count();
    let (named, wild) = parts.split_at(plain);
    let named: TreePath = named.join("/").parse().unwrap_or_default();
    let mut found = Vec::new();
    if wild.is_empty() {
        // By the name that was asked for: who takes it follows its links.
        if let Some((_, Some(entry))) = tree.resolve(&named) {
            found.push((named, entry));
        }
        return found;
    }
    if let Some((place, _)) = tree.resolve(&named)
        && let Some(dir) = tree.dir(&place)
    {
        descend(dir, &place, wild, &mut found);
    }
    found
}

fn descend<'a>(dir: &'a Dir, at: &TreePath, pattern: &[&str], found: &mut Vec<(TreePath, &'a Entry)>) {
    let Some((first, rest)) = pattern.split_first() else {
        return;
    };
    if *first == ANY && !rest.is_empty() {
        descend(dir, at, rest, found);
    }
    for (name, entry) in dir.entries() {
        let Ok(path) = at.join(name) else {
            continue;
        };
        let (taken, below) = match (*first == ANY, rest.is_empty()) {
            (true, last) => (last, Some(pattern)),
            (false, true) => (matches(first.as_bytes(), name.as_bytes()), None),
            (false, false) => (false, matches(first.as_bytes(), name.as_bytes()).then_some(rest)),
        };
        if taken {
            found.push((path.clone(), entry));
        }
        if let (Some(below), Entry::Dir(dir)) = (below, entry) {
            descend(dir, &path, below, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kiln_model::SymlinkEntry;
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::from_absolute(text).unwrap()
    }

    #[test]
    fn wildcards_stay_in_their_component_and_two_stars_do_not() {
        assert!(covers("/usr/share/icons/*/icon-theme.cache", &path("/usr/share/icons/Adwaita/icon-theme.cache")));
        assert!(!covers("/usr/share/icons/*/icon-theme.cache", &path("/usr/share/icons/a/b/icon-theme.cache")));
        assert!(covers("/usr/lib/**/__pycache__/*.pyc", &path("/usr/lib/python3/x/__pycache__/a.pyc")));
        assert!(covers("/usr/lib/**/__pycache__/*.pyc", &path("/usr/lib/__pycache__/a.pyc")), "none is a number too");
        assert!(covers("/usr/share/mime/**", &path("/usr/share/mime/text/plain.xml")));
        assert!(!covers("/usr/share/mime/**", &path("/usr/share/mime")));
        assert!(!covers("/usr/share/mime/**", &path("/usr/share/mimes")));
    }

    fn tree(paths: &[String]) -> Dir {
        let mut tree = Dir::default();
        for path in paths {
            let path = TreePath::from_absolute(path).unwrap();
            // A file where a directory is wanted stays a file.
            let _ = tree.insert(&path, Entry::Symlink(SymlinkEntry::plain("gone")));
        }
        tree
    }

    #[test]
    fn a_link_that_is_named_is_followed_and_one_that_a_wildcard_meets_is_not() {
        let mut dir = tree(&["/usr/lib/fonts/a".to_owned()]);
        dir.insert(&path("/lib"), Entry::Symlink(SymlinkEntry::plain("usr/lib"))).unwrap();
        let names = |pattern: &str| select(&dir, pattern).into_iter().map(|(p, _)| p.to_string()).collect::<Vec<_>>();
        assert_eq!(names("/lib/fonts/*"), ["/usr/lib/fonts/a"]);
        assert_eq!(names("/*/fonts/a"), Vec::<String>::new());
        assert_eq!(names("/usr/lib/fonts"), ["/usr/lib/fonts"]);
    }

    #[test]
    fn everything_below_comes_once() {
        let mut dir = Dir::default();
        dir.set_entry("a", Entry::Dir(Arc::new(tree(&["/b/c".to_owned()])))).unwrap();
        let found = select(&dir, "/a/**").into_iter().map(|(path, _)| path.to_string()).collect::<Vec<_>>();
        assert_eq!(found, ["/a/b", "/a/b/c"]);
    }

    proptest! {
        #[test]
        fn what_is_selected_is_what_is_covered(
            names in proptest::collection::vec("(/[ab.]{1,2}){1,4}", 1..8),
            pattern in "(/(\\*\\*|[ab*?]{1,2})){1,4}",
        ) {
            let names: Vec<String> =
                names.into_iter().filter(|name| TreePath::from_absolute(name).is_ok()).collect();
            let dir = tree(&names);
            let mut covered: Vec<TreePath> = dir.walk().map(|(path, _)| path).filter(|p| covers(&pattern, p)).collect();
            covered.sort();
            let mut selected: Vec<TreePath> = select(&dir, &pattern)
                .into_iter()
                .map(|(path, _)| path)
                // A pattern without wildcards names a path, followed through links that lead nowhere here.
                .collect();
            selected.sort();
            selected.dedup();
            if pattern.contains(['*', '?']) {
                prop_assert_eq!(selected, covered);
            }
        }
    }
}
