//! The cost of the store beside the bare cost of the same work, as ratios: `cargo bench -p kiln-store`.
//!
//! 8,000 files, 150 MB, as the packages of a web server image have: written, committed, laid out, looked up.

#![expect(clippy::disallowed_methods, reason = "a bench measures the clock")]

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use kiln_model::{ActionKey, Digest, Dir, Entry, FileEntry, ObjectId, ObjectSink as _};
use kiln_store::{ActionResult, FsckOptions, GcOptions, OpenOptions, Store};

const FILES: usize = 8_000;

/// A few large files and many small ones, 150 MB in all.
fn contents() -> Vec<Vec<u8>> {
    (0..FILES)
        .map(|index| {
            let length = match index % 100 {
                0 => 600_000,
                1..10 => 60_000,
                _ => 1_000 + index % 13_000,
            };
            let mut state = index as u64 + 1;
            (0..length)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 56) as u8
                })
                .collect()
        })
        .collect()
}

fn time<T>(what: &str, bare: Option<Duration>, work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let value = work();
    let took = start.elapsed();
    let ratio = bare.map_or(String::new(), |bare| format!("  {:.2} of bare", took.as_secs_f64() / bare.as_secs_f64()));
    println!("{what:<42} {:>7.1} ms{ratio}", took.as_secs_f64() * 1e3);
    (took, value)
}

fn bare(at: &Path, contents: &[Vec<u8>]) {
    for (index, bytes) in contents.iter().enumerate() {
        std::fs::File::create_new(at.join(index.to_string())).unwrap().write_all(bytes).unwrap();
    }
}

fn main() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let contents = contents();
    println!("{FILES} files, {} MB", contents.iter().map(Vec::len).sum::<usize>() / 1_000_000);
    let loose = folder.path().join("loose");
    std::fs::create_dir(&loose).unwrap();
    let (written, ()) = time("bare: write the files", None, || bare(&loose, &contents));
    let (hashed, _) =
        time("bare: hash them", None, || contents.iter().map(|bytes| ObjectId::of(bytes)).collect::<Vec<_>>());
    time("bare: flush", None, || rustix::fs::syncfs(std::fs::File::open(&loose).unwrap()).unwrap());
    let bare = written + hashed;

    let root = folder.path().join("store");
    let store = Store::open(&root, OpenOptions::new(SystemTime::now())).unwrap();
    let session = store.session().unwrap();
    let mut dir = Dir::default();
    let (_, ids) = time("store: put", Some(bare), || {
        contents.iter().map(|bytes| session.put(bytes).unwrap()).collect::<Vec<ObjectId>>()
    });
    for (index, (id, bytes)) in ids.iter().zip(&contents).enumerate() {
        let path = format!("usr/{}/d{}/f{index}", if index % 12 == 0 { "bin" } else { "share" }, index % 400);
        let file = FileEntry::plain(*id, bytes.len() as u64, index % 12 == 0);
        dir.insert(&path.parse().unwrap(), Entry::File(file)).unwrap();
    }
    let (_, tree) = time("store: put the tree", None, || session.put_tree(&dir).unwrap());
    let result = ActionResult { trees: [("files".to_owned(), tree)].into(), ..ActionResult::default() };
    let key = |index: u64| ActionKey(Digest::of(&index.to_le_bytes()));
    time("store: commit (three flushes)", None, || session.commit(key(0), &result).unwrap());
    time("store: commit one more", None, || session.commit(key(1), &result).unwrap());
    drop(session);

    let session = store.session().unwrap();
    time("store: put all again", Some(hashed), || contents.iter().all(|bytes| session.put(bytes).is_ok()));
    for index in 2..1_002 {
        session.commit_later(key(index), &result).unwrap();
    }
    time("store: flush 1,000 results", None, || session.flush().unwrap());
    time("store: look 1,000 results up", None, || {
        (2..1_002).for_each(|index| assert!(store.action(&key(index)).unwrap().is_some()));
    });
    drop(session);

    let fresh = Store::open(&root, OpenOptions::new(SystemTime::now())).unwrap();
    time("store: load the tree", None, || fresh.tree(tree).unwrap());
    time("store: lay it out", None, || fresh.checkout(tree).unwrap());
    time("store: find it laid out", None, || fresh.checkout(tree).unwrap());
    std::fs::remove_dir_all(root.join("checkouts").join(tree.to_hex())).unwrap();
    time("store: lay it out again", None, || fresh.checkout(tree).unwrap());
    time("store: fsck", None, || assert!(fresh.fsck(&FsckOptions::default()).unwrap().is_sound()));
    time("store: gc of all", None, || fresh.gc(&GcOptions::default()).unwrap());
}
