//! Services and tmpfiles of real packages of Debian trixie against Debian's own tools: `deb-systemd-helper`, `systemctl`,
//! `systemd-tmpfiles`, each from the archive and run in a root of these packages. Takes the mirror from the machine's apt
//! configuration and fails when it cannot be reached.

mod fixture;
mod trixie;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use fixture::composed;
use kiln_compose::audit::{Fate, Package, audit};
use kiln_compose::{Member, Request, Said};
use kiln_model::facts::Service;
use kiln_model::{Architecture, Dir, Entry, MemoryObjects, ObjectSource, PackageRef};
use trixie::{download, inside, lay_out, members, run, stdout};

const PACKAGES: &[&str] = &[
    "systemd",
    "systemd-resolved",
    "systemd-timesyncd",
    "udev",
    "init-system-helpers",
    "perl-base",
    "dbus",
    "dbus-user-session",
    "cron",
    "openssh-server",
    "nginx-common",
    "redis-server",
    "postgresql-common",
    "rsync",
    "apt",
    "util-linux",
    "e2fsprogs",
    "man-db",
    "logrotate",
    "sudo",
    "polkitd",
    "avahi-daemon",
    "smartmontools",
    "haveged",
    "nftables",
    "lvm2",
    "mdadm",
    "gpg-agent",
    "pipewire",
    "fail2ban",
];

/// What a hook enables: with which program, of every user or of the system, which unit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Enabled {
    program: String,
    user: bool,
    unit: String,
}

impl Enabled {
    /// Does the same in a root, with the program that is there.
    fn carry_out(&self, root: &Path) {
        let mut command = inside(root, &[&self.program]);
        command.env("DPKG_MAINTSCRIPT_PACKAGE", "any");
        run(command.args(self.user.then_some("--user")).args(["enable", &self.unit]));
    }
}

/// Units that hooks enable: what the package's own scripts say, read and not run.
fn enabled_by_hooks(member: &Member, objects: &MemoryObjects) -> BTreeSet<Enabled> {
    let mut units = BTreeSet::new();
    for hook in member.record.hooks.iter().filter(|hook| hook.name == "postinst") {
        let text = String::from_utf8(objects.read(&hook.object).unwrap()).unwrap();
        for line in text.lines().map(str::trim) {
            let words: Vec<&str> = line.split_ascii_whitespace().filter(|word| !word.contains("DPKG_ROOT")).collect();
            let (program, user, unit) = match words[..] {
                ["deb-systemd-helper", "--user", "enable", unit, ..] => ("deb-systemd-helper", true, unit),
                [program @ ("deb-systemd-helper" | "systemctl"), "enable", unit, ..] => (program, false, unit),
                _ => continue,
            };
            units.insert(Enabled { program: program.to_owned(), user, unit: unit.replace('\'', "") });
        }
    }
    units
}

/// Links below a folder, by path; what the merge of `/usr` makes equal is written alike.
fn links(root: &Path, folder: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut todo = vec![root.join(folder)];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                todo.push(entry.path());
            } else if kind.is_symlink() {
                let target = fs::read_link(entry.path()).unwrap().to_str().unwrap().to_owned();
                let target = target.strip_prefix("/lib/").map_or(target.clone(), |rest| format!("/usr/lib/{rest}"));
                found.insert(entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned(), target);
            }
        }
    }
    found
}

/// Everything below a folder but what is made anew at every start: kind, mode and content.
fn paths(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            let name = entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if ["run", "tmp", "dev", "proc", "sys"].contains(&&*name) {
                continue;
            }
            let meta = fs::symlink_metadata(entry.path()).unwrap();
            let mode = meta.permissions().mode() & 0o777;
            let what = if meta.is_dir() {
                todo.push(entry.path());
                format!("directory {mode:o}")
            } else if meta.is_symlink() {
                format!("link {}", fs::read_link(entry.path()).unwrap().display())
            } else {
                format!("file {mode:o} {}", meta.len())
            };
            found.insert(name, what);
        }
    }
    found
}

