//! What the programs and libraries of a tree ask for, by object.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;

use kiln_model::elf::{self, ElfInfo};
use kiln_model::{Dir, Entry, FileEntry, ObjectError, ObjectId, ObjectSource};
use serde::{Deserialize, Serialize};

/// What one object is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum ObjectKind {
    /// A program or library.
    Elf(ElfInfo),
    /// A script: the interpreter behind its `#!`, and the program that `env` is asked for, if that is the interpreter.
    Script {
        /// The path after `#!`.
        interpreter: String,
        /// The first word after `/usr/bin/env` that is a program's name.
        through_env: Option<String>,
    },
    /// It begins like a program but cannot be read as one.
    Damaged(String),
    /// Something else.
    Other,
}

/// What the programs and libraries of a tree ask for. A function of the tree: keep it by the tree's digest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeAnalysis {
    /// By object; every object that may be a program or library is here.
    pub objects: BTreeMap<ObjectId, ObjectKind>,
}

/// Why a tree cannot be analysed.
#[derive(Debug, thiserror::Error)]
pub enum AnalysisError {
    /// An object cannot be read.
    #[error("`{path}` cannot be read")]
    Object {
        /// The file.
        path: kiln_model::TreePath,
        /// Why.
        #[source]
        source: ObjectError,
    },
}

/// May this file be a program or library? Others are never opened.
pub(crate) fn is_candidate(name: &str, file: &FileEntry) -> bool {
    file.size > 3 && (file.is_executable() || name.contains(".so"))
}

/// Analyses a tree. Of each candidate only its first bytes are read, and of ELF files what the loader reads.
///
/// # Errors
/// When an object cannot be read.
pub fn analyse(tree: &Dir, source: &dyn ObjectSource) -> Result<TreeAnalysis, AnalysisError> {
    let mut analysis = TreeAnalysis::default();
    for (path, entry) in tree.walk() {
        let Entry::File(file) = entry else {
            continue;
        };
        if is_candidate(path.file_name().unwrap_or_default(), file) && !analysis.objects.contains_key(&file.object) {
            let kind = read_kind(&file.object, source).map_err(|source| AnalysisError::Object { path, source })?;
            analysis.objects.insert(file.object, kind);
        }
    }
    Ok(analysis)
}

/// The longest `#!` line: as much as the kernel reads (`BINPRM_BUF_SIZE`).
const SHEBANG: u64 = 256;

fn read_kind(id: &ObjectId, source: &dyn ObjectSource) -> Result<ObjectKind, ObjectError> {
    let mut object = source.open_parts(id)?;
    let mut head = Vec::new();
    (&mut object).take(SHEBANG).read_to_end(&mut head)?;
    if let Some(line) = head.strip_prefix(b"#!") {
        return Ok(script(line));
    }
    if !head.starts_with(b"\x7fELF") {
        return Ok(ObjectKind::Other);
    }
    match elf::read_seekable(object) {
        Ok(Some(info)) => Ok(ObjectKind::Elf(info)),
        Ok(None) => Ok(ObjectKind::Other),
        Err(elf::ElfError::Io(error)) => Err(error.into()),
        Err(error) => Ok(ObjectKind::Damaged(error.to_string())),
    }
}

fn script(line: &[u8]) -> ObjectKind {
    let line = line.split(|b| *b == b'\n').next().unwrap_or_default();
    let Ok(line) = std::str::from_utf8(line) else {
        return ObjectKind::Other;
    };
    let mut words = line.split_ascii_whitespace();
    let Some(interpreter) = words.next() else {
        return ObjectKind::Other;
    };
    let env = matches!(interpreter, "/usr/bin/env" | "/bin/env");
    let program = words.find(|word| !word.starts_with('-') && !word.contains('='));
    let through_env = if env { program.map(str::to_owned) } else { None };
    ObjectKind::Script { interpreter: interpreter.to_owned(), through_env }
}

/// What is known of objects: from the packages' analyses, and else from the objects themselves.
pub(crate) struct Knowledge<'a> {
    // Only looked up in, never walked.
    known: HashMap<ObjectId, &'a ObjectKind>,
    read: RefCell<HashMap<ObjectId, ObjectKind>>,
    source: &'a dyn ObjectSource,
}

impl<'a> Knowledge<'a> {
    pub fn new(analyses: impl Iterator<Item = &'a TreeAnalysis>, source: &'a dyn ObjectSource) -> Self {
        let known = analyses.flat_map(|analysis| analysis.objects.iter().map(|(id, kind)| (*id, kind))).collect();
        Self { known, read: RefCell::default(), source }
    }

    /// Asks what a file is.
    pub fn with<T>(&self, file: &FileEntry, ask: impl FnOnce(&ObjectKind) -> T) -> Result<T, ObjectError> {
        if let Some(kind) = self.known.get(&file.object) {
            return Ok(ask(kind));
        }
        let mut read = self.read.borrow_mut();
        if let Some(kind) = read.get(&file.object) {
            return Ok(ask(kind));
        }
        let kind = read_kind(&file.object, self.source)?;
        let answer = ask(&kind);
        read.insert(file.object, kind);
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use kiln_model::{MemoryObjects, ObjectSink};

    use super::*;

    #[test]
    fn reads_the_interpreter_of_scripts() {
        let kind = |text: &str| {
            let objects = MemoryObjects::default();
            let id = objects.put(text.as_bytes()).unwrap();
            read_kind(&id, &objects).unwrap()
        };
        let script = |interpreter: &str, env: Option<&str>| ObjectKind::Script {
            interpreter: interpreter.into(),
            through_env: env.map(str::to_owned),
        };
        assert_eq!(kind("#!/bin/sh\nexit 0\n"), script("/bin/sh", None));
        assert_eq!(kind("#! /usr/bin/perl -w\n"), script("/usr/bin/perl", None));
        assert_eq!(kind("#!/usr/bin/env -S LANG=C python3 -E\n"), script("/usr/bin/env", Some("python3")));
        assert_eq!(kind("#!\n"), ObjectKind::Other);
        assert_eq!(kind("plain text"), ObjectKind::Other);
    }

    #[test]
    fn a_damaged_program_is_told_not_fatal() {
        let objects = MemoryObjects::default();
        let id = objects.put(b"\x7fELF\x02\x01\x01\0").unwrap();
        assert!(matches!(read_kind(&id, &objects).unwrap(), ObjectKind::Damaged(_)));
    }

    #[test]
    fn an_analysis_reads_back() {
        let objects = MemoryObjects::default();
        let program = std::fs::read("/proc/self/exe").unwrap();
        let mut dir = Dir::default();
        let id = objects.put(&program).unwrap();
        dir.set_entry("program", Entry::File(FileEntry::plain(id, program.len() as u64, true))).unwrap();
        let text = objects.put(b"hello").unwrap();
        dir.set_entry("text", Entry::File(FileEntry::plain(text, 5, false))).unwrap();
        let analysis = analyse(&dir, &objects).unwrap();
        assert_eq!(analysis.objects.len(), 1);
        let bytes = serde_json::to_vec(&analysis).unwrap();
        assert_eq!(serde_json::from_slice::<TreeAnalysis>(&bytes).unwrap(), analysis);
    }
}
