//! What a full disk and a killed process leave: the old output or the new one, whole.
//!
//! Both need a process of their own, so this program starts itself again, with a word that says as what; that is why
//! it has a `main` of its own. The full disk is a small tmpfs, which an ordinary user may mount in a user namespace.

mod fixture;

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fixture::Sample;
use kiln_image::{OutputError, outputs};
use kiln_model::Digest;

fn main() {
    // Cargo may pass a filter and flags, so what to do is told by a word that cannot be either.
    let arguments: Vec<String> = std::env::args().collect();
    let after = |word: &str| {
        let at = arguments.iter().position(|argument| argument == word)?;
        arguments.get(at + 1).map(Path::new)
    };
    if let Some(disk) = after("as-child:small-disk") {
        return fill(disk);
    }
    if let Some(folder) = after("as-child:write-forever") {
        return write_forever(folder);
    }
    a_full_disk_leaves_nothing_new();
    a_killed_writer_leaves_old_or_new();
}

fn a_full_disk_leaves_nothing_new() {
    let folder = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=900k,mode=755 tmpfs \"$1\" && exec \"$0\" as-child:small-disk \"$1\"";
    let status = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "--", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(folder.path())
        .status()
        .expect("`unshare` of util-linux runs");
    assert!(status.success(), "the test in the small disk failed: {status}");
    println!("a_full_disk_leaves_nothing_new ... ok");
}

/// Two images in turn, so that every write replaces something.
fn write_forever(folder: &Path) {
    let samples = [Sample::with_data(300_000), Sample::with_data(400_000)];
    loop {
        for sample in &samples {
            for output in outputs() {
                output.write(&sample.request(), folder).unwrap();
            }
        }
    }
}

fn a_killed_writer_leaves_old_or_new() {
    let folder = tempfile::tempdir().unwrap();
    let samples = [Sample::with_data(300_000), Sample::with_data(400_000)];
    let elsewhere = tempfile::tempdir().unwrap();
    let mut whole: Vec<Vec<(String, Digest)>> = Vec::new();
    for sample in &samples {
        for output in outputs() {
            let path = output.write(&sample.request(), elsewhere.path()).unwrap().path;
            whole.push(content(&path, &path));
        }
    }
    for round in 0..40 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("as-child:write-forever")
            .arg(folder.path())
            .spawn()
            .unwrap();
        // Long enough to get to work, and each time a little further into it.
        std::thread::sleep(Duration::from_micros(40_000 + round * 1_700));
        child.kill().unwrap();
        child.wait().unwrap();
        for output in outputs() {
            let path = output.path(folder.path(), &samples[0].spec.name);
            if path.exists() {
                let found = content(&path, &path);
                assert!(whole.contains(&found), "round {round}: `{}` is neither old nor new", output.name);
            }
        }
    }
    for output in outputs() {
        output.write(&samples[0].request(), folder.path()).unwrap();
    }
    let left: Vec<String> = listing(folder.path()).into_iter().map(|(path, _)| path).collect();
    assert!(!left.iter().any(|path| path.contains(".kiln-")), "{left:?}");
    println!("a_killed_writer_leaves_old_or_new ... ok");
}

/// Every file below `path` with the digest of its bytes.
fn content(path: &Path, from: &Path) -> Vec<(String, Digest)> {
    let kind = fs::symlink_metadata(path).unwrap();
    let name = path.strip_prefix(from).unwrap().display().to_string();
    if kind.is_dir() {
        let mut found: Vec<_> =
            fs::read_dir(path).unwrap().flat_map(|entry| content(&entry.unwrap().path(), from)).collect();
        found.push((name, Digest::EMPTY));
        found.sort();
        found
    } else if kind.is_file() {
        vec![(name, Digest::of(&fs::read(path).unwrap()))]
    } else {
        vec![(name, Digest::EMPTY)]
    }
}

fn fill(disk: &Path) {
    let small = Sample::with_data(100_000);
    let large = Sample::with_data(5_000_000);
    for output in outputs() {
        output.write(&small.request(), disk).unwrap();
        let before = listing(disk);
        let error = output.write(&large.request(), disk).unwrap_err();
        let full = match &error {
            OutputError::Io { source, .. } => source.kind() == io::ErrorKind::StorageFull,
            _ => false,
        };
        assert!(full, "{}: {error:?}", output.name);
        assert!(error.hint().unwrap().contains("free some space"), "{:?}", error.hint());
        assert_eq!(listing(disk), before, "{}", output.name);
        let place = output.path(disk, &small.spec.name);
        let removed = if place.is_dir() { fs::remove_dir_all(&place) } else { fs::remove_file(&place) };
        removed.unwrap();
        output.write(&large.request(), disk).unwrap_err();
        assert!(listing(disk).is_empty(), "{}: {:?}", output.name, listing(disk));
    }
}

/// Every file with its length.
fn listing(folder: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            found.extend(listing(&path));
        }
        found.push((path.to_string_lossy().into_owned(), metadata.len()));
    }
    found.sort();
    found
}
