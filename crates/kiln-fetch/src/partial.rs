//! The unfinished file beside its final name, and the same thing in memory.
//!
//! `NAME.part` is locked (`flock`) by the one process that writes it; the lock goes with the process, so a kill leaves
//! a file that the next one takes up. It gets its final name only when it is complete and is what was expected.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use kiln_model::{Digest, Hasher};

use crate::FetchError;

/// Takes the bytes of one download.
pub(crate) trait Sink {
    /// How many bytes it has.
    fn len(&self) -> u64;
    /// Forgets them all.
    fn reset(&mut self) -> Result<(), FetchError>;
    /// Takes more.
    fn append(&mut self, bytes: &[u8]) -> Result<(), FetchError>;
    /// The digest of all it has.
    fn digest(&self) -> Digest;
    /// Can it come to have so many?
    fn has_room_for(&self, total: u64) -> Result<(), FetchError>;
}

/// Reads a whole file through a hasher.
pub(crate) fn hash(file: &mut File) -> io::Result<(Hasher, u64)> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 128 << 10];
    let mut size = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((hasher, size)),
            Ok(read) => {
                hasher.update(&buffer[..read]);
                size += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A locked `NAME.part`.
pub(crate) struct Partial {
    path: PathBuf,
    file: File,
    hasher: Hasher,
    len: u64,
}

fn fault(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FetchError {
    let path = path.to_owned();
    move |source| FetchError::File { action, path, source }
}

impl Partial {
    /// Opens and locks the part file of `dest`, with what an earlier download left in it. Waits while another process
    /// writes it.
    pub(crate) fn open(dest: &Path) -> Result<Self, FetchError> {
        let mut name = OsString::from(dest);
        name.push(".part");
        let path = PathBuf::from(name);
        loop {
            let mut file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(fault("write", &path))?;
            file.lock().map_err(fault("lock", &path))?;
            // Whoever held the lock may have finished, and so renamed this very file away.
            let ours = file.metadata().map_err(fault("read", &path))?;
            let still_there = fs::metadata(&path).is_ok_and(|m| (m.dev(), m.ino()) == (ours.dev(), ours.ino()));
            if still_there {
                let (hasher, len) = hash(&mut file).map_err(fault("read", &path))?;
                return Ok(Self { path, file, hasher, len });
            }
        }
    }

    /// Gives the file its final name. It does not wait for the disk: a file that is found under such a name is used only
    /// when its digest is right, and whoever keeps one for good flushes it with all else.
    pub(crate) fn commit(self, dest: &Path) -> Result<(), FetchError> {
        fs::rename(&self.path, dest).map_err(fault("write", dest))
    }

    /// Removes the file.
    pub(crate) fn discard(self) {
        // It is only a left-over: the next download begins by looking at it anyway.
        let _ = fs::remove_file(&self.path);
    }
}

impl Sink for Partial {
    fn len(&self) -> u64 {
        self.len
    }

    fn reset(&mut self) -> Result<(), FetchError> {
        self.file.set_len(0).map_err(fault("write", &self.path))?;
        self.file.seek(SeekFrom::Start(0)).map_err(fault("write", &self.path))?;
        self.hasher = Hasher::new();
        self.len = 0;
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        self.file.write_all(bytes).map_err(fault("write", &self.path))?;
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }

    fn has_room_for(&self, total: u64) -> Result<(), FetchError> {
        // A file system that does not tell is found out by writing.
        let Ok(free) = rustix::fs::fstatvfs(&self.file) else { return Ok(()) };
        let free = free.f_bavail.saturating_mul(free.f_frsize);
        if total.saturating_sub(self.len) <= free {
            return Ok(());
        }
        Err(fault("write", &self.path)(io::ErrorKind::StorageFull.into()))
    }
}

/// Bytes in memory.
#[derive(Default)]
pub(crate) struct Memory(pub(crate) Vec<u8>);

impl Sink for Memory {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn reset(&mut self) -> Result<(), FetchError> {
        self.0.clear();
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }

    fn has_room_for(&self, _: u64) -> Result<(), FetchError> {
        Ok(())
    }
}
