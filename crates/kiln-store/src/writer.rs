//! Writing objects: each byte is hashed once and written once.
//!
//! An object up to [`BUFFER`] bytes is hashed before anything is written, so one that the store has costs no write at
//! all. A longer one goes to the session's folder as it comes. No object is flushed on its own: that is done once for
//! all, when they are published.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use kiln_model::{Hasher, ObjectError, ObjectId, ObjectSink, ObjectWriter};

use crate::commit::WriteError;
use crate::files::{FileError, Files};
use crate::session::Session;
use crate::{layout, object};

/// Objects up to this length are held in memory until they end.
const BUFFER: usize = 256 * 1024;

impl Session {
    /// Is the object there with this length? One of another length was damaged, and is written again.
    fn has_whole(&self, id: &ObjectId, size: u64) -> Result<bool, FileError> {
        Ok(self.object_size(id)? == Some(size))
    }

    /// Enters a staged object. Of two threads that staged the same, the first wins.
    fn enter(&self, id: ObjectId, number: u64, size: u64) {
        let mut state = self.state();
        if state.objects.contains_key(&id) {
            drop(state);
            self.unstage(number);
        } else {
            state.known.remove(&id);
            state.objects.insert(id, (number, size));
        }
    }

    fn put_hashed(&self, id: ObjectId, bytes: &[u8]) -> Result<(), FileError> {
        let size = bytes.len() as u64;
        if !self.has_whole(&id, size)? {
            let number = self.stage(layout::PLAIN, bytes)?;
            self.enter(id, number, size);
        }
        Ok(())
    }

    /// Makes a file an object of the store: moves it when it is on the same file system and has no other name, else
    /// copies it. Afterwards it is gone from `path`. On an error it stays.
    ///
    /// # Errors
    /// When it is not the object `expect`, or cannot be read, moved or copied.
    pub fn import_file(&self, path: &Path, expect: Option<ObjectId>) -> Result<(ObjectId, u64), WriteError> {
        let failed = |doing| move |e: io::Error| FileError::new(doing, path, e);
        let file = File::open(path).map_err(failed("open"))?;
        let meta = file.metadata().map_err(failed("look at"))?;
        if !meta.is_file() {
            return Err(failed("import")(io::Error::other("it is not a regular file")).into());
        }
        let (id, size) = object::hash_file(&file, &mut Vec::new()).map_err(failed("read"))?;
        if let Some(expected) = expect
            && expected != id
        {
            return Err(WriteError::Mismatch { path: path.to_owned(), expected, found: id });
        }
        if !self.has_whole(&id, size)? {
            let single = std::os::unix::fs::MetadataExt::nlink(&meta) == 1;
            if !(single && self.move_in(path, id, size)?) {
                self.copy_in(path, id)?;
            }
        }
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove")(e).into()),
            _ => Ok((id, size)),
        }
    }

    fn move_in(&self, path: &Path, id: ObjectId, size: u64) -> Result<bool, FileError> {
        let staging = self.staging()?;
        let number = staging.next();
        let at = staging.path(number);
        if let Err(e) = std::fs::rename(path, self.files().path(&at)) {
            return match e.kind() {
                // Another file system, or another owner's folder.
                io::ErrorKind::CrossesDevices | io::ErrorKind::PermissionDenied => Ok(false),
                _ => Err(FileError::new("move", path, e)),
            };
        }
        let done = self.files().chmod(&at, layout::PLAIN);
        if let Err(error) = done {
            let _ = std::fs::rename(self.files().path(&at), path);
            return Err(error);
        }
        self.enter(id, number, size);
        Ok(true)
    }

    fn copy_in(&self, path: &Path, id: ObjectId) -> Result<(), WriteError> {
        let mut source = File::open(path).map_err(|e| FileError::new("open", path, e))?;
        let mut writer = StoreWriter::new(self);
        io::copy(&mut source, &mut writer).map_err(|e| FileError::new("copy", path, e))?;
        match writer.end()? {
            (copied, _) if copied == id => Ok(()),
            (found, _) => Err(WriteError::Mismatch { path: path.to_owned(), expected: id, found }),
        }
    }
}

impl ObjectSink for Session {
    fn put(&self, bytes: &[u8]) -> Result<ObjectId, ObjectError> {
        let id = ObjectId::of(bytes);
        self.put_hashed(id, bytes)?;
        Ok(id)
    }

    fn writer(&self) -> Result<Box<dyn ObjectWriter + '_>, ObjectError> {
        self.check_writable("write to")?;
        Ok(Box::new(StoreWriter::new(self)))
    }
}

/// One object being written.
struct StoreWriter<'a> {
    session: &'a Session,
    buffer: Vec<u8>,
    spilled: Option<Spilled>,
}

/// An object too long for memory, in the session's folder.
struct Spilled {
    file: File,
    number: u64,
    at: String,
    size: u64,
    hasher: Hasher,
}

impl Spilled {
    fn write(&mut self, files: &Files, bytes: &[u8]) -> Result<(), FileError> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        files.write(&self.file, &self.at, bytes)
    }
}

impl<'a> StoreWriter<'a> {
    const fn new(session: &'a Session) -> Self {
        Self { session, buffer: Vec::new(), spilled: None }
    }

    fn spill(&mut self) -> Result<&mut Spilled, FileError> {
        if self.spilled.is_none() {
            let staging = self.session.staging()?;
            let number = staging.next();
            let at = staging.path(number);
            let file = self.session.files().create(&at, layout::PLAIN)?;
            if staging.masked() {
                self.session.files().chmod_open(&file, &at, layout::PLAIN)?;
            }
            self.spilled = Some(Spilled { file, number, at, size: 0, hasher: Hasher::new() });
        }
        Ok(self.spilled.as_mut().expect("it was just made"))
    }

    fn drain(&mut self) -> Result<(), FileError> {
        let buffer = std::mem::take(&mut self.buffer);
        let files = self.session.files();
        self.spill()?.write(files, &buffer)?;
        self.buffer = buffer;
        self.buffer.clear();
        Ok(())
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        if self.buffer.len() + bytes.len() <= BUFFER {
            self.buffer.extend_from_slice(bytes);
            return Ok(());
        }
        if !self.buffer.is_empty() {
            self.drain()?;
        }
        if bytes.len() > BUFFER / 4 {
            let files = self.session.files();
            return self.spill()?.write(files, bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn end(mut self) -> Result<(ObjectId, u64), FileError> {
        if self.spilled.is_none() {
            let id = ObjectId::of(&self.buffer);
            self.session.put_hashed(id, &self.buffer)?;
            return Ok((id, self.buffer.len() as u64));
        }
        if !self.buffer.is_empty() {
            self.drain()?;
        }
        let spilled = self.spilled.as_mut().expect("it was just seen");
        let (size, number) = (spilled.size, spilled.number);
        let id = ObjectId(std::mem::take(&mut spilled.hasher).finish());
        if !self.session.has_whole(&id, size)? {
            self.spilled = None;
            self.session.enter(id, number, size);
        }
        Ok((id, size))
    }
}

impl Drop for StoreWriter<'_> {
    fn drop(&mut self) {
        if let Some(spilled) = self.spilled.take() {
            self.session.unstage(spilled.number);
        }
    }
}

impl Write for StoreWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The kind stays what the system said, and the message names the file.
        self.add(bytes).map_err(|error| io::Error::new(error.source.kind(), error))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ObjectWriter for StoreWriter<'_> {
    fn finish(self: Box<Self>) -> Result<(ObjectId, u64), ObjectError> {
        Ok(self.end()?)
    }
}