struct Bench {
    home: tempfile::TempDir,
    objects: MemoryObjects,
    members: Vec<Member>,
    accepted: BTreeMap<PackageRef, Said>,
}

/// Finalizers that run a program of the image. Nothing runs here: `tests/tools.rs` is about those.
const WITH_TOOLS: &[&str] =
    &["hwdb", "journal-catalog", "man-db", "mime-database", "python-bytecode", "glib-schemas", "depmod", "fontconfig"];

impl Bench {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let objects = MemoryObjects::default();
        let files = download(home.path(), PACKAGES);
        let members = members(&files, &objects);
        Self { home, objects, members, accepted: BTreeMap::new() }
    }

    fn request(&self, without: &[&str]) -> Request {
        let without = without.iter().chain(WITH_TOOLS).map(|name| (*name).to_owned()).collect();
        let hooks = self.accepted.clone();
        Request { members: self.members.clone(), without, hooks, ..Request::new(Architecture::Amd64) }
    }

    /// Accepts what cannot be followed of the hooks.
    fn accept_hooks(&mut self) {
        let account = audit(&self.request(&[]), &self.objects).unwrap();
        let is_left = |package: &Package| package.commands.iter().any(|c| matches!(c.fate, Fate::NotFollowed { .. }));
        let left = account.packages.iter().filter(|package| is_left(package));
        self.accepted = left.map(|package| (package.package.clone(), fixture::accepted("a test"))).collect();
    }

    /// Lays a composition out on disk.
    fn root(&self, name: &str, tree: &Dir) -> std::path::PathBuf {
        let root = self.home.path().join(name);
        lay_out(tree, &root, &self.objects);
        root
    }

    /// Units that the hooks enable, and the members with these declared.
    fn services(&mut self) -> BTreeSet<Enabled> {
        let mut all = BTreeSet::new();
        for member in &mut self.members {
            for enabled in enabled_by_hooks(member, &self.objects) {
                let service = Service { enabled: true, user: enabled.user, ..Service::default() };
                member.facts.services.insert(enabled.unit.clone(), service);
                all.insert(enabled);
            }
        }
        all
    }
}

#[test]
fn services_and_tmpfiles_are_what_debians_own_tools_make() {
    let mut bench = Bench::new();
    // What else the hooks do is not compared here.
    bench.accept_hooks();
    // What the tools are run on: the packages, and none of what they would do.
    let bare = composed(&bench.request(&["systemd-units", "tmpfiles", "first-boot"]), &bench.objects);
    let services = bench.services();
    assert!(services.len() >= 20, "{services:?}");
    let ours = composed(&bench.request(&["tmpfiles"]), &bench.objects);
    let ours_root = bench.root("ours", &ours.tree);
    let theirs_root = bench.root("theirs", &bare.tree);
    services.iter().for_each(|enabled| enabled.carry_out(&theirs_root));
    for folder in ["etc/systemd/system", "etc/systemd/user"] {
        let (ours, theirs) = (links(&ours_root, folder), links(&theirs_root, folder));
        assert!(theirs.len() >= 5, "{folder}: {theirs:?}");
        assert_eq!(ours, theirs, "{folder}");
    }
    presets_change_nothing(&ours_root);
    without_systemd(&bench, &services);
    tmpfiles(&bench, &theirs_root);
}

/// `systemctl preset-all` in both modes leaves the links as they are.
fn presets_change_nothing(root: &Path) {
    let before = links(root, "etc/systemd");
    for mode in ["--system", "--global"] {
        let mut command = inside(root, &["systemctl", "--root=/", mode, "--preset-mode=full", "preset-all"]);
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(links(root, "etc/systemd"), before, "{mode} {told}");
    }
    assert_eq!(stdout(&mut inside(root, &["systemctl", "--root=/", "is-enabled", "cron.service"])), "enabled\n");
}

