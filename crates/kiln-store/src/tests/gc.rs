use kiln_model::{ObjectId, ObjectSource as _};

use super::*;
use crate::{GcError, GcOptions, Reference, RootError};

fn everything() -> GcOptions {
    GcOptions::default()
}

fn count(store: &Store) -> (u64, u64, u64) {
    let usage = store.usage().unwrap();
    (usage.actions.count, usage.trees.count, usage.objects.count)
}

#[test]
fn takes_all_that_no_root_keeps_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let results: Vec<ActionResult> =
        ["a", "b", "c"].map(|name| perform(&store.session().unwrap(), name).unwrap()).into();
    store.set_root("project a:web", &[Reference::Action(key("a"))]).unwrap();
    store.set_root("tree", &[Reference::Tree(results[1].trees["files"])]).unwrap();
    let report = store.gc(&GcOptions { dry_run: true, ..everything() }).unwrap();
    assert_eq!((report.actions, report.trees, report.objects), (2, 1, 1));
    assert_eq!(count(&store), (3, 3, 3), "a dry run removes nothing");
    assert_eq!(store.gc(&everything()).unwrap(), report, "and tells what a real one does");
    assert_eq!(count(&store), (1, 2, 2));
    assert_eq!(store.action(&key("a")).unwrap().as_ref(), Some(&results[0]));
    for result in &results[..2] {
        store.tree(result.trees["files"]).unwrap();
        store.read(&result.objects["log"].0).unwrap();
    }
    assert_eq!(store.roots().unwrap().len(), 2);
    store.remove_root("project a:web").unwrap();
    store.remove_root("tree").unwrap();
    store.gc(&everything()).unwrap();
    assert_eq!(count(&store), (0, 0, 0));
    assert_eq!(store.usage().unwrap().staging.count, 1, "but the lock");
}

#[test]
fn keeps_what_was_used_lately_up_to_a_size() {
    let root = tempfile::tempdir().unwrap();
    for (name, used) in [("old", 1_000), ("new", 500_000), ("newest", 900_000)] {
        perform(&open(root.path()).session().unwrap(), name).unwrap();
        // Written now by the system's clock, which is before all of these.
        open_at(root.path(), used).action(&key(name)).unwrap().unwrap();
    }
    let store = open_at(root.path(), 1_000_000);
    let all = store.gc(&GcOptions { keep_since: Some(time(0)), dry_run: true, ..everything() }).unwrap();
    assert_eq!((all.actions, all.kept_actions), (0, 3));
    let since = GcOptions { keep_since: Some(time(400_000)), ..everything() };
    let half = GcOptions { max_bytes: Some(all.kept / 2), dry_run: true, ..since };
    assert_eq!(store.gc(&half).unwrap().kept_actions, 1);
    store.gc(&since).unwrap();
    assert_eq!(store.action(&key("old")).unwrap(), None);
    store.gc(&GcOptions { max_bytes: Some(all.kept / 2), ..since }).unwrap();
    assert_eq!(store.action(&key("new")).unwrap(), None);
    assert!(store.action(&key("newest")).unwrap().is_some(), "the one used last is kept longest");
}

#[test]
fn never_runs_beside_a_session() {
    let root = tempfile::tempdir().unwrap();
    let (store, other) = (open(root.path()), open(root.path()));
    let session = store.session().unwrap();
    let error = other.gc(&everything()).unwrap_err();
    assert!(matches!(&error, GcError::InUse { by } if *by == format!("process {}", std::process::id())), "{error}");
    assert!(matches!(store.gc(&everything()), Err(GcError::OwnSession)));
    let waiter = std::thread::spawn(move || other.gc(&GcOptions { wait: true, ..everything() }).unwrap());
    perform(&session, "a").unwrap();
    assert!(store.action(&key("a")).unwrap().is_some());
    drop(session);
    assert_eq!(waiter.join().unwrap().actions, 1);
}

