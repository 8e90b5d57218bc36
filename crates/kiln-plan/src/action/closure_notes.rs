//! What a closure check found that does not stop an image, in as few words as name all of it.

use std::collections::BTreeMap;

use kiln_compose::closure::{ClosureFault, FaultKind, Severity};
use kiln_compose::{Owner, Owners};
use kiln_model::{Dir, Entry};

use super::composed::Note;

/// How many examples a note has.
const EXAMPLES: usize = 3;

/// Scripts where programs are looked for by their interpreter, links by whom they belong to, and what lies elsewhere by whom
/// it belongs to: a package of scripts or links is one note.
pub(super) fn notes(faults: &[ClosureFault], owners: &Owners) -> Vec<Note> {
    let mut scripts: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut links: BTreeMap<&Owner, Vec<String>> = BTreeMap::new();
    let mut elsewhere: BTreeMap<&Owner, BTreeMap<String, Vec<&str>>> = BTreeMap::new();
    let mut notes = Vec::new();
    for fault in faults {
        let owner = || owners.of(&fault.path).unwrap_or(&Owner::Image);
        match (&fault.severity, &fault.kind) {
            (Severity::Error, _) => {}
            (_, FaultKind::Link(target)) => {
                links.entry(owner()).or_default().push(format!("`{}` to `{target}`", fault.path))
            }
            (Severity::Warning, FaultKind::Script(interpreter)) => {
                scripts.entry(interpreter).or_default().push(format!("`{}`", fault.path))
            }
            (
                Severity::Note,
                FaultKind::Script(missing) | FaultKind::Interpreter(missing) | FaultKind::Library(missing),
            ) => {
                let paths = elsewhere.entry(owner()).or_default();
                paths.entry(fault.path.to_string()).or_default().push(missing);
            }
            _ => notes.push(Note { message: fault.to_string(), hint: None }),
        }
    }
    for (interpreter, paths) in scripts {
        let are = if paths.len() == 1 { "is a script" } else { "are scripts" };
        let message = format!("{} {are} for `{interpreter}`, which is not in the image", some(&paths));
        let hint = "they do not start; add the interpreter's package if the image uses them";
        notes.push(Note { message, hint: Some(hint.to_owned()) });
    }
    for (owner, found) in links {
        let message = match found.len() {
            1 => format!("{owner} has a link that leads nowhere: {}", some(&found)),
            many => format!("{owner} has {many} links that lead nowhere: {}", some(&found)),
        };
        let hint = "add the package that has what they lead to if the image uses it";
        notes.push(Note { message, hint: Some(hint.to_owned()) });
    }
    for (owner, found) in elsewhere {
        let shown: Vec<String> =
            found.iter().map(|(path, missing)| format!("`{path}` needs `{}`", missing.join("`, `"))).collect();
        let message = match found.len() {
            1 => format!("{owner} has a file beside its programs that does not find what it needs: {}", some(&shown)),
            many => {
                format!(
                    "{owner} has {many} files beside its programs that do not find what they need: {}",
                    some(&shown)
                )
            }
        };
        let hint = "add the packages that have it if the image uses them";
        notes.push(Note { message, hint: Some(hint.to_owned()) });
    }
    notes
}

/// Folders where whatever runs an image mounts a file system of the kernel's.
const MOUNTED: [&str; 3] = ["dev", "proc", "sys"];

/// Files that nothing which runs will see. Device nodes are no files: who declares them knows.
pub(super) fn hidden(tree: &Dir, owners: &Owners) -> Vec<Note> {
    let mut notes = Vec::new();
    for name in MOUNTED {
        let Some(folder) = name.parse().ok().and_then(|path| tree.dir(&path)) else { continue };
        let mut found: BTreeMap<&Owner, Vec<String>> = BTreeMap::new();
        for (below, entry) in folder.walk() {
            let Ok(path) = format!("{name}{below}").parse() else { continue };
            if matches!(entry, Entry::File(_) | Entry::Symlink(_)) {
                found.entry(owners.of(&path).unwrap_or(&Owner::Image)).or_default().push(format!("`{path}`"));
            }
        }
        for (owner, paths) in found {
            let message = format!(
                "{owner} has {} below `/{name}`, where a file system of the kernel's is mounted: nothing that runs sees {}",
                some(&paths),
                if paths.len() == 1 { "it" } else { "them" }
            );
            notes.push(Note { message, hint: Some("put it into another folder, or leave it out".to_owned()) });
        }
    }
    notes
}

/// A few, and how many more there are.
fn some(found: &[String]) -> String {
    let shown = found.iter().take(EXAMPLES).map(String::as_str).collect::<Vec<_>>().join(", ");
    match found.len().saturating_sub(EXAMPLES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use kiln_model::{FileEntry, ObjectId};

    use super::*;

    fn fault(severity: Severity, path: &str, kind: FaultKind) -> ClosureFault {
        ClosureFault { severity, path: path.parse().unwrap(), kind }
    }

    #[test]
    fn files_where_the_kernels_file_systems_are_mounted_are_told_of_and_folders_and_devices_are_not() {
        let mut tree = Dir::default();
        let file = || Entry::File(FileEntry::plain(ObjectId::of(b"x"), 1, false));
        tree.insert(&"proc/own/x".parse().unwrap(), file()).unwrap();
        tree.insert(&"dev/shm".parse().unwrap(), Entry::Dir(Dir::default().into())).unwrap();
        tree.insert(&"run/x".parse().unwrap(), file()).unwrap();
        let notes = hidden(&tree, &Owners::default());
        let messages: Vec<&str> = notes.iter().map(|note| note.message.as_str()).collect();
        assert_eq!(
            messages,
            [
                "the image has `/proc/own/x` below `/proc`, where a file system of the kernel's is mounted: nothing that runs \
              sees it"
            ]
        );
    }

    #[test]
    fn every_fault_that_does_not_stop_the_image_is_in_a_note() {
        let mut faults: Vec<_> = (0..5)
            .map(|n| fault(Severity::Warning, &format!("usr/bin/s{n}"), FaultKind::Script("python3".into())))
            .collect();
        faults.push(fault(Severity::Warning, "usr/share/a", FaultKind::Link("b".into())));
        faults.push(fault(Severity::Note, "usr/lib/x/plugin.so", FaultKind::Library("libx.so.1".into())));
        faults.push(fault(Severity::Note, "usr/lib/x/plugin.so", FaultKind::Library("liby.so.1".into())));
        faults.push(fault(Severity::Note, "usr/share/doc/run", FaultKind::Script("perl".into())));
        faults.push(fault(Severity::Note, "usr/share/broken", FaultKind::Damaged("too short".into())));
        let messages: Vec<String> = notes(&faults, &Owners::default()).into_iter().map(|note| note.message).collect();
        assert_eq!(
            messages,
            [
                "`/usr/share/broken` cannot be read: too short",
                "`/usr/bin/s0`, `/usr/bin/s1`, `/usr/bin/s2` and 2 more are scripts for `python3`, which is not in the image",
                "the image has a link that leads nowhere: `/usr/share/a` to `b`",
                "the image has 2 files beside its programs that do not find what they need: `/usr/lib/x/plugin.so` needs \
             `libx.so.1`, `liby.so.1`, `/usr/share/doc/run` needs `perl`",
            ]
        );
    }
}
