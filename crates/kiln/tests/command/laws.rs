//! The laws, each with a test that would fail if it broke, seen from outside.

use std::fs;
use std::process::Command;
use std::time::Duration;

use testkit::{ArchiveKey, Deb, DebianArchive};

use crate::world::{Project, World, ended, is_root};

/// A project of some size: a recipe with a need, options, patches, users, files, an overlay, imported packages.
fn rich<'a>(world: &'a World, name: &str) -> Project<'a> {
    let project = world.bare(name);
    project.recipe("lib", "build: { steps: [ { run: 'mkdir -p {{ out }}/usr/share; date -d @$SOURCE_DATE_EPOCH > {{ out }}/usr/share/lib.txt; env | sort | grep -v -e ^jobs= -e JOBS >> {{ out }}/usr/share/lib.txt' } ] }\n");
    project.write("packages/tool/src/a", "one\n");
    project.write("packages/tool/fix.patch", "--- a/a\n+++ b/a\n@@ -1 +1 @@\n-one\n+two\n");
    project.recipe(
        "tool",
        "sources: [ { path: src } ]\n\
         patches: { fix.patch: A reason }\n\
         needs: [lib]\n\
         options: { more: { default: false, summary: More } }\n\
         facts: { users: { toolman: { home: /srv } }, directories: { /var/lib/tool: { owner: toolman, mode: \"0750\" } } }\n\
         build:\n  env: { COLOUR: red }\n  steps:\n    - { run: 'install -D a {{ out }}/usr/share/tool/a; cp /usr/share/lib.txt {{ out }}/usr/share/tool/; echo $COLOUR > {{ out }}/usr/share/tool/colour; (cd /build; stat -c %n:%U:%G:%a:%h . /tmp * / /etc/*) > {{ out }}/usr/share/tool/ls; id >> {{ out }}/usr/share/tool/ls; uname -n >> {{ out }}/usr/share/tool/ls' }\n    - { when: more, run: 'echo more > {{ out }}/usr/share/tool/more' }\n",
    );
    project.write("overlays/site/usr/share/z", "z\n");
    project.write("overlays/site/usr/share/A", "A\n");
    project.write("files/conf", "conf\n");
    project.image(
        "web",
        "packages: [tool, debian:hello, debian:toolbox]\n\
         overlays: [ { tree: overlays/site, priority: 1 } ]\n\
         files: { /etc/conf: { source: files/conf, owner: toolman } }\n\
         run: { command: [/usr/bin/cat, /usr/share/hello/greeting] }\n\
         outputs: [oci, tar, dir]\n",
    );
    project.git(&["add", "--all"]);
    let mut commit = Command::new("git");
    world.surround(&mut commit, &project.folder);
    commit.args(["-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "--quiet", "--message=one"]);
    commit.env("GIT_AUTHOR_DATE", "2026-01-01T00:00:00Z").env("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z");
    ended(&mut commit).done();
    project
}

#[test]
fn law_1_no_hook_runs() {
    // What it would write is known to nobody who does not run it.
    let trap = "#!/bin/sh\ndate > /usr/share/hook-ran; touch /tmp/kiln-hook-ran\nexit 1\n";
    let hooked = Deb::new("hooked", "1.0").file("usr/share/hooked", "x\n");
    let hooked =
        ["preinst", "postinst", "prerm", "postrm", "config"].iter().fold(hooked, |deb, name| deb.hook(name, trap));
    let world = World::with(&[hooked]);
    let project = world.project("p");
    project.image("web", "packages: [debian:hooked, debian:toolbox]\n");
    project.lock();
    project
        .kiln(&["build"])
        .failed(1, &["debian:hooked", "postinst:3", "hooks:\n", "debian:hooked: { accept: \"WHY\" }"]);
    project.edit("images/web.yaml", "packages:", "hooks: { debian:hooked: { accept: It is a trap } }\npackages:");
    let root = project.built("web");
    assert!(root.join("usr/share/hooked").exists() && !root.join("usr/share/hook-ran").exists());
    assert!(!std::path::Path::new("/tmp/kiln-hook-ran").exists());
    // In a build environment neither.
    project.edit("kiln.yaml", "[debian:build-essential]", "[debian:build-essential, debian:hooked]");
    project.recipe("tool", "build: { steps: [ { run: 'test ! -e /usr/share/hook-ran; test -e /usr/share/hooked; mkdir {{ out }}/usr' } ] }\n");
    project.lock();
    project.kiln(&["build", "tool"]).failed(1, &["debian:hooked", "postinst:3", "kiln.yaml"]);
    // Once it is said that the hook does not matter, in the project, the environment is made.
    project.edit(
        "kiln.yaml",
        "environment:",
        "hooks: { debian:hooked: { accept: It is the same trap } }\nenvironment:",
    );
    project.kiln(&["build", "tool"]).done().did_not_say(&["warning"]);
}

#[test]
fn law_2_same_inputs_same_bytes() {
    let first = World::new();
    let one = rich(&first, "p");
    one.kiln(&["lock"]).done();
    one.kiln(&["build", "--jobs", "1"]).done();
    // The lock with the numbers that were allotted goes along, as it would in Git.
    let lock = one.read("kiln.lock");
    let digests = one.digests(&["--jobs", "1"]);
    assert_eq!(digests.len(), 3);

    let second = World::new();
    let two = rich(&second, "another/folder/with a space");
    two.write("kiln.lock", &lock);
    // Another umask, time zone, locale, number of jobs, terminal, user configuration; files touched at another time.
    let mut touch = Command::new("find");
    touch.arg(&two.folder).args([
        "-not",
        "-path",
        "*/.git/*",
        "-type",
        "f",
        "-exec",
        "touch",
        "-d",
        "1999-12-31",
        "{}",
        "+",
    ]);
    ended(&mut touch).done();
    let script = "umask 077; exec \"$0\" build --jobs 3";
    let mut build = Command::new("/bin/sh");
    second.surround(&mut build, &two.folder);
    build.args(["-c", script, crate::world::KILN]);
    build.env("TZ", "Asia/Kolkata").env("LC_ALL", "tr_TR.UTF-8").env("LANG", "tr_TR.UTF-8").env("COLUMNS", "40");
    build.env("CFLAGS", "-O3").env("SOURCE_DATE_EPOCH", "1").env("USER", "someone").env("COLOUR", "blue");
    let built = ended(&mut build).done();
    let mut compare = Command::new("diff");
    compare.args(["-r", "--no-dereference"]).args([one.folder.join("out/web.dir"), two.folder.join("out/web.dir")]);
    let compared = ended(&mut compare);
    assert_eq!(compared.stdout, "");
    let other: Vec<&str> = built.stdout.lines().map(|line| line.split(' ').nth(2).unwrap()).collect();
    assert_eq!(digests, other, "{built}");
    let layout = |project: &Project<'_>| fs::read(project.folder.join("out/web.oci/index.json")).unwrap();
    assert_eq!(layout(&one), layout(&two));
    assert_eq!(fs::read(one.folder.join("out/web.tar")).unwrap(), fs::read(two.folder.join("out/web.tar")).unwrap());
}

#[test]
fn law_3_order_does_not_matter() {
    let debs: Vec<Deb> = (0..6)
        .map(|n| {
            Deb::new(&format!("pack{n}"), "1.0")
                .directory("usr/share/common")
                .file(&format!("usr/share/common/{n}"), "x")
        })
        .collect();
    let world = World::with(&debs);
    let project = world.project("p");
    let tree = |names: &[usize]| {
        let names: Vec<String> = names.iter().map(|n| format!("debian:pack{n}")).collect();
        project.image("web", &format!("packages: [{}]\n", names.join(", ")));
        let shown = project.json(&["build", "--lock", "--json"]);
        (shown[0]["tree"].clone(), shown[0]["digest"].clone(), project.read("kiln.lock"))
    };
    let first = tree(&[0, 1, 2, 3, 4, 5]);
    assert_eq!(first, tree(&[5, 3, 1, 4, 2, 0]));
    assert_eq!(first, tree(&[2, 5, 0, 4, 1, 3]));
    assert_ne!(first.0, tree(&[0, 1, 2, 3, 4]).0);
}

#[test]
fn law_4_a_key_covers_every_kind_of_input() {
    let world = World::new();
    let project = rich(&world, "p");
    project.kiln(&["lock"]).done();
    project.kiln(&["build", "web"]).done();
    // The first build put the number of a user into the lock.
    project.kiln(&["build", "web"]).done();
    project.kiln(&["build", "web"]).done().did_not_say(&["Building", "Composing"]);
    let built = |what: &str| {
        let build = project.kiln(&["build", "web", "--lock"]).done();
        assert!(build.stderr.contains("Building tool"), "{what} is not in the key:\n{build}");
        project.kiln(&["build", "web"]).done().did_not_say(&["Building"]);
    };
    let recipe = "packages/tool/package.yaml";
    project.edit(recipe, "echo $COLOUR", "echo the $COLOUR");
    built("a step");
    project.edit(recipe, "COLOUR: red", "COLOUR: green");
    built("the environment of steps");
    project.edit(recipe, "default: false", "default: true");
    built("an option");
    project.edit("packages/tool/fix.patch", "+two", "+three");
    built("a patch");
    project.write("packages/tool/src/b", "new\n");
    built("a source's file");
    crate::world::set_mode(&project.folder.join("packages/tool/src/b"), 0o755);
    built("a source's mode");
    project.edit("packages/lib/package.yaml", "@$SOURCE", "@1$SOURCE");
    built("what it needs");
    project.edit(recipe, "version: \"1.0\"", "version: \"1.1\"");
    built("its version");
    project.edit("kiln.yaml", "[debian:build-essential]", "[debian:build-essential, debian:hello]");
    built("the environment's packages");
    world.publish(&[crate::world::hello("2.0")]);
    project.kiln(&["lock", "--update"]).done();
    built("the version of a package of the environment");
    // Facts and summaries are no input of the steps, but the package is another one.
    let before = project.json(&["show", "web", "--json"])["packages"].clone();
    project.edit(recipe, "mode: \"0750\"", "mode: \"0700\"");
    project.kiln(&["build", "web"]).done();
    assert_ne!(before, project.json(&["show", "web", "--json"])["packages"]);
}

#[test]
fn law_5_no_network_in_a_build() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::net::TcpStream::connect(("127.0.0.1", port)).expect("the test's own listener can be reached");
    listener.accept().unwrap();
    listener.set_nonblocking(true).unwrap();
    let world = World::new();
    let project = world.project("p");
    let run = format!("cat /proc/net/dev | tail -n +3 | wc -l; exec 3<>/dev/tcp/127.0.0.1/{port}; echo reached >&3");
    project.recipe("tool", &format!("build: {{ steps: [ {{ name: call, run: {run:?} }} ] }}\n"));
    project.lock();
    let failed = project.kiln(&["build", "tool"]).failed(1, &["`call`", "refused"]);
    // The loopback interface and no other.
    assert!(failed.stderr.contains("| 1\n"), "{failed}");
    assert!(listener.accept().is_err(), "somebody connected");
}

