//! The directory of the Info manuals, `/usr/share/info/dir`, as `update-info-dir` makes it where install-info is.
//!
//! Manuals are taken in order of their paths. (The program takes them as the file system gives them, and what it writes
//! depends on it; in this order it writes the same.)

mod dir;
mod entry;

use std::io::Read;

use kiln_archive::{Limits, compress, limits};
use kiln_model::{Dir, Entry, TreePath};

use super::{FinalizeContext, FinalizeError, fixed};

const FOLDER: &str = "usr/share/info";

/// A manual's head: no manual comes near this.
const LIMIT: u64 = 64 * 1024 * 1024;

pub(super) fn run(context: &mut FinalizeContext<'_>) -> Result<(), FinalizeError> {
    let folder = fixed(FOLDER);
    if context.file(&fixed("usr/sbin/update-info-dir")).is_none() {
        return Ok(());
    }
    let Some(tree) = context.directory(&folder) else {
        return Ok(());
    };
    let mut manuals = Vec::new();
    find(tree, &folder, &mut manuals);
    let mut directory = dir::Directory::default();
    for path in manuals {
        let Some(bytes) = context.read(&path)? else {
            continue;
        };
        match unpack(&bytes) {
            Ok(text) => directory.install(entry::parse(&text)),
            Err(error) => context.warn(format!("the manual `{path}` cannot be read: {error}"), None),
        }
    }
    context.write(&fixed(&format!("{FOLDER}/dir")), directory.to_text().as_bytes())
}

/// The manuals below a folder: files but for the later parts of one, pictures and the directory itself.
fn find(dir: &Dir, at: &TreePath, found: &mut Vec<TreePath>) {
    for (name, entry) in dir.entries() {
        let Ok(path) = at.join(name) else {
            continue;
        };
        match entry {
            Entry::Dir(below) => find(below, &path, found),
            Entry::File(_) if is_manual(name) => found.push(path),
            _ => {}
        }
    }
}

fn is_manual(name: &str) -> bool {
    let plain = name.strip_suffix(".gz").unwrap_or(name);
    let part = plain.rsplit_once('-').is_some_and(|(_, number)| {
        let digits = number.len() <= 2 && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        digits && (number.len() == 1 || !number.starts_with('0'))
    });
    !(part || matches!(plain, "dir" | "dir.old") || name.ends_with(".png") || name.ends_with(".jpg"))
}

fn unpack(bytes: &[u8]) -> std::io::Result<String> {
    let compression = compress::detect(bytes);
    let limits = Limits { total_bytes: LIMIT, ..Limits::default() };
    let mut text = Vec::new();
    limits::open(compression, bytes, &limits)?.take(LIMIT).read_to_end(&mut text)?;
    Ok(String::from_utf8(text).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_parts_pictures_and_the_directory_are_no_manuals() {
        for name in ["bash.info.gz", "a", "x-100.gz", "x-05", "find-maint.info.gz"] {
            assert!(is_manual(name), "{name}");
        }
        for name in ["dir", "dir.gz", "dir.old", "dir.old.gz", "elisp.info-1.gz", "gcc.info-23", "x.png", "x.jpg"] {
            assert!(!is_manual(name), "{name}");
        }
    }
}
