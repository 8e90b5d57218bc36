//! `kiln vendor`: a project that brings every pinned byte itself builds from a bare clone with nothing else.

use std::fs;
use std::path::Path;
use std::process::Command;

use kiln_model::Digest;

use crate::world::{KILN, Project, World, ended};

/// Packages, an archive by address, a source package and a commit with a submodule: everything that a lock can pin.
fn with_everything(world: &World) -> Project<'_> {
    let mut archive = testkit::DebianArchive::new(world.base());
    let files = vec![("c".to_owned(), "from the distribution\n".to_owned())];
    archive.sources.push(testkit::SourcePackage { name: "thing".to_owned(), version: "1.0-1".to_owned(), files });
    world.archive(&archive);
    let inner = world.bare("inner");
    inner.write("d", "from a submodule\n");
    inner.commit();
    let upstream = world.bare("upstream");
    upstream.write("b", "from a commit\n");
    let address = format!("file://{}", inner.folder.display());
    upstream.git(&["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", &address, "inner"]);
    upstream.commit();
    // A history that nothing needs, and a tip that is not the pinned commit.
    upstream.write("later", "later\n");
    upstream.commit();
    let commit = upstream.git(&["rev-parse", "HEAD~1"]);
    let bytes = crate::bad_input::archive_of("a", "from an archive\n");
    let path = world.path("a.tar.gz");
    fs::write(&path, &bytes).unwrap();
    let project = world.bare("p");
    let install = |file: &str| {
        format!("build: {{ steps: [ {{ run: 'install -D -m 0644 {file} {{{{ out }}}}/usr/share/{file}' }} ] }}\n")
    };
    let archive =
        format!("sources: [ {{ url: \"file://{}\", sha256: \"{}\" }} ]\n", path.display(), Digest::of(&bytes).to_hex());
    project.recipe("a", &(archive + &install("a")));
    let git = format!("sources: [ {{ git: \"file://{}\", rev: {} }} ]\n", upstream.folder.display(), commit.trim());
    project.recipe("b", &format!("{git}build: {{ steps: [ {{ run: 'install -D -m 0644 b {{{{ out }}}}/usr/share/b; install -m 0644 inner/d {{{{ out }}}}/usr/share/d' }} ] }}\n"));
    project.recipe("c", &("sources: [ { debian: thing, patches: apply } ]\n".to_owned() + &install("c")));
    project.image("web", "packages: [a, b, c, debian:hello]\noutputs: [oci, tar]\n");
    project.lock();
    project.kiln(&["build"]).done();
    project.commit();
    project
}

/// Takes away all that a build could fetch from.
fn lose_the_world(world: &World) {
    for name in ["mirror", "upstream", "inner", "a.tar.gz", "store", "home"] {
        fs::rename(world.path(name), world.path(&format!("lost-{name}"))).unwrap();
    }
}

/// Builds without a network, without a store, in an environment that names no mirror.
fn build_alone(world: &World, folder: &Path) -> crate::world::Ended {
    let mut command = Command::new("unshare");
    world.surround(&mut command, folder);
    command.args(["--user", "--map-root-user", "--net", "--", KILN, "build", "--offline"]);
    command.env_remove("KILN_MIRROR_DEBIAN").env("KILN_STORE", world.path("new-store"));
    ended(&mut command)
}

fn clone(project: &Project<'_>, more: &[&str]) -> std::path::PathBuf {
    let (bare, folder) = (project.world.path("bare.git"), project.world.path("clone"));
    project.git(&["clone", "--quiet", "--bare", ".", &bare.display().to_string()]);
    let (bare, place) = (bare.display().to_string(), folder.display().to_string());
    project.git(&[&["-c", "protocol.file.allow=always", "clone", "--quiet"], more, &[&bare, &place]].concat());
    folder
}

