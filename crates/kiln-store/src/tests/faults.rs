//! Every call that changes the file system is made to fail in turn, once as on a full disk and once as if the process
//! had died there. Whatever the step, the store is sound afterwards.

use std::sync::atomic::Ordering::SeqCst;

use kiln_model::ObjectSource as _;

use super::*;

/// Three actions: one committed, two in one flush. Gives the names of those that were reported done.
fn scenario(store: &Store) -> Vec<&'static str> {
    let mut done = Vec::new();
    let Ok(session) = store.session() else { return done };
    if perform(&session, "one").is_ok() {
        done.push("one");
    }
    let later: Vec<_> = ["two", "three"]
        .into_iter()
        .filter(|name| stage(&session, name).and_then(|result| session.commit_later(key(name), &result)).is_ok())
        .collect();
    if session.flush().is_ok() {
        done.extend(later);
    }
    done
}

fn calls_of_a_good_run() -> u64 {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let before = store.files().faults.calls.load(SeqCst);
    assert_eq!(scenario(&store), ["one", "two", "three"]);
    store.files().faults.calls.load(SeqCst) - before
}

fn fails_at_every_step(for_ever: bool) {
    let steps = calls_of_a_good_run();
    assert!(steps > 20, "{steps}");
    for step in 1..=steps {
        let root = tempfile::tempdir().unwrap();
        let store = open(root.path());
        let faults = &store.files().faults;
        faults.for_ever.store(for_ever, SeqCst);
        faults.fail_at.store(faults.calls.load(SeqCst) + step, SeqCst);
        let done = scenario(&store);
        drop(store);

        let store = open(root.path());
        assert_eq!(store.files().names(crate::layout::STAGING).unwrap(), ["lock"], "step {step}");
        for name in ["one", "two", "three"] {
            let Some(result) = store.action(&key(name)).unwrap() else {
                assert!(!done.contains(&name), "step {step}: `{name}` was reported done and is not");
                continue;
            };
            assert_eq!(store.read(&result.objects["log"].0).unwrap(), format!("content of {name}").as_bytes());
            assert_eq!(store.tree(result.trees["files"]).unwrap().id(), result.trees["files"]);
        }
        assert_eq!(scenario(&store), ["one", "two", "three"], "step {step}: and all can be done afterwards");
    }
}

#[test]
fn a_disk_full_at_any_one_step_leaves_the_store_sound() {
    fails_at_every_step(false);
}

#[test]
fn a_death_at_any_step_leaves_the_store_sound() {
    fails_at_every_step(true);
}

#[test]
fn opening_that_fails_at_any_step_can_be_done_again() {
    let hidden = tempfile::tempdir().unwrap();
    for step in 0..12 {
        let root = hidden.path().join(step.to_string());
        // What a death at this step leaves: the folders so far, no version.
        std::fs::create_dir_all(&root).unwrap();
        for folder in crate::layout::FOLDERS.iter().take(step) {
            std::fs::create_dir(root.join(folder)).unwrap();
        }
        if step >= 8 {
            std::fs::write(root.join("staging/version-123"), "kiln-st").unwrap();
        }
        perform(&open(&root).session().unwrap(), "a").unwrap();
    }
}
