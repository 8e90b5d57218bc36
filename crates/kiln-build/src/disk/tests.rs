use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use kiln_model::{Dir, Entry, MemoryObjects, ObjectSource as _, SOURCE_DATE_EPOCH};
use proptest::prelude::*;

use super::*;
use crate::output::Forbidden;

fn jobs() -> NonZeroUsize {
    NonZeroUsize::new(3).unwrap()
}

#[test]
fn a_folder_becomes_a_plain_tree_and_the_same_folder_again() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("in");
    fs::create_dir_all(root.join("a/empty")).unwrap();
    fs::write(root.join("a/x"), "x").unwrap();
    fs::set_permissions(root.join("a/x"), fs::Permissions::from_mode(0o4751)).unwrap();
    fs::hard_link(root.join("a/x"), root.join("same")).unwrap();
    fs::write(root.join("secret"), "s").unwrap();
    fs::set_permissions(root.join("secret"), fs::Permissions::from_mode(0o000)).unwrap();
    symlink("/nowhere", root.join("link")).unwrap();
    let objects = MemoryObjects::default();
    let ingested = ingest(&root, &objects, jobs(), Whose::Kiln(&[])).unwrap();
    assert!(ingested.tree.is_plain());
    let special: Vec<_> = ingested.special_modes.iter().map(|path| path.as_str()).collect();
    assert_eq!(special, ["a/x", "same"]);
    let out = folder.path().join("out");
    lay_out(&ingested.tree, &objects, &out, jobs()).unwrap();
    for (path, mode) in [("", 0o755), ("a/empty", 0o755), ("a/x", 0o755), ("same", 0o755), ("secret", 0o644)] {
        let found = fs::symlink_metadata(out.join(path)).unwrap();
        assert_eq!((found.mode() & 0o7777, found.mtime()), (mode, SOURCE_DATE_EPOCH as i64), "{path}");
    }
    assert_eq!(fs::symlink_metadata(out.join("link")).unwrap().mtime(), SOURCE_DATE_EPOCH as i64);
    assert_eq!(fs::metadata(out.join("same")).unwrap().nlink(), 1, "every file is its own");
    assert_eq!(ingest(&out, &objects, jobs(), Whose::Kiln(&[])).unwrap().tree.id(), ingested.tree.id());
    // It is written only where nothing is.
    assert!(matches!(lay_out(&ingested.tree, &objects, &out, jobs()), Err(LayOutError::Io { .. })));
}

#[test]
fn a_tree_whose_content_is_missing_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut tree = Dir::default();
    let file = kiln_model::FileEntry::plain(kiln_model::ObjectId::of(b"gone"), 4, false);
    tree.insert(&"x".parse().unwrap(), Entry::File(file)).unwrap();
    let made = lay_out(&tree, &MemoryObjects::default(), &folder.path().join("out"), jobs());
    assert!(made.unwrap_err().hint().unwrap().contains("fsck"));
}

#[test]
fn only_named_files_are_read_and_never_through_a_link() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("real")).unwrap();
    fs::write(folder.path().join("real/x"), "x").unwrap();
    fs::write(folder.path().join("real/y"), "y").unwrap();
    symlink("real", folder.path().join("link")).unwrap();
    let objects = MemoryObjects::default();
    let read = |name: &str| ingest_files(folder.path(), &[name.as_bytes().to_vec()], &objects, jobs());
    assert_eq!(read("real/x").unwrap().tree.walk().count(), 2);
    assert!(matches!(read("link/x"), Err(IngestError::Io { .. })));
    assert!(matches!(read("real"), Err(IngestError::Io { .. })));
    assert!(matches!(read("../x"), Err(IngestError::Faults(_))));
    assert!(matches!(read("/etc/passwd"), Err(IngestError::Faults(_))));
}

