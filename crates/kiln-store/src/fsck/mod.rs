//! Checking a store, and mending it.
//!
//! Everything is looked at: each object is hashed, each tree decoded and its objects looked up, each result's checksum
//! and all that it names, each root, each checkout against its tree, each name that the store did not write. Mending
//! goes down the same order: an object is had again from its executable twin or from whoever can give it
//! ([`Refetch`]); what cannot be mended is removed, and with it whatever names it, so that it is made again and never
//! used broken.
//!
//! Looking needs a session only, so builds go on meanwhile; what they add is checked as it is met. Only when there is
//! something to mend is the store taken alone, and looked through once more.

mod mend;
mod others;
mod scan;

use std::fmt;
use std::io::Read;
use std::mem::discriminant;
use std::path::PathBuf;

use kiln_model::report::Task;
use kiln_model::{ActionKey, ObjectId, TreeId};

use crate::files::FileError;
use crate::gc::GcError;
use crate::roots::Reference;
use crate::session::{Session, SessionError};
use crate::{Store, layout};
use scan::Scan;

/// Gives objects again: from a cache, or by fetching what they came from.
pub trait Refetch: Sync {
    /// The bytes of an object, if they can be had. They are verified.
    fn object(&self, id: &ObjectId) -> Option<Box<dyn Read + '_>>;
}

/// What to do about what is found.
#[derive(Clone, Copy, Default)]
pub enum Repair<'a> {
    /// Only tell.
    #[default]
    No,
    /// Mend what the store can mend alone; remove the rest.
    Remove,
    /// Mend what can be mended with the bytes that this gives; remove the rest.
    Refetch(&'a dyn Refetch),
}

/// How to check a store.
#[derive(Clone, Copy, Default)]
pub struct FsckOptions<'a> {
    /// What to do about what is found.
    pub repair: Repair<'a>,
    /// Wait for those who use the store when something is to be mended; otherwise fail and say who.
    pub wait: bool,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// An object's bytes are not those it is named by.
    Object(ObjectId),
    /// An object's executable inode is damaged.
    Executable(ObjectId),
    /// Something names an object that is not there or not of that length.
    MissingObject(ObjectId),
    /// A tree's bytes are not those it is named by.
    Tree(TreeId),
    /// A tree names an object that is not there.
    IncompleteTree(TreeId, ObjectId),
    /// A result's checksum is wrong.
    Record(ActionKey),
    /// A result names something that is not there.
    DanglingRecord(ActionKey, Reference),
    /// A root's checksum is wrong.
    Root(String),
    /// A root keeps something that is not there.
    DanglingRoot(String, Reference),
    /// A checkout is not what its tree says.
    Checkout(String),
    /// A file has the wrong permissions.
    Mode,
    /// The store did not write it.
    Foreign,
    /// A dead session left it.
    Dead,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(id) => write!(f, "object {id} is damaged"),
            Self::Executable(id) => write!(f, "the executable inode of object {id} is damaged"),
            Self::MissingObject(id) => write!(f, "object {id} is missing"),
            Self::Tree(id) => write!(f, "tree {id} is damaged"),
            Self::IncompleteTree(id, object) => {
                write!(f, "tree {id} needs object {object}, which is missing or damaged")
            }
            Self::Record(key) => write!(f, "the result of action {key} is damaged"),
            Self::DanglingRecord(key, needs) => {
                write!(f, "the result of action {key} needs {needs}, which is missing or damaged")
            }
            Self::Root(name) => write!(f, "root `{name}` is damaged"),
            Self::DanglingRoot(name, keeps) => write!(f, "root `{name}` keeps {keeps}, which is missing or damaged"),
            Self::Checkout(why) => write!(f, "the checkout is damaged: {why}"),
            Self::Mode => f.write_str("the file has the wrong permissions"),
            Self::Foreign => f.write_str("the store did not write this"),
            Self::Dead => f.write_str("a dead session left this"),
        }
    }
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is as it was.
    Left,
    /// It is whole again.
    Mended,
    /// It is gone, and made again when it is needed.
    Removed,
    /// It is as it was, since somebody uses it.
    InUse,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: Fault,
    /// What became of it.
    pub fate: Fate,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fate = match self.fate {
            Fate::Left => "",
            Fate::Mended => ": mended",
            Fate::Removed => ": removed",
            Fate::InUse => ": left, because it is in use",
        };
        write!(f, "`{}`: {}{fate}", self.path.display(), self.fault)
    }
}

