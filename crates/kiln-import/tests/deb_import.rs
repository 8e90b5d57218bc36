//! Importing Debian packages: made by `dpkg-deb` where it can make them, by hand where it would refuse.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use kiln_archive::compress::{Level, encoder};
use kiln_archive::{Compression, Entry, Kind, Limits, tar};
use kiln_import::deb::{DebError, DebPackage, import};
use kiln_model::{Entry as TreeEntry, MemoryObjects, ObjectSource, TreePath};
use proptest::prelude::*;

const CONTROL: &str = "Package: sample\nVersion: 1:2.0-1\nArchitecture: amd64\nMaintainer: A <a@example.org>\nDepends: libc6 (>= 2.36),\n libx\nPre-Depends: dpkg\nBreaks: old\nSource: origin (2.0-1)\nDescription: one\n two\n .\n three\n";

fn path(text: &str) -> TreePath {
    text.parse().unwrap()
}

fn file(name: &str, content: &str) -> (Entry, Vec<u8>) {
    let entry = Entry { size: content.len() as u64, ..Entry::new(path(name), Kind::File) };
    (entry, content.into())
}

fn entry(name: &str, kind: Kind) -> (Entry, Vec<u8>) {
    (Entry::new(path(name), kind), Vec::new())
}

fn with(mut made: (Entry, Vec<u8>), change: impl FnOnce(&mut Entry)) -> (Entry, Vec<u8>) {
    change(&mut made.0);
    made
}

fn tarball(entries: &[(Entry, Vec<u8>)], compression: Compression) -> Vec<u8> {
    let mut writer = tar::Writer::new(encoder(compression, Vec::new(), Level::Default).unwrap());
    for (entry, content) in entries {
        writer.add(entry, &mut content.as_slice()).unwrap();
    }
    writer.finish().unwrap().finish().unwrap()
}

fn container(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, content) in members {
        writeln!(bytes, "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`", 0, 0, 0, "100644", content.len()).unwrap();
        bytes.extend(*content);
        if content.len() % 2 == 1 {
            bytes.push(b'\n');
        }
    }
    bytes
}

fn control_tar(more: &[(&str, &str)]) -> Vec<u8> {
    let mut entries = vec![entry("", Kind::Directory), file("control", CONTROL)];
    entries.extend(more.iter().map(|(name, content)| file(name, content)));
    tarball(&entries, Compression::Gzip)
}

/// A package with these files, by hand.
fn package(data: &[(Entry, Vec<u8>)]) -> Vec<u8> {
    let data = tarball(data, Compression::Zstd);
    container(&[("debian-binary", b"2.0\n"), ("control.tar.gz", &control_tar(&[])), ("data.tar.zst", &data)])
}

fn read(bytes: &[u8]) -> Result<(DebPackage, MemoryObjects), DebError> {
    let objects = MemoryObjects::default();
    import(bytes, &objects, &Limits::default()).map(|package| (package, objects))
}

fn imported(data: &[(Entry, Vec<u8>)]) -> DebPackage {
    let (package, _) = read(&package(data)).unwrap();
    let permissions: Vec<_> = package.facts.permissions.keys().collect();
    for at in permissions {
        assert!(at.is_root() || package.tree.get(at).is_some(), "`{at}` has a fact but is not in the tree");
    }
    package
}

fn facts(data: &[(Entry, Vec<u8>)]) -> serde_json::Value {
    serde_json::from_slice(&imported(data).facts.canonical()).unwrap()
}

