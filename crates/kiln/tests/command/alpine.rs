//! Alpine's packages from the lock to a running container: an archive made on the spot, nothing of it run.

use std::fs;
use std::process::Command;
use std::sync::LazyLock;

use testkit::{AlpineArchive, Apk, ApkKey};

use crate::world::{Ended, Project, World, ended};

static KEY: LazyLock<ApkKey> = LazyLock::new(|| ApkKey::new(1));

/// The applets that the package lists: what `busybox --list-full` prints, shortened.
const APPLETS: &str =
    "bin/ash\nbin/cat\nbin/echo\nbin/ls\nbin/sh\nbin/stat\nsbin/nologin\nusr/bin/awk\nusr/bin/id\nusr/bin/readlink\n";

fn busybox() -> Apk {
    let program = fs::read("/bin/busybox").expect("the package `busybox-static` is installed");
    Apk::new("busybox", "1.37.0-r12")
        .field("provides", "cmd:busybox=1.37.0-r12 cmd:sh=1.37.0-r12")
        .field("provides", "/bin/sh")
        .field("triggers", "/bin /usr/bin /sbin /usr/sbin /lib/modules/*")
        .program("bin/busybox", program)
        .file("etc/busybox-paths.d/busybox", APPLETS)
        .script(".post-install", "#!/bin/sh\n\n/bin/busybox --install -s\n")
        .script(".trigger", "#!/bin/sh\ncase \"$1\" in\n*) /bin/busybox --install -s ;;\nesac\n")
        .script(".post-upgrade", "#!/bin/sh\nrm -rf /\n")
}

fn baselayout() -> Apk {
    Apk::new("alpine-baselayout", "3.7.0-r0")
        .field("depend", "/bin/sh")
        .file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n")
        .file("etc/group", "root:x:0:root\nshadow:x:42:\nnogroup:x:65533:\n")
        .file("etc/shells", "/bin/sh\n/bin/ash\n")
        .script(".pre-install", "#!/bin/sh\nif [ -e /etc/shadow ]; then\n\taddgroup -S -g 42 shadow\nfi\n")
        .script(".post-install", "#!/bin/sh\nchown root:shadow etc/shadow\nexit 0\n")
}

fn daemon() -> Apk {
    Apk::new("daemon", "2.1-r0")
        .field("depend", "cmd:sh>=1.30")
        .program("usr/sbin/daemon", "#!/bin/sh\necho \"daemon of $(id -un)\"\n")
        .file("etc/daemon.conf", "port 1\n")
        .script(
            ".pre-install",
            "#!/bin/sh\naddgroup -S daemons 2>/dev/null\nadduser -S -D -H -h /var/lib/daemon -s /sbin/nologin -G daemons -g daemon daemond 2>/dev/null\nexit 0\n",
        )
}

fn publish(world: &World, packages: &[Apk]) {
    AlpineArchive::new(packages).write(&world.path("alpine"), &KEY);
}

/// A project whose one image has these packages of an archive that has the usual ones.
fn project<'w>(world: &'w World, packages: &str) -> Project<'w> {
    publish(world, &[busybox(), baselayout(), daemon()]);
    let project = world.bare("p");
    project.write(
        "kiln.yaml",
        "kiln: 1\nname: sample\norigins:\n  alpine: { archive: apk, suite: v3.22, keyring: keys/alpine }\n",
    );
    project.write(&format!("keys/alpine/{}", KEY.name), KEY.public());
    project.image("web", &format!("packages: [{packages}]\n"));
    project.commit();
    project
}

const BASE: &str = "alpine:alpine-baselayout, alpine:daemon";

fn kiln(project: &Project<'_>, arguments: &[&str]) -> Ended {
    let mirror = format!("file://{}/", project.world.path("alpine").display());
    ended(project.command(arguments).env("KILN_MIRROR_ALPINE", mirror))
}

