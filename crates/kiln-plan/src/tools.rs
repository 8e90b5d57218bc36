//! Running the tools of finalizers: in the sandbox, in a root of their own, once for each key.
//!
//! The root is a checkout of the store, in which every path has the one time stamp: some of these tools write down what
//! they see. A checkout shares its inodes with the store, so what is written to is an overlay over its folder, or a copy
//! where the file system of the store cannot carry one. What comes of a run is kept as the result of an action, so a tool
//! runs again only when something of its projection changes.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kiln_build::disk::{IngestError, LayOutError, Whose, ingest, lay_out};
use kiln_build::graph::Cancel;
use kiln_build::sandbox::{Folders, Limits, Sandbox, SandboxError};
use kiln_build::work::{Log, WorkError, Workplace};
use kiln_compose::finalizer::tool::difference;
use kiln_compose::{ToolError, ToolRequest, ToolRunner};
use kiln_model::report::Task;
use kiln_model::{ActionKey, Architecture, Dir, Entry, Reporter, TreePath};
use kiln_store::{ActionResult, Session};

/// The tree of a tool's result.
const FILES: &str = "files";

/// No tool of a finalizer takes longer on any machine.
const TIME: Duration = Duration::from_secs(60 * 60);

/// What tools are run with.
#[derive(Debug, Clone)]
pub struct ToolPlace {
    /// Where their roots are laid out.
    pub work: Workplace,
    /// What this machine runs.
    pub native: Architecture,
    /// How many run at once.
    pub jobs: NonZeroUsize,
    /// Says when to stop.
    pub cancel: Cancel,
}

/// How a tool gets a folder of its root that it may write to.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// Under an overlay.
    Overlay,
    /// As a copy.
    Copy,
}

/// Runs the tools of one composition.
pub struct Tools<'a> {
    /// What they are run with.
    pub place: &'a ToolPlace,
    /// Where results are looked up and kept.
    pub session: &'a Session,
    /// Is told of those that run.
    pub reporter: &'a dyn Reporter,
    /// What is composed, for people.
    pub subject: &'a str,
}

/// Turns the error of a step into that of a tool.
fn failed<E: std::error::Error + Send + Sync + 'static>(
    request: &ToolRequest,
    hint: impl FnOnce(&E) -> Option<String>,
) -> impl FnOnce(E) -> ToolError {
    let program = program(request);
    move |error| {
        let hint = hint(&error);
        ToolError::new(format!("`{program}` could not be run"), hint).because(error)
    }
}

fn program(request: &ToolRequest) -> String {
    request.commands.first().and_then(|command| command.first()).cloned().unwrap_or_default()
}

/// A command line for people: some have thousands of arguments.
fn shown(command: &[String]) -> String {
    const SHOWN: usize = 6;
    let words: Vec<&str> = command.iter().take(SHOWN).map(|word| word.lines().next().unwrap_or_default()).collect();
    let more = if command.len() > SHOWN { " ..." } else { "" };
    format!("{}{more}", words.join(" "))
}

