//! What a built package needs to run, found from its files: shared libraries and program interpreters of ELF files,
//! interpreters of scripts. Each is looked for in the package itself, then in the packages of the environment it was built
//! in; one that nothing provides is an error.
//!
//! Libraries are looked for where `ld.so` would: the folders of the file's own `RUNPATH`, then the system's. Within the
//! package itself any folder will do: a plug-in finds its program's libraries because the program has loaded them.

mod search;

use std::collections::BTreeSet;
use std::io::Read as _;

use kiln_model::elf::{self, ElfError, ElfInfo, ElfKind};
use kiln_model::package::PinnedPackage;
use kiln_model::{Architecture, Dir, Entry, ObjectError, PackageName, TreePath};
use kiln_store::Session;

pub use search::{EnvironmentPackage, Provider};

use search::Search;

/// The longest `#!` line that the kernel reads.
const LONGEST_LINE: usize = 256;

/// Something that a file needs and nothing provides.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unmet {
    /// The file.
    pub file: TreePath,
    /// What it needs.
    pub need: String,
    /// What for: `library`, `program interpreter` or `script interpreter`.
    pub kind: &'static str,
}

/// Why needs cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum NeedsError {
    /// Needs that nothing provides, all of them.
    #[error("{}", list(.0))]
    Unmet(Vec<Unmet>),
    /// A program or library that cannot be read.
    #[error("`{file}` cannot be run or loaded")]
    Elf {
        /// The file.
        file: TreePath,
        /// Why.
        #[source]
        source: ElfError,
    },
    /// A file's content is gone.
    #[error("cannot read `{file}`")]
    Object {
        /// The file.
        file: TreePath,
        /// Why.
        #[source]
        source: ObjectError,
    },
}

fn list(unmet: &[Unmet]) -> String {
    let line = |u: &Unmet| format!("`{}` needs the {} `{}`, which nothing provides", u.file, u.kind, u.need);
    unmet.iter().map(line).collect::<Vec<_>>().join("\n")
}

impl NeedsError {
    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unmet(_) => Some(
                "add the packages that have them to the recipe's `needs`, or to its `runtime` what only runs it"
                    .to_owned(),
            ),
            Self::Elf { .. } => None,
            Self::Object { .. } => Some("`kiln fsck --repair` finds and mends damage of the store".to_owned()),
        }
    }
}

/// What a package needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// Packages of origins.
    pub packages: BTreeSet<PinnedPackage>,
    /// Packages of the project itself.
    pub recipes: BTreeSet<PackageName>,
}

/// A package, or a part of one, whose needs are looked for.
#[derive(Debug, Clone, Copy)]
pub struct Built<'a> {
    /// Its name.
    pub name: &'a PackageName,
    /// Its files.
    pub tree: &'a Dir,
}

