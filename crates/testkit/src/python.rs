//! Python programs of the registry that tests ask: readers that nobody here wrote.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Makes a virtual environment in `folder` with these packages, and gives its interpreter.
///
/// # Panics
/// When Python has no `venv`, or a package cannot be had.
#[must_use]
pub fn virtual_environment(folder: &Path, packages: &[&str]) -> PathBuf {
    run(Command::new("python3").args(["-m", "venv"]).arg(folder));
    let python = folder.join("bin/python");
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages));
    python
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