impl Tools<'_> {
    fn known(&self, request: &ToolRequest, key: &ActionKey) -> Result<Option<Arc<Dir>>, ToolError> {
        let found = self.session.action(key).map_err(failed(request, kiln_store::FileError::hint))?;
        let Some(id) = found.and_then(|result| result.trees.get(FILES).copied()) else {
            return Ok(None);
        };
        self.session.tree(id).map(Some).map_err(failed(request, kiln_store::TreeError::hint))
    }

    fn make(&self, request: &ToolRequest, key: &ActionKey) -> Result<Arc<Dir>, ToolError> {
        if request.architecture != self.place.native {
            let message = format!(
                "`{}` of {} cannot run on this machine, which is {}",
                program(request),
                request.architecture,
                self.place.native
            );
            let hint = format!(
                "build on a machine of that architecture, or switch the finalizer off: `finalizers: {{ {}: false }}`",
                request.name
            );
            return Err(ToolError::new(message, Some(hint)));
        }
        // Waiting here is safe: who holds this lock waits for no other while it does.
        let _lock = self.session.store().lock_action(key).map_err(failed(request, kiln_store::FileError::hint))?;
        if let Some(known) = self.known(request, key)? {
            return Ok(known);
        }
        let subject = format!("{} for {}", request.name, self.subject);
        let task = Task::start(self.reporter, "Deriving", &subject, None);
        let made = self.run_in_sandbox(request, key);
        task.finish(if made.is_ok() { "" } else { "failed" }, false);
        let tree = made?;
        let id = self.session.put_tree(&tree).map_err(failed(request, kiln_store::WriteError::hint))?;
        let result = ActionResult { trees: [(FILES.to_owned(), id)].into(), ..ActionResult::default() };
        self.session.commit(*key, &result).map_err(failed(request, kiln_store::WriteError::hint))?;
        Ok(Arc::new(tree))
    }

    fn run_in_sandbox(&self, request: &ToolRequest, key: &ActionKey) -> Result<Dir, ToolError> {
        // The root is read only, so its files are the store's own.
        let root = self.session.put_tree(&request.root).map_err(failed(request, kiln_store::WriteError::hint))?;
        let checkout = self.session.checkout(root).map_err(failed(request, kiln_store::CheckoutError::hint))?;
        let log = self.session.log_writer(key).map_err(failed(request, kiln_store::FileError::hint))?;
        let mut log = Log::new(log, &self.place.cancel);
        match self.attempt(request, key, checkout.path(), Way::Overlay, &mut log)? {
            Err(error) if error.is_of_overlay() => self.attempt(request, key, checkout.path(), Way::Copy, &mut log)?,
            done => done,
        }
        .map_err(failed(request, SandboxError::hint))
    }

    /// Runs the commands; the inner error is of a sandbox that could not be had.
    fn attempt(
        &self,
        request: &ToolRequest,
        key: &ActionKey,
        root: &Path,
        way: Way,
        log: &mut Log<'_>,
    ) -> Result<Result<Dir, SandboxError>, ToolError> {
        let scratch = self.place.work.scratch().map_err(failed(request, WorkError::hint))?;
        let folders = Folders::make_empty(scratch.path()).map_err(failed(request, |_| None))?;
        let places = request.writable.iter().enumerate();
        let places: Vec<(String, String)> =
            places.map(|(index, place)| (place.to_string(), format!("place-{index}"))).collect();
        let (rewritable, empty) = (rewritable(request), Dir::default());
        for (place, (_, name)) in request.writable.iter().zip(&places) {
            let (copied, into) = match way {
                Way::Overlay => {
                    folders.make_changes(name).map_err(failed(request, |_| None))?;
                    (&rewritable, folders.changes(name))
                }
                Way::Copy => (&*request.root, folders.beside(name)),
            };
            let copied = copied.dir(place).unwrap_or(&empty);
            lay_out(copied, self.session, &into, NonZeroUsize::MIN).map_err(failed(request, LayOutError::hint))?;
        }
        for command in &request.commands {
            let mut sandbox = Sandbox::new(root, folders.clone(), command.clone());
            sandbox.environment = request.environment.clone();
            match way {
                Way::Overlay => sandbox.changed.clone_from(&places),
                Way::Copy => sandbox.writable.clone_from(&places),
            }
            sandbox.alias = request.account.map(str::to_owned);
            sandbox.without_flushes = true;
            sandbox.limits = Limits { time: TIME, ..Limits::default() };
            log.heading(&shown(command)).map_err(failed(request, |_| None))?;
            let finished = match sandbox.run(log) {
                Ok(finished) => finished,
                Err(error) => return Ok(Err(error)),
            };
            if !finished.exit.succeeded() {
                return Err(self.refused(request, key, command, &finished));
            }
        }
        self.collect(request, &folders, way, &places).map(Ok)
    }

    fn refused(
        &self,
        request: &ToolRequest,
        key: &ActionKey,
        command: &[String],
        finished: &kiln_build::sandbox::Finished,
    ) -> ToolError {
        let skipped = finished.tail.len().saturating_sub(8);
        let tail: Vec<String> = finished.tail[skipped..].iter().map(|line| format!("  {line}")).collect();
        let mut message = format!("`{}` {}", shown(command), finished.exit);
        if !tail.is_empty() {
            message = format!("{message}:\n{}", tail.join("\n"));
        }
        let hint = format!(
            "its log is `{}`; the image can do without: `finalizers: {{ {}: false }}`",
            self.session.log_path(key).display(),
            request.name
        );
        ToolError::new(message, Some(hint))
    }

    /// What the commands wrote.
    fn collect(
        &self,
        request: &ToolRequest,
        folders: &Folders,
        way: Way,
        places: &[(String, String)],
    ) -> Result<Dir, ToolError> {
        let read = |folder: &Path, whose| {
            let read = ingest(folder, self.session, NonZeroUsize::MIN, whose);
            read.map(|read| read.tree).map_err(failed(request, IngestError::hint))
        };
        let mut tree = read(&folders.out(), Whose::Kiln(&[]))?;
        let mut changes = BTreeMap::new();
        let empty = Dir::default();
        for (place, (_, name)) in request.writable.iter().zip(places) {
            let after = match way {
                Way::Overlay => read(&folders.changes(name), Whose::Overlay)?,
                Way::Copy => read(&folders.beside(name), Whose::Kiln(&[]))?,
            };
            let before = request.root.dir(place).unwrap_or(&empty);
            for (path, entry) in difference(before, &after) {
                let path = format!("{}{path}", place.as_str()).parse::<TreePath>();
                changes.insert(path.map_err(failed(request, |_| None))?, entry);
            }
        }
        for (path, entry) in changes {
            tree.insert(&path, entry).map_err(failed(request, |_| None))?;
        }
        Ok(tree)
    }
}

