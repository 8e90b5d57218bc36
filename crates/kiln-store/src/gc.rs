//! Garbage collection: what no root keeps and nobody used lately goes.
//!
//! gc holds the store's lock alone, so no session lives while it works, and what a running build needs cannot be taken
//! from it. A checkout whose lock is held keeps its tree: a container may run on it without a session.
//!
//! It marks from the roots, from the checkouts in use, and from the results that are young enough and fit; then it removes
//! the rest in this order, with a flush between the kinds, so that a kill or power cut at any instant leaves nothing
//! that names what is gone: results and logs, checkouts, trees, objects. It fails closed: when a tree that is to be kept
//! cannot be read, so that its objects are not known, nothing is removed.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kiln_model::report::Task;
use kiln_model::{ActionKey, Entry, ObjectId, TreeId};

use crate::action::ActionResult;
use crate::files::{self, FileError};
use crate::lock::{self, Kind};
use crate::parallel::in_parallel;
use crate::roots::{Reference, RootError};
use crate::walk::{self, Name, Size};
use crate::{Store, TreeError, layout};

/// What gc is to keep, besides what roots keep.
#[derive(Debug, Clone, Copy, Default)]
pub struct GcOptions {
    /// Keep results used since then; without it, none but those that roots keep.
    pub keep_since: Option<SystemTime>,
    /// Of those, keep the ones used last, as many as fit with the roots' into this many bytes.
    pub max_bytes: Option<u64>,
    /// Only tell what would go.
    pub dry_run: bool,
    /// Wait for those who use the store; otherwise fail and say who.
    pub wait: bool,
}

/// What gc did, or would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GcReport {
    /// Results of actions that went.
    pub actions: u64,
    /// Checkouts that went.
    pub checkouts: u64,
    /// Trees that went.
    pub trees: u64,
    /// Objects that went, executable inodes not counted.
    pub objects: u64,
    /// Bytes that were freed.
    pub freed: u64,
    /// Results of actions that stayed.
    pub kept_actions: u64,
    /// Objects that stayed.
    pub kept_objects: u64,
    /// Bytes that stayed, of objects and trees.
    pub kept: u64,
}

/// Why gc did nothing.
#[derive(Debug, thiserror::Error)]
pub enum GcError {
    /// A call failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// Others use the store.
    #[error("the store is in use by {by}")]
    InUse {
        /// Who, as far as the system tells.
        by: String,
    },
    /// This very process uses the store, so waiting would have no end.
    #[error("the store is in use by this very process")]
    OwnSession,
    /// A root cannot be read, so what it keeps is not known.
    #[error("nothing was removed, because what to keep is not known")]
    Root(#[source] RootError),
    /// A tree cannot be read, so what it keeps is not known.
    #[error("nothing was removed, because what to keep is not known")]
    Tree(#[source] TreeError),
}

impl GcError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::InUse { .. } => Some("try again when it is done".to_owned()),
            Self::OwnSession => None,
            Self::Root(_) | Self::Tree(_) => Some("run `kiln fsck --repair` first".to_owned()),
        }
    }
}