/// The same links, but for those of systemd's own units, where systemd is not there: as in a container.
fn without_systemd(bench: &Bench, services: &BTreeSet<Enabled>) {
    let is_of_systemd = |member: &Member| {
        let source = member.record.source.as_ref().map_or(member.record.name.as_str(), |(name, _)| name);
        source == "systemd"
    };
    let members: Vec<Member> = bench.members.iter().filter(|member| !is_of_systemd(member)).cloned().collect();
    let ours = composed(&Request { members, ..bench.request(&["tmpfiles"]) }, &bench.objects);
    assert!(ours.tree.get(&fixture::path("/usr/lib/systemd/system-preset/00-kiln.preset")).is_none());
    let ours_root = bench.root("ours-bare", &ours.tree);
    let bare: Vec<Member> = bench.members.iter().filter(|member| !is_of_systemd(member)).cloned().collect();
    let bare = composed(&Request { members: bare, ..bench.request(&["tmpfiles", "systemd-units"]) }, &bench.objects);
    let theirs_root = bench.root("theirs-bare", &bare.tree);
    let of_systemd: BTreeSet<&String> =
        bench.members.iter().filter(|member| is_of_systemd(member)).flat_map(|m| m.facts.services.keys()).collect();
    for enabled in services.iter().filter(|enabled| !of_systemd.contains(&enabled.unit)) {
        enabled.carry_out(&theirs_root);
    }
    let theirs = links(&theirs_root, "etc/systemd");
    assert!(theirs.len() >= 10, "{theirs:?}");
    assert_eq!(links(&ours_root, "etc/systemd"), theirs);
}

/// What `systemd-tmpfiles --create` makes of the shipped files, as far as it belongs to root: the rest needs other users.
fn tmpfiles(bench: &Bench, root: &Path) {
    let ours = composed(&bench.request(&[]), &bench.objects);
    let bare = composed(&bench.request(&["tmpfiles"]), &bench.objects);
    let before = paths(root);
    // It asks the kernel by way of /proc.
    let script = "mount --rbind /proc \"$1/proc\" && exec /usr/sbin/chroot \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-Urm", "sh", "-c", script, "sh"]).arg(root).args(["systemd-tmpfiles", "--create"]);
    command.args(["run", "tmp", "dev", "proc", "sys"].map(|folder| format!("--exclude-prefix=/{folder}")));
    let told = command.output().unwrap();
    let mut theirs = paths(root);
    theirs.retain(|path, what| before.get(path) != Some(what));
    let mut mine: BTreeMap<String, String> = BTreeMap::new();
    for (path, entry) in ours.tree.walk().filter(|(path, entry)| bare.tree.get(path) != Some(*entry)) {
        let mode = entry.meta().mode & 0o777;
        let what = match entry {
            // What is below tells of itself.
            Entry::Dir(_) if bare.tree.get(&path).is_some_and(|there| there.meta() == entry.meta()) => continue,
            Entry::Dir(_) => format!("directory {mode:o}"),
            Entry::Symlink(link) => format!("link {}", link.target),
            Entry::File(file) => format!("file {mode:o} {}", file.size),
            Entry::Device(..) => "device".to_owned(),
        };
        mine.insert(path.as_str().to_owned(), what);
    }
    let of_root = |path: &String| {
        let entry = ours.tree.get(&path.parse().unwrap());
        entry.is_none_or(|entry| matches!(entry, Entry::Symlink(_)) || (entry.meta().uid, entry.meta().gid) == (0, 0))
    };
    mine.retain(|path, _| of_root(path));
    theirs.retain(|path, _| of_root(path));
    assert!(mine.len() >= 8, "{mine:?}");
    assert_eq!(mine, theirs, "{}", String::from_utf8_lossy(&told.stderr));
}
