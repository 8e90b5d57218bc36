//! Recipes: sources, patches, options, parts, what they need of each other, and how their failures read.

use std::fs;

use kiln_model::Digest;

use crate::bad_input::archive_of;
use crate::world::{Project, World};

/// A project with this recipe `tool` and an image of it.
fn with_tool<'a>(world: &'a World, recipe: &str) -> Project<'a> {
    let project = world.bare("p");
    project.recipe("tool", recipe);
    project.image("web", "packages: [tool]\n");
    project.commit();
    project
}

/// A recipe of one step.
fn step(run: &str) -> String {
    format!("build: {{ steps: [ {{ name: make, run: {run:?} }} ] }}\n")
}

const WRITE: &str = "install -D -m 0644 a {{ out }}/usr/share/tool/a";

#[test]
fn a_folder_is_a_source_and_a_change_of_it_is_built() {
    let world = World::new();
    let project = with_tool(&world, &format!("sources: [ {{ path: src }} ]\n{}", step(WRITE)));
    project.write("packages/tool/src/a", "one\n");
    project.lock();
    let root = project.built("web");
    assert_eq!(fs::read_to_string(root.join("usr/share/tool/a")).unwrap(), "one\n");
    project.kiln(&["build"]).done().did_not_say(&["Building"]);
    project.write("packages/tool/src/a", "two\n");
    project.kiln(&["build"]).done().said(&["Building tool"]);
    let root = project.built("web");
    assert_eq!(fs::read_to_string(root.join("usr/share/tool/a")).unwrap(), "two\n");
}

#[test]
fn a_project_without_a_build_environment_is_told_where_to_name_one() {
    let world = World::new();
    let project = with_tool(&world, &format!("sources: [ {{ path: src }} ]\n{}", step(WRITE)));
    project.write("packages/tool/src/a", "one\n");
    project.edit("kiln.yaml", "environment: [debian:build-essential]\n", "");
    project.lock();
    project.kiln(&["build"]).failed(1, &["has no shell", "environment: [debian:build-essential]", "kiln lock"]);
}

#[test]
fn an_archive_is_a_source() {
    let world = World::new();
    let bytes = archive_of("a", "from an archive\n");
    let path = world.path("tool-1.0.tar.gz");
    fs::write(&path, &bytes).unwrap();
    let (folder, sha256) = (path.parent().unwrap().display().to_string(), Digest::of(&bytes).to_hex());
    let source =
        format!("sources: [ {{ url: \"file://{folder}/tool-{{{{ version }}}}.tar.gz\", sha256: \"{sha256}\" }} ]\n");
    let project = with_tool(&world, &(source + &step(WRITE)));
    project.lock();
    let root = project.built("web");
    assert_eq!(fs::read_to_string(root.join("usr/share/tool/a")).unwrap(), "from an archive\n");
}

#[test]
fn a_commit_of_a_git_repository_is_a_source_and_moves_only_when_told() {
    let world = World::new();
    let upstream = world.bare("upstream");
    upstream.write("a", "first\n");
    upstream.commit();
    let source = format!("sources: [ {{ git: \"file://{}\", rev: main }} ]\n", upstream.folder.display());
    let project = with_tool(&world, &(source + &step(WRITE)));
    project.lock();
    upstream.write("a", "second\n");
    upstream.commit();
    let read = || fs::read_to_string(project.built("web").join("usr/share/tool/a")).unwrap();
    assert_eq!(read(), "first\n");
    let moved = project.kiln(&["lock", "--update", "tool"]).done();
    assert!(moved.stdout.contains("source 1 of tool"), "{moved}");
    assert_eq!(read(), "second\n");
    // A commit that nobody ever made is told of at its line.
    let lock = project.read("kiln.lock");
    let (line, pin) = lock.lines().enumerate().find(|(_, line)| line.starts_with("commit = ")).unwrap();
    let other = format!("commit = \"{}\"", "1".repeat(40));
    project.write("kiln.lock", lock.replace(pin, &other));
    let refused = project.kiln(&["build", "tool"]);
    refused.failed(1, &[&format!("kiln.lock:{}", line + 1), &"1".repeat(40), "git checkout kiln.lock"]);
}

#[test]
fn a_source_package_of_an_origin_is_a_source() {
    let world = World::new();
    let mut archive = testkit::DebianArchive::new(world.base());
    let files = vec![("a".to_owned(), "from the distribution\n".to_owned())];
    archive.sources.push(testkit::SourcePackage { name: "thing".to_owned(), version: "1.0-1".to_owned(), files });
    world.archive(&archive);
    let project = with_tool(&world, &format!("sources: [ {{ debian: thing, patches: apply }} ]\n{}", step(WRITE)));
    project.lock();
    assert_eq!(project.kiln(&["lock"]).done().stdout, "", "what is locked is locked");
    let root = project.built("web");
    assert_eq!(fs::read_to_string(root.join("usr/share/tool/a")).unwrap(), "from the distribution\n");
}

