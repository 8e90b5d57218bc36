//! Decoding trees from bytes that nobody vouches for.
//!
//! Only canonical bytes decode: each directory is encoded again and compared, so a tree has exactly one set of bytes
//! and unknown fields cannot hide in it. The tree must hang together: each directory is there, none is spare.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::encode::{default_mode, encode};
use super::{Device, Dir, Entry, FileEntry, Meta, SymlinkEntry};
use crate::path::PathError;
use crate::{Digest, ObjectId, TreeId};

/// Deeper trees are refused: no path of 4096 bytes needs more, and decoding recurses.
const MAX_DEPTH: usize = 2048;

/// Why bytes are not a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The protobuf wire format is broken.
    #[error("broken encoding: {0}")]
    Wire(&'static str),
    /// A field has a value that Kiln never writes.
    #[error("`{name}`: {why}")]
    Value {
        /// The entry.
        name: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A name is not a component.
    #[error(transparent)]
    Name(#[from] PathError),
    /// The bytes decode, but are not the canonical ones.
    #[error("the encoding of directory {0} is not canonical")]
    NotCanonical(TreeId),
    /// A directory is named but not there.
    #[error("directory {0} is missing")]
    Missing(TreeId),
    /// A directory is there that nothing names.
    #[error("{0} directories belong to nothing")]
    Spare(usize),
    /// Too deep.
    #[error("the tree is deeper than {MAX_DEPTH} directories")]
    Depth,
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(DecodeError::Wire("it ends inside a number"))?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Wire("a number is too long"))
    }

    fn field(&mut self) -> Result<Option<(u64, Value<'a>)>, DecodeError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            2 => {
                let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                let (bytes, rest) =
                    self.0.split_at_checked(length).ok_or(DecodeError::Wire("it ends inside a field"))?;
                self.0 = rest;
                Value::Bytes(bytes)
            }
            _ => return Err(DecodeError::Wire("an unknown wire type")),
        };
        Ok(Some((tag >> 3, value)))
    }
}

fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|_| DecodeError::Wire("a text is not UTF-8"))
}

const UNKNOWN: DecodeError = DecodeError::Wire("an unknown field");

fn digest(bytes: &[u8]) -> Result<(Digest, u64), DecodeError> {
    let (mut hash, mut size) = (None, 0);
    let mut reader = Reader(bytes);
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Bytes(b)) => {
                hash = Some(text(b)?.parse().map_err(|_| DecodeError::Wire("a digest is not SHA-256"))?);
            }
            (2, Value::Number(n)) => size = n,
            _ => return Err(UNKNOWN),
        }
    }
    Ok((hash.ok_or(DecodeError::Wire("a digest is missing"))?, size))
}

#[derive(Default)]
struct Properties {
    list: BTreeMap<String, String>,
    mode: Option<u16>,
}

impl Properties {
    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut out = Self::default();
        let mut reader = Reader(bytes);
        while let Some(field) = reader.field()? {
            match field {
                (1, Value::Bytes(b)) => {
                    let (mut name, mut value) = (String::new(), String::new());
                    let mut property = Reader(b);
                    while let Some(field) = property.field()? {
                        match field {
                            (1, Value::Bytes(b)) => text(b)?.clone_into(&mut name),
                            (2, Value::Bytes(b)) => text(b)?.clone_into(&mut value),
                            _ => return Err(UNKNOWN),
                        }
                    }
                    out.list.insert(name, value);
                }
                (3, Value::Bytes(b)) => {
                    let mut mode = 0;
                    let mut wrapper = Reader(b);
                    while let Some(field) = wrapper.field()? {
                        match field {
                            (1, Value::Number(n)) if n <= 0o7777 => mode = n as u16,
                            _ => return Err(UNKNOWN),
                        }
                    }
                    out.mode = Some(mode);
                }
                _ => return Err(UNKNOWN),
            }
        }
        Ok(out)
    }

    fn take(&mut self, name: &str) -> Option<String> {
        self.list.remove(name)
    }

    /// What is left must be owners and attributes.
    fn meta(mut self, entry: &str, default: u16) -> Result<Meta, DecodeError> {
        let wrong = |why| DecodeError::Value { name: entry.to_owned(), why };
        let mut meta = Meta::root_owned(self.mode.unwrap_or(default));
        for (key, id) in [("uid", &mut meta.uid), ("gid", &mut meta.gid)] {
            if let Some(value) = self.list.remove(key) {
                *id = value.parse().map_err(|_| wrong("an owner is not a number"))?;
            }
        }
        for (key, value) in self.list {
            let name = key.strip_prefix("xattr.").ok_or_else(|| wrong("an unknown property"))?;
            let value = hex::decode(value).map_err(|_| wrong("an attribute is not hexadecimal"))?;
            meta.xattrs.insert(name.into(), value.into());
        }
        Ok(meta)
    }
}

