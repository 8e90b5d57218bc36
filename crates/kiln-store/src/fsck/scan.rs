//! Objects, trees and results, each looked at once.

use std::collections::HashMap;
use std::sync::Mutex;

use kiln_model::report::Task;
use kiln_model::{ActionKey, Entry, ObjectError, ObjectId, TreeId};
use rustix::fs::FileType;

use super::{Fate, Fault, FsckReport, Problem, Repair};
use crate::files::{self, FileError, Result};
use crate::parallel::in_parallel;
use crate::roots::Reference;
use crate::session::Session;
use crate::walk::{self, Found, Name};
use crate::{TreeError, layout, object, tree};

/// One run over a store.
pub(super) struct Scan<'a> {
    pub(super) session: &'a Session,
    pub(super) repair: Repair<'a>,
    pub(super) report: FsckReport,
    /// Objects looked at: their length, or that they cannot be used.
    objects: HashMap<ObjectId, Option<u64>>,
    /// Trees looked at: can they be used?
    trees: HashMap<TreeId, bool>,
}

/// What a look at one inode of an object tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Whole { size: u64, mode: u32 },
    Damaged,
    Gone,
}

impl<'a> Scan<'a> {
    pub(super) fn new(session: &'a Session, repair: Repair<'a>) -> Self {
        Self { session, repair, report: FsckReport::default(), objects: HashMap::new(), trees: HashMap::new() }
    }

    pub(super) const fn repairs(&self) -> bool {
        !matches!(self.repair, Repair::No)
    }

    pub(super) fn tell(&mut self, at: &str, fault: Fault, fate: Fate) {
        self.report.problems.push(Problem { path: self.session.files().path(at), fault, fate });
    }

    /// Removes what cannot be mended.
    pub(super) fn remove(&mut self, at: &str, fault: Fault) -> Result<()> {
        let fate = if self.repairs() {
            self.session.files().remove_all(at)?;
            Fate::Removed
        } else {
            Fate::Left
        };
        self.tell(at, fault, fate);
        Ok(())
    }

    fn fix_mode(&mut self, at: &str, found: u32, wanted: u32) -> Result<()> {
        if found == wanted {
            return Ok(());
        }
        let fate = if self.repairs() {
            self.session.files().chmod(at, wanted)?;
            Fate::Mended
        } else {
            Fate::Left
        };
        self.tell(at, Fault::Mode, fate);
        Ok(())
    }

    /// Hashes every inode in `objects`, one directory of it after the other, each on all cores.
    pub(super) fn objects(&mut self, task: &Task<'_>) -> Result<()> {
        let mut batch: Vec<Found> = Vec::new();
        let session = self.session;
        walk::each(session.files(), layout::OBJECTS, |found| {
            if batch.first().is_some_and(|first| first.at.get(..10) != found.at.get(..10)) {
                self.batch(&std::mem::take(&mut batch))?;
                task.progress(self.report.bytes);
            }
            batch.push(found);
            Ok::<(), FileError>(())
        })?;
        self.batch(&batch)
    }

    fn batch(&mut self, batch: &[Found]) -> Result<()> {
        let session = self.session;
        let verdicts = Mutex::new(HashMap::new());
        in_parallel(session.options().threads, batch, |found, buffer| {
            let (Name::Plain(digest) | Name::Executable(digest)) = found.what else { return Ok(()) };
            let verdict = inspect(session, &found.at, ObjectId(digest), buffer)?;
            verdicts.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(found.at.clone(), verdict);
            Ok::<(), FileError>(())
        })?;
        let verdicts = verdicts.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Executable inodes first: a plain one can be had again from a whole one.
        for found in batch {
            match found.what {
                Name::Executable(digest) => match verdicts[&found.at] {
                    Verdict::Whole { size, mode } => {
                        self.report.bytes += size;
                        self.fix_mode(&found.at, mode, layout::EXECUTABLE)?;
                    }
                    Verdict::Damaged => self.remove(&found.at, Fault::Executable(ObjectId(digest)))?,
                    Verdict::Gone => {}
                },
                Name::Foreign => self.foreign(&found.at)?,
                Name::Plain(_) => {}
            }
        }
        for found in batch {
            let Name::Plain(digest) = found.what else { continue };
            self.judge(ObjectId(digest), &found.at, verdicts[&found.at])?;
        }
        Ok(())
    }

    /// Enters what was seen of an object, and mends or removes a damaged one.
    fn judge(&mut self, id: ObjectId, at: &str, verdict: Verdict) -> Result<Option<u64>> {
        let size = match verdict {
            Verdict::Whole { size, mode } => {
                self.report.objects += 1;
                self.report.bytes += size;
                self.fix_mode(at, mode, layout::PLAIN)?;
                Some(size)
            }
            Verdict::Gone => None,
            Verdict::Damaged => {
                self.report.objects += 1;
                let mended = if self.repairs() { self.mend(&id)? } else { None };
                match mended {
                    Some(_) => self.tell(at, Fault::Object(id), Fate::Mended),
                    None => self.remove(at, Fault::Object(id))?,
                }
                mended
            }
        };
        self.objects.insert(id, size);
        Ok(size)
    }

