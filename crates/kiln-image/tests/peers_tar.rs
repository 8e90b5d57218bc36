//! GNU tar and bsdtar, which nobody here wrote, list and unpack what Kiln writes. Debian: `tar`, `libarchive-tools`.

mod fixture;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use fixture::{Recipe, Sample, peer, printed};
use kiln_model::{Dir, Entry};

fn sample() -> Sample {
    Sample::of(&Recipe { special: true, devices: true, data: 300_000, ..Recipe::default() })
}

fn expected(tree: &Dir) -> BTreeSet<String> {
    let names = tree.walk().map(|(path, entry)| match entry {
        Entry::Dir(_) => format!("{}/", path.as_str()),
        _ => path.as_str().to_owned(),
    });
    names.chain(["./".to_owned()]).collect()
}

#[test]
fn both_list_every_entry_of_every_compression() {
    let folder = tempfile::tempdir().unwrap();
    let sample = sample();
    for output in ["tar", "tar-gz", "tar-zst"] {
        let written = sample.write(output, folder.path());
        let place = written.path.to_str().unwrap();
        for (program, arguments) in
            [("tar", &["--quoting-style=literal", "-tf", place][..]), ("bsdtar", &["-tf", place][..])]
        {
            let mut command = std::process::Command::new(program);
            let ran = fixture::peer_command(command.args(arguments).env("LC_ALL", "C.UTF-8"));
            assert!(ran.stderr.is_empty(), "{program} {output}: {}", String::from_utf8_lossy(&ran.stderr));
            let listed: BTreeSet<String> = printed(&ran).lines().map(str::to_owned).collect();
            assert_eq!(listed, expected(&sample.tree), "{program} {output}");
        }
    }
}

#[test]
fn gnu_tar_shows_owners_modes_links_and_devices() {
    let folder = tempfile::tempdir().unwrap();
    let written = sample().write("tar", folder.path());
    let listing = printed(&peer(
        "tar",
        &[
            "--numeric-owner",
            "--utc",
            "--full-time",
            "--xattrs",
            "--xattrs-include=*",
            "-tvvf",
            written.path.to_str().unwrap(),
        ],
    ));
    let has = |parts: &[&str]| {
        let found = listing.lines().any(|line| parts.iter().all(|part| line.contains(part)));
        assert!(found, "no line with {parts:?} in\n{listing}");
    };
    has(&["drwxr-xr-x", "0/0", "1980-01-01 00:00:00", "./"]);
    has(&["-rwsr-xr-x", "0/0", "usr/bin/su"]);
    has(&["-rwxr-sr-x", "0/5", "usr/bin/wall"]);
    has(&["drwxr-x---", "33/34", "var/lib/app/"]);
    has(&["drwxrwxrwt", "tmp/"]);
    has(&["hrwxr-xr-x", "usr/bin/git-add link to usr/bin/git"]);
    has(&["lrwxrwxrwx", "bin -> usr/bin"]);
    has(&["crw-rw-rw-", "1,3", "dev/null"]);
    has(&["brw-rw----", "7,0", "dev/loop0"]);
    has(&["prw-------", "run/pipe"]);
    has(&["-rwxr-xr-x*", "usr/bin/ping"]);
}

#[test]
fn both_unpack_what_the_folder_output_holds() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::with_data(300_000);
    let archive = sample.write("tar-zst", folder.path()).path;
    let expected = sample.write("dir", folder.path()).path;
    for (program, flags) in [("tar", &["--xattrs", "--same-permissions"][..]), ("bsdtar", &["-p"][..])] {
        let to = folder.path().join(program);
        fs::create_dir(&to).unwrap();
        let arguments = [flags, &["-xf", archive.to_str().unwrap(), "-C", to.to_str().unwrap()]].concat();
        printed(&fixture::peer_command(std::process::Command::new(program).args(&arguments).env("LC_ALL", "C.UTF-8")));
        assert_eq!(look(&to), look(&expected), "{program}");
    }
}

/// Everything that one may ask about a folder's content.
fn look(root: &Path) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    let mut seen = Vec::new();
    let mut todo = vec![root.to_owned()];
    while let Some(path) = todo.pop() {
        let found = fs::symlink_metadata(&path).unwrap();
        let content = if found.is_file() {
            kiln_model::Digest::of(&fs::read(&path).unwrap()).short()
        } else if found.is_symlink() {
            fs::read_link(&path).unwrap().display().to_string()
        } else {
            String::new()
        };
        if found.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let links = if found.is_dir() { 0 } else { found.nlink() };
        let owner = (found.uid(), found.gid());
        // bsdtar leaves the time of the folder it was sent to alone.
        let time = if name.is_empty() { 0 } else { found.mtime() };
        seen.push(format!("{name} {:o} {owner:?} {links} {time} {content}", found.mode()));
    }
    seen.sort();
    seen
}
