//! Every check and test, in the order in which they are cheap.
//!
//! Kiln's users are not root, and CI often is: as root the tests of what the kernel treats differently run a second
//! time as an ordinary user.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::{Outcome, cargo, has, is_root, output, root, run};
use crate::{architecture, generate};

/// How much to test.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All of it.
    Everything,
    /// Without the distribution's mirror and programs that nobody here wrote.
    Quick,
}

/// Debian packages with the programs that tests compare with.
pub const PACKAGES: &[&str] = &[
    "bash",
    "buildah",
    "busybox-static",
    "createrepo-c",
    "curl",
    "debian-archive-keyring",
    "docker-registry",
    "dpkg-dev",
    "gcc",
    "git",
    "gpg",
    "gpg-agent",
    "libarchive-tools",
    "libc6-dev",
    "libcap2-bin",
    "mmdebstrap",
    "openssl",
    "patch",
    "perl",
    "podman",
    "rpm",
    "runc",
    "skopeo",
    "uidmap",
    "umoci",
    "unzip",
    "bsdutils",
    "util-linux",
    "xz-utils",
    "zip",
    "zstd",
];

/// The ordinary user that tests run as when this is run as root.
const USER: &str = "kilntest";

/// Crates whose behaviour depends on who runs them.
const AS_USER: &[&str] = &["kiln-sys", "kiln-build", "kiln-run", "kiln-store", "kiln"];

/// Tests that need the mirror, or programs that nobody here wrote: left out of a quick run.
const FAR: &[&str] = &["archive_", "peers_"];

/// Runs them.
pub fn all(scope: Scope) -> Outcome {
    if scope == Scope::Everything {
        install()?;
    }
    if is_root() {
        make_user()?;
        if !user_can_read(&root()) {
            return elsewhere(scope);
        }
    }
    architecture::check()?;
    run(cargo().args(["fmt", "--all", "--check"]))?;
    run(cargo().args(["clippy", "--quiet", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))?;
    run(cargo().args(["doc", "--quiet", "--workspace", "--no-deps", "--locked"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    generate::check()?;
    let tests = build()?;
    for test in &tests {
        if scope == Scope::Everything || !test.is_far() {
            test.run(None)?;
        }
    }
    run(cargo().args(["test", "--quiet", "--workspace", "--doc", "--locked"]))?;
    if is_root() {
        for test in tests.iter().filter(|t| AS_USER.contains(&t.package.as_str())) {
            if scope == Scope::Everything || !test.is_far() {
                test.run(Some(USER))?;
            }
        }
    } else {
        eprintln!("not root: the tests ran as this user only");
    }
    println!("test binaries passed: {}", tests.len());
    Ok(())
}

/// One compiled test program.
struct TestProgram {
    package: String,
    name: String,
    path: String,
    folder: String,
}

impl TestProgram {
    fn is_far(&self) -> bool {
        FAR.iter().any(|prefix| self.name.starts_with(prefix))
    }

    fn run(&self, user: Option<&str>) -> Outcome {
        let mut command = match user {
            None => Command::new(&self.path),
            Some(user) => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", user, "--regid", user, "--init-groups", "--reset-env", "--", "env"]);
                command.args(seed()).arg(&self.path);
                command
            }
        };
        command.envs(seed().and_then(|seed| seed.split_once('=')));
        // Cargo's own promise to tests: the package's folder is the working folder.
        command.current_dir(&self.folder).env("CARGO_MANIFEST_DIR", &self.folder);
        command.env("PATH", path_with_system_programs());
        run(command.arg("--quiet"))
    }
}

/// Programs of the system too: an ordinary user's path on Debian does not lead to them.
#[allow(clippy::disallowed_methods, reason = "who runs the tests is no input of Kiln")]
fn path_with_system_programs() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    let missing = ["/usr/local/sbin", "/usr/sbin", "/sbin"]
        .into_iter()
        .filter(|folder| !path.split(':').any(|known| known == *folder));
    std::iter::once(path.as_str()).filter(|path| !path.is_empty()).chain(missing).collect::<Vec<_>>().join(":")
}

/// What property tests begin their random inputs with. Of a commit, CI says the same each time; on a developer's machine
/// every run tries others.
#[allow(clippy::disallowed_methods, reason = "who runs the tests is no input of Kiln")]
fn seed() -> Option<&'static str> {
    std::env::var_os("CI").map(|_| "PROPTEST_RNG_SEED=1")
}

/// Compiles all tests and lists their programs.
fn build() -> Outcome<Vec<TestProgram>> {
    let text = output(cargo().args(["test", "--workspace", "--no-run", "--locked", "--message-format=json"]))?;
    let mut tests = Vec::new();
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        let Ok(message) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let (Some(path), true) = (message["executable"].as_str(), message["profile"]["test"] == true) else { continue };
        let manifest = message["manifest_path"].as_str().unwrap_or_default();
        let folder = manifest.strip_suffix("/Cargo.toml").unwrap_or_default().to_owned();
        let package = folder.rsplit('/').next().unwrap_or_default().to_owned();
        let name = message["target"]["name"].as_str().unwrap_or_default().to_owned();
        if seen.insert(path.to_owned()) {
            tests.push(TestProgram { package, name, path: path.to_owned(), folder });
        }
    }
    tests.sort_by(|a, b| (&a.package, &a.name).cmp(&(&b.package, &b.name)));
    if tests.is_empty() { Err("cargo built no test".to_owned()) } else { Ok(tests) }
}

