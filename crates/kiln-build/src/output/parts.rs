//! Splitting a package into parts by claim.
//!
//! A claim is a pattern over paths without a leading slash: `usr/share/doc/**`. `*` and `?` stay within one component,
//! `**` spans any number, `[...]` is a set, `{a,b}` a choice. A claim that matches a directory takes all of it. A path
//! belongs to one part at most, and a claim that takes nothing is an error: it was misspelled, or the build has changed.

use std::collections::BTreeMap;

use globset::{GlobBuilder, GlobMatcher};
use kiln_model::tree::InsertError;
use kiln_model::{Dir, Entry, TreePath};

/// Why a package cannot be split.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// A pattern is broken.
    #[error("part `{part}`: `{claim}` is not a pattern")]
    Pattern {
        /// The part.
        part: String,
        /// The claim.
        claim: String,
        /// Why.
        #[source]
        source: globset::Error,
    },
    /// A claim takes nothing.
    #[error("part `{part}`: nothing in the package matches `{claim}`")]
    Nothing {
        /// The part.
        part: String,
        /// The claim.
        claim: String,
    },
    /// Two parts claim one path.
    #[error("`{path}` is claimed by part `{first}` with `{first_claim}` and by part `{second}` with `{second_claim}`")]
    Twice {
        /// The path.
        path: TreePath,
        /// One part.
        first: String,
        /// Its claim.
        first_claim: String,
        /// The other part.
        second: String,
        /// Its claim.
        second_claim: String,
    },
    /// A path cannot be put into a part.
    #[error(transparent)]
    Insert(#[from] InsertError),
}

impl PartError {
    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Pattern { .. } => None,
            Self::Nothing { claim, .. } if claim.starts_with('/') => {
                Some(format!("claims have no leading slash: `{}`", claim.trim_start_matches('/')))
            }
            Self::Nothing { .. } => Some(
                "take the claim out, or look what the build installs: `kiln shell PACKAGE --failed`, then `find /out`"
                    .into(),
            ),
            Self::Twice { .. } => Some("make one of the two narrower".into()),
            Self::Insert(_) => None,
        }
    }
}

/// A package in its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// What no part claims.
    pub main: Dir,
    /// The parts by name.
    pub parts: BTreeMap<String, Dir>,
}

struct Claim<'a> {
    part: &'a str,
    text: &'a str,
    matcher: GlobMatcher,
    used: bool,
}

/// Splits `tree` by the claims of each part.
///
/// # Errors
/// When a claim is no pattern, takes nothing, or takes what another part takes.
pub fn split(tree: &Dir, claims: &BTreeMap<String, Vec<String>>) -> Result<Split, PartError> {
    let mut all = Vec::new();
    for (part, texts) in claims {
        for text in texts {
            let glob = GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build();
            let glob = glob.map_err(|source| PartError::Pattern { part: part.clone(), claim: text.clone(), source })?;
            all.push(Claim { part, text, matcher: glob.compile_matcher(), used: false });
        }
    }
    let mut split = Split { main: tree.clone(), parts: claims.keys().map(|p| (p.clone(), Dir::default())).collect() };
    if all.is_empty() {
        return Ok(split);
    }
    // By path of a directory: the claim that takes all of it.
    let mut whole: BTreeMap<TreePath, usize> = BTreeMap::new();
    for (path, entry) in tree.walk() {
        let mut owner = path.parent().and_then(|parent| whole.get(&parent).copied());
        for index in 0..all.len() {
            if !all[index].matcher.is_match(path.as_str()) {
                continue;
            }
            all[index].used = true;
            match owner {
                Some(other) if all[other].part != all[index].part => {
                    return Err(PartError::Twice {
                        path,
                        first: all[other].part.to_owned(),
                        first_claim: all[other].text.to_owned(),
                        second: all[index].part.to_owned(),
                        second_claim: all[index].text.to_owned(),
                    });
                }
                Some(_) => {}
                None => owner = Some(index),
            }
        }
        let Some(owner) = owner else { continue };
        let part = split.parts.entry(all[owner].part.to_owned()).or_default();
        if let Entry::Dir(_) = entry {
            part.dir_mut(&path)?;
            whole.insert(path, owner);
        } else {
            part.insert(&path, entry.clone())?;
            take_out(&mut split.main, &path);
        }
    }
    // Directories go when nothing of the package itself is left in them, deepest first.
    for path in whole.keys().rev() {
        if split.main.dir(path).is_some_and(Dir::is_empty) {
            take_out(&mut split.main, path);
        }
    }
    match all.iter().find(|claim| !claim.used) {
        Some(claim) => Err(PartError::Nothing { part: claim.part.to_owned(), claim: claim.text.to_owned() }),
        None => Ok(split),
    }
}

