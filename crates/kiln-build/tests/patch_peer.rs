//! Agreement with GNU patch: for generated cases `patch -p1 -F0` and Kiln accept the same and give the same bytes.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use kiln_build::patch::{FolderFiles, apply};
use proptest::prelude::*;

fn program(name: &str) -> Command {
    let found = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(found.is_ok(), "`{name}` is not installed; `cargo xtask test` installs what tests need");
    let mut command = Command::new(name);
    command.env("LC_ALL", "C").env("TZ", "UTC");
    command
}

fn write(root: &Path, name: &str, text: &str) {
    fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
    fs::write(root.join(name), text).unwrap();
}

fn diff(root: &Path) -> Vec<u8> {
    program("diff").current_dir(root).args(["-urN", "a", "b"]).output().unwrap().stdout
}

/// What GNU patch makes of `x`; none when it refuses.
fn gnu(root: &Path, patch: &[u8]) -> Option<Option<String>> {
    let mut child = program("patch")
        .current_dir(root)
        .args(["-p1", "-F0", "--batch", "--forward", "--silent", "--no-backup-if-mismatch", "--reject-file=-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(patch).unwrap();
    child.wait().unwrap().success().then(|| fs::read_to_string(root.join("x")).ok())
}

fn kiln(root: &Path, patch: &[u8]) -> Option<Option<String>> {
    let done = apply("p", patch, &mut FolderFiles::new(root));
    done.ok().map(|_| fs::read_to_string(root.join("x")).ok())
}

fn text(lines: &[u8], end: bool) -> String {
    let mut text: String = lines.iter().map(|line| format!("{}\n", char::from(b'a' + line % 6))).collect();
    if !end {
        text.pop();
    }
    text
}

/// Lines with some taken out, changed or put in.
fn edited(lines: &[u8], edits: &[(usize, u8, u8)]) -> Vec<u8> {
    let mut lines = lines.to_vec();
    for (at, kind, value) in edits {
        let at = at % (lines.len() + 1);
        match kind % 3 {
            0 => lines.insert(at, *value),
            1 if at < lines.len() => lines[at] = *value,
            _ if at < lines.len() => drop(lines.remove(at)),
            _ => {}
        }
    }
    lines
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_gnu_patch(
        lines in proptest::collection::vec(any::<u8>(), 0..40),
        change in proptest::collection::vec((any::<usize>(), any::<u8>(), any::<u8>()), 1..4),
        drift in proptest::collection::vec((any::<usize>(), any::<u8>(), any::<u8>()), 0..3),
        ends in any::<(bool, bool, bool)>(),
    ) {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "a/x", &text(&lines, ends.0));
        write(root.path(), "b/x", &text(&edited(&lines, &change), ends.1));
        let patch = diff(root.path());
        prop_assume!(!patch.is_empty());
        let drifted = text(&edited(&lines, &drift), ends.2 || drift.is_empty() && ends.0);
        write(root.path(), "gnu/x", &drifted);
        write(root.path(), "kiln/x", &drifted);
        let (theirs, ours) = (gnu(&root.path().join("gnu"), &patch), kiln(&root.path().join("kiln"), &patch));
        // The one difference that is meant: a line without its end that would come to stand inside a file is refused.
        let text = String::from_utf8_lossy(&patch).into_owned();
        let meant = ours.is_none() && (text.contains("No newline") || !drifted.ends_with('\n'));
        prop_assume!(!(meant && theirs.is_some()));
        prop_assert_eq!(ours, theirs, "patch:\n{}\nfile:\n{}", text, drifted);
    }
}

#[test]
fn agrees_with_gnu_patch_on_files_that_come_and_go() {
    for (old, new) in [(None, Some("new\n")), (Some("old\n"), None), (Some(""), Some("x\n")), (Some("x\n"), Some(""))] {
        let root = tempfile::tempdir().unwrap();
        for (side, content) in [("a", old), ("b", new)] {
            fs::create_dir(root.path().join(side)).unwrap();
            if let Some(content) = content {
                write(root.path(), &format!("{side}/x"), content);
            }
        }
        let patch = diff(root.path());
        for place in ["gnu", "kiln"] {
            fs::create_dir(root.path().join(place)).unwrap();
            if let Some(content) = old {
                write(root.path(), &format!("{place}/x"), content);
            }
        }
        let (theirs, ours) = (gnu(&root.path().join("gnu"), &patch), kiln(&root.path().join("kiln"), &patch));
        assert_eq!(ours, theirs, "{old:?} to {new:?}");
    }
}
