//! Layers, one on the other, into one tree.
//!
//! A layer is a tar archive of what it adds or changes. `.wh.NAME` takes away `NAME` of the layers below, `.wh..wh..opq`
//! all that they have in its folder; neither touches what its own layer has, wherever in the layer it stands. Nothing is
//! written through a link. Of a path that comes twice in a layer the last entry counts, as in every tar archive.

use std::collections::BTreeMap;
use std::io::Read;

use kiln_archive::tree::{StoreError, store};
use kiln_archive::{Entry, Kind, ReadError, tar};
use kiln_model::{Dir, Facts, ObjectId, ObjectSink, TreePath};

use super::error::ImageError;
use crate::payload::{Data, FixedAccounts};

const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

/// The files that name accounts, and no longer than this.
const ACCOUNTS: [&str; 2] = ["etc/passwd", "etc/group"];
const ACCOUNTS_LIMIT: u64 = 4 << 20;

/// Owners have their names already when files are put into the tree.
const NONE: FixedAccounts = FixedAccounts { users: &[], groups: &[] };

struct Node {
    /// The layer that it is of.
    layer: usize,
    entry: Entry,
    object: Option<ObjectId>,
    /// Names of one file have one number.
    inode: u64,
}

/// The tree of the layers so far, by path: what is in a folder comes after it, and together.
#[derive(Default)]
pub(super) struct Stack {
    nodes: BTreeMap<String, Node>,
    inodes: u64,
    /// The content of files that may come to name accounts.
    texts: BTreeMap<ObjectId, Vec<u8>>,
}

impl Stack {
    /// Applies a layer, and gives how many entries it had.
    pub(super) fn apply(
        &mut self,
        layer: usize,
        mut tar: tar::Reader<impl Read>,
        objects: &dyn ObjectSink,
    ) -> Result<u64, ImageError> {
        let fault = |source: ReadError| ImageError::Layer { layer, source };
        let mut entries = 0;
        while let Some(entry) = tar.next_entry().map_err(fault)? {
            entries += 1;
            let name = entry.path.components().next_back().unwrap_or_default();
            if name.starts_with(WHITEOUT) {
                self.whiteout(layer, &entry.path, name)?;
                continue;
            }
            let object = match entry.kind {
                Kind::File => {
                    let stored = if ACCOUNTS.contains(&entry.path.as_str()) && entry.size <= ACCOUNTS_LIMIT {
                        let mut text = Vec::new();
                        tar.read_to_end(&mut text).map_err(|error| fault(error.into()))?;
                        objects
                            .put(&text)
                            .inspect(|object| drop(self.texts.insert(*object, text)))
                            .map_err(StoreError::Object)
                    } else {
                        store(&mut tar, entry.size, objects)
                    };
                    Some(stored.map_err(|error| match error {
                        StoreError::Read(source) => fault(source.into()),
                        StoreError::Object(source) => ImageError::Object { what: entry.path.to_string(), source },
                    })?)
                }
                _ => None,
            };
            self.add(layer, entry, object)?;
        }
        Ok(entries)
    }

    fn fault(layer: usize, path: &TreePath, why: &str) -> ImageError {
        ImageError::Entry { layer, path: path.to_string(), why: why.to_owned() }
    }

    /// The paths below a folder.
    fn below(&self, folder: &str) -> impl Iterator<Item = (&String, &Node)> {
        // `0` is the character after `/`. Of the root everything is below, and nothing else begins so.
        let range = if folder.is_empty() {
            ("\u{1}".to_owned(), "\u{10ffff}".to_owned())
        } else {
            (format!("{folder}/"), format!("{folder}0"))
        };
        self.nodes.range(range.0..range.1)
    }

    fn remove_below(&mut self, folder: &str, which: impl Fn(&Node) -> bool) {
        let gone: Vec<String> =
            self.below(folder).filter(|(_, node)| which(node)).map(|(path, _)| path.clone()).collect();
        gone.iter().for_each(|path| drop(self.nodes.remove(path)));
    }

