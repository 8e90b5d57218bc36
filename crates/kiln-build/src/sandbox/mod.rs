//! The build sandbox: one command in a world that Kiln composed, with nothing of this machine in it.
//!
//! The command sees a read-only root (a checkout of the environment's tree), `/build` and `/out` to write to, a fresh `/tmp`,
//! a minimal `/dev`, its own read-only `/proc`, and a network of one loopback interface. It is user 1000 (`build`) of host
//! `kiln`, whoever runs Kiln; its environment, limits, umask, locale and time zone are fixed. It has no capability, can gain
//! none, and its system calls are filtered. When it ends, everything it started is killed before `run` returns.
//!
//! What can still be told apart from inside is listed in `docs/concepts/sandbox.md`.
//!
//! Layout while the world is made, in a tmpfs that only the sandbox's own mount namespace has:
//!
//! ```text
//! /host   this machine's root, taken away before the command starts
//! /lower  the checkout, read-only
//! /upper  what must be in every root: mount points, and the files of `etc`
//! /new    an overlay of both without an upper side, so read-only by nature; the command's root
//! /room   the folders that are written to, and /world, an overlay that shows them: see `folders`
//! ```

mod etc;
mod folders;
mod memory;
mod output;
mod world;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kiln_sys::{Contained, Control, Group, Lent, Outcome, SpawnError};

pub use folders::Folders;
use memory::Watch;
use output::Stopped;
pub use output::TAIL_LINES;

/// How much the command may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long it may run.
    pub time: Duration,
    /// Bytes of memory of all its processes together. The kernel keeps it where a control group can be had; elsewhere
    /// Kiln looks several times a second.
    pub memory: Option<u64>,
    /// Processes and threads.
    pub processes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { time: Duration::from_secs(6 * 60 * 60), memory: None, processes: 16384 }
    }
}

impl Limits {
    /// For the message of a command that failed by itself: what it was allowed, where that is less than anyone is
    /// allowed. A program that got no memory or could not start another one fails in its own words.
    #[must_use]
    pub fn allowed(&self, exit: Exit) -> String {
        let by_itself = matches!(exit, Exit::Code(_) | Exit::Signal(_));
        let memory = self.memory.map(|bytes| format!("{} MiB of memory", bytes >> 20));
        let fewer = self.processes < Self::default().processes;
        let processes = fewer.then(|| format!("{} processes at once", self.processes));
        let allowed: Vec<String> = memory.into_iter().chain(processes).filter(|_| by_itself).collect();
        if allowed.is_empty() { String::new() } else { format!(" (it is allowed {})", allowed.join(" and ")) }
    }
}

/// One command and the world it runs in.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// A checkout of the environment's tree.
    pub root: PathBuf,
    /// What it may write to. No other command may use them meanwhile.
    pub folders: Folders,
    /// The program and its arguments. A name without a slash is looked for in `PATH`.
    pub command: Vec<String>,
    /// Added to the fixed environment, and stronger than it.
    pub environment: BTreeMap<String, String>,
    /// Where the command starts.
    pub directory: String,
    /// How much it may take.
    pub limits: Limits,
    /// Folders beside `build` and `out` that are shown over folders of `root`, to be written to: where, as the command sees
    /// it, and the name of the folder. The place must be in `root`, without a link on the way.
    pub writable: Vec<(String, String)>,
    /// Folders of `root` that can be written in: where, as for `writable`, and the name under which
    /// [`Folders::make_changes`] made a place for what is changed. Their files have the modes that they have in `root`, but
    /// for those that already lie in that place. A file system that cannot carry an overlay cannot do it:
    /// [`SandboxError::is_of_overlay`].
    pub changed: Vec<(String, String)>,
    /// Another name that the user and its group have, for a program that looks for an account of its own.
    pub alias: Option<String>,
    /// Do calls that wait for the disk succeed at once? Good for what is read when the command is done. A build may have
    /// tests that look how these calls fail.
    pub without_flushes: bool,
    /// The time that everything built has.
    pub source_date_epoch: u64,
}

/// How a command in the sandbox ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// It was killed because it took longer than this.
    OutOfTime(Duration),
    /// It was killed because it took more memory than this.
    OutOfMemory(u64),
}

impl Exit {
    /// Did it do what it should?
    #[must_use]
    pub fn succeeded(self) -> bool {
        self == Self::Code(0)
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "ended with exit code {code}"),
            Self::Signal(signal) => write!(f, "was ended by signal {signal}"),
            Self::OutOfTime(limit) => write!(f, "was killed: it took longer than {} s", limit.as_secs()),
            Self::OutOfMemory(limit) => write!(f, "was killed: it took more than {} MiB of memory", limit >> 20),
        }
    }
}

/// What is known of a command that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// How it ended.
    pub exit: Exit,
    /// The last lines it wrote, at most [`TAIL_LINES`].
    pub tail: Vec<String>,
}

