//! Projects that are wrong: the place is named, the code is 2 (or 1 where the work itself fails), and nothing is left.

use std::fs;

use kiln_archive::{Compression, Entry, Kind};
use kiln_model::Digest;
use testkit::tarball;

use crate::world::{World, ended};

#[test]
fn an_unknown_key_is_refused_with_its_place_and_a_suggestion() {
    let world = World::new();
    let project = world.project("p");
    project.image("web", "packges: [debian:hello]\n");
    let refused = project.kiln(&["build"]).failed(2, &["images/web.yaml:2:1", "packges", "did you mean `packages`?"]);
    assert!(refused.stderr.contains("packges: [debian:hello]"), "the line is shown: {refused}");
}

#[test]
fn a_wrong_type_is_refused_with_its_place() {
    let world = World::new();
    let project = world.project("p");
    project.image("web", "packages: debian:hello\n");
    project.kiln(&["lock"]).failed(2, &["images/web.yaml:2:11"]);
}

#[test]
fn all_errors_of_all_files_are_told_at_once() {
    let world = World::new();
    let project = world.project("p");
    project.image("web", "packages: [debian:hello]\nwrong: 1\nalso-wrong: 2\n");
    project.edit("kiln.yaml", "environment:", "environmental:");
    project.kiln(&["build"]).failed(2, &["images/web.yaml:3:1", "images/web.yaml:4:1", "kiln.yaml:5:1"]);
}

#[test]
fn cyclic_needs_are_refused_and_the_circle_named() {
    let world = World::new();
    let project = world.project("p");
    let step = "build: { steps: [ { name: a, run: \"true\" } ] }\n";
    project.recipe("one", &format!("needs: [two]\n{step}"));
    project.recipe("two", &format!("needs: [one]\n{step}"));
    project.kiln(&["lock"]).failed(2, &["packages/one/package.yaml", "`one`", "`two`"]);
}

#[test]
fn a_missing_patch_is_refused_where_it_is_named() {
    let world = World::new();
    let project = world.project("p");
    project.write("packages/tool/src/a", "a\n");
    let more = "sources: [ { path: src } ]\npatches: { patches/none.patch: Is not there }\nbuild: { uses: copy, files: { a: /usr/share/a } }\n";
    project.recipe("tool", more);
    project.kiln(&["lock"]).failed(2, &["packages/tool/package.yaml:6:", "patches/none.patch", "hint: "]);
    project.write("packages/tool/patches/nine.patch", "x");
    project.kiln(&["lock"]).failed(2, &["patches/none.patch", "did you mean `nine.patch`?"]);
}

#[test]
fn an_image_file_that_is_no_mapping_is_refused() {
    let world = World::new();
    let project = world.project("p");
    for (text, what) in
        [("[]", "a list"), ("[1]\n", "a list"), ("text\n", "a text"), ("\"\"\n", "a text"), ("- a\n", "a list")]
    {
        project.write("images/other.yaml", text);
        project.kiln(&["build"]).failed(2, &["images/other.yaml:1:1", "has to be a mapping", what]);
    }
    project.write("images/other.yaml", "");
    project.kiln(&["build"]).failed(2, &["images/other.yaml"]);
}

#[test]
fn a_file_that_is_no_text_is_told_of_with_its_place_and_the_errors_of_others() {
    let world = World::new();
    let project = world.project("p");
    project.write("images/other.yaml", b"name: other\npackages: [ \xff\xfe ]\n");
    project.image("web", "packges: [debian:hello]\n");
    project.kiln(&["build"]).failed(2, &["images/other.yaml:2:13", "UTF-8", "images/web.yaml:2:1", "packages"]);
}

#[test]
fn a_slip_in_how_it_is_built_is_named() {
    let world = World::new();
    let project = world.project("p");
    project.recipe("tool", "build: { usess: copy, files: { a: /usr/share/a } }\n");
    let refused =
        project.kiln(&["lock"]).failed(2, &["packages/tool/package.yaml:5:10", "`usess`", "did you mean `uses`?"]);
    refused.did_not_say(&["says nothing of how"]);
}