#[test]
fn nothing_of_the_users_is_changed_and_what_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("in");
    fs::create_dir_all(root.join("closed/below")).unwrap();
    for (name, mode) in [("open", 0o600), ("shut", 0o000), ("closed/x", 0o600)] {
        fs::write(root.join(name), name).unwrap();
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::set_permissions(root.join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    let objects = MemoryObjects::default();
    let whole = ingest(&root, &objects, jobs(), Whose::User);
    let named = ingest_files(&root, &[b"open".to_vec(), b"shut".to_vec()], &objects, jobs());
    for name in ["shut", "closed"] {
        assert_eq!(fs::symlink_metadata(root.join(name)).unwrap().mode() & 0o777, 0, "{name}");
    }
    // Root may read everything, and then it is read.
    if fs::File::open(root.join("shut")).is_ok() {
        assert_eq!((whole.unwrap().tree.walk().count(), named.unwrap().tree.walk().count()), (5, 2));
        return;
    }
    let faults = |result: Result<Ingested, IngestError>| {
        let error = result.unwrap_err();
        assert!(error.hint().unwrap().contains("chmod u+r"), "{error}");
        let IngestError::Faults(faults) = error else { panic!("{error}") };
        faults.into_iter().map(|fault| (fault.path, fault.kind)).collect::<Vec<_>>()
    };
    let fault = |name: &str| (name.to_owned(), FaultKind::Unreadable);
    assert_eq!(faults(whole), [fault("closed"), fault("shut")]);
    assert_eq!(faults(named), [fault("shut")]);
    fs::set_permissions(root.join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_forbidden_name_is_found_across_the_seams_of_a_large_file() {
    const PIECE: usize = 4 << 20;
    let folder = tempfile::tempdir().unwrap();
    let objects = MemoryObjects::default();
    let forbidden = [Forbidden::inside("/build"), Forbidden::folder_here(std::path::Path::new("/root/site")).unwrap()];
    for at in [0, 1, PIECE - 8, PIECE - 7, PIECE - 3, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE - 2] {
        let mut bytes = vec![b' '; 2 * PIECE + 100];
        bytes[at..at + 8].copy_from_slice(b"/build/x");
        fs::write(folder.path().join("x"), &bytes).unwrap();
        let Err(IngestError::Faults(faults)) = ingest(folder.path(), &objects, jobs(), Whose::Kiln(&forbidden)) else {
            panic!("not found at {at}")
        };
        assert_eq!(faults[0].kind, FaultKind::Content { what: "/build".to_owned(), offset: at as u64 });
        // The same as the rest of a longer path is none, wherever the seam is.
        bytes[at..at + 8].fill(b'r');
        let at = at.max(4);
        bytes[at - 4..at + 8].copy_from_slice(b"/src/build/x");
        fs::write(folder.path().join("x"), &bytes).unwrap();
        let tree = ingest(folder.path(), &objects, jobs(), Whose::Kiln(&forbidden)).unwrap().tree;
        let Some(Entry::File(file)) = tree.get(&"x".parse().unwrap()) else { panic!("no file") };
        assert_eq!(objects.read(&file.object).unwrap(), bytes);
    }
    for (at, length) in
        [PIECE - 11, PIECE - 10, PIECE - 9, 2 * PIECE - 10].map(|at| (at, 2 * PIECE + 100)).into_iter().chain([
            // The end of the file is the end of the name.
            (2 * PIECE - 10, 2 * PIECE),
        ])
    {
        let mut bytes = vec![b' '; length];
        bytes[at..at + 10].copy_from_slice(b"/root/site");
        fs::write(folder.path().join("x"), &bytes).unwrap();
        let Err(IngestError::Faults(faults)) = ingest(folder.path(), &objects, jobs(), Whose::Kiln(&forbidden)) else {
            panic!("not found at {at} of {length}")
        };
        assert_eq!(faults[0].kind, FaultKind::Machine { what: "/root/site".to_owned(), offset: at as u64 });
        if at + 10 < length {
            bytes[at + 10] = b's';
            fs::write(folder.path().join("x"), &bytes).unwrap();
            ingest(folder.path(), &objects, jobs(), Whose::Kiln(&forbidden)).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_survives_the_disk(
        files in proptest::collection::btree_map("[a-c]{1,2}(/[a-c]{1,2}){0,3}", ("[a-z]{0,5}", any::<bool>()), 0..12)
    ) {
        let objects = MemoryObjects::default();
        let mut tree = Dir::default();
        for (path, (text, executable)) in &files {
            let object = kiln_model::ObjectSink::put(&objects, text.as_bytes()).unwrap();
            let entry = Entry::File(kiln_model::FileEntry::plain(object, text.len() as u64, *executable));
            // A file may stand where another path wants a directory.
            let _ = tree.insert(&path.parse().unwrap(), entry);
        }
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        lay_out(&tree, &objects, &out, jobs()).unwrap();
        prop_assert_eq!(ingest(&out, &objects, jobs(), Whose::Kiln(&[])).unwrap().tree, tree);
    }
}
