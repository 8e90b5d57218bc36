//! Container images as packages: made with `umoci`, held by a folder or by a registry on the loopback, composed on, run.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kiln_archive::{Entry, Kind};

use crate::world::{Project, World};

fn entry(name: &str, mode: u16, owner: u32, content: &[u8]) -> (Entry, Vec<u8>) {
    let entry = Entry::new(name.parse().unwrap(), Kind::File);
    (Entry { size: content.len() as u64, mode, uid: owner, gid: owner, ..entry }, content.to_vec())
}

fn link(name: &str, target: &str) -> (Entry, Vec<u8>) {
    (Entry::new(name.parse().unwrap(), Kind::Symlink(target.to_owned())), Vec::new())
}

fn tool(command: &mut Command) {
    let output = command.output().expect("the tools of the tests are installed");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Makes an image of two layers in a layout, with the real tool.
fn layout(world: &World, place: &Path) {
    let busybox = fs::read("/bin/busybox").expect("the package `busybox-static` is installed");
    let lower = vec![
        entry("bin/busybox", 0o755, 0, &busybox),
        link("bin/sh", "busybox"),
        link("bin/cat", "busybox"),
        link("bin/stat", "busybox"),
        entry("etc/passwd", 0o644, 0, b"root:x:0:0:root:/root:/bin/sh\nkeeper:x:77:77::/:/bin/sh\n"),
        entry("etc/group", 0o644, 0, b"root:x:0:\nkeeper:x:77:\n"),
        entry("etc/gone", 0o644, 0, b"below\n"),
        entry("etc/motto", 0o640, 77, b"below\n"),
    ];
    let upper = vec![entry("etc/.wh.gone", 0o644, 0, b""), entry("etc/motto", 0o640, 77, b"above\n")];
    tool(Command::new("umoci").args(["init", "--layout"]).arg(place));
    let image = format!("{}:latest", place.display());
    tool(Command::new("umoci").args(["new", "--image", &image]));
    for (name, files) in [("lower.tar", lower), ("upper.tar", upper)] {
        let tar = world.path(name);
        fs::write(&tar, testkit::apk::tarball(files)).unwrap();
        tool(Command::new("umoci").args(["raw", "add-layer", "--image", &image]).arg(&tar));
    }
}

fn project<'w>(world: &'w World, origin: &str) -> Project<'w> {
    let project = world.bare("p");
    project.write("kiln.yaml", format!("kiln: 1\nname: sample\norigins:\n  base: {{ archive: oci, {origin} }}\n"));
    project.image("web", "packages: [base:system]\n");
    project
}

const SEEN: &str = "cat /etc/motto; stat -c %U:%a /etc/motto; ls /etc/gone || echo none";

#[test]
fn an_image_is_composed_on_an_image_of_a_layout_and_runs() {
    let world = World::new();
    let project = project(&world, "layout: base");
    layout(&world, &project.folder.join("base"));
    project.commit();
    project.kiln(&["lock"]).done();
    let lock = project.read("kiln.lock");
    assert!(lock.contains("archive = \"oci\"") && lock.contains("name = \"layer 2\""), "{lock}");
    project.commit();
    let seen = project.kiln(&["run", "web", "--", "/bin/sh", "-c", SEEN]).done();
    assert_eq!(seen.stdout, "above\nkeeper:640\nnone\n", "{seen}");
    assert_eq!(project.kiln(&["lock"]).done().stdout, "", "what is locked stays");
}

#[test]
fn a_blob_of_a_layout_that_was_altered_is_not_the_pinned_one() {
    let world = World::new();
    let project = project(&world, "layout: base");
    layout(&world, &project.folder.join("base"));
    project.kiln(&["lock"]).done();
    project.commit();
    let blobs = fs::read_dir(project.folder.join("base/blobs/sha256")).unwrap();
    let largest = blobs.map(|blob| blob.unwrap().path()).max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let mut bytes = fs::read(&largest).unwrap();
    bytes[100] ^= 1;
    fs::write(&largest, bytes).unwrap();
    project.kiln(&["build", "web"]).failed(1, &["system (layer 1)", "is not what `kiln.lock"]);
}

