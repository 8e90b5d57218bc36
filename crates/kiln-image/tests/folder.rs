//! The `dir` output, as root and as an ordinary user.

mod fixture;

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::{Arc, Mutex};

use fixture::{Builder, CAPABILITY, Recipe, Sample, owned, path};
use kiln_image::{OutputError, Request, Written, find};
use kiln_model::{Device, Dir, Entry, Event, MemoryObjects, Meta, Reporter, SOURCE_DATE_EPOCH};

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Reporter for Warnings {
    fn report(&self, event: Event) {
        if let Event::Warning { message, hint } = event {
            self.0.lock().unwrap().push(format!("{message} ({})", hint.unwrap_or_default()));
        }
    }
}

/// Writes `tree` as `web.dir`.
fn write(tree: &Dir, objects: &MemoryObjects, folder: &Path, warnings: &Warnings) -> Result<Written, OutputError> {
    let sample = Sample::new();
    let request = Request { tree, objects, reporter: warnings, ..sample.request() };
    find("dir").unwrap().write(&request, folder)
}

#[test]
fn holds_what_the_tree_says() {
    let folder = tempfile::tempdir().unwrap();
    let written = Sample::with_data(300_000).write("dir", folder.path());
    let root = &written.path;
    assert_eq!(fs::read(root.join("etc/greeting")).unwrap(), b"hello from kiln\n");
    assert_eq!(fs::metadata(root.join("usr/share/data")).unwrap().len(), 300_000);
    assert_eq!(fs::read_link(root.join("bin")).unwrap(), Path::new("usr/bin"));
    let git = fs::metadata(root.join("usr/bin/git")).unwrap();
    assert_eq!((git.nlink(), git.mode() & 0o7777), (3, 0o755));
    let mode = |at: &str| fs::symlink_metadata(root.join(at)).unwrap().mode() & 0o7777;
    assert_eq!((mode("tmp"), mode("proc"), mode("private"), mode("")), (0o1777, 0o555, 0o700, 0o755));
    assert!(fs::symlink_metadata(root.join("run/pipe")).unwrap().file_type().is_fifo());
    for at in ["", "etc", "etc/greeting", "bin", "usr/share", "run/pipe"] {
        let time = fs::symlink_metadata(root.join(at)).unwrap().mtime();
        assert_eq!(time, SOURCE_DATE_EPOCH.cast_signed(), "{at}");
    }
    assert_eq!(names(folder.path()), ["web.dir"]);
}

#[test]
fn root_keeps_everything_and_others_are_told_what_they_lack() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::of(&Recipe { special: true, devices: is_root(), ..Recipe::default() });
    let warnings = Warnings::default();
    let root = write(&sample.tree, &sample.objects, folder.path(), &warnings).unwrap().path;
    let look = |at: &str| fs::symlink_metadata(root.join(at)).unwrap();
    let warned = warnings.0.into_inner().unwrap();
    if !is_root() {
        assert_eq!(look("usr/bin/su").mode() & 0o7777, 0o755, "a set-user-id bit would now be the user's own");
        assert_eq!(look("var/lib/app").mode() & 0o7777, 0o750);
        assert_eq!(warned.len(), 1);
        let lacks = "lacks what only root can make: 2 owners, 2 set-user-id or set-group-id bits, 1 extended attribute";
        assert!(warned[0].contains(lacks), "{warned:?}");
        return;
    }
    assert!(warned.is_empty(), "{warned:?}");
    assert_eq!(look("usr/bin/su").mode() & 0o7777, 0o4755);
    assert_eq!((look("usr/bin/wall").mode() & 0o7777, look("usr/bin/wall").gid()), (0o2755, 5));
    assert_eq!((look("var/lib/app").uid(), look("var/lib/app").gid()), (33, 34));
    let mut value = [0; 64];
    let length = rustix::fs::lgetxattr(root.join("usr/bin/ping"), "security.capability", &mut value).unwrap();
    assert_eq!(value[..length], CAPABILITY);
    assert!(look("dev/null").file_type().is_char_device());
    assert_eq!(look("dev/null").rdev(), rustix::fs::makedev(1, 3));
    assert_eq!(look("dev/null").mode() & 0o7777, 0o666);
    assert!(look("dev/loop0").file_type().is_block_device());
}

