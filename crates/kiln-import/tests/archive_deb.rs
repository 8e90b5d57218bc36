//! Real packages of Debian trixie, from the mirror that this machine's apt is set up with: what Kiln imports is what
//! `dpkg-deb` and `tar` see. Needs that mirror, and fails without it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kiln_archive::Limits;
use kiln_import::deb::{DebPackage, import};
use kiln_import::debsource::{DistributionPatches, SourceFile, SourcePackage, UnpackOptions, unpack};
use kiln_model::{Entry, MemoryObjects, ObjectId, ObjectSource, TreePath};

/// Chosen for what is odd in them: hard links, set-user-id, groups, capabilities, links at the top, many files, none.
const PACKAGES: [&str; 15] = [
    "git",
    "base-files",
    "bsdextrautils",
    "ca-certificates",
    "cron",
    "fonts-dejavu-core",
    "libc6",
    "login",
    "man-db",
    "nginx-light",
    "openssh-client",
    "passwd",
    "perl-base",
    "unzip",
    "util-linux",
];

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A private apt that knows only trixie, on the mirror that this machine uses for Debian.
fn apt(folder: &Path) -> impl Fn(&str) -> Command + use<> {
    let targets = run(Command::new("apt-get").args(["indextargets", "--format", "$(ORIGIN) $(REPO_URI)"]));
    let line = targets.lines().find(|line| line.starts_with("Debian ") && !line.contains("security"));
    let mirror = line.and_then(|line| line.split_whitespace().nth(1));
    let mirror = mirror.expect("apt has a mirror of Debian, with its lists fetched");
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    for sub in ["state/lists/partial", "cache/archives/partial", "etc"] {
        fs::create_dir_all(folder.join(sub)).unwrap();
    }
    fs::write(folder.join("state/status"), "").unwrap();
    fs::write(
        folder.join("etc/sources.list"),
        format!("deb [signed-by={keyring}] {mirror} trixie main\ndeb-src [signed-by={keyring}] {mirror} trixie main\n"),
    )
    .unwrap();
    let text = format!(
        "Dir::Etc::sourcelist \"{0}/etc/sources.list\";\nDir::Etc::sourceparts \"-\";\nDir::State \"{0}/state\";\n\
         Dir::State::status \"{0}/state/status\";\nDir::Cache \"{0}/cache\";\nAPT::Sandbox::User \"\";\n\
         APT::Architecture \"amd64\";\nAcquire::Languages \"none\";\nAcquire::Retries \"3\";\n",
        folder.display()
    );
    let configuration = folder.join("etc/apt.conf");
    fs::write(&configuration, text).unwrap();
    let folder = folder.to_owned();
    move |verb| {
        let mut command = Command::new("apt-get");
        command.env("APT_CONFIG", &configuration).current_dir(&folder).arg(verb);
        command
    }
}

/// What an independent program says of one entry: kind, mode, owner, size or target.
#[derive(Debug, PartialEq, Eq, Clone)]
struct Seen {
    kind: char,
    mode: String,
    owner: String,
    size: u64,
    target: String,
}

fn merged(path: &str, link: bool) -> String {
    let path = path.trim_start_matches("./").trim_end_matches('/');
    let first = path.split('/').next().unwrap_or_default();
    let beside_usr = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"].contains(&first);
    if beside_usr && !(link && path == first) { format!("usr/{path}") } else { path.to_owned() }
}

/// `tar -tv` of the package's files.
fn listed(deb: &Path) -> BTreeMap<String, Seen> {
    let mut files = Command::new("dpkg-deb").arg("--fsys-tarfile").arg(deb).stdout(Stdio::piped()).spawn().unwrap();
    let mut tar = Command::new("tar");
    tar.args(["-tvf", "-", "--quoting-style=literal", "--full-time"])
        .env("LC_ALL", "C.UTF-8")
        .stdin(files.stdout.take().unwrap());
    let listing = run(&mut tar);
    assert!(files.wait().unwrap().success());
    let mut all = BTreeMap::<String, Seen>::new();
    for line in listing.lines() {
        let mut fields = line.split_ascii_whitespace();
        let (mode, owner, size) = (fields.next().unwrap(), fields.next().unwrap(), fields.next().unwrap());
        // After the date and the time, the name stands as it is.
        let (date, time) = (fields.next().unwrap(), fields.next().unwrap());
        let stamp = format!("{date} {time} ");
        let rest = &line[line.find(&stamp).unwrap() + stamp.len()..];
        let kind = mode.chars().next().unwrap();
        let (name, target) = match kind {
            'l' => rest.split_once(" -> ").unwrap(),
            'h' => rest.split_once(" link to ").unwrap(),
            _ => (rest, ""),
        };
        let mut seen = Seen {
            kind,
            mode: mode[1..].to_owned(),
            owner: owner.to_owned(),
            size: size.parse().unwrap_or(0),
            target: target.to_owned(),
        };
        if kind == 'h' {
            // A hard link is whatever it is a link to.
            seen = Seen { target: "hard".into(), ..all[&merged(target, false)].clone() };
            all.insert(merged(target, false), seen.clone());
        }
        all.insert(merged(name, kind == 'l'), seen);
    }
    all
}