#[test]
fn an_alpine_image_runs_with_busybox_under_the_names_of_its_applets() {
    let world = World::new();
    let project = project(&world, BASE);
    let locked = kiln(&project, &["lock"]).done();
    assert!(locked.stdout.contains("+ alpine:busybox (") && locked.stdout.contains("1.37.0-r12"), "{locked}");
    project.commit();
    let lock = project.read("kiln.lock");
    let bytes =
        fs::read(world.path("alpine/v3.22/main").join(testkit::apk::architecture()).join("busybox-1.37.0-r12.apk"));
    let sha256 = kiln_model::Digest::of(&bytes.unwrap()).to_hex();
    assert!(lock.contains("archive = \"apk\"") && lock.contains(&sha256), "{lock}");

    let script = "readlink /bin/sh; readlink /usr/bin/awk; daemon; stat -c %U:%G:%a /etc/shadow; awk 'BEGIN { print 6 * 7 }'; id -u daemond; ls -d /var/lib/daemon";
    let seen = kiln(&project, &["run", "web", "--", "/bin/sh", "-c", script]);
    let lines: Vec<&str> = seen.stdout.lines().collect();
    assert_eq!(&lines[..5], ["/bin/busybox", "/bin/busybox", "daemon of root", "root:shadow:640", "42"], "{seen}");
    assert!(lines[5].parse::<u32>().is_ok(), "{seen}");
    assert_eq!(lines.len(), 6, "`-H` makes no home: {seen}");
}

#[test]
fn what_is_locked_builds_to_the_same_bytes_when_the_mirror_is_gone() {
    let world = World::new();
    let project = project(&world, BASE);
    kiln(&project, &["lock"]).done();
    project.commit();
    let build = |folder: &str| {
        let built = kiln(&project, &["build", "web", "--output", "oci", "--to", &format!("out/{folder}")]).done();
        built.stdout.split(' ').nth(2).map(str::to_owned).unwrap_or_else(|| panic!("{built}"))
    };
    build("zero");
    // The first build allots numbers, which the lock keeps.
    project.commit();
    let first = build("one");
    fs::remove_dir_all(world.path("alpine")).unwrap();
    assert_eq!(build("two"), first);
    let again = kiln(&project, &["lock"]).done();
    assert_eq!(again.stdout, "", "{again}");
}

#[test]
fn without_a_mirror_it_is_said_what_to_set() {
    let world = World::new();
    let project = project(&world, BASE);
    let ended = project.kiln(&["lock"]);
    ended.failed(1, &["no mirror of `alpine` is known", "KILN_MIRROR_ALPINE", "the branches, such as `v3.22`"]);
}

#[test]
fn an_archive_that_another_key_signed_locks_nothing() {
    let world = World::new();
    let project = project(&world, BASE);
    AlpineArchive::new(&[busybox()]).write(&world.path("alpine"), &ApkKey::new(2));
    kiln(&project, &["lock"]).failed(1, &["no key of the project made its signature", "keyring"]);
    assert!(!project.folder.join("kiln.lock").exists());
    AlpineArchive { algorithm: "RSA", ..AlpineArchive::new(&[busybox()]) }.write(&world.path("alpine"), &KEY);
    kiln(&project, &["lock"]).failed(1, &["is over SHA-1", "signatures: sha1"]);
}

#[test]
fn a_package_that_was_altered_on_the_mirror_locks_nothing() {
    let world = World::new();
    let project = project(&world, BASE);
    let file = world.path("alpine/v3.22/main").join(testkit::apk::architecture()).join("daemon-2.1-r0.apk");
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, bytes).unwrap();
    kiln(&project, &["lock"]).failed(1, &["`daemon 2.1-r0` of the origin `alpine` is not believed", "datahash"]);
    assert!(!project.folder.join("kiln.lock").exists());
}

#[test]
fn a_script_that_nothing_translates_is_told_with_what_to_write() {
    let world = World::new();
    let project = project(&world, "alpine:busybox, alpine:odd");
    let odd =
        Apk::new("odd", "1-r0").file("usr/share/odd", "x").script(".post-install", "#!/bin/sh\nmknod /dev/odd c 1 2\n");
    publish(&world, &[busybox(), odd]);
    kiln(&project, &["lock"]).done();
    project.commit();
    kiln(&project, &["build", "web"]).failed(1, &["alpine:odd", ".post-install:2", "mknod /dev/odd c 1 2", "hooks:"]);
    let accepted = "hooks: { 'alpine:odd': { accept: a test } }\n";
    project.image("web", &format!("packages: [alpine:busybox, alpine:odd]\n{accepted}"));
    project.commit();
    kiln(&project, &["build", "web"]).done().did_not_say(&["alpine:odd"]);
}