#[test]
fn law_6_no_root() {
    if !is_root() {
        // Every test of this run is this test.
        let world = World::new();
        let project = rich(&world, "p");
        project.kiln(&["build", "--lock"]).done();
        return;
    }
    let world = World::new();
    let project = rich(&world, "p");
    project.kiln(&["lock"]).done();
    let nobody = "65534:65534";
    ended(Command::new("chown").args(["-R", nobody]).arg(world.folder())).done();
    let mut build = Command::new("setpriv");
    world.surround(&mut build, &project.folder);
    build.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", crate::world::KILN, "build"]);
    let built = ended(&mut build).done();
    assert_eq!(built.stdout.lines().count(), 3, "{built}");
    let digests: Vec<&str> = built.stdout.lines().map(|line| line.split(' ').nth(2).unwrap()).collect();
    // Root's own build has the same bytes.
    let other = World::new();
    let same = rich(&other, "p");
    same.write("kiln.lock", project.read("kiln.lock"));
    assert_eq!(same.digests(&[]), digests);
}

#[test]
fn law_8_fail_closed() {
    let world = World::new();
    let project = world.project("p");
    let release = world.path("mirror/dists/trixie/InRelease");
    let good = fs::read_to_string(&release).unwrap();
    let refused = |what: &str, said: &[&str]| {
        let ended = project.kiln(&["lock"]);
        assert_eq!(ended.code, Some(1), "{what}: {ended}");
        assert!(!project.folder.join("kiln.lock").exists(), "{what}");
        ended.said(said)
    };
    fs::write(&release, good.replace("Origin: Debian", "Origin: Debiam")).unwrap();
    refused("a changed index", &["signature"]);
    let body = good.split("-----BEGIN PGP SIGNATURE-----").next().unwrap().split_once("\n\n").unwrap().1;
    fs::write(&release, body).unwrap();
    refused("an unsigned index", &["sign"]);
    DebianArchive::new(world.base()).write(&world.path("mirror"), &ArchiveKey::new(99));
    refused("a key that is not in the keyring", &["key"]);
    let mut expired = DebianArchive::new(world.base());
    (expired.age, expired.valid_for) = (10 * 86_400, -86_400);
    world.archive(&expired);
    refused("an expired index", &["expired"]);
    let mut other = DebianArchive::new(world.base());
    other.suite = "forky".to_owned();
    world.archive(&other);
    fs::copy(world.path("mirror/dists/forky/InRelease"), &release).unwrap();
    refused("another suite", &["forky"]);
    world.publish(&[]);
    let architecture = kiln_model::Architecture::native();
    let index = world.path(&format!("mirror/dists/trixie/main/binary-{architecture}/Packages.xz"));
    fs::copy(world.path("mirror/dists/trixie/main/source/Sources.xz"), &index).unwrap();
    refused("an index that is not the signed one", &["Packages"]);
    world.publish(&[]);
    fs::remove_file(project.folder.join("keys/archive.asc")).unwrap();
    let ended = project.kiln(&["lock"]);
    assert!(ended.code != Some(0) && ended.stderr.contains("keys/archive.asc"), "{ended}");
}

