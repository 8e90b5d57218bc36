//! `kiln init`, `kiln lock`, and locks that do not hold together.

use crate::world::{World, ended, hello};
use testkit::Deb;

#[test]
fn a_new_project_builds_at_once_and_overwrites_nothing() {
    let busybox = Deb::new("busybox-static", "1:1.37.0-6").file("usr/bin/busybox", "a program\n");
    let world = World::with(&[busybox]);
    let made = ended(world.command(world.folder()).args(["init", "hello"])).done();
    made.said(&["kiln.yaml", "images/web.yaml", "kiln run hello"]);
    let project = world.bare("hello");
    let again = ended(world.command(world.folder()).args(["init", "hello"]));
    again.failed(2, &["kiln.yaml` is there already", "choose an empty folder"]);
    project.commit();
    project.kiln(&["build"]).done().said(&["Composing image web", "out/web.oci"]);
    let why = project.kiln(&["why", "web", "/srv/index.html"]).done();
    assert!(why.stdout.starts_with("/srv/index.html: a file by "), "{why}");
}

#[test]
fn the_first_build_locks_and_a_later_one_never_does() {
    let world = World::new();
    let project = world.project("p");
    project.kiln(&["why", "web", "/usr"]).failed(2, &["the project has no `kiln.lock`", "run `kiln lock` and commit"]);
    let built = project.kiln(&["build"]).done();
    assert!(built.stdout.starts_with("web oci "), "{built}");
    let lock = project.read("kiln.lock");
    assert!(lock.contains("name = \"hello\""));
    world.publish(&[hello("2.0")]);
    project.edit("images/web.yaml", "name: web", "name: web2");
    project.kiln(&["build"]).failed(2, &["does not say what the project asks", "run `kiln lock`"]);
    assert_eq!(project.read("kiln.lock"), lock);
}

#[test]
fn locking_prints_what_changed_and_moves_nothing_by_itself() {
    let world = World::new();
    let project = world.project("p");
    let first = project.kiln(&["lock"]).done();
    assert!(first.stdout.contains("+ debian:hello (amd64) 1.0") || first.stdout.contains("+ debian:hello (arm64) 1.0"));
    let second = project.kiln(&["lock"]).done();
    assert_eq!(second.stdout, "");
    world.publish(&[hello("2.0")]);
    assert_eq!(project.kiln(&["lock"]).done().stdout, "");
    let moved = project.kiln(&["lock", "--update"]).done();
    assert!(moved.stdout.contains("1.0 → 2.0"), "{moved}");
    project.kiln(&["lock", "--update", "nothing-of-this-name"]).failed(1, &["`nothing-of-this-name` is no origin"]);
}

#[test]
fn a_stale_lock_is_refused_and_says_what_changed() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    project.image("web", "packages: [debian:hello, debian:toolbox]\n");
    let stale = project.kiln(&["build"]);
    stale.failed(2, &["`kiln.lock` does not say what the project asks", "image:web", "run `kiln lock`"]);
    project.kiln(&["build", "--lock"]).done();
}

#[test]
fn a_lock_with_merge_markers_is_refused_with_its_place_and_locking_settles_it() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    let lock = project.read("kiln.lock");
    let conflict = "<<<<<<< ours\n[[package]]\n=======\n[[pakcage]]\n>>>>>>> theirs\n";
    project.write("kiln.lock", lock.replacen("[[package]]\n", conflict, 1));
    let refused = project.kiln(&["build"]).failed(2, &["kiln.lock", "merge"]);
    let line = lock.lines().position(|line| line == "[[package]]").unwrap() + 1;
    refused.said(&[&format!("kiln.lock:{line}:")]);
    project.kiln(&["lock"]).done().said(&[&format!("warning: kiln.lock:{line}:1: Git left a merge conflict")]);
    assert_eq!(project.read("kiln.lock"), lock);
    project.kiln(&["build"]).done();
}

/// The line of a lock that begins so, after the header of the block of a package.
fn line_of(lock: &str, package: &str, field: &str) -> usize {
    let lines: Vec<&str> = lock.lines().collect();
    let name = lines.iter().position(|line| *line == format!("name = \"{package}\"")).unwrap();
    let start = lines[..name].iter().rposition(|line| line.starts_with("[[")).unwrap();
    start + lines[start..].iter().position(|line| line.starts_with(field)).unwrap() + 1
}

