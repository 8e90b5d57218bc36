//! What a root file system holds, as far as a comparison looks: read from a tar archive, or put together from packages.
//!
//! A [`Listing`] is pure data. Paths have no leading slash, and those below `/bin`, `/lib` and `/sbin` stand below `/usr`,
//! where a merged system has them. Owners are names: those of the tree's own `etc/passwd` and `etc/group`. Of content only
//! the digest is kept, and of files that are compared by meaning the digest of the meaning.

use std::collections::BTreeMap;
use std::io::Read;

use kiln_archive::{Kind, Limits, open_tar};
use kiln_model::{Digest, Hasher};

use super::meaning::{Accounts, Meaning};
use crate::process::Outcome;

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A file, and the digest of its content or of what that means.
    File(Digest),
    /// A directory.
    Directory,
    /// A symbolic link and its target.
    Link(String),
    /// Something that no package carries, by its kind.
    Other(&'static str),
}

impl Node {
    /// Where a link leads.
    pub fn target(&self) -> Option<&str> {
        if let Self::Link(target) = self { Some(target) } else { None }
    }

    /// The kind in words.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Directory => "directory",
            Self::Link(_) => "symbolic link",
            Self::Other(kind) => kind,
        }
    }
}

/// Everything about a path that is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub node: Node,
    /// Permission bits; of links always the same.
    pub mode: u16,
    /// The owner's name, or `#ID` where the tree has none for it.
    pub user: String,
    /// The group's name, or `#ID`.
    pub group: String,
    /// Its file capabilities as stored.
    pub capability: Option<Vec<u8>>,
}

/// A tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// What is at each path.
    pub entries: BTreeMap<String, Entry>,
    /// The bytes of files that were asked for.
    pub kept: BTreeMap<String, Vec<u8>>,
}

/// Where owners' names come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// The tree's own accounts.
    Tree,
    /// The archive's headers: an extracted package has no accounts beside it.
    Archive,
}

/// Paths whose bytes are always kept: the accounts, and what dpkg thinks is installed.
const KEPT: [&str; 3] = ["etc/passwd", "etc/group", "var/lib/dpkg/status"];

/// Puts a listing together, one entry after the other.
pub struct Builder<'a> {
    names: Names,
    meaning: &'a dyn Fn(&str) -> Option<Meaning>,
    listing: Listing,
    ids: BTreeMap<String, (u32, u32)>,
    by_meaning: BTreeMap<String, (Meaning, Vec<u8>)>,
}

impl<'a> Builder<'a> {
    /// A builder of an empty listing; `meaning` says which files are compared by what they mean.
    pub fn new(names: Names, meaning: &'a dyn Fn(&str) -> Option<Meaning>) -> Self {
        Self { names, meaning, listing: Listing::default(), ids: BTreeMap::new(), by_meaning: BTreeMap::new() }
    }

    /// Adds what a tar archive holds, compressed or not, and tells `seen` of each path.
    pub fn tar(&mut self, reader: impl Read + Send, seen: &mut dyn FnMut(&str, &Entry)) -> Outcome {
        // What is read here is known, and larger than what a stranger may send.
        let limits = Limits { entries: 4_000_000, total_bytes: 64 << 30, ratio: 100_000, ..Limits::default() };
        let mut archive = open_tar(reader, &limits).map_err(|error| error.to_string())?;
        while let Some(entry) = archive.next_entry().map_err(|error| error.to_string())? {
            let path = canonical(entry.path.as_str());
            let node = match &entry.kind {
                Kind::File => self.file(&path, &mut archive)?,
                Kind::Directory => Node::Directory,
                Kind::Symlink(target) => Node::Link(canonical_target(target)),
                Kind::Hardlink(other) => {
                    self.hard_link(&path, &canonical(other.as_str()))?;
                    if let Some(entry) = self.listing.entries.get(&path) {
                        seen(&path, entry);
                    }
                    continue;
                }
                other => Node::Other(other.name()),
            };
            // The archive's headers may name what is a link in a merged tree.
            let merged = matches!(node, Node::Directory) && ROOT_LINKS.contains(&path.as_str());
            // The first package with a directory makes it; of files the last one wins.
            let again = matches!(node, Node::Directory) && self.names == Names::Archive;
            if merged || again && self.listing.entries.contains_key(&path) {
                continue;
            }
            let named = |name: &str, id: u32| match (self.names, name) {
                (Names::Tree, _) | (_, "") if id > 0 => format!("#{id}"),
                (Names::Tree, _) | (_, "") => "root".to_owned(),
                (Names::Archive, name) => name.to_owned(),
            };
            let made = Entry {
                mode: if matches!(node, Node::Link(_)) { 0o777 } else { entry.mode },
                node,
                user: named(&entry.user, entry.uid),
                group: named(&entry.group, entry.gid),
                capability: entry.xattrs.get("security.capability").map(|bytes| bytes.to_vec()),
            };
            seen(&path, &made);
            self.ids.insert(path.clone(), (entry.uid, entry.gid));
            self.listing.entries.insert(path, made);
        }
        Ok(())
    }

