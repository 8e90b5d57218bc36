use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::sync::Arc;

use kiln_model::{Dir, Entry, Event, FileEntry, ObjectError, ObjectId, ObjectSink as _, ObjectSource as _, Reporter};

use super::*;
use crate::{OpenError, WriteError};

#[test]
fn a_staged_object_is_seen_by_its_session_alone_until_it_is_flushed() {
    let root = tempfile::tempdir().unwrap();
    let (one, two) = (open(root.path()), open(root.path()));
    let (session, other) = (one.session().unwrap(), two.session().unwrap());
    let id = session.put(b"hello").unwrap();
    assert_eq!(session.read(&id).unwrap(), b"hello");
    assert!(matches!(other.read(&id), Err(ObjectError::Missing(_))));
    session.flush().unwrap();
    assert_eq!(other.read(&id).unwrap(), b"hello");
    assert_eq!(session.read(&id).unwrap(), b"hello");
    let mode = std::fs::metadata(one.files().path(&crate::layout::object(&id))).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o444);
}

#[test]
fn objects_of_any_length_and_any_pieces_have_the_same_name_as_at_once() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let session = store.session().unwrap();
    for length in [0usize, 1, 1000, 262_143, 262_144, 262_145, 1_000_003] {
        let bytes: Vec<u8> = (0..length).map(|i| (i * 7 + length) as u8).collect();
        for piece in [1usize << 30, 100_000, 4099] {
            let mut writer = session.writer().unwrap();
            for chunk in bytes.chunks(piece) {
                writer.write_all(chunk).unwrap();
            }
            assert_eq!(writer.finish().unwrap(), (ObjectId::of(&bytes), length as u64));
        }
        let mut read = Vec::new();
        session.open(&ObjectId::of(&bytes)).unwrap().read_to_end(&mut read).unwrap();
        assert!(read == bytes, "{length}");
    }
    session.flush().unwrap();
    let staged = store.files().names(crate::layout::STAGING).unwrap();
    let session_folder = format!("staging/{}", staged.iter().find(|n| *n != "lock").unwrap());
    for folder in store.files().names(&session_folder).unwrap().iter().filter(|name| *name != "lock") {
        let left = store.files().names(&format!("{session_folder}/{folder}")).unwrap();
        assert!(left.is_empty(), "an object written again leaves nothing behind, and here is {left:?}");
    }
}

#[test]
fn an_unfinished_object_never_existed() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let session = store.session().unwrap();
    let bytes = vec![7u8; 1 << 20];
    let mut writer = session.writer().unwrap();
    writer.write_all(&bytes).unwrap();
    drop(writer);
    session.flush().unwrap();
    assert!(!session.has_object(&ObjectId::of(&bytes)));
    drop(session);
    assert_eq!(store.files().names(crate::layout::STAGING).unwrap(), ["lock"]);
}

#[test]
fn a_result_is_there_for_others_only_when_it_is_flushed() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let session = store.session().unwrap();
    let result = stage(&session, "a").unwrap();
    session.commit_later(key("a"), &result).unwrap();
    assert_eq!(session.action(&key("a")).unwrap().as_ref(), Some(&result));
    assert_eq!(store.action(&key("a")).unwrap(), None);
    session.flush().unwrap();
    drop(session);
    let again = open(root.path());
    assert_eq!(again.action(&key("a")).unwrap().as_ref(), Some(&result));
    assert_eq!(again.action(&key("b")).unwrap(), None);
    let tree = again.tree(result.trees["files"]).unwrap();
    assert_eq!(tree.id(), result.trees["files"]);
    again.forget_action(&key("a")).unwrap();
    assert_eq!(again.action(&key("a")).unwrap(), None);
}

#[test]
fn what_was_not_flushed_goes_with_its_session() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let session = store.session().unwrap();
    let result = stage(&session, "a").unwrap();
    session.commit_later(key("a"), &result).unwrap();
    drop(session);
    assert_eq!(store.action(&key("a")).unwrap(), None);
    assert!(store.tree(result.trees["files"]).is_err());
    assert_eq!(store.files().names(crate::layout::STAGING).unwrap(), ["lock"]);
}

