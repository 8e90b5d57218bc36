//! RPM's packages from the lock to a running container: packages by `rpmbuild`, a repository by `createrepo_c`, signed by
//! `gpg`; nothing of it run. What comes out is compared with what `rpm` itself installs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use kiln_archive::{Kind, Limits, tar};
use testkit::ArchiveKey;
use testkit::rpm::{self, tool};

use crate::world::{Ended, Project, World, ended, is_root, key};

const SPEC: &str = include_str!("rpm.spec");

/// The packages, built once.
static PACKAGES: LazyLock<(tempfile::TempDir, Vec<PathBuf>)> = LazyLock::new(|| {
    let folder = tempfile::Builder::new().prefix("kiln-test-rpm-").tempdir().unwrap();
    let built = rpm::build(SPEC, &[], folder.path());
    (folder, built)
});

static KEY: LazyLock<String> = LazyLock::new(|| key().public());

/// The repository of the mirror: `40/ARCHITECTURE/os`.
fn repository(world: &World) -> PathBuf {
    world.path("rpms").join("40").join(rpm::architecture()).join("os")
}

fn publish(world: &World, key: &ArchiveKey) {
    let folder = repository(world);
    fs::create_dir_all(&folder).unwrap();
    for package in &PACKAGES.1 {
        fs::copy(package, folder.join(package.file_name().unwrap())).unwrap();
    }
    rpm::repository(&folder, &[], key);
}

const ORIGIN: &str = "archive: rpm, suite: '40', repositories: [$releasever/$basearch/os], keyring: keys/archive.asc, \
                      max-age: unlimited";

/// A project whose one image has these packages.
fn project<'w>(world: &'w World, packages: &str) -> Project<'w> {
    publish(world, &key());
    let project = world.bare("p");
    project.write("kiln.yaml", format!("kiln: 1\nname: sample\norigins:\n  fedora: {{ {ORIGIN} }}\n"));
    project.write("keys/archive.asc", &*KEY);
    project.image("web", &format!("packages: [{packages}]\n"));
    project.commit();
    project
}

fn kiln(project: &Project<'_>, arguments: &[&str]) -> Ended {
    let mirror = format!("file://{}/", project.world.path("rpms").display());
    ended(project.command(arguments).env("KILN_MIRROR_FEDORA", mirror))
}

/// Everything but what has a script that cannot be followed, or gives way to another.
const ALL: &str = "fedora:base, fedora:busybox, fedora:keeper, fedora:libthing, fedora:daemon, fedora:tricks, fedora:rich, \
                   fedora:user";

#[test]
fn an_rpm_image_runs_with_what_its_scripts_would_have_made() {
    let world = World::new();
    let project = project(&world, ALL);
    let locked = kiln(&project, &["lock"]).done();
    for package in ["daemon", "editor", "newname", "plugins", "systemd"] {
        assert!(locked.stdout.contains(&format!("+ fedora:{package} (")), "{package}: {locked}");
    }
    assert!(!locked.stdout.contains("oldname") && !locked.stdout.contains("scripted"), "{locked}");
    assert!(locked.stdout.contains("1:1.0~rc1-1"), "{locked}");
    project.commit();
    let lock = project.read("kiln.lock");
    let statement = fs::read(repository(&world).join("repodata/repomd.xml")).unwrap();
    let release = kiln_model::Digest::of(&statement).to_hex();
    assert!(lock.contains("archive = \"rpm\"") && lock.contains(&release), "{lock}");

    let script = "id -u keeper; id -gn keeper; stat -c %U:%G:%a /var/lib/keeper/secret; readlink /usr/bin/vi; \
                  readlink /etc/alternatives/vi; /usr/bin/vi; ls /etc/systemd/system/multi-user.target.wants; \
                  stat -c %U:%G /var/lib/keeper/state; ls /etc/ld.so.cache /var/lib/keeper/first; id -gn helper; ls /etc/tricks.ghost || user";
    let seen = kiln(&project, &["run", "web", "--", "/bin/sh", "-c", script]);
    let lines: Vec<&str> = seen.stdout.lines().collect();
    assert!(lines[0].parse::<u32>().is_ok(), "{seen}");
    let expected = [
        "keys",
        "keeper:keys:640",
        "/etc/alternatives/vi",
        "/usr/bin/editor",
        "edits",
        "daemon.service",
        "keeper:keys",
        "/etc/ld.so.cache",
        "/var/lib/keeper/first",
        "helper",
        "used",
    ];
    assert_eq!(lines[1..], expected, "{seen}");
}

