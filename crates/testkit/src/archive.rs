//! A whole archive as a folder, for `file://`: `dists/SUITE/InRelease`, its indexes, `pool/`.

use std::fs;
use std::path::Path;
use std::process::Command;

use kiln_archive::compress::{Level, encoder};
use kiln_archive::{Compression, Entry, Kind};
use kiln_model::{Architecture, Digest};

use crate::{ArchiveKey, Deb, tarball};

/// A source package of format 3.0 (quilt) with one upstream tarball and no patches of the distribution.
#[derive(Debug, Clone)]
pub struct SourcePackage {
    /// Its name.
    pub name: String,
    /// Its version, with a revision: `1.0-1`.
    pub version: String,
    /// The upstream's files, below the tarball's one folder.
    pub files: Vec<(String, String)>,
}

/// An archive: what it has, who signs it and when.
#[derive(Clone)]
pub struct DebianArchive<'a> {
    /// The suite: `trixie`.
    pub suite: String,
    /// Its packages.
    pub packages: Vec<&'a Deb>,
    /// Its source packages.
    pub sources: Vec<SourcePackage>,
    /// Seconds until it is no longer valid; negative: since when.
    pub valid_for: i64,
    /// Seconds since it was made.
    pub age: i64,
}

impl<'a> DebianArchive<'a> {
    /// An archive of today with these packages.
    #[must_use]
    pub fn new(packages: impl IntoIterator<Item = &'a Deb>) -> Self {
        let packages = packages.into_iter().collect();
        Self { suite: "trixie".to_owned(), packages, sources: Vec::new(), valid_for: 7 * 86_400, age: 0 }
    }

    /// Writes it to a folder, over what is there.
    ///
    /// # Panics
    /// When the folder cannot be written.
    pub fn write(&self, folder: &Path, key: &ArchiveKey) {
        let architecture = Architecture::native();
        let mut packages = String::new();
        for deb in &self.packages {
            let path = format!("pool/main/{}", deb.file_name());
            let bytes = deb.bytes();
            let digest = Digest::of(&bytes).to_hex();
            packages.push_str(&deb.control());
            packages.push_str(&format!("Filename: {path}\nSize: {}\nSHA256: {digest}\n\n", bytes.len()));
            put(folder, &path, &bytes);
        }
        let sources: String = self.sources.iter().map(|source| source.write(folder)).collect();
        let mut listed = String::new();
        for (path, text) in [
            (format!("main/binary-{architecture}/Packages.xz"), packages),
            ("main/source/Sources.xz".to_owned(), sources),
        ] {
            let bytes = compress(Compression::Xz, text.as_bytes());
            listed.push_str(&format!("\n {} {} {path}", Digest::of(&bytes).to_hex(), bytes.len()));
            put(folder, &format!("dists/{}/{path}", self.suite), &bytes);
        }
        let made = now() - self.age;
        let release = format!(
            "Origin: Debian\nSuite: stable\nCodename: {}\nDate: {}\nValid-Until: {}\nArchitectures: {architecture}\nComponents: main\nSHA256:{listed}",
            self.suite,
            date(made),
            date(now() + self.valid_for),
        );
        put(folder, &format!("dists/{}/InRelease", self.suite), key.sign(&release).as_bytes());
    }
}

impl SourcePackage {
    /// Writes its files and gives its paragraph of `Sources`.
    fn write(&self, folder: &Path) -> String {
        let upstream = self.version.rsplit_once('-').map_or(self.version.as_str(), |(upstream, _)| upstream);
        let top = format!("{}-{upstream}", self.name);
        let directory = |path: &str| (Entry::new(path.parse().unwrap(), Kind::Directory), Vec::new());
        let file = |path: String, text: &str| {
            let entry = Entry { size: text.len() as u64, ..Entry::new(path.parse().unwrap(), Kind::File) };
            (entry, text.as_bytes().to_vec())
        };
        let mut entries = vec![directory(&top)];
        entries.extend(self.files.iter().map(|(path, text)| file(format!("{top}/{path}"), text)));
        let original = tarball(Compression::Gzip, entries);
        let packaging = tarball(
            Compression::Gzip,
            [directory("debian"), directory("debian/source"), file("debian/source/format".to_owned(), "3.0 (quilt)\n")],
        );
        let files = [
            (format!("{}_{upstream}.orig.tar.gz", self.name), original),
            (format!("{}_{}.debian.tar.gz", self.name, self.version), packaging),
        ];
        let listed = |files: &[(String, Vec<u8>)]| {
            let line =
                |(name, bytes): &(String, Vec<u8>)| format!("\n {} {} {name}", Digest::of(bytes).to_hex(), bytes.len());
            format!("Checksums-Sha256:{}", files.iter().map(line).collect::<String>())
        };
        let head = format!(
            "Format: 3.0 (quilt)\nSource: {}\nBinary: {}\nArchitecture: any\nVersion: {}\nMaintainer: A <a@example.org>\n",
            self.name, self.name, self.version
        );
        let description = format!("{head}{}\n", listed(&files)).into_bytes();
        let mut all = files.to_vec();
        all.push((format!("{}_{}.dsc", self.name, self.version), description));
        let pool = format!("pool/main/{}", self.name);
        all.iter().for_each(|(name, bytes)| put(folder, &format!("{pool}/{name}"), bytes));
        let paragraph = head.replace("Source: ", "Package: ");
        format!("{paragraph}Directory: {pool}\n{}\n\n", listed(&all))
    }
}

fn put(folder: &Path, path: &str, bytes: &[u8]) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn compress(kind: Compression, bytes: &[u8]) -> Vec<u8> {
    let mut encoder = encoder(kind, Vec::new(), Level::Default).unwrap();
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

fn run_date(arguments: &[&str]) -> String {
    let output = Command::new("date").env("LC_ALL", "C").arg("-u").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn now() -> i64 {
    run_date(&["+%s"]).parse().unwrap()
}

fn date(seconds: i64) -> String {
    run_date(&["-d", &format!("@{seconds}"), "+%a, %d %b %Y %H:%M:%S UTC"])
}
