use kiln_model::{Dir, Entry, MemoryObjects, ObjectSource as _, TreePath};
use proptest::prelude::*;

use super::*;

fn path(text: &str) -> TreePath {
    text.parse().unwrap()
}

/// A tree of text files; `->` before the text makes a link.
fn tree(objects: &MemoryObjects, files: &[(&str, &str)]) -> Dir {
    let mut files_of = TreeFiles::new(Dir::default(), objects, objects);
    for (name, text) in files {
        let link = text.strip_prefix("->");
        let bytes = link.unwrap_or(text).as_bytes().to_vec();
        files_of.write(&path(name), &Content { bytes, executable: false, link: link.is_some() }).unwrap();
    }
    files_of.into_tree()
}

fn show(objects: &MemoryObjects, tree: &Dir) -> Vec<(String, String)> {
    tree.walk()
        .filter_map(|(path, entry)| match entry {
            Entry::File(file) => {
                let mark = if file.is_executable() { "*" } else { "" };
                let text = String::from_utf8(objects.read(&file.object).unwrap()).unwrap();
                Some((format!("{}{mark}", path.as_str()), text))
            }
            Entry::Symlink(link) => Some((path.as_str().to_owned(), format!("->{}", link.target))),
            _ => None,
        })
        .collect()
}

fn patched(files: &[(&str, &str)], patch: &str) -> Result<Vec<(String, String)>, PatchError> {
    let objects = MemoryObjects::default();
    let mut work = TreeFiles::new(tree(&objects, files), &objects, &objects);
    apply("p.patch", patch.as_bytes(), &mut work)?;
    Ok(show(&objects, &work.into_tree()))
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn changes_creates_and_deletes_files_of_a_plain_diff() {
    let patch = "\
Some words before.
--- old/a\t2026-01-01 00:00:00.000000000 +0000
+++ new/a\t2026-01-01 00:00:00.000000000 +0000
@@ -1,3 +1,3 @@
 one
-two
+2
 three
--- /dev/null
+++ new/dir/b
@@ -0,0 +1 @@
+new
--- old/c\t2026-01-01 00:00:00.000000000 +0000
+++ /dev/null
@@ -1 +0,0 @@
-gone
";
    let made = patched(&[("a", "one\ntwo\nthree\n"), ("c", "gone\n")], patch).unwrap();
    assert_eq!(made, pairs(&[("a", "one\n2\nthree\n"), ("dir/b", "new\n")]));
}

#[test]
fn an_epoch_time_says_that_there_is_no_file() {
    let patch =
        "--- a/x\t2020-02-02 02:02:02 +0000\n+++ b/x\t1969-12-31 19:00:00.000000000 -0500\n@@ -1 +0,0 @@\n-gone\n";
    assert_eq!(patched(&[("x", "gone\n"), ("y", "")], patch).unwrap(), pairs(&[("y", "")]));
    let kept = patch.replace("1969-12-31", "1999-12-31");
    assert_eq!(patched(&[("x", "gone\n")], &kept).unwrap(), pairs(&[("x", "")]));
}

#[test]
fn understands_what_git_adds() {
    let patch = "\
diff --git a/tool b/tool
old mode 100644
new mode 100755
diff --git a/from here b/to
similarity index 50%
rename from from here
rename to to
index 111..222 100644
--- a/from here
+++ b/to
@@ -1,2 +1,2 @@
 keep
-old
+new
diff --git a/keep b/copy
similarity index 100%
copy from keep
copy to copy
diff --git a/empty b/empty
new file mode 100755
index 0000000..e69de29
diff --git a/gone b/gone
deleted file mode 100644
index e69de29..0000000
diff --git a/link b/link
new file mode 120000
index 0000000..1de5659
--- /dev/null
+++ b/link
@@ -0,0 +1 @@
+target
\\ No newline at end of file
diff --git \"a/\\303\\244\" \"b/\\303\\244\"
index 1..2 100644
--- \"a/\\303\\244\"
+++ \"b/\\303\\244\"
@@ -1 +1 @@
-x
+y
";
    let before = [("tool", "t\n"), ("from here", "keep\nold\n"), ("keep", "k\n"), ("gone", ""), ("ä", "x\n")];
    let after = [
        ("copy", "k\n"),
        ("empty*", ""),
        ("keep", "k\n"),
        ("link", "->target"),
        ("to", "keep\nnew\n"),
        ("tool*", "t\n"),
        ("ä", "y\n"),
    ];
    assert_eq!(patched(&before, patch).unwrap(), pairs(&after));
}

#[test]
fn a_missing_line_end_is_a_difference() {
    let patch = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-x\n\\ No newline at end of file\n+x\n";
    assert_eq!(patched(&[("x", "x")], patch).unwrap(), pairs(&[("x", "x\n")]));
    assert!(patched(&[("x", "x\n")], patch).is_err());
}

#[test]
fn a_line_without_its_end_stays_the_last() {
    let patch = "--- a/x\n+++ b/x\n@@ -0,0 +1 @@\n+x\n\\ No newline at end of file\n";
    assert_eq!(patched(&[("x", "")], patch).unwrap(), pairs(&[("x", "x")]));
    assert!(matches!(patched(&[("x", "y\n")], patch), Err(PatchError::Exists { .. } | PatchError::Rejected { .. })));
}

#[test]
fn line_ends_are_bytes_unless_the_patch_itself_was_converted() {
    let patch = "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n one\r\n-two\r\n+2\r\n";
    assert_eq!(patched(&[("x", "one\r\ntwo\r\n")], patch).unwrap(), pairs(&[("x", "one\r\n2\r\n")]));
    assert!(patched(&[("x", "one\ntwo\n")], patch).is_err());
    let converted = "--- a/x\r\n+++ b/x\r\n@@ -1,2 +1,2 @@\r\n one\r\n-two\r\n+2\r\n";
    assert_eq!(patched(&[("x", "one\ntwo\n")], converted).unwrap(), pairs(&[("x", "one\n2\n")]));
}

#[test]
fn a_hunk_is_found_away_from_where_it_says_and_carries_the_next_along() {
    let body: String = (0..40).map(|n| format!("line {n}\n")).collect();
    let patch = "--- a/x\n+++ b/x\n@@ -10,3 +10,3 @@\n line 19\n-line 20\n+twenty\n line 21\n@@ -20,3 +20,3 @@\n line 29\n-line 30\n+thirty\n line 31\n";
    let made = patched(&[("x", &body)], patch).unwrap();
    assert!(made[0].1.contains("line 19\ntwenty\nline 21") && made[0].1.contains("line 29\nthirty\nline 31"));
}

#[test]
fn a_rejected_hunk_is_shown_with_what_was_expected_and_found_and_nothing_changes() {
    let patch = "\
--- a/good
+++ b/good
@@ -1 +1 @@
-g
+G
--- a/src/x.c
+++ b/src/x.c
@@ -2,3 +2,3 @@
 two
-three
+3
 four
";
    let objects = MemoryObjects::default();
    let before = tree(&objects, &[("good", "g\n"), ("src/x.c", "one\ntwo\nTHREE\nfour\n")]);
    let mut work = TreeFiles::new(before.clone(), &objects, &objects);
    let error = apply("fix.patch", patch.as_bytes(), &mut work).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a hunk of `fix.patch` does not apply\n\
         hunk 1 of 1 for `src/x.c` (line 8 of the patch):\n    @@ -2,3 +2,3 @@\n     two\n    -three\n    +3\n     four\n\
         at `src/x.c:3`\n    expected: three\n    found:    THREE"
    );
    assert_eq!(work.into_tree(), before);
}

