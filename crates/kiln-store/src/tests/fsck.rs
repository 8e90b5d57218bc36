use std::io::Read;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use kiln_model::{ObjectId, ObjectSource as _};

use super::*;
use crate::{Fate, Fault, FsckOptions, FsckReport, Reference, Refetch, Repair, layout};

/// Two actions with roots and checkouts; gives the first one's result.
fn furnish(store: &Store) -> ActionResult {
    let session = store.session().unwrap();
    let result = perform(&session, "a").unwrap();
    let other = perform(&session, "b").unwrap();
    session.checkout(result.trees["files"]).unwrap();
    session.checkout(other.trees["files"]).unwrap();
    store.set_root("web", &[Reference::Action(key("a")), Reference::Tree(other.trees["files"])]).unwrap();
    std::io::Write::write_all(&mut store.log_writer(&key("a")).unwrap(), b"log").unwrap();
    result
}

fn check(store: &Store) -> FsckReport {
    store.fsck(&FsckOptions::default()).unwrap()
}

fn mend(store: &Store, repair: Repair<'_>) -> FsckReport {
    store.fsck(&FsckOptions { repair, wait: true }).unwrap()
}

fn overwrite(path: &Path, bytes: &[u8]) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// Gives the content that [`perform`] writes.
struct Again;

impl Refetch for Again {
    fn object(&self, id: &ObjectId) -> Option<Box<dyn Read + '_>> {
        let all = ["content of a", "content of b"];
        let bytes = all.into_iter().find(|bytes| ObjectId::of(bytes.as_bytes()) == *id)?;
        Some(Box::new(bytes.as_bytes()))
    }
}

/// Gives other bytes than were asked for.
struct Liar;

impl Refetch for Liar {
    fn object(&self, _: &ObjectId) -> Option<Box<dyn Read + '_>> {
        Some(Box::new(&b"content of c"[..]))
    }
}

#[test]
fn a_sound_store_is_found_sound_and_all_of_it_looked_at() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    furnish(&store);
    let report = check(&store);
    assert_eq!(report.problems, []);
    assert_eq!((report.objects, report.trees, report.actions, report.checkouts), (2, 2, 2, 2));
    assert_eq!(report.bytes, 4 * 12, "plain and executable inodes");
}

/// Finds the file to damage.
type Place = fn(&Store, &ActionResult) -> PathBuf;
type Damage = (&'static str, Place, fn(&Path));

fn object_path(store: &Store, _: &ActionResult) -> PathBuf {
    store.files().path(&layout::object(&ObjectId::of(b"content of a")))
}

fn executable_path(store: &Store, _: &ActionResult) -> PathBuf {
    store.files().path(&layout::executable(&ObjectId::of(b"content of a")))
}

fn tree_path(store: &Store, result: &ActionResult) -> PathBuf {
    store.files().path(&layout::tree(&result.trees["files"]))
}

fn record_path(store: &Store, _: &ActionResult) -> PathBuf {
    store.files().path(&layout::action(&key("a")))
}

fn root_path(store: &Store, _: &ActionResult) -> PathBuf {
    store.files().path("roots/web")
}

fn checkout_path(store: &Store, result: &ActionResult) -> PathBuf {
    store.files().path(&layout::checkout(&result.trees["files"])).join("root/etc/file")
}

fn rot(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    overwrite(path, &bytes);
}

fn truncate(path: &Path) {
    overwrite(path, b"");
}

fn remove(path: &Path) {
    std::fs::remove_file(path).unwrap();
}

fn replace_with_link(path: &Path) {
    std::fs::remove_file(path).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", path).unwrap();
}

fn replace_with_folder(path: &Path) {
    std::fs::remove_file(path).unwrap();
    std::fs::create_dir_all(path.join("below")).unwrap();
}

fn open_to_all(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).unwrap();
}

const PLACES: [(&str, Place); 6] = [
    ("object", object_path),
    ("executable", executable_path),
    ("tree", tree_path),
    ("record", record_path),
    ("root", root_path),
    ("checkout", checkout_path),
];

fn damages() -> Vec<Damage> {
    let ways: [fn(&Path); 6] = [rot, truncate, remove, replace_with_link, replace_with_folder, open_to_all];
    PLACES.iter().flat_map(|(name, place)| ways.into_iter().map(move |way| (*name, *place, way))).collect()
}