#[test]
fn a_folder_named_as_a_file_says_what_to_do_with_it_beside_all_other_errors() {
    let world = World::new();
    let project = world.project("p");
    project.write("files/a", "a\n");
    let files = "files:\n  /srv: { source: files }\n  /srv/a: { source: files/a, mode: \"9999\" }\n";
    project.image("web", &format!("packages: [debian:hello]\n{files}"));
    let refused =
        project.kiln(&["lock"]).failed(2, &["images/web.yaml:4:19", "is a folder", "overlays: [ { tree: files } ]"]);
    refused.said(&["images/web.yaml:5:", "9999"]).did_not_say(&["did you mean"]);
}

#[test]
fn links_where_a_folder_of_the_project_has_to_be_are_refused_as_what_they_are() {
    let world = World::new();
    let project = world.project("p");
    std::fs::create_dir(world.path("elsewhere")).unwrap();
    fs::write(world.path("elsewhere/a"), "a\n").unwrap();
    project.recipe("tool", "sources: [ { path: src } ]\nbuild: { uses: copy, files: { a: /usr/share/a } }\n");
    std::os::unix::fs::symlink(world.path("elsewhere"), project.folder.join("packages/tool/src")).unwrap();
    project.lock();
    project.kiln(&["build", "tool"]).failed(1, &["packages/tool/src", "is a symbolic link"]).did_not_say(&["git init"]);
    fs::remove_file(project.folder.join("packages/tool/src")).unwrap();
    fs::rename(project.folder.join("packages/tool"), world.path("tool")).unwrap();
    std::os::unix::fs::symlink(world.path("tool"), project.folder.join("packages/tool")).unwrap();
    project.kiln(&["build", "tool"]).failed(2, &["packages/tool", "is a symbolic link"]).did_not_say(&["git init"]);
}

#[test]
fn git_sources_that_cannot_be_had_name_their_address() {
    let world = World::new();
    let project = world.project("p");
    let build = "build: { uses: copy, files: { a: /usr/share/a } }\n";
    for address in ["http://example.org/a.git", "git://example.org/a.git"] {
        project.recipe("tool", &format!("sources: [ {{ git: \"{address}\", rev: main }} ]\n{build}"));
        project.kiln(&["lock"]).failed(2, &["packages/tool/package.yaml:5:19", address, "`https://`", "`ssh://`"]);
    }
    let nowhere = format!("file://{}", world.path("nowhere").display());
    project.recipe("tool", &format!("sources: [ {{ git: \"{nowhere}\", rev: main }} ]\n{build}"));
    let nowhere = world.path("nowhere").display().to_string();
    project.kiln(&["lock"]).failed(1, &["`tool`", &nowhere, "git ls-remote"]);
}

#[test]
fn a_source_package_that_is_not_there_is_told_of_with_its_place() {
    let world = World::new();
    let project = world.project("p");
    project.recipe("tool", "sources: [ { debian: nginx } ]\nbuild: { steps: [ { run: \"true\" } ] }\n");
    project.kiln(&["lock"]).failed(2, &["packages/tool/package.yaml:5:22", "no source package `nginx`", "hint: "]);
}

#[test]
fn nothing_is_built_before_every_name_is_known() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    project.kiln(&["build", "web", "wbe"]).failed(2, &["`wbe`", "did you mean `web`?"]);
    assert!(!project.folder.join("out").exists());
    let both = ended(world.command(world.folder()).args(["build", "p", "redis"]));
    both.failed(2, &["`redis`", "PROJECT#redis"]);
    assert!(!project.folder.join("out").exists());
    let run = ended(world.command(world.folder()).args(["run", "/etc"]));
    run.failed(2, &["there is no `kiln.yaml` in `/etc`", "kiln init"]);
}

#[test]
fn what_was_built_is_printed_whatever_else_failed() {
    let world = World::new();
    let project = world.project("p");
    project.recipe("good", "build: { steps: [ { run: \"mkdir -p {{ out }}/usr; echo a > {{ out }}/usr/a\" } ] }\n");
    project.recipe("bad", "build: { steps: [ { run: \"exit 3\" } ] }\n");
    project.lock();
    let built = project.kiln(&["build", "bad", "good", "web", "--keep-going"]).failed(1, &["bad"]);
    assert!(built.stdout.contains("good sha256:") && built.stdout.contains("web oci sha256:"), "{built}");
    let stopped = project.kiln(&["build", "bad", "good", "web", "--keep-going", "--json"]).failed(1, &["bad"]);
    let list: serde_json::Value = serde_json::from_str(&stopped.stdout).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 2, "{stopped}");
}

