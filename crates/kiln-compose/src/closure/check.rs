//! The closure check: what programs and links of the image want and the image does not have.

use std::collections::{BTreeSet, HashMap};

use kiln_model::elf::{EM_AARCH64, EM_X86_64, ElfInfo};
use kiln_model::{Architecture, Dir, Entry, FileEntry, ObjectError, ObjectSource, TreePath};

use super::analysis::{Knowledge, ObjectKind, TreeAnalysis, is_candidate};
use super::search::{configured_folders, default_folders};

/// How bad a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A program or library where programs and libraries are looked for would not start.
    Error,
    /// A script where programs are looked for would not start, or a link elsewhere leads nowhere. Packages of a
    /// distribution count on its essential set without saying so, so a small image without a shell has such scripts and
    /// is right not to; and many have links into packages that they only suggest.
    Warning,
    /// A program, library or script elsewhere, often meant to work only together with a package that is not there. The user
    /// is told of these by package.
    Note,
}

/// What is missing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// The loader that an ELF program names.
    Interpreter(String),
    /// A library that an ELF file needs.
    Library(String),
    /// The interpreter behind a script's `#!`.
    Script(String),
    /// The target of a symbolic link.
    Link(String),
    /// It begins like a program but cannot be read as one.
    Damaged(String),
}

/// Something in the image that does not find what it needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClosureFault {
    /// How bad it is.
    pub severity: Severity,
    /// The file or link.
    pub path: TreePath,
    /// What is missing.
    pub kind: FaultKind,
}

impl std::fmt::Display for ClosureFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.kind {
            FaultKind::Interpreter(name) => {
                write!(f, "`{}` needs the loader `{name}`, which is not in the image", self.path)
            }
            FaultKind::Library(name) => {
                write!(f, "`{}` needs the library `{name}`, which is not in the image", self.path)
            }
            FaultKind::Script(name) => write!(f, "`{}` is a script for `{name}`, which is not in the image", self.path),
            FaultKind::Link(target) => write!(f, "`{}` is a link to `{target}`, which is not in the image", self.path),
            FaultKind::Damaged(why) => write!(f, "`{}` cannot be read: {why}", self.path),
        }
    }
}

/// Paths whose faults the image accepts: the path itself, or everything below it.
#[derive(Debug, Clone, Default)]
pub struct Allowed(pub BTreeSet<TreePath>);

impl Allowed {
    fn holds(&self, path: &TreePath) -> bool {
        self.0.contains(path) || self.0.iter().any(|allowed| path.starts_with(allowed))
    }
}

/// Where programs are looked for.
const PROGRAMS: [&str; 5] = ["usr/bin", "usr/sbin", "usr/local/bin", "usr/local/sbin", "usr/games"];
/// Where something may appear only when the system runs: what the kernel shows, what is empty at each start, and what
/// programs keep. A link that ends there is not judged.
const AT_RUN_TIME: [&str; 12] = [
    "proc",
    "dev",
    "run",
    "sys",
    "tmp",
    "var/run",
    "var/lock",
    "var/tmp",
    "var/lib",
    "var/cache",
    "var/log",
    "var/spool",
];
/// The most links on one way: the kernel's own limit.
const MOST_LINKS: u32 = 40;

/// Looks for everything in the image that does not find what it needs, in order of severity and path.
///
/// # Errors
/// When an object that no analysis knows cannot be read.
pub fn check<'a>(
    tree: &Dir,
    architecture: Architecture,
    analyses: impl Iterator<Item = &'a TreeAnalysis>,
    source: &'a dyn ObjectSource,
    allowed: &Allowed,
) -> Result<Vec<ClosureFault>, ObjectError> {
    let knowledge = Knowledge::new(analyses, source);
    let mut folders = configured_folders(tree, source)?;
    folders.extend(default_folders(tree, architecture));
    let libraries = places(tree, folders.iter().cloned());
    let programs = places(tree, PROGRAMS.iter().filter_map(|path| path.parse().ok()));
    let mut check =
        Check { tree, knowledge, libraries, programs, found: HashMap::new(), architecture, faults: Vec::new() };
    for (path, entry) in tree.walk() {
        match entry {
            Entry::Symlink(link) => check.link(&path, &link.target),
            Entry::File(file) if is_candidate(path.file_name().unwrap_or_default(), file) => check.file(&path, file)?,
            _ => {}
        }
    }
    let mut faults = check.faults;
    faults.retain(|fault| !allowed.holds(&fault.path));
    faults.sort();
    Ok(faults)
}

/// The real places of folders, each once, in order.
fn places(tree: &Dir, folders: impl Iterator<Item = TreePath>) -> Vec<TreePath> {
    let mut list: Vec<TreePath> = Vec::new();
    for folder in folders {
        if let Some((place, Some(Entry::Dir(_)))) = tree.resolve(&folder)
            && !list.contains(&place)
        {
            list.push(place);
        }
    }
    list
}

struct Check<'a> {
    tree: &'a Dir,
    knowledge: Knowledge<'a>,
    libraries: Vec<TreePath>,
    programs: Vec<TreePath>,
    /// Libraries looked up by name and machine; only looked up in.
    found: HashMap<(String, u16), bool>,
    architecture: Architecture,
    faults: Vec<ClosureFault>,
}

