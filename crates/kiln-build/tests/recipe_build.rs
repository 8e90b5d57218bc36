//! Recipes built in the real sandbox, as the user who runs the tests and again as another one.

mod bench;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use bench::{Bench, chain, folder, pairs, patch, show, source};
use kiln_build::graph::Action as _;
use kiln_build::package::{TREE, needed, package_record};
use kiln_build::recipe::{BuildAction, BuildError, Executor, FailedBuild, OutputError, Script};
use kiln_build::sandbox::{Exit, Finished, Folders, SandboxError};
use kiln_model::facts::{Mode, Permission, Service};
use kiln_model::recipe::Step;

const PATCH: &str = "--- a/hello.txt\n+++ b/hello.txt\n@@ -1 +1 @@\n-hello\n+hello, world\n";

#[test]
fn the_same_holds_for_an_ordinary_user() {
    bench::run_again_as_ordinary_user("the_same_holds_for_an_ordinary_user");
}

#[test]
fn builds_patched_sources_into_a_package_once() {
    let bench = Bench::new();
    let (mut graph, environment) = bench.graph();
    let text = graph.add(folder(bench.project(&[("hello.txt", "hello\n")])));
    let script = "mkdir -p /out/usr/bin /out/usr/share/thing/empty\n\
                  cp hello.txt /out/usr/share/thing/\n\
                  cp src/hello.txt /out/usr/share/thing/second\n\
                  printf '#!/bin/sh\\n' > /out/usr/bin/thing; chmod 4775 /out/usr/bin/thing\n\
                  ln -s thing /out/usr/bin/other; cp -l /out/usr/bin/thing /out/usr/bin/third; echo $CFLAGS";
    let recipe = BuildAction {
        sources: vec![source("text", text, None), source("more", text, Some("src"))],
        patches: vec![patch("patches/world.patch", PATCH)],
        parts: [("data".parse().unwrap(), vec!["usr/share/**".to_owned()])].into(),
        ..bench.recipe(environment, script)
    };
    let thing = graph.add(recipe);
    let session = bench.session();
    let finished = bench.run(&graph, thing, &session).unwrap_or_else(|error| panic!("{}", chain(&error)));
    let result = finished.result(thing).unwrap();
    let main = show(&session, &session.tree(result.trees[TREE]).unwrap());
    let script = "#!/bin/sh\n";
    assert_eq!(main, pairs(&[("usr/bin/other", "->thing"), ("usr/bin/thing*", script), ("usr/bin/third*", script)]));
    let part = "data".parse().unwrap();
    let record = package_record(&session, result, Some(&part)).unwrap();
    let files = [
        ("usr/share/thing/empty/", ""),
        ("usr/share/thing/hello.txt", "hello, world\n"),
        ("usr/share/thing/second", "hello\n"),
    ];
    assert_eq!(show(&session, &session.tree(record.tree).unwrap()), pairs(&files));
    assert_eq!(record.name.as_str(), "thing-data");
    let record = package_record(&session, result, None).unwrap();
    assert_eq!(record.runtime.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["host-tools"]);
    assert_eq!(needed(result, None), ["host:host-tools".parse().unwrap()], "as its record says");
    let warnings = bench.told.warnings();
    assert!(warnings.iter().any(|w| w.contains("`/usr/bin/thing` was installed with a special mode")), "{warnings:?}");
    // Nothing is left over, and a second run does nothing.
    assert_eq!(fs::read_dir(bench.path("work/scratch")).unwrap().count(), 0);
    let again = bench.run(&graph, thing, &bench.session()).unwrap();
    assert_eq!((again.ran, again.result(thing)), (0, Some(result)));
}