    /// Is the object whole, and of this length? One that was written meanwhile is looked at now; one that is missing is
    /// had again if it can be.
    pub(super) fn has(&mut self, id: ObjectId, size: Option<u64>) -> Result<bool> {
        let mut found = match self.objects.get(&id) {
            Some(known) => *known,
            None => {
                let at = layout::object(&id);
                let verdict = inspect(self.session, &at, id, &mut Vec::new())?;
                let mut found = self.judge(id, &at, verdict)?;
                if verdict == Verdict::Gone && self.repairs() {
                    found = self.mend(&id)?;
                    if found.is_some() {
                        self.tell(&at, Fault::MissingObject(id), Fate::Mended);
                        self.objects.insert(id, found);
                    }
                }
                found
            }
        };
        if size.is_some() && found != size {
            found = None;
        }
        Ok(found.is_some())
    }

    pub(super) fn trees(&mut self) -> Result<()> {
        let session = self.session;
        walk::each(session.files(), layout::TREES, |found| match found.what {
            Name::Plain(digest) => self.has_tree(TreeId(digest)).map(|_| ()),
            _ => self.foreign(&found.at),
        })
    }

    /// Can the tree be used?
    pub(super) fn has_tree(&mut self, id: TreeId) -> Result<bool> {
        if let Some(known) = self.trees.get(&id) {
            return Ok(*known);
        }
        let at = layout::tree(&id);
        let usable = self.look_at_tree(id, &at)?;
        self.trees.insert(id, usable);
        Ok(usable)
    }

    fn look_at_tree(&mut self, id: TreeId, at: &str) -> Result<bool> {
        let Some(stat) = self.session.files().look(at)? else { return Ok(false) };
        self.report.trees += 1;
        if files::kind(&stat) != FileType::RegularFile {
            self.remove(at, Fault::Tree(id))?;
            return Ok(false);
        }
        let dir = match tree::load(self.session.files(), at, id) {
            Ok(dir) => dir,
            Err(TreeError::File(error)) => return Err(error),
            Err(_) => {
                self.remove(at, Fault::Tree(id))?;
                return Ok(false);
            }
        };
        self.fix_mode(at, files::permissions(&stat), layout::PLAIN)?;
        for (_, entry) in dir.walk() {
            if let Entry::File(file) = entry
                && !self.has(file.object, Some(file.size))?
            {
                self.remove(at, Fault::IncompleteTree(id, file.object))?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn records(&mut self) -> Result<()> {
        let session = self.session;
        walk::each(session.files(), layout::ACTIONS, |found| match found.what {
            Name::Plain(digest) => self.record(ActionKey(digest), &found.at),
            _ => self.foreign(&found.at),
        })
    }

    fn record(&mut self, key: ActionKey, at: &str) -> Result<()> {
        let Some(stat) = self.session.files().look(at)? else { return Ok(()) };
        self.report.actions += 1;
        let whole = files::kind(&stat) == FileType::RegularFile;
        let result = if whole { self.session.store().action_quietly(&key)? } else { None };
        let Some(result) = result else {
            // Dropped meanwhile is not damaged.
            return match self.session.files().look(at)? {
                Some(_) => self.remove(at, Fault::Record(key)),
                None => Ok(()),
            };
        };
        for tree in result.trees.values() {
            if !self.has_tree(*tree)? {
                return self.remove(at, Fault::DanglingRecord(key, Reference::Tree(*tree)));
            }
        }
        for (object, size) in result.objects.values() {
            if !self.has(*object, Some(*size))? {
                return self.remove(at, Fault::DanglingRecord(key, Reference::Object(*object)));
            }
        }
        self.fix_mode(at, files::permissions(&stat), layout::PLAIN)
    }
}

/// Looks at one inode of an object.
fn inspect(session: &Session, at: &str, id: ObjectId, buffer: &mut Vec<u8>) -> Result<Verdict> {
    let Some(stat) = session.files().look(at)? else { return Ok(Verdict::Gone) };
    if files::kind(&stat) != FileType::RegularFile {
        return Ok(Verdict::Damaged);
    }
    let size = stat.st_size as u64;
    let file = match object::open_sized(session.files(), at, &id, size) {
        Ok(file) => file,
        Err(ObjectError::Missing(_)) => return Ok(Verdict::Gone),
        Err(ObjectError::Damaged(_)) => return Ok(Verdict::Damaged),
        Err(ObjectError::Io { source, .. }) => return Err(FileError::new("open", session.files().path(at), source)),
    };
    match object::hash_file(&file, buffer) {
        Ok((found, _)) if found == id => Ok(Verdict::Whole { size, mode: files::permissions(&stat) }),
        Ok(_) => Ok(Verdict::Damaged),
        // A sector that cannot be read is damage like any other.
        Err(e) if e.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => Ok(Verdict::Damaged),
        Err(e) => Err(FileError::new("read", session.files().path(at), e)),
    }
}