#[test]
fn a_lock_edited_by_hand_is_refused_at_its_line_and_locking_mends_it() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    let lock = project.read("kiln.lock");
    let at = |field: &str| {
        let line = line_of(&lock, "hello", field);
        (line, lock.lines().nth(line - 1).unwrap().to_owned())
    };
    let value = |field: &str| at(field).1.split_once(" = ").unwrap().1.trim_matches('"').to_owned();
    let zeros = "0".repeat(64);
    for (field, line, says) in [
        ("version", "version = \"9.9\"".to_owned(), vec!["debian:hello", "in version 1.0"]),
        ("size", "size = 12".to_owned(), vec!["debian:hello", "bytes"]),
        ("size", "size = 0".to_owned(), vec!["no file of an archive is empty"]),
        ("sha256", format!("sha256 = \"{zeros}\""), vec!["debian:hello", "sha256"]),
        ("sha256", "sha256 = \"zz\"".to_owned(), vec!["sha256"]),
        ("path", "path = \"../../etc/passwd\"".to_owned(), vec!["`../../etc/passwd` is not a path in an archive"]),
        ("path", "path = \"/etc/passwd\"".to_owned(), vec!["`/etc/passwd` is not a path in an archive"]),
        ("path", "path = \"pool/main/other.deb\"".to_owned(), vec!["debian:hello", &*value("path")]),
        ("path", "pth = \"pool/main/other.deb\"".to_owned(), vec!["unknown field `pth`"]),
    ] {
        let (number, old) = at(field);
        project.write("kiln.lock", lock.replacen(&old, &line, 1));
        let place = format!("kiln.lock:{number}:");
        for command in ["build", "run"] {
            project.kiln(&[command]).failed(2, &says).said(&[&place, "`kiln lock`"]);
        }
        assert!(!project.folder.join("out/web.oci/index.json").exists(), "{line}: nothing is half-done");
        project.kiln(&["lock"]).done();
        assert_eq!(project.read("kiln.lock"), lock, "{line}");
    }
    project.kiln(&["build"]).done();
    // With everything in the store it is noticed too.
    project.write("kiln.lock", lock.replacen(&at("version").1, "version = \"9.9\"", 1));
    project.kiln(&["build"]).failed(2, &["kiln.lock:", "in version 1.0"]);
    project.kiln(&["build", "--lock"]).done();
    assert_eq!(project.read("kiln.lock"), lock);
}

#[test]
fn a_lock_that_lacks_something_is_refused_and_locking_mends_it() {
    let needy = Deb::new("needy", "1.0").field("Depends", "hello").file("usr/share/needy/a", "a\n");
    let world = World::with(&[needy]);
    let project = world.project("p");
    project.image("web", "packages: [debian:needy]\n");
    project.lock();
    let lock = project.read("kiln.lock");
    let start = lock.lines().take(line_of(&lock, "hello", "[[package]]") - 1).map(|line| line.len() + 1).sum::<usize>();
    let end = lock[start + 2..].find("\n[[").map_or(lock.len(), |at| start + 3 + at);
    let block = &lock[start..end];
    assert!(block.contains("name = \"hello\""), "{block}");
    let member = "  \"debian:hello\",\n";
    let whole = lock.replacen(block, "", 1).replacen(member, "", 1);
    for (text, says) in [
        (lock.replacen(member, "", 1), vec!["kiln.lock:", "nothing in the lock needs the package `debian:hello`"]),
        (lock.replacen(block, "", 1), vec!["kiln.lock:", "`debian:hello` is in `image:web`, but not in the lock"]),
        (format!("{lock}\n{block}"), vec!["kiln.lock:", "is in the lock twice"]),
        (format!("{lock}\n[[nonsense]]\na = 1\n"), vec!["kiln.lock:", "nonsense"]),
        ("\0\u{1}\n".to_owned(), vec!["kiln.lock:1:"]),
        (whole, vec!["needy", "`hello`", "kiln lock"]),
    ] {
        project.write("kiln.lock", &text);
        let refused = project.kiln(&["build"]);
        assert!(matches!(refused.code, Some(1 | 2)), "{refused}");
        refused.said(&says);
        project.kiln(&["lock"]).done();
        assert_eq!(project.read("kiln.lock"), lock, "{text}");
    }
    project.write("kiln.lock", b"\xff\xfe\0garbage");
    project.kiln(&["build"]).failed(2, &["kiln.lock:1:1", "not UTF-8", "`kiln lock`"]);
    project.kiln(&["lock"]).done().said(&["not UTF-8"]);
    assert_eq!(project.read("kiln.lock"), lock);
}