#[test]
fn patches_are_applied_in_the_order_they_are_listed() {
    let world = World::new();
    let patches = "patches: { z.patch: The first, a.patch: The second }\n";
    let project = with_tool(&world, &format!("sources: [ {{ path: src }} ]\n{patches}{}", step(WRITE)));
    project.write("packages/tool/src/a", "one\n");
    let patch = |from: &str, to: &str| format!("--- a/a\n+++ b/a\n@@ -1 +1 @@\n-{from}\n+{to}\n");
    project.write("packages/tool/z.patch", patch("one", "two"));
    project.write("packages/tool/a.patch", patch("two", "three"));
    project.lock();
    let root = project.built("web");
    assert_eq!(fs::read_to_string(root.join("usr/share/tool/a")).unwrap(), "three\n");
}

#[test]
fn options_change_what_is_built_from_recipe_project_and_image() {
    let world = World::new();
    let recipe = "options: { loud: { default: false, summary: Shouts } }\nbuild:\n  steps:\n    - { name: make, run: 'mkdir -p {{ out }}/usr/share; echo base > {{ out }}/usr/share/t' }\n    - { name: shout, when: loud, run: 'echo LOUD > {{ out }}/usr/share/t' }\n";
    let project = with_tool(&world, recipe);
    project.image("loud", "packages:\n  - tool: { with: [loud] }\n");
    project.lock();
    let read = |image: &str| fs::read_to_string(project.built(image).join("usr/share/t")).unwrap();
    assert_eq!((read("web").as_str(), read("loud").as_str()), ("base\n", "LOUD\n"));
    project.edit("kiln.yaml", "environment:", "options: { tool: { with: [loud] } }\nenvironment:");
    project.lock();
    assert_eq!(read("web"), "LOUD\n");
    project.image("loud", "packages:\n  - tool: { with: [silent] }\n");
    project.kiln(&["build"]).failed(2, &["images/loud.yaml:3:", "`silent`"]);
}

#[test]
fn parts_take_what_they_claim() {
    let world = World::new();
    let recipe = "parts: { doc: { claim: [usr/share/doc/**] } }\n".to_owned()
        + &step(
            "mkdir -p {{ out }}/usr/share/doc/tool; echo 1 > {{ out }}/usr/share/doc/tool/a; echo 2 > {{ out }}/usr/share/b",
        );
    let project = with_tool(&world, &recipe);
    project.image("all", "packages:\n  - tool: { parts: [doc] }\n");
    project.lock();
    let (web, all) = (project.built("web"), project.built("all"));
    assert!(web.join("usr/share/b").exists() && !web.join("usr/share/doc/tool/a").exists());
    assert!(all.join("usr/share/b").exists() && all.join("usr/share/doc/tool/a").exists());
}

#[test]
fn a_rebuilt_dependency_with_the_same_bytes_rebuilds_nothing_above_it() {
    let world = World::new();
    let project = with_tool(
        &world,
        &("needs: [lib]\n".to_owned() + &step("install -D /usr/share/lib.txt {{ out }}/usr/share/tool.txt")),
    );
    project.recipe("lib", &step("mkdir -p {{ out }}/usr/share; echo lib > {{ out }}/usr/share/lib.txt"));
    // Not committed from here on: a new commit would be in the image.
    project.kiln(&["lock"]).done();
    project.kiln(&["build"]).done().said(&["Building lib", "Building tool"]);
    // Another script, the same result.
    project.edit("packages/lib/package.yaml", "echo lib", "echo  lib");
    project.kiln(&["build"]).done().said(&["Building lib"]).did_not_say(&["Building tool", "Composing image"]);
    project.edit("packages/lib/package.yaml", "echo  lib", "echo new");
    project.kiln(&["build"]).done().said(&["Building lib", "Building tool"]);
    assert_eq!(fs::read_to_string(project.built("web").join("usr/share/tool.txt")).unwrap(), "new\n");
}

