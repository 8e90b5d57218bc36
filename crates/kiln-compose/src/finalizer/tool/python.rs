//! Python's byte-code: `__pycache__`, as the postinst of the interpreter and `py3compile` of every package with Python
//! modules have it made.
//!
//! Compiled are the standard library, public modules, and the private folders that packages name in their call of
//! `py3compile`. Byte-code holds the source's modification time and length, and Python compiles anew when they differ.
//! That time is the one time of every path here, so byte-code holds wherever an output carries that time, and where one
//! does not, Python is slower and never wrong. Byte-code that Python takes without looking would be wrong as soon as
//! somebody lays a changed module over the image.

use std::collections::BTreeSet;

use kiln_model::TreePath;

use super::{Preparation, Tool, derive};
use crate::finalizer::{FinalizeError, Finalizer};

static TOOL: Tool = Tool {
    name: "python-bytecode",
    summary: "Python's byte-code of the standard library, of public modules, and of the private ones that packages name \
              to `py3compile`, valid for the one time stamp of every path.",
    version: 1,
    program: "/usr/bin/python3.*",
    inputs: &["/usr/lib/python3.*/**/*.py", "/usr/lib/python3/dist-packages/**/*.py"],
    runs: &[],
    support: &[],
    folders: &["/usr/lib/python3.*", "/usr/lib/python3/dist-packages"],
    writes: &["/usr/**/__pycache__", "/usr/**/__pycache__/*.pyc", "/etc/**/__pycache__", "/etc/**/__pycache__/*.pyc"],
    owner: None,
    read_only: false,
    bring: None,
    commands,
};

pub(in super::super) const FINALIZER: Finalizer = TOOL.finalizer(|context| derive(&TOOL, context));

/// So many files are compiled by one process: the list is its argument.
const BATCH: usize = 2000;

fn commands(preparation: &mut Preparation<'_, '_>) -> Result<Vec<Vec<String>>, FinalizeError> {
    let mut files: BTreeSet<TreePath> = BTreeSet::new();
    for pattern in TOOL.inputs {
        files.extend(preparation.files(pattern));
    }
    for place in private_places(preparation)? {
        let pattern = if place.file_name().is_some_and(|name| name.ends_with(".py")) {
            place.to_string()
        } else {
            preparation.write_in(&place);
            format!("{place}/**/*.py")
        };
        preparation.select(&pattern)?;
        files.extend(preparation.files(&pattern));
    }
    // Time stamps: with an epoch, it would write hashes.
    preparation.environment.insert("SOURCE_DATE_EPOCH".to_owned(), String::new());
    let files: Vec<String> = files.iter().map(ToString::to_string).collect();
    // What `py_compile`'s own command line does, but that a file of another version of Python is told of and passed over.
    // `argparse` is what that command line imports, too: byte-code tells which names others have in use.
    let script = "import sys, py_compile, argparse\nfor file in sys.argv[1:]: py_compile.compile(file)";
    let head = ["-E", "-S", "-c", script];
    let command =
        |batch: &[String]| preparation.command(head.map(str::to_owned).into_iter().chain(batch.iter().cloned()));
    Ok(files.chunks(BATCH).map(command).collect())
}

/// The folders and files that packages name to `py3compile`.
fn private_places(preparation: &Preparation<'_, '_>) -> Result<BTreeSet<TreePath>, FinalizeError> {
    let mut places = BTreeSet::new();
    for member in &preparation.context.request.members {
        let hooks = member.record.hooks.iter().filter(|hook| hook.name == "postinst" && hook.size < LIMIT);
        for hook in hooks {
            let text = preparation.context.source.read(&hook.object)?;
            places.extend(String::from_utf8_lossy(&text).lines().flat_map(named_places));
        }
    }
    Ok(places)
}

/// A hook's text is small; more is not read.
const LIMIT: u64 = 1024 * 1024;

/// The places that a line with a call of `py3compile` names.
fn named_places(line: &str) -> Vec<TreePath> {
    let mut words = line.split_ascii_whitespace();
    if words.next() != Some("py3compile") {
        return Vec::new();
    }
    let mut places = Vec::new();
    while let Some(word) = words.next() {
        match word {
            // These take a value.
            "-p" | "-V" | "-X" => drop(words.next()),
            _ => {
                let place = TreePath::from_absolute(word.trim_end_matches('/'));
                places.extend(place.ok().filter(|place| !place.is_root()));
            }
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_places_of_a_call_are_its_absolute_paths() {
        let named = |line: &str| named_places(line).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(named("\tpy3compile -p python3-minimal /usr/share/python3/"), ["/usr/share/python3"]);
        assert_eq!(named("py3compile -p foo /usr/share/foo -V 3.2- -X 'x/.*'"), ["/usr/share/foo"]);
        assert_eq!(named("py3compile -p python3-distro-info "), Vec::<String>::new());
        assert_eq!(named("if command -v py3compile >/dev/null 2>&1; then"), Vec::<String>::new());
        assert_eq!(named("pypy3compile -p foo /usr/share/foo || true"), Vec::<String>::new());
    }
}