#[test]
fn unit_files_of_the_recipe_become_part_of_the_package_and_of_the_part_that_claims_them() {
    let bench = Bench::new();
    let (mut graph, environment) = bench.graph();
    let unit = "usr/lib/systemd/system/thing.service";
    let mut recipe = BuildAction {
        added: [(unit.parse().unwrap(), b"[Service]\n".as_slice().into())].into(),
        parts: [("service".parse().unwrap(), vec!["usr/lib/systemd/**".to_owned()])].into(),
        ..bench.recipe(environment, "mkdir -p /out/usr/bin; echo x > /out/usr/bin/thing")
    };
    recipe.facts.services.insert("thing.service".to_owned(), Service { enabled: true, ..Service::default() });
    let thing = graph.add(recipe);
    let script = format!("mkdir -p /out/usr/lib/systemd/system; echo other > /out/{unit}");
    let twice = graph.add(BuildAction {
        name: "twice".parse().unwrap(),
        added: [(unit.parse().unwrap(), b"[Service]\n".as_slice().into())].into(),
        ..bench.recipe(environment, &script)
    });
    let session = bench.session();
    let finished = bench.run(&graph, thing, &session).unwrap_or_else(|error| panic!("{}", chain(&error)));
    let record = package_record(&session, finished.result(thing).unwrap(), Some(&"service".parse().unwrap())).unwrap();
    assert_eq!(show(&session, &session.tree(record.tree).unwrap()), pairs(&[(unit, "[Service]\n")]));
    assert!(record.facts.services["thing.service"].enabled, "the fact goes with its unit");
    let told = chain(&bench.failure(&graph, twice).error);
    assert!(told.contains("but the build installed another one"), "{told}");
}

#[test]
fn a_failed_step_shows_its_end_and_is_kept_to_look_into() {
    let bench = Bench::new();
    let (mut graph, environment) = bench.graph();
    let mut recipe =
        bench.recipe(environment, "for n in $(seq 100); do echo line $n; done; touch /out/half; false | cat; echo no");
    recipe.steps.insert(0, Step { name: "first".to_owned(), run: "echo one > state".to_owned() });
    let thing = graph.add(recipe);
    let failure = bench.failure(&graph, thing);
    assert_eq!(failure.to_string(), "`thing 1.0` failed");
    assert_eq!(failure.error.to_string(), "step `only` ended with exit code 1");
    assert_eq!(failure.error.hint().unwrap(), "`kiln shell thing --failed` opens the sandbox where it stopped");
    let log = failure.error.log().unwrap();
    assert_eq!((log.tail.len(), log.tail[39].as_str()), (40, "line 100"));
    let whole = fs::read_to_string(&log.path).unwrap();
    assert!(whole.starts_with("==> first\n==> only\nline 1\n") && whole.ends_with("line 100\n"), "{whole}");
    let kept = FailedBuild::find(&bench.work, &"thing".parse().unwrap()).unwrap().unwrap();
    assert_eq!(kept.step(), Some("only"));
    let folders = Folders::at(kept.folder());
    assert_eq!(fs::read_to_string(folders.build().join("state")).unwrap(), "one\n");
    assert!(folders.out().join("half").exists());
    assert!(FailedBuild::find(&bench.work, &"other".parse().unwrap()).unwrap().is_none());
    assert_eq!(fs::read_dir(bench.path("work/scratch")).unwrap().count(), 0);
    // A failure is not a result: the next run tries again, and replaces what was kept.
    assert_eq!(bench.failure(&graph, thing).error.to_string(), "step `only` ended with exit code 1");
}

fn output_fault(script: &str) -> (String, Option<String>) {
    let bench = Bench::new();
    let (mut graph, environment) = bench.graph();
    let thing = graph.add(bench.recipe(environment, script));
    let failure = bench.failure(&graph, thing);
    assert!(FailedBuild::find(&bench.work, &"thing".parse().unwrap()).unwrap().unwrap().step().is_none());
    (chain(&failure.error), failure.error.hint())
}

#[test]
fn refuses_output_that_is_no_package_and_names_the_files() {
    let script = "mkdir /out/usr; mkfifo /out/usr/pipe; echo /build/x > /out/usr/names; ln -s /out/usr /out/usr/link\n\
                  printf x > $'/out/usr/\\xff'; mkdir -m 000 /out/usr/closed; echo usr/src/build/x > /out/usr/fine";
    let (error, hint) = output_fault(script);
    let expected = "what the build of `thing` installed cannot be a package: \
        `usr/\\xff` has a name that is not UTF-8 or longer than 255 bytes\n\
        `usr/link` is a link to `/out/usr`, which is there only while it is built\n\
        `usr/names` names `/build` at byte 0, a place that is there only while it is built\n\
        `usr/pipe` is a named pipe; only directories, files and links can be kept";
    assert_eq!(error, expected);
    assert!(hint.unwrap().ends_with("`kiln shell thing --failed` opens the sandbox where it stopped"));
}