#[test]
fn law_8_an_older_index_is_refused() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    let mut old = DebianArchive::new(world.base());
    old.age = 5 * 86_400;
    world.archive(&old);
    let before = project.read("kiln.lock");
    project.kiln(&["lock", "--update"]).failed(1, &["older"]);
    assert_eq!(before, project.read("kiln.lock"));
}

#[test]
fn law_9_a_kill_at_any_moment_leaves_a_store_that_builds() {
    let clean = World::new();
    let reference = rich(&clean, "p");
    reference.kiln(&["build", "--lock"]).done();
    let lock = reference.read("kiln.lock");
    let digests = reference.digests(&[]);
    for delay in [20, 60, 120, 200, 300, 450] {
        let world = World::new();
        let project = rich(&world, "p");
        project.write("kiln.lock", &lock);
        let mut command = project.command(&["build"]);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        // Rust's kill is SIGKILL.
        child.kill().unwrap();
        child.wait().unwrap();
        let fsck = project.kiln(&["fsck", "--wait"]);
        assert!(fsck.code == Some(0) || fsck.stderr.contains("there is no store"), "after {delay} ms: {fsck}");
        assert_eq!(project.digests(&[]), digests, "after {delay} ms");
    }
}

#[test]
fn law_10_nothing_is_accepted_and_ignored() {
    let world = World::new();
    let project = world.project("p");
    let refused = |path: &str, text: &str, said: &[&str]| {
        let before = project.read(path);
        project.write(path, before.clone() + text);
        project.kiln(&["build"]).failed(2, said);
        project.write(path, before);
    };
    refused("images/web.yaml", "machine: { kernel: a }\n", &["images/web.yaml:3:1", "machine", "not supported"]);
    refused("images/web.yaml", "tests: []\n", &["images/web.yaml:3:1", "not supported"]);
    refused("images/web.yaml", "colour: red\n", &["images/web.yaml:3:1", "`colour`"]);
    refused("images/web.yaml", "variables: { unused: 1 }\n", &["images/web.yaml:3:", "`unused`"]);
    refused("images/web.yaml", "outputs: [floppy]\n", &["images/web.yaml:3:11", "`floppy`"]);
    refused("images/web.yaml", "facts: { services: { a: { unit: a.service } } }\n", &["images/web.yaml:3:"]);
    refused("kiln.yaml", "caches: []\n", &["kiln.yaml:6:1", "not supported"]);
    refused("kiln.yaml", "architectures: [vax]\n", &["kiln.yaml:6:17", "`vax`"]);
    project.recipe("tool", "build: { steps: [ { run: 'true' } ] }\n");
    let recipe = "packages/tool/package.yaml";
    refused(
        recipe,
        "options: { idle: { default: true, summary: Nothing } }\n",
        &["packages/tool/package.yaml:6:", "`idle`"],
    );
    refused(recipe, "needs: [debain:hello]\n", &["packages/tool/package.yaml:6:", "debain"]);
    refused(recipe, "homepage: x\n", &["packages/tool/package.yaml:6:1", "`homepage`"]);
}

#[test]
fn a_commit_that_changes_nothing_of_an_image_moves_its_label_and_no_other_layer() {
    let world = World::new();
    let project = rich(&world, "p");
    project.kiln(&["build"]).done();
    project.commit();
    // Layers by what they are called and hold, of the image as it is now.
    let layers = || -> Vec<(String, String)> {
        let shown = project.json(&["show", "--json"]);
        let list = shown["layers"].as_array().unwrap().clone();
        list.iter()
            .map(|one| (one["name"].as_str().unwrap().to_owned(), one["tree"].as_str().unwrap().to_owned()))
            .collect()
    };
    let before = layers();
    assert!(before.len() > 3, "{before:?}");
    project.write("README", "Words.\n");
    project.commit();
    let after = layers();
    let moved: Vec<&str> =
        before.iter().zip(&after).filter(|(a, b)| a != b).map(|((name, _), _)| name.as_str()).collect();
    assert_eq!((before.len(), moved), (after.len(), vec!["label"]));
    // And nothing is composed, derived or packed again but that layer.
    project.kiln(&["build"]).done().did_not_say(&["Building", "Importing", "Deriving"]);
}
