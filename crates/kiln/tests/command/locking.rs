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
    project.kiln(&["build", "--lock"]).done().said(&["Composing image web", "out/web.oci"]);
    let why = project.kiln(&["why", "web", "/srv/index.html"]).done();
    assert!(why.stdout.starts_with("/srv/index.html: a file by "), "{why}");
}

#[test]
fn building_before_locking_says_what_to_do_and_can_do_it() {
    let world = World::new();
    let project = world.project("p");
    project.kiln(&["build"]).failed(2, &["the project has no `kiln.lock`", "run `kiln lock` and commit"]);
    let built = project.kiln(&["build", "--lock"]).done();
    assert!(built.stdout.starts_with("web oci "), "{built}");
    assert!(project.read("kiln.lock").contains("name = \"hello\""));
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
fn a_lock_with_merge_markers_is_refused_with_its_place() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    let lock = project.read("kiln.lock");
    project.write("kiln.lock", lock.replacen("[[package]]", "<<<<<<< ours\n[[package]]", 1));
    let refused = project.kiln(&["build"]).failed(2, &["kiln.lock", "merge"]);
    let line = lock.lines().position(|line| line == "[[package]]").unwrap() + 1;
    refused.said(&[&format!("kiln.lock:{line}:")]);
}

#[test]
fn a_lock_edited_by_hand_is_refused_or_fails_on_the_digest() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    let lock = project.read("kiln.lock");
    let digest = lock.lines().find(|line| line.starts_with("sha256 = ")).unwrap();
    project.write("kiln.lock", lock.replace(digest, "sha256 = \"zz\""));
    project.kiln(&["build"]).failed(2, &["kiln.lock:", "sha256"]);
    project.write("kiln.lock", lock.replace(digest, &format!("sha256 = \"{}\"", "0".repeat(64))));
    let refused = project.kiln(&["build"]);
    assert!(matches!(refused.code, Some(1 | 2)), "{refused}");
    refused.said(&["hello", "sha256"]);
    project.write("kiln.lock", format!("{lock}\n[[nonsense]]\na = 1\n"));
    project.kiln(&["build"]).failed(2, &["kiln.lock:", "nonsense"]);
    assert!(!project.folder.join("out/web.oci/index.json").exists(), "nothing is half-done");
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
fn an_unsolvable_image_says_why_in_the_words_of_the_archive() {
    let needy = Deb::new("needy", "1.0").field("Depends", "missing-thing (>= 2)");
    let world = World::with(&[needy]);
    let project = world.project("p");
    project.image("web", "packages: [debian:needy]\n");
    project.kiln(&["lock"]).failed(1, &["image:web", "needy", "missing-thing (>= 2)"]);
    assert!(!project.folder.join("kiln.lock").exists());
    project.image("web", "packages: [debian:not-there-at-all]\n");
    project.kiln(&["lock"]).failed(1, &["not-there-at-all"]);
}
