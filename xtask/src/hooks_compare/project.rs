//! The closure without hooks: a project with one image of it, locked and built by `kiln`.
//!
//! The project stays in the cache, so its lock does, and with it the exact versions: a later run compares the same
//! packages until `--update` asks for newer ones.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use kiln_model::lock;
use kiln_model::{Digest, ObjectId, ObjectSource};
use kiln_store::{OpenOptions, Store};

use crate::bench::web::{commit, repository, write};
use crate::process::{Outcome, output, run};

const PROJECT: &str = "\
kiln: 1
name: compare
origins:
  debian: { archive: deb, distribution: debian, suite: trixie, components: [main], max-age: unlimited }
";

/// One package of the lock.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Locked {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The digest of its file.
    pub sha256: Digest,
    /// The file's length.
    pub size: u64,
}

/// The project, and where Kiln puts what it makes.
pub struct Project<'a> {
    kiln: &'a Path,
    folder: PathBuf,
    store: PathBuf,
    targets: &'a [String],
}

/// What Kiln built.
pub struct Built {
    /// The tree as an archive.
    pub tar: PathBuf,
    /// Packages whose hooks it does not understand, and which the project had to accept.
    pub accepted: BTreeSet<String>,
}

impl<'a> Project<'a> {
    /// Makes the project of the given packages and the essential ones, or takes up the one that is there.
    pub fn new(kiln: &'a Path, folder: PathBuf, store: PathBuf, targets: &'a [String]) -> Outcome<Self> {
        let project = Self { kiln, folder, store, targets };
        if !project.folder.join(".git").exists() {
            write(&project.folder.join(".gitignore"), "out/\n")?;
            write(&project.folder.join("kiln.yaml"), PROJECT)?;
            repository(&project.folder)?;
        }
        Ok(project)
    }

    /// Locks it and gives its packages, sorted.
    pub fn lock(&self, update: bool) -> Outcome<Vec<Locked>> {
        self.image(&BTreeSet::new())?;
        let mut command = self.command("lock");
        if update {
            command.arg("--update");
        }
        run(command.arg("--quiet").stdout(Stdio::null()))?;
        let path = self.folder.join("kiln.lock");
        let text =
            std::fs::read_to_string(&path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
        let lock = lock::parse(&text).map_err(|faults| format!("{faults:?}"))?;
        let packages = lock.packages.iter().map(|(key, package)| Locked {
            name: key.name.to_string(),
            version: package.version.clone(),
            sha256: package.sha256,
            size: package.size,
        });
        let mut packages: Vec<Locked> = packages.collect();
        packages.sort();
        Ok(packages)
    }

    /// Builds the image as a tar archive. Hooks that Kiln does not understand are accepted, one round after the other, and
    /// told: they are part of what is measured.
    pub fn build(&self) -> Outcome<Built> {
        let mut accepted = BTreeSet::new();
        loop {
            self.image(&accepted)?;
            self.commit()?;
            let mut command = self.command("build");
            let output = command.args(["--quiet", "--output", "tar"]).stdin(Stdio::null()).output();
            let output = output.map_err(|error| format!("cannot run kiln: {error}"))?;
            let said = String::from_utf8_lossy(&output.stderr);
            let named = not_understood(&said);
            let done = output.status.success();
            let before = accepted.len();
            accepted.extend(named);
            if done {
                return Ok(Built { tar: self.folder.join("out/compare.tar"), accepted });
            }
            if accepted.len() == before {
                return Err(format!("`kiln build` failed:\n{said}"));
            }
        }
    }

    /// What `kiln audit` says of its hooks.
    pub fn audit(&self) -> Outcome<String> {
        output(self.command("audit").arg("--json"))
    }

    /// Commits what is new, if anything is.
    fn commit(&self) -> Outcome {
        let changes = output(Command::new("git").arg("-C").arg(&self.folder).args(["status", "--porcelain"]))?;
        if changes.trim().is_empty() { Ok(()) } else { commit(&self.folder) }
    }

    /// The file of a package, out of Kiln's store.
    pub fn load(&self, package: &Locked) -> Outcome<Vec<u8>> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(kiln_model::SOURCE_DATE_EPOCH);
        let store = Store::open(&self.store.join("store"), OpenOptions::new(now)).map_err(|error| error.to_string())?;
        store.read(&ObjectId(package.sha256)).map_err(|error| format!("package `{}`: {error}", package.name))
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.kiln);
        command.arg(name).arg(&self.folder).arg("--store").arg(&self.store);
        command
    }

    fn image(&self, accepted: &BTreeSet<String>) -> Outcome {
        let mut text = "name: compare\npackages:\n  - debian:@essential\n".to_owned();
        for target in self.targets {
            let _ = writeln!(text, "  - debian:{target}");
        }
        if !accepted.is_empty() {
            text.push_str("hooks:\n");
        }
        for name in accepted {
            let _ = writeln!(text, "  debian:{name}: {{ accept: \"not understood; the comparison lists it\" }}");
        }
        text.push_str("outputs: [tar]\n");
        let path = self.folder.join("images/compare.yaml");
        // An unchanged file is left alone, so that Git has nothing to look at.
        if std::fs::read_to_string(&path).is_ok_and(|before| before == text) { Ok(()) } else { write(&path, &text) }
    }
}

/// The packages that Kiln's messages say can be accepted: `debian:NAME: { accept: "WHY" }`.
fn not_understood(messages: &str) -> BTreeSet<String> {
    let mut before: Vec<&str> = messages.split(": { accept:").collect();
    // Behind the last of them is nothing that can be accepted.
    before.pop();
    let names = before.iter().filter_map(|text| Some(text.rsplit_once("debian:")?.1));
    names.filter(|name| !name.contains(char::is_whitespace)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_whose_hooks_are_not_understood_are_read_from_the_hint() {
        let said = "warning: hooks of `debian:a` ...\n   hint: declare it, or accept it: `hooks: { debian:a: { accept: \"why\" } }`\n\
                    hint: say why:\n  hooks:\n    debian:libstdc++6: { accept: \"WHY\" }\n";
        assert_eq!(not_understood(said), BTreeSet::from(["a".to_owned(), "libstdc++6".to_owned()]));
        assert_eq!(not_understood("error: no such package"), BTreeSet::new());
    }
}