/// Why a command could not be run, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// One of the folders is not there.
    #[error("cannot use `{}` in the sandbox", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A folder cannot be shown there.
    #[error("`{0}` is not a place for a folder in the sandbox")]
    Place(String),
    /// The sandbox or the command could not be started.
    #[error("cannot start the sandbox")]
    Spawn(#[from] SpawnError),
    /// The log could not be written. The command was killed.
    #[error("cannot write the log")]
    Log(#[source] io::Error),
    /// Something that nearly never fails did.
    #[error("cannot {action}")]
    System {
        /// What.
        action: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl SandboxError {
    /// Is this program, or what it takes to start it, not in the root?
    #[must_use]
    pub fn is_without(&self, program: &str) -> bool {
        matches!(self, Self::Spawn(SpawnError::Start { program: found, source })
            if found == program && source.kind() == io::ErrorKind::NotFound)
    }

    /// Can the file system of the folders not carry an overlay?
    #[must_use]
    pub fn is_of_overlay(&self) -> bool {
        matches!(self, Self::Spawn(error) if error.is_of_overlay())
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Spawn(error) => error.hint(),
            Self::Place(_) => Some("use an absolute path outside /build, /out, /tmp, /dev and /proc".to_owned()),
            _ => None,
        }
    }
}

fn system(action: &'static str) -> impl Fn(io::Error) -> SandboxError {
    move |source| SandboxError::System { action, source }
}

impl Sandbox {
    /// A sandbox with no environment of its own and default limits.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>, folders: Folders, command: Vec<String>) -> Self {
        Self {
            root: root.into(),
            folders,
            command,
            environment: BTreeMap::new(),
            directory: "/build".to_owned(),
            limits: Limits::default(),
            writable: Vec::new(),
            changed: Vec::new(),
            alias: None,
            without_flushes: false,
            source_date_epoch: kiln_model::SOURCE_DATE_EPOCH,
        }
    }

    /// Runs the command to its end. What it writes to standard output and error goes to `log` as it comes, in one stream.
    ///
    /// # Errors
    /// When the sandbox cannot be had, or the log cannot be written. A command that fails is no error: see [`Exit`].
    pub fn run(&self, log: &mut (dyn Write + Send)) -> Result<Finished, SandboxError> {
        let (reader, writer) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| system("make a pipe")(e.into()))?;
        let null: OwnedFd = File::open("/dev/null").map_err(system("open `/dev/null`"))?.into();
        let second = writer.try_clone().map_err(system("copy a pipe"))?;
        let contained = self.start(false, |plan| {
            plan.stream(0, null);
            plan.stream(1, writer);
            plan.stream(2, second);
        })?;
        let mut tail = output::Tail::default();
        let watch = Watch::new(self.limits.memory);
        let stopped = output::follow(&contained, reader, self.limits.time, watch, log, &mut tail)?;
        Ok(Finished { exit: self.exit(&contained, stopped)?, tail: tail.into_lines() })
    }

    /// Runs the command with this process's own terminal, for a person. There is no time limit and no log.
    ///
    /// # Errors
    /// When the sandbox cannot be had.
    pub fn enter(&self) -> Result<Exit, SandboxError> {
        let _lent = Lent::new();
        let contained = self.start(true, |_| {})?;
        let mut watch = Watch::new(self.limits.memory);
        while contained.wait(watch.pause()).map_err(system("wait for a process"))?.is_none() {
            if watch.is_over(&contained) {
                contained.kill();
                return self.exit(&contained, Some(Stopped::OutOfMemory));
            }
        }
        self.exit(&contained, None)
    }

    fn exit(&self, contained: &Contained, stopped: Option<Stopped>) -> Result<Exit, SandboxError> {
        let outcome = contained.wait(None).map_err(system("wait for a process"))?;
        self.folders.clear();
        let starved = contained.groups().iter().find_map(|g| match g.control() {
            Control::Memory(bytes) if g.was_exceeded() => Some(bytes),
            _ => None,
        });
        let starved = starved.or(self.limits.memory.filter(|_| stopped == Some(Stopped::OutOfMemory)));
        Ok(match (outcome, starved) {
            _ if stopped == Some(Stopped::OutOfTime) => Exit::OutOfTime(self.limits.time),
            // Also when it says that all is well: something of it was killed.
            (_, Some(bytes)) => Exit::OutOfMemory(bytes),
            (Some(Outcome::Exited(code)), None) => Exit::Code(code),
            (Some(Outcome::Signaled(signal)), None) => Exit::Signal(signal),
            (None, None) => Exit::Signal(9),
        })
    }

    fn start(&self, terminal: bool, streams: impl FnOnce(&mut kiln_sys::Plan)) -> Result<Contained, SandboxError> {
        let folder = |path: &Path| {
            let found = path.canonicalize().and_then(|p| p.read_dir().map(|_| p));
            found.map_err(|source| SandboxError::Folder { path: path.to_owned(), source })
        };
        let mut resolved = self.clone();
        resolved.root = folder(&self.root)?;
        resolved.folders = Folders::at(folder(self.folders.room())?);
        folder(&self.folders.build())?;
        folder(&self.folders.out())?;
        let shown = self.writable.iter().map(|(place, name)| (place, self.folders.beside(name)));
        let changed = self.changed.iter().map(|(place, name)| (place, self.folders.changes(name)));
        for (place, written) in shown.chain(changed) {
            let path = Path::new(place.strip_prefix('/').unwrap_or(place));
            let found = folder(&resolved.root.join(path))?;
            folder(&written)?;
            if !world::is_free_place(place) || found != resolved.root.join(path) {
                return Err(SandboxError::Place(place.clone()));
            }
        }
        let memory = self.limits.memory.and_then(|bytes| Group::create(Control::Memory(bytes)));
        let processes = Group::create(Control::Processes(self.limits.processes));
        let mut plan = world::plan(&resolved, terminal, memory.is_some());
        for group in [memory, processes].into_iter().flatten() {
            plan.control(group);
        }
        streams(&mut plan);
        Ok(plan.spawn()?)
    }
}