#[test]
fn the_account_says_what_became_of_scripts_and_triggers() {
    let world = World::new();
    let project = project(&world, ALL);
    kiln(&project, &["lock"]).done();
    project.commit();
    let told = kiln(&project, &["audit", "web"]).done();
    for line in
        ["user keeper", "finalizer    ld.so.cache", "service daemon.service", "/usr/bin/vi", "/usr/share/plugins"]
    {
        assert!(told.stdout.contains(line), "{line}: {told}");
    }
    let account: serde_json::Value =
        serde_json::from_str(&kiln(&project, &["audit", "web", "--json"]).done().stdout).unwrap();
    let text = account.to_string();
    assert!(
        text.contains("\"trigger\":\"/usr/lib64/lib\"") && text.contains("the presets of the image leave"),
        "{text}"
    );
    let built = kiln(&project, &["build", "web"]).done();
    built.said(&["waits for the trigger `/usr/share/plugins`", "nothing stands for it"]);
}

#[test]
fn a_script_in_lua_is_told_with_what_to_write() {
    let world = World::new();
    let project = project(&world, "fedora:base, fedora:scripted");
    kiln(&project, &["lock"]).done();
    project.commit();
    let told = ["fedora:scripted", "post:1", "posix.symlink", "written in Lua", "hooks:"];
    kiln(&project, &["build", "web"]).failed(1, &told);
    let accepted = "hooks: { 'fedora:scripted': { accept: a test } }\n";
    project.image("web", &format!("packages: [fedora:base, fedora:scripted]\n{accepted}"));
    project.commit();
    kiln(&project, &["build", "web"]).done();
}

#[test]
fn what_is_locked_builds_to_the_same_bytes_when_the_mirror_is_gone() {
    let world = World::new();
    let project = project(&world, ALL);
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
    fs::remove_dir_all(world.path("rpms")).unwrap();
    assert_eq!(build("two"), first);
    assert_eq!(kiln(&project, &["lock"]).done().stdout, "");
}

/// What is at a path: type, mode, owner, group, what tells contents apart, capabilities.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Seen {
    kind: char,
    mode: u32,
    owner: String,
    group: String,
    content: String,
    capabilities: String,
}

/// Names by number, of a file like `passwd`.
fn names(text: &str) -> BTreeMap<String, String> {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        Some((fields.get(2)?.to_string(), fields.first()?.to_string()))
    };
    text.lines().filter_map(line).collect()
}

/// Installs packages with `rpm` in a folder, and tells what is there. It takes a user namespace where this is not root.
fn installed(folder: &Path, packages: &[PathBuf]) -> BTreeMap<String, Seen> {
    let of = |name: &str| {
        packages.iter().find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(name)).unwrap()
    };
    let list: Vec<String> = packages.iter().map(|path| path.display().to_string()).collect();
    let script = format!(
        "set -e; root={}; install='rpm --root '$root' --dbpath /rpmdb -i --nodeps --noscripts --notriggers --nosignature'\n\
         mkdir -p $root; $install {} >&2\n\
         echo 'keeper:x:77:77::/:/bin/sh' >>$root/etc/passwd; echo 'keys:x:77:' >>$root/etc/group\n\
         $install {} >&2\n\
         cd $root; find . -mindepth 1 -path ./rpmdb -prune -o -type f -printf '%P\\t%y\\t%m\\t%U\\t%G\\t' \
         -exec sh -c 'sha256sum \"$1\" | cut -c 1-64 | tr -d \"\\n\"; printf \"\\t\"; getcap \"$1\" | cut -d \" \" -f 2 | tr -d \"\\n\"; echo' _ {{}} \\; \
         -o -printf '%P\\t%y\\t%m\\t%U\\t%G\\t%l\\t\\n'; cat etc/passwd >passwd.out; cat etc/group >group.out; chmod 644 *.out",
        folder.display(),
        of("base").display(),
        list.iter().filter(|path| !path.contains("/base-")).cloned().collect::<Vec<_>>().join(" "),
    );
    let mut command = if is_root() {
        Command::new("sh")
    } else {
        let mut command = Command::new("unshare");
        command.args(["--map-auto", "--map-root-user", "sh"]);
        command
    };
    let text = tool(command.args(["-c", &script]).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"));
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let (users, groups) = (names(&read("passwd.out")), names(&read("group.out")));
    let mut seen = BTreeMap::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [path, kind, mode, user, group, content, capabilities] = fields[..] else { panic!("{line}") };
        let named =
            |names: &BTreeMap<String, String>, id: &str| names.get(id).cloned().unwrap_or_else(|| id.to_owned());
        let entry = Seen {
            kind: kind.chars().next().unwrap(),
            mode: u32::from_str_radix(mode, 8).unwrap(),
            owner: named(&users, user),
            group: named(&groups, group),
            content: content.to_owned(),
            capabilities: capabilities.to_owned(),
        };
        seen.insert(path.to_owned(), entry);
    }
    seen
}