#[test]
fn a_failed_build_shows_the_end_of_its_log_and_how_to_look_into_it() {
    let world = World::new();
    let run = "for i in $(cat list); do echo line $i; done; echo the reason >&2; exit 3";
    let project = with_tool(&world, &format!("sources: [ {{ path: src }} ]\n{}", step(run)));
    project.write("packages/tool/src/list", (1..=60).map(|n| format!("{n} ")).collect::<String>());
    project.lock();
    let failed =
        project.kiln(&["build"]).failed(1, &["tool", "`make`", "the reason", "line 60", "kiln shell tool --failed"]);
    let tail = failed.stderr.lines().filter(|line| line.trim_start().starts_with("| ")).count();
    assert_eq!(tail, 40, "{failed}");
    let log = failed.stderr.lines().find_map(|line| line.trim().strip_prefix("log: ")).expect("the log is named");
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("line 1\n") && log.contains("the reason"), "{log}");
    assert!(!project.folder.join("out/web.oci").exists());
}

#[test]
fn the_shell_of_a_failed_build_opens_where_it_stopped() {
    let world = World::new();
    let project = with_tool(&world, &step("echo half > half; exit 1"));
    project.lock();
    project.kiln(&["shell", "tool", "--failed"]).failed(2, &["no build of `tool` has failed"]);
    project.kiln(&["build"]).failed(1, &["tool"]);
    let mut shell = project.command(&["shell", "tool", "--failed"]);
    let mut shell = shell.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut shell.stdin.take().unwrap(), b"cat half; exit 7\n").unwrap();
    let output = shell.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("half"), "{output:?}");
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn after_a_failure_everything_else_is_built_if_asked() {
    let world = World::new();
    let project = with_tool(&world, &step("exit 1"));
    project.recipe("other", &step("mkdir -p {{ out }}/usr; echo 1 > {{ out }}/usr/other"));
    project.recipe("above", &("needs: [tool]\n".to_owned() + &step("exit 0")));
    project.lock();
    let arguments = ["build", "tool", "other", "above", "--keep-going", "--jobs", "1"];
    let failed = project.kiln(&arguments).failed(1, &["tool", "Building other"]);
    failed.did_not_say(&["Building above"]);
    project.kiln(&["build", "other"]).done().did_not_say(&["Building other"]);
}

#[test]
fn what_a_package_cannot_be_is_refused_by_name() {
    let world = World::new();
    let project = with_tool(
        &world,
        &step("mkdir -p {{ out }}/usr; bash -c 'exec 3<>{{ out }}/usr/x; ln -s /build/secret {{ out }}/usr/link'"),
    );
    project.lock();
    project.kiln(&["build"]).failed(1, &["usr/link", "/build"]);
}

#[test]
fn a_script_with_no_interpreter_in_the_image_is_told() {
    let world = World::new();
    let script =
        "mkdir -p {{ out }}/usr/bin; printf '#!/usr/bin/perl\\n' > {{ out }}/usr/bin/x; chmod +x {{ out }}/usr/bin/x";
    let project = with_tool(&world, &step(script));
    project.lock();
    project.kiln(&["build"]).failed(1, &["/usr/bin/x", "/usr/bin/perl"]);
    assert!(!project.folder.join("out/web.oci").exists());
}

#[test]
fn a_library_that_nothing_provides_is_an_error_of_the_build() {
    let world = World::new();
    // The toolbox has the library; what is copied under another name asks for one that nothing has.
    let run = "mkdir -p {{ out }}/usr/bin; sed 's/libselinux/libnothing/g; s/libacl.so/libnil.so/g; s/libc.so.6/libq.so.6/g' /usr/bin/ls > {{ out }}/usr/bin/ls; chmod +x {{ out }}/usr/bin/ls";
    let project = with_tool(&world, &step(run));
    project.lock();
    project.kiln(&["build"]).failed(1, &["/usr/bin/ls", "libq.so.6"]);
}

#[test]
fn offline_with_nothing_fetched_says_what_is_missing() {
    let world = World::new();
    let project = world.project("p");
    let mut lock = project.command(&["lock", "--offline"]);
    let refused = crate::world::ended(lock.env("KILN_MIRROR_DEBIAN", "http://127.0.0.1:9/debian/"));
    refused.failed(1, &["offline"]);
    project.lock();
    let mut build = project.command(&["build", "--offline"]);
    let refused = crate::world::ended(build.env("KILN_MIRROR_DEBIAN", "http://127.0.0.1:9/debian/"));
    refused.failed(1, &["hello", "offline"]);
    project.kiln(&["build"]).done();
    let mut again = project.command(&["build", "--offline"]);
    crate::world::ended(again.env("KILN_MIRROR_DEBIAN", "http://127.0.0.1:9/debian/")).done();
}

