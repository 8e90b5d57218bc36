//! From a commit in a repository to objects and a tree.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write as _};

use kiln_model::{Dir, Entry, FileEntry, ObjectSink, SymlinkEntry, TreePath};

use super::repository::Repository;
use super::{Git, GitError};
use crate::graph::Cancel;

/// Larger link targets are no paths.
const LONGEST_TARGET: u64 = 4096;

/// What a commit has at one path, by Git's name for it.
struct Listed {
    path: TreePath,
    kind: ListedKind,
    name: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ListedKind {
    File { executable: bool },
    Link,
    Submodule,
}

/// A commit's files, and the submodules among them.
pub(super) struct Contents {
    pub tree: Dir,
    /// Where each is, and its commit.
    pub submodules: Vec<(TreePath, String)>,
}

/// Reads all files of `commit` into `objects`.
pub(super) fn read(
    git: &Git,
    repository: &Repository,
    commit: &str,
    objects: &dyn ObjectSink,
    cancel: &Cancel,
) -> Result<Contents, GitError> {
    let listed = git.output(Some(repository.path()), &["ls-tree", "-r", "-z", "--full-tree", commit])?;
    let listed = parse(&listed, commit)?;
    let mut contents = Contents { tree: Dir::default(), submodules: Vec::new() };
    let mut wanted: BTreeMap<&str, Vec<&Listed>> = BTreeMap::new();
    for entry in &listed {
        if entry.kind == ListedKind::Submodule {
            contents.submodules.push((entry.path.clone(), entry.name.clone()));
        } else {
            wanted.entry(&entry.name).or_default().push(entry);
        }
    }
    let mut batch = git.objects(repository.path())?;
    let (input, output) = (batch.input.take(), batch.output.take());
    std::thread::scope(|scope| {
        let names: Vec<&str> = wanted.keys().copied().collect();
        scope.spawn(move || {
            let Some(mut input) = input else { return };
            for name in names {
                // When `git` died, reading finds out and says so.
                if writeln!(input, "{name}").is_err() {
                    return;
                }
            }
        });
        let result = read_objects(output, &wanted, commit, objects, &mut contents.tree, cancel);
        if result.is_err() {
            // Lets the writing thread end.
            batch.end();
        }
        result
    })?;
    Ok(contents)
}

fn read_objects(
    output: Option<impl Read>,
    wanted: &BTreeMap<&str, Vec<&Listed>>,
    commit: &str,
    objects: &dyn ObjectSink,
    tree: &mut Dir,
    cancel: &Cancel,
) -> Result<(), GitError> {
    let broken = |what: &str| GitError::Failed { command: "cat-file".to_owned(), message: what.to_owned() };
    let keeping = |source| GitError::Object { commit: commit.to_owned(), source };
    let mut output = BufReader::with_capacity(1 << 17, output.ok_or_else(|| broken("no output"))?);
    for (name, entries) in wanted {
        if cancel.is_cancelled() {
            return Err(GitError::Cancelled);
        }
        let mut header = String::new();
        output.read_line(&mut header).map_err(|error| broken(&error.to_string()))?;
        let size: u64 = header
            .trim_end()
            .strip_prefix(&format!("{name} blob "))
            .and_then(|size| size.parse().ok())
            .ok_or_else(|| broken(&format!("object {name} is missing or damaged")))?;
        let mut content = output.by_ref().take(size);
        let is_link = entries.iter().any(|entry| entry.kind == ListedKind::Link);
        let mut target = Vec::new();
        let object = if is_link {
            content.by_ref().take(LONGEST_TARGET + 1).read_to_end(&mut target).map_err(|e| broken(&e.to_string()))?;
            std::io::copy(&mut content, &mut std::io::sink()).map_err(|e| broken(&e.to_string()))?;
            objects.put(&target).map_err(keeping)?
        } else {
            kiln_archive::tree::store(&mut content, size, objects).map_err(|error| match error {
                kiln_archive::tree::StoreError::Read(error) => broken(&error.to_string()),
                kiln_archive::tree::StoreError::Object(source) => keeping(source),
            })?
        };
        if content.limit() > 0 {
            return Err(broken("it ended inside an object"));
        }
        let mut end = [0; 1];
        output.read_exact(&mut end).map_err(|error| broken(&error.to_string()))?;
        for entry in entries {
            let fault = |why| GitError::Entry { commit: commit.to_owned(), path: entry.path.as_str().to_owned(), why };
            let made = match entry.kind {
                ListedKind::File { executable } if !is_link => Entry::File(FileEntry::plain(object, size, executable)),
                // The same bytes are a link elsewhere in the commit, so they are short.
                ListedKind::File { executable } => {
                    if target.len() as u64 != size {
                        return Err(fault("is both a file and a link that is too long"));
                    }
                    Entry::File(FileEntry::plain(object, size, executable))
                }
                _ => {
                    let text = String::from_utf8(target.clone()).ok();
                    let text = text.filter(|text| !text.is_empty() && !text.contains('\0') && size <= LONGEST_TARGET);
                    Entry::Symlink(SymlinkEntry::plain(
                        text.ok_or_else(|| fault("is a link to something that is no path"))?,
                    ))
                }
            };
            tree.insert(&entry.path, made).map_err(|_| fault("lies below a file"))?;
        }
    }
    Ok(())
}

/// `MODE TYPE NAME\tPATH\0`, again and again.
fn parse(listing: &[u8], commit: &str) -> Result<Vec<Listed>, GitError> {
    let mut entries = Vec::new();
    for line in listing.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
        let fault = |why| {
            let path = String::from_utf8_lossy(line).into_owned();
            GitError::Entry { commit: commit.to_owned(), path, why }
        };
        let text = std::str::from_utf8(line).map_err(|_| fault("is not UTF-8"))?;
        let (head, path) = text.split_once('\t').ok_or_else(|| fault("has no name"))?;
        let mut words = head.split(' ');
        let (mode, name) = (words.next().unwrap_or_default(), words.nth(1).unwrap_or_default());
        let kind = match mode {
            "100644" | "100664" => ListedKind::File { executable: false },
            "100755" => ListedKind::File { executable: true },
            "120000" => ListedKind::Link,
            "160000" => ListedKind::Submodule,
            _ => return Err(fault("has a mode that Git does not use")),
        };
        let path = path.parse().map_err(|_| fault("is not a path inside a tree"))?;
        entries.push(Listed { path, kind, name: name.to_owned() });
    }
    Ok(entries)
}