/// The same of an image, out of its tar archive.
fn composed(tarball: &Path) -> BTreeMap<String, Seen> {
    let mut reader = tar::Reader::new(fs::File::open(tarball).unwrap(), &Limits::default());
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    let (mut texts, mut owners) = (BTreeMap::new(), BTreeMap::new());
    while let Some(entry) = reader.next_entry().unwrap() {
        let path = entry.path.as_str().to_owned();
        let (kind, content) = match &entry.kind {
            Kind::File => {
                let mut bytes = Vec::new();
                std::io::Read::read_to_end(&mut reader, &mut bytes).unwrap();
                texts.insert(path.clone(), String::from_utf8_lossy(&bytes).into_owned());
                ('f', kiln_model::Digest::of(&bytes).to_hex())
            }
            Kind::Hardlink(target) => {
                let other = seen[target.as_str()].clone();
                owners.insert(path.clone(), owners[target.as_str()]);
                seen.insert(path, other);
                continue;
            }
            Kind::Directory => ('d', String::new()),
            Kind::Symlink(target) => ('l', target.clone()),
            other => panic!("{other:?}"),
        };
        let capabilities = entry.xattrs.get("security.capability").map(|value| {
            let names = kiln_model::capability::permitted_and_effective(value).unwrap();
            format!("{}=ep", names.into_iter().collect::<Vec<_>>().join(","))
        });
        owners.insert(path.clone(), (entry.uid, entry.gid));
        let mode = u32::from(entry.mode);
        seen.insert(
            path,
            Seen { kind, mode, content, capabilities: capabilities.unwrap_or_default(), ..Seen::default() },
        );
    }
    let (users, groups): (BTreeMap<_, _>, BTreeMap<_, _>) = (names(&texts["etc/passwd"]), names(&texts["etc/group"]));
    for (path, (uid, gid)) in owners {
        let entry = seen.get_mut(&path).unwrap();
        (entry.owner, entry.group) = (users[&uid.to_string()].clone(), groups[&gid.to_string()].clone());
    }
    seen
}

#[test]
fn an_image_has_what_rpm_itself_installs_path_by_path() {
    let world = World::new();
    let project = project(&world, &format!("{ALL}, fedora:scripted"));
    project.image(
        "web",
        &format!("packages: [{ALL}, fedora:scripted]\nhooks: {{ 'fedora:scripted': {{ accept: a test }} }}\n"),
    );
    project.commit();
    kiln(&project, &["lock"]).done();
    project.commit();
    kiln(&project, &["build", "web", "--output", "tar"]).done();
    let image = composed(&project.folder.join("out/web.tar"));
    let packages: Vec<PathBuf> =
        PACKAGES.1.iter().filter(|path| !path.display().to_string().contains("oldname")).cloned().collect();
    let rpm = installed(&world.path("rpm-root"), &packages);
    // What scripts change, and what finalizers write anew, is looked at elsewhere.
    let changed = ["etc/passwd", "etc/group"];
    let mut compared = 0;
    for (path, expected) in rpm.iter().filter(|(path, _)| !changed.contains(&path.as_str())) {
        assert_eq!(image.get(path), Some(expected), "{path}");
        compared += 1;
    }
    assert!(compared > 40, "{compared}");
    let made = |path: &str| rpm.contains_key(path) || changed.contains(&path);
    let more: Vec<&String> = image.keys().filter(|path| !made(path)).collect();
    assert!(more.iter().all(|path| !path.starts_with("usr/share/") && *path != "etc/tricks.ghost"), "{more:?}");
}

