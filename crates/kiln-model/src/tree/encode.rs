//! The canonical encoding: Remote Execution API v2 `Directory` messages.
//!
//! Fields in ascending order, entries in byte order of their names, defaults left out: what a protobuf library writes
//! for the same message. Metadata a plain tree does not have goes into `NodeProperties`, which the API provides for
//! it: `unix_mode` when it is not the default (directory and executable 0755, file 0644), and the properties `device`
//! (`c:MAJOR:MINOR`, `b:MAJOR:MINOR`, `p`), `gid`, `hardlink`, `uid` and `xattr.NAME` (hexadecimal).

use std::collections::BTreeSet;

use super::{Device, Dir, Entry, FileEntry, Meta};
use crate::{Digest, TreeId};

/// Protobuf wire format: just the two wire types that these messages use.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn bytes(&mut self, field: u32, value: &[u8]) {
        self.varint(u64::from(field << 3 | 2));
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    fn number(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.varint(u64::from(field << 3));
            self.varint(value);
        }
    }

    fn digest(&mut self, field: u32, digest: &Digest, size: u64) {
        let digits = digest.digits();
        let size_length = if size == 0 { 0 } else { 1 + varint_length(size) };
        self.varint(u64::from(field << 3 | 2));
        self.varint((2 + digits.len() + size_length) as u64);
        self.bytes(1, &digits);
        self.number(2, size);
    }

    fn properties(&mut self, field: u32, mut list: Vec<(String, String)>, mode: Option<u16>) {
        if list.is_empty() && mode.is_none() {
            return;
        }
        list.sort();
        let mut message = Self::default();
        for (name, value) in list {
            let mut property = Self::default();
            property.bytes(1, name.as_bytes());
            property.bytes(2, value.as_bytes());
            message.bytes(1, &property.0);
        }
        if let Some(mode) = mode {
            let mut wrapper = Self::default();
            wrapper.number(1, u64::from(mode));
            message.bytes(3, &wrapper.0);
        }
        self.bytes(field, &message.0);
    }
}

/// How many bytes a number takes.
const fn varint_length(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

fn properties(meta: &Meta) -> Vec<(String, String)> {
    let mut list = Vec::new();
    if meta.uid != 0 {
        list.push(("uid".to_owned(), meta.uid.to_string()));
    }
    if meta.gid != 0 {
        list.push(("gid".to_owned(), meta.gid.to_string()));
    }
    for (name, value) in &meta.xattrs {
        list.push((format!("xattr.{name}"), hex::encode(value)));
    }
    list
}

/// The mode a file has when nothing else is said.
pub(super) const fn default_mode(executable: bool) -> u16 {
    if executable { 0o755 } else { 0o644 }
}

fn file(name: &str, file: &FileEntry) -> Message {
    let mut message = Message::default();
    message.bytes(1, name.as_bytes());
    message.digest(2, file.object.digest(), file.size);
    message.number(4, u64::from(file.is_executable()));
    let mut list = properties(&file.meta);
    if file.hardlinked {
        list.push(("hardlink".to_owned(), "1".to_owned()));
    }
    let mode = file.meta.mode;
    message.properties(6, list, (mode != default_mode(file.is_executable())).then_some(mode));
    message
}

fn device(name: &str, device: Device, meta: &Meta) -> Message {
    let mut message = Message::default();
    message.bytes(1, name.as_bytes());
    message.digest(2, &Digest::EMPTY, 0);
    let text = match device {
        Device::Character { major, minor } => format!("c:{major}:{minor}"),
        Device::Block { major, minor } => format!("b:{major}:{minor}"),
        Device::Fifo => "p".to_owned(),
    };
    let mut list = properties(meta);
    list.push(("device".to_owned(), text));
    message.properties(6, list, (meta.mode != default_mode(false)).then_some(meta.mode));
    message
}

/// The encoding of one directory. Those below it enter by digest.
#[must_use]
pub fn encode(dir: &Dir) -> Vec<u8> {
    let (mut files, mut directories, mut links) = (Message::default(), Message::default(), Message::default());
    for (name, entry) in dir.entries() {
        match entry {
            Entry::File(entry) => files.bytes(1, &file(name, entry).0),
            Entry::Device(kind, meta) => files.bytes(1, &device(name, *kind, meta).0),
            Entry::Dir(below) => {
                let (id, size) = below.id_and_size();
                let mut message = Message::default();
                message.bytes(1, name.as_bytes());
                message.digest(2, id.digest(), size);
                directories.bytes(2, &message.0);
            }
            Entry::Symlink(link) => {
                let mut message = Message::default();
                message.bytes(1, name.as_bytes());
                message.bytes(2, link.target.as_bytes());
                message.properties(4, properties(&link.meta), None);
                links.bytes(3, &message.0);
            }
        }
    }
    let mut message = files;
    message.0.append(&mut directories.0);
    message.0.append(&mut links.0);
    let mode = dir.meta().mode;
    message.properties(5, properties(dir.meta()), (mode != 0o755).then_some(mode));
    message.0
}

/// Every directory of a tree with its name and encoding, the root first, each once: what a `Tree` message holds.
#[must_use]
pub fn directories(root: &Dir) -> Vec<(TreeId, Vec<u8>)> {
    fn add(dir: &Dir, seen: &mut BTreeSet<TreeId>, out: &mut Vec<(TreeId, Vec<u8>)>) {
        if seen.insert(dir.id()) {
            out.push((dir.id(), encode(dir)));
            for (_, entry) in dir.entries() {
                if let Entry::Dir(below) = entry {
                    add(below, seen, out);
                }
            }
        }
    }
    let mut out = Vec::new();
    add(root, &mut BTreeSet::new(), &mut out);
    out
}