    /// Resolves names and meanings.
    pub fn finish(mut self) -> Listing {
        let text = |path: &str| self.listing.kept.get(path).map(|b| String::from_utf8_lossy(b).into_owned());
        let accounts = Accounts::new(&text("etc/passwd").unwrap_or_default(), &text("etc/group").unwrap_or_default());
        if self.names == Names::Tree {
            for (path, entry) in &mut self.listing.entries {
                let (user, group) = self.ids.get(path).copied().unwrap_or_default();
                entry.user = accounts.user(user);
                entry.group = accounts.group(group);
            }
        }
        for (path, (meaning, bytes)) in self.by_meaning {
            if let Some(Entry { node: node @ Node::File(_), .. }) = self.listing.entries.get_mut(&path) {
                *node = Node::File(Digest::of(&meaning.of(&bytes, &accounts)));
            }
        }
        self.listing
    }

    fn file(&mut self, path: &str, content: &mut impl Read) -> Outcome<Node> {
        let meaning = (self.meaning)(path);
        if meaning.is_none() && !KEPT.contains(&path) {
            let mut hasher = Hasher::new();
            std::io::copy(content, &mut hasher).map_err(|error| format!("cannot read `/{path}`: {error}"))?;
            return Ok(Node::File(hasher.finish()));
        }
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).map_err(|error| format!("cannot read `/{path}`: {error}"))?;
        let digest = Digest::of(&bytes);
        if KEPT.contains(&path) {
            self.listing.kept.insert(path.to_owned(), bytes.clone());
        }
        match meaning {
            Some(meaning) => self.by_meaning.insert(path.to_owned(), (meaning, bytes)),
            None => self.by_meaning.remove(path),
        };
        Ok(Node::File(digest))
    }

    fn hard_link(&mut self, path: &str, other: &str) -> Outcome {
        let entry = self.listing.entries.get(other).cloned();
        let entry =
            entry.ok_or_else(|| format!("`/{path}` is a hard link to `/{other}`, which did not come before"))?;
        self.listing.entries.insert(path.to_owned(), entry);
        if let Some(ids) = self.ids.get(other).copied() {
            self.ids.insert(path.to_owned(), ids);
        }
        if let Some(meant) = self.by_meaning.get(other).cloned() {
            self.by_meaning.insert(path.to_owned(), meant);
        }
        Ok(())
    }
}

/// Links at the root of a merged system.
const ROOT_LINKS: [&str; 6] = ["bin", "lib", "lib32", "lib64", "libx32", "sbin"];

/// A path as a merged system has it.
fn canonical(path: &str) -> String {
    match path.split_once('/') {
        Some((first, _)) if ROOT_LINKS.contains(&first) => format!("usr/{path}"),
        _ => path.to_owned(),
    }
}

/// The target of a link, likewise.
fn canonical_target(target: &str) -> String {
    match target.strip_prefix('/') {
        Some(path) => format!("/{}", canonical(path)),
        None => target.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use kiln_archive::Entry as Header;
    use kiln_archive::tar::Writer;
    use kiln_model::TreePath;

    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::from_archive(text).unwrap()
    }

    fn read(entries: &[(Header, &[u8])], names: Names) -> Listing {
        let mut writer = Writer::new(Vec::new());
        for (header, content) in entries {
            let mut header = header.clone();
            header.size = content.len() as u64;
            writer.add(&header, &mut &content[..]).unwrap();
        }
        let bytes = writer.finish().unwrap();
        let mut builder = Builder::new(names, &|_| None);
        builder.tar(&bytes[..], &mut |_, _| ()).unwrap();
        builder.finish()
    }

    fn owned(text: &str, uid: u32) -> Header {
        Header { uid, gid: uid, ..Header::new(path(text), Kind::File) }
    }

    #[test]
    fn owners_are_the_trees_own_names() {
        let passwd = (Header::new(path("etc/passwd"), Kind::File), &b"root:x:0:0::/:\nweb:x:990:990::/:\n"[..]);
        let listing = read(&[(owned("a", 990), b""), (owned("b", 7), b""), passwd], Names::Tree);
        assert_eq!(listing.entries["a"].user, "web");
        assert_eq!(listing.entries["b"].user, "#7");
        assert_eq!(listing.entries["etc/passwd"].user, "root");
    }

    #[test]
    fn names_in_packages_are_taken_as_they_are() {
        let mut header = owned("var/mail", 8);
        header.user = "root".into();
        header.group = "mail".into();
        let listing = read(&[(header, b"")], Names::Archive);
        assert_eq!((&*listing.entries["var/mail"].user, &*listing.entries["var/mail"].group), ("root", "mail"));
    }

    #[test]
    fn what_lies_below_a_merged_folder_stands_below_usr() {
        let link = Header::new(path("x"), Kind::Symlink("/lib/a".into()));
        let listing = read(&[(Header::new(path("lib/a"), Kind::File), b"1"), (link, b"")], Names::Archive);
        assert_eq!(listing.entries["usr/lib/a"].node.kind(), "file");
        assert_eq!(listing.entries["x"].node, Node::Link("/usr/lib/a".into()));
        assert!(!listing.entries.contains_key("lib/a"));
    }

    #[test]
    fn a_hard_link_is_the_file_it_names() {
        let link = Header::new(path("b"), Kind::Hardlink(path("a")));
        let listing = read(&[(owned("a", 0), b"same"), (link, b"")], Names::Tree);
        assert_eq!(listing.entries["a"], listing.entries["b"]);
    }

    #[test]
    fn a_directory_that_two_packages_have_is_the_first_ones() {
        let directory = |mode| (Header { mode, ..Header::new(path("d"), Kind::Directory) }, &b""[..]);
        let listing = read(&[directory(0o700), directory(0o755)], Names::Archive);
        assert_eq!(listing.entries["d"].mode, 0o700);
    }
}