#[test]
fn a_repository_that_gpg_signed_is_believed() {
    let world = World::new();
    let project = project(&world, "fedora:base");
    let packager = rpm::Packager::new("rsa3072", world.path("gpg"));
    project.write("keys/archive.asc", packager.public());
    let statement = repository(&world).join("repodata/repomd.xml");
    packager.gpg(&["--armor", "--detach-sign", statement.to_str().unwrap()]);
    kiln(&project, &["lock"]).done();
}

#[test]
fn a_repository_of_signed_packages_is_usable_where_the_project_says_so() {
    let world = World::new();
    let project = project(&world, "fedora:base, fedora:busybox");
    let folder = repository(&world);
    fs::remove_file(folder.join("repodata/repomd.xml.asc")).unwrap();
    kiln(&project, &["lock"]).failed(1, &["repomd.xml.asc", "`signed: packages`"]);
    project.edit("kiln.yaml", "max-age: unlimited", "max-age: unlimited, signed: nothing");
    kiln(&project, &["lock"]).failed(2, &["kiln.yaml:4", "`nothing` is nothing that is signed"]);
    project.edit("kiln.yaml", "signed: nothing", "signed: packages");
    kiln(&project, &["lock"]).failed(1, &["`base 1.0-1` of the origin `fedora` is not believed", "nobody signed"]);
    assert!(!project.folder.join("kiln.lock").exists());

    let packager = rpm::Packager::new("rsa3072", world.path("gpg"));
    let packages = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    packager.sign(&packages.filter(|path| path.is_file()).collect::<Vec<_>>());
    tool(Command::new("createrepo_c").arg("--quiet").arg(&folder));
    kiln(&project, &["lock"]).failed(1, &["no key of", "made its signature"]);
    project.write("keys/archive.asc", packager.public());
    kiln(&project, &["lock"]).done();
    project.commit();
    // What was believed once is not fetched again, neither to lock nor to build.
    fs::remove_dir_all(world.path("rpms")).unwrap();
    assert_eq!(kiln(&project, &["lock"]).done().stdout, "");
    let seen = kiln(&project, &["run", "web", "--", "/bin/sh", "-c", "echo believed"]).done();
    assert_eq!(seen.stdout, "believed\n");
    // By another keyring it would have to be looked at again, and nobody has it.
    project.write("keys/archive.asc", &*KEY);
    let told = kiln(&project, &["lock"]).done().stderr;
    assert!(told.contains("is not checked against the archive"), "{told}");
}

#[test]
fn an_archive_that_another_key_signed_locks_nothing() {
    let world = World::new();
    let project = project(&world, "fedora:base");
    rpm::sign(&repository(&world), &ArchiveKey::new(8));
    kiln(&project, &["lock"]).failed(1, &["no key of", "made its signature", "keyring"]);
    fs::remove_file(repository(&world).join("repodata/repomd.xml.asc")).unwrap();
    kiln(&project, &["lock"]).failed(1, &["repomd.xml.asc"]);
    assert!(!project.folder.join("kiln.lock").exists());
}