#[test]
fn every_rejected_hunk_of_a_patch_is_shown() {
    let patch = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-q\n+r\n--- a/y\n+++ b/y\n@@ -1 +1 @@\n-q\n+r\n";
    let PatchError::Rejected { hunks, .. } = patched(&[("x", "a\n"), ("y", "b\n")], patch).unwrap_err() else {
        panic!("not rejected")
    };
    assert_eq!(hunks.len(), 2);
}

#[test]
fn says_when_a_patch_is_there_already() {
    let patch = "--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n";
    let error = patched(&[("x", "one\n2\nthree\n")], patch).unwrap_err();
    assert!(error.hint().unwrap().contains("already"), "{error}");
    let creates = "--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+new\n";
    let error = patched(&[("x", "new\n")], creates).unwrap_err();
    assert!(error.hint().unwrap().contains("already"), "{error}");
    assert!(patched(&[("x", "other\n")], creates).unwrap_err().hint().is_none());
}

#[test]
fn never_leaves_the_source_and_never_writes_through_a_link() {
    for name in ["a/../../etc/passwd", "/etc/passwd", "a//../x", "a/./x", "a/", "x", "a/x\\0"] {
        let patch = format!("--- /dev/null\n+++ {name}\n@@ -0,0 +1 @@\n+x\n");
        let made = patched(&[], &patch);
        assert!(made.is_err() || name == "a/x\\0", "{name}: {made:?}");
    }
    let through = "--- /dev/null\n+++ b/link/x\n@@ -0,0 +1 @@\n+x\n";
    assert!(patched(&[("link", "->/etc")], through).is_err());
    let plants = "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc\n\\ No newline at end of file\n\
                  diff --git a/l/x b/l/x\nnew file mode 100644\n--- /dev/null\n+++ b/l/x\n@@ -0,0 +1 @@\n+x\n";
    assert!(patched(&[], plants).is_err());
    assert!(patched(&[("l", "->/etc/passwd")], "--- a/l\n+++ b/l\n@@ -1 +1 @@\n-/etc/passwd\n+x\n").is_err());
}