#[test]
fn refuses_a_result_or_tree_that_dangles() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let session = store.session().unwrap();
    let mut dir = Dir::default();
    let absent = FileEntry::plain(ObjectId::of(b"absent"), 6, false);
    dir.insert(&path("a/b"), Entry::File(absent.clone())).unwrap();
    let error = session.put_tree(&dir).unwrap_err();
    assert!(matches!(error, WriteError::MissingObject { .. }), "{error}");
    assert!(error.to_string().contains("file `b`"), "{error}");

    session.put(b"absent").unwrap();
    let mut wrong = absent;
    wrong.size = 7;
    let mut other = Dir::default();
    other.insert(&path("b"), Entry::File(wrong)).unwrap();
    assert!(matches!(session.put_tree(&other), Err(WriteError::WrongSize { expected: 7, found: 6, .. })));
    let result = ActionResult { trees: [("files".to_owned(), other.id())].into(), ..ActionResult::default() };
    assert!(matches!(session.commit(key("x"), &result), Err(WriteError::MissingTree { .. })));
    session.put_tree(&dir).unwrap();
}

#[test]
fn bytes_that_rotted_are_never_given_as_the_object() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let session = store.session().unwrap();
    for size in [10usize, 1_000_000] {
        let bytes = vec![1u8; size];
        let id = session.put(&bytes).unwrap();
        session.flush().unwrap();
        let file = store.files().path(&crate::layout::object(&id));
        let mut rotten = bytes.clone();
        rotten[size - 1] = 2;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        std::fs::write(&file, rotten).unwrap();
        assert!(matches!(store.read(&id), Err(ObjectError::Damaged(_))));
        let read = store
            .open(&id)
            .map_err(|e| e.to_string())
            .and_then(|mut reader| reader.read_to_end(&mut Vec::new()).map_err(|e| e.to_string()));
        assert!(read.unwrap_err().contains("is damaged"));
        std::fs::write(&file, &bytes[1..]).unwrap();
        assert!(matches!(store.object_file(&id, size as u64), Err(ObjectError::Damaged(_))));
        // Writing it again mends one whose length is wrong.
        let fresh = store.session().unwrap();
        fresh.put(&bytes).unwrap();
        fresh.flush().unwrap();
        assert!(store.read(&id).unwrap() == bytes);
    }
}

#[test]
fn a_damaged_record_is_as_good_as_none_and_can_be_made_again() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let session = store.session().unwrap();
    let result = perform(&session, "a").unwrap();
    let file = store.files().path(&crate::layout::action(&key("a")));
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, b"sha256:nonsense\n{}").unwrap();
    assert_eq!(store.action(&key("a")).unwrap(), None);
    session.commit(key("a"), &result).unwrap();
    assert_eq!(store.action(&key("a")).unwrap(), Some(result));
}

#[test]
fn imports_a_file_by_moving_it_and_refuses_the_wrong_one() {
    let root = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir_in(root.path().parent().unwrap()).unwrap();
    let store = open(root.path());
    let session = store.session().unwrap();
    let file = elsewhere.path().join("download");
    std::fs::write(&file, b"archive").unwrap();
    let inode = std::fs::metadata(&file).unwrap().ino();
    let error = session.import_file(&file, Some(ObjectId::of(b"other"))).unwrap_err();
    assert!(matches!(error, WriteError::Mismatch { .. }));
    assert!(file.exists(), "a file that is refused stays");
    let (id, size) = session.import_file(&file, Some(ObjectId::of(b"archive"))).unwrap();
    assert!(!file.exists());
    session.flush().unwrap();
    let object = store.object_file(&id, size).unwrap().metadata().unwrap();
    assert_eq!((object.ino(), object.permissions().mode() & 0o7777), (inode, 0o444));

    // A file with a second name is copied, since who has the other name could change it.
    std::fs::write(&file, b"shared").unwrap();
    std::fs::hard_link(&file, elsewhere.path().join("second")).unwrap();
    let (id, _) = session.import_file(&file, None).unwrap();
    std::fs::write(elsewhere.path().join("second"), b"broken").unwrap();
    assert_eq!(session.read(&id).unwrap(), b"shared");
}

#[test]
fn refuses_a_folder_that_is_no_store_and_a_store_of_another_version() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("letter"), "dear").unwrap();
    let error = Store::open(root.path(), OpenOptions::new(time(0))).unwrap_err();
    assert!(matches!(&error, OpenError::NotAStore { found, .. } if found == "letter"), "{error}");
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1, "it was not touched");

    let root = tempfile::tempdir().unwrap();
    open(root.path());
    std::fs::write(root.path().join("version"), "kiln-store 9\n").unwrap();
    let error = Store::open(root.path(), OpenOptions::new(time(0))).unwrap_err();
    assert!(error.to_string().contains("`kiln-store 9`"), "{error}");
    assert!(error.hint().is_some());

    let missing = root.path().join("missing");
    let error = Store::open(&missing, OpenOptions::new(time(0)).read_only()).unwrap_err();
    assert!(matches!(error, OpenError::Missing(_)));
    assert!(!missing.exists());
}

