//! What unpacking promises, on hostile archives above all. Each test runs both onto disk and into a tree.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use kiln_model::{MemoryObjects, ObjectSource};

use super::*;
use crate::{Entry, tar, tree};

fn path(text: &str) -> TreePath {
    text.parse().unwrap()
}

/// An archive from a short notation: `name`, `name/`, `name -> target`, `name = hard link`, `name!` for executable.
fn archive(entries: &[&str]) -> Vec<u8> {
    let mut writer = tar::Writer::new(Vec::new());
    for text in entries {
        let (name, kind) = if let Some((name, target)) = text.split_once(" -> ") {
            (name, Kind::Symlink(target.to_owned()))
        } else if let Some((name, target)) = text.split_once(" = ") {
            (name, Kind::Hardlink(path(target)))
        } else if let Some(name) = text.strip_suffix('/') {
            (name, Kind::Directory)
        } else {
            (*text, Kind::File)
        };
        let mut entry = Entry::new(path(name.trim_end_matches('!')), kind);
        (entry.mode, entry.uid, entry.mtime) = (if name.ends_with('!') { 0o4711 } else { 0o600 }, 1234, 5);
        let content = if entry.kind == Kind::File { format!("content of {text}") } else { String::new() };
        entry.size = content.len() as u64;
        writer.add(&entry, &mut content.as_bytes()).unwrap();
    }
    writer.finish().unwrap()
}

/// Unpacks both ways, checks that they agree, and gives every path with what it is.
fn unpack(bytes: &[u8], options: &Options) -> Result<Vec<String>, ExtractError> {
    let folder = tempfile::tempdir().unwrap();
    let destination = folder.path().join("out");
    let result = extract(&mut tar::Reader::new(bytes, &options.limits), &destination, options);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), usize::from(result.is_ok()), "nothing half-done is left: {left:?}");
    let objects = MemoryObjects::default();
    let in_tree = tree::read(&mut tar::Reader::new(bytes, &options.limits), &objects, options);
    match (result, in_tree) {
        (Ok(()), Ok(dir)) => {
            let on_disk = list_disk(&destination);
            assert!(dir.is_plain());
            assert_eq!(on_disk, list_tree(&dir, &objects));
            Ok(on_disk)
        }
        (Err(error), Err(other)) => {
            assert_eq!(error.to_string(), other.to_string());
            Err(error)
        }
        (disk, tree) => panic!("disk says {disk:?}, tree says {tree:?}"),
    }
}

fn list_disk(root: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut todo = vec![root.to_owned()];
    while let Some(folder) = todo.pop() {
        let meta = fs::symlink_metadata(&folder).unwrap();
        assert_eq!((meta.mode() & 0o7777, meta.mtime()), (0o755, 315_532_800), "{}", folder.display());
        for entry in fs::read_dir(&folder).unwrap() {
            let at = entry.unwrap().path();
            let meta = fs::symlink_metadata(&at).unwrap();
            assert_eq!(meta.mtime(), 315_532_800, "{}", at.display());
            let name = at.strip_prefix(root).unwrap().display().to_string();
            all.push(if meta.is_dir() {
                todo.push(at);
                format!("{name}/")
            } else if meta.is_symlink() {
                format!("{name} -> {}", fs::read_link(&at).unwrap().display())
            } else {
                let executable = match meta.mode() & 0o7777 {
                    0o644 => "",
                    0o755 => "!",
                    other => panic!("mode {other:o}"),
                };
                format!("{name}{executable}: {}", fs::read_to_string(&at).unwrap())
            });
        }
    }
    all.sort();
    all
}

fn list_tree(root: &kiln_model::Dir, objects: &MemoryObjects) -> Vec<String> {
    let line = |(path, entry): (TreePath, &kiln_model::Entry)| match entry {
        kiln_model::Entry::Dir(_) => format!("{}/", path.as_str()),
        kiln_model::Entry::Symlink(link) => format!("{} -> {}", path.as_str(), link.target),
        kiln_model::Entry::File(file) => {
            let content = String::from_utf8(objects.read(&file.object).unwrap()).unwrap();
            format!("{}{}: {content}", path.as_str(), if file.is_executable() { "!" } else { "" })
        }
        kiln_model::Entry::Device(..) => panic!("a device"),
    };
    let mut all: Vec<_> = root.walk().map(line).collect();
    all.sort();
    all
}

