//! The architecture as a test: which crate may use which, where `unsafe` may stand, how long a file may be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::process::{Outcome, cargo, output, root};

/// The table of ARCHITECTURE.md: dependencies run downward only.
const MAY_USE: &[(&str, &[&str])] = &[
    ("kiln-model", &[]),
    ("kiln-sys", &[]),
    ("kiln-archive", &["kiln-model"]),
    ("kiln-fetch", &["kiln-model"]),
    ("kiln-store", &["kiln-model"]),
    ("kiln-import", &["kiln-model", "kiln-archive", "kiln-fetch", "kiln-store"]),
    ("kiln-build", &["kiln-model", "kiln-sys", "kiln-archive", "kiln-fetch", "kiln-store"]),
    ("kiln-hooks", &["kiln-model"]),
    ("kiln-compose", &["kiln-model", "kiln-archive", "kiln-hooks"]),
    ("kiln-image", &["kiln-model", "kiln-archive"]),
    ("kiln-run", &["kiln-model", "kiln-sys"]),
    ("kiln-sbom", &["kiln-model"]),
    ("kiln-verify", &["kiln-model", "kiln-sys"]),
    (
        "kiln-plan",
        &[
            "kiln-model",
            "kiln-archive",
            "kiln-fetch",
            "kiln-store",
            "kiln-import",
            "kiln-build",
            "kiln-hooks",
            "kiln-compose",
            "kiln-image",
            "kiln-sbom",
        ],
    ),
];

/// The command and the tools for development may use everything.
const FREE: &[&str] = &["kiln", "testkit", "xtask"];

/// Longer files are two files.
const MOST_LINES: usize = 800;

/// Names that say nothing.
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "helpers", "misc"];

/// Checks all of it.
pub fn check() -> Outcome {
    let mut faults = dependencies()?;
    for path in sources(&root().join("crates")) {
        let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let shown = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        faults.extend(file(&shown, &text));
    }
    if faults.is_empty() { Ok(()) } else { Err(format!("the architecture does not hold:\n  {}", faults.join("\n  "))) }
}

fn dependencies() -> Outcome<Vec<String>> {
    let text = output(cargo().args(["metadata", "--format-version=1", "--no-deps", "--locked"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let table: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut faults = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        if FREE.contains(&name) {
            continue;
        }
        let Some(allowed) = table.get(name) else {
            faults.push(format!("`{name}` has no row in the table of crates"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let used = dependency["name"].as_str().unwrap_or_default();
            let ours = used.starts_with("kiln") || used == "testkit";
            let for_tests = dependency["kind"] == "dev";
            if ours && !for_tests && !allowed.contains(&used) {
                faults.push(format!("`{name}` may not use `{used}`"));
            }
        }
    }
    Ok(faults)
}

fn file(shown: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let is_test = shown.contains("/tests/") || shown.ends_with("tests.rs");
    let production = text.lines().take_while(|l| l.trim() != "#[cfg(test)]").count();
    if !is_test && production > MOST_LINES {
        faults.push(format!("`{shown}` has {production} lines: what second thing lives there?"));
    }
    let unsafe_block = text.lines().any(|l| {
        let code = l.split("//").next().unwrap_or_default();
        code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl")
    });
    if unsafe_block && !shown.starts_with("crates/kiln-sys/") {
        faults.push(format!("`{shown}` has `unsafe`, which only kiln-sys may have"));
    }
    let stem = Path::new(shown).file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    if EMPTY_NAMES.contains(&stem) {
        faults.push(format!("`{shown}` has a name that says nothing"));
    }
    let prints = text.lines().any(|l| {
        let code = l.trim_start();
        ["println!(", "eprintln!(", "print!(", "eprint!("].iter().any(|p| code.starts_with(p))
    });
    if prints && !may_print_here(shown, is_test) {
        faults.push(format!("`{shown}` prints, which only the command may do"));
    }
    faults
}

fn may_print_here(shown: &str, is_test: bool) -> bool {
    is_test || ["crates/kiln/", "crates/testkit/", "/benches/", "/examples/", "/bin/"].iter().any(|p| shown.contains(p))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for path in entries.filter_map(|e| Some(e.ok()?.path())) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_the_architecture_forbids() {
        assert!(file("crates/kiln-store/src/a.rs", "fn f() { unsafe { g() } }").len() == 1);
        assert!(file("crates/kiln-sys/src/a.rs", "fn f() { unsafe { g() } }").is_empty());
        assert!(file("crates/kiln-store/src/utils.rs", "").len() == 1);
        assert!(file("crates/kiln-store/src/a.rs", "    println!(\"x\");").len() == 1);
        assert!(file("crates/kiln/src/a.rs", "    println!(\"x\");").is_empty());
        assert!(file("crates/kiln-store/src/a.rs", &"x\n".repeat(MOST_LINES + 1)).len() == 1);
    }
}
