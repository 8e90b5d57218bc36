//! Finalizers against hooks: the same packages of Debian trixie, installed by `mmdebstrap` with every hook run and composed
//! here with none, and what the finalizers wrote compared to what the hooks did, byte for byte. Takes the mirror from the
//! machine's apt configuration and fails when it cannot be reached.

mod fixture;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use fixture::composed;
use kiln_compose::{Composition, Member, Request, RuleSet, prepare};
use kiln_model::{Architecture, Dir, Entry, MemoryObjects, ObjectSource, TreePath};

const PACKAGES: &[&str] = &[
    "bash-doc",
    "busybox",
    "dictionaries-common",
    "diffutils-doc",
    "docbook",
    "docbook-xml",
    "docbook-xsl",
    "hicolor-icon-theme",
    "info",
    "install-info",
    "locales",
    "nano",
    "php8.4-cli",
    "php8.4-common",
    "php8.4-fpm",
    "php8.4-mbstring",
    "php8.4-opcache",
    "php8.4-pgsql",
    "php8.4-readline",
    "php8.4-xml",
    "sgml-base",
    "sgml-data",
    "tzdata",
    "w3c-sgml-lib",
    "wamerican",
    "wbritish",
    "wget",
    "wngerman",
    "xml-core",
];

/// Installs the packages with hooks; their files stay in apt's cache there.
fn install(to: &Path) {
    let output = Command::new("mmdebstrap")
        .args(["--variant=apt", "--format=directory", "--skip=cleanup/apt", "--quiet"])
        .arg(format!("--include={}", PACKAGES.join(",")))
        .args(["--aptopt=APT::Install-Recommends \"false\"", "trixie"])
        .arg(to)
        .output()
        .unwrap_or_else(|error| panic!("mmdebstrap: {error}: `cargo xtask test` installs it"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn members(root: &Path, objects: &MemoryObjects) -> Vec<Member> {
    let rules = RuleSet::shipped().unwrap_or_else(|e| panic!("{e}"));
    let files = fs::read_dir(root.join("var/cache/apt/archives")).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|e| e == "deb")).collect();
    assert!(files.len() > PACKAGES.len());
    let member = |file: &PathBuf| {
        let limits = kiln_archive::Limits::default();
        let package = kiln_import::deb::import(fs::File::open(file).unwrap(), objects, &limits).unwrap();
        let tree = Arc::new(package.tree.clone());
        let mut record = package.into_record("debian".parse().unwrap()).unwrap();
        record.tree = tree.id();
        prepare(record, tree, &rules, objects).unwrap()
    };
    files.iter().map(member).collect()
}

/// A path as text: what it is, and what is in it.
fn shown(kind: &str, content: &[u8]) -> String {
    format!("{kind} {}", String::from_utf8_lossy(content))
}

fn of_hooks(root: &Path, path: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let Ok(meta) = fs::symlink_metadata(root.join(path)) else {
        return found;
    };
    if meta.is_symlink() {
        let target = fs::read_link(root.join(path)).unwrap();
        found.insert(path.to_owned(), shown("link", target.to_str().unwrap().as_bytes()));
    } else if meta.is_file() {
        found.insert(path.to_owned(), shown("file", &fs::read(root.join(path)).unwrap()));
    } else {
        for entry in fs::read_dir(root.join(path)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            found.extend(of_hooks(root, &format!("{path}/{name}")));
        }
    }
    found
}

fn of_finalizers(composition: &Composition, objects: &MemoryObjects, path: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let at: TreePath = path.parse().unwrap();
    match composition.tree.get(&at) {
        None => {}
        Some(Entry::Symlink(link)) => drop(found.insert(path.to_owned(), shown("link", link.target.as_bytes()))),
        Some(Entry::File(file)) => {
            found.insert(path.to_owned(), shown("file", &objects.read(&file.object).unwrap()));
        }
        Some(Entry::Dir(dir)) => {
            for (name, _) in Dir::entries(dir) {
                found.extend(of_finalizers(composition, objects, &format!("{path}/{name}")));
            }
        }
        Some(Entry::Device(..)) => drop(found.insert(path.to_owned(), "device".to_owned())),
    }
    found
}

/// The same paths with the same content; backups that the programs made on the way are left out.
fn same(root: &Path, composition: &Composition, objects: &MemoryObjects, path: &str) -> usize {
    let mut hooks = of_hooks(root, path);
    hooks.retain(|name, _| !name.ends_with(".old"));
    let ours = of_finalizers(composition, objects, path);
    let names = |map: &BTreeMap<String, String>| map.keys().cloned().collect::<BTreeSet<_>>();
    let (ours_only, theirs_only): (Vec<_>, Vec<_>) = (
        names(&ours).difference(&names(&hooks)).cloned().collect(),
        names(&hooks).difference(&names(&ours)).cloned().collect(),
    );
    assert!(
        ours_only.is_empty() && theirs_only.is_empty(),
        "{path}: only here {ours_only:?}, only there {theirs_only:?}"
    );
    for (name, content) in &hooks {
        assert_eq!(&ours[name], content, "{name}");
    }
    hooks.len()
}

/// What one directory of Info manuals lists: lines by section, since the order is that of the file system there.
fn menu(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let (_, menu) = text.split_once("* Menu:\n\n").unwrap();
    let section = |section: &str| {
        let (name, entries) = section.split_once('\n').unwrap();
        (name.to_owned(), entries.split("\n* ").map(|entry| entry.trim_end().to_owned()).collect())
    };
    menu.split("\n\n").map(section).collect()
}

#[test]
fn finalizers_write_what_hooks_write() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path().join("root");
    let _ = install;
    let root = std::path::PathBuf::from("/tmp/native/root");
    let objects = MemoryObjects::default();
    let request = Request { members: members(&root, &objects), ..Request::new(Architecture::Amd64) };
    let composition = composed(&request, &objects);
    let same = |path: &str| same(&root, &composition, &objects, path);
    assert!(same("etc/php") > 60, "modules of PHP");
    assert!(same("var/lib/php/modules") > 60);
    assert!(same("etc/xml") > 6, "catalogs of XML");
    assert!(same("var/lib/xml-core") > 6);
    assert!(same("etc/sgml") > 4, "catalogs of SGML");
    assert_eq!(same("var/lib/sgml-base"), 1);
    assert_eq!(same("usr/share/dict/words") + same("etc/dictionaries-common"), 3, "word lists");
    for class in ["aspell", "hunspell", "ispell", "wordlist"] {
        assert_eq!(same(&format!("var/cache/dictionaries-common/{class}.db")), 1);
    }
    assert_eq!(same("var/cache/dictionaries-common/wordlist-default"), 1);
    for path in ["etc/localtime", "etc/locale.conf", "etc/default/locale", "etc/locale.gen"] {
        assert_eq!(same(path), 1, "{path}");
    }
    assert_eq!(same("etc/timezone"), 0);

    let theirs = fs::read_to_string(root.join("usr/share/info/dir")).unwrap();
    let ours = fixture::text(&composition, &objects, "/usr/share/info/dir");
    assert_eq!(menu(&ours), menu(&theirs));
    assert!(menu(&ours).len() > 8);
}