#[test]
fn places_that_are_not_there_or_not_writable_are_named() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    project
        .kiln(&["run", "web", "--volume", "./missing:/srv", "--", "/bin/true"])
        .failed(1, &["`./missing` is not there", "mkdir ./missing"]);
    fs::write(world.path("file"), "x").unwrap();
    let to = world.path("file/out").display().to_string();
    project.kiln(&["build", "--to", &to]).failed(1, &[&to, "--to DIR"]);
    let gone = project.kiln(&["build", "--mirror", "debain=https://example.org/debian"]);
    gone.failed(2, &["nothing of the project has mirrors of the name `debain`", "did you mean `debian`?"]);
}

#[test]
fn digests_have_one_form_in_what_is_printed_for_programs() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    let shown = project.json(&["show", "web", "--json"]);
    let mut digests = vec![shown["tree"].clone()];
    for list in ["packages", "layers"] {
        digests.extend(shown[list].as_array().unwrap().iter().map(|entry| entry["tree"].clone()));
    }
    digests.extend(shown["packages"].as_array().unwrap().iter().map(|entry| entry["record"].clone()));
    assert!(digests.len() >= 4 && digests.iter().all(|d| d.as_str().unwrap().starts_with("sha256:")), "{shown}");
}

#[test]
fn a_failing_patch_shows_the_rejected_hunk() {
    let world = World::new();
    let project = world.project("p");
    project.write("packages/tool/src/a", "one\ntwo\n");
    let patch = "--- a/a\n+++ b/a\n@@ -1,2 +1,2 @@\n one\n-three\n+four\n";
    project.write("packages/tool/fix.patch", patch);
    let more = "sources: [ { path: src } ]\npatches: { fix.patch: Does not fit }\nbuild: { uses: copy, files: { a: /usr/share/a } }\n";
    project.recipe("tool", more);
    project.lock();
    project.kiln(&["build", "tool"]).failed(1, &["fix.patch", "-three", "+four"]);
}

#[test]
fn a_wrong_sha256_names_both_digests() {
    let world = World::new();
    let project = world.project("p");
    let archive = world.path("tool.tar.gz");
    std::fs::write(&archive, archive_of("a", "a\n")).unwrap();
    let wrong = "1".repeat(64);
    let right = Digest::of(&std::fs::read(&archive).unwrap()).to_hex();
    let source = format!("sources: [ {{ url: \"file://{}\", sha256: \"{wrong}\" }} ]\n", archive.display());
    project.recipe("tool", &(source + "build: { uses: copy, files: { a: /usr/share/a } }\n"));
    project.lock();
    project.kiln(&["build", "tool"]).failed(1, &["tool.tar.gz", &wrong, &right]);
}

/// A tarball with one file in one folder.
pub fn archive_of(name: &str, content: &str) -> Vec<u8> {
    let file = Entry { size: content.len() as u64, ..Entry::new(format!("top/{name}").parse().unwrap(), Kind::File) };
    tarball(Compression::Gzip, [(file, content.as_bytes().to_vec())])
}

#[test]
fn a_truncated_package_is_refused_and_not_kept() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    let pool = world.path("mirror/pool/main");
    let find = || std::fs::read_dir(&pool).unwrap().map(|e| e.unwrap().path());
    let path = find().find(|path| path.to_string_lossy().contains("/hello_")).unwrap();
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    project.kiln(&["build"]).failed(1, &["hello"]);
    assert!(!project.folder.join("out/web.oci").exists());
    std::fs::write(&path, &whole).unwrap();
    project.kiln(&["build"]).done();
}

#[test]
fn a_truncated_index_is_refused() {
    let world = World::new();
    let project = world.project("p");
    let architecture = kiln_model::Architecture::native();
    let path = world.path(&format!("mirror/dists/trixie/main/binary-{architecture}/Packages.xz"));
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    project.kiln(&["lock"]).failed(1, &["Packages"]);
    assert!(!project.folder.join("kiln.lock").exists());
}

