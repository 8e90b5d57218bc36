//! Where objects come from and go to, as traits: crates that only read and write objects need not know the store.
//!
//! [`MemoryObjects`] implements both for tests and for small throw-away work.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Seek, Write};
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Digest, ObjectId};

/// Why an object cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// It is not there.
    #[error("object {0} is missing")]
    Missing(ObjectId),
    /// It is there, but its bytes are not those it is named by.
    #[error("object {0} is damaged")]
    Damaged(ObjectId),
    /// Reading or writing failed.
    #[error("{action}")]
    Io {
        /// What was tried, with the path.
        action: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl ObjectError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing(_) | Self::Damaged(_) => Some(
                "run `kiln fsck --repair`: it drops every result that needs this object, so that it is made again"
                    .to_owned(),
            ),
            Self::Io { source, .. } => storage_hint(source),
        }
    }
}

/// What the user can do when a store's file system refuses something.
#[must_use]
pub fn storage_hint(error: &io::Error) -> Option<String> {
    /// `EIO` of every Unix.
    const IO: i32 = 5;
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full: free some space, or remove what is not needed from the store with `kiln gc`; nothing was left half-done"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "the file system is mounted read-only: remount it, or choose another folder for the store"
        }
        io::ErrorKind::PermissionDenied => {
            "this user may not write there: choose a folder of your own for the store (`--store DIR` or `KILN_STORE`), or change the owner"
        }
        _ if error.raw_os_error() == Some(IO) => {
            "the disk reports an error: look into the kernel's log, then run `kiln fsck --repair`"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

impl From<io::Error> for ObjectError {
    fn from(source: io::Error) -> Self {
        Self::Io { action: "cannot read or write an object".to_owned(), source }
    }
}

/// Parts of an object, by position.
pub trait ObjectParts: Read + Seek + Send {}

impl<T: Read + Seek + Send> ObjectParts for T {}

/// Reads objects.
///
/// The source answers for the bytes, so that nobody above it hashes them again: what was read **to its end**, up to the
/// read that gives nothing more, is the object it is named by; else a read failed. Who stops before has no such promise.
pub trait ObjectSource: Send + Sync {
    /// Opens an object.
    ///
    /// # Errors
    /// When it is missing or cannot be opened.
    fn open(&self, id: &ObjectId) -> Result<Box<dyn Read + Send>, ObjectError>;

    /// Reads a whole object into memory. For small ones.
    ///
    /// # Errors
    /// When it is missing, damaged, or cannot be read.
    fn read(&self, id: &ObjectId) -> Result<Vec<u8>, ObjectError> {
        let mut bytes = Vec::new();
        self.open(id)?.read_to_end(&mut bytes)?;
        if ObjectId::of(&bytes) == *id { Ok(bytes) } else { Err(ObjectError::Damaged(*id)) }
    }

    /// Opens an object to look at a few parts of it, without reading the rest: what they say is not verified when the
    /// object is a large one.
    ///
    /// # Errors
    /// When it is missing or cannot be opened.
    fn open_parts(&self, id: &ObjectId) -> Result<Box<dyn ObjectParts>, ObjectError> {
        Ok(Box::new(Cursor::new(self.read(id)?)))
    }
}

/// Takes the bytes of one object.
pub trait ObjectWriter: Write + Send {
    /// Ends it: its name and length. An object that is dropped unfinished never existed.
    ///
    /// # Errors
    /// When it cannot be written.
    fn finish(self: Box<Self>) -> Result<(ObjectId, u64), ObjectError>;
}

/// Writes objects. An object that is there already is not written again.
pub trait ObjectSink: Send + Sync {
    /// Writes a small object.
    ///
    /// # Errors
    /// When it cannot be written.
    fn put(&self, bytes: &[u8]) -> Result<ObjectId, ObjectError>;

    /// Begins an object of any size.
    ///
    /// # Errors
    /// When it cannot be written.
    fn writer(&self) -> Result<Box<dyn ObjectWriter + '_>, ObjectError>;
}

/// Objects in memory.
#[derive(Debug, Default, Clone)]
pub struct MemoryObjects(Arc<Mutex<BTreeMap<ObjectId, Arc<[u8]>>>>);

impl ObjectSource for MemoryObjects {
    fn open(&self, id: &ObjectId) -> Result<Box<dyn Read + Send>, ObjectError> {
        let objects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = objects.get(id).cloned().ok_or(ObjectError::Missing(*id))?;
        Ok(Box::new(Cursor::new(bytes)))
    }
}

impl ObjectSink for MemoryObjects {
    fn put(&self, bytes: &[u8]) -> Result<ObjectId, ObjectError> {
        let id = ObjectId::of(bytes);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_insert_with(|| bytes.into());
        Ok(id)
    }

    fn writer(&self) -> Result<Box<dyn ObjectWriter + '_>, ObjectError> {
        Ok(Box::new(MemoryWriter { objects: self, bytes: Vec::new() }))
    }
}

struct MemoryWriter<'a> {
    objects: &'a MemoryObjects,
    bytes: Vec<u8>,
}

impl Write for MemoryWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ObjectWriter for MemoryWriter<'_> {
    fn finish(self: Box<Self>) -> Result<(ObjectId, u64), ObjectError> {
        debug_assert_eq!(ObjectId::of(&self.bytes).0, Digest::of(&self.bytes));
        Ok((self.objects.put(&self.bytes)?, self.bytes.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read_and_nothing_else() {
        let objects = MemoryObjects::default();
        let mut writer = objects.writer().unwrap();
        writer.write_all(b"ki").unwrap();
        writer.write_all(b"ln").unwrap();
        let (id, size) = writer.finish().unwrap();
        assert_eq!((id, size), (ObjectId::of(b"kiln"), 4));
        assert_eq!(objects.read(&id).unwrap(), b"kiln");
        assert!(matches!(objects.read(&ObjectId::of(b"")), Err(ObjectError::Missing(_))));
    }
}
