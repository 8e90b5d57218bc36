//! Images: conflicts and the ways out of them, overlays, alternatives, labels, and looking at what was composed.

use std::fs;

use testkit::Deb;

use crate::world::{Project, World};

fn rivals() -> [Deb; 2] {
    let rival = |name: &str| Deb::new(name, "1.0").file("usr/share/prize", format!("{name} has it\n"));
    [rival("left"), rival("right")]
}

fn prize(project: &Project<'_>) -> String {
    fs::read_to_string(project.built("web").join("usr/share/prize")).unwrap()
}

#[test]
fn two_packages_with_one_path_are_refused_with_both_names_and_the_ways_out() {
    let world = World::with(&rivals());
    let project = world.project("p");
    project.image("web", "packages: [debian:left, debian:right]\n");
    project.lock();
    project.kiln(&["build"]).failed(1, &["/usr/share/prize", "debian:left", "debian:right", "replace"]);
    assert!(!project.folder.join("out/web.oci").exists());
}

#[test]
fn replace_says_who_wins() {
    let world = World::with(&rivals());
    let project = world.project("p");
    project.image("web", "packages: [debian:left, debian:right]\nreplace: { /usr/share/prize: debian:right }\n");
    project.lock();
    assert_eq!(prize(&project), "right has it\n");
    project.image("web", "packages: [debian:left]\nreplace: { /usr/share/prize: debian:left }\n");
    project.lock();
    project.kiln(&["build"]).failed(1, &["`replace`", "/usr/share/prize", "has no effect"]);
}

#[test]
fn overlays_win_by_priority_and_files_win_over_all() {
    let world = World::with(&rivals());
    let project = world.project("p");
    project.write("overlays/low/usr/share/prize", "low\n");
    project.write("overlays/high/usr/share/prize", "high\n");
    let image = "packages: [debian:left]\noverlays: [ { tree: overlays/high, priority: 20 }, { tree: overlays/low, priority: 10 } ]\n";
    project.image("web", image);
    project.lock();
    assert_eq!(prize(&project), "high\n");
    project.image("web", &format!("{image}files: {{ /usr/share/prize: {{ content: \"own\\n\" }} }}\n"));
    assert_eq!(prize(&project), "own\n");
}

#[test]
fn the_highest_alternative_wins_and_an_image_may_say_otherwise() {
    let world = World::new();
    let project = world.bare("p");
    for (name, priority) in [("ed", 10), ("vi", 50)] {
        let run = format!("mkdir -p {{{{ out }}}}/usr/bin; echo {name} > {{{{ out }}}}/usr/bin/{name}");
        let facts = format!(
            "facts: {{ alternatives: {{ /usr/bin/editor: {{ to: /usr/bin/{name}, priority: {priority} }} }} }}\n"
        );
        project.recipe(name, &format!("{facts}build: {{ steps: [ {{ name: make, run: {run:?} }} ] }}\n"));
    }
    project.image("web", "packages: [ed, vi]\n");
    project.lock();
    let target = || fs::read_link(project.built("web").join("etc/alternatives/editor")).unwrap();
    assert_eq!(target().to_str(), Some("/usr/bin/vi"));
    project.image(
        "web",
        "packages: [ed, vi]\nfacts: { alternatives: { /usr/bin/editor: { to: /usr/bin/ed, priority: 1 } } }\n",
    );
    assert_eq!(target().to_str(), Some("/usr/bin/ed"));
}

#[test]
fn an_allotted_number_is_kept_in_the_lock() {
    let world = World::new();
    let project = world.project("p");
    project.image("web", "packages: [debian:hello]\nfacts: { users: { worker: { home: /srv } } }\n");
    project.lock();
    project.kiln(&["build"]).done().said(&["user worker = ", "commit it"]);
    let lock = project.read("kiln.lock");
    assert!(lock.contains("name = \"worker\""), "{lock}");
    project.commit();
    project.kiln(&["build"]).done().did_not_say(&["worker"]);
    project.image("web", "packages: [debian:hello]\nfacts: { users: { another: {}, worker: { home: /srv } } }\n");
    project.kiln(&["build"]).done();
    let id = lock.split("name = \"worker\"\nid = ").nth(1).and_then(|rest| rest.lines().next()).unwrap().to_owned();
    let passwd = fs::read_to_string(project.built("web").join("etc/passwd")).unwrap();
    assert!(passwd.contains(&format!("worker:x:{id}:")), "{passwd}");
}

#[test]
fn a_dirty_project_is_built_and_says_so_everywhere() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    let commit = project.git(&["rev-parse", "HEAD"]);
    let release = |project: &Project<'_>| fs::read_to_string(project.built("web").join("usr/lib/os-release")).unwrap();
    assert!(release(&project).contains(&format!("IMAGE_VERSION={commit}\n")), "{}", release(&project));
    project.write("new-file", "x");
    let dirty = format!("{commit}-dirty");
    let text = release(&project).replace('"', "");
    assert!(text.contains(&format!("IMAGE_VERSION={dirty}\n")), "{text}");
    project.kiln(&["build"]).done();
    let labels =
        blobs(&project, "web.oci").into_iter().filter(|blob| blob.contains("org.opencontainers.image.revision"));
    let labels: Vec<String> = labels.collect();
    assert!(!labels.is_empty() && labels.iter().all(|blob| blob.contains(&dirty)), "{labels:?}");
    assert_eq!(project.json(&["build", "--json"])[0]["commit"], dirty);
}

/// The blobs of an image layout that are text, and its index.
pub fn blobs(project: &Project<'_>, layout: &str) -> Vec<String> {
    let folder = project.folder.join("out").join(layout);
    let blobs = fs::read_dir(folder.join("blobs/sha256")).unwrap().map(|entry| entry.unwrap().path());
    blobs.chain([folder.join("index.json")]).filter_map(|path| fs::read_to_string(path).ok()).collect()
}

