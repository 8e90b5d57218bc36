//! RPM's packages and repositories, made by the real tools: `rpmbuild`, `createrepo_c`. Packages whose bytes must be
//! wrong in a certain way are put together by hand ([`RawRpm`]).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kiln_model::Architecture;

use crate::ArchiveKey;

/// What every spec of a test begins with: nothing is looked for in its files, and nothing is changed in them.
const HEAD: &str = "AutoReqProv: no\nLicense: MIT\nSummary: made for a test\n";

/// RPM's name of this machine's architecture.
#[must_use]
pub fn architecture() -> &'static str {
    match Architecture::native() {
        Architecture::Amd64 => "x86_64",
        Architecture::Arm64 => "aarch64",
    }
}

/// Runs a tool to its end.
///
/// # Panics
/// When it is not there, or fails.
pub fn tool(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}\n{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Builds the packages of a spec, which has `%package -n NAME` for each but its own, into a folder. `defines` are further
/// macros, such as `("_binary_payload", "w6.xzdio")`. Gives the files.
///
/// # Panics
/// When `rpmbuild` cannot build them.
pub fn build(spec: &str, defines: &[(&str, &str)], folder: &Path) -> Vec<PathBuf> {
    fs::create_dir_all(folder).unwrap();
    let work = folder.join(".rpmbuild");
    fs::create_dir_all(&work).unwrap();
    let place = work.join("test.spec");
    // Each package has the head: what begins with a version is one.
    let spec = spec.replace("\nVersion:", &format!("\n{HEAD}Version:"));
    fs::write(&place, spec).unwrap();
    let mut command = Command::new("rpmbuild");
    command.arg("-bb").arg("--quiet").arg("--target").arg(architecture());
    let topdir = work.display().to_string();
    let rpms = folder.display().to_string();
    let fixed = [
        ("_topdir", &*topdir),
        ("_rpmdir", &*rpms),
        ("_rpmfilename", "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm"),
        ("_build_id_links", "none"),
        ("debug_package", "%{nil}"),
        ("__os_install_post", "%{nil}"),
        ("_buildhost", "test"),
        ("_dbpath", &*topdir),
    ];
    for (name, value) in fixed.iter().chain(defines) {
        command.arg("--define").arg(format!("{name} {value}"));
    }
    tool(command.arg(&place));
    fs::remove_dir_all(&work).unwrap();
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "rpm"))
        .collect();
    files.sort();
    files
}

/// Makes the packages of a folder a repository, signed by a key.
///
/// # Panics
/// When `createrepo_c` cannot.
pub fn repository(folder: &Path, arguments: &[&str], key: &ArchiveKey) {
    tool(Command::new("createrepo_c").arg("--quiet").args(arguments).arg(folder));
    sign(folder, key);
}

/// Signs the statement of a repository.
///
/// # Panics
/// When it is not there.
pub fn sign(folder: &Path, key: &ArchiveKey) {
    let statement = fs::read(folder.join("repodata/repomd.xml")).unwrap();
    fs::write(folder.join("repodata/repomd.xml.asc"), key.sign_detached(&statement)).unwrap();
}

/// A key of `gpg`, that packages and statements are signed with by the real tools.
pub struct Packager {
    home: PathBuf,
}

impl Packager {
    /// A new key of this kind, such as `rsa3072`, in a folder that is not there yet.
    ///
    /// # Panics
    /// When `gpg` cannot make it.
    #[must_use]
    pub fn new(kind: &str, home: PathBuf) -> Self {
        fs::create_dir_all(&home).unwrap();
        fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let packager = Self { home };
        packager.gpg(&["--quick-generate-key", "Packager <packager@example.org>", kind, "sign", "never"]);
        packager
    }

    /// Runs `gpg` with this key.
    ///
    /// # Panics
    /// When it fails.
    pub fn gpg(&self, arguments: &[&str]) -> String {
        let common = ["--batch", "--quiet", "--yes", "--passphrase", "", "--pinentry-mode", "loopback"];
        tool(Command::new("gpg").env("GNUPGHOME", &self.home).args(common).args(arguments))
    }

    /// The public half, armored.
    ///
    /// # Panics
    /// When `gpg` does not give it.
    #[must_use]
    pub fn public(&self) -> String {
        self.gpg(&["--armor", "--export"])
    }

    /// Signs packages, each in its place.
    ///
    /// # Panics
    /// When `rpmsign` cannot.
    pub fn sign(&self, packages: &[PathBuf]) {
        let mut command = Command::new("rpmsign");
        command.env("GNUPGHOME", &self.home).args(["--define", "_gpg_name packager@example.org"]);
        tool(command.args(["--define", "__gpg /usr/bin/gpg", "--addsign"]).args(packages));
    }
}

impl Drop for Packager {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf").env("GNUPGHOME", &self.home).args(["--kill", "all"]).status();
    }
}

/// A value of a header.
#[derive(Debug, Clone)]
pub enum Value {
    /// A text.
    Text(String),
    /// Texts.
    Texts(Vec<String>),
    /// Numbers of two bytes.
    Shorts(Vec<u16>),
    /// Numbers of four bytes.
    Numbers(Vec<u32>),
}

