//! Unpacking Debian source packages, made by hand. Real ones are taken by `archive_deb.rs`.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use kiln_archive::compress::{Level, encoder};
use kiln_archive::extract::ExtractError;
use kiln_archive::{Compression, Entry, Kind, tar};
use kiln_import::debsource::{DistributionPatches, SourceError, SourcePackage, UnpackOptions, unpack};
use kiln_model::Digest;

struct Fixture {
    folder: tempfile::TempDir,
    files: Vec<(String, Vec<u8>)>,
    format: &'static str,
}

impl Fixture {
    fn new(format: &'static str) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), files: Vec::new(), format }
    }

    fn add(mut self, name: &str, bytes: Vec<u8>) -> Self {
        self.files.push((name.to_owned(), bytes));
        self
    }

    fn description(&self) -> String {
        let line =
            |(name, bytes): &(String, Vec<u8>)| format!(" {} {} {name}\n", Digest::of(bytes).to_hex(), bytes.len());
        let files: String = self.files.iter().map(line).collect();
        format!("Format: {}\nSource: a\nVersion: 1-1\nChecksums-Sha256:\n{files}", self.format)
    }

    fn package(&self) -> SourcePackage {
        SourcePackage::parse(self.description().as_bytes()).unwrap()
    }

    fn destination(&self) -> PathBuf {
        self.folder.path().join("out/source")
    }

    /// Unpacks, noting the patches instead of applying them.
    fn unpack(&self, patches: DistributionPatches) -> Result<(Vec<String>, Vec<String>), SourceError> {
        let package = self.package();
        for (name, bytes) in &self.files {
            fs::write(self.folder.path().join(name), bytes).unwrap();
        }
        fs::create_dir_all(self.destination().parent().unwrap()).unwrap();
        let mut seen = Vec::new();
        let mut patcher = |root: &Path, name: &str, text: &[u8]| -> Result<(), Box<dyn Error + Send + Sync>> {
            assert!(root.is_dir());
            if text.starts_with(b"bad") {
                return Err("hunk 1 does not fit".into());
            }
            if name.ends_with(".diff.gz") {
                fs::create_dir_all(root.join("debian"))?;
                fs::write(root.join("debian/rules"), text)?;
            }
            seen.push(format!("{name}: {}", String::from_utf8_lossy(text)));
            Ok(())
        };
        let options = UnpackOptions { patches, ..UnpackOptions::default() };
        let folder = self.folder.path().to_owned();
        let mut open = |file: &kiln_import::debsource::SourceFile| File::open(folder.join(&file.name));
        let result = unpack(&package, &mut open, &self.destination(), &options, &mut patcher);
        let left = fs::read_dir(self.destination().parent().unwrap()).unwrap().count();
        assert_eq!(left, usize::from(result.is_ok()), "nothing half-done is left");
        let applied = result?;
        assert_eq!(applied.len(), seen.len());
        Ok((list(&self.destination()), seen))
    }
}