#[test]
fn why_names_who_brings_a_path() {
    let world = World::new();
    let project = world.project("p");
    project.image("web", "packages: [debian:hello]\nfiles: { /etc/motd: { content: hi } }\n");
    project.lock();
    let why = project.kiln(&["why", "web", "/usr/share/hello/greeting"]).done();
    assert_eq!(why.stdout, "/usr/share/hello/greeting: a file by package `debian:hello`\n");
    let motd = project.json(&["why", "web", "/etc/motd", "--json"]);
    assert_eq!(motd["kind"], "file");
    assert!(motd["owners"].to_string().contains("image"), "{motd}");
    project.kiln(&["why", "web", "/no/such"]).failed(2, &["/no/such", "is not in the image `web`"]);
    project.kiln(&["why", "web", "relative"]).failed(2, &["relative"]);
}

#[test]
fn show_lists_packages_and_files() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    let shown = project.json(&["show", "web", "--json"]);
    assert_eq!(shown["image"], "web");
    assert_eq!(shown["commit"], project.git(&["rev-parse", "HEAD"]));
    let packages = shown["packages"].as_array().unwrap();
    assert_eq!(packages.len(), 1);
    assert_eq!((&packages[0]["package"], &packages[0]["version"]), (&"debian:hello".into(), &"1.0".into()));
    let text = project.kiln(&["show", "web"]).done().stdout;
    assert!(text.contains("debian:hello 1.0"), "{text}");
    let files = project.kiln(&["show", "web", "--files"]).done().stdout;
    assert!(
        files.contains("0644     0     0 file      usr/share/hello/greeting")
            || files.contains("/usr/share/hello/greeting"),
        "{files}"
    );
}

#[test]
fn packages_that_conflict_by_their_own_word_cannot_be_locked() {
    let first = Deb::new("first", "1.0").field("Conflicts", "second");
    let world = World::with(&[first, Deb::new("second", "1.0")]);
    let project = world.project("p");
    project.image("web", "packages: [debian:first, debian:second]\n");
    project.kiln(&["lock"]).failed(2, &["first", "second", "conflicts"]);
}

#[test]
fn every_output_is_written_and_a_second_build_leaves_the_layout_alone() {
    let world = World::new();
    let project = world.project("p");
    project.image("web", "packages: [debian:hello]\noutputs: [oci, tar, dir]\n");
    project.lock();
    let first = project.kiln(&["build"]).done();
    assert_eq!(first.stdout.lines().count(), 3, "{first}");
    first.said(&["Wrote"]);
    project.kiln(&["build"]).done().did_not_say(&["web.oci", "Composing", "Layering"]);
    let to = world.path("elsewhere");
    project.kiln(&["build", "--to", to.to_str().unwrap()]).done();
    assert!(to.join("web.oci/index.json").is_file());
}

#[test]
fn a_change_of_one_file_keeps_every_other_layer() {
    let world = World::new();
    let project = world.project("p");
    project.image("web", "packages: [debian:hello, debian:toolbox]\nfiles: { /etc/motd: { content: one } }\n");
    project.lock();
    project.kiln(&["build"]).done();
    let layers = || {
        let mut found = Vec::new();
        for text in blobs(&project, "web.oci") {
            let Ok(json) = serde_json::from_str::<serde_json::Value>(&text) else { continue };
            for layer in json["layers"].as_array().into_iter().flatten() {
                found.push(layer["digest"].as_str().unwrap().to_owned());
            }
        }
        found
    };
    let before = layers();
    project.edit("images/web.yaml", "one", "two");
    project.commit();
    project.kiln(&["build"]).done();
    let after = layers();
    let same = after.iter().filter(|layer| before.contains(layer)).count();
    assert_eq!(before.len(), after.len());
    // The file itself, and what names the commit.
    assert!(same >= after.len() - 2, "{before:?} {after:?}");
}

#[test]
fn a_format_of_the_command_line_is_written_as_the_image_wants_it() {
    let world = World::with(&rivals());
    let project = world.project("p");
    project.image("web", "packages: [debian:left]\noutputs:\n  - oci: { compression: gzip }\n");
    project.lock();
    project.kiln(&["build", "--output", "oci"]).done();
    let blobs = project.folder.join("out/web.oci/blobs/sha256");
    let texts = fs::read_dir(blobs).unwrap().map(|blob| fs::read(blob.unwrap().path()).unwrap());
    let manifest =
        texts.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).find(|text| text.contains("\"layers\":["));
    let manifest = manifest.unwrap();
    assert!(manifest.contains("layer.v1.tar+gzip") && !manifest.contains("+zstd"), "{manifest}");
}

#[test]
fn links_that_lead_nowhere_are_told_by_package_on_every_build() {
    let mut lost = Deb::new("lost", "1.0").link("usr/share/lost/pid", "/run/lost.pid");
    for name in ["a", "b", "c", "d", "e"] {
        lost = lost.link(&format!("usr/share/lost/{name}"), "/usr/lib/nothing");
    }
    let world = World::with(&[lost]);
    let project = world.project("p");
    project.image("web", "packages: [debian:lost]\nfacts: { links: { /usr/share/own: ../gone } }\n");
    project.lock();
    for _ in 0..2 {
        project
            .kiln(&["build"])
            .done()
            .said(&[
                "package `debian:lost` has 5 links that lead nowhere: `/usr/share/lost/a` to `/usr/lib/nothing`",
                "and 2 more",
                "the image has a link that leads nowhere: `/usr/share/own` to `../gone`",
            ])
            .did_not_say(&["lost.pid"]);
    }
}