/// Finds what each of `built` needs. They come from one build, so they may provide for each other.
///
/// # Errors
/// When something is provided by nothing, or a file cannot be read.
pub fn find(
    built: &[Built<'_>],
    environment: &[EnvironmentPackage],
    architecture: Architecture,
    session: &Session,
) -> Result<Vec<Needs>, NeedsError> {
    let search = Search::new(built, environment, architecture);
    let mut all = Vec::new();
    let mut unmet = Vec::new();
    for one in built {
        let mut needs = Needs::default();
        for (path, entry) in one.tree.walk() {
            let Entry::File(file) = entry else { continue };
            let read = |source| NeedsError::Object { file: path.clone(), source };
            let mut content = session.object_file(&file.object, file.size).map_err(read)?;
            let mut start = Vec::new();
            content.by_ref().take(LONGEST_LINE as u64).read_to_end(&mut start).map_err(|e| read(e.into()))?;
            let mut wanted = Vec::new();
            if start.starts_with(b"\x7fELF") {
                match elf::read_seekable(&mut content) {
                    Ok(Some(info)) => wanted = elf_needs(&info, architecture),
                    Ok(None) => {}
                    // Test data and firmware may be anything; what is to be run or loaded must be right.
                    Err(source) if file.is_executable() || is_library(&path) => {
                        return Err(NeedsError::Elf { file: path, source });
                    }
                    Err(_) => {}
                }
            } else if file.is_executable() && !is_documentation(&path) {
                wanted.extend(script_need(&start));
            }
            for want in wanted {
                match search.provider(&path, &want) {
                    Some(Provider::Pinned(package)) => drop(needs.packages.insert(package.clone())),
                    Some(Provider::Recipe(name)) if name != one.name => drop(needs.recipes.insert(name.clone())),
                    Some(Provider::Recipe(_)) => {}
                    None => unmet.push(Unmet { file: path.clone(), need: want.shown(), kind: want.kind() }),
                }
            }
        }
        all.push(needs);
    }
    if unmet.is_empty() {
        return Ok(all);
    }
    unmet.sort();
    unmet.dedup();
    Err(NeedsError::Unmet(unmet))
}

fn is_library(path: &TreePath) -> bool {
    path.file_name().is_some_and(|name| name.ends_with(".so") || name.contains(".so."))
}

/// Examples in documentation may want anything.
fn is_documentation(path: &TreePath) -> bool {
    ["usr/share/doc/", "usr/share/man/", "usr/share/info/"].iter().any(|folder| path.as_str().starts_with(folder))
}

/// Something that a file names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Want {
    /// A library by its name, with the folders that the file itself says to look in.
    Library { name: String, runpath: Vec<String> },
    /// A program by its absolute path.
    Interpreter { path: String, of_script: bool },
    /// A program that `/usr/bin/env` looks for in `PATH`.
    Program { name: String },
}

impl Want {
    fn shown(&self) -> String {
        match self {
            Self::Library { name, .. } | Self::Program { name } => name.clone(),
            Self::Interpreter { path, .. } => path.clone(),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Library { .. } => "library",
            Self::Interpreter { of_script: false, .. } => "program interpreter",
            Self::Interpreter { .. } | Self::Program { .. } => "script interpreter",
        }
    }
}

fn elf_needs(info: &ElfInfo, architecture: Architecture) -> Vec<Want> {
    let machine = match architecture {
        Architecture::Amd64 => elf::EM_X86_64,
        Architecture::Arm64 => elf::EM_AARCH64,
    };
    // Firmware and programs for other machines are data here.
    if info.machine != machine || !info.class64 || !matches!(info.kind, ElfKind::Executable | ElfKind::Shared) {
        return Vec::new();
    }
    let interpreter = info.interpreter.iter().map(|path| Want::Interpreter { path: path.clone(), of_script: false });
    let library = |name: &String| Want::Library { name: name.clone(), runpath: info.runpath.clone() };
    interpreter.chain(info.needed.iter().map(library)).collect()
}

/// What `#!` names. The kernel takes the first word as the program, and the rest of the line as one argument.
fn script_need(start: &[u8]) -> Vec<Want> {
    let Some(rest) = start.strip_prefix(b"#!") else { return Vec::new() };
    let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let Ok(line) = std::str::from_utf8(line) else { return Vec::new() };
    let mut words = line.split_ascii_whitespace();
    let Some(path) = words.next().filter(|path| path.starts_with('/')) else { return Vec::new() };
    let mut wants = vec![Want::Interpreter { path: path.to_owned(), of_script: true }];
    if path.rsplit('/').next() == Some("env") {
        // Options of `env` and variables come before the program's name.
        let program = words.find(|word| !word.starts_with('-') && !word.contains('='));
        wants.extend(program.map(|name| Want::Program { name: name.to_owned() }));
    }
    wants
}

/// What the facts of a package put at paths of their own: alternatives and links.
pub(crate) fn generated_paths(facts: &kiln_model::Facts) -> BTreeSet<TreePath> {
    let slaves = facts.alternatives.values().flat_map(|alternative| alternative.slaves.keys());
    let paths = facts.alternatives.keys().chain(slaves).chain(facts.links.keys());
    paths.cloned().collect()
}

#[cfg(test)]
mod tests;
