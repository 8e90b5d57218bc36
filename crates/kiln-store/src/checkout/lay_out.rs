//! Laying a tree out, on all cores.
//!
//! First every object that is needed is read and hashed, and executable inodes that are missing are copied from it;
//! those are published as every object is, after one flush. Then directories and links are made, and then the files
//! linked.
//!
//! Everything has the one time stamp of what is built, as in every output: caches that a finalizer derived hold times of
//! files and directories, and what does not find its time again is not used. An inode shared with the objects gets it too,
//! where nothing reads it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::sync::Mutex;

use kiln_model::{Dir, Entry, FileEntry, Hasher, ObjectError, ObjectId};

use super::CheckoutError;
use super::verify::{Expected, expected};
use crate::files::{self, FileError};
use crate::parallel::in_parallel;
use crate::session::{Session, Staging};
use crate::{layout, object};

/// One inode of the store that is linked, or the object that a copy is made from.
type Source = (ObjectId, bool);

/// Lays `dir` out at `aside`, which must not be there.
pub(crate) fn lay_out(session: &Session, dir: &Dir, aside: &str) -> Result<(), CheckoutError> {
    let files = session.files();
    let staging = session.staging()?;
    let make_dir = |at: &str| {
        files.make_new_dir(at)?;
        if staging.masked() { files.chmod(at, 0o755) } else { Ok(()) }
    };
    make_dir(aside)?;
    make_dir(&format!("{aside}/root"))?;
    let mut todo: Vec<(String, &FileEntry)> = Vec::new();
    let mut directories = vec![format!("{aside}/root")];
    let mut sources: BTreeMap<Source, (&FileEntry, String)> = BTreeMap::new();
    for (path, entry) in dir.walk() {
        let at = format!("{aside}/root{path}");
        match entry {
            Entry::Dir(_) => {
                make_dir(&at)?;
                directories.push(at);
            }
            Entry::Symlink(link) => {
                files.symlink(&link.target, &at)?;
                files.set_time(&at)?;
            }
            Entry::Device(..) => {}
            Entry::File(file) => {
                let source = (file.object, expected(file) == Expected::Executable);
                sources.entry(source).or_insert_with(|| (file, path.as_str().to_owned()));
                todo.push((at, file));
            }
        }
    }
    prepare(session, &staging, sources.into_iter().collect())?;
    in_parallel(session.options().threads, &todo, |(at, file), buffer| {
        place(session, &staging, file, at, buffer).and_then(|()| files.set_time(at)).map_err(CheckoutError::File)
    })?;
    // Last, since every entry made changed its directory's time.
    directories.iter().rev().try_for_each(|directory| files.set_time(directory))?;
    let lock = format!("{aside}/lock");
    files.write_new(&lock, 0o644, b"")?;
    let state = format!("{aside}/state");
    files.write_new(&state, 0o644, &super::state())?;
    Ok(())
}

/// Verifies every object, and makes the executable inodes that are missing.
fn prepare(
    session: &Session,
    staging: &Staging,
    sources: Vec<(Source, (&FileEntry, String))>,
) -> Result<(), CheckoutError> {
    let made = Mutex::new(Vec::new());
    in_parallel(session.options().threads, &sources, |((id, executable), (file, path)), buffer| {
        let fault = |source| CheckoutError::Object { path: path.clone(), source };
        if !executable {
            return verify_inode(session, &layout::object(id), file, buffer).map_err(fault);
        }
        match verify_inode(session, &layout::executable(id), file, buffer) {
            Ok(()) => Ok(()),
            Err(ObjectError::Missing(_) | ObjectError::Damaged(_)) => {
                let number = copy_object(session, staging, file, layout::EXECUTABLE, buffer).map_err(fault)?;
                made.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((*id, number));
                Ok(())
            }
            Err(error) => Err(fault(error)),
        }
    })?;
    let made = made.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !made.is_empty() {
        session.settle()?;
    }
    for (id, number) in made {
        // What is there is missing or damaged, or another process made it just now; then the bytes are the same.
        session.files().rename(&staging.path(number), &layout::executable(&id))?;
    }
    Ok(())
}

fn verify_inode(session: &Session, at: &str, file: &FileEntry, buffer: &mut Vec<u8>) -> Result<(), ObjectError> {
    let opened = object::open_sized(session.files(), at, &file.object, file.size)?;
    let (found, _) =
        object::hash_file(&opened, buffer).map_err(|e| FileError::new("read", session.files().path(at), e))?;
    if found == file.object { Ok(()) } else { Err(ObjectError::Damaged(file.object)) }
}

/// Copies an object into the session's folder, verifying it, and gives the copy's number.
fn copy_object(
    session: &Session,
    staging: &Staging,
    entry: &FileEntry,
    mode: u32,
    buffer: &mut Vec<u8>,
) -> Result<u64, ObjectError> {
    let number = staging.next();
    copy_to(session, staging, entry, &staging.path(number), mode, buffer)?;
    Ok(number)
}

fn copy_to(
    session: &Session,
    staging: &Staging,
    entry: &FileEntry,
    to: &str,
    mode: u32,
    buffer: &mut Vec<u8>,
) -> Result<(), ObjectError> {
    let files = session.files();
    let from = layout::object(&entry.object);
    let mut source = object::open_sized(files, &from, &entry.object, entry.size)?;
    let mut target = files.create(to, mode)?;
    // The umask takes bits away, and not only where the session noticed: modes like 0664 go through it too.
    if staging.masked() || !matches!(mode, layout::PLAIN | layout::EXECUTABLE) {
        files.chmod_open(&target, to, mode)?;
    }
    let found = if rustix::fs::ioctl_ficlone(&target, &source).is_ok() {
        object::hash_file(&source, buffer).map_err(|e| FileError::new("read", files.path(&from), e))?.0
    } else {
        buffer.resize(256 * 1024, 0);
        let mut hasher = Hasher::new();
        loop {
            let count = read_some(&mut source, buffer).map_err(|e| FileError::new("read", files.path(&from), e))?;
            if count == 0 {
                break ObjectId(hasher.finish());
            }
            hasher.update(&buffer[..count]);
            target.write_all(&buffer[..count]).map_err(|e| FileError::new("write", files.path(to), e))?;
        }
    };
    if found == entry.object { Ok(()) } else { Err(ObjectError::Damaged(entry.object)) }
}

fn read_some(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match file.read(buffer) {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Puts one file of a checkout in its place.
fn place(session: &Session, staging: &Staging, file: &FileEntry, at: &str, buffer: &mut Vec<u8>) -> files::Result<()> {
    let (from, mode) = match expected(file) {
        Expected::Plain => (Some(layout::object(&file.object)), layout::PLAIN),
        Expected::Executable => (Some(layout::executable(&file.object)), layout::EXECUTABLE),
        Expected::Own(mode) => (None, mode),
    };
    if let Some(from) = from {
        match session.files().link(&from, at) {
            // ext4 gives an inode 65,000 names. The rest are copies.
            Err(error) if error.source.kind() == std::io::ErrorKind::TooManyLinks => {}
            other => return other,
        }
    }
    copy_to(session, staging, file, at, mode, buffer).map_err(|error| match error {
        ObjectError::Io { source, .. } => FileError::new("write", session.files().path(at), source),
        other => FileError::new("write", session.files().path(at), std::io::Error::other(other)),
    })
}