#[test]
fn what_a_lock_says_of_an_archives_state_is_checked_against_the_statement_that_is_kept() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    let lock = project.read("kiln.lock");
    let index = lock.lines().find(|line| line.contains("/Packages.xz\"")).unwrap();
    let number = lock.lines().position(|line| line == index).unwrap() + 1;
    let digest = index.split('"').nth(3).unwrap();
    let date = lock.lines().find(|line| line.starts_with("date = ")).unwrap();
    for kept in [true, false] {
        project.write("kiln.lock", lock.replacen(digest, &"1".repeat(64), 1));
        if !kept {
            std::fs::remove_dir_all(world.path("store/archives")).unwrap();
        } else {
            project.kiln(&["build"]).failed(2, &[&format!("kiln.lock:{number}:"), digest, "`kiln lock`"]);
        }
        // Without the statement it is had again from the archive, as long as that has the same state.
        project.kiln(&["lock"]).done();
        assert_eq!(project.read("kiln.lock"), lock);
    }
    project.write("kiln.lock", lock.replacen(date, "date = \"yesterday\"", 1));
    project.kiln(&["build"]).failed(2, &["kiln.lock:", "date", "`kiln lock`"]);
    project.kiln(&["lock"]).done();
    assert_eq!(project.read("kiln.lock"), lock);
}

#[test]
fn the_digest_of_the_signed_statement_is_checked_against_the_one_that_is_kept() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    let lock = project.read("kiln.lock");
    let release = lock.lines().find(|line| line.starts_with("release = ")).unwrap();
    let number = lock.lines().position(|line| line == release).unwrap() + 1;
    let digest = release.split('"').nth(1).unwrap();
    project.write("kiln.lock", lock.replacen(digest, &"1".repeat(64), 1));
    project.kiln(&["build"]).failed(2, &[&format!("kiln.lock:{number}:"), digest, "`kiln lock`"]);
    project.kiln(&["lock"]).done();
    assert_eq!(project.read("kiln.lock"), lock);
    project.kiln(&["build"]).done();
    // Who has the indexes and never saw the statement believes the lock.
    std::fs::remove_file(world.path("store/archives").join(format!("{digest}.release"))).unwrap();
    project.write("kiln.lock", lock.replacen(digest, &"1".repeat(64), 1));
    project.kiln(&["build"]).done();
}

#[test]
fn without_indexes_what_is_fetched_tells_of_the_lock_that_is_wrong() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    let lock = project.read("kiln.lock");
    let block = line_of(&lock, "hello", "[[package]]");
    for (field, line, says) in [
        ("size", "size = 12", vec![format!("`kiln.lock:{block}` pins")]),
        ("sha256", "sha256 = \"11\"", vec![format!("`kiln.lock:{block}` pins")]),
        ("path", "path = \"pool/none.deb\"", vec![format!("`kiln.lock:{block}` pins")]),
        ("version", "version = \"9.9\"", vec!["is `1.0`".to_owned(), format!("kiln.lock:{}`", block + 3)]),
    ] {
        let at = line_of(&lock, "hello", field);
        let line = line.replace("\"11\"", &format!("\"{}\"", "1".repeat(64)));
        project.write("kiln.lock", lock.replacen(lock.lines().nth(at - 1).unwrap(), &line, 1));
        drop(std::fs::remove_dir_all(world.path("store/archives")));
        let says: Vec<&str> = says.iter().map(String::as_str).collect();
        project.kiln(&["build"]).failed(1, &says).said(&["hello", "kiln lock"]);
    }
    project.kiln(&["lock"]).done();
    assert_eq!(project.read("kiln.lock"), lock);
    project.kiln(&["build"]).done();
}

#[test]
fn a_lock_that_is_up_to_date_needs_no_archive() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    let lock = project.read("kiln.lock");
    std::fs::remove_dir_all(world.path("store/archives")).unwrap();
    std::fs::remove_dir_all(world.path("mirror/dists")).unwrap();
    project.kiln(&["lock"]).done().said(&["warning", "not checked against the archive"]);
    assert_eq!(project.read("kiln.lock"), lock);
    project.kiln(&["build"]).done();
}

#[test]
fn a_package_is_moved_by_its_name_with_or_without_its_origin() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    for (name, version) in [("debian:hello", "2.0"), ("hello", "3.0"), ("debian", "4.0")] {
        world.publish(&[hello(version)]);
        let moved = project.kiln(&["lock", "--update", name]).done();
        assert!(moved.stdout.contains(&format!("→ {version}")), "{moved}");
    }
    project
        .kiln(&["lock", "--update", "debian:helo"])
        .failed(1, &["`debian:helo` is no", "did you mean `debian:hello`?"]);
}