impl Check<'_> {
    fn add(&mut self, severity: Severity, path: &TreePath, kind: FaultKind) {
        self.faults.push(ClosureFault { severity, path: path.clone(), kind });
    }

    fn is_in(path: &TreePath, folders: &[TreePath]) -> bool {
        path.parent().is_some_and(|parent| folders.contains(&parent))
    }

    fn link(&mut self, path: &TreePath, target: &str) {
        if self.tree.resolve(path).is_some() {
            return;
        }
        if self.ends_at_run_time(path, target) {
            return;
        }
        let matters = Self::is_in(path, &self.programs) || Self::is_in(path, &self.libraries);
        let severity = if matters { Severity::Error } else { Severity::Warning };
        self.add(severity, path, FaultKind::Link(target.to_owned()));
    }

    /// Does a link that leads to nothing in the image, over others or not, end where something appears later?
    fn ends_at_run_time(&self, path: &TreePath, target: &str) -> bool {
        let (mut at, mut target) = (path.clone(), target);
        for _ in 0..MOST_LINKS {
            let to = at.resolve_link(target);
            let (Some(parent), Some(name)) = (to.parent(), to.file_name()) else { return false };
            let real = self.tree.resolve(&parent).and_then(|(parent, _)| parent.join(name).ok());
            let place = real.as_ref().unwrap_or(&to);
            let later = |path: &TreePath| {
                AT_RUN_TIME.iter().any(|folder| {
                    path.as_str().strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                })
            };
            if later(&to) || later(place) {
                return true;
            }
            match self.tree.get(place) {
                Some(Entry::Symlink(next)) => target = &next.target,
                _ => return false,
            }
            at = place.clone();
        }
        false
    }

    fn file(&mut self, path: &TreePath, file: &FileEntry) -> Result<(), ObjectError> {
        let kind = self.knowledge.with(file, Clone::clone)?;
        match kind {
            ObjectKind::Other => {}
            ObjectKind::Damaged(why) => {
                let matters = Self::is_in(path, &self.programs) || Self::is_in(path, &self.libraries);
                let severity = if matters { Severity::Error } else { Severity::Note };
                self.add(severity, path, FaultKind::Damaged(why));
            }
            ObjectKind::Script { interpreter, through_env } => {
                if file.is_executable() {
                    self.script(path, &interpreter, through_env.as_deref());
                }
            }
            ObjectKind::Elf(info) => self.elf(path, file, &info)?,
        }
        Ok(())
    }

    fn script(&mut self, path: &TreePath, interpreter: &str, through_env: Option<&str>) {
        let severity = if Self::is_in(path, &self.programs) { Severity::Warning } else { Severity::Note };
        if !self.is_file(interpreter) {
            self.add(severity, path, FaultKind::Script(interpreter.to_owned()));
            return;
        }
        if let Some(program) = through_env {
            let there = if program.contains('/') {
                self.is_file(program)
            } else {
                self.programs.iter().any(|folder| {
                    folder
                        .join(program)
                        .is_ok_and(|path| matches!(self.tree.resolve(&path), Some((_, Some(Entry::File(_))))))
                })
            };
            if !there {
                self.add(severity, path, FaultKind::Script(program.to_owned()));
            }
        }
    }

    fn is_file(&self, path: &str) -> bool {
        let path = TreePath::root().resolve_link(path);
        matches!(self.tree.resolve(&path), Some((_, Some(Entry::File(_)))))
    }

    fn elf(&mut self, path: &TreePath, file: &FileEntry, info: &ElfInfo) -> Result<(), ObjectError> {
        let ours = match self.architecture {
            Architecture::Amd64 => EM_X86_64,
            Architecture::Arm64 => EM_AARCH64,
        };
        let program = info.interpreter.is_some() && file.is_executable();
        let run = ["usr/lib/", "usr/libexec/", "opt/"].iter().any(|folder| path.as_str().starts_with(folder));
        let matters = info.machine == ours
            && (Self::is_in(path, &self.programs) || Self::is_in(path, &self.libraries) || (program && run));
        let severity = if matters { Severity::Error } else { Severity::Note };
        if let Some(interpreter) = &info.interpreter
            && !self.is_file(interpreter)
        {
            self.add(severity, path, FaultKind::Interpreter(interpreter.clone()));
        }
        // A library that lies with its own kind is loaded by a program that has loaded what lies beside it: systemd's, Java's.
        let beside: Vec<TreePath> = if matters || program { Vec::new() } else { path.parent().into_iter().collect() };
        for needed in &info.needed {
            if !self.has_library(path, info, needed)? && !self.is_library_in(&beside, needed, info.machine)? {
                self.add(severity, path, FaultKind::Library(needed.clone()));
            }
        }
        Ok(())
    }

    /// Would the loader find `needed` for the file at `path`?
    fn has_library(&mut self, path: &TreePath, info: &ElfInfo, needed: &str) -> Result<bool, ObjectError> {
        if needed.contains('/') {
            return Ok(self.is_file(needed));
        }
        let key = (needed.to_owned(), info.machine);
        let known = match self.found.get(&key) {
            Some(known) => *known,
            None => {
                let known = self.is_library_in(&self.libraries, needed, info.machine)?;
                self.found.insert(key, known);
                known
            }
        };
        if known || info.runpath.is_empty() {
            return Ok(known);
        }
        let origin = path.parent().unwrap_or_default().to_string();
        let library = format!("lib/{}", self.architecture.multiarch());
        let folders = info.runpath.iter().map(|folder| {
            let text = folder.replace("$ORIGIN", &origin).replace("${ORIGIN}", &origin);
            TreePath::root().resolve_link(&text.replace("$LIB", &library).replace("${LIB}", &library))
        });
        let folders = places(self.tree, folders);
        self.is_library_in(&folders, needed, info.machine)
    }

    fn is_library_in(&self, folders: &[TreePath], name: &str, machine: u16) -> Result<bool, ObjectError> {
        for folder in folders {
            let Ok(path) = folder.join(name) else {
                return Ok(false);
            };
            if let Some((_, Some(Entry::File(file)))) = self.tree.resolve(&path)
                && self.knowledge.with(file, |kind| matches!(kind, ObjectKind::Elf(info) if info.machine == machine))?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
