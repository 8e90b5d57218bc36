//! The store as users meet it: cleaning, checking, sharing, and disks that are full or cannot be written to.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::world::{KILN, World, ended, is_root, set_mode};

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut queue = vec![folder.to_owned()];
    while let Some(folder) = queue.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap() {
                kind if kind.is_dir() => queue.push(entry.path()),
                kind if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

#[test]
fn what_was_cleaned_away_is_made_again() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    let before = project.digests(&[]);
    let kept = project.kiln(&["gc", "--days", "0"]).done();
    assert!(kept.stdout.contains("freed"), "{kept}");
    // The last build of a project is kept.
    project.kiln(&["build", "--offline"]).done().did_not_say(&["Fetching", "Composing"]);
    // Another project's store use is not: the root is moved to one without it.
    project.image("web", "packages: [debian:toolbox]\n");
    project.lock();
    project.kiln(&["build"]).done();
    let freed = project.kiln(&["gc", "--days", "0", "--json"]).done();
    let freed: serde_json::Value = serde_json::from_str(&freed.stdout).unwrap();
    assert!(freed["freed"].as_u64().unwrap() > 0 && freed["actions"].as_u64().unwrap() > 0, "{freed}");
    project.kiln(&["fsck"]).done();
    project.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    assert_eq!(project.digests(&[]), before);
}

#[test]
fn a_dry_run_of_cleaning_removes_nothing() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    project.kiln(&["build"]).done();
    let before = files(&world.objects());
    project.kiln(&["gc", "--days", "0", "--dry-run"]).done();
    let same = |list: &[PathBuf]| list.iter().filter(|path| path.to_string_lossy().contains("objects")).count();
    assert_eq!(same(&before), same(&files(&world.objects())));
}

#[test]
fn damage_is_found_mended_and_built_again() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    let before = project.digests(&[]);
    project.kiln(&["fsck"]).done();
    let object =
        files(&world.objects()).into_iter().find(|path| fs::read(path).is_ok_and(|bytes| bytes == b"hello 1.0\n"));
    let object = object.expect("the greeting is an object");
    set_mode(&object, 0o644);
    fs::write(&object, "hullo 1.0\n").unwrap();
    let name: String = object.file_name().unwrap().to_string_lossy().into_owned();
    let found = project.kiln(&["fsck"]);
    assert_eq!(found.code, Some(1), "{found}");
    assert!(found.stdout.contains(&name[..8]), "{found}");
    let found = project.kiln(&["fsck", "--json"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&found.stdout).unwrap()["sound"], false);
    project.kiln(&["fsck", "--repair"]).done();
    project.kiln(&["fsck"]).done();
    fs::remove_dir_all(project.folder.join("out")).unwrap();
    assert_eq!(project.digests(&[]), before);
    project.kiln(&["fsck"]).done();
}

#[test]
fn gc_cleans_what_building_left_beside_the_store() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    project.digests(&[]);
    let part = world.path("store/work/downloads/abc.part");
    let repository = world.path("store/work/git/abc.git/pack");
    for path in [&part, &repository] {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, vec![7; 3_000_000]).unwrap();
    }
    project.kiln(&["gc"]).done();
    assert!(part.exists() && repository.exists(), "what is young stays, to be taken up again");
    let would = project.json(&["gc", "--days", "0", "--dry-run", "--json"]);
    assert!(part.exists() && would["freed"].as_u64() >= Some(6_000_000), "{would}");
    let done = project.json(&["gc", "--days", "0", "--json"]);
    assert!(!part.exists() && !repository.exists() && done["freed"].as_u64() >= Some(6_000_000), "{done}");
    project.kiln(&["build"]).done();
}

#[test]
fn every_truncated_file_of_a_store_is_noticed_and_mended() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    let before = project.digests(&[]);
    let mut kinds = 0;
    for path in files(&world.objects()) {
        let name = path.to_string_lossy().into_owned();
        let length = fs::metadata(&path).unwrap().len();
        if length == 0 || !["/objects/", "/trees/", "/actions/"].iter().any(|kind| name.contains(kind)) {
            continue;
        }
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        set_mode(&path, 0o644);
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length / 2).unwrap();
        set_mode(&path, mode);
        kinds += 1;
    }
    assert!(kinds > 5, "{kinds} files");
    let found = project.kiln(&["fsck"]);
    assert_eq!(found.code, Some(1), "{found}");
    project.kiln(&["fsck", "--repair"]).done();
    fs::remove_dir_all(project.folder.join("out")).unwrap();
    assert_eq!(project.digests(&[]), before);
}