#[test]
fn an_index_or_a_package_that_was_altered_is_refused() {
    let world = World::new();
    let project = project(&world, "fedora:base");
    let index = fs::read_dir(repository(&world).join("repodata")).unwrap().map(|entry| entry.unwrap().path());
    let index = index.into_iter().find(|path| path.display().to_string().ends_with("-primary.xml.gz")).unwrap();
    let sound = fs::read(&index).unwrap();
    let altered = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        bytes
    };
    fs::write(&index, altered(&sound)).unwrap();
    kiln(&project, &["lock"]).failed(1, &["primary.xml.gz"]);
    assert!(!project.folder.join("kiln.lock").exists());
    fs::write(&index, sound).unwrap();
    kiln(&project, &["lock"]).done();
    project.commit();
    let package = repository(&world).join(format!("base-1.0-1.{}.rpm", rpm::architecture()));
    fs::write(&package, altered(&fs::read(&package).unwrap())).unwrap();
    kiln(&project, &["build", "web"]).failed(1, &["base"]);
}

#[test]
fn a_lock_that_was_edited_by_hand_is_refused_at_its_line() {
    let world = World::new();
    let project = project(&world, "fedora:base, fedora:keeper, fedora:busybox");
    kiln(&project, &["lock"]).done();
    let sound = project.read("kiln.lock");
    for (from, to, said) in [
        ("version = \"2.1-1\"", "version = \"2.2-1\"", "has `fedora:keeper` in version 2.1-1"),
        ("date = \"", "date = \"Mon, 01 Jan 2001 00:00:00 UTC\" # ", "the pinned state of `fedora` is of"),
    ] {
        project.write("kiln.lock", sound.replace(from, to));
        kiln(&project, &["build", "web"]).failed(2, &["kiln.lock:", said, "`kiln lock`"]);
    }
    let release = sound.lines().find(|line| line.starts_with("release = ")).unwrap();
    project.write("kiln.lock", sound.replacen(release, &format!("release = \"{}\"", "1".repeat(64)), 1));
    let said = format!(
        "the signed statement of the pinned state of `fedora` is sha256:{}",
        release.split('"').nth(1).unwrap()
    );
    kiln(&project, &["build", "web"]).failed(2, &["kiln.lock:", &said, "`kiln lock`"]);
    kiln(&project, &["lock"]).done();
    assert_eq!(project.read("kiln.lock"), sound);
}

#[test]
fn a_conflict_is_told_at_the_places_that_ask_for_it() {
    let world = World::new();
    let project = project(&world, "fedora:newname, fedora:oldname");
    let told = ["`newname` obsoletes `oldname < 2`", "images/web.yaml:2:12", "images/web.yaml:2:28"];
    kiln(&project, &["lock"]).failed(2, &told);
}

#[test]
fn a_state_that_is_too_old_or_older_than_the_locked_one_is_refused() {
    let world = World::new();
    let project = project(&world, "fedora:base");
    kiln(&project, &["lock"]).done();
    rpm::repository(&repository(&world), &["--revision", "1000000000"], &key());
    kiln(&project, &["lock", "--update", "fedora"]).failed(1, &["is offered as it was on", "the lock has it as of"]);
    fs::remove_file(project.folder.join("kiln.lock")).unwrap();
    project.edit("kiln.yaml", "max-age: unlimited", "max-age: 30d");
    kiln(&project, &["lock"]).failed(1, &["may be no older than 30d", "max-age: unlimited"]);
}

#[test]
fn what_an_origin_lacks_or_has_too_much_of_is_told_at_its_place() {
    let world = World::new();
    let project = project(&world, "fedora:base");
    let write = |origin: &str| {
        project.write("kiln.yaml", format!("kiln: 1\nname: sample\norigins:\n  fedora: {{ {origin} }}\n"));
        kiln(&project, &["lock"])
    };
    write("archive: rpm, suite: '40'").failed(2, &["kiln.yaml:4", "`repositories`", "`keyring`", "`max-age`"]);
    write(&ORIGIN.replace("$releasever", "../x")).failed(2, &["is not the folder of a repository"]);
    write(&format!("{ORIGIN}, components: [main]")).failed(2, &["`components`"]);
    project.write("kiln.yaml", format!("kiln: 1\nname: sample\norigins:\n  fedora: {{ {ORIGIN} }}\n"));
    project.image("web", "packages: ['fedora:@essential']\n");
    kiln(&project, &["lock"]).failed(2, &["an archive of `.rpm` packages, which marks no package essential"]);
}
