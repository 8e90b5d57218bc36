//! Tar as other programs see it: what they write is read here, and what is written here they read. GNU tar judges
//! always; `bsdtar` where it is installed, and CI installs it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use kiln_archive::compress::{Level, encoder};
use kiln_archive::extract::{Options, Strip, extract_file};
use kiln_archive::{Compression, Entry, Kind, Limits, open_tar, tar};
use kiln_model::TreePath;

fn run(command: &mut Command) -> String {
    let output = command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC").output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{command:?} complains: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn path(text: &str) -> TreePath {
    text.parse().unwrap()
}

fn long(of: &str, length: usize) -> String {
    of.repeat(length)
}

/// A folder with everything that names and links can be.
fn sample(root: &Path) {
    let deep = root.join(long("d/", 60)).join(long("deep", 20));
    fs::create_dir_all(deep.parent().unwrap()).unwrap();
    fs::write(deep, "deep").unwrap();
    fs::create_dir(root.join("empty")).unwrap();
    fs::write(root.join(long("n", 200)), "long name").unwrap();
    fs::write(root.join("größe ☃"), "not ASCII").unwrap();
    fs::write(root.join("large"), vec![b'x'; 300_000]).unwrap();
    fs::write(root.join("run"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(root.join("run"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::hard_link(root.join("run"), root.join("run2")).unwrap();
    symlink("run", root.join("link")).unwrap();
    symlink(long("t", 150), root.join("long-link")).unwrap();
}

/// Path to what is there: content, `-> target` or `/`.
fn on_disk(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let at = entry.unwrap().path();
            let name = at.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let meta = at.symlink_metadata().unwrap();
            if meta.is_dir() {
                all.insert(name, b"/".to_vec());
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

fn read_back(file: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut reader = open_tar(fs::File::open(file).unwrap(), &Limits::default()).unwrap();
    let mut all = BTreeMap::<String, Vec<u8>>::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        let content = match entry.kind {
            Kind::Directory => b"/".to_vec(),
            Kind::Symlink(target) => format!("-> {target}").into_bytes(),
            Kind::Hardlink(target) => all[target.as_str()].clone(),
            Kind::File => {
                let mut content = Vec::new();
                reader.read_to_end(&mut content).unwrap();
                content
            }
            other => panic!("{other:?}"),
        };
        if !entry.path.is_root() {
            all.insert(entry.path.as_str().to_owned(), content);
        }
    }
    all
}

#[test]
fn reads_what_gnu_tar_writes_in_every_format_and_compression() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    fs::create_dir(&root).unwrap();
    sample(&root);
    let expected = on_disk(&root);
    for format in ["gnu", "pax", "oldgnu"] {
        for option in ["--gzip", "--xz", "--zstd", "--bzip2", "--no-auto-compress"] {
            let out = folder.path().join(format!("{format}{option}"));
            run(Command::new("tar")
                .arg("-C")
                .arg(&root)
                .args(["--create", option, "--format", format, "--file"])
                .arg(&out)
                .arg("."));
            assert!(read_back(&out) == expected, "{format} {option}");
        }
    }
    // The plain ustar format carries less.
    fs::remove_file(root.join(long("n", 200))).unwrap();
    fs::remove_file(root.join("long-link")).unwrap();
    for format in ["ustar", "v7"] {
        if format == "v7" {
            fs::remove_dir_all(root.join("d")).unwrap();
        }
        let out = folder.path().join(format);
        run(Command::new("tar")
            .arg("-C")
            .arg(&root)
            .args(["--create", "--format", format, "--file"])
            .arg(&out)
            .arg("."));
        assert!(read_back(&out) == on_disk(&root), "{format}");
    }
}

#[test]
fn a_sparse_file_of_gnu_tar_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let sparse = fs::File::create(folder.path().join("sparse")).unwrap();
    sparse.set_len(10 << 20).unwrap();
    for format in ["gnu", "pax"] {
        let out = folder.path().join(format);
        run(Command::new("tar")
            .arg("-C")
            .arg(folder.path())
            .args(["-cS", "--format", format, "-f"])
            .arg(&out)
            .arg("sparse"));
        let error = open_tar(fs::File::open(&out).unwrap(), &Limits::default()).unwrap().next_entry().unwrap_err();
        assert!(error.to_string().contains("a sparse file"), "{format}: {error}");
    }
}

fn written(with_devices: bool) -> Vec<u8> {
    let file = |name: &str, content: &str| {
        (Entry { size: content.len() as u64, ..Entry::new(path(name), Kind::File) }, content.to_owned())
    };
    let plain = |name: &str, kind: Kind| (Entry::new(path(name), kind), String::new());
    let mut entries = vec![
        plain("", Kind::Directory),
        plain("empty", Kind::Directory),
        file("file", "text"),
        file(&format!("{}/{}", long("p", 150), long("q", 100)), "split name"),
        file(&long("n", 250), "long name"),
        file("größe ☃", "not ASCII"),
        plain(&format!("{}/{}", long("d", 120), long("e", 120)), Kind::Directory),
        plain("link", Kind::Symlink("file".into())),
        plain("long-link", Kind::Symlink(long("t", 3000))),
        plain("hard", Kind::Hardlink(path("file"))),
        plain("hard-to-long", Kind::Hardlink(path(&long("n", 250)))),
    ];
    if with_devices {
        entries.push(plain("null", Kind::Character { major: 1, minor: 3 }));
        entries.push(plain("disk", Kind::Block { major: 259, minor: 1_048_575 }));
        entries.push(plain("pipe", Kind::Fifo));
        let mut owned = Entry::new(path("owned"), Kind::File);
        (owned.uid, owned.gid, owned.mode) = (3_000_000_000, 2_097_152, 0o6755);
        (owned.user, owned.group) = ("somebody".into(), "everyone".into());
        owned.xattrs = BTreeMap::from([("user.note".into(), (*b"a\0b").into())]);
        entries.push((owned, String::new()));
    }
    let mut writer = tar::Writer::new(Vec::new());
    for (entry, content) in &entries {
        writer.add(entry, &mut content.as_bytes()).unwrap();
    }
    writer.finish().unwrap()
}

fn programs() -> Vec<&'static str> {
    let installed =
        |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success());
    let all: Vec<_> = ["tar", "bsdtar"].into_iter().filter(installed).collect();
    assert!(all.contains(&"tar"), "GNU tar is on every Debian machine");
    all
}

#[test]
fn others_unpack_what_is_written() {
    let bytes = written(false);
    for program in programs() {
        for compression in [Compression::None, Compression::Gzip, Compression::Xz, Compression::Zstd] {
            let folder = tempfile::tempdir().unwrap();
            let packed = folder.path().join("packed");
            let mut encoder = encoder(compression, fs::File::create(&packed).unwrap(), Level::Default).unwrap();
            std::io::copy(&mut &bytes[..], &mut encoder).unwrap();
            encoder.finish().unwrap();
            let out = folder.path().join("out");
            fs::create_dir(&out).unwrap();
            run(Command::new(program).args(["-xf"]).arg(&packed).arg("-C").arg(&out));
            let plain = folder.path().join("plain");
            fs::write(&plain, &bytes).unwrap();
            let mut expected = read_back(&plain);
            // Folders that only contents name.
            expected.insert(long("p", 150), b"/".to_vec());
            expected.insert(long("d", 120), b"/".to_vec());
            assert!(on_disk(&out) == expected, "{program}, {compression}");
        }
    }
}

#[test]
fn others_list_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("packed.tar");
    fs::write(&packed, written(true)).unwrap();
    let listing =
        run(Command::new("tar").args(["-tv", "--full-time", "--xattrs", "--xattrs-include=*", "-f"]).arg(&packed));
    // How far columns are apart depends on the widest one.
    let listing = listing
        .lines()
        .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join("\n");
    for line in [
        "crw-r--r-- 0/0 1,3 1980-01-01 00:00:00 null",
        "brw-r--r-- 0/0 259,1048575 1980-01-01 00:00:00 disk",
        "prw-r--r-- 0/0 0 1980-01-01 00:00:00 pipe",
        "-rwsr-sr-x* somebody/everyone",
        "hrw-r--r-- 0/0 0 1980-01-01 00:00:00 hard link to file",
    ] {
        assert!(listing.contains(line), "`{line}` is not in\n{listing}");
    }
    let numeric = run(Command::new("tar").args(["-tv", "--numeric-owner", "-f"]).arg(&packed));
    assert!(numeric.contains("3000000000/2097152"), "{numeric}");
    for program in programs() {
        assert_eq!(run(Command::new(program).arg("-tf").arg(&packed)).lines().count(), 15, "{program}");
    }
}

#[test]
fn unpacks_what_others_pack() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("top-1.0");
    fs::create_dir(&root).unwrap();
    sample(&root);
    let expected = on_disk(&root);
    for (number, program) in programs().into_iter().enumerate() {
        let packed = folder.path().join(format!("{program}.tar.xz"));
        run(Command::new(program).arg("-cJf").arg(&packed).arg("-C").arg(folder.path()).arg("top-1.0"));
        let out = folder.path().join(format!("out{number}"));
        let options = Options { strip: Strip::SingleFolder, ..Options::default() };
        extract_file(&packed, &out, &options).unwrap();
        assert!(on_disk(&out) == expected, "{program}");
    }
}