#[test]
fn two_at_once_build_each_thing_once() {
    let world = World::new();
    let project = world.project("p");
    let log = "echo ran; sleep 1; mkdir -p {{ out }}/usr; echo x > {{ out }}/usr/x";
    project.recipe("tool", &format!("build: {{ steps: [ {{ name: make, run: {log:?} }} ] }}\n"));
    project.image("web", "packages: [tool]\n");
    project.lock();
    let start = |to: &str| {
        let to = world.path(to);
        let mut command = project.command(&["build", "--to", to.to_str().unwrap()]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let (one, two) = (start("one"), start("two"));
    let (one, two) = (one.wait_with_output().unwrap(), two.wait_with_output().unwrap());
    assert!(one.status.success() && two.status.success(), "{one:?} {two:?}");
    let said = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let built = [said(&one), said(&two)].iter().filter(|text| text.contains("Building tool 1.0")).count();
    let digest = |output: &std::process::Output| {
        String::from_utf8_lossy(&output.stdout).split(' ').nth(2).map(str::to_owned).unwrap()
    };
    assert_eq!(digest(&one), digest(&two));
    assert_eq!(built, 1, "{}\n{}", said(&one), said(&two));
}

#[test]
fn a_store_that_cannot_be_written_says_where() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    // Root may write to any folder: a file in the store's place stops everybody.
    let place = world.path("not-a-folder");
    fs::write(&place, "x").unwrap();
    let store = place.join("store");
    let refused = project.kiln(&["build", "--store", store.to_str().unwrap()]);
    assert!(matches!(refused.code, Some(1 | 2)), "{refused}");
    refused.said(&["not-a-folder"]);
    if is_root() {
        return;
    }
    set_mode(&world.path("store"), 0o555);
    fs::rename(world.path("store/store"), world.path("kept")).unwrap_err();
    let closed = world.path("closed");
    fs::create_dir(&closed).unwrap();
    set_mode(&closed, 0o555);
    project.kiln(&["build", "--store", closed.to_str().unwrap()]).failed(1, &["closed", "Permission denied"]);
}

/// Runs a script as root of a user namespace with mounts of its own, in the world's environment.
fn unshared(world: &World, folder: &Path, script: &str) -> crate::world::Ended {
    let mut command = Command::new("unshare");
    world.surround(&mut command, folder);
    command.args(["--user", "--map-root-user", "--mount", "/bin/sh", "-euc", script]).env("KILN", KILN);
    ended(&mut command)
}

#[test]
fn a_read_only_store_is_refused_with_its_place() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    project.kiln(&["build"]).done();
    project.write("new", "x");
    let script = "mount --bind \"$KILN_STORE\" \"$KILN_STORE\"; mount -o remount,bind,ro \"$KILN_STORE\"; set +e; \"$KILN\" build; exit $?";
    let refused = unshared(&world, &project.folder, script);
    refused.failed(1, &["store", "Read-only file system"]);
    project.kiln(&["build"]).done();
    project.kiln(&["fsck"]).done();
}

#[test]
fn a_full_disk_is_told_and_leaves_a_store_that_goes_on() {
    let world = World::new();
    let project = world.project("p");
    project.image("web", "packages: [debian:toolbox]\n");
    project.lock();
    let digests = {
        let other = World::new();
        let same = other.project("p");
        same.image("web", "packages: [debian:toolbox]\n");
        same.write("kiln.lock", project.read("kiln.lock"));
        same.digests(&[]).len()
    };
    assert_eq!(digests, 1);
    // With 3 MB left the package's file fits and its content does not; then there is room, and the same store goes on.
    let script = "mount -t tmpfs -o size=40m,mode=0700 none \"$KILN_STORE\"; mkdir \"$KILN_STORE/archives\"; head -c 37m /dev/zero > \"$KILN_STORE/filler\"; \
         set +e; \"$KILN\" build; code=$?; set -e; echo \"first: $code\" >&2; rm \"$KILN_STORE/filler\"; \
         \"$KILN\" fsck >&2 || echo damaged >&2; \"$KILN\" build; echo second: $? >&2; \"$KILN\" fsck >&2";
    let ended = unshared(&world, &project.folder, script);
    let ended = ended.done().said(&["first: 1", "No space left on device", "second: 0"]);
    ended.did_not_say(&["damaged"]);
}

