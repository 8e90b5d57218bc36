//! A store, a workplace, and an environment of this machine's own shell and basic programs, for tests that build.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use kiln_build::disk::{Whose, ingest};
use kiln_build::graph::{
    Action, ActionError, Cancel, Context, Finished, Graph, GraphError, Inputs, NodeFailure, NodeId, RunOptions,
};
use kiln_build::package::put_package;
use kiln_build::recipe::{BuildAction, BuildPatch, BuildSource, Environment, Sandboxed};
use kiln_build::source::{FolderAction, Git};
use kiln_build::work::Workplace;
use kiln_model::package::Relations;
use kiln_model::recipe::Step;
use kiln_model::{
    ActionKey, Architecture, Dir, Entry, Event, Facts, KeyBuilder, ObjectSource as _, PackageRecord, Reporter,
};
use kiln_store::{ActionResult, Durability, OpenOptions, Session, Store};

/// Keeps what it is told.
#[derive(Default)]
pub struct Told(Mutex<Vec<Event>>);

impl Told {
    pub fn warnings(&self) -> Vec<String> {
        let warning = |event: &Event| match event {
            Event::Warning { message, .. } => Some(message.clone()),
            _ => None,
        };
        self.0.lock().unwrap().iter().filter_map(warning).collect()
    }

    pub fn started(&self) -> Vec<String> {
        let started = |event: &Event| match event {
            Event::Started { verb, subject, .. } => Some(format!("{verb} {subject}")),
            _ => None,
        };
        self.0.lock().unwrap().iter().filter_map(started).collect()
    }
}