fn fault(entries: &[&str]) -> ExtractError {
    unpack(&archive(entries), &Options::default()).unwrap_err()
}

fn stripped(entries: &[&str], strip: Strip) -> Result<Vec<String>, ExtractError> {
    unpack(&archive(entries), &Options { strip, ..Options::default() })
}

#[test]
fn what_arrives_is_plain() {
    let all =
        unpack(&archive(&["d/", "d/run!", "d/text", "deep/er/file", "l -> d/run", "h = d/text"]), &Options::default());
    let expected = [
        "d/",
        "d/run!: content of d/run!",
        "d/text: content of d/text",
        "deep/",
        "deep/er/",
        "deep/er/file: content of deep/er/file",
        "h: content of d/text",
        "l -> d/run",
    ];
    assert_eq!(all.unwrap(), expected);
}

#[test]
fn hard_links_are_links() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let bytes = archive(&["a", "d/b = a"]);
    extract(&mut tar::Reader::new(&bytes[..], &Limits::default()), &out, &Options::default()).unwrap();
    assert_eq!(fs::metadata(out.join("a")).unwrap().ino(), fs::metadata(out.join("d/b")).unwrap().ino());
}

#[test]
fn top_folders_can_be_left_out() {
    let entries = ["top/", "top/a", "top/d/", "top/d/b = top/a"];
    let expected = ["a: content of top/a", "d/", "d/b: content of top/a"];
    assert_eq!(stripped(&entries, Strip::Folders(1)).unwrap(), expected);
    assert_eq!(stripped(&entries, Strip::SingleFolder).unwrap(), expected);
    assert_eq!(stripped(&["a", "top/b"], Strip::SingleFolder).unwrap().len(), 3, "there is more than one");
    assert_eq!(stripped(&["a"], Strip::SingleFolder).unwrap(), ["a: content of a"], "a file is no folder");
    assert!(matches!(stripped(&["a", "b"], Strip::Folders(1)), Err(ExtractError::NothingLeft)));
}

#[test]
fn links_that_lead_out_are_refused() {
    for bad in ["l -> /etc/passwd", "l -> ../x", "d/l -> ../../x", "l -> a/../../x"] {
        let error = fault(&[bad]);
        assert!(matches!(error, ExtractError::Outside { .. }), "{bad}: {error}");
        assert!(error.hint().is_some());
        let anywhere = Options { links: Links::Anywhere, ..Options::default() };
        assert!(unpack(&archive(&[bad]), &anywhere).is_ok(), "unless that is asked for");
    }
    let by_a_detour = ["d/e/f/up -> ../../..", "z -> d/e/f/up/../../x"];
    assert!(matches!(fault(&by_a_detour), ExtractError::Outside { .. }));
    let above_the_single_folder = ["top/a", "top/l -> ../x"];
    assert!(matches!(stripped(&above_the_single_folder, Strip::SingleFolder), Err(ExtractError::Outside { .. })));
    assert!(matches!(stripped(&above_the_single_folder, Strip::Folders(1)), Err(ExtractError::Outside { .. })));
}