/// The store for oneself. No session lives while this does.
pub(crate) struct Alone(#[expect(dead_code, reason = "held for its drop")] File);

impl Store {
    /// Takes the store for oneself.
    pub(crate) fn alone(&self, wait: bool) -> Result<Alone, GcError> {
        self.check_writable("clean")?;
        if self.sessions().load(Ordering::SeqCst) > 0 {
            return Err(GcError::OwnSession);
        }
        let file = self.files().open_lock(layout::LOCK, 0o644)?;
        if wait {
            lock::lock(self.files(), &file, layout::LOCK, Kind::Exclusive, |pids| {
                self.warn(format!("waiting for {}, which uses the store", lock::name_holders(&pids)), None);
            })?;
        } else if !lock::try_lock(self.files(), &file, layout::LOCK, Kind::Exclusive)? {
            return Err(GcError::InUse { by: lock::name_holders(&lock::holders(&file)) });
        }
        Ok(Alone(file))
    }

    /// Does something while no session lives, such as cleaning what lies beside the store.
    ///
    /// # Errors
    /// When the store is in use.
    pub fn while_alone<T>(&self, wait: bool, work: impl FnOnce() -> T) -> Result<T, GcError> {
        let _alone = self.alone(wait)?;
        Ok(work())
    }

    /// Removes what nothing keeps.
    ///
    /// # Errors
    /// When the store is in use, damaged, or a file cannot be removed. What was removed until then was not needed.
    pub fn gc(&self, options: &GcOptions) -> Result<GcReport, GcError> {
        let _alone = self.alone(options.wait)?;
        let task = Task::start(self.reporter(), "Cleaning", "the store", None);
        let in_use = self.checkouts_in_use()?;
        let mut live =
            Live { store: self, actions: HashSet::new(), trees: HashSet::new(), objects: HashSet::new(), bytes: 0 };
        live.mark_roots(&in_use)?;
        live.mark_recent(options)?;
        let report = live.sweep(options, &in_use)?;
        task.finish(
            format!("{} results and {} objects, {} bytes", report.actions, report.objects, report.freed),
            false,
        );
        Ok(report)
    }

    /// The trees of checkouts that somebody holds. Nobody can take one up meanwhile, since that takes a session.
    pub(crate) fn checkouts_in_use(&self) -> files::Result<HashSet<String>> {
        let mut in_use = HashSet::new();
        for name in self.files().names(layout::CHECKOUTS)? {
            let path = format!("{}/{name}/lock", layout::CHECKOUTS);
            match self.files().open(&path) {
                Ok(file) => {
                    if !lock::try_lock(self.files(), &file, &path, Kind::Exclusive)? {
                        in_use.insert(name);
                    }
                }
                Err(error) if error.is_missing() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(in_use)
    }
}

/// What is to be kept.
struct Live<'a> {
    store: &'a Store,
    actions: HashSet<ActionKey>,
    trees: HashSet<TreeId>,
    objects: HashSet<ObjectId>,
    /// What the trees and objects take.
    bytes: u64,
}

impl Live<'_> {
    fn mark_roots(&mut self, in_use: &HashSet<String>) -> Result<(), GcError> {
        for (name, references) in self.store.roots().map_err(GcError::Root)? {
            for reference in references {
                let there = match reference {
                    Reference::Action(key) => match self.store.action_quietly(&key)? {
                        Some(result) => {
                            self.mark_action(key, &result)?;
                            true
                        }
                        None => false,
                    },
                    Reference::Tree(id) => self.mark_tree(id)?,
                    Reference::Object(id) => self.mark_object(id)?,
                };
                if !there {
                    self.store.warn(
                        format!("root `{name}` keeps {reference}, which is not there"),
                        Some("build it again, or run `kiln fsck --repair`".to_owned()),
                    );
                }
            }
        }
        for name in in_use {
            if let Ok(id) = name.parse() {
                self.mark_tree(id)?;
            }
        }
        Ok(())
    }

    /// Marks results by the time of their last use, the latest first, while they are young enough and fit.
    fn mark_recent(&mut self, options: &GcOptions) -> Result<(), GcError> {
        let Some(since) = options.keep_since else { return Ok(()) };
        let mut recent = BTreeMap::new();
        let files = self.store.files();
        walk::each(files, layout::ACTIONS, |found| {
            if let (Name::Plain(digest), Some(stat)) = (found.what, files.look(&found.at)?) {
                let used = used(&stat);
                if used >= since {
                    recent.insert((std::cmp::Reverse(used), ActionKey(digest)), ());
                }
            }
            Ok::<(), FileError>(())
        })?;
        for (_, key) in recent.into_keys() {
            if self.actions.contains(&key) {
                continue;
            }
            let Some(result) = self.store.action_quietly(&key)? else { continue };
            if let Some(limit) = options.max_bytes {
                let mut alone = Live {
                    store: self.store,
                    actions: HashSet::new(),
                    trees: HashSet::new(),
                    objects: HashSet::new(),
                    bytes: 0,
                };
                alone.mark_action(key, &result)?;
                if self.bytes + self.missing_bytes(&alone)? > limit {
                    break;
                }
            }
            self.mark_action(key, &result)?;
        }
        Ok(())
    }

    /// What `other` would add.
    fn missing_bytes(&self, other: &Live<'_>) -> Result<u64, FileError> {
        let mut bytes = 0;
        for id in other.trees.difference(&self.trees) {
            bytes += self.size(&layout::tree(id))?.unwrap_or(0);
        }
        for id in other.objects.difference(&self.objects) {
            bytes += self.object_bytes(id)?.unwrap_or(0);
        }
        Ok(bytes)
    }

    fn size(&self, at: &str) -> Result<Option<u64>, FileError> {
        Ok(self.store.files().look(at)?.map(|stat| walk::bytes_of(&stat)))
    }

    fn object_bytes(&self, id: &ObjectId) -> Result<Option<u64>, FileError> {
        let plain = self.size(&layout::object(id))?;
        Ok(plain.map(|plain| plain + self.size(&layout::executable(id)).ok().flatten().unwrap_or(0)))
    }

    fn mark_action(&mut self, key: ActionKey, result: &ActionResult) -> Result<(), GcError> {
        if !self.actions.insert(key) {
            return Ok(());
        }
        for tree in result.trees.values() {
            if !self.mark_tree(*tree)? {
                return Err(GcError::Tree(TreeError::Missing(*tree)));
            }
        }
        for (object, _) in result.objects.values() {
            self.mark_object(*object)?;
        }
        Ok(())
    }

    fn mark_object(&mut self, id: ObjectId) -> Result<bool, GcError> {
        if self.objects.contains(&id) {
            return Ok(true);
        }
        let bytes = self.object_bytes(&id)?;
        self.objects.insert(id);
        self.bytes += bytes.unwrap_or(0);
        Ok(bytes.is_some())
    }

    fn mark_tree(&mut self, id: TreeId) -> Result<bool, GcError> {
        if !self.trees.insert(id) {
            return Ok(true);
        }
        // Loaded past the cache, so that marking holds one tree in memory at a time.
        let tree = match crate::tree::load(self.store.files(), &layout::tree(&id), id) {
            Err(TreeError::Missing(_)) => return Ok(false),
            other => other.map_err(GcError::Tree)?,
        };
        self.bytes += self.size(&layout::tree(&id))?.unwrap_or(0);
        for (_, entry) in tree.walk() {
            if let Entry::File(file) = entry {
                self.mark_object(file.object)?;
            }
        }
        Ok(true)
    }

    fn sweep(&self, options: &GcOptions, in_use: &HashSet<String>) -> Result<GcReport, GcError> {
        let (store, files) = (self.store, self.store.files());
        let mut report = GcReport { kept: self.bytes, ..GcReport::default() };
        let mut freed = Size::default();
        let mut dead = Dead { store, dry_run: options.dry_run, batch: Vec::new() };
        let settle = || if options.dry_run { Ok(()) } else { store.settle() };

        for folder in [layout::ACTIONS, layout::LOGS] {
            walk::each(files, folder, |found| {
                let Name::Plain(digest) = found.what else { return Ok(()) };
                let live = self.actions.contains(&ActionKey(digest));
                // A log without a result is a failure's: it is kept as long as a result would be.
                let young = || -> files::Result<bool> {
                    let since = options.keep_since.filter(|_| folder == layout::LOGS);
                    Ok(since.is_some() && files.look(&found.at)?.is_some_and(|stat| Some(used(&stat)) >= since))
                };
                if live || young()? {
                    report.kept_actions += u64::from(folder == layout::ACTIONS);
                    return Ok(());
                }
                report.actions += u64::from(folder == layout::ACTIONS);
                dead.add(found.at, &mut freed)
            })?;
        }
        dead.remove()?;
        settle()?;
        for name in files.names(layout::CHECKOUTS)? {
            let at = format!("{}/{name}", layout::CHECKOUTS);
            let live = name.parse().is_ok_and(|id| self.trees.contains(&id));
            let state = files.look(&format!("{at}/state"))?;
            let young = match (options.keep_since, state) {
                (Some(since), Some(state)) => used(&state) >= since,
                (_, None) => false,
                (None, _) => true,
            };
            if in_use.contains(&name) || (live && young) {
                continue;
            }
            report.checkouts += 1;
            freed.bytes += walk::own_bytes(files, &at)?.bytes;
            if !options.dry_run {
                store.bury(&at)?;
            }
        }
        settle()?;
        walk::each(files, layout::TREES, |found| {
            let Name::Plain(digest) = found.what else { return Ok(()) };
            if self.trees.contains(&TreeId(digest)) {
                return Ok(());
            }
            report.trees += 1;
            dead.add(found.at, &mut freed)
        })?;
        dead.remove()?;
        settle()?;
        walk::each(files, layout::OBJECTS, |found| {
            let (digest, plain) = match found.what {
                Name::Plain(digest) => (digest, 1),
                Name::Executable(digest) => (digest, 0),
                Name::Foreign => return Ok(()),
            };
            if self.objects.contains(&ObjectId(digest)) {
                report.kept_objects += plain;
                return Ok(());
            }
            report.objects += plain;
            dead.add(found.at, &mut freed)
        })?;
        dead.remove()?;
        if !options.dry_run {
            crate::session::bury_the_dead(store)?;
            store.remove_stale_locks()?;
        }
        report.freed = freed.bytes;
        Ok(report)
    }
}

/// Files to remove, a batch at a time on several threads: a disk answers many at once faster than one by one.
struct Dead<'a> {
    store: &'a Store,
    dry_run: bool,
    batch: Vec<String>,
}