#[test]
fn devices_are_refused_unless_root() {
    let folder = tempfile::tempdir().unwrap();
    let objects = MemoryObjects::default();
    let mut builder = Builder { objects: &objects, tree: Dir::default() };
    builder.plain("a", b"x", 0o644).device("dev/null", Device::Character { major: 1, minor: 3 }, 0o666);
    let done = write(&builder.tree, &objects, folder.path(), &Warnings::default());
    if is_root() {
        assert!(done.is_ok());
    } else {
        let error = done.unwrap_err();
        assert_eq!(error.to_string(), "`/dev/null` is a device, which only root can make in a folder");
        assert!(error.hint().unwrap().contains("`tar`"));
        assert!(names(folder.path()).is_empty());
    }
}

#[test]
fn its_own_folder_is_replaced_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let objects = MemoryObjects::default();
    let tree = |content: &[u8]| {
        let mut builder = Builder { objects: &objects, tree: Dir::default() };
        builder.plain("locked/file", content, 0o400).folder("locked", Meta::root_owned(0o500));
        builder.tree
    };
    let quiet = Warnings::default();
    write(&tree(b"one"), &objects, folder.path(), &quiet).unwrap();
    let place = write(&tree(b"two"), &objects, folder.path(), &quiet).unwrap().path;
    assert_eq!(fs::read(place.join("locked/file")).unwrap(), b"two");
    assert_eq!(names(folder.path()), ["web.dir"]);

    let other = folder.path().join("other");
    fs::create_dir_all(other.join("web.dir")).unwrap();
    fs::write(other.join("web.dir/mine"), "mine").unwrap();
    let error = write(&tree(b"two"), &objects, &other, &quiet).unwrap_err();
    assert!(error.to_string().ends_with("is a folder that Kiln did not write"), "{error}");
    assert_eq!(names(&other.join("web.dir")), ["mine"]);
    fs::remove_file(other.join("web.dir/mine")).unwrap();
    assert!(write(&tree(b"two"), &objects, &other, &quiet).is_ok(), "an empty folder may be filled");
}

#[test]
fn links_in_the_way_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let victim = folder.path().join("victim");
    fs::create_dir(&victim).unwrap();
    std::os::unix::fs::symlink(&victim, folder.path().join("web.dir")).unwrap();
    let sample = Sample::new();
    let error = write(&sample.tree, &sample.objects, folder.path(), &Warnings::default()).unwrap_err();
    assert!(error.to_string().contains("symbolic link"), "{error}");
    assert!(names(&victim).is_empty());

    // A link of the image itself leads nowhere while the folder is written.
    let objects = MemoryObjects::default();
    let mut builder = Builder { objects: &objects, tree: Dir::default() };
    builder.link("a", victim.to_str().unwrap()).link("b", "/etc/passwd").plain("c/a", b"x", 0o644);
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    write(&builder.tree, &objects, &inner, &Warnings::default()).unwrap();
    assert!(names(&victim).is_empty());
}

#[test]
fn a_damaged_object_or_a_tree_too_deep_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::with_data(100_000);
    let error = write(&sample.tree, &MemoryObjects::default(), folder.path(), &Warnings::default()).unwrap_err();
    assert!(matches!(&error, OutputError::Layer(_)), "{error:?}");
    assert!(error.hint().unwrap().contains("fsck"));
    assert!(names(folder.path()).is_empty());

    let mut deep = Arc::new(Dir::default());
    for _ in 0..450 {
        let mut above = Dir::default();
        above.set_entry("d", Entry::Dir(deep)).unwrap();
        deep = Arc::new(above);
    }
    let error = write(&deep, &sample.objects, folder.path(), &Warnings::default()).unwrap_err();
    assert!(matches!(&error, OutputError::TooDeep(_)), "{error:?}");
    assert!(names(folder.path()).is_empty());
}

#[test]
fn thousands_of_directories_need_few_descriptors() {
    let folder = tempfile::tempdir().unwrap();
    let objects = MemoryObjects::default();
    let mut builder = Builder { objects: &objects, tree: Dir::default() };
    for n in 0..3000 {
        builder.file(&format!("d{n}/file"), format!("{n}").as_bytes(), owned(0o644, 0, 0), false);
    }
    let written = write(&builder.tree, &objects, folder.path(), &Warnings::default()).unwrap();
    assert_eq!(fs::read(written.path.join("d2999/file")).unwrap(), b"2999");
    assert_eq!(builder.tree.get(&path("d7/file")).unwrap().kind(), "file");
}
