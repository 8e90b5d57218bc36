//! Reading objects. Whoever reads an object through [`ObjectSource`] to its end gets its very bytes or an error: small
//! ones are checked before the first byte is given, large ones when the end is read.
//!
//! What a session wrote itself it hashed as it wrote, and its own file is what it reads back: that is not hashed again.

use std::fs::File;
use std::io::{self, Cursor, Read};

use kiln_model::{Hasher, ObjectError, ObjectId, ObjectParts, ObjectSource};

use crate::Store;
use crate::files::{FileError, Files};
use crate::layout;

/// Objects up to this length are read and checked as a whole.
const SMALL: u64 = 128 * 1024;

/// Must the bytes be hashed as they are read?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// They come from a disk, which may have lost them.
    Verify,
    /// This session wrote this very file, and hashed it then.
    Own,
}

fn open_file(files: &Files, at: &str, id: &ObjectId) -> Result<(File, u64), ObjectError> {
    let file = files.open(at).map_err(|error| match error {
        error if error.is_missing() => ObjectError::Missing(*id),
        // A link where the object should be.
        error if error.source.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            ObjectError::Damaged(*id)
        }
        error => error.into(),
    })?;
    let meta = file.metadata().map_err(|e| FileError::new("look at", files.path(at), e))?;
    if meta.is_file() { Ok((file, meta.len())) } else { Err(ObjectError::Damaged(*id)) }
}

/// Opens an object at `at` without looking at more than its length.
pub(crate) fn open_sized(files: &Files, at: &str, id: &ObjectId, size: u64) -> Result<File, ObjectError> {
    match open_file(files, at, id)? {
        (file, length) if length == size => Ok(file),
        _ => Err(ObjectError::Damaged(*id)),
    }
}

/// Opens an object at `at` for reading that verifies.
pub(crate) fn open(files: &Files, at: &str, id: &ObjectId, trust: Trust) -> Result<Box<dyn Read + Send>, ObjectError> {
    let (file, size) = open_file(files, at, id)?;
    if trust == Trust::Own {
        return Ok(Box::new(file));
    }
    if size <= SMALL {
        return Ok(Box::new(Cursor::new(read_open(files, at, id, trust, file, size)?)));
    }
    Ok(Box::new(Verifying { file, id: *id, hasher: Some(Hasher::new()) }))
}

/// Reads a whole object at `at` and verifies it.
pub(crate) fn read(files: &Files, at: &str, id: &ObjectId, trust: Trust) -> Result<Vec<u8>, ObjectError> {
    let (file, size) = open_file(files, at, id)?;
    read_open(files, at, id, trust, file, size)
}

fn read_open(
    files: &Files,
    at: &str,
    id: &ObjectId,
    trust: Trust,
    mut file: File,
    size: u64,
) -> Result<Vec<u8>, ObjectError> {
    let mut bytes = Vec::with_capacity(size as usize + 1);
    file.read_to_end(&mut bytes).map_err(|e| FileError::new("read", files.path(at), e))?;
    if trust == Trust::Own || ObjectId::of(&bytes) == *id { Ok(bytes) } else { Err(ObjectError::Damaged(*id)) }
}

/// Hashes what passes, and ends with an error when it was not the object.
struct Verifying {
    file: File,
    id: ObjectId,
    hasher: Option<Hasher>,
}

impl Read for Verifying {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.file.read(buffer)?;
        if count > 0 {
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&buffer[..count]);
            }
        } else if let Some(hasher) = self.hasher.take()
            && hasher.finish() != self.id.0
        {
            return Err(io::Error::new(io::ErrorKind::InvalidData, ObjectError::Damaged(self.id)));
        }
        Ok(count)
    }
}

/// The digest and length of an open file's bytes.
pub(crate) fn hash_file(mut file: &File, buffer: &mut Vec<u8>) -> io::Result<(ObjectId, u64)> {
    buffer.resize(256 * 1024, 0);
    let (mut hasher, mut size) = (Hasher::new(), 0);
    loop {
        match file.read(buffer) {
            Ok(0) => return Ok((ObjectId(hasher.finish()), size)),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                size += count as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Opens an object at `at` to read parts of it. A small one is verified, of a large one only what is asked for is read.
pub(crate) fn open_parts(
    files: &Files,
    at: &str,
    id: &ObjectId,
    trust: Trust,
) -> Result<Box<dyn ObjectParts>, ObjectError> {
    let (file, size) = open_file(files, at, id)?;
    if size <= SMALL && trust == Trust::Verify {
        return Ok(Box::new(Cursor::new(read_open(files, at, id, trust, file, size)?)));
    }
    Ok(Box::new(file))
}

impl ObjectSource for Store {
    fn open(&self, id: &ObjectId) -> Result<Box<dyn Read + Send>, ObjectError> {
        open(self.files(), &layout::object(id), id, Trust::Verify)
    }

    fn read(&self, id: &ObjectId) -> Result<Vec<u8>, ObjectError> {
        read(self.files(), &layout::object(id), id, Trust::Verify)
    }

    fn open_parts(&self, id: &ObjectId) -> Result<Box<dyn ObjectParts>, ObjectError> {
        open_parts(self.files(), &layout::object(id), id, Trust::Verify)
    }
}
