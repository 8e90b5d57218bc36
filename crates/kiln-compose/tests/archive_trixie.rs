//! Real packages of Debian trixie, composed and shown to the programs that nobody here wrote: `ldconfig`, `openssl`, the
//! loader, `nginx`, `awk`. Takes the mirror from the machine's apt configuration and fails when it cannot be reached.

mod fixture;
mod trixie;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use fixture::{composed, path};
use kiln_compose::closure::{Allowed, Severity, check};
use kiln_compose::{Composition, Request};
use kiln_model::{Architecture, Entry, MemoryObjects};
use trixie::{download, inside, lay_out, members, run, stdout};

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
