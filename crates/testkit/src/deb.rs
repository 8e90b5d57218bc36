//! Debian packages made from a description: no `dpkg-deb`, no files on disk, the same bytes each time.

use std::collections::BTreeMap;
use std::io::Write;

use kiln_archive::compress::{Level, encoder};
use kiln_archive::{Compression, Entry, Kind, tar};
use kiln_model::{Architecture, TreePath};

/// A Debian package.
#[derive(Debug, Clone)]
pub struct Deb {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    fields: BTreeMap<String, String>,
    files: BTreeMap<TreePath, (Entry, Vec<u8>)>,
    hooks: BTreeMap<String, String>,
}

impl Deb {
    /// An empty package for this machine.
    #[must_use]
    pub fn new(name: &str, version: &str) -> Self {
        let (fields, files, hooks) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let empty = Self { name: name.to_owned(), version: version.to_owned(), fields, files, hooks };
        empty.field("Architecture", Architecture::native().as_str())
    }

    /// With a field: `("Depends", "libc6")`.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.insert(name.to_owned(), value.to_owned());
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

    /// With a directory.
    #[must_use]
    pub fn directory(self, path: &str) -> Self {
        self.entry(Entry::new(tree_path(path), Kind::Directory), Vec::new())
    }

    /// With a hook: `("postinst", "#!/bin/sh\n...")`.
    #[must_use]
    pub fn hook(mut self, name: &str, script: &str) -> Self {
        self.hooks.insert(name.to_owned(), script.to_owned());
        self
    }

    fn entry(mut self, entry: Entry, content: Vec<u8>) -> Self {
        let parents = entry.path.as_str().match_indices('/').map(|(at, _)| tree_path(&entry.path.as_str()[..at]));
        for parent in parents.collect::<Vec<_>>() {
            let folder = || (Entry::new(parent.clone(), Kind::Directory), Vec::new());
            self.files.entry(parent.clone()).or_insert_with(folder);
        }
        self.files.insert(entry.path.clone(), (entry, content));
        self
    }

    /// Its paragraph, as `control` and `Packages` have it.
    #[must_use]
    pub fn control(&self) -> String {
        let mut text = format!("Package: {}\nVersion: {}\n", self.name, self.version);
        text.push_str("Maintainer: A <a@example.org>\n");
        for (name, value) in &self.fields {
            text.push_str(&format!("{name}: {value}\n"));
        }
        text + "Description: made for a test\n"
    }

    /// The name of its file.
    #[must_use]
    pub fn file_name(&self) -> String {
        // Names in a pool have no epoch.
        let version = self.version.split_once(':').map_or(self.version.as_str(), |(_, version)| version);
        format!("{}_{version}_{}.deb", self.name, self.fields["Architecture"])
    }

    /// The package as a file.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut control = vec![text_entry("control", &self.control(), 0o644)];
        control.extend(self.hooks.iter().map(|(name, script)| text_entry(name, script, 0o755)));
        let data = self.files.values().cloned();
        let root = (Entry::new(TreePath::root(), Kind::Directory), Vec::new());
        let data = tarball(Compression::Zstd, std::iter::once(root).chain(data));
        let control = tarball(Compression::Gzip, control);
        let mut bytes = b"!<arch>\n".to_vec();
        for (name, content) in
            [("debian-binary", b"2.0\n".as_slice()), ("control.tar.gz", &control), ("data.tar.zst", &data)]
        {
            let header = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, "100644", content.len());
            bytes.extend(header.as_bytes());
            bytes.extend(content);
            if content.len() % 2 == 1 {
                bytes.push(b'\n');
            }
        }
        bytes
    }
}

fn tree_path(text: &str) -> TreePath {
    text.trim_start_matches('/').parse().unwrap_or_else(|error| panic!("`{text}`: {error}"))
}

fn text_entry(name: &str, text: &str, mode: u16) -> (Entry, Vec<u8>) {
    let entry = Entry { mode, size: text.len() as u64, ..Entry::new(tree_path(name), Kind::File) };
    (entry, text.as_bytes().to_vec())
}

/// A tar archive of these entries.
///
/// # Panics
/// When an entry cannot be written as tar.
pub fn tarball(compression: Compression, entries: impl IntoIterator<Item = (Entry, Vec<u8>)>) -> Vec<u8> {
    let mut writer = tar::Writer::new(encoder(compression, Vec::new(), Level::Default).unwrap());
    for (entry, content) in entries {
        writer.add(&entry, &mut content.as_slice()).unwrap();
    }
    let mut encoder = writer.finish().unwrap();
    encoder.flush().unwrap();
    encoder.finish().unwrap()
}