#[test]
fn a_submodule_of_the_project_is_a_source() {
    let world = World::new();
    let upstream = world.bare("upstream");
    upstream.write("a", "from a submodule\n");
    upstream.commit();
    let project = with_tool(&world, &format!("sources: [ {{ git: vendored/up, rev: HEAD }} ]\n{}", step(WRITE)));
    let address = format!("file://{}", upstream.folder.display());
    project.git(&["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", &address, "vendored/up"]);
    project.commit();
    project.lock();
    let root = project.built("web");
    assert_eq!(fs::read_to_string(root.join("usr/share/tool/a")).unwrap(), "from a submodule\n");
    project.kiln(&["build"]).done().did_not_say(&["Building"]);
}

#[test]
fn a_recipe_may_start_from_another_one() {
    let world = World::new();
    let project = with_tool(&world, &format!("sources: [ {{ path: src }} ]\n{}", step(WRITE)));
    project.write("packages/tool/src/a", "one\n");
    project.write(
        "packages/tool-loud/package.yaml",
        "name: tool-loud\nbase: tool\nsummary: Louder\nbuild: { steps: [ { name: loud, run: 'tr a-z A-Z < a > b; install -D b {{ out }}/usr/share/loud' } ] }\n",
    );
    project.image("loud", "packages: [tool-loud]\n");
    project.lock();
    assert_eq!(fs::read_to_string(project.built("loud").join("usr/share/loud")).unwrap(), "ONE\n");
}

#[test]
fn a_build_that_takes_too_long_or_too_many_processes_is_stopped() {
    let world = World::new();
    let project = world.bare("p");
    project.recipe("slow", "build: { limits: { time: 1s }, steps: [ { name: wait, run: 'sleep 60' } ] }\n");
    project.commit();
    project.lock();
    let began = std::time::Instant::now();
    project.kiln(&["build", "slow"]).failed(1, &["slow", "`wait`", "1 s"]);
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}

#[test]
fn what_a_source_folder_cannot_give_is_named_and_left_as_it_is() {
    let world = World::new();
    let project = with_tool(&world, &format!("sources: [ {{ path: src }} ]\n{}", step(WRITE)));
    project.write("packages/tool/src/a", "one\n");
    project.lock();
    let source = project.folder.join("packages/tool/src");
    fs::create_dir_all(source.join("deep/er")).unwrap();
    for pipe in ["pipe", "deep/er/pipe"] {
        assert!(std::process::Command::new("mkfifo").arg(source.join(pipe)).status().unwrap().success());
    }
    project.kiln(&["build"]).failed(1, &["`deep/er/pipe` is a named pipe", "`pipe` is a named pipe", ".gitignore"]);
    project.write("packages/tool/src/.gitignore", "/pipe\ndeep/\n");
    project.kiln(&["build"]).done();
    let shut = source.join("shut");
    fs::write(&shut, "shut\n").unwrap();
    crate::world::set_mode(&shut, 0);
    let built = project.kiln(&["build"]);
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&fs::metadata(&shut).unwrap()) & 0o777, 0);
    if crate::world::is_root() {
        built.done();
    } else {
        built.failed(1, &["`shut` cannot be read", "chmod u+r"]);
    }
}

#[test]
fn an_output_that_names_the_project_or_the_store_is_refused() {
    let world = World::new();
    let project = with_tool(&world, "");
    let store = world.path("store");
    for place in [&project.folder, &store, &store.join("work/scratch")] {
        project.recipe(
            "tool",
            &step(&format!("mkdir -p {{{{ out }}}}/usr; echo x={}/y > {{{{ out }}}}/usr/x", place.display())),
        );
        project.lock();
        let folder = if place.starts_with(&store) { &store } else { place };
        project.kiln(&["build"]).failed(1, &["usr/x", &folder.display().to_string(), "a folder of this machine"]);
    }
    let other = format!("mkdir -p {{{{ out }}}}/usr; echo x={}-other > {{{{ out }}}}/usr/x", project.folder.display());
    project.recipe("tool", &step(&other));
    project.lock();
    project.kiln(&["build"]).done();
}

#[test]
fn a_source_that_cannot_be_had_is_told_with_its_line() {
    let world = World::new();
    let bytes = archive_of("a", "from an archive\n");
    let path = world.path("tool.tar.gz");
    fs::write(&path, &bytes).unwrap();
    let source =
        format!("sources:\n  - url: \"file://{}\"\n    sha256: {}\n", path.display(), Digest::of(&bytes).to_hex());
    let project = with_tool(&world, &(source + &step(WRITE)));
    project.lock();
    fs::remove_dir_all(world.path("store")).unwrap();
    fs::write(&path, "something else").unwrap();
    project.kiln(&["build"]).failed(1, &["packages/tool/package.yaml:6", "tool.tar.gz"]);
}
