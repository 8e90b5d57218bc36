//! What has moved on, and what changed: `kiln outdated`, `kiln diff`.

use crate::world::{World, hello};

#[test]
fn outdated_says_what_an_update_would_change_and_changes_nothing() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    assert_eq!(project.kiln(&["outdated", "--check"]).done().stdout, "");
    world.publish(&[hello("2.0")]);
    let lock = project.read("kiln.lock");
    let said = project.kiln(&["outdated"]).done().stdout;
    assert!(said.contains("debian:hello") && said.contains("1.0 → 2.0"), "{said}");
    let listed = project.kiln(&["outdated", "--check", "--json"]).failed(1, &[]).stdout;
    let listed: Vec<String> = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.join("\n"), said.trim_end());
    assert_eq!(project.read("kiln.lock"), lock);
    assert_eq!(project.kiln(&["lock", "--update"]).done().stdout, said, "it is what an update does");
    assert_eq!(project.kiln(&["outdated", "--check"]).done().stdout, "");
}

#[test]
fn diff_tells_packages_files_and_sizes_between_two_commits() {
    let world = World::new();
    let project = world.project("p");
    project.write("images/web.yaml", "name: web\npackages: [debian:hello]\nfiles: { /etc/one: { content: one } }\n");
    project.write("images/old.yaml", "name: old\npackages: [debian:hello]\n");
    project.lock();
    world.publish(&[hello("2.0")]);
    project.write("images/web.yaml", "name: web\npackages: [debian:hello]\nfiles: { /etc/two: { content: two } }\n");
    project.write("images/new.yaml", "name: new\npackages: [debian:hello]\n");
    std::fs::remove_file(project.folder.join("images/old.yaml")).unwrap();
    project.kiln(&["lock", "--update"]).done();
    project.commit();
    // What is not committed plays no part.
    project.write("images/web.yaml", "name: web\npackages: []\n");
    let said = project.kiln(&["diff", "HEAD~1", "--files"]).done().stdout;
    for wanted in [
        "new: new, ",
        "old: gone, ",
        "  ~ debian:hello 1.0 → 2.0",
        "  /etc/one is gone",
        "  /etc/two is new",
        "  /usr/share/hello/greeting differs at byte 6: \"hello 2.0\\n\", not \"hello 1.0\\n\"",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    let web = said.lines().find(|line| line.starts_with("web: ")).unwrap();
    assert!(web.contains("paths: 1 added, 1 removed, "), "{web}");
    let json = project.json(&["diff", "HEAD~1", "HEAD", "--of", "web", "--json"]);
    assert_eq!(json["images"].as_array().unwrap().len(), 1);
    assert_eq!(json["images"][0]["packages"][0]["new"], "2.0");
    assert_eq!(json["images"][0]["added"], 1);
    let same = project.kiln(&["diff", "HEAD", "--of", "web"]).done().stdout;
    assert!(same.contains("paths: 0 added, 0 removed, 0 changed") && same.lines().count() == 1, "{same}");
}

#[test]
fn diff_names_what_is_no_commit_and_no_image() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    project.kiln(&["diff", "no-such"]).failed(2, &["`no-such` is no commit", "branch or a tag"]);
    project.kiln(&["diff", "--", "--help"]).failed(2, &["`--help` is no commit"]);
    project.kiln(&["diff", "HEAD", "--of", "nothing"]).failed(2, &["neither commit has an image `nothing`"]);
}
