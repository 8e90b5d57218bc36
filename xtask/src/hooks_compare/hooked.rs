//! The closure with its hooks run: `mmdebstrap` over a folder that is an archive of exactly the locked packages.
//!
//! Since the archive has nothing else, both sides have the same versions whatever the mirror did meanwhile; what dpkg says
//! is installed is compared with the lock all the same. It takes minutes, so the tree is kept under a key of the package
//! list: `KEY.hooks.tar` in the cache.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use kiln_model::Digest;

use super::packages::Packages;
use super::project::{Locked, Project};
use crate::bench::web::write;
use crate::process::{Outcome, run};

/// Options that change what comes out; part of the key.
const OPTIONS: [&str; 3] = ["--variant=essential", "--format=tar", "--dpkgopt=force-unsafe-io"];

/// Where the tree of a package list is kept.
pub fn place(cache: &Path, locked: &[Locked]) -> PathBuf {
    let mut text = OPTIONS.join(" ");
    for package in locked {
        let _ = write!(text, "\n{} {} {}", package.name, package.version, package.sha256.to_hex());
    }
    cache.join(format!("{}.hooks.tar", &Digest::of(text.as_bytes()).to_hex()[..16]))
}

/// Makes the tree, unless it is there.
pub fn install(cache: &Path, locked: &[Locked], packages: &Packages, project: &Project<'_>) -> Outcome<PathBuf> {
    let place = place(cache, locked);
    if place.exists() {
        return Ok(place);
    }
    let archive = place.with_extension("archive");
    index(&archive, locked, packages, project)?;
    let aside = place.with_extension("part");
    let names: Vec<&str> = locked.iter().map(|package| package.name.as_str()).collect();
    let mut command = Command::new("mmdebstrap");
    command.args(OPTIONS).arg(format!("--include={}", names.join(","))).arg("trixie").arg(&aside);
    command.arg(format!("deb [trusted=yes] copy:{} ./", archive.display()));
    run(&mut command)?;
    let io = |error: std::io::Error| format!("cannot keep `{}`: {error}", place.display());
    std::fs::rename(&aside, &place).map_err(io)?;
    std::fs::remove_dir_all(&archive).map_err(io)?;
    Ok(place)
}

/// Writes the archive: the packages, and the index and release file that apt wants.
fn index(folder: &Path, locked: &[Locked], packages: &Packages, project: &Project<'_>) -> Outcome {
    let mut index = String::new();
    for package in locked {
        let file = format!("{}.deb", package.name);
        let path = folder.join(&file);
        let bytes = project.load(package)?;
        let made = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, bytes));
        made.map_err(|error| format!("cannot write `{}`: {error}", path.display()))?;
        let control = packages.controls.get(&package.name).map_or("", String::as_str);
        let (size, sha256) = (package.size, package.sha256.to_hex());
        let _ = write!(index, "{}\nFilename: ./{file}\nSize: {size}\nSHA256: {sha256}\n\n", control.trim_end());
    }
    let (size, sha256) = (index.len(), Digest::of(index.as_bytes()).to_hex());
    // Without a suite and a codename, apt's patterns that look for essential packages find none.
    let release = format!("Suite: trixie\nCodename: trixie\nSHA256:\n {sha256} {size} Packages\n");
    write(&folder.join("Packages"), &index)?;
    write(&folder.join("Release"), &release)
}

/// Checks that dpkg installed what the lock says, all of it, and nothing else.
pub fn check(status: &str, locked: &[Locked]) -> Outcome {
    let mut installed = BTreeSet::new();
    for paragraph in status.split("\n\n") {
        let field = |name: &str| paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        if let (Some(name), Some(version)) = (field("Package"), field("Version")) {
            match field("Status") {
                Some("install ok installed") => installed.insert((name, version)),
                status => return Err(format!("package `{name}` is `{}`", status.unwrap_or_default())),
            };
        }
    }
    let wanted: BTreeSet<(&str, &str)> = locked.iter().map(|p| (p.name.as_str(), p.version.as_str())).collect();
    let show =
        |set: Vec<&(&str, &str)>| set.iter().map(|(name, v)| format!("{name} {v}")).collect::<Vec<_>>().join(", ");
    if installed == wanted {
        return Ok(());
    }
    Err(format!(
        "the two sides do not have the same packages: only with hooks: {}; only in the lock: {}",
        show(installed.difference(&wanted).collect()),
        show(wanted.difference(&installed).collect())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked(name: &str, version: &str) -> Locked {
        Locked { name: name.into(), version: version.into(), sha256: Digest::of(b""), size: 0 }
    }

    const STATUS: &str = "Package: a\nStatus: install ok installed\nVersion: 1\n\nPackage: b\nStatus: install ok installed\n\
                          Version: 2-1\nDescription: x\n y\n";

    #[test]
    fn the_same_versions_on_both_sides_are_fine() {
        assert_eq!(check(STATUS, &[locked("a", "1"), locked("b", "2-1")]), Ok(()));
    }

    #[test]
    fn another_version_or_another_package_is_refused() {
        let error = check(STATUS, &[locked("a", "1"), locked("b", "3"), locked("c", "1")]).unwrap_err();
        assert!(error.contains("only with hooks: b 2-1; only in the lock: b 3, c 1"), "{error}");
    }

    #[test]
    fn a_package_that_is_not_configured_is_refused() {
        let status = STATUS.replace("ok installed\nVersion: 1", "ok half-configured\nVersion: 1");
        assert!(check(&status, &[]).unwrap_err().contains("half-configured"));
    }

    #[test]
    fn another_version_is_kept_elsewhere() {
        let at = |version| place(Path::new("c"), &[locked("a", version)]);
        assert_ne!(at("1"), at("2"));
        assert_eq!(at("1"), at("1"));
    }
}