#[test]
fn a_folder_is_as_safe_as_a_tree() {
    let outside = tempfile::tempdir().unwrap();
    let inside = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), inside.path().join("link")).unwrap();
    std::fs::write(inside.path().join("x"), "one\n").unwrap();
    std::fs::hard_link(inside.path().join("x"), outside.path().join("same")).unwrap();
    let mut files = FolderFiles::new(inside.path());
    let through = "--- /dev/null\n+++ b/link/x\n@@ -0,0 +1 @@\n+x\n";
    assert!(matches!(apply("p", through.as_bytes(), &mut files), Err(PatchError::Files { .. })));
    assert!(!outside.path().join("x").exists());
    let patch = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-one\n+two\n--- /dev/null\n+++ b/d/e\n@@ -0,0 +1 @@\n+new\n";
    assert_eq!(apply("p", patch.as_bytes(), &mut files).unwrap(), [path("d/e"), path("x")]);
    assert_eq!(std::fs::read_to_string(inside.path().join("x")).unwrap(), "two\n");
    assert_eq!(std::fs::read_to_string(outside.path().join("same")).unwrap(), "one\n", "another name of the file");
    let gone = "--- a/d/e\n+++ /dev/null\n@@ -1 +0,0 @@\n-new\n";
    apply("p", gone.as_bytes(), &mut files).unwrap();
    assert!(!inside.path().join("d").exists(), "a folder that is left empty goes too");
}

#[test]
fn refuses_what_it_does_not_understand_and_names_the_line() {
    let cases = [
        ("", "no unified diff"),
        ("just words\n", "no unified diff"),
        ("*** a/x\n--- b/x\n***************\n*** 1 ****\n! a\n--- 1 ----\n! b\n", "context diff"),
        ("diff --git a/x b/x\nindex 1..2\nGIT binary patch\nliteral 0\n", "line 3: a binary change"),
        ("--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n one\n", "ends before"),
        ("--- a/x\n+++ b/x\n@@ -1,2 +1,1 @@\n-one\n+x\n+y\n", "one line more"),
        ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n?\n", "line 4: neither"),
        ("--- a/x\n+++ b/x\n", "without a hunk"),
        ("--- a/x\n+++ b/x\n@@ -1 +1\n-a\n+b\n", "line is broken"),
        ("@@ -1 +1 @@\n-a\n+b\n", "without `---`"),
        ("--- a/x\n+++ b/x\n@@ -1,99999999999999999999 +1 @@\n-a\n", "line is broken"),
        ("diff --git a/x b/x\n", "without any change"),
        ("diff --git a/s b/s\nnew file mode 160000\n", "submodule"),
        ("--- x\n+++ y\n@@ -1 +1 @@\n-a\n+b\n", "first folder"),
    ];
    for (patch, expected) in cases {
        let error = patched(&[("x", "one\n")], patch).unwrap_err();
        let shown =
            format!("{error}: {}", std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default());
        assert!(shown.contains(expected), "{patch:?}: {shown}");
        assert!(error.hint().is_some());
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn broken_patches_never_panic(
        pieces in proptest::collection::vec(proptest::sample::select(vec![
            "--- a/x\n", "+++ b/x\n", "--- /dev/null\n", "+++ /dev/null\n", "@@ -1,2 +1,2 @@\n", "@@ -0,0 +1 @@\n",
            "@@ -1 +0,0 @@\n", " one\n", "-one\n", "+two\n", "\\ No newline at end of file\n", "diff --git a/x b/x\n",
            "diff --git a/x b/y\n", "rename from x\n", "rename to y\n", "new file mode 100644\n", "new file mode 120000\n",
            "deleted file mode 100644\n", "old mode 100644\n", "new mode 100755\n", "index 1..2 100644\n", "\n", "@@ -9,1 +9,1 @@\n",
        ]), 0..14)
    ) {
        let _ = patched(&[("x", "one\ntwo\n")], &pieces.concat());
    }
}
