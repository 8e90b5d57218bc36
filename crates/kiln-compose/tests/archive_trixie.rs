//! Real packages of Debian trixie, composed and shown to the programs that nobody here wrote: `ldconfig`, `openssl`, the
//! loader, `nginx`, `awk`. Takes the mirror from the machine's apt configuration and fails when it cannot be reached.

mod fixture;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use fixture::{composed, path};
use kiln_compose::closure::{Allowed, Severity, analyse, check};
use kiln_compose::{Composition, Member, Request, RuleSet, prepare};
use kiln_model::{Architecture, Dir, Entry, MemoryObjects, ObjectSource};

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}: `cargo xtask test` installs it"));
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn stdout(command: &mut Command) -> String {
    String::from_utf8(run(command).stdout).unwrap()
}

/// A private apt for trixie on the machine's own mirror.
fn apt(home: &Path) -> PathBuf {
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

fn download(home: &Path, packages: &[&str]) -> Vec<PathBuf> {
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

fn members(files: &[PathBuf], objects: &MemoryObjects) -> Vec<Member> {
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
            prepare(record, tree, &rules, objects).unwrap().with_analysis(analysis)
        })
        .collect()
}

fn lay_out(dir: &Dir, to: &Path, objects: &MemoryObjects) {
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
}

/// As root of a user namespace: works for everyone.
fn inside(root: &Path, command: &[&str]) -> Command {
    let mut inside = Command::new("unshare");
    inside.arg("-Ur").arg("chroot").arg(root).args(command);
    inside.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    inside
}

fn libraries(cache: &Path) -> Vec<String> {
    let listed = stdout(Command::new("/sbin/ldconfig").arg("-p").arg("-C").arg(cache));
    listed.lines().filter(|line| line.contains("=>")).map(str::to_owned).collect()
}

#[test]
fn an_image_of_debian_packages_is_what_its_own_tools_would_make() {
    let home = tempfile::tempdir().unwrap();
    let packages = [
        "nginx-light",
        "ca-certificates",
        "curl",
        "passwd",
        "libpam-runtime",
        "bash",
        "gawk",
        "mawk",
        "less",
        "base-files",
        "dash",
        "coreutils",
        "libc-bin",
    ];
    let files = download(home.path(), &packages);
    let objects = MemoryObjects::default();
    let request = Request { members: members(&files, &objects), ..Request::new(Architecture::Amd64) };
    let composition = composed(&request, &objects);
    assert_eq!(composition.warnings, [], "every hook of these packages is understood");
    let analyses = request.members.iter().map(|member| &*member.analysis);
    let mut faults = check(&composition.tree, Architecture::Amd64, analyses, &objects, &Allowed::default()).unwrap();
    faults.retain(|fault| fault.severity == Severity::Error);
    assert_eq!(faults, [], "everything finds what it needs");

    let root = home.path().join("root");
    lay_out(&composition.tree, &root, &objects);
    the_loader_agrees(&root);
    openssl_agrees(&root, &composition, home.path());
    programs_start(&root);
    let text = |name: &str| fixture::text(&composition, &objects, name);
    assert!(text("/etc/pam.d/common-auth").contains("auth\t[success=1 default=ignore]\tpam_unix.so nullok\n"));
    assert!(text("/etc/shells").contains("/bin/bash\n/usr/bin/bash\n"));
    assert!(text("/etc/passwd").contains("www-data:x:33:33:"));
    assert_eq!(fixture::target(&composition, "/etc/alternatives/awk"), "/usr/bin/gawk");
    let log = composition.tree.get(&path("/var/log/nginx/access.log")).unwrap().meta();
    assert_eq!((log.uid, log.gid, log.mode), (33, 4, 0o640));
    assert_eq!(fixture::target(&composition, "/var/run"), "/run");
}

/// The same libraries in the same order as `ldconfig` puts them.
fn the_loader_agrees(root: &Path) {
    let ours = libraries(&root.join("etc/ld.so.cache"));
    let mut ldconfig = Command::new("unshare");
    run(ldconfig.args(["-Ur", "/sbin/ldconfig", "-X", "-C", "/etc/reference.cache", "-r"]).arg(root));
    let theirs = libraries(&root.join("etc/reference.cache"));
    assert!(ours.len() > 30);
    assert_eq!(ours, theirs);
    fs::remove_file(root.join("etc/reference.cache")).unwrap();
}

/// The same links by hash as `openssl rehash` makes.
fn openssl_agrees(root: &Path, composition: &Composition, home: &Path) {
    let folder = home.join("rehash");
    fs::create_dir(&folder).unwrap();
    let certificates = composition.tree.dir(&path("/etc/ssl/certs")).unwrap();
    let mut ours = BTreeSet::new();
    for (name, entry) in certificates.entries() {
        let Entry::Symlink(link) = entry else {
            continue;
        };
        if name.ends_with(".pem") {
            fs::copy(root.join(&link.target[1..]), folder.join(name)).unwrap();
        } else {
            ours.insert((name.to_owned(), link.target.to_string()));
        }
    }
    run(Command::new("openssl").arg("rehash").arg(&folder));
    let theirs: BTreeSet<(String, String)> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_symlink())
        .map(|entry| {
            let target = fs::read_link(entry.path()).unwrap();
            (entry.file_name().into_string().unwrap(), target.to_str().unwrap().to_owned())
        })
        .collect();
    assert!(ours.len() > 100);
    assert_eq!(ours, theirs);
}

fn programs_start(root: &Path) {
    assert_eq!(stdout(&mut inside(root, &["awk", "BEGIN { print 6 * 7 }"])), "42\n");
    assert!(stdout(&mut inside(root, &["curl", "--version"])).contains("OpenSSL"));
    assert_eq!(stdout(&mut inside(root, &["getent", "passwd", "www-data"])).split(':').nth(2), Some("33"));
    // A certificate of the bundle, found by its hash, verifies itself.
    let verify = "set -e; c=$(ls /etc/ssl/certs/*.pem | head -1); openssl verify -CApath /etc/ssl/certs $c";
    assert!(stdout(&mut inside(root, &["bash", "-c", verify])).ends_with("OK\n"));
}
