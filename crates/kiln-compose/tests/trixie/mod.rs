//! Packages of Debian trixie for tests: from the mirror that the machine's apt configuration names, laid out on disk to be
//! shown to programs that nobody here wrote. Fails when the mirror cannot be reached.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use kiln_compose::closure::analyse;
use kiln_compose::{Member, RuleSet, prepare};
use kiln_model::{Dir, Entry, MemoryObjects, ObjectSource};

pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}: `cargo xtask test` installs it"));
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    output
}

pub fn stdout(command: &mut Command) -> String {
    String::from_utf8(run(command).stdout).unwrap()
}

/// A private apt for trixie on the machine's own mirror.
pub fn apt(home: &Path) -> PathBuf {
    let targets = stdout(Command::new("apt-get").args(["indextargets", "--format", "$(REPO_URI)"]));
    let mirror = targets.lines().find(|uri| uri.trim_end_matches('/').ends_with("/debian"));
    let mirror =
        mirror.expect("the machine's apt configuration names no Debian mirror (or `apt-get update` was never run)");
    for dir in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(home.join(dir)).unwrap();
    }
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    fs::write(home.join("sources.list"), format!("deb [signed-by={keyring}] {mirror} trixie main\n")).unwrap();
    fs::write(home.join("status"), "").unwrap();
    let dir = home.display();
    let text = format!(
        "Dir::Etc::sourcelist \"{dir}/sources.list\";\nDir::Etc::sourceparts \"{dir}/none\";\nDir::State::lists \"{dir}/lists\";\n\
         Dir::State::status \"{dir}/status\";\nDir::Cache \"{dir}/cache\";\nAPT::Architecture \"amd64\";\n\
         APT::Architectures {{ \"amd64\"; }};\nAPT::Sandbox::User \"\";\nAPT::Install-Recommends \"false\";\n"
    );
    let configuration = home.join("apt.conf");
    fs::write(&configuration, text).unwrap();
    configuration
}

pub fn download(home: &Path, packages: &[&str]) -> Vec<PathBuf> {
    let configuration = apt(home);
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("APT_CONFIG", &configuration).current_dir(home).arg("-qq").args(arguments);
        command
    };
    run(&mut apt_get(&["update"]));
    let plan = stdout(apt_get(&["install", "--print-uris", "-y"]).args(packages));
    let names: BTreeSet<String> =
        plan.lines().filter_map(|line| line.split_whitespace().nth(1)?.split('_').next().map(str::to_owned)).collect();
    assert!(names.len() > packages.len(), "{plan}");
    run(apt_get(&["download"]).args(&names));
    let mut files: Vec<PathBuf> = fs::read_dir(home).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "deb"));
    assert_eq!(files.len(), names.len());
    files
}

pub fn members(files: &[PathBuf], objects: &MemoryObjects) -> Vec<Member> {
    let rules = RuleSet::shipped().unwrap_or_else(|e| panic!("{e}"));
    files
        .iter()
        .map(|file| {
            let limits = kiln_archive::Limits::default();
            let package = kiln_import::deb::import(fs::File::open(file).unwrap(), objects, &limits).unwrap();
            let tree = Arc::new(package.tree.clone());
            let mut record = package.into_record("debian".parse().unwrap()).unwrap();
            record.tree = tree.id();
            let analysis = Arc::new(analyse(&tree, objects).unwrap());
            prepare(record, tree, &rules).with_analysis(analysis)
        })
        .collect()
}

pub fn lay_out(dir: &Dir, to: &Path, objects: &MemoryObjects) {
    fs::create_dir_all(to).unwrap();
    for (name, entry) in dir.entries() {
        let at = to.join(name);
        match entry {
            Entry::Dir(below) => lay_out(below, &at, objects),
            Entry::File(file) => {
                fs::write(&at, objects.read(&file.object).unwrap()).unwrap();
                let mode = u32::from(file.meta.mode & 0o777 | 0o400);
                fs::set_permissions(&at, fs::Permissions::from_mode(mode)).unwrap();
            }
            Entry::Symlink(link) => symlink(&*link.target, &at).unwrap(),
            Entry::Device(..) => {}
        }
    }
    let mode = u32::from(dir.meta().mode & 0o1777 | 0o700);
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).unwrap();
}

/// As root of a user namespace: works for everyone.
pub fn inside(root: &Path, command: &[&str]) -> Command {
    let mut inside = Command::new("unshare");
    inside.arg("-Ur").arg("/usr/sbin/chroot").arg(root).args(command);
    inside.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    inside
}