impl Dead<'_> {
    fn add(&mut self, at: String, freed: &mut Size) -> files::Result<()> {
        if let Some(stat) = self.store.files().look(&at)? {
            freed.add(walk::bytes_of(&stat));
        }
        self.batch.push(at);
        if self.batch.len() < 4096 { Ok(()) } else { self.remove() }
    }

    fn remove(&mut self) -> files::Result<()> {
        let batch = std::mem::take(&mut self.batch);
        if self.dry_run {
            return Ok(());
        }
        in_parallel(self.store.options().threads.max(8), &batch, |at, _| self.store.files().remove_all(at))
    }
}

/// The time that gc goes by.
fn used(stat: &files::Stat) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0))
}

impl Store {
    /// A result, without counting it as used.
    pub(crate) fn action_quietly(&self, key: &ActionKey) -> files::Result<Option<ActionResult>> {
        match self.files().read(&layout::action(key), crate::action::LIMIT) {
            Ok(bytes) => Ok(crate::action::from_bytes(key, &bytes)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes a checkout: moved out of its name first, so that half a checkout never has one.
    pub(crate) fn bury(&self, at: &str) -> files::Result<()> {
        let grave = self.make_grave()?;
        self.files().rename(at, &format!("{grave}/buried"))?;
        self.files().remove_all(&grave)
    }

    /// A folder in staging that belongs to nobody, so that others remove it if this process dies.
    fn make_grave(&self) -> files::Result<String> {
        for count in 0u32.. {
            let at = format!("{}/grave-{}-{count}", layout::STAGING, std::process::id());
            match self.files().make_new_dir(&at) {
                Err(error) if error.is_there_already() => {}
                other => return other.map(|()| at),
            }
        }
        unreachable!("a process has no four thousand million graves")
    }

    /// Removes lock files that their holders died with.
    pub(crate) fn remove_stale_locks(&self) -> files::Result<u64> {
        let mut removed = 0;
        for name in self.files().names(layout::LOCKS)? {
            let at = format!("{}/{name}", layout::LOCKS);
            // Taken and let go again: who lets go removes the file.
            removed += u64::from(lock::NamedLock::take(self, at, false, |_| {})?.is_some());
        }
        Ok(removed)
    }
}
