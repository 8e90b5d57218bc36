//! The part of a composed tree that a tool is shown: what it derives from, itself, and what it needs to run.
//!
//! Nothing else of the image is in it, so the digest of a projection moves only when something of that moves. It is a
//! plain tree: owners, special modes and attributes are left out, for they have no part in what tools derive here.

use std::collections::{BTreeMap, BTreeSet};

use kiln_model::elf::ElfInfo;
use kiln_model::{Architecture, Dir, Entry, FileEntry, ObjectError, ObjectSource, SymlinkEntry, TreePath};

use super::pattern;
use crate::closure::search::{configured_folders, default_folders};
use crate::closure::{Knowledge, ObjectKind, is_candidate};

/// As many links as the kernel follows.
const LINK_LIMIT: usize = 40;

/// Where a program is looked for by name.
const PROGRAMS: [&str; 4] = ["usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin"];

/// A part of a tree that grows.
pub(super) struct Projection<'a> {
    tree: &'a Dir,
    knowledge: &'a Knowledge<'a>,
    root: Dir,
    /// Folders that the loader knows without being told.
    default: Vec<TreePath>,
    /// Folders that `ld.so.conf` names.
    configured: Vec<TreePath>,
    /// Of those, the ones that hold a library that is needed.
    used: BTreeSet<TreePath>,
    /// Programs and libraries whose own needs are in.
    closed: BTreeSet<TreePath>,
    /// Directories that are in whole.
    whole: BTreeSet<TreePath>,
}

impl<'a> Projection<'a> {
    pub fn new(
        tree: &'a Dir,
        architecture: Architecture,
        knowledge: &'a Knowledge<'a>,
        source: &dyn ObjectSource,
    ) -> Result<Self, ObjectError> {
        Ok(Self {
            tree,
            knowledge,
            root: Dir::default(),
            default: default_folders(tree, architecture),
            configured: configured_folders(tree, source)?,
            used: BTreeSet::new(),
            closed: BTreeSet::new(),
            whole: BTreeSet::new(),
        })
    }

    /// The tree, and the folders with libraries that the loader has to be told of.
    pub fn finish(self) -> (Dir, BTreeSet<TreePath>) {
        (self.root, self.used)
    }

    /// What is in so far.
    pub fn root(&self) -> &Dir {
        &self.root
    }

    /// Makes sure that there is a directory.
    pub fn add_directory(&mut self, path: &TreePath) {
        // It mirrors a tree or is a place of its own, so nothing else is in the way.
        let _ = self.root.dir_mut(path);
    }

    fn put(&mut self, path: &TreePath, entry: Entry) {
        let _ = self.root.insert(path, entry);
    }

    /// Takes everything that matches `pattern`, with what its links lead to and what its libraries need. Was there any
    /// file?
    pub fn select(&mut self, pattern: &str) -> Result<bool, ObjectError> {
        let mut any = false;
        for (path, entry) in pattern::select(self.tree, pattern) {
            any |= !matches!(entry, Entry::Dir(_));
            self.take(&path)?;
        }
        Ok(any)
    }

    /// Takes what is at `path`, every link on the way, and where the last one leads. A directory that a link leads to
    /// comes with everything in it; one that is named comes empty. What is missing is left out: a link may dangle.
    fn take(&mut self, path: &TreePath) -> Result<Option<TreePath>, ObjectError> {
        let mut todo: Vec<String> = path.components().rev().map(str::to_owned).collect();
        let mut at = TreePath::root();
        let (mut links, mut last_is_link) = (0, false);
        while let Some(part) = todo.pop() {
            if part == ".." {
                at = at.parent().unwrap_or_default();
                continue;
            }
            let (Ok(next), Some(entry)) = (at.join(&part), self.tree.dir(&at).and_then(|dir| dir.entry(&part))) else {
                return Ok(None);
            };
            match entry {
                Entry::Symlink(link) => {
                    links += 1;
                    last_is_link |= todo.is_empty();
                    if self.root.get(&next).is_none() {
                        self.put(&next, Entry::Symlink(SymlinkEntry::plain(link.target.clone())));
                    }
                    if links > LINK_LIMIT {
                        return Ok(None);
                    }
                    if link.target.starts_with('/') {
                        at = TreePath::root();
                    }
                    todo.extend(link.target.split('/').rev().filter(|c| !matches!(*c, "" | ".")).map(str::to_owned));
                }
                Entry::Dir(_) => {
                    if todo.is_empty() {
                        self.add_directory(&next);
                    }
                    at = next;
                }
                Entry::File(file) => {
                    if !todo.is_empty() {
                        return Ok(None);
                    }
                    self.put(&next, Entry::File(FileEntry::plain(file.object, file.size, file.is_executable())));
                    if is_candidate(next.file_name().unwrap_or_default(), file) {
                        self.close(&next, file)?;
                    }
                    return Ok(Some(next));
                }
                Entry::Device(..) => return Ok(None),
            }
        }
        if last_is_link {
            self.take_whole(&at)?;
        }
        Ok(Some(at))
    }