fn letters(mode: u16) -> String {
    let mut text: Vec<char> =
        (0..9).map(|bit| if mode >> (8 - bit) & 1 == 1 { ['r', 'w', 'x'][bit % 3] } else { '-' }).collect();
    for (bit, at, set, unset) in [(0o4000, 2, 's', 'S'), (0o2000, 5, 's', 'S'), (0o1000, 8, 't', 'T')] {
        if mode & bit != 0 {
            text[at] = if text[at] == 'x' { set } else { unset };
        }
    }
    text.into_iter().collect()
}

/// The same of what Kiln imported: tree and facts together.
fn imported(package: &DebPackage) -> BTreeMap<String, Seen> {
    let root = (TreePath::root(), &Entry::Dir(package.tree.clone().into()));
    let seen = |(path, entry): (TreePath, &Entry)| {
        let fact = package.facts.permissions.get(&path).cloned().unwrap_or_default();
        let name = |account: &Option<_>| account.as_ref().map_or("root".to_owned(), ToString::to_string);
        let (kind, size, target) = match entry {
            Entry::Dir(_) => ('d', 0, String::new()),
            Entry::Symlink(link) => ('l', 0, link.target.to_string()),
            Entry::File(file) => ('-', file.size, if file.hardlinked { "hard".into() } else { String::new() }),
            Entry::Device(..) => panic!("a device in a plain tree"),
        };
        let mode = letters(fact.mode.map_or(entry.meta().mode, |mode| mode.bits()));
        let owner = format!("{}/{}", name(&fact.owner), name(&fact.group));
        (path.as_str().to_owned(), Seen { kind, mode, owner, size, target })
    };
    let all: BTreeMap<_, _> = package.tree.walk().map(seen).collect();
    std::iter::once(seen(root)).chain(all).collect()
}

/// Every file's content, as `dpkg-deb` unpacks it, is the object that the tree names.
fn compare_contents(deb: &Path, package: &DebPackage, objects: &MemoryObjects) {
    let folder = tempfile::tempdir().unwrap();
    run(Command::new("dpkg-deb").arg("--extract").arg(deb).arg(folder.path()));
    for (path, entry) in package.tree.walk() {
        let Entry::File(file) = entry else { continue };
        let beside_usr = path.as_str().strip_prefix("usr/").map(|rest| folder.path().join(rest));
        let places = [Some(folder.path().join(path.as_str())), beside_usr];
        let place =
            places.into_iter().flatten().find(|place| place.symlink_metadata().is_ok()).expect("it was unpacked");
        assert_eq!(ObjectId::of(&fs::read(place).unwrap()), file.object, "{path}");
        assert_eq!(objects.read(&file.object).unwrap().len() as u64, file.size, "{path}");
    }
}

#[test]
fn real_packages_are_imported_as_dpkg_sees_them() {
    let folder = tempfile::tempdir().unwrap();
    let apt = apt(folder.path());
    run(apt("update").arg("-qq"));
    run(apt("download").arg("-qq").args(PACKAGES));
    let debs: Vec<PathBuf> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let debs: Vec<_> = debs.into_iter().filter(|path| path.extension().is_some_and(|end| end == "deb")).collect();
    assert_eq!(debs.len(), PACKAGES.len());
    let mut found = BTreeSet::new();
    let mut hard_links = 0;
    for deb in debs {
        let objects = MemoryObjects::default();
        let package = import(File::open(&deb).unwrap(), &objects, &Limits::default())
            .unwrap_or_else(|error| panic!("{deb:?}: {error}"));
        let (ours, theirs) = (imported(&package), listed(&deb));
        // Folders that the move below `/usr` leaves out or makes are nobody's files.
        let names = |all: &BTreeMap<String, Seen>| all.keys().cloned().collect::<BTreeSet<_>>();
        let odd: Vec<_> = names(&ours).symmetric_difference(&names(&theirs)).cloned().collect();
        assert!(odd.iter().all(|name| name == "usr"), "{deb:?}: {odd:?}");
        for (name, seen) in &theirs {
            assert_eq!(&ours[name], seen, "{deb:?}: {name}");
        }
        compare_contents(&deb, &package, &objects);
        for (name, field) in [("Package", "Package"), ("Depends", "Depends"), ("Description", "Description")] {
            let theirs = run(Command::new("dpkg-deb").arg("--field").arg(&deb).arg(field));
            let ours = package.control.get(name).unwrap_or_default();
            assert_eq!(ours, theirs.trim(), "{deb:?}: {field}");
        }
        let name = package.control.get("Package").unwrap().to_owned();
        hard_links += ours.values().filter(|seen| seen.target == "hard").count();
        let record = package.into_record("debian".parse().unwrap()).unwrap();
        assert_eq!(record.name.as_str(), name);
        found.insert(name);
    }
    assert!(hard_links >= 4, "perl-base and unzip have programs with two names each");
    assert_eq!(found, PACKAGES.iter().map(ToString::to_string).collect());
}

