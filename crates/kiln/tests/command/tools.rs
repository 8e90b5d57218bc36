//! Finalizers that need a tool: it runs in the sandbox, from the image itself, and only when what it sees has changed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use testkit::Deb;

use crate::world::{Project, World};

/// Writes down its inputs and what it can see of the world around it. There is nothing to run but the shell.
const TOOL: &str = "#!/bin/bash\nset -e\n\
    for input in \"$1\"/packages/*.xml; do echo \"$(<$input)\"; done > \"$1/types\"\n\
    { echo $UID $PWD; echo /*; echo /usr/*/*; echo $PATH; declare -x; } > \"$1/globs\"\n\
    if cat /dev/null || echo x > /usr/share/written; then exit 3; fi 2> /dev/null\n";

fn tool(script: &str) -> Deb {
    Deb::new("mime", "1.0")
        .program("usr/bin/update-mime-database", script)
        .file("usr/share/mime/packages/base.xml", "<base/>\n")
}

fn project<'a>(world: &'a World, packages: &str) -> Project<'a> {
    let project = world.project("p");
    project.image("web", &format!("packages: [{packages}]\noutputs: [dir]\n"));
    project.lock();
    project
}

#[test]
fn a_tool_of_the_image_derives_what_its_hook_would_have() {
    let other = Deb::new("more", "1.0").file("usr/share/mime/packages/more.xml", "<more/>\n");
    let world = World::with(&[tool(TOOL), other]);
    let project = project(&world, "debian:mime, debian:more, debian:toolbox");
    project.kiln(&["build"]).done().said(&["Deriving", "mime-database for image web"]);
    let root = project.built("web");
    assert_eq!(fs::read_to_string(root.join("usr/share/mime/types")).unwrap(), "<base/>\n<more/>\n");
    let seen = fs::read_to_string(root.join("usr/share/mime/globs")).unwrap();
    assert!(seen.starts_with("1000 /build\n/bin /build /dev /etc /lib"), "{seen}");
    assert!(seen.contains("/usr/bin/bash /usr/bin/update-mime-database /usr/lib"), "nothing else of the image: {seen}");
    assert!(!seen.contains("kiln-test"), "nothing of this machine: {seen}");
    assert!(!root.join("usr/share/written").exists());
}

#[test]
fn a_tool_runs_again_only_when_what_it_sees_has_changed() {
    let world = World::with(&[tool(TOOL)]);
    let project = project(&world, "debian:mime, debian:toolbox");
    let first = project.built("web");
    let text = |name: &str| fs::read_to_string(first.join("usr/share/mime").join(name)).unwrap();
    assert_eq!(text("types"), "<base/>\n");
    // Another package and another file make another image, but not another input.
    project.image("web", "packages: [debian:mime, debian:toolbox, debian:hello]\nfiles: { /etc/motd: { content: hi } }\noutputs: [dir]\n");
    project.lock();
    project.kiln(&["build"]).done().said(&["Composing"]).did_not_say(&["Deriving"]);
    let more = "files: { /usr/share/mime/packages/own.xml: { content: \"<own/>\\n\" } }\n";
    project.image("web", &format!("packages: [debian:mime, debian:toolbox]\n{more}outputs: [dir]\n"));
    project.lock();
    project.kiln(&["build"]).done().said(&["Deriving"]);
    project.built("web");
    assert_eq!(text("types"), "<base/>\n<own/>\n");
}

#[test]
fn a_tool_that_fails_fails_the_image_with_what_it_said() {
    let world = World::with(&[tool("#!/bin/sh\necho this is not a type >&2\nexit 7\n")]);
    let project = project(&world, "debian:mime, debian:toolbox");
    project.kiln(&["build"]).failed(
        1,
        &["`mime-database`", "exit code 7", "this is not a type", "finalizers: { mime-database: false }", "logs/"],
    );
}

#[test]
fn law_7_no_tool_of_this_machine_runs() {
    let world = World::with(&[tool(TOOL)]);
    let project = project(&world, "debian:mime, debian:toolbox");
    let trap = world.path("trap");
    fs::create_dir(&trap).unwrap();
    let mark = world.path("the-trap-ran");
    for name in ["update-mime-database", "sh", "cat"] {
        let path = trap.join(name);
        fs::write(&path, format!("#!/bin/sh\necho > {}\n", mark.display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut build = project.command(&["build", "--offline"]);
    build.env("PATH", format!("{}:/usr/bin:/bin", trap.display()));
    let ended = crate::world::ended(&mut build);
    // Without a network and after `lock`, what is still to be fetched is a file of this disk.
    ended.done().said(&["Deriving"]);
    assert!(!mark.exists());
    // Where the image has no tool, this machine's is not taken in its place.
    project.image(
        "bare",
        "packages: [debian:hello]\nfiles: { /usr/share/mime/packages/own.xml: { content: x } }\noutputs: [dir]\n",
    );
    project.lock();
    let root = project.built("bare");
    assert!(!root.join("usr/share/mime/types").exists());
}

#[test]
fn a_build_environment_has_what_tools_derive_too() {
    let world = World::with(&[tool(TOOL)]);
    let project = world.project("p");
    project.edit("kiln.yaml", "[debian:build-essential]", "[debian:build-essential, debian:mime]");
    project.recipe("tool", "build: { steps: [ { run: 'mkdir -p {{ out }}/usr/share; cp /usr/share/mime/types {{ out }}/usr/share/' } ] }\n");
    project.lock();
    project.kiln(&["build", "tool"]).done();
}
