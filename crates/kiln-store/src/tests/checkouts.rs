use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use kiln_model::{Device, Dir, Entry, FileEntry, Meta, ObjectId, ObjectSink as _, SymlinkEntry};

use super::*;
use crate::CheckoutError;

/// Each path below a folder with kind, mode and content.
fn listing(at: &Path) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    let mut todo = vec![at.to_owned()];
    while let Some(here) = todo.pop() {
        for entry in std::fs::read_dir(here).unwrap() {
            let path = entry.unwrap().path();
            let meta = std::fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(at).unwrap().display().to_string();
            let mode = meta.permissions().mode() & 0o7777;
            let text = if meta.is_dir() {
                todo.push(path);
                format!("{mode:o} dir")
            } else if meta.is_symlink() {
                format!("-> {}", std::fs::read_link(path).unwrap().display())
            } else {
                format!("{mode:o} {}", String::from_utf8(std::fs::read(path).unwrap()).unwrap())
            };
            out.insert(name, text);
        }
    }
    out
}

fn file(session: &Session, content: &str, mode: u16) -> Entry {
    let object = session.put(content.as_bytes()).unwrap();
    let meta = Meta::root_owned(mode);
    Entry::File(FileEntry { object, size: content.len() as u64, meta, hardlinked: false })
}

#[test]
fn lays_out_directories_links_files_and_modes() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let session = store.session().unwrap();
    let mut dir = Dir::default();
    for (name, content, mode) in [
        ("bin/sh", "shell", 0o755),
        ("etc/passwd", "root", 0o644),
        ("etc/shadow", "secret", 0o640),
        ("etc/shell-source", "shell", 0o644),
        ("bin/su", "switch", 0o4755),
        ("srv/shared", "group may write", 0o664),
    ] {
        dir.insert(&path(name), file(&session, content, mode)).unwrap();
    }
    dir.insert(&path("lib"), Entry::Symlink(SymlinkEntry::plain("usr/lib"))).unwrap();
    let null = Device::Character { major: 1, minor: 3 };
    dir.insert(&path("dev/null"), Entry::Device(null, Meta::root_owned(0o666))).unwrap();
    dir.dir_mut(&path("tmp")).unwrap().set_meta(Meta::root_owned(0o1777));
    let tree = session.put_tree(&dir).unwrap();
    let checkout = session.checkout(tree).unwrap();
    let text: Vec<String> = listing(checkout.path()).into_iter().map(|(k, v)| format!("{k}: {v}")).collect();
    assert_eq!(
        text,
        [
            "bin: 755 dir",
            "bin/sh: 555 shell",
            "bin/su: 555 switch",
            "dev: 755 dir",
            "etc: 755 dir",
            "etc/passwd: 444 root",
            "etc/shadow: 640 secret",
            "etc/shell-source: 444 shell",
            "lib: -> usr/lib",
            "srv: 755 dir",
            "srv/shared: 444 group may write",
            "tmp: 755 dir",
        ]
    );
    let inode = |at: &str| std::fs::metadata(checkout.path().join(at)).unwrap().ino();
    let object = store.object_file(&ObjectId::of(b"shell"), 5).unwrap().metadata().unwrap().ino();
    assert_eq!(inode("etc/shell-source"), object);
    assert_ne!(inode("bin/sh"), object);
    assert!(crate::checkout::verify(&store, &dir, &crate::layout::checkout(&tree)).unwrap().is_none());
}

#[test]
fn every_path_of_a_checkout_has_the_one_time_stamp() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let session = store.session().unwrap();
    let mut dir = Dir::default();
    for (name, mode) in [("etc/motd", 0o644), ("bin/sh", 0o755), ("etc/shadow", 0o600)] {
        dir.insert(&name.parse().unwrap(), file(&session, name, mode)).unwrap();
    }
    dir.set_entry("link", Entry::Symlink(SymlinkEntry::plain("bin/sh"))).unwrap();
    let checkout = session.checkout(session.put_tree(&dir).unwrap()).unwrap();
    for name in ["", "etc", "bin", "etc/motd", "bin/sh", "etc/shadow", "link"] {
        let time = std::fs::symlink_metadata(checkout.path().join(name)).unwrap().mtime();
        assert_eq!(time, kiln_model::SOURCE_DATE_EPOCH.cast_signed(), "{name}");
    }
}