#[test]
fn archives_that_leave_their_folder_are_refused() {
    let world = World::new();
    let project = world.project("p");
    // The tar writer knows no such names, so one is patched into the header and its sum made right.
    let mut bytes = tarball(
        Compression::None,
        [(Entry { size: 1, ..Entry::new("aa/escape".parse().unwrap(), Kind::File) }, b"x".to_vec())],
    );
    bytes[..9].copy_from_slice(b"../escape");
    bytes[148..156].copy_from_slice(b"        ");
    let sum: u32 = bytes[..512].iter().map(|byte| u32::from(*byte)).sum();
    bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let archive = world.path("evil.tar");
    std::fs::write(&archive, &bytes).unwrap();
    let sha256 = Digest::of(&bytes).to_hex();
    let source = format!("sources: [ {{ url: \"file://{}\", sha256: \"{sha256}\" }} ]\n", archive.display());
    project.recipe("tool", &(source + "build: { uses: copy, files: { a: /usr/share/a } }\n"));
    project.lock();
    project.kiln(&["build", "tool"]).failed(1, &["evil.tar", "../escape"]);
}

#[test]
fn two_images_of_one_name_are_refused() {
    let world = World::new();
    let project = world.project("p");
    project.write("images/other.yaml", "name: web\npackages: [debian:hello]\n");
    project.kiln(&["build"]).failed(2, &["images/", "`web`"]);
}

#[test]
fn a_folder_without_git_is_refused() {
    let world = World::new();
    let project = world.project("p");
    std::fs::remove_dir_all(project.folder.join(".git")).unwrap();
    project.kiln(&["lock"]).failed(2, &["is not in a Git repository", "git init"]);
}

#[test]
fn a_folder_without_a_project_is_refused() {
    let world = World::new();
    let run = ended(world.command(world.folder()).args(["build"]));
    run.failed(2, &["kiln.yaml"]);
    let run = ended(world.command(world.folder()).args(["build", "./none"]));
    run.failed(2, &["there is no folder `./none`"]);
}

#[test]
fn what_is_not_in_the_project_is_refused_and_what_is_there_is_listed() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    project.kiln(&["build", "wbe"]).failed(2, &["no image or package `wbe`", "it has web"]);
    project.kiln(&["run", "wbe"]).failed(2, &["no image `wbe`", "it has web"]);
    project.kiln(&["shell", "wbe"]).failed(2, &["no recipe `wbe`"]);
    project.kiln(&["build", "--output", "floppy"]).failed(2, &["`floppy` is not an output format"]);
    project.kiln(&["frobnicate"]).failed(2, &["frobnicate"]);
    let list = project.kiln(&["build", "--output", "?"]).done();
    assert!(list.stdout.contains("oci ") && list.stdout.contains("dir "), "{list}");
}

#[test]
fn a_mirror_that_is_nowhere_is_named_with_who_named_it() {
    let world = World::new();
    let project = world.project("p");
    let gone = format!("file://{}/", world.path("gone").display());
    let mut command = project.command(&["lock"]);
    ended(command.env("KILN_MIRROR_DEBIAN", &gone)).failed(1, &["gone", "InRelease"]);
    let named = project.kiln(&["lock", "--mirror", &format!("debian={gone}")]);
    named.failed(1, &["gone", "InRelease"]);
}

#[test]
fn files_that_lead_out_of_the_project_are_refused() {
    let world = World::new();
    let project = world.project("p");
    fs::write(world.path("secret"), "secret").unwrap();
    fs::create_dir(project.folder.join("files")).unwrap();
    std::os::unix::fs::symlink("../../secret", project.folder.join("files/link")).unwrap();
    project.image("web", "packages: [debian:hello]\nfiles: { /etc/secret: { source: files/link } }\n");
    let locked = project.kiln(&["lock"]);
    let refused = if locked.code == Some(0) { project.kiln(&["build"]) } else { locked };
    assert!(matches!(refused.code, Some(1 | 2)), "{refused}");
    refused.said(&["files/link"]);
    project.image("web", "packages: [debian:hello]\nfiles: { /etc/secret: { source: ../secret } }\n");
    project.kiln(&["lock"]).failed(2, &["images/web.yaml:3:", "../secret"]);
    project.image("web", "packages: [debian:hello]\nfiles: { relative: { content: x } }\n");
    project.kiln(&["lock"]).failed(2, &["images/web.yaml:3:", "relative"]);
}

#[test]
fn a_mirror_that_is_no_address_is_refused() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    let refused = project.kiln(&["build", "--mirror", "nonsense"]);
    assert!(matches!(refused.code, Some(1 | 2)), "{refused}");
    refused.said(&["`nonsense`, from --mirror"]);
}