#[test]
fn every_package_that_no_origin_has_is_told_of_with_its_place() {
    let world = World::new();
    let project = world.project("p");
    project.image("web", "packages:\n- debian:helo\n- debian:hello\n- debian:toolbx\n");
    let more = "sources: [ { path: src } ]\nneeds: [debian:bulid-essential]\nruntime: [debian:nothing-of-the-kind]\nbuild: { steps: [ { run: \"true\" } ] }\n";
    project.recipe("tool", more);
    project.write("packages/tool/src/a", "a\n");
    project.kiln(&["lock"]).failed(
        2,
        &[
            "images/web.yaml:3:3",
            "`helo`",
            "did you mean `hello`?",
            "images/web.yaml:5:3",
            "did you mean `toolbox`?",
            "packages/tool/package.yaml:6:9",
            "did you mean `build-essential`?",
            "packages/tool/package.yaml:7:11",
            "nothing-of-the-kind",
        ],
    );
    assert!(!project.folder.join("kiln.lock").exists());
}

#[test]
fn a_pinned_version_that_the_mirror_lost_says_how_to_go_on() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    std::fs::remove_dir_all(world.path("mirror/pool")).unwrap();
    world.publish(&[hello("2.0")]);
    project.kiln(&["build"]).failed(1, &["hello", "kiln lock --update"]);
    project.kiln(&["lock", "--update"]).done();
    project.kiln(&["build"]).done();
}

#[test]
fn a_conflict_by_a_provided_name_says_who_provides_it() {
    let one = Deb::new("postfix", "1.0").field("Provides", "mail-transport-agent");
    let two =
        Deb::new("exim", "1.0").field("Provides", "mail-transport-agent").field("Conflicts", "mail-transport-agent");
    let world = World::with(&[one, two]);
    let project = world.project("p");
    project.image("web", "packages: [debian:postfix, debian:exim]\n");
    let refused = project.kiln(&["lock"]);
    refused.failed(2, &["`exim` conflicts with `mail-transport-agent` (which `postfix` provides)"]);
}

#[test]
fn a_conflict_is_told_at_every_place_that_asks_for_a_part_of_it() {
    let postfix = Deb::new("postfix", "1.0").field("Provides", "mta");
    let exim = Deb::new("exim", "1.0").field("Conflicts", "mta");
    let mailer = Deb::new("mailer", "1.0").field("Depends", "exim");
    let world = World::with(&[postfix, exim, mailer]);
    let project = world.project("p");
    project.write("images/base.yaml", "packages:\n  - debian:postfix\n");
    project.image("web", "extends: [base.yaml]\npackages: [debian:hello, tool]\n");
    project.image("other", "packages: [debian:mailer]\n");
    project.recipe("tool", "runtime: [debian:hello, debian:mailer]\nbuild: { steps: [{ run: 'true' }] }\n");
    let refused = project.kiln(&["lock"]);
    let told = [
        "cannot resolve `image:web`: `exim` conflicts with `mta` (which `postfix` provides), and `postfix` is asked for",
        "packages/tool/package.yaml:5:25",
        "`exim` is here because `mailer` needs `exim`",
        "images/base.yaml:2:5",
        "asked for here",
        "leave one of the packages out",
    ];
    let refused = refused.failed(2, &told);
    // What asks for the same elsewhere has no part in it.
    refused.did_not_say(&["images/other.yaml", "images/web.yaml"]);
    assert!(!project.folder.join("kiln.lock").exists());
}

#[test]
fn one_name_of_two_origins_is_told_at_both_places() {
    let world = World::new();
    let project = world.project("p");
    project.edit(
        "kiln.yaml",
        "environment:",
        "  other: { archive: deb, distribution: debian, suite: trixie, keyring: keys/archive.asc }\nenvironment:",
    );
    project.image("web", "packages:\n  - debian:hello\n  - other:hello\n");
    let refused = project.kiln(&["lock"]);
    refused.failed(2, &["`hello` is asked for twice", "images/web.yaml:3:5", "images/web.yaml:4:5", "ask for it once"]);
}

#[test]
fn an_unsolvable_image_says_why_in_the_words_of_the_archive() {
    let needy = Deb::new("needy", "1.0").field("Depends", "missing-thing (>= 2)");
    let world = World::with(&[needy]);
    let project = world.project("p");
    project.image("web", "packages: [debian:needy]\n");
    project.kiln(&["lock"]).failed(2, &["image:web", "needy", "missing-thing (>= 2)", "images/web.yaml:2:12"]);
    assert!(!project.folder.join("kiln.lock").exists());
    project.image("web", "packages: [debian:not-there-at-all]\n");
    project.kiln(&["lock"]).failed(2, &["images/web.yaml:2:12", "not-there-at-all"]);
}