#[test]
fn refuses_a_build_that_installs_nothing_or_needs_what_is_not_there() {
    assert!(output_fault("true").0.ends_with("the build installed nothing into `/out`"));
    let (error, hint) =
        output_fault("mkdir -p /out/usr/bin; printf '#!/usr/bin/perl\\n' > /out/usr/bin/x; chmod +x /out/usr/bin/x");
    assert!(
        error.ends_with("`/usr/bin/x` needs the script interpreter `/usr/bin/perl`, which nothing provides"),
        "{error}"
    );
    assert!(hint.unwrap().starts_with("add the packages that have them to the recipe's `needs`"));
}

#[test]
fn a_patch_that_does_not_apply_stops_before_anything_runs() {
    let bench = Bench::new();
    let (mut graph, environment) = bench.graph();
    let text = graph.add(folder(bench.project(&[("hello.txt", "good bye\n")])));
    let sources = vec![source("text", text, None)];
    let patches = vec![patch("p.patch", PATCH)];
    let thing = graph.add(BuildAction { sources, patches, ..bench.recipe(environment, "true") });
    let failure = bench.failure(&graph, thing);
    let shown = failure.error.to_string();
    assert!(shown.contains("hunk 1 of 1 for `hello.txt`") && shown.contains("found:    good bye"), "{shown}");
    assert!(FailedBuild::find(&bench.work, &"thing".parse().unwrap()).unwrap().is_none());
}

#[test]
fn two_sources_with_one_file_are_refused() {
    let bench = Bench::new();
    let (mut graph, environment) = bench.graph();
    let project = bench.project(&[("a/x", "1"), ("b/x", "2"), ("b/y", "2")]);
    let (a, b) = (graph.add(folder(project.join("a"))), graph.add(folder(project.join("b"))));
    let sources = vec![source("first", a, None), source("second", b, None)];
    let thing = graph.add(BuildAction { sources, ..bench.recipe(environment, "true") });
    let failure = bench.failure(&graph, thing);
    assert_eq!(failure.error.to_string(), "`x` is in source `first` and, with other content, in source `second`");
    assert!(failure.error.hint().unwrap().contains("into:"));
}

#[test]
fn a_key_covers_what_can_change_the_result_and_nothing_else() {
    let bench = Bench::new();
    let (mut graph, environment) = bench.graph();
    let project = bench.project(&[("a/x", "1"), ("b/x", "2")]);
    let (a, b) = (graph.add(folder(project.join("a"))), graph.add(folder(project.join("b"))));
    let session = bench.session();
    let sources = vec![source("s", a, None)];
    let patches = vec![patch("p", "1"), patch("q", "2")];
    let base =
        || BuildAction { sources: sources.clone(), patches: patches.clone(), ..bench.recipe(environment, "true") };
    let finished = graph.run(&[environment, a, b], &session, &bench.told, &bench::options()).unwrap();
    let key = |action: BuildAction| action.key(&finished.inputs(&action).unwrap()).unwrap();
    let same = key(base());
    let mut limited = base();
    limited.limits.processes = 7;
    limited.steps[0].name = "other".to_owned();
    limited.sources[0].name = "other".to_owned();
    limited.patches[0].name = "other".to_owned();
    assert_eq!(key(limited), same);
    let mut swapped = base();
    swapped.patches.reverse();
    let mut others = vec![
        swapped,
        BuildAction { version: "1.1".to_owned(), ..base() },
        BuildAction { name: "other".parse().unwrap(), ..base() },
        BuildAction { options: [("ipv6".parse().unwrap(), true)].into(), ..base() },
        BuildAction { options: [("ipv6".parse().unwrap(), false)].into(), ..base() },
        BuildAction { sources: vec![source("s", b, None)], ..base() },
        BuildAction { sources: vec![source("s", a, Some("x"))], ..base() },
        BuildAction { patches: vec![patch("p", "1")], ..base() },
        BuildAction { added: [("a".parse().unwrap(), b"1".as_slice().into())].into(), ..base() },
        BuildAction { added: [("a".parse().unwrap(), b"2".as_slice().into())].into(), ..base() },
        BuildAction { parts: [("doc".parse().unwrap(), vec!["x".to_owned()])].into(), ..base() },
        bench.recipe(environment, "false"),
    ];
    let mut with_facts = base();
    let permission = Permission { mode: Some(Mode::new(0o4755)), ..Permission::default() };
    with_facts.facts.permissions.insert("x".parse().unwrap(), permission);
    others.push(with_facts);
    let mut keys: Vec<_> = others.into_iter().map(key).chain([same]).collect();
    let count = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), count, "every difference makes another key");
}

