//! Alpine packages and archives made from a description: no `abuild`, the same bytes each time.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kiln_archive::compress::{Level, encoder};
use kiln_archive::{Compression, Entry, Kind, tar};
use kiln_model::{Architecture, Digest, TreePath};
use rsa::pkcs8::{EncodePublicKey, LineEnding};
use rsa::{Pkcs1v15Sign, RsaPrivateKey};
use sha1::{Digest as _, Sha1};

/// An Alpine package.
#[derive(Debug, Clone)]
pub struct Apk {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    fields: Vec<(String, String)>,
    files: BTreeMap<TreePath, (Entry, Vec<u8>)>,
    scripts: BTreeMap<String, String>,
}

/// The three sections of a package, each a gzip member.
#[derive(Debug, Clone)]
pub struct ApkSections {
    /// The signature.
    pub signature: Vec<u8>,
    /// `.PKGINFO` and scripts.
    pub control: Vec<u8>,
    /// The files.
    pub data: Vec<u8>,
}

impl ApkSections {
    /// The package as a file.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        [&*self.signature, &self.control, &self.data].concat()
    }
}

impl Apk {
    /// An empty package for this machine.
    #[must_use]
    pub fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            fields: Vec::new(),
            files: BTreeMap::new(),
            scripts: BTreeMap::new(),
        }
    }

    /// With a line of `.PKGINFO`: `("depend", "so:libc.musl-x86_64.so.1")`.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a file of mode 0644.
    #[must_use]
    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.with_mode(path, content, 0o644)
    }

    /// With a program.
    #[must_use]
    pub fn program(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.with_mode(path, content, 0o755)
    }

    fn with_mode(self, path: &str, content: impl AsRef<[u8]>, mode: u16) -> Self {
        let content = content.as_ref().to_vec();
        let entry = Entry { mode, size: content.len() as u64, ..Entry::new(tree_path(path), Kind::File) };
        self.entry(entry, content)
    }

    /// With a symbolic link.
    #[must_use]
    pub fn link(self, path: &str, target: &str) -> Self {
        self.entry(Entry::new(tree_path(path), Kind::Symlink(target.to_owned())), Vec::new())
    }

    /// With a script: `(".post-install", "#!/bin/sh\n...")`.
    #[must_use]
    pub fn script(mut self, name: &str, text: &str) -> Self {
        self.scripts.insert(name.to_owned(), text.to_owned());
        self
    }

    /// With any entry and its content.
    #[must_use]
    pub fn entry(mut self, mut entry: Entry, content: Vec<u8>) -> Self {
        (entry.user, entry.group) = ("root".to_owned(), "root".to_owned());
        entry.sha1 = match &entry.kind {
            Kind::File => Some(Sha1::digest(&content).into()),
            Kind::Symlink(target) => Some(Sha1::digest(target).into()),
            _ => None,
        };
        let parents = entry.path.as_str().match_indices('/').map(|(at, _)| tree_path(&entry.path.as_str()[..at]));
        for parent in parents.collect::<Vec<_>>() {
            let folder = || (Entry::new(parent.clone(), Kind::Directory), Vec::new());
            self.files.entry(parent.clone()).or_insert_with(folder);
        }
        self.files.insert(entry.path.clone(), (entry, content));
        self
    }

    fn values(&self, name: &str) -> String {
        let values = self.fields.iter().filter(|(field, _)| field == name).map(|(_, value)| &**value);
        values.collect::<Vec<_>>().join(" ")
    }

    /// Its sections, signed by a key.
    ///
    /// # Panics
    /// When an entry cannot be written as tar.
    #[must_use]
    pub fn sections(&self, key: &ApkKey) -> ApkSections {
        self.sections_with(key, piece(self.files.values().cloned(), true))
    }

    /// Its sections with another data section, which the control section names.
    ///
    /// # Panics
    /// When an entry cannot be written as tar.
    #[must_use]
    pub fn sections_with(&self, key: &ApkKey, data: Vec<u8>) -> ApkSections {
        let mut info = format!("# made for a test\npkgname = {}\npkgver = {}\n", self.name, self.version);
        if self.values("arch").is_empty() {
            info.push_str(&format!("arch = {}\n", architecture()));
        }
        for (name, value) in &self.fields {
            info.push_str(&format!("{name} = {value}\n"));
        }
        info.push_str(&format!("datahash = {}\n", Digest::of(&data).to_hex()));
        let scripts = self.scripts.iter().map(|(name, script)| text_entry(name, script.as_bytes(), 0o755));
        let control = piece(std::iter::once(text_entry(".PKGINFO", info.as_bytes(), 0o644)).chain(scripts), false);
        ApkSections { signature: key.signature("RSA256", &control), control, data }
    }

    /// Its paragraph in an index.
    #[must_use]
    pub fn paragraph(&self, sections: &ApkSections) -> String {
        let identity = STANDARD.encode(Sha1::digest(&sections.control));
        let size = sections.bytes().len();
        let built = Some(self.values("builddate")).filter(|date| !date.is_empty()).unwrap_or("1700000000".to_owned());
        let mut text = format!(
            "C:Q1{identity}\nP:{}\nV:{}\nA:{}\nS:{size}\nI:{size}\nT:made for a test\nL:MIT\no:{}\nt:{built}\n",
            self.name,
            self.version,
            architecture(),
            self.name
        );
        for (letter, field) in [("D", "depend"), ("p", "provides"), ("i", "install_if"), ("k", "provider_priority")] {
            let values = self.values(field);
            if !values.is_empty() {
                text.push_str(&format!("{letter}:{values}\n"));
            }
        }
        text + "\n"
    }
}