#[test]
fn a_second_checkout_is_the_first() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let session = store.session().unwrap();
    let one = put_tree(&session, &[("bin/a", "a"), ("share/b", "b")]);
    let two = put_tree(&session, &[("bin/c", "a")]);
    let checkout = session.checkout(one).unwrap();
    let inode = std::fs::metadata(checkout.path()).unwrap().ino();
    let path = open(root.path()).checkout(one).unwrap().path().to_owned();
    assert_eq!(std::fs::metadata(&path).unwrap().ino(), inode);
    let other = store.checkout(two).unwrap();
    let inode = |path: &Path| std::fs::metadata(path).unwrap().ino();
    assert_eq!(inode(&checkout.path().join("bin/a")), inode(&other.path().join("bin/c")), "one executable inode");
    // A store opened to read gives a checkout that is there.
    let reader = Store::open(root.path(), OpenOptions::new(time(0)).read_only()).unwrap();
    assert_eq!(reader.checkout(one).unwrap().path(), path);
    assert!(matches!(reader.checkout(TreeId(Digest::EMPTY)), Err(CheckoutError::File(_))));
}

#[test]
fn after_another_boot_a_whole_checkout_is_kept_and_a_broken_one_made_anew() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let session = store.session().unwrap();
    let tree = put_tree(&session, &[("bin/a", "a"), ("share/b", "b")]);
    let checkout = session.checkout(tree).unwrap().path().to_owned();
    let state = checkout.parent().unwrap().join("state");
    let inode = || std::fs::metadata(&checkout).unwrap().ino();
    let first = inode();
    let reboot = || std::fs::write(&state, crate::action::seal(b"boot another\n")).unwrap();
    reboot();
    assert_eq!(store.checkout(tree).unwrap().path(), checkout);
    assert_eq!(inode(), first);
    for damage in ["missing", "foreign", "mode", "torn", "link"] {
        let before = inode();
        match damage {
            "missing" => std::fs::remove_file(checkout.join("share/b")).unwrap(),
            "foreign" => std::fs::write(checkout.join("share/c"), "").unwrap(),
            "mode" => {
                std::fs::set_permissions(checkout.join("share"), std::fs::Permissions::from_mode(0o700)).unwrap();
            }
            "torn" => {
                std::fs::remove_file(checkout.join("share/b")).unwrap();
                std::fs::write(checkout.join("share/b"), "").unwrap();
            }
            _ => {
                std::fs::remove_file(checkout.join("bin/a")).unwrap();
                std::os::unix::fs::symlink("/etc/passwd", checkout.join("bin/a")).unwrap();
            }
        }
        reboot();
        assert_eq!(listing(store.checkout(tree).unwrap().path())["share/b"], "444 b", "{damage}");
        assert_ne!(inode(), before, "{damage}");
    }
}

#[test]
fn refuses_to_lay_out_damaged_bytes_and_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let session = store.session().unwrap();
    let tree = put_tree(&session, &[("bin/a", "good"), ("share/b", "b")]);
    session.flush().unwrap();
    drop(session);
    let object = store.files().path(&crate::layout::object(&ObjectId::of(b"good")));
    std::fs::set_permissions(&object, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(&object, "evil").unwrap();
    let error = store.checkout(tree).unwrap_err();
    assert_eq!(error.to_string(), "cannot lay out `/bin/a`");
    assert!(error.hint().unwrap().contains("fsck"));
    assert!(store.files().names(crate::layout::CHECKOUTS).unwrap().is_empty());
    assert_eq!(store.files().names(crate::layout::STAGING).unwrap(), ["lock"]);
    assert!(matches!(store.checkout(TreeId(Digest::EMPTY)), Err(CheckoutError::Tree(_))));
}

#[test]
fn many_threads_that_want_one_tree_lay_it_out_once() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let session = store.session().unwrap();
    let names: Vec<String> = (0..300).map(|i| format!("{}/f{i}", if i % 3 == 0 { "bin" } else { "share" })).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), name.as_str())).collect();
    let tree = put_tree(&session, &files);
    session.flush().unwrap();
    let inodes: Vec<u64> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| std::fs::metadata(store.checkout(tree).unwrap().path()).unwrap().ino()))
            .collect();
        all.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(inodes.iter().all(|inode| *inode == inodes[0]), "{inodes:?}");
    assert_eq!(listing(store.checkout(tree).unwrap().path()).len(), 302);
}