#[test]
fn the_time_limit_is_kept() {
    let bench = Bench::new();
    let (mut graph, environment) = bench.graph();
    let mut recipe = bench.recipe(environment, "sleep 100");
    recipe.limits.time = std::time::Duration::from_secs(1);
    let thing = graph.add(recipe);
    let failure = bench.failure(&graph, thing);
    assert_eq!(failure.error.to_string(), "step `only` was killed: it took longer than 1 s");
    let inner = failure.error.inner().downcast_ref::<BuildError>();
    assert!(matches!(inner, Some(BuildError::Step { kept: true, .. })));
}

#[test]
fn a_step_that_fails_within_limits_of_its_recipe_names_them() {
    let bench = Bench::new();
    let (mut graph, environment) = bench.graph();
    let mut recipe = bench.recipe(environment, "exit 12");
    (recipe.limits.memory, recipe.limits.processes) = (Some(512 << 20), 40);
    let thing = graph.add(recipe);
    let said = "step `only` ended with exit code 12 (it is allowed 512 MiB of memory and 40 processes at once)";
    assert_eq!(bench.failure(&graph, thing).error.to_string(), said);
}

#[test]
fn the_same_bytes_wherever_and_with_however_many_jobs() {
    let script = "mkdir -p /out/usr; stat -c '%n %Y %a' x . > /out/usr/times; id > /out/usr/id; ls / > /out/usr/root";
    let build = |jobs: usize| {
        let bench = Bench::new();
        let (mut graph, environment) = bench.graph();
        let text = graph.add(folder(bench.project(&[("x", "1")])));
        let thing =
            graph.add(BuildAction { sources: vec![source("s", text, None)], ..bench.recipe(environment, script) });
        let options = kiln_build::graph::RunOptions { jobs: jobs.try_into().unwrap(), ..bench::options() };
        let session = bench.session();
        let finished = graph.run(&[thing], &session, &bench.told, &options);
        let finished = finished.unwrap_or_else(|error| panic!("{}", chain(&error)));
        finished.result(thing).unwrap().trees[TREE]
    };
    assert_eq!(build(1), build(3));
}

/// How many processes build at once, and the file by which a copy of this program knows that it is one of them.
const PROCESSES: usize = 3;
const PLACE: &str = "kiln-build-here";