fn digests(ended: &crate::world::Ended) -> Vec<String> {
    ended.stdout.lines().map(|line| line.split(' ').take(3).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn a_vendored_project_gives_the_same_from_a_bare_clone_with_no_network_no_store_and_no_mirror() {
    let world = World::new();
    let project = with_everything(&world);
    project.kiln(&["vendor"]).done().said(&["commit `vendor`"]);
    project.commit();
    project.kiln(&["vendor", "--check"]).done();
    let expected = digests(&project.kiln(&["build"]).done());
    assert_eq!(expected.len(), 2);
    let folder = clone(&project, &[]);
    lose_the_world(&world);
    assert_eq!(digests(&build_alone(&world, &folder).done()), expected);
}

#[test]
fn repositories_of_sources_can_be_submodules_of_the_project() {
    let world = World::new();
    let project = with_everything(&world);
    project.kiln(&["vendor", "--submodules"]).done();
    project.commit();
    assert!(!project.folder.join("vendor/git").exists());
    let modules = project.read(".gitmodules");
    assert!(modules.contains("path = sources/b"), "{modules}");
    project.kiln(&["vendor", "--check"]).done();
    let expected = digests(&project.kiln(&["build"]).done());
    // The submodule brings its own submodule, as Git brings them.
    let folder = clone(&project, &["--recurse-submodules"]);
    fs::rename(world.path("upstream"), world.path("lost-upstream")).unwrap();
    let mut command = Command::new(KILN);
    world.surround(&mut command, &folder);
    command.arg("build").env("KILN_STORE", world.path("new-store"));
    assert_eq!(digests(&ended(&mut command).done()), expected);
}

#[test]
fn what_is_missing_or_damaged_is_named_and_never_built_from() {
    let world = World::new();
    let project = with_everything(&world);
    let all = project.kiln(&["vendor", "--check"]).failed(1, &[]).stdout;
    assert!(all.lines().filter(|line| line.starts_with("missing ")).count() >= 6, "{all}");
    project.kiln(&["vendor"]).done();
    let bytes = fs::read(world.path("a.tar.gz")).unwrap();
    let hex = Digest::of(&bytes).to_hex();
    let place = format!("vendor/sha256/{}/{}", &hex[..2], &hex[2..]);
    let mut damaged = bytes.clone();
    damaged[10] ^= 1;
    project.write(&place, &damaged);
    project.commit();
    let said = project.kiln(&["vendor", "--check"]).failed(1, &[]).stdout;
    assert!(said.starts_with("damaged ") && said.contains(&hex[2..]), "{said}");
    let commits = fs::read_dir(project.folder.join("vendor/git")).unwrap().map(|entry| entry.unwrap().path());
    let repository = commits.into_iter().find(|place| place.join("shallow").exists()).unwrap();
    let packs = fs::read_dir(repository.join("objects/pack")).unwrap().map(|entry| entry.unwrap().path());
    let pack = packs.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "pack")).unwrap();
    let whole = fs::read(&pack).unwrap();
    let mut broken = whole.clone();
    broken[20] ^= 1;
    crate::world::set_mode(&pack, 0o644);
    fs::write(&pack, &broken).unwrap();
    let said = project.kiln(&["vendor", "--check"]).failed(1, &[]).stdout;
    assert!(said.lines().any(|line| line.starts_with("damaged ") && line.contains("/vendor/git/")), "{said}");
    fs::write(&pack, &whole).unwrap();
    let folder = clone(&project, &[]);
    lose_the_world(&world);
    build_alone(&world, &folder).failed(1, &["a.tar.gz", &hex[2..]]);
    // Where the address still has it, it is taken from there, and the damage is told of.
    fs::rename(world.path("lost-a.tar.gz"), world.path("a.tar.gz")).unwrap();
    build_alone(&world, &folder).done().said(&["warning: ", &hex[2..]]);
}

#[test]
fn what_is_no_longer_pinned_goes_and_what_is_not_kilns_stays() {
    let world = World::new();
    let project = with_everything(&world);
    project.kiln(&["vendor"]).done();
    project.write("vendor/README", "ours\n");
    project.write("vendor/sha256/notes", "ours\n");
    let mtime = |path: &str| fs::metadata(project.folder.join(path)).unwrap().modified().unwrap();
    let kept = project.kiln(&["vendor", "--json"]).done().stdout;
    let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
    assert_eq!((kept["new"].as_u64(), kept["removed"].as_u64()), (Some(0), Some(0)));
    let before = mtime("vendor/.gitattributes");
    project.image("web", "packages: [c]\n");
    for name in ["a", "b"] {
        fs::remove_dir_all(project.folder.join("packages").join(name)).unwrap();
    }
    project.kiln(&["lock"]).done();
    let said = project.kiln(&["vendor", "--json"]).done().stdout;
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    // The archive, the package, the commit and its submodule's.
    assert_eq!((said["new"].as_u64(), said["removed"].as_u64()), (Some(0), Some(4)), "{said}");
    assert_eq!(mtime("vendor/.gitattributes"), before);
    assert_eq!(
        (project.read("vendor/README"), project.read("vendor/sha256/notes")),
        ("ours\n".into(), "ours\n".into())
    );
}

#[test]
fn a_folder_that_git_ignores_is_refused() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    project.write(".gitignore", "/out/\nvendor\n");
    project.kiln(&["vendor"]).failed(2, &["Git ignores `vendor`", "`.gitignore`"]);
    assert!(!project.folder.join("vendor").exists());
}

#[test]
fn a_commit_is_built_without_a_checkout_and_gives_what_the_project_gave() {
    let world = World::new();
    let project = world.project("p");
    project.lock();
    let first = digests(&project.kiln(&["build", "--output", "tar"]).done());
    project.write("images/web.yaml", "name: web\npackages: [debian:hello]\nfiles: { /etc/new: { content: new } }\n");
    project.commit();
    project.git(&["branch", "other"]);
    let second = digests(&project.kiln(&["build", "--output", "tar"]).done());
    assert_ne!(first, second);
    // Neither what is not committed nor where it is run plays a part.
    project.write("images/web.yaml", "no YAML: [");
    let elsewhere = world.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::create_dir(world.path("tmp")).unwrap();
    let run = |arguments: &[&str]| ended(world.command(&elsewhere).args(arguments).env("TMPDIR", world.path("tmp")));
    let address = format!("git+file://{}", project.folder.display());
    let build = |rev: &str| digests(&run(&["build", &format!("{address}#{rev}"), "--output", "tar"]).done());
    assert_eq!(build("HEAD~1:web"), first);
    assert!(elsewhere.join("out/web.tar").is_file());
    assert_eq!(build("HEAD"), second);
    assert_eq!(build("other:web"), second);
    assert_eq!(build(&format!("{}:web", project.git(&["rev-parse", "HEAD~1"]).trim())), first);
    let relative = digests(&run(&["build", "git+../p#HEAD~1", "--output", "tar"]).done());
    assert_eq!(relative, first);
    run(&["build", &format!("{address}#none")]).failed(2, &["has no `none`", "branch or a tag"]);
    run(&["build", "git+http://example.org/a#v1"]).failed(2, &["is not an address"]);
    run(&["build", "--offline", "git+https://example.org/a#v1"]).failed(1, &["cannot clone", "leave `--offline` out"]);
    run(&["lock", &address]).failed(2, &["is a commit, which does not change"]);
    assert_eq!(fs::read_dir(world.path("tmp")).unwrap().count(), 0, "no clone is left behind");
}
