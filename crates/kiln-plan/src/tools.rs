//! Running the tools of finalizers: in the sandbox, in a root of their own, once for each key.
//!
//! The root is laid out afresh for each run, and not as a checkout of the store: a checkout shares its inodes with the
//! store, so that nothing in it could be written to, and its directories have the times at which they were made, which
//! some of these tools write down. Here every path has the one time stamp. What comes of a run is kept as the result of
//! an action, so a tool runs again only when something of its projection changes.

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
        let jobs = NonZeroUsize::MIN;
        let scratch = self.place.work.scratch().map_err(failed(request, WorkError::hint))?;
        let folders = Folders::make_empty(scratch.path()).map_err(failed(request, |_| None))?;
        // The root is read only, so its files are the store's own; what is written to is a copy.
        let root = self.session.put_tree(&request.root).map_err(failed(request, kiln_store::WriteError::hint))?;
        let checkout = self.session.checkout(root).map_err(failed(request, kiln_store::CheckoutError::hint))?;
        let (empty, mut writable) = (Dir::default(), Vec::new());
        for (index, place) in request.writable.iter().enumerate() {
            let name = format!("writable-{index}");
            let tree = request.root.dir(place).unwrap_or(&empty);
            lay_out(tree, self.session, &folders.beside(&name), jobs).map_err(failed(request, LayOutError::hint))?;
            writable.push((place.to_string(), name));
        }
        let log = self.session.log_writer(key).map_err(failed(request, kiln_store::FileError::hint))?;
        let mut log = Log::new(log, &self.place.cancel);
        for command in &request.commands {
            let mut sandbox = Sandbox::new(checkout.path(), folders.clone(), command.clone());
            sandbox.environment = request.environment.clone();
            sandbox.writable.clone_from(&writable);
            sandbox.alias = request.account.map(str::to_owned);
            sandbox.limits = Limits { time: TIME, ..Limits::default() };
            log.heading(&shown(command)).map_err(failed(request, |_| None))?;
            let finished = sandbox.run(&mut log).map_err(failed(request, SandboxError::hint))?;
            if !finished.exit.succeeded() {
                return Err(self.refused(request, key, command, &finished));
            }
        }
        self.collect(request, &folders, &writable)
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
        writable: &[(String, String)],
    ) -> Result<Dir, ToolError> {
        let jobs = NonZeroUsize::MIN;
        let read = |folder: &Path| {
            let read =
                ingest(folder, self.session, jobs, Whose::Kiln(&[])).map_err(failed(request, IngestError::hint))?;
            Ok::<Dir, ToolError>(read.tree)
        };
        let mut tree = read(&folders.out())?;
        let mut changes = BTreeMap::new();
        let empty = Dir::default();
        for (place, (_, name)) in request.writable.iter().zip(writable) {
            let after = read(&folders.beside(name))?;
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
mod tests {
    use std::time::SystemTime;

    use kiln_compose::finalizer::tool::ToolRequest;
    use kiln_model::{Entry, FileEntry, ObjectSink as _, Silent};
    use kiln_store::{OpenOptions, Store};

    use super::*;

    struct Room {
        _folder: tempfile::TempDir,
        session: Session,
        place: ToolPlace,
    }

    fn room() -> Room {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store"), OpenOptions::new(SystemTime::UNIX_EPOCH)).unwrap();
        let work = Workplace::open(&folder.path().join("work")).unwrap();
        let jobs = NonZeroUsize::new(2).unwrap();
        let place = ToolPlace { work, native: Architecture::native(), jobs, cancel: Cancel::new() };
        Room { session: store.session().unwrap(), place, _folder: folder }
    }

    impl Room {
        fn run(&self, requests: &[ToolRequest]) -> Vec<Result<Arc<Dir>, ToolError>> {
            let tools = Tools { place: &self.place, session: &self.session, reporter: &Silent, subject: "a test" };
            tools.run(requests)
        }

        /// What a tool without a program would be asked.
        fn request(&self, input: &str) -> ToolRequest {
            let mut root = Dir::default();
            let object = self.session.put(input.as_bytes()).unwrap();
            let file = FileEntry::plain(object, input.len() as u64, false);
            root.insert(&"in/put".parse().unwrap(), Entry::File(file)).unwrap();
            ToolRequest {
                name: "mime-database",
                version: 1,
                architecture: Architecture::native(),
                root: Arc::new(root),
                commands: vec![vec!["/usr/bin/tool".to_owned()]],
                environment: BTreeMap::new(),
                writable: Vec::new(),
                account: None,
            }
        }
    }

    fn foreign() -> Architecture {
        match Architecture::native() {
            Architecture::Amd64 => Architecture::Arm64,
            Architecture::Arm64 => Architecture::Amd64,
        }
    }

    #[test]
    fn a_tool_of_another_architecture_is_refused_with_the_ways_out() {
        let room = room();
        let request = ToolRequest { architecture: foreign(), ..room.request("a") };
        let error = room.run(&[request]).remove(0).unwrap_err();
        assert!(error.to_string().contains("cannot run on this machine"), "{error}");
        let hint = error.hint().unwrap();
        assert!(hint.contains("finalizers: { mime-database: false }") && hint.contains("machine"), "{hint}");
    }

    #[test]
    fn what_is_known_is_taken_also_where_the_tool_could_not_run() {
        let room = room();
        let request = ToolRequest { architecture: foreign(), ..room.request("a") };
        let object = room.session.put(b"made elsewhere").unwrap();
        let mut made = Dir::default();
        made.set_entry("made", Entry::File(FileEntry::plain(object, 14, false))).unwrap();
        let id = room.session.put_tree(&made).unwrap();
        let result = ActionResult { trees: [(FILES.to_owned(), id)].into(), ..ActionResult::default() };
        room.session.commit(request.key(), &result).unwrap();
        assert_eq!(*room.run(&[request])[0].as_ref().unwrap().as_ref(), made);
    }

    #[test]
    fn a_program_that_does_not_start_is_an_error_and_each_request_has_its_own_answer() {
        let room = room();
        let good = room.request("good");
        let id = room.session.put_tree(&Dir::default()).unwrap();
        let result = ActionResult { trees: [(FILES.to_owned(), id)].into(), ..ActionResult::default() };
        room.session.commit(good.key(), &result).unwrap();
        let answers = room.run(&[room.request("one"), good, room.request("two")]);
        assert!(answers[0].is_err() && answers[1].is_ok() && answers[2].is_err());
        assert!(answers[0].as_ref().unwrap_err().to_string().contains("/usr/bin/tool"));
        assert!(room.session.action(&room.request("one").key()).unwrap().is_none(), "no result is kept of a failure");
    }

    #[test]
    fn a_long_command_line_is_shown_in_short() {
        let words: Vec<String> = (0..9).map(|n| format!("word{n}\nmore")).collect();
        assert_eq!(shown(&words), "word0 word1 word2 word3 word4 word5 ...");
    }
}