/// Removes an entry, and the directories that this leaves empty.
fn take_out(tree: &mut Dir, path: &TreePath) {
    tree.remove(path);
    let mut above = path.parent();
    while let Some(folder) = above.filter(|f| !f.is_root() && tree.dir(f).is_some_and(Dir::is_empty)) {
        tree.remove(&folder);
        above = folder.parent();
    }
}

#[cfg(test)]
mod tests {
    use kiln_model::{FileEntry, ObjectId};

    use super::*;

    fn tree(paths: &[&str]) -> Dir {
        let mut tree = Dir::default();
        for path in paths {
            match path.strip_suffix('/') {
                Some(directory) => drop(tree.dir_mut(&directory.parse().unwrap()).unwrap()),
                None => {
                    let file = FileEntry::plain(ObjectId::of(path.as_bytes()), 1, false);
                    drop(tree.insert(&path.parse().unwrap(), Entry::File(file)).unwrap());
                }
            }
        }
        tree
    }

    fn claims(list: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
        list.iter().map(|(part, c)| ((*part).to_owned(), c.iter().map(|c| (*c).to_owned()).collect())).collect()
    }

    #[test]
    fn what_no_part_claims_is_the_package_itself() {
        let whole =
            tree(&["usr/bin/x", "usr/share/doc/x/README", "usr/share/man/man1/x.1", "usr/lib/libx.a", "usr/empty/"]);
        let split =
            split(&whole, &claims(&[("doc", &["usr/share/doc/**", "usr/share/man"]), ("dev", &["usr/lib/*.a"])]));
        let split = split.unwrap();
        assert_eq!(split.main, tree(&["usr/bin/x", "usr/empty/"]));
        assert_eq!(split.parts["doc"], tree(&["usr/share/doc/x/README", "usr/share/man/man1/x.1"]));
        assert_eq!(split.parts["dev"], tree(&["usr/lib/libx.a"]));
    }

    #[test]
    fn a_star_stays_within_a_component() {
        let whole = tree(&["usr/a/x.h", "usr/a/b/y.h"]);
        let split = split(&whole, &claims(&[("dev", &["usr/a/*.h"])])).unwrap();
        assert_eq!(split.main, tree(&["usr/a/b/y.h"]));
    }

    #[test]
    fn refuses_a_path_that_two_parts_claim() {
        let whole = tree(&["usr/share/doc/x"]);
        let error = split(&whole, &claims(&[("a", &["usr/share/doc/**"]), ("b", &["usr/share"])])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`/usr/share/doc/x` is claimed by part `b` with `usr/share` and by part `a` with `usr/share/doc/**`"
        );
    }

    #[test]
    fn refuses_a_claim_that_takes_nothing() {
        let whole = tree(&["usr/x"]);
        let error = split(&whole, &claims(&[("doc", &["/usr/x"])])).unwrap_err();
        assert!(error.hint().unwrap().contains("no leading slash"));
        assert!(matches!(split(&whole, &claims(&[("doc", &["usr/[x"])])), Err(PartError::Pattern { .. })));
    }
}