#[test]
fn what_a_lock_says_of_the_state_is_checked_against_the_index_that_is_kept() {
    let world = World::new();
    let project = project(&world, BASE);
    kiln(&project, &["lock"]).done();
    project.commit();
    let lock = project.read("kiln.lock");
    let index = lock.lines().find(|line| line.contains("APKINDEX.tar.gz")).unwrap();
    let (path, digest) = (index.split('"').nth(1).unwrap(), index.split('"').nth(3).unwrap());
    let date = lock.lines().find(|line| line.starts_with("date = ")).unwrap();
    for (from, to, said) in [
        (digest, "1".repeat(64), format!("`{path}` of the pinned state of `alpine` is sha256:{digest}")),
        (index, index.replace("size = ", "size = 1"), "bytes long".to_owned()),
        (date, "date = \"Mon, 01 Jan 2001 00:00:00 UTC\"".to_owned(), "is of Tue, 14 Nov 2023 22:13:20 UTC".to_owned()),
        (
            date,
            format!("{date}\nrelease = \"{}\"", "1".repeat(64)),
            "has no signed statement that stands for".to_owned(),
        ),
    ] {
        project.write("kiln.lock", lock.replacen(from, &to, 1));
        kiln(&project, &["build", "web"]).failed(2, &["kiln.lock:", &said, "`kiln lock`"]);
        kiln(&project, &["lock"]).done();
        assert_eq!(project.read("kiln.lock"), lock);
    }
}

#[test]
fn a_conflict_is_told_at_the_places_that_ask_for_it() {
    let world = World::new();
    let project = project(&world, "alpine:daemon, alpine:rival");
    let rival = Apk::new("rival", "1-r0").field("depend", "!daemon");
    publish(&world, &[busybox(), daemon(), rival]);
    let told = ["`rival` conflicts with `daemon`", "images/web.yaml:2:12", "images/web.yaml:2:27"];
    kiln(&project, &["lock"]).failed(2, &told);
}

#[test]
fn packages_of_two_kinds_of_archive_go_into_one_image() {
    let world = World::new();
    let project = project(&world, "debian:hello, alpine:daemon, alpine:alpine-baselayout");
    project.edit(
        "kiln.yaml",
        "origins:\n",
        "origins:\n  debian: { archive: deb, suite: trixie, keyring: keys/archive.asc }\n",
    );
    project.commit();
    kiln(&project, &["lock"]).done();
    project.commit();
    let seen = kiln(&project, &["run", "web", "--", "/bin/cat", "/usr/share/hello/greeting"]).done();
    assert_eq!(seen.stdout, "hello 1.0\n");
}

#[test]
fn what_only_archives_of_debians_have_is_told_at_its_place() {
    let world = World::new();
    let project = project(&world, BASE);
    project.image("web", "packages: ['alpine:@essential']\n");
    project.recipe("thing", "sources: [{ alpine: thing }]\nbuild: { steps: [{ run: 'true' }] }\n");
    let ended = kiln(&project, &["lock"]);
    ended.failed(
        2,
        &[
            "images/web.yaml:2",
            "`alpine` is an archive of `.apk` packages, which marks no package essential",
            "packages/thing/package.yaml:5",
            "which has no source packages",
        ],
    );
    project.write("kiln.yaml", "kiln: 1\nname: sample\norigins:\n  alpine: { archive: apk, suite: v3.22 }\n");
    kiln(&project, &["lock"]).failed(2, &["keyring"]);
    project.write(
        "kiln.yaml",
        "kiln: 1\nname: sample\norigins:\n  alpine: { archive: apk, suite: v3.22, keyring: keys/alpine, signatures: md5, max-age: 3d }\n",
    );
    kiln(&project, &["lock"]).failed(2, &["kiln.yaml:4", "`md5` is no digest of signatures", "`max-age`"]);
}

#[test]
fn the_machine_has_what_the_tests_use() {
    let applets = Command::new("/bin/busybox").arg("--list").output().expect("`busybox-static` is installed");
    let applets = String::from_utf8(applets.stdout).unwrap();
    for path in APPLETS.lines() {
        let name = path.rsplit('/').next().unwrap();
        assert!(applets.lines().any(|applet| applet == name) || name == "nologin", "{name}");
    }
}