fn device(name: &str, spec: &str) -> Result<Device, DecodeError> {
    let wrong = || DecodeError::Value { name: name.to_owned(), why: "an unknown device" };
    if spec == "p" {
        return Ok(Device::Fifo);
    }
    let mut parts = spec.splitn(3, ':');
    let kind = parts.next();
    let mut number = || parts.next().and_then(|n| n.parse().ok()).ok_or_else(wrong);
    let (major, minor) = (number()?, number()?);
    match kind {
        Some("c") => Ok(Device::Character { major, minor }),
        Some("b") => Ok(Device::Block { major, minor }),
        _ => Err(wrong()),
    }
}

fn file(bytes: &[u8]) -> Result<(String, Entry), DecodeError> {
    let (mut name, mut content, mut executable) = (String::new(), None, false);
    let mut properties = Properties::default();
    let mut reader = Reader(bytes);
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Bytes(b)) => text(b)?.clone_into(&mut name),
            (2, Value::Bytes(b)) => content = Some(digest(b)?),
            (4, Value::Number(n)) => executable = n != 0,
            (6, Value::Bytes(b)) => properties = Properties::read(b)?,
            _ => return Err(UNKNOWN),
        }
    }
    let (hash, size) = content.ok_or(DecodeError::Wire("a file has no digest"))?;
    let hardlinked = properties.take("hardlink").is_some();
    let special = properties.take("device");
    let meta = properties.meta(&name, default_mode(executable))?;
    let entry = match special {
        Some(spec) => Entry::Device(device(&name, &spec)?, meta),
        None => Entry::File(FileEntry { object: ObjectId(hash), size, meta, hardlinked }),
    };
    Ok((name, entry))
}

fn symlink(bytes: &[u8]) -> Result<(String, Entry), DecodeError> {
    let (mut name, mut target) = (String::new(), String::new());
    let mut properties = Properties::default();
    let mut reader = Reader(bytes);
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Bytes(b)) => text(b)?.clone_into(&mut name),
            (2, Value::Bytes(b)) => text(b)?.clone_into(&mut target),
            (4, Value::Bytes(b)) => properties = Properties::read(b)?,
            _ => return Err(UNKNOWN),
        }
    }
    let meta = properties.meta(&name, 0o777)?;
    Ok((name, Entry::Symlink(SymlinkEntry { target: target.into(), meta })))
}

struct Decoder<'a> {
    messages: BTreeMap<TreeId, &'a [u8]>,
    done: BTreeMap<TreeId, Arc<Dir>>,
}

impl<'a> Decoder<'a> {
    fn directory(&mut self, id: TreeId, depth: usize) -> Result<Arc<Dir>, DecodeError> {
        if let Some(dir) = self.done.get(&id) {
            return Ok(Arc::clone(dir));
        }
        if depth > MAX_DEPTH {
            return Err(DecodeError::Depth);
        }
        let bytes = *self.messages.get(&id).ok_or(DecodeError::Missing(id))?;
        let mut dir = Dir::default();
        let mut reader = Reader(bytes);
        while let Some(field) = reader.field()? {
            let (name, entry) = match field {
                (1, Value::Bytes(b)) => file(b)?,
                (2, Value::Bytes(b)) => self.child(b, depth)?,
                (3, Value::Bytes(b)) => symlink(b)?,
                (5, Value::Bytes(b)) => {
                    dir.set_meta(Properties::read(b)?.meta("directory", 0o755)?);
                    continue;
                }
                _ => return Err(UNKNOWN),
            };
            dir.set_entry(&name, entry)?;
        }
        if encode(&dir) != bytes {
            return Err(DecodeError::NotCanonical(id));
        }
        // Its parent's encoding asks for this, and need not encode it once more.
        let _ = dir.id.set((id, bytes.len() as u64));
        let dir = Arc::new(dir);
        self.done.insert(id, Arc::clone(&dir));
        Ok(dir)
    }

    fn child(&mut self, bytes: &'a [u8], depth: usize) -> Result<(String, Entry), DecodeError> {
        let (mut name, mut content) = (String::new(), None);
        let mut reader = Reader(bytes);
        while let Some(field) = reader.field()? {
            match field {
                (1, Value::Bytes(b)) => text(b)?.clone_into(&mut name),
                (2, Value::Bytes(b)) => content = Some(digest(b)?),
                _ => return Err(UNKNOWN),
            }
        }
        let (hash, _) = content.ok_or(DecodeError::Wire("a directory has no digest"))?;
        Ok((name, Entry::Dir(self.directory(TreeId(hash), depth + 1)?)))
    }
}

/// Decodes the tree `root` from the encodings of its directories, in any order.
///
/// # Errors
/// When a directory is missing, spare, broken, or not canonical. Each is hashed here, so what comes back is the tree
/// with that name.
pub fn decode<'a>(root: TreeId, messages: impl IntoIterator<Item = &'a [u8]>) -> Result<Arc<Dir>, DecodeError> {
    let messages: BTreeMap<TreeId, &[u8]> =
        messages.into_iter().map(|bytes| (TreeId(Digest::of(bytes)), bytes)).collect();
    let mut decoder = Decoder { messages, done: BTreeMap::new() };
    let dir = decoder.directory(root, 0)?;
    match decoder.messages.len() - decoder.done.len() {
        0 => Ok(dir),
        spare => Err(DecodeError::Spare(spare)),
    }
}