#[test]
fn a_store_opened_to_read_gives_and_takes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let result = perform(&open(root.path()).session().unwrap(), "a").unwrap();
    let store = Store::open(root.path(), OpenOptions::new(time(0)).read_only()).unwrap();
    let session = store.session().unwrap();
    assert_eq!(session.action(&key("a")).unwrap(), Some(result));
    let error = session.put(b"new").unwrap_err();
    assert!(error.to_string().contains("cannot write to"), "{error}");
    assert!(store.lock_action(&key("a")).is_err());
    assert!(store.forget_action(&key("a")).is_err());
    assert_eq!(store.files().names(crate::layout::STAGING).unwrap(), ["lock"]);
}

#[derive(Default)]
struct Heard(std::sync::Mutex<Vec<String>>);

impl Reporter for Heard {
    fn report(&self, event: Event) {
        if let Event::Warning { message, .. } = event {
            self.0.lock().unwrap().push(message);
        }
    }
}

#[test]
fn one_performs_an_action_while_the_other_waits_and_is_told_for_whom() {
    let root = tempfile::tempdir().unwrap();
    let heard = Arc::new(Heard::default());
    let reporter: Arc<dyn Reporter> = Arc::clone(&heard) as _;
    let options = OpenOptions::new(time(0)).durability(Durability::Process).reporter(reporter);
    let store = Store::open(root.path(), options).unwrap();
    let lock = store.lock_action(&key("a")).unwrap();
    assert!(store.try_lock_action(&key("a")).unwrap().is_none());
    assert!(store.try_lock_action(&key("b")).unwrap().is_some());
    let builds = std::thread::scope(|scope| {
        let waiters: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let other = store.clone();
                    let _lock = other.lock_action(&key("a")).unwrap();
                    let session = other.session().unwrap();
                    if other.action(&key("a")).unwrap().is_some() {
                        return 0;
                    }
                    perform(&session, "a").unwrap();
                    1
                })
            })
            .collect();
        while heard.0.lock().unwrap().len() < 4 {
            std::thread::yield_now();
        }
        drop(lock);
        waiters.into_iter().map(|waiter| waiter.join().unwrap()).sum::<u32>()
    });
    assert_eq!(builds, 1);
    let pid = std::process::id().to_string();
    assert!(heard.0.lock().unwrap()[0].contains(&pid), "{:?}", heard.0.lock().unwrap());
    assert!(store.files().names(crate::layout::LOCKS).unwrap().is_empty(), "locks leave no files");
}

#[test]
fn threads_that_write_and_commit_at_once_lose_nothing() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let session = store.session().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let session = &session;
            scope.spawn(move || {
                for i in 0..25 {
                    // Half of the names are shared by two threads.
                    perform(session, &format!("{} {i}", thread / 2)).unwrap();
                    perform(session, &format!("own {thread} {i}")).unwrap();
                }
            });
        }
    });
    let other = open(root.path());
    for i in 0..25 {
        for name in ["0", "1", "own 0", "own 1", "own 2", "own 3"] {
            let name = format!("{name} {i}");
            let result = other.action(&key(&name)).unwrap().unwrap();
            assert_eq!(other.read(&result.objects["log"].0).unwrap(), format!("content of {name}").as_bytes());
            other.tree(result.trees["files"]).unwrap();
        }
    }
}

#[test]
fn a_log_begins_anew_and_who_reads_the_old_one_keeps_it() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    store.log_writer(&key("a")).unwrap().write_all(b"first").unwrap();
    let mut old = std::fs::File::open(store.log_path(&key("a"))).unwrap();
    store.log_writer(&key("a")).unwrap().write_all(b"second").unwrap();
    assert_eq!(std::fs::read(store.log_path(&key("a"))).unwrap(), b"second");
    let mut text = String::new();
    old.read_to_string(&mut text).unwrap();
    assert_eq!(text, "first");
}

#[test]
fn looking_a_result_up_marks_it_used_but_not_each_time() {
    let root = tempfile::tempdir().unwrap();
    perform(&open(root.path()).session().unwrap(), "a").unwrap();
    let used = || {
        let file = open(root.path()).files().path(&crate::layout::action(&key("a")));
        std::fs::metadata(file).unwrap().modified().unwrap()
    };
    for (at, expected) in [(0, 0), (60, 0), (86_400, 86_400)] {
        open_at(root.path(), at).action(&key("a")).unwrap().unwrap();
        assert_eq!(used(), time(expected));
    }
}