    fn take_whole(&mut self, place: &TreePath) -> Result<(), ObjectError> {
        if place.is_root() || !self.whole.insert(place.clone()) {
            return Ok(());
        }
        let below: Vec<TreePath> = match self.tree.dir(place) {
            Some(dir) => dir.walk().filter_map(|(path, _)| format!("{}{path}", place.as_str()).parse().ok()).collect(),
            None => Vec::new(),
        };
        below.iter().try_for_each(|path| self.take(path).map(drop))
    }

    /// Takes a program with what it needs to start: its loader, libraries, interpreter. Is it there?
    pub fn program(&mut self, path: &TreePath) -> Result<bool, ObjectError> {
        let Some(place) = self.take(path)? else {
            return Ok(false);
        };
        let Some(Entry::File(file)) = self.tree.get(&place) else {
            return Ok(false);
        };
        if let ObjectKind::Script { interpreter, through_env } = self.knowledge.with(file, Clone::clone)? {
            self.program(&TreePath::root().resolve_link(&interpreter))?;
            if let Some(program) = through_env {
                for folder in PROGRAMS {
                    if self.program(&TreePath::root().resolve_link(&format!("{folder}/{program}")))? {
                        break;
                    }
                }
            }
        }
        Ok(true)
    }

    /// Takes what the loader would load for the file at `place`.
    fn close(&mut self, place: &TreePath, file: &FileEntry) -> Result<(), ObjectError> {
        if !self.closed.insert(place.clone()) {
            return Ok(());
        }
        let ObjectKind::Elf(info) = self.knowledge.with(file, Clone::clone)? else {
            return Ok(());
        };
        if let Some(interpreter) = &info.interpreter {
            self.take(&TreePath::root().resolve_link(interpreter))?;
        }
        for needed in &info.needed {
            if needed.contains('/') {
                self.take(&TreePath::root().resolve_link(needed))?;
            } else {
                self.library(place, &info, needed)?;
            }
        }
        Ok(())
    }

    /// Takes the library that the loader would find for the file at `place`, if there is one. What the closure check
    /// finds missing is missing here too, and the tool says so.
    fn library(&mut self, place: &TreePath, info: &ElfInfo, name: &str) -> Result<(), ObjectError> {
        let origin = place.parent().unwrap_or_default().to_string();
        let own = info.runpath.iter().map(|folder| {
            let folder = folder.replace("$ORIGIN", &origin).replace("${ORIGIN}", &origin);
            TreePath::root().resolve_link(&folder)
        });
        let own: Vec<TreePath> = own.collect();
        let count = own.len();
        let candidates = own.into_iter().chain(self.configured.clone()).chain(self.default.clone()).enumerate();
        for (index, folder) in candidates {
            let Ok(path) = folder.join(name) else {
                return Ok(());
            };
            let Some((_, Some(Entry::File(file)))) = self.tree.resolve(&path) else {
                continue;
            };
            let fits = |kind: &ObjectKind| matches!(kind, ObjectKind::Elf(other) if other.machine == info.machine);
            if !self.knowledge.with(file, fits)? {
                continue;
            }
            if index >= count && !self.is_default(&folder) {
                self.used.insert(folder);
            }
            self.take(&path)?;
            return Ok(());
        }
        Ok(())
    }

    fn is_default(&self, folder: &TreePath) -> bool {
        let place = |folder: &TreePath| self.tree.resolve(folder).map(|(place, _)| place);
        self.default.iter().any(|default| place(default) == place(folder))
    }
}

/// What of `after` is not in `before`: new files and links, and those with other content. Directories come along when
/// they are new.
pub fn difference(before: &Dir, after: &Dir) -> BTreeMap<TreePath, Entry> {
    after
        .walk()
        .filter(|(path, entry)| match (before.get(path), entry) {
            (Some(Entry::Dir(_)), Entry::Dir(_)) => false,
            (Some(Entry::File(old)), Entry::File(new)) => old.object != new.object,
            (Some(old), new) => old != *new,
            (None, _) => true,
        })
        .map(|(path, entry)| (path, entry.clone()))
        .collect()
}