#[test]
fn what_is_wrong_with_an_origin_of_images_is_told_at_its_place() {
    let world = World::new();
    let project = project(&world, "layout: base, registry: 'https://registry.example'");
    project.kiln(&["lock"]).failed(2, &["kiln.yaml:4", "not of both"]);
    for (origin, said) in [
        ("layout: base", "image layout"),
        ("tag: x", "registry"),
        ("registry: 'ftp://registry.example'", "is not a registry's address"),
        ("registry: 'https://me:word@registry.example'", "without credentials"),
        ("registry: 'http://registry.example'", "is not encrypted"),
        ("registry: 'http://127.0.0.1.example:80/x'", "is not encrypted"),
        ("registry: 'https://registry.example', tag: 'a b'", "is not a tag of an image"),
    ] {
        let text = format!("kiln: 1\nname: sample\norigins:\n  base: {{ archive: oci, {origin} }}\n");
        project.write("kiln.yaml", text);
        project.kiln(&["lock"]).failed(2, &["kiln.yaml:4", said]);
    }
}

/// A registry on the loopback, ended with the test.
struct Registry {
    child: Child,
    port: u16,
}

impl Registry {
    fn start(world: &World) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (config, folder) = (world.path("registry.yml"), world.path("registry"));
        let text = format!(
            "version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: '{}' }} }}\nhttp: {{ addr: '127.0.0.1:{port}' }}\n",
            folder.display()
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("the package `docker-registry` is installed");
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "the registry does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { child, port }
    }

    fn push(&self, layout: &Path, name: &str) {
        let to = format!("docker://127.0.0.1:{}/{name}", self.port);
        let from = format!("oci:{}:latest", layout.display());
        let policy = "--insecure-policy";
        tool(Command::new("skopeo").args([policy, "copy", "--dest-tls-verify=false", &from, &to]));
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_image_of_a_registry_is_pinned_by_digest_and_stays_when_the_tag_moves() {
    let world = World::new();
    let registry = Registry::start(&world);
    let place: PathBuf = world.path("layout");
    layout(&world, &place);
    registry.push(&place, "team/system:stable");
    let project = project(&world, &format!("registry: 'http://127.0.0.1:{}/team', tag: stable", registry.port));
    project.image("web", "packages: [base:sistem]\n");
    project.kiln(&["lock"]).failed(2, &["images/web.yaml", "the origin `base` has no package `sistem`"]);
    project.image("web", "packages: [base:system]\n");
    let locked = project.kiln(&["lock"]).done();
    assert!(locked.stdout.contains("+ base:system (") && locked.stdout.contains("stable+"), "{locked}");
    project.commit();
    let before = project.read("kiln.lock");
    assert!(before.contains("path = \"system/blobs/sha256:"), "{before}");

    let other = format!("{}:latest", place.display());
    let tar = world.path("more.tar");
    fs::write(&tar, testkit::apk::tarball(vec![entry("etc/motto", 0o644, 0, b"later\n")])).unwrap();
    tool(Command::new("umoci").args(["raw", "add-layer", "--image", &other]).arg(&tar));
    registry.push(&place, "team/system:stable");
    assert_eq!(project.kiln(&["lock"]).done().stdout, "", "what is locked stays");
    let seen = project.kiln(&["run", "web", "--", "/bin/sh", "-c", SEEN]).done();
    assert_eq!(seen.stdout, "above\nkeeper:640\nnone\n", "{seen}");

    project.kiln(&["lock", "--update", "base"]).done();
    assert_ne!(project.read("kiln.lock"), before);
    project.commit();
    let seen = project.kiln(&["run", "web", "--", "/bin/cat", "/etc/motto"]).done();
    assert_eq!(seen.stdout, "later\n", "{seen}");
    // A mirror of images is named by their origin.
    let mirror = format!("base=http://127.0.0.1:{}", registry.port);
    project.kiln(&["build", "web", "--mirror", &mirror]).done();
    let wrong = ["build", "web", "--mirror", "bas=http://127.0.0.1:1"];
    project.kiln(&wrong).failed(2, &["nothing of the project has mirrors of the name `bas`", "`base`"]);
    // Nothing that is in the store needs the registry.
    drop(registry);
    project.kiln(&["build", "web", "--offline"]).done();
}