/// What fsck found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FsckReport {
    /// Objects looked at.
    pub objects: u64,
    /// Bytes of objects hashed.
    pub bytes: u64,
    /// Trees looked at.
    pub trees: u64,
    /// Results looked at.
    pub actions: u64,
    /// Checkouts looked at.
    pub checkouts: u64,
    /// What is wrong, in order of paths.
    pub problems: Vec<Problem>,
}

impl FsckReport {
    /// Was nothing wrong?
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    /// What is wrong, for people: one line for each file and kind of fault. A root that keeps a hundred results of which
    /// one object is gone has one.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let alike = |a: &Problem, b: &Problem| {
            a.path == b.path && a.fate == b.fate && discriminant(&a.fault) == discriminant(&b.fault)
        };
        let line = |some: &[Problem]| {
            let first = some.first()?;
            Some(match some.len() {
                1 => first.to_string(),
                many => format!("{first} (and {} more of that kind there)", many - 1),
            })
        };
        self.problems.chunk_by(alike).filter_map(line).collect()
    }

    /// Is nothing wrong any more?
    #[must_use]
    pub fn is_mended(&self) -> bool {
        self.problems.iter().all(|problem| matches!(problem.fate, Fate::Mended | Fate::Removed))
    }
}

/// Why a store cannot be checked or mended.
#[derive(Debug, thiserror::Error)]
pub enum FsckError {
    /// A call failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// It cannot be taken alone for mending.
    #[error("the store is damaged and cannot be mended now")]
    Alone(#[source] GcError),
}

impl FsckError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Alone(error) => error.hint(),
        }
    }
}

impl From<SessionError> for FsckError {
    fn from(SessionError::File(error): SessionError) -> Self {
        Self::File(error)
    }
}

impl Store {
    /// Checks everything in the store, and mends it if that is asked for.
    ///
    /// # Errors
    /// When a file cannot be read, or the store cannot be taken alone for mending.
    pub fn fsck(&self, options: &FsckOptions<'_>) -> Result<FsckReport, FsckError> {
        let found = self.session()?.run_fsck(Repair::No)?;
        if found.is_sound() || matches!(options.repair, Repair::No) {
            return Ok(found);
        }
        let alone = self.alone(options.wait).map_err(FsckError::Alone)?;
        Ok(Session::begin_alone(self, &alone).run_fsck(options.repair)?)
    }
}

impl Session {
    fn run_fsck(&self, repair: Repair<'_>) -> Result<FsckReport, FileError> {
        let task = Task::start(self.reporter(), "Checking", "the store", None);
        let mut scan = Scan::new(self, repair);
        scan.objects(&task)?;
        scan.trees()?;
        scan.records()?;
        scan.roots()?;
        scan.checkouts()?;
        scan.names()?;
        if !matches!(repair, Repair::No) {
            self.settle()?;
        }
        let mut report = scan.report;
        report.problems.sort_by(|one, two| one.path.cmp(&two.path));
        let outcome = match report.problems.len() {
            0 => "sound".to_owned(),
            1 => "1 problem".to_owned(),
            many => format!("{many} problems"),
        };
        task.finish(outcome, false);
        Ok(report)
    }
}

/// The file of something that a root keeps.
pub(crate) fn place(reference: &Reference) -> String {
    match reference {
        Reference::Action(key) => layout::action(key),
        Reference::Object(id) => layout::object(id),
        Reference::Tree(id) => layout::tree(id),
    }
}

#[cfg(test)]
mod line_tests {
    use super::*;

    #[test]
    fn faults_of_one_kind_in_one_file_are_one_line() {
        let key = |n: u8| Reference::Action(ActionKey(kiln_model::Digest::of(&[n])));
        let problem = |root: &str, fault: Fault| Problem { path: root.into(), fault, fate: Fate::Left };
        let dangling = |root: &str, n: u8| problem(root, Fault::DanglingRoot(root.to_owned(), key(n)));
        let problems =
            vec![dangling("a", 1), dangling("a", 2), dangling("a", 3), problem("a", Fault::Mode), dangling("b", 1)];
        let lines = FsckReport { problems, ..FsckReport::default() }.lines();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].starts_with("`a`: root `a` keeps") && lines[0].ends_with("(and 2 more of that kind there)"));
        assert!(lines[1].contains("permissions") && lines[2].ends_with("damaged"));
    }
}