/// Alpine's name of this machine's architecture.
#[must_use]
pub fn architecture() -> &'static str {
    match Architecture::native() {
        Architecture::Amd64 => "x86_64",
        Architecture::Arm64 => "aarch64",
    }
}

/// A key that signs Alpine's packages and indexes.
#[derive(Clone)]
pub struct ApkKey {
    /// The name of its file.
    pub name: String,
    key: RsaPrivateKey,
}

impl ApkKey {
    /// The key of this number: the same each time.
    ///
    /// # Panics
    /// When the library cannot make it.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut random = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(seed);
        Self { name: format!("test-{seed}.rsa.pub"), key: RsaPrivateKey::new(&mut random, 2048).unwrap() }
    }

    /// Its public half, for a keyring in a project.
    ///
    /// # Panics
    /// When the library cannot write it.
    #[must_use]
    pub fn public(&self) -> String {
        self.key.to_public_key().to_public_key_pem(LineEnding::LF).unwrap()
    }

    /// A section with the signature of what follows: `RSA256`, or `RSA`, which is over SHA-1.
    ///
    /// # Panics
    /// When the library cannot sign.
    #[must_use]
    pub fn signature(&self, algorithm: &str, signed: &[u8]) -> Vec<u8> {
        let (prefix, hashed): (&[u8], Vec<u8>) = match algorithm {
            "RSA" => (
                &[0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14],
                Sha1::digest(signed).to_vec(),
            ),
            _ => (
                &[
                    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
                    0x00, 0x04, 0x20,
                ],
                Digest::of(signed).as_bytes().to_vec(),
            ),
        };
        let scheme = Pkcs1v15Sign { hash_len: Some(hashed.len()), prefix: prefix.into() };
        let signature = self.key.sign(scheme, &hashed).unwrap();
        piece([text_entry(&format!(".SIGN.{algorithm}.{}", self.name), &signature, 0o644)], false)
    }

    /// An index with these paragraphs, signed.
    #[must_use]
    pub fn index(&self, algorithm: &str, text: &str) -> Vec<u8> {
        let index = piece(
            [text_entry("DESCRIPTION", b"made for a test", 0o644), text_entry("APKINDEX", text.as_bytes(), 0o644)],
            true,
        );
        [self.signature(algorithm, &index), index].concat()
    }
}

/// A repository of an archive of Alpine's, `BRANCH/COMPONENT/ARCHITECTURE`.
pub struct AlpineArchive<'a> {
    /// The branch.
    pub branch: String,
    /// The component.
    pub component: String,
    /// Its packages.
    pub packages: Vec<&'a Apk>,
    /// How its index is signed.
    pub algorithm: &'static str,
}

impl<'a> AlpineArchive<'a> {
    /// The repository `main` with these packages.
    #[must_use]
    pub fn new(packages: impl IntoIterator<Item = &'a Apk>) -> Self {
        let (branch, component) = ("v3.22".to_owned(), "main".to_owned());
        Self { branch, component, packages: packages.into_iter().collect(), algorithm: "RSA256" }
    }

    /// Writes it to a folder, over what is there. Gives the repository's folder.
    ///
    /// # Panics
    /// When the folder cannot be written.
    pub fn write(&self, folder: &Path, key: &ApkKey) -> std::path::PathBuf {
        let place = folder.join(&self.branch).join(&self.component).join(architecture());
        fs::create_dir_all(&place).unwrap();
        let mut text = String::new();
        for package in &self.packages {
            let sections = package.sections(key);
            text.push_str(&package.paragraph(&sections));
            fs::write(place.join(format!("{}-{}.apk", package.name, package.version)), sections.bytes()).unwrap();
        }
        fs::write(place.join("APKINDEX.tar.gz"), key.index(self.algorithm, &text)).unwrap();
        place
    }
}

fn tree_path(text: &str) -> TreePath {
    text.trim_start_matches('/').parse().unwrap_or_else(|error| panic!("`{text}`: {error}"))
}

fn text_entry(name: &str, bytes: &[u8], mode: u16) -> (Entry, Vec<u8>) {
    let entry = Entry { mode, size: bytes.len() as u64, ..Entry::new(tree_path(name), Kind::File) };
    (entry, bytes.to_vec())
}

/// A piece of a tar archive as a gzip member. Only the last piece of a file ends the archive.
///
/// # Panics
/// When an entry cannot be written as tar.
pub fn piece(entries: impl IntoIterator<Item = (Entry, Vec<u8>)>, last: bool) -> Vec<u8> {
    let mut bytes = tarball(entries);
    if !last {
        bytes.truncate(bytes.len() - 1024);
    }
    gzip(&bytes)
}

/// A tar archive of these entries.
///
/// # Panics
/// When an entry cannot be written as tar.
pub fn tarball(entries: impl IntoIterator<Item = (Entry, Vec<u8>)>) -> Vec<u8> {
    let mut writer = tar::Writer::new(Vec::new());
    for (entry, content) in entries {
        writer.add(&entry, &mut content.as_slice()).unwrap();
    }
    writer.finish().unwrap()
}

/// A gzip member.
///
/// # Panics
/// Never: it is written to memory.
#[must_use]
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = encoder(Compression::Gzip, Vec::new(), Level::Default).unwrap();
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}