#[test]
fn finds_every_damage_mends_it_and_then_all_is_sound_and_can_be_made_again() {
    for (index, (name, place, way)) in damages().into_iter().enumerate() {
        let root = tempfile::tempdir().unwrap();
        let store = open(root.path());
        let result = furnish(&store);
        way(&place(&store, &result));
        // A root that somebody may write to, a root or an executable inode that is not there: no damage.
        let harmless = matches!((name, index % 6), ("root", 5 | 2) | ("executable", 2));
        let found = check(&store);
        assert_eq!(found.is_sound(), harmless, "{name} {index}: {found:?}");
        assert!(found.problems.iter().all(|problem| problem.fate == Fate::Left));

        let store = open(root.path());
        let mended = mend(&store, Repair::Remove);
        assert!(mended.is_mended(), "{name} {index}: {mended:?}");
        assert_eq!(check(&store).problems, [], "{name} {index}: after {mended:?}");

        let session = store.session().unwrap();
        assert_eq!(perform(&session, "a").unwrap(), result, "{name} {index}");
        drop(session);
        store.checkout(result.trees["files"]).unwrap();
        assert_eq!(check(&store).problems, [], "{name} {index}");
        assert!(store.action(&key("b")).unwrap().is_some(), "what is whole stays");
    }
}

#[test]
fn bytes_that_can_be_had_again_are() {
    for (way, fault) in [
        (rot as fn(&Path), Fault::Object(ObjectId::of(b"content of a"))),
        (remove, Fault::MissingObject(ObjectId::of(b"content of a"))),
        (replace_with_folder, Fault::Object(ObjectId::of(b"content of a"))),
    ] {
        let root = tempfile::tempdir().unwrap();
        let store = open(root.path());
        let result = perform(&store.session().unwrap(), "a").unwrap();
        way(&object_path(&store, &result));
        let report = mend(&store, Repair::Refetch(&Again));
        assert_eq!(report.problems.len(), 1, "{report:?}");
        assert_eq!((&report.problems[0].fault, report.problems[0].fate), (&fault, Fate::Mended));
        assert_eq!(store.action(&key("a")).unwrap(), Some(result));
        assert_eq!(store.read(&ObjectId::of(b"content of a")).unwrap(), b"content of a");
        assert!(check(&store).is_sound());
    }
}

#[test]
fn a_plain_inode_is_had_again_from_its_executable_twin() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let result = furnish(&store);
    rot(&object_path(&store, &result));
    let report = mend(&store, Repair::Remove);
    let object = report.problems.iter().find(|problem| problem.fault == Fault::Object(ObjectId::of(b"content of a")));
    assert_eq!(object.unwrap().fate, Fate::Mended);
    assert_eq!(store.action(&key("a")).unwrap(), Some(result), "nothing that needs it went");
    assert!(check(&store).is_sound());
}

#[test]
fn bytes_that_are_not_the_object_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let result = perform(&store.session().unwrap(), "a").unwrap();
    rot(&object_path(&store, &result));
    let report = mend(&store, Repair::Refetch(&Liar));
    assert_eq!(report.problems.len(), 3, "the object, its tree and its result: {report:?}");
    assert!(report.problems.iter().all(|problem| problem.fate == Fate::Removed));
    assert_eq!(store.action(&key("a")).unwrap(), None);
    assert!(check(&store).is_sound());
}

#[test]
fn tells_what_the_store_did_not_write_and_leaves_folders_to_their_owner() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    furnish(&store);
    let ours = store.files().path("objects/00");
    std::fs::create_dir_all(ours).unwrap();
    for stray in
        ["objects/00/x.tmp", "objects/letter", "trees/note", "actions/.swp", "logs/zz", "letter", "checkouts/x"]
    {
        std::fs::write(store.files().path(stray), "stray").unwrap();
    }
    std::fs::create_dir(store.files().path("photos")).unwrap();
    std::fs::create_dir(store.files().path("staging/1-0")).unwrap();
    let report = mend(&store, Repair::Remove);
    assert_eq!(report.problems.len(), 9, "{report:?}");
    let left: Vec<_> = report.problems.iter().filter(|problem| problem.fate == Fate::Left).collect();
    assert_eq!(left.len(), 1);
    assert!(left[0].to_string().contains("photos`: the store did not write this"), "{}", left[0]);
    assert!(!report.is_mended());
    assert_eq!(check(&store).problems.len(), 1);
}

#[test]
fn a_checkout_in_use_is_told_and_left() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let result = furnish(&store);
    let checkout = store.checkout(result.trees["files"]).unwrap();
    std::fs::write(checkout.path().join("etc/new"), "x").unwrap();
    let report = mend(&store, Repair::Remove);
    assert_eq!(report.problems.len(), 1);
    assert_eq!(report.problems[0].fate, Fate::InUse);
    drop(checkout);
    assert!(mend(&store, Repair::Remove).is_mended());
    assert!(check(&store).is_sound());
}

#[test]
fn mending_waits_for_no_one_unless_told_to_and_says_who() {
    let root = tempfile::tempdir().unwrap();
    let (store, other) = (open(root.path()), open(root.path()));
    let result = furnish(&store);
    rot(&tree_path(&store, &result));
    let session = other.session().unwrap();
    let error = store.fsck(&FsckOptions { repair: Repair::Remove, wait: false }).unwrap_err();
    assert!(error.hint().is_some(), "{error}");
    assert_eq!(check(&store).problems.len(), 4, "but looking goes on: the tree, its result, root and checkout");
    drop(session);
    assert!(mend(&store, Repair::Remove).is_mended());
}