/// What of the root may be written anew.
fn rewritable(request: &ToolRequest) -> Dir {
    let mut part = Dir::default();
    for path in &request.rewritable {
        if let Some(entry) = request.root.get(path) {
            // What is a path in the root is one here.
            let _ = part.insert(path, entry.clone());
        }
    }
    part
}

/// How much there is to read in a tree.
fn bytes_in(tree: &Dir) -> u64 {
    let size = |entry: &Entry| if let Entry::File(file) = entry { file.size } else { 0 };
    tree.walk().map(|(_, entry)| size(entry)).sum()
}

impl ToolRunner for Tools<'_> {
    fn run(&self, requests: &[ToolRequest]) -> Vec<Result<Arc<Dir>, ToolError>> {
        let keys: Vec<ActionKey> = requests.iter().map(ToolRequest::key).collect();
        let mut answers: Vec<Option<Result<Arc<Dir>, ToolError>>> =
            requests.iter().zip(&keys).map(|(request, key)| self.known(request, key).transpose()).collect();
        let mut missing: Vec<usize> = (0..requests.len()).filter(|index| answers[*index].is_none()).collect();
        // Who reads the most first, so that no long one is left for the end.
        missing.sort_by_cached_key(|index| Reverse(bytes_in(&requests[*index].root)));
        let (next, made) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work = || {
            while let Some(index) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                let answer = self.make(&requests[*index], &keys[*index]);
                made.lock().unwrap_or_else(PoisonError::into_inner).push((*index, answer));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.place.jobs.get().min(missing.len()) {
                scope.spawn(work);
            }
            work();
        });
        for (index, answer) in made.into_inner().unwrap_or_else(PoisonError::into_inner) {
            answers[index] = Some(answer);
        }
        answers.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests;