#[test]
fn processes_that_want_one_action_build_it_once() {
    let here = Path::new(PLACE);
    if here.exists() {
        let (store, work) = bench::open(Path::new("."));
        let folder = tempfile::tempdir_in(".").unwrap();
        let bench = Bench { folder, store, work, told: bench::Told::default() };
        let (mut graph, environment) = bench.graph();
        let thing = graph.add(bench.recipe(environment, "sleep 1; mkdir /out/usr; echo x > /out/usr/x"));
        bench.run(&graph, thing, &bench.session()).unwrap_or_else(|error| panic!("{}", chain(&error)));
        for built in bench.told.started().iter().filter(|started| started.starts_with("Building")) {
            fs::write(format!("built-{}", std::process::id()), built).unwrap();
        }
        return;
    }
    let bench = Bench::new();
    fs::write(bench.path(PLACE), "").unwrap();
    let start = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "processes_that_want_one_action_build_it_once"])
            .current_dir(bench.folder.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    let children: Vec<_> = (0..PROCESSES).map(|_| start()).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let names = fs::read_dir(bench.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let built = names.filter(|name| name.to_string_lossy().starts_with("built-")).count();
    assert_eq!(built, 1, "of {PROCESSES} processes one builds");
}

/// Notes what it is to run, and does nothing.
#[derive(Default)]
struct Notes(Mutex<Vec<Script>>);

impl Executor for Notes {
    fn run(&self, script: &Script, _: &mut (dyn Write + Send)) -> Result<Finished, SandboxError> {
        self.0.lock().unwrap().push(script.clone());
        Ok(Finished { exit: Exit::Code(1), tail: Vec::new() })
    }

    fn enter(&self, script: &Script) -> Result<Exit, SandboxError> {
        assert_eq!(fs::read_to_string(script.folders.build().join("hello.txt")).unwrap(), "hello, world\n");
        self.0.lock().unwrap().push(script.clone());
        Ok(Exit::Code(7))
    }
}

#[test]
fn a_shell_opens_with_the_patched_sources_and_where_a_build_stopped() {
    let bench = Bench::new();
    let (mut graph, environment) = bench.graph();
    let text = graph.add(folder(bench.project(&[("hello.txt", "hello\n")])));
    let notes = Arc::new(Notes::default());
    let recipe = || BuildAction {
        sources: vec![source("text", text, None)],
        patches: vec![patch("p.patch", PATCH)],
        executor: notes.clone(),
        ..bench.recipe(environment, "false")
    };
    let session = bench.session();
    let finished = graph.run(&[environment, text], &session, &bench.told, &bench::options()).unwrap();
    let two = bench::options().jobs;
    let shell = recipe();
    assert_eq!(shell.shell(&session, &finished.inputs(&shell).unwrap(), two).unwrap(), Exit::Code(7));
    let thing = graph.add(recipe());
    bench.failure(&graph, thing);
    let kept = FailedBuild::find(&bench.work, &"thing".parse().unwrap()).unwrap().unwrap();
    assert_eq!(kept.script(), Some("false"));
    assert_eq!(kept.enter(&session, &*notes).unwrap(), Exit::Code(7));
    let scripts = notes.0.lock().unwrap();
    assert_eq!(scripts.len(), 3);
    assert_eq!((&scripts[0].environment, &scripts[0].root), (&scripts[2].environment, &scripts[2].root));
    assert_eq!(scripts[2].folders, Folders::at(kept.folder()));
}

#[test]
fn a_build_that_is_stopped_is_no_failure_of_the_recipe() {
    let bench = Bench::new();
    let (mut graph, environment) = bench.graph();
    let thing = graph.add(bench.recipe(environment, "while true; do echo busy; sleep 0.05; done"));
    let options = bench::options();
    let began = std::time::Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(1500));
            options.cancel.cancel();
        });
        assert!(graph.run(&[thing], &bench.session(), &bench.told, &options).is_err());
    });
    assert!(began.elapsed() < std::time::Duration::from_secs(60));
    assert!(FailedBuild::find(&bench.work, &"thing".parse().unwrap()).unwrap().is_none());
}

#[test]
fn a_success_forgets_the_failure_before_it() {
    let bench = Bench::new();
    for (script, kept) in [("false", true), ("mkdir /out/usr; echo x > /out/usr/x", false)] {
        let (mut graph, environment) = bench.graph();
        let thing = graph.add(bench.recipe(environment, script));
        assert_eq!(bench.run(&graph, thing, &bench.session()).is_err(), kept);
        assert_eq!(FailedBuild::find(&bench.work, &"thing".parse().unwrap()).unwrap().is_some(), kept);
    }
}

#[test]
fn errors_of_the_output_can_be_told_apart() {
    let bench = Bench::new();
    let (mut graph, environment) = bench.graph();
    let thing = graph.add(bench.recipe(environment, "true"));
    let failure = bench.failure(&graph, thing);
    let Some(BuildError::Output { fault, .. }) = failure.error.inner().downcast_ref() else { panic!("{failure}") };
    assert!(matches!(**fault, OutputError::Empty));
}