impl Reporter for Told {
    fn report(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

pub struct Bench {
    pub folder: tempfile::TempDir,
    pub store: Store,
    pub work: Workplace,
    pub told: Told,
}

impl Bench {
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("kiln-bench-").tempdir().unwrap();
        let (store, work) = open(folder.path());
        Self { folder, store, work, told: Told::default() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn session(&self) -> Session {
        self.store.session().unwrap()
    }

    /// Makes a folder of the project, in a Git repository.
    pub fn project(&self, files: &[(&str, &str)]) -> PathBuf {
        let root = self.path("project");
        fs::create_dir_all(&root).unwrap();
        git(&root, &["init", "--quiet", "--initial-branch=main"]);
        for (name, text) in files {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    pub fn run(&self, graph: &Graph, target: NodeId, session: &Session) -> Result<Finished, GraphError> {
        graph.run(&[target], session, &self.told, &options())
    }

    /// The one failure of a run.
    pub fn failure(&self, graph: &Graph, target: NodeId) -> NodeFailure {
        match self.run(graph, target, &self.session()) {
            Err(GraphError::Failed { mut failures, .. }) => failures.remove(0),
            Err(other) => panic!("{}", chain(&other)),
            Ok(_) => panic!("it did not fail"),
        }
    }

    /// A graph with an environment in it.
    pub fn graph(&self) -> (Graph, NodeId) {
        let mut graph = Graph::new();
        let environment = graph.add(HostEnvironment);
        (graph, environment)
    }

    /// A recipe that runs `script`.
    pub fn recipe(&self, environment: NodeId, script: &str) -> BuildAction {
        BuildAction {
            name: "thing".parse().unwrap(),
            version: "1.0".to_owned(),
            architecture: Architecture::native(),
            options: BTreeMap::new(),
            sources: Vec::new(),
            patches: Vec::new(),
            steps: vec![Step { name: "only".to_owned(), run: script.to_owned() }],
            environment: Environment { root: environment, packages: vec![environment] },
            parts: BTreeMap::new(),
            facts: Facts::default(),
            added: BTreeMap::new(),
            limits: kiln_build::sandbox::Limits::default(),
            project: self.path("project"),
            work: self.work.clone(),
            executor: Arc::new(Sandboxed),
        }
    }
}

pub fn open(folder: &Path) -> (Store, Workplace) {
    let options = OpenOptions::new(SystemTime::UNIX_EPOCH).durability(Durability::Process);
    (Store::open(&folder.join("store"), options).unwrap(), Workplace::open(&folder.join("work")).unwrap())
}

pub fn options() -> RunOptions {
    let two = NonZeroUsize::new(2).unwrap();
    RunOptions { jobs: two, connections: two, keep_going: false, cancel: Cancel::new() }
}

pub fn source(name: &str, node: NodeId, into: Option<&str>) -> BuildSource {
    BuildSource { name: name.to_owned(), node, into: into.map(|into| into.parse().unwrap()) }
}

pub fn patch(name: &str, text: &str) -> BuildPatch {
    BuildPatch { name: name.to_owned(), bytes: text.as_bytes().into() }
}

pub fn folder(path: PathBuf) -> FolderAction {
    FolderAction { name: "project".to_owned(), folder: path, git: Arc::new(host_git()) }
}

pub fn host_git() -> Git {
    Git::new([("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())])
}

/// Runs `git` as a person would.
pub fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .envs([("HOME", "/nonexistent"), ("GIT_CONFIG_NOSYSTEM", "1")])
        .args(["-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "protocol.file.allow=always"])
        .args(["-c", "commit.gpgSign=false", "-c", "safe.directory=*"])
        .args(arguments)
        .output()
        .expect("`git` is not installed; `cargo xtask test` installs what tests need");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// An error and all its causes.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Paths and contents of a tree; links as `->TARGET`, executables with `*`.
pub fn show(session: &Session, tree: &Dir) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (path, entry) in tree.walk() {
        match entry {
            Entry::File(file) => {
                let mark = if file.is_executable() { "*" } else { "" };
                let bytes = session.read(&file.object).unwrap();
                all.push((format!("{}{mark}", path.as_str()), String::from_utf8_lossy(&bytes).into_owned()));
            }
            Entry::Symlink(link) => all.push((path.as_str().to_owned(), format!("->{}", link.target))),
            Entry::Dir(dir) if dir.is_empty() => all.push((format!("{}/", path.as_str()), String::new())),
            Entry::Dir(_) | Entry::Device(..) => {}
        }
    }
    all
}

pub fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

/// This machine's shell and basic programs, as if they were one package of an archive.
struct HostEnvironment;

const PROGRAMS: [&str; 18] = [
    "bash", "cat", "chmod", "cp", "env", "head", "id", "install", "ln", "ls", "mkdir", "mkfifo", "mv", "rm", "seq",
    "sleep", "stat", "touch",
];

impl Action for HostEnvironment {
    fn name(&self) -> String {
        "environment".to_owned()
    }

    fn verb(&self) -> &'static str {
        "Collecting"
    }

    fn dependencies(&self) -> Vec<NodeId> {
        Vec::new()
    }

    fn key(&self, _: &Inputs) -> Result<ActionKey, ActionError> {
        Ok(KeyBuilder::new("test.environment/1").finish())
    }

    fn run(&self, context: &Context<'_>, _: &Inputs) -> Result<ActionResult, ActionError> {
        let folder = tempfile::tempdir().map_err(ActionError::new)?;
        let root = folder.path();
        for path in ["usr/bin", "usr/lib", "usr/lib64", "etc"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        for name in ["bin", "lib", "lib64"] {
            std::os::unix::fs::symlink(format!("usr/{name}"), root.join(name)).unwrap();
        }
        std::os::unix::fs::symlink("bash", root.join("usr/bin/sh")).unwrap();
        let programs = PROGRAMS.map(|name| PathBuf::from("/usr/bin").join(name));
        let listed = Command::new("ldd").args(&programs).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let libraries = listed.split_ascii_whitespace().filter(|word| word.starts_with('/') && !word.ends_with(':'));
        for path in libraries.map(PathBuf::from).chain(programs) {
            let place = root.join(path.strip_prefix("/").unwrap());
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::copy(&path, &place).unwrap();
        }
        let locale = Path::new("/usr/lib/locale/C.utf8");
        if locale.exists() {
            fs::create_dir_all(root.join("usr/lib/locale")).unwrap();
            let copied = Command::new("cp").arg("-r").arg(locale).arg(root.join("usr/lib/locale")).status();
            assert!(copied.unwrap().success());
        }
        let tree = ingest(root, context.session, context.jobs, Whose::User).map_err(ActionError::new)?.tree;
        let record = PackageRecord {
            name: "host-tools".parse().unwrap(),
            version: "1".to_owned(),
            origin: Some("host".parse().unwrap()),
            architecture: None,
            source: None,
            tree: tree.id(),
            facts: Facts::default(),
            relations: Relations::default(),
            conffiles: Default::default(),
            hooks: Vec::new(),
            listing: Vec::new(),
            runtime: Vec::new(),
        };
        let mut result = ActionResult::default();
        put_package(context.session, &mut result, None, &record, &tree, &Default::default())?;
        Ok(result)
    }
}

/// Runs the tests of this file again as an ordinary user, when this is root. The user need not exist.
pub fn run_again_as_ordinary_user(but: &str) {
    const USER: u32 = 54321;
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let copy = folder.path().join("tests");
    // Another process copies: a descriptor open for writing in this one, inherited by what another thread starts, would
    // make the copy too busy to be run.
    let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&copy).status();
    assert!(copied.unwrap().success());
    let mut command = Command::new(&copy);
    command.args(["--skip", but]).current_dir("/").env_clear();
    command.uid(USER).gid(USER);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("test result: ok") && !text.contains(" 0 passed"), "{text}");
}