fn list(root: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut todo = vec![root.to_owned()];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let at = entry.unwrap().path();
            if at.symlink_metadata().unwrap().is_dir() {
                todo.push(at);
            } else {
                all.push(at.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    all.sort();
    all
}

fn tarball(compression: Compression, files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = tar::Writer::new(encoder(compression, Vec::new(), Level::Default).unwrap());
    for (name, content) in files {
        let path = name.parse().unwrap();
        match content.strip_prefix("-> ") {
            Some(target) => writer.add_empty(&Entry::new(path, Kind::Symlink(target.into()))).unwrap(),
            None => {
                let entry = Entry { size: content.len() as u64, ..Entry::new(path, Kind::File) };
                writer.add(&entry, &mut content.as_bytes()).unwrap();
            }
        }
    }
    writer.finish().unwrap().finish().unwrap()
}

fn quilt(debian: &[(&str, &str)]) -> Fixture {
    Fixture::new("3.0 (quilt)")
        .add(
            "a_1.orig.tar.gz",
            tarball(Compression::Gzip, &[("a-1.0/main.c", "main"), ("a-1.0/debian/upstreams", "own")]),
        )
        .add("a_1.orig.tar.gz.asc", b"signature".to_vec())
        .add("a_1.orig-part.tar.xz", tarball(Compression::Xz, &[("anything/part.c", "part")]))
        .add("a_1-1.debian.tar.xz", tarball(Compression::Xz, debian))
}

const SERIES: &[(&str, &str)] = &[
    ("debian/control", "Source: a"),
    ("debian/patches/series", "one.patch\n# two.patch\nsub/three.patch -p1\n"),
    ("debian/patches/one.patch", "1"),
    ("debian/patches/sub/three.patch", "3"),
];

#[test]
fn upstream_alone_is_what_comes_without_asking() {
    let (files, patches) = quilt(SERIES).unpack(DistributionPatches::default()).unwrap();
    assert_eq!(files, ["debian/upstreams", "main.c", "part/part.c"]);
    assert!(patches.is_empty());
}

#[test]
fn the_distributions_changes_come_when_asked_for() {
    let (files, patches) = quilt(SERIES).unpack(DistributionPatches::Apply).unwrap();
    assert_eq!(patches, ["one.patch: 1", "sub/three.patch: 3"]);
    let expected = [
        "debian/control",
        "debian/patches/one.patch",
        "debian/patches/series",
        "debian/patches/sub/three.patch",
        "main.c",
        "part/part.c",
    ];
    assert_eq!(files, expected, "upstream's own `debian` gives way");
    let (_, patches) = quilt(&[("debian/control", "")]).unpack(DistributionPatches::Apply).unwrap();
    assert!(patches.is_empty(), "there need not be patches");
}

#[test]
fn only_what_is_needed_is_named() {
    let package = quilt(SERIES).package();
    let names = |patches| package.needed(patches).unwrap().iter().map(|file| file.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(DistributionPatches::Leave), ["a_1.orig.tar.gz", "a_1.orig-part.tar.xz"]);
    assert_eq!(names(DistributionPatches::Apply).last().unwrap(), "a_1-1.debian.tar.xz");
}

#[test]
fn native_packages_and_old_ones_unpack_too() {
    let tar = || tarball(Compression::Gzip, &[("a-1/x", "x")]);
    for (format, name) in [("3.0 (native)", "a_1.tar.gz"), ("1.0", "a_1.tar.gz")] {
        assert_eq!(
            Fixture::new(format).add(name, tar()).unpack(DistributionPatches::Apply).unwrap().0,
            ["x"],
            "{format}"
        );
    }
    let diff = || {
        let mut packed = encoder(Compression::Gzip, Vec::new(), Level::Default).unwrap();
        packed.write_all(b"the diff").unwrap();
        packed.finish().unwrap()
    };
    let old = || Fixture::new("1.0").add("a_1.orig.tar.gz", tar()).add("a_1-1.diff.gz", diff());
    assert_eq!(old().unpack(DistributionPatches::Leave).unwrap().0, ["x"]);
    let fixture = old();
    let (files, patches) = fixture.unpack(DistributionPatches::Apply).unwrap();
    assert_eq!(
        (files, patches),
        (vec!["debian/rules".to_owned(), "x".into()], vec!["a_1-1.diff.gz: the diff".to_owned()])
    );
    let mode = fs::metadata(fixture.destination().join("debian/rules")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
}

#[test]
fn a_wrong_digest_is_refused_before_anything_is_unpacked() {
    let fixture = quilt(SERIES);
    let package = fixture.package();
    let out = fixture.folder.path().join("out");
    let other = fixture.folder.path().join("other");
    fs::write(&other, b"something else").unwrap();
    let mut open = |_: &kiln_import::debsource::SourceFile| File::open(&other);
    let error = unpack(&package, &mut open, &out, &UnpackOptions::default(), &mut |_, _, _| Ok(())).unwrap_err();
    assert!(matches!(&error, SourceError::Digest { file, .. } if file == "a_1.orig.tar.gz"), "{error}");
    assert!(error.hint().is_some() && !out.exists());
    let mut open = |_: &kiln_import::debsource::SourceFile| File::open("/not/there");
    let error = unpack(&package, &mut open, &out, &UnpackOptions::default(), &mut |_, _, _| Ok(())).unwrap_err();
    assert!(matches!(error, SourceError::Read { .. }));
}

#[test]
fn a_patch_that_does_not_apply_leaves_nothing() {
    let error = quilt(&[("debian/patches/series", "bad.patch"), ("debian/patches/bad.patch", "bad")])
        .unpack(DistributionPatches::Apply);
    let error = error.unwrap_err();
    assert_eq!(error.to_string(), "the distribution's patch `bad.patch` does not apply");
    assert_eq!(error.source().unwrap().to_string(), "hunk 1 does not fit");
}

#[test]
fn hostile_packages_are_refused() {
    let cases: [(&[(&str, &str)], &str); 5] = [
        (&[("debian/control", ""), ("elsewhere", "")], "the folder `debian` and nothing else"),
        (&[("debian/patches/series", "../../x")], "line 1"),
        (&[("debian/patches/series", "gone.patch")], "the patch `debian/patches/gone.patch`"),
        (
            &[("debian/patches/series", "p"), ("debian/patches/p", "-> ../control"), ("debian/control", "")],
            "cannot read",
        ),
        (&[("debian", "-> part"), ("part/x", "")], "the folder `debian` and nothing else"),
    ];
    for (debian, expected) in cases {
        let error = quilt(debian).unpack(DistributionPatches::Apply).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let leads_out =
        Fixture::new("3.0 (native)").add("a_1.tar.gz", tarball(Compression::Gzip, &[("a/l", "-> /etc/passwd")]));
    let error = leads_out.unpack(DistributionPatches::Leave).unwrap_err();
    assert!(matches!(error, SourceError::Unpack { source: ExtractError::Outside { .. }, .. }), "{error}");
    // A part whose folder upstream made a link: the link goes, and nothing is written where it led.
    let outside = tempfile::tempdir().unwrap();
    let link = format!("-> {}", outside.path().display());
    let fixture = Fixture::new("3.0 (quilt)")
        .add("a_1.orig.tar.gz", tarball(Compression::Gzip, &[("a/part", "-> elsewhere"), ("a/elsewhere/x", "")]))
        .add("a_1.orig-part.tar.gz", tarball(Compression::Gzip, &[("p/y", &link.replace("-> ", ""))]))
        .add("a_1-1.debian.tar.gz", tarball(Compression::Gzip, &[("debian/x", "")]));
    assert_eq!(fixture.unpack(DistributionPatches::Leave).unwrap().0, ["elsewhere/x", "part/y"]);
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn the_files_must_be_those_of_the_format() {
    let tar = tarball(Compression::Gzip, &[("a/x", "")]);
    let cases: BTreeMap<&str, (&'static str, Vec<&str>)> = BTreeMap::from([
        ("two tarballs", ("3.0 (native)", vec!["a_1.tar.gz", "b_1.tar.gz"])),
        ("no tarball", ("3.0 (native)", vec![])),
        ("no changes", ("3.0 (quilt)", vec!["a_1.orig.tar.gz"])),
        ("not upstream's", ("3.0 (quilt)", vec!["a_1.tar.gz", "a_1-1.debian.tar.gz"])),
        ("a part that leads up", ("3.0 (quilt)", vec!["a_1.orig.tar.gz", "a_1.orig-...tar.gz", "a_1-1.debian.tar.gz"])),
        ("a part of a native package", ("3.0 (native)", vec!["a_1.tar.gz", "a_1.orig-b.tar.gz"])),
        ("a diff in the new format", ("3.0 (quilt)", vec!["a_1.orig.tar.gz", "a_1-1.diff.gz"])),
        ("an unknown compression", ("1.0", vec!["a_1.tar.Z"])),
    ]);
    for (what, (format, names)) in cases {
        let fixture = names.iter().fold(Fixture::new(format), |fixture, name| fixture.add(name, tar.clone()));
        if names.is_empty() {
            assert!(SourcePackage::parse(fixture.description().as_bytes()).is_err(), "{what}");
        } else {
            assert!(
                matches!(fixture.package().needed(DistributionPatches::Leave), Err(SourceError::Files { .. })),
                "{what}"
            );
        }
    }
}