#[test]
fn nothing_is_written_through_a_link_of_the_archive() {
    let anywhere = Options { links: Links::Anywhere, ..Options::default() };
    let outside = tempfile::tempdir().unwrap();
    let planted = format!("l -> {}", outside.path().display());
    for entries in [[&planted, "l/x"], [&planted, "l/d/"], [&planted, "l/s -> y"], ["d -> .", "d/x"], ["f", "f/x"]] {
        let error = unpack(&archive(&entries), &anywhere).unwrap_err();
        assert!(matches!(error, ExtractError::ThroughLink { .. }), "{entries:?}: {error}");
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn a_hard_link_cannot_reach_out() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    let anywhere = Options { links: Links::Anywhere, ..Options::default() };
    let planted = format!("l -> {}", outside.path().display());
    for entries in [vec![&*planted, "h = l/secret"], vec!["h = not/there"], vec!["d/", "h = d"], vec!["h = h"]] {
        let error = unpack(&archive(&entries), &anywhere).unwrap_err();
        assert!(matches!(error, ExtractError::MissingTarget { .. }), "{entries:?}: {error}");
    }
    // A second name of a link is a second link, and is judged at its own place.
    assert_eq!(unpack(&archive(&["d/l -> ../a", "e/m = d/l"]), &Options::default()).unwrap().len(), 4);
    assert!(matches!(fault(&["d/l -> ../a", "m = d/l"]), ExtractError::Outside { .. }));
}

#[test]
fn of_two_entries_the_last_wins() {
    let bytes = archive(&["a", "b = a", "a!", "l -> a", "l", "d/", "d", "e -> a", "e/", "f", "f -> a", "g/", "g/"]);
    let expected = ["a!: content of a!", "b: content of a", "d: content of d", "e/", "f -> a", "g/", "l: content of l"];
    assert_eq!(unpack(&bytes, &Options::default()).unwrap(), expected);
    assert!(matches!(fault(&["d/x", "d"]), ExtractError::InTheWay { .. }), "a folder with content stays");
}

#[test]
fn a_link_that_is_replaced_does_not_count() {
    assert!(unpack(&archive(&["l -> /etc", "l"]), &Options::default()).is_ok());
    assert!(unpack(&archive(&["l -> /etc", "l/", "l/x"]), &Options::default()).is_ok());
}

#[test]
fn devices_are_refused() {
    for kind in [Kind::Character { major: 1, minor: 3 }, Kind::Block { major: 8, minor: 0 }, Kind::Fifo] {
        let mut writer = tar::Writer::new(Vec::new());
        writer.add_empty(&Entry::new(path("x"), kind)).unwrap();
        let error = unpack(&writer.finish().unwrap(), &Options::default()).unwrap_err();
        assert!(matches!(error, ExtractError::Device { .. }), "{error}");
    }
}

#[test]
fn a_truncated_archive_leaves_nothing() {
    let bytes = archive(&["a", "d/b"]);
    for length in [100, 600, 1100] {
        assert!(matches!(unpack(&bytes[..length], &Options::default()), Err(ExtractError::Read(_))));
    }
}

#[test]
fn a_small_file_that_expands_to_gigabytes_is_refused_before_they_are_written() {
    // Written once as a repeated gzip member: 10 GB of zeros behind one header.
    use std::io::Write;
    let mut head = tar::Writer::new(Vec::new());
    head.add_empty(&Entry::new(path("d"), Kind::Directory)).unwrap();
    let mut block =
        crate::compress::encoder(crate::Compression::Gzip, Vec::new(), crate::compress::Level::Default).unwrap();
    let mut zeros = Entry::new(path("zeros"), Kind::File);
    zeros.size = 10 << 30;
    let mut writer = tar::Writer::new(&mut block);
    assert!(writer.add(&zeros, &mut std::io::empty()).is_err(), "only the header is wanted");
    block.write_all(&vec![0; 96 << 20]).unwrap();
    let bomb = block.finish().unwrap();
    assert!(bomb.len() < 120_000);
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("bomb.tar.gz");
    fs::write(&packed, &bomb).unwrap();
    let error = extract_file(&packed, &folder.path().join("out"), &Options::default()).unwrap_err();
    assert!(error.to_string().contains("limit `ratio`"), "{error}");
    assert!(error.hint().is_some());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left but the archive");
}

#[test]
fn a_destination_that_is_there_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let bytes = archive(&["a"]);
    let go = || extract(&mut tar::Reader::new(&bytes[..], &Limits::default()), &out, &Options::default());
    go().unwrap();
    fs::write(out.join("mine"), "kept").unwrap();
    assert!(matches!(go(), Err(ExtractError::Exists { .. })));
    assert_eq!(fs::read_to_string(out.join("mine")).unwrap(), "kept");
    fs::remove_dir_all(&out).unwrap();
    symlink("/etc", &out).unwrap();
    assert!(go().is_err());
    let nowhere = folder.path().join("not/there/out");
    let result = extract(&mut tar::Reader::new(&bytes[..], &Limits::default()), &nowhere, &Options::default());
    assert!(matches!(result, Err(ExtractError::Write { .. })));
}

#[test]
fn two_at_once_make_one_whole() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let bytes = archive(&["a", "b", "c"]);
    let go = || extract(&mut tar::Reader::new(&bytes[..], &Limits::default()), &out, &Options::default());
    let results = std::thread::scope(|scope| [scope.spawn(go), scope.spawn(go)].map(|thread| thread.join().unwrap()));
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(list_disk(&out).len(), 3);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