#[test]
fn a_full_disk_under_the_output_leaves_the_old_output_whole() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    project.kiln(&["build"]).done();
    project.image("web", "packages: [debian:toolbox]\noutputs: [tar, oci]\n");
    project.lock();
    let out = world.path("small");
    fs::create_dir(&out).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=1m none {0}; set +e; \"$KILN\" build --to {0}; code=$?; ls -A {0} >&2; exit $code",
        out.display()
    );
    let failed = unshared(&world, &project.folder, &script).failed(1, &["No space left on device"]);
    failed.did_not_say(&["web.tar\n"]);
    project.kiln(&["build"]).done();
}

#[test]
fn an_interrupted_build_stops_at_once_and_the_next_one_goes_on() {
    let world = World::new();
    let project = world.project("p");
    project.recipe("tool", "build: { steps: [ { name: wait, run: 'sleep 60' } ] }\n");
    project.lock();
    let mut child = project.command(&["build", "tool"]).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let began = std::time::Instant::now();
    ended(Command::new("kill").arg("-INT").arg(child.id().to_string())).done();
    let status = child.wait().unwrap();
    assert!(began.elapsed().as_secs() < 10, "it took {:?}", began.elapsed());
    assert!(!status.success());
    std::thread::sleep(std::time::Duration::from_millis(300));
    let left = fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
    let needle = world.folder().to_string_lossy().into_owned();
    let left: Vec<String> = left.map(|line| String::from_utf8_lossy(&line).into_owned()).collect();
    assert!(!left.iter().any(|line| line.contains(&needle)), "{left:?}");
    project.edit("packages/tool/package.yaml", "sleep 60", "mkdir {{ out }}/usr");
    project.kiln(&["build", "tool"]).done();
    project.kiln(&["fsck"]).done();
}

#[test]
fn a_broken_pipe_of_stdout_is_no_crash() {
    let world = World::new();
    let project = world.project("p");
    project.image("web", "packages: [debian:toolbox]\n");
    project.lock();
    project.kiln(&["build"]).done();
    let mut child =
        project.command(&["show", "web", "--files"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("panicked") && output.status.code() != Some(255), "{output:?}");
    std::io::stdout().flush().unwrap();
}

#[test]
fn cleaning_takes_nothing_from_a_container_and_waits_for_a_build() {
    let world = World::new();
    let project = world.project("p");
    let go = world.path("go");
    fs::create_dir(&go).unwrap();
    let script = "echo ready; while ! test -e /go/on; do sleep 0.1; done; cat /usr/share/hello/greeting; ls / > /dev/null && echo whole";
    project.image(
        "web",
        &format!("packages: [debian:toolbox, debian:hello]\nrun: {{ command: [/bin/sh, -c, {script:?}] }}\n"),
    );
    project.lock();
    let volume = format!("{}:/go", go.display());
    let mut command = project.command(&["run", "web", "--volume", &volume]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut first = [0; 6];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
    // The project's next build has nothing of the container's image: only the running container keeps it.
    project.image("web", "packages: []\nfiles: { /etc/motd: { content: hi } }\n");
    project.lock();
    project.kiln(&["build"]).done();
    project.kiln(&["gc", "--days", "0"]).done();
    fs::write(go.join("on"), "").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello 1.0\nwhole\n");
    assert!(output.status.success());

    project.recipe("slow", "build: { steps: [ { name: wait, run: 'sleep 3; mkdir {{ out }}/usr' } ] }\n");
    project.lock();
    let mut build = project.command(&["build", "slow"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(800));
    project.kiln(&["gc", "--days", "0"]).failed(1, &["the store is in use by process", "try again when it is done"]);
    project.kiln(&["gc", "--days", "0", "--wait"]).done();
    assert!(build.wait().unwrap().success());
    project.kiln(&["fsck"]).done();
}

#[test]
fn a_folder_that_cannot_be_the_store_is_refused_with_a_way_out() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    std::fs::write(world.path("file"), "x").unwrap();
    std::fs::create_dir(world.path("full")).unwrap();
    std::fs::write(world.path("full/thesis.txt"), "x").unwrap();
    let store = |place: &str| ended(project.command(&["build"]).env("KILN_STORE", world.path(place)));
    store("file").failed(2, &["file` is a file, and the store is a folder", "--store DIR"]);
    store("file/below").failed(1, &["cannot make the store's folder", "file/below", "--store DIR"]);
    store("full").failed(2, &["full` is not a folder of Kiln's: it holds `thesis.txt`", "empty or a new folder"]);
    assert_eq!(std::fs::read_dir(world.path("full")).unwrap().count(), 1);
    store("new/deep").done();
}