/// Every file of a folder, by path: content, or where a link leads.
fn contents(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let at = entry.unwrap().path();
            let meta = at.symlink_metadata().unwrap();
            let name = at.strip_prefix(root).unwrap().to_owned();
            if meta.is_dir() {
                todo.push(at);
            } else if meta.is_symlink() {
                all.insert(name, format!("-> {}", fs::read_link(&at).unwrap().display()).into_bytes());
            } else {
                all.insert(name, fs::read(&at).unwrap());
            }
        }
    }
    all
}

#[test]
fn real_source_packages_are_unpacked_as_tar_and_dpkg_source_do() {
    let folder = tempfile::tempdir().unwrap();
    let apt = apt(folder.path());
    run(apt("update").arg("-qq"));
    // All have patches; the kinds of source packages that these are not are made by hand in `deb_source.rs`. A mirror may
    // have lost the files of a version that its index still names: of several packages two that it holds will do.
    let mut unpacked = 0;
    for name in ["nginx", "zlib", "bzip2", "gzip", "sed", "patch", "less"] {
        let download = apt("source").args(["-qq", "--download-only", name]).output().unwrap();
        if unpacked == 2 || !download.status.success() {
            continue;
        }
        unpacked += 1;
        let entries = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let dsc = entries.filter(|path| path.extension().is_some_and(|end| end == "dsc"));
        let dsc = dsc
            .into_iter()
            .find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&format!("{name}_")))
            .unwrap();
        let package = SourcePackage::parse(&fs::read(&dsc).unwrap()).unwrap_or_else(|error| panic!("{dsc:?}: {error}"));
        assert_eq!(package.name, name);
        let mut open = |file: &SourceFile| File::open(folder.path().join(&file.name));
        let mut patcher = |root: &Path, name: &str, text: &[u8]| {
            let file = folder.path().join("patch");
            fs::write(&file, text)?;
            let result = Command::new("patch")
                .args(["-p1", "-F0", "--no-backup-if-mismatch", "-s", "-f", "-i"])
                .arg(&file)
                .current_dir(root)
                .output()?;
            if result.status.success() {
                Ok(())
            } else {
                Err(format!("{name}: {}", String::from_utf8_lossy(&result.stdout)).into())
            }
        };
        let plain = folder.path().join(format!("{name}.plain"));
        let applied = unpack(&package, &mut open, &plain, &UnpackOptions::default(), &mut patcher).unwrap();
        assert!(applied.is_empty());
        let main = package.needed(DistributionPatches::Leave).unwrap()[0].name.clone();
        let by_tar = folder.path().join(format!("{name}.tar"));
        fs::create_dir(&by_tar).unwrap();
        run(Command::new("tar")
            .args(["--strip-components=1", "-xf", &main, "-C"])
            .arg(&by_tar)
            .current_dir(folder.path()));
        let (ours, theirs) = (contents(&plain), contents(&by_tar));
        if package.needed(DistributionPatches::Leave).unwrap().len() == 1 {
            assert!(ours == theirs, "{name}");
        }
        let options = UnpackOptions { patches: DistributionPatches::Apply, ..UnpackOptions::default() };
        let patched = folder.path().join(format!("{name}.patched"));
        unpack(&package, &mut open, &patched, &options, &mut patcher).unwrap();
        let by_dpkg = folder.path().join(format!("{name}.dpkg"));
        run(Command::new("dpkg-source").args(["--no-check", "-q", "-x"]).args([&dsc, &by_dpkg]));
        let (ours, mut theirs) = (contents(&patched), contents(&by_dpkg));
        // Where `dpkg-source` keeps account of the patches it applied.
        theirs.retain(|name, _| !name.starts_with(".pc"));
        let names = |all: &BTreeMap<PathBuf, Vec<u8>>| all.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&ours), names(&theirs), "{name}");
        assert!(ours == theirs, "{name}");
    }
    assert_eq!(unpacked, 2, "the mirror holds fewer than two of these source packages");
}