fn fault(bytes: &[u8]) -> String {
    let error = read(bytes).unwrap_err();
    let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn paths(package: &DebPackage) -> Vec<String> {
    package.tree.walk().map(|(path, entry)| format!("{path} {}", entry.kind())).collect()
}

/// Builds a package with `dpkg-deb` from a folder that `fill` makes.
fn dpkg_deb(compression: &str, fill: impl FnOnce(&Path)) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    fs::create_dir_all(root.join("DEBIAN")).unwrap();
    for at in [root.clone(), root.join("DEBIAN")] {
        fs::set_permissions(at, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::write(root.join("DEBIAN/control"), CONTROL).unwrap();
    fill(&root);
    let out = folder.path().join("out.deb");
    let status = Command::new("dpkg-deb")
        .args(["--root-owner-group", "--build", &format!("-Z{compression}")])
        .args([&root, &out])
        .output()
        .expect("`dpkg-deb` is on every Debian machine");
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    fs::read(out).unwrap()
}

fn write(root: &Path, name: &str, content: &str, mode: u32) {
    let at = root.join(name);
    fs::create_dir_all(at.parent().unwrap()).unwrap();
    fs::write(&at, content).unwrap();
    fs::set_permissions(&at, fs::Permissions::from_mode(mode)).unwrap();
    let mut folder = at.parent().unwrap();
    while folder != root {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        folder = folder.parent().unwrap();
    }
}

#[test]
fn reads_what_dpkg_deb_builds_however_it_is_compressed() {
    for compression in ["none", "gzip", "xz", "zstd"] {
        let bytes = dpkg_deb(compression, |root| {
            write(root, "usr/bin/tool", "#!/bin/sh\n", 0o755);
            write(root, "usr/bin/su", "program", 0o4755);
            write(root, "usr/share/doc/sample/copyright", "free", 0o644);
            write(root, "etc/sample.conf", "a=1\n", 0o640);
            write(root, "DEBIAN/conffiles", "/etc/sample.conf\n", 0o644);
            write(root, "DEBIAN/postinst", "#!/bin/sh\nexit 0\n", 0o755);
            write(root, "DEBIAN/triggers", "interest-noawait /usr/share/x\n", 0o644);
            write(root, "DEBIAN/md5sums", "", 0o644);
            fs::hard_link(root.join("usr/bin/tool"), root.join("usr/bin/tool2")).unwrap();
            symlink("tool", root.join("usr/bin/tool3")).unwrap();
            fs::create_dir(root.join("usr/empty")).unwrap();
            fs::set_permissions(root.join("usr/empty"), fs::Permissions::from_mode(0o2750)).unwrap();
        });
        let (package, objects) = read(&bytes).unwrap();
        let expected = [
            "/etc directory",
            "/etc/sample.conf file",
            "/usr directory",
            "/usr/bin directory",
            "/usr/bin/su file",
            "/usr/bin/tool file",
            "/usr/bin/tool2 file",
            "/usr/bin/tool3 link",
            "/usr/empty directory",
            "/usr/share directory",
            "/usr/share/doc directory",
            "/usr/share/doc/sample directory",
            "/usr/share/doc/sample/copyright file",
        ];
        assert_eq!(paths(&package), expected, "{compression}");
        let facts = serde_json::to_value(&package.facts).unwrap();
        let expected = serde_json::json!({ "permissions": {
            "/etc/sample.conf": { "mode": "0640" }, "/usr/bin/su": { "mode": "4755" }, "/usr/empty": { "mode": "2750" },
        }});
        assert_eq!(facts, expected);
        let hooks: Vec<_> = package.hooks.iter().map(|hook| (hook.name.as_str(), hook.size)).collect();
        assert_eq!(hooks, [("postinst", 17), ("triggers", 30)]);
        assert_eq!(objects.read(&package.hooks[0].object).unwrap(), b"#!/bin/sh\nexit 0\n");
        assert_eq!(package.conffiles.iter().collect::<Vec<_>>(), ["/etc/sample.conf"]);
        let hardlinked = |name| match package.tree.get(&path(name)) {
            Some(TreeEntry::File(file)) => file.hardlinked,
            other => panic!("{other:?}"),
        };
        assert!(hardlinked("usr/bin/tool") && hardlinked("usr/bin/tool2") && !hardlinked("usr/bin/su"));
    }
}

#[test]
fn a_program_with_140_names_is_one_object() {
    let bytes = dpkg_deb("xz", |root| {
        write(root, "usr/bin/git", "program", 0o755);
        write(root, "usr/lib/git-core/README", "program", 0o644);
        for number in 1..140 {
            fs::hard_link(root.join("usr/bin/git"), root.join(format!("usr/lib/git-core/git-{number}"))).unwrap();
        }
    });
    let (package, objects) = read(&bytes).unwrap();
    let names: Vec<_> = package
        .tree
        .walk()
        .filter_map(|(_, entry)| match entry {
            TreeEntry::File(file) if file.hardlinked => Some(file.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(names.len(), 140);
    assert!(names.iter().all(|file| *file == names[0]));
    assert_eq!(objects.read(&names[0].object).unwrap(), b"program");
}

#[test]
fn a_record_says_what_the_control_file_says() {
    let (package, _) = read(&package(&[file("usr/x", "x")])).unwrap();
    let tree = package.tree.id();
    let record = package.into_record("debian".parse().unwrap()).unwrap();
    assert_eq!((record.name.as_str(), record.version.as_str()), ("sample", "1:2.0-1"));
    assert_eq!(record.tree, tree);
    assert_eq!(record.source, Some(("origin".into(), "2.0-1".into())));
    assert_eq!(record.relations.depends, "libc6 (>= 2.36), libx, dpkg");
    assert_eq!((record.relations.breaks.as_str(), record.relations.provides.as_str()), ("old", ""));
    for bad in [
        "Package: a\nVersion: 1\n",
        "Package: a b\nVersion: 1\nArchitecture: all\n",
        "Package: a\nVersion: 1\nArchitecture: z80\n",
    ] {
        let control = tarball(&[file("control", bad)], Compression::None);
        let data = tarball(&[file("x", "")], Compression::None);
        let bytes = container(&[("debian-binary", b"2.0\n"), ("control.tar", &control), ("data.tar", &data)]);
        assert!(read(&bytes).unwrap().0.into_record("debian".parse().unwrap()).is_err(), "{bad}");
    }
}

#[test]
fn owners_become_facts_by_name() {
    let owned = |uid, gid, user: &str, group: &str| {
        with(file("usr/x", ""), |e| {
            (e.uid, e.gid) = (uid, gid);
            (e.user, e.group) = (user.into(), group.into());
        })
    };
    let of = |made| facts(&[made])["permissions"]["/usr/x"].clone();
    assert_eq!(of(owned(0, 0, "root", "root")), serde_json::Value::Null);
    assert_eq!(of(owned(0, 0, "", "")), serde_json::Value::Null);
    assert_eq!(of(owned(1000, 0, "_mine", "root")), serde_json::json!({ "owner": "_mine" }));
    assert_eq!(of(owned(0, 43, "root", "utmp")), serde_json::json!({ "group": "utmp" }));
    assert_eq!(of(owned(6, 42, "", "")), serde_json::json!({ "owner": "man", "group": "shadow" }));
}

#[test]
fn numbers_without_a_name_are_refused() {
    for (uid, gid, word) in [(1000, 0, "user 1000"), (0, 1000, "group 1000")] {
        let bytes = package(&[with(file("usr/x", ""), |e| (e.uid, e.gid) = (uid, gid))]);
        assert!(fault(&bytes).contains(word), "{}", fault(&bytes));
    }
    let bytes = package(&[with(file("usr/x", ""), |e| e.user = "A Person".into())]);
    assert!(fault(&bytes).contains("`A Person`"));
}

#[test]
fn capabilities_and_other_attributes_become_facts() {
    let attribute = |name: &str, value: &[u8]| {
        let made = with(file("usr/ping", "x"), |e| {
            e.mode = 0o755;
            e.xattrs = BTreeMap::from([(name.into(), value.into())]);
        });
        facts(&[made])["permissions"]["/usr/ping"].clone()
    };
    let net_raw = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(attribute("security.capability", &net_raw), serde_json::json!({ "capabilities": ["cap_net_raw"] }));
    assert_eq!(attribute("user.note", b"\x00\xff"), serde_json::json!({ "xattrs": { "user.note": "00ff" } }));
}

#[test]
fn devices_become_facts_and_leave_their_folder() {
    let package = imported(&[
        with(entry("dev/null", Kind::Character { major: 1, minor: 3 }), |e| e.mode = 0o666),
        with(entry("dev/sda", Kind::Block { major: 8, minor: 0 }), |e| (e.mode, e.gid) = (0o660, 6)),
        entry("run/pipe", Kind::Fifo),
    ]);
    let expected = serde_json::json!({
        "/dev/null": { "kind": "character", "major": 1, "minor": 3, "mode": "0666" },
        "/dev/sda": { "kind": "block", "major": 8, "minor": 0, "group": "disk", "mode": "0660" },
        "/run/pipe": { "kind": "fifo", "major": 0, "minor": 0, "mode": "0644" },
    });
    assert_eq!(serde_json::to_value(&package.facts.devices).unwrap(), expected);
    assert_eq!(paths(&package), ["/dev directory", "/run directory"]);
    assert!(package.tree.is_plain());
}

#[test]
fn hard_links_share_object_and_facts() {
    let data = [
        with(file("usr/bin/a", "program"), |e| e.mode = 0o4755),
        entry("usr/lib/b", Kind::Hardlink(path("usr/bin/a"))),
        entry("bin/c", Kind::Hardlink(path("usr/bin/a"))),
    ];
    let package = imported(&data);
    let names = ["usr/bin/a", "usr/lib/b", "usr/bin/c"];
    let entries: Vec<_> = names.iter().map(|name| package.tree.get(&path(name)).unwrap()).collect();
    assert!(entries.iter().all(|entry| *entry == entries[0]));
    assert!(matches!(entries[0], TreeEntry::File(file) if file.hardlinked && file.is_executable()));
    assert_eq!(package.facts.permissions.len(), 3);
    let dangling = [entry("usr/b", Kind::Hardlink(path("usr/a")))];
    assert!(fault(&crate::package(&dangling)).contains("no file before it"));
}

#[test]
fn what_is_shipped_beside_usr_moves_below_it() {
    let package = imported(&[
        file("bin/sh", "shell"),
        file("lib/x86_64-linux-gnu/libc.so.6", "library"),
        with(entry("lib/empty", Kind::Directory), |e| e.mode = 0o700),
        entry("lib64/ld.so", Kind::Symlink("../lib/x86_64-linux-gnu/ld.so".into())),
        entry("sbin", Kind::Directory),
        file("binary/x", "not merged"),
        file("opt/bin/x", "not merged either"),
    ]);
    let expected = [
        "/binary directory",
        "/binary/x file",
        "/opt directory",
        "/opt/bin directory",
        "/opt/bin/x file",
        "/usr directory",
        "/usr/bin directory",
        "/usr/bin/sh file",
        "/usr/lib directory",
        "/usr/lib/empty directory",
        "/usr/lib/x86_64-linux-gnu directory",
        "/usr/lib/x86_64-linux-gnu/libc.so.6 file",
        "/usr/lib64 directory",
        "/usr/lib64/ld.so link",
        "/usr/sbin directory",
    ];
    assert_eq!(paths(&package), expected);
    assert_eq!(package.facts.permissions.keys().collect::<Vec<_>>(), [&path("usr/lib/empty")]);
}

#[test]
fn the_links_of_a_merged_system_stay() {
    let package = imported(&[entry("bin", Kind::Symlink("usr/bin".into())), entry("usr/bin", Kind::Directory)]);
    assert_eq!(paths(&package), ["/bin link", "/usr directory", "/usr/bin directory"]);
}

#[test]
fn a_link_beside_usr_to_the_program_itself_is_the_program() {
    let program = file("usr/bin/x", "program");
    let link = entry("bin/x", Kind::Symlink("/usr/bin/x".into()));
    for data in [[program.clone(), link.clone()], [link, program]] {
        assert_eq!(paths(&imported(&data)), ["/usr directory", "/usr/bin directory", "/usr/bin/x file"]);
    }
    let two = package(&[file("bin/x", "one"), file("usr/bin/x", "two")]);
    assert!(fault(&two).contains("contradicts itself at `/usr/bin/x`"), "{}", fault(&two));
}

#[test]
fn a_package_that_contradicts_itself_is_refused() {
    let fifo = || entry("usr/x", Kind::Fifo);
    for data in [
        vec![file("usr/x", "1"), file("usr/x/y", "2")],
        vec![entry("usr/x", Kind::Symlink("y".into())), file("usr/x/y", "2")],
        vec![fifo(), file("usr/x", "1")],
        vec![file("usr/x", "1"), fifo()],
        vec![fifo(), entry("usr/x", Kind::Directory)],
        vec![fifo(), file("usr/x/y", "1")],
    ] {
        assert!(fault(&package(&data)).contains("contradicts itself"), "{data:?}");
    }
}

#[test]
fn the_container_must_be_that_of_a_package() {
    let (control, data) = (control_tar(&[]), tarball(&[file("x", "")], Compression::Gzip));
    let (version, control, data) =
        (("debian-binary", &b"2.0\n"[..]), ("control.tar.gz", &control[..]), ("data.tar.gz", &data[..]));
    let extra = ("_gpgbuilder", &b"signature"[..]);
    let garbage = ("anything", &b"else"[..]);
    assert!(read(&container(&[version, extra, control, extra, data, garbage])).is_ok());
    assert!(read(&[container(&[version, control, data]), b"garbage".to_vec()].concat()).is_ok());
    assert!(read(&container(&[("debian-binary/", b"2.1\nmore\n"), control, data])).is_ok());
    for (members, expected) in [
        (vec![], "ends before"),
        (vec![version], "ends before"),
        (vec![version, control], "ends before"),
        (vec![control, data], "its first member is `control.tar.gz`"),
        (vec![version, data, control], "where `control.tar` should be there is `data.tar.gz`"),
        (vec![version, garbage, control, data], "where `control.tar` should be there is `anything`"),
        (vec![("debian-binary", b"3.0\n"), control, data], "format version `3.0`"),
        (vec![("debian-binary", b""), control, data], "format version ``"),
        (vec![version, ("control.tar.Z", control.1), data], "there is `control.tar.Z`"),
    ] {
        let fault = fault(&container(&members));
        assert!(fault.contains(expected), "{fault}");
    }
    assert!(fault(b"").contains("not an ar archive"));
}

#[test]
fn a_truncated_package_is_refused_wherever_it_is_cut() {
    let bytes = package(&[file("usr/x", &"some text ".repeat(30))]);
    for length in 0..bytes.len() - 1 {
        assert!(read(&bytes[..length]).is_err(), "cut at {length} of {}", bytes.len());
    }
}

#[test]
fn names_that_leave_the_tree_are_refused() {
    let mut data = tarball(&[file("usr/xxxxxx", "1")], Compression::None);
    // The name, put in behind the writer's back, with its checksum.
    let old: u32 = data[..10].iter().map(|&b| u32::from(b)).sum();
    data[..10].copy_from_slice(b"../../etc/");
    let new: u32 = data[..10].iter().map(|&b| u32::from(b)).sum();
    let sum = u32::from_str_radix(std::str::from_utf8(&data[148..154]).unwrap(), 8).unwrap();
    data[148..154].copy_from_slice(format!("{:06o}", sum + new - old).as_bytes());
    let bytes = container(&[("debian-binary", b"2.0\n"), ("control.tar.gz", &control_tar(&[])), ("data.tar", &data)]);
    assert!(fault(&bytes).contains("`..`"), "{}", fault(&bytes));
}

#[test]
fn a_bomb_is_refused() {
    let mut encoder = encoder(Compression::Xz, Vec::new(), Level::Default).unwrap();
    let block = vec![0; 1 << 20];
    for _ in 0..80 {
        encoder.write_all(&block).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    let bytes =
        container(&[("debian-binary", b"2.0\n"), ("control.tar.gz", &control_tar(&[])), ("data.tar.xz", &bomb)]);
    assert!(bytes.len() < 20_000);
    assert!(fault(&bytes).contains("limit `ratio`"), "{}", fault(&bytes));
}

#[test]
fn a_control_file_must_be_there_and_be_one() {
    let with = |entries: &[(Entry, Vec<u8>)]| {
        let (control, data) = (tarball(entries, Compression::None), tarball(&[file("x", "")], Compression::None));
        fault(&container(&[("debian-binary", b"2.0\n"), ("control.tar", &control), ("data.tar", &data)]))
    };
    assert!(with(&[file("postinst", "")]).contains("has no `control`"));
    assert!(with(&[file("control", "A: 1\n\nB: 2\n")]).contains("one stanza"));
    assert!(with(&[file("control", "nonsense")]).contains("line 1"));
    assert!(with(&[entry("control", Kind::Symlink("/etc/passwd".into()))]).contains("a symbolic link"));
    assert!(with(&[file("a/b", "")]).contains("`a/b`"));
}

#[test]
fn large_and_small_files_both_arrive() {
    let large: String = "0123456789abcdef".repeat(200_000);
    let (package, objects) =
        read(&package(&[file("usr/large", &large), file("usr/small", "s"), file("usr/none", "")])).unwrap();
    for (name, content) in [("usr/large", large.as_str()), ("usr/small", "s"), ("usr/none", "")] {
        let Some(TreeEntry::File(file)) = package.tree.get(&path(name)) else { panic!("{name}") };
        assert_eq!(file.size, content.len() as u64);
        assert!(objects.read(&file.object).unwrap() == content.as_bytes(), "{name}");
    }
}

#[test]
fn the_order_of_entries_does_not_matter() {
    let data = [
        file("usr/a", "1"),
        file("etc/b", "2"),
        entry("usr/l", Kind::Symlink("a".into())),
        entry("var/d", Kind::Directory),
    ];
    let mut backwards = data.to_vec();
    backwards.reverse();
    let (one, two) = (imported(&data), imported(&backwards));
    assert_eq!(one.tree.id(), two.tree.id());
    assert_eq!(one.facts.canonical(), two.facts.canonical());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn changed_bytes_never_panic(changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6)) {
        let data = tarball(&[file("usr/a", "1"), entry("usr/h", Kind::Hardlink(path("usr/a"))), entry("bin/l", Kind::Symlink("a".into()))], Compression::None);
        let control = tarball(&[file("control", CONTROL), file("conffiles", "/etc/x\n"), file("postinst", "#!")], Compression::None);
        let mut bytes = container(&[("debian-binary", b"2.0\n"), ("control.tar", &control), ("data.tar", &data)]);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok((package, _)) = read(&bytes) {
            let _ = package.into_record("debian".parse().unwrap());
        }
    }
}