/// Installs what the tests need, when this is a Debian machine and it may.
fn install() -> Outcome {
    if !has("dpkg-query") {
        return Err(format!("the tests need programs from these Debian packages: {}", PACKAGES.join(" ")));
    }
    let installed = output(Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Status} ${Package}\\n"]))?;
    let installed: BTreeSet<&str> = installed.lines().filter_map(|l| l.strip_prefix("installed ")).collect();
    let missing: Vec<&str> = PACKAGES.iter().copied().filter(|p| !installed.contains(p)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !is_root() {
        return Err(format!("install what the tests need: sudo apt install {}", missing.join(" ")));
    }
    run(Command::new("apt-get").args(["update", "-q"]))?;
    run(Command::new("apt-get")
        .args(["install", "-y", "-q", "--no-install-recommends"])
        .args(&missing)
        .env("DEBIAN_FRONTEND", "noninteractive"))
}

/// Makes the ordinary user.
fn make_user() -> Outcome {
    if output(Command::new("id").args(["-u", USER]).stderr(Stdio::null())).is_err() {
        run(Command::new("useradd").args(["--create-home", USER]))?;
    }
    Ok(())
}

/// Can the ordinary user reach what is in a folder?
fn user_can_read(folder: &Path) -> bool {
    let look = format!("test -x {0} && test -r {0}/Cargo.toml", folder.display());
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--init-groups", "sh", "-c", &look]);
    command.status().is_ok_and(|status| status.success())
}

/// Tests a clone in a folder that everybody may read: what runs as another user has to reach the test programs, and a
/// checkout in root's own home or in a private temporary folder keeps it out.
fn elsewhere(scope: Scope) -> Outcome {
    let folder = tempfile::Builder::new()
        .prefix("kiln-test-")
        .tempdir_in("/var/tmp")
        .map_err(|error| format!("cannot make a folder to test in: {error}"))?;
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755))
        .map_err(|error| format!("cannot open `{}` to all: {error}", folder.path().display()))?;
    let clone = folder.path().join("kiln");
    eprintln!("`{}` is closed to the user `{USER}`: testing a clone of its last commit", root().display());
    run(Command::new("git").args(["clone", "--quiet"]).arg(root()).arg(&clone))?;
    if !user_can_read(&clone) {
        return Err(format!("the user `{USER}` cannot read `{}` either", clone.display()));
    }
    let quick = (scope == Scope::Quick).then_some("--quick");
    run(cargo().current_dir(&clone).env_remove("CARGO_TARGET_DIR").args(["xtask", "test"]).args(quick))
}