/// A package put together by hand.
#[derive(Debug, Clone, Default)]
pub struct RawRpm {
    /// The header's values, by tag.
    pub values: Vec<(u32, Value)>,
    /// The payload, unpacked.
    pub payload: Vec<u8>,
}

/// A file of a [`RawRpm`], as its header has it.
#[derive(Debug, Clone)]
pub struct RawFile<'a> {
    /// The absolute path.
    pub path: &'a str,
    /// Type and permissions.
    pub mode: u16,
    /// The content's length.
    pub size: u32,
    /// Where a link leads.
    pub target: &'a str,
}

impl RawRpm {
    /// A package with these files in its header, and nothing in its payload but its end.
    #[must_use]
    pub fn new(files: &[RawFile<'_>]) -> Self {
        let text = |text: &str| Value::Text(text.to_owned());
        let all = |make: &dyn Fn(&RawFile<'_>) -> String| Value::Texts(files.iter().map(make).collect());
        let parts =
            |file: &RawFile<'_>| file.path.rsplit_once('/').map(|(a, b)| (format!("{a}/"), b.to_owned())).unwrap();
        let numbers = |make: &dyn Fn(usize) -> u32| Value::Numbers((0..files.len()).map(make).collect());
        let values = vec![
            (1000, text("raw")),
            (1001, text("1")),
            (1002, text("1")),
            (1022, text("noarch")),
            (1028, numbers(&|at| files[at].size)),
            (1030, Value::Shorts(files.iter().map(|file| file.mode).collect())),
            (1033, Value::Shorts(vec![0; files.len()])),
            (1035, all(&|_| String::new())),
            (1036, all(&|file| file.target.to_owned())),
            (1037, numbers(&|_| 0)),
            (1039, all(&|_| "root".to_owned())),
            (1040, all(&|_| "root".to_owned())),
            (1095, numbers(&|_| 1)),
            (1096, numbers(&|at| at as u32 + 1)),
            (1116, numbers(&|at| at as u32)),
            (1117, all(&|file| parts(file).1)),
            (1118, all(&|file| parts(file).0)),
            (1124, text("cpio")),
            (1125, text("gzip")),
        ];
        let values = if files.is_empty() {
            values.into_iter().filter(|(tag, _)| matches!(tag, 1000..=1022)).collect()
        } else {
            values
        };
        Self { values, payload: cpio(&[]) }
    }

    /// With this value in place of another.
    #[must_use]
    pub fn with(mut self, tag: u32, value: Value) -> Self {
        self.values.retain(|(other, _)| *other != tag);
        self.values.push((tag, value));
        self
    }

    /// With this payload.
    #[must_use]
    pub fn payload(mut self, payload: Vec<u8>) -> Self {
        self.payload = payload;
        self
    }

    /// The package as a file, its payload packed by gzip.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; 96];
        bytes[..6].copy_from_slice(&[0xed, 0xab, 0xee, 0xdb, 3, 0]);
        bytes.extend(header(&[]));
        bytes.extend(header(&self.values));
        bytes.extend(crate::apk::gzip(&self.payload));
        bytes
    }
}

/// A header of these values.
#[must_use]
pub fn header(values: &[(u32, Value)]) -> Vec<u8> {
    let (mut index, mut store) = (Vec::new(), Vec::new());
    for (tag, value) in values {
        let (kind, count, bytes, width): (u32, usize, Vec<u8>, usize) = match value {
            Value::Text(text) => (6, 1, [text.as_bytes(), b"\0"].concat(), 1),
            Value::Texts(texts) => {
                (8, texts.len(), texts.iter().flat_map(|text| [text.as_bytes(), b"\0"].concat()).collect(), 1)
            }
            Value::Shorts(numbers) => (3, numbers.len(), numbers.iter().flat_map(|n| n.to_be_bytes()).collect(), 2),
            Value::Numbers(numbers) => (4, numbers.len(), numbers.iter().flat_map(|n| n.to_be_bytes()).collect(), 4),
        };
        store.resize(store.len().next_multiple_of(width), 0);
        [*tag, kind, store.len() as u32, count as u32].iter().for_each(|word| index.extend(word.to_be_bytes()));
        store.extend(bytes);
    }
    let mut bytes = vec![0x8e, 0xad, 0xe8, 0x01, 0, 0, 0, 0];
    bytes.extend((values.len() as u32).to_be_bytes());
    bytes.extend((store.len() as u32).to_be_bytes());
    bytes.extend(index);
    bytes.extend(store);
    bytes
}

/// A cpio archive of entries: name, type and permissions, content.
#[must_use]
pub fn cpio(entries: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, mode, content) in entries.iter().chain(&[("TRAILER!!!", 0, &b""[..])]) {
        bytes.extend(b"070701");
        let numbers = [1, *mode, 0, 0, 1, 0, content.len() as u32, 0, 0, 0, 0, name.len() as u32 + 1, 0];
        numbers.iter().for_each(|number| bytes.extend(format!("{number:08x}").bytes()));
        bytes.extend(name.bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(*content);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}