    fn whiteout(&mut self, layer: usize, path: &TreePath, name: &str) -> Result<(), ImageError> {
        let parent = path.parent().unwrap_or_default();
        if name == OPAQUE {
            self.folders(layer, path)?;
            self.remove_below(parent.as_str(), |node| node.layer < layer);
            return Ok(());
        }
        let hidden = &name[WHITEOUT.len()..];
        if hidden.starts_with(WHITEOUT) {
            return Err(Self::fault(layer, path, "is a whiteout of a kind that is not known"));
        }
        let place = if parent.is_root() { hidden.to_owned() } else { format!("{}/{hidden}", parent.as_str()) };
        let place: TreePath = place.parse().map_err(|_| Self::fault(layer, path, "is a whiteout of no name"))?;
        // Builders leave whiteouts of what never was (made and removed in one step), and the specification allows it.
        if self.nodes.get(place.as_str()).is_some_and(|node| node.layer < layer) {
            self.nodes.remove(place.as_str());
        }
        // What the layer itself has there stays, and so do the folders that hold it.
        self.remove_below(place.as_str(), |node| node.layer < layer);
        Ok(())
    }

    /// Sees to it that what holds a path is folders.
    fn folders(&mut self, layer: usize, path: &TreePath) -> Result<(), ImageError> {
        let mut next = path.parent();
        while let Some(folder) = next.filter(|folder| !folder.is_root()) {
            match self.nodes.get_mut(folder.as_str()) {
                Some(node) if node.entry.kind == Kind::Directory => node.layer = layer,
                Some(node) => {
                    let why = format!("is below `{folder}`, which is a {}", node.entry.kind.name());
                    return Err(Self::fault(layer, path, &why));
                }
                None => {
                    let entry = Entry::new(folder.clone(), Kind::Directory);
                    self.nodes.insert(folder.as_str().to_owned(), Node { layer, entry, object: None, inode: 0 });
                }
            }
            next = folder.parent();
        }
        Ok(())
    }

    fn add(&mut self, layer: usize, mut entry: Entry, mut object: Option<ObjectId>) -> Result<(), ImageError> {
        self.folders(layer, &entry.path)?;
        let path = entry.path.as_str().to_owned();
        if entry.path.is_root() && entry.kind != Kind::Directory {
            return Err(Self::fault(layer, &entry.path, "is the root, and no folder"));
        }
        self.inodes += 1;
        let mut inode = self.inodes;
        if let Kind::Hardlink(target) = &entry.kind {
            let Some(node) = self.nodes.get(target.as_str()).filter(|node| node.entry.kind != Kind::Directory) else {
                let why = format!("is a hard link to `{target}`, which is no file before it");
                return Err(Self::fault(layer, &entry.path, &why));
            };
            (object, inode) = (node.object, node.inode);
            entry = Entry { path: entry.path, ..node.entry.clone() };
        }
        let stays = |node: &Node| node.entry.kind == Kind::Directory && entry.kind == Kind::Directory;
        if self.nodes.get(&path).is_some_and(|node| !stays(node)) {
            self.remove_below(&path, |_| true);
        }
        self.nodes.insert(path, Node { layer, entry, object, inode });
        Ok(())
    }

    /// The tree, and what it cannot say.
    pub(super) fn finish(self) -> Result<(Dir, Facts), ImageError> {
        let [users, groups] = ACCOUNTS.map(|file| {
            let object = self.nodes.get(file).and_then(|node| node.object);
            object.and_then(|object| self.texts.get(&object)).map(|text| names(text)).unwrap_or_default()
        });
        let mut data = Data::new(&NONE);
        let mut first_of: BTreeMap<u64, TreePath> = BTreeMap::new();
        for node in self.nodes.into_values() {
            let mut entry = node.entry;
            let owner = |what, file, number: u32, names: &BTreeMap<u32, String>| match names.get(&number) {
                _ if number == 0 => Ok("root".to_owned()),
                // Another account of that name would be taken for the one that owns everything.
                Some(name) if name != "root" => Ok(name.clone()),
                _ => Err(ImageError::Owner { path: entry.path.to_string(), what, number, file }),
            };
            let user = owner("user", "/etc/passwd", entry.uid, &users)?;
            let group = owner("group", "/etc/group", entry.gid, &groups)?;
            (entry.user, entry.group) = (user, group);
            if entry.kind == Kind::File {
                match first_of.get(&node.inode) {
                    Some(first) => entry.kind = Kind::Hardlink(first.clone()),
                    None => drop(first_of.insert(node.inode, entry.path.clone())),
                }
            }
            data.add(&entry, node.object)?;
        }
        Ok(data.finish()?)
    }
}

/// The names of accounts by number: of several the first counts, as for those who look them up.
fn names(text: &[u8]) -> BTreeMap<u32, String> {
    let mut found = BTreeMap::new();
    for line in String::from_utf8_lossy(text).lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(Ok(number))) = (fields.next(), fields.nth(1).map(str::parse)) {
            found.entry(number).or_insert_with(|| name.to_owned());
        }
    }
    found
}