#[test]
fn a_checkout_in_use_keeps_its_tree_even_without_a_session() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let tree = put_tree(&store.session().unwrap(), &[]);
    assert!(store.tree(tree).is_err(), "it was not flushed");
    let session = store.session().unwrap();
    let tree = put_tree(&session, &[("bin/a", "a"), ("share/b", "b")]);
    let checkout = session.checkout(tree).unwrap();
    drop(session);
    let report = store.gc(&everything()).unwrap();
    assert_eq!((report.checkouts, report.trees, report.kept_objects), (0, 0, 2));
    assert_eq!(std::fs::read(checkout.path().join("bin/a")).unwrap(), b"a");
    let path = checkout.path().to_owned();
    drop(checkout);
    let report = store.gc(&everything()).unwrap();
    assert_eq!((report.checkouts, report.trees, report.objects), (1, 1, 2));
    assert!(!path.exists());
    assert!(!store.files().path(&crate::layout::executable(&ObjectId::of(b"a"))).exists());
}

#[test]
fn removes_nothing_when_what_to_keep_is_not_known() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let result = perform(&store.session().unwrap(), "a").unwrap();
    perform(&store.session().unwrap(), "b").unwrap();
    store.set_root("web", &[Reference::Action(key("a"))]).unwrap();
    let root_file = store.files().path("roots/web");
    let good = std::fs::read(&root_file).unwrap();
    std::fs::write(&root_file, &good[..good.len() - 9]).unwrap();
    let error = store.gc(&everything()).unwrap_err();
    assert!(matches!(error, GcError::Root(RootError::Damaged(_))), "{error}");
    std::fs::write(&root_file, good).unwrap();

    let tree = crate::layout::tree(&result.trees["files"]);
    let bytes = std::fs::read(store.files().path(&tree)).unwrap();
    store.files().remove_all(&tree).unwrap();
    assert!(matches!(store.gc(&everything()), Err(GcError::Tree(_))));
    std::fs::write(store.files().path(&tree), &bytes[1..]).unwrap();
    let error = store.gc(&everything()).unwrap_err();
    assert!(error.hint().unwrap().contains("fsck"));
    assert_eq!(count(&store), (2, 2, 2));
}

#[test]
fn refuses_roots_that_keep_nothing() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let error = store.set_root("web", &[Reference::Action(key("a"))]).unwrap_err();
    assert!(matches!(error, RootError::Missing { .. }), "{error}");
    assert!(matches!(store.set_root("", &[]), Err(RootError::Name(_))));
    assert!(matches!(store.set_root(&"x".repeat(300), &[]), Err(RootError::Name(_))));
    store.set_root("../../etc/passwd", &[]).unwrap();
    assert_eq!(store.roots().unwrap().keys().collect::<Vec<_>>(), ["../../etc/passwd"]);
    assert_eq!(store.files().names("roots").unwrap(), ["%2e%2e%2f%2e%2e%2fetc%2fpasswd"]);
}

#[test]
fn a_death_at_any_step_of_gc_leaves_nothing_dangling() {
    use std::sync::atomic::Ordering::SeqCst;
    for step in 1.. {
        let root = tempfile::tempdir().unwrap();
        let store = open(root.path());
        let session = store.session().unwrap();
        for name in ["a", "b", "c"] {
            let result = perform(&session, name).unwrap();
            session.checkout(result.trees["files"]).unwrap();
        }
        drop(session);
        store.set_root("web", &[Reference::Action(key("b"))]).unwrap();
        let faults = &store.files().faults;
        faults.for_ever.store(true, SeqCst);
        let before = faults.calls.load(SeqCst);
        faults.fail_at.store(before + step, SeqCst);
        let ended = store.gc(&everything()).is_ok();
        faults.fail_at.store(0, SeqCst);
        drop(store);
        let store = open(root.path());
        for name in ["a", "b", "c"] {
            match store.action(&key(name)).unwrap() {
                Some(result) => {
                    store.tree(result.trees["files"]).unwrap();
                    store.read(&result.objects["log"].0).unwrap();
                    store.checkout(result.trees["files"]).unwrap();
                }
                None => assert_ne!(name, "b"),
            }
        }
        if ended {
            assert!(step > 10);
            assert_eq!(count(&store), (1, 1, 1));
            return;
        }
    }
}
