//! A folder into objects and a tree.
//!
//! The result is a plain tree: modes become 0644 or 0755, hard links become files, owners and times are dropped. What a
//! plain tree cannot hold is a [`Fault`]; all faults of a folder are found before any is told.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::num::NonZeroUsize;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use kiln_model::{Dir, Entry, FileEntry, ObjectId, ObjectSink, SymlinkEntry, TreePath};

use super::fault::{Fault, FaultKind, IngestError};
use crate::output::Forbidden;

/// Files up to this size are read at once; larger ones pass through in pieces of it.
const PIECE: usize = 4 << 20;

/// A folder that was read.
#[derive(Debug)]
pub struct Ingested {
    /// Its tree, not yet stored; its files are.
    pub tree: Dir,
    /// Files that had special mode bits, which are gone now: they come from facts.
    pub special_modes: Vec<TreePath>,
}

struct Found {
    path: TreePath,
    place: PathBuf,
    size: u64,
    executable: bool,
}

#[derive(Default)]
struct Listing {
    directories: Vec<TreePath>,
    links: Vec<(TreePath, String)>,
    files: Vec<Found>,
    special_modes: Vec<TreePath>,
    faults: Vec<Fault>,
}

/// Whose folder is read.
#[derive(Debug, Clone, Copy)]
pub enum Whose<'a> {
    /// Kiln made it for a command of its own, so it may change it. No file may hold, and no link lead to, what these name.
    Kiln(&'a [Forbidden]),
    /// The upper side of an overlay. What it marks as gone is left out.
    Overlay,
    /// The user's. Nothing in it is changed, and what cannot be read is a fault.
    User,
}

impl<'a> Whose<'a> {
    fn forbidden(self) -> &'a [Forbidden] {
        match self {
            Self::Kiln(forbidden) => forbidden,
            Self::Overlay | Self::User => &[],
        }
    }
}

/// Reads the folder `root` with `jobs` threads.
///
/// # Errors
/// When something in it cannot be kept, read or written.
pub fn ingest(
    root: &Path,
    objects: &dyn ObjectSink,
    jobs: NonZeroUsize,
    whose: Whose<'_>,
) -> Result<Ingested, IngestError> {
    let mut listing = Listing::default();
    list_folder(root, &mut listing, whose)?;
    store(root, listing, objects, jobs, whose.forbidden())
}

/// Reads those files and links below the user's folder `root` that `names` lists, and the directories that lead to them.
///
/// # Errors
/// As [`ingest`]; also when a directory that leads to a file is a link.
pub fn ingest_files(
    root: &Path,
    names: &[Vec<u8>],
    objects: &dyn ObjectSink,
    jobs: NonZeroUsize,
) -> Result<Ingested, IngestError> {
    let mut listing = Listing::default();
    let mut directories = std::collections::BTreeSet::from([TreePath::root()]);
    for name in names {
        let path = std::str::from_utf8(name).ok().and_then(|name| name.parse::<TreePath>().ok());
        let Some(path) = path.filter(|path| !path.is_root()) else {
            let path = name.escape_ascii().to_string();
            listing.faults.push(Fault { path, kind: FaultKind::Name });
            continue;
        };
        let mut at = TreePath::root();
        for part in path.parent().unwrap_or_default().components() {
            at = at.join(part).map_err(|error| IngestError::Path { path: root.to_owned(), source: error.into() })?;
            if directories.contains(&at) {
                continue;
            }
            let place = root.join(at.as_str());
            let found = fs::symlink_metadata(&place).map_err(|error| failed(&place, error))?;
            if !found.is_dir() {
                return Err(failed(&place, io::ErrorKind::NotADirectory.into()));
            }
            directories.insert(at.clone());
        }
        let place = root.join(path.as_str());
        if list_entry(place.clone(), path, &mut listing, Whose::User)? {
            return Err(failed(&place, io::ErrorKind::IsADirectory.into()));
        }
    }
    store(root, listing, objects, jobs, &[])
}

fn store(
    root: &Path,
    listing: Listing,
    objects: &dyn ObjectSink,
    jobs: NonZeroUsize,
    forbidden: &[Forbidden],
) -> Result<Ingested, IngestError> {
    let Listing { directories, links, files, special_modes, mut faults } = listing;
    let mut tree = Dir::default();
    let too_long = |source| IngestError::Path { path: root.to_owned(), source };
    for directory in &directories {
        tree.dir_mut(directory).map_err(too_long)?;
    }
    for (path, target) in links {
        tree.insert(&path, Entry::Symlink(SymlinkEntry::plain(target))).map_err(too_long)?;
    }
    let (stored, found) = store_files(&files, objects, jobs, forbidden)?;
    faults.extend(found);
    if !faults.is_empty() {
        faults.sort_by(|a, b| a.path.cmp(&b.path));
        return Err(IngestError::Faults(faults));
    }
    for (file, (object, size)) in files.iter().zip(stored) {
        let entry = FileEntry::plain(object, size, file.executable);
        tree.insert(&file.path, Entry::File(entry)).map_err(too_long)?;
    }
    Ok(Ingested { tree, special_modes })
}

fn failed(path: &Path, source: io::Error) -> IngestError {
    IngestError::Io { path: path.to_owned(), source }
}

fn is_denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

fn list_folder(root: &Path, listing: &mut Listing, whose: Whose<'_>) -> Result<(), IngestError> {
    // A stack of its own: a build may nest folders deeper than a thread's stack.
    let mut todo = vec![(root.to_owned(), TreePath::root())];
    while let Some((folder, at)) = todo.pop() {
        let entries = fs::read_dir(&folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        if matches!(whose, Whose::User) && entries.as_ref().is_err_and(is_denied) {
            listing.faults.push(Fault { path: at.as_str().to_owned(), kind: FaultKind::Unreadable });
            continue;
        }
        for entry in entries.map_err(|error| failed(&folder, error))? {
            let name = entry.file_name();
            let Some(path) = name.to_str().and_then(|name| at.join(name).ok()) else {
                let path = format!("{}/{}", at.as_str(), name.as_encoded_bytes().escape_ascii());
                let path = path.trim_start_matches('/').to_owned();
                listing.faults.push(Fault { path, kind: FaultKind::Name });
                continue;
            };
            let place = entry.path();
            if list_entry(place.clone(), path.clone(), listing, whose)? {
                listing.directories.push(path.clone());
                todo.push((place, path));
            }
        }
    }
    // File systems list in any order.
    listing.files.sort_by(|a, b| a.path.cmp(&b.path));
    listing.special_modes.sort();
    Ok(())
}

/// Takes one entry into the listing. Is it a directory? Those are left to the caller.
fn list_entry(place: PathBuf, path: TreePath, listing: &mut Listing, whose: Whose<'_>) -> Result<bool, IngestError> {
    let found = fs::symlink_metadata(&place).map_err(|error| failed(&place, error))?;
    let kind = found.file_type();
    if kind.is_dir() {
        make_readable(&place, found.mode(), 0o700, whose)?;
        return Ok(true);
    }
    if kind.is_symlink() {
        match read_target(&place, whose.forbidden())? {
            Ok(target) => listing.links.push((path, target)),
            Err(kind) => listing.faults.push(Fault { path: path.as_str().to_owned(), kind }),
        }
    } else if kind.is_file() {
        make_readable(&place, found.mode(), 0o400, whose)?;
        if found.mode() & 0o7000 != 0 {
            listing.special_modes.push(path.clone());
        }
        listing.files.push(Found { path, place, size: found.len(), executable: found.mode() & 0o100 != 0 });
    } else if !(matches!(whose, Whose::Overlay) && kind.is_char_device() && found.rdev() == 0) {
        listing.faults.push(Fault { path: path.as_str().to_owned(), kind: FaultKind::of_special(kind) });
    }
    Ok(false)
}

/// What a build made unreadable even for its owner is made readable: modes are normalised anyway.
fn make_readable(place: &Path, mode: u32, wanted: u32, whose: Whose<'_>) -> Result<(), IngestError> {
    if mode & wanted == wanted || matches!(whose, Whose::User) {
        return Ok(());
    }
    let permissions = fs::Permissions::from_mode(mode & 0o7777 | wanted);
    fs::set_permissions(place, permissions).map_err(|error| failed(place, error))
}

fn read_target(place: &Path, forbidden: &[Forbidden]) -> Result<Result<String, FaultKind>, IngestError> {
    let target = fs::read_link(place).map_err(|error| failed(place, error))?;
    Ok(match target.into_os_string().into_string() {
        Err(_) => Err(FaultKind::Target),
        Ok(target) if forbidden.iter().any(|place| place.is_led_to_by(&target)) => Err(FaultKind::Link { target }),
        Ok(target) => Ok(target),
    })
}

type Stored = (ObjectId, u64);

fn store_files(
    files: &[Found],
    objects: &dyn ObjectSink,
    jobs: NonZeroUsize,
    forbidden: &[Forbidden],
) -> Result<(Vec<Stored>, Vec<Fault>), IngestError> {
    let next = AtomicUsize::new(0);
    let done: Mutex<(Vec<Option<Stored>>, Vec<Fault>)> = Mutex::new((vec![None; files.len()], Vec::new()));
    let error: Mutex<Option<IngestError>> = Mutex::new(None);
    let work = || {
        let mut buffer = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(file) = files.get(index) else { return };
            match store_file(file, objects, forbidden, &mut buffer) {
                Ok((stored, fault)) => {
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    done.0[index] = Some(stored);
                    done.1.extend(fault);
                }
                // Only the user's folder has these: what Kiln made was made readable.
                Err(IngestError::Io { source, .. }) if is_denied(&source) => {
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    done.1.push(Fault { path: file.path.as_str().to_owned(), kind: FaultKind::Unreadable });
                }
                Err(fault) => {
                    error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
                    // The others stop at their next file.
                    next.store(files.len(), Ordering::Relaxed);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..jobs.get().min(files.len().div_ceil(16)) {
            scope.spawn(work);
        }
        work();
    });
    if let Some(error) = error.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let (stored, faults) = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok((stored.into_iter().flatten().collect(), faults))
}

fn store_file(
    file: &Found,
    objects: &dyn ObjectSink,
    forbidden: &[Forbidden],
    buffer: &mut Vec<u8>,
) -> Result<(Stored, Option<Fault>), IngestError> {
    let reading = |error| failed(&file.place, error);
    let keeping = |source| IngestError::Object { path: file.place.clone(), source };
    let mut input = File::open(&file.place).map_err(reading)?;
    let mut search = Search { forbidden, seen: 0, found: None };
    buffer.clear();
    let stored = if file.size <= PIECE as u64 {
        Read::by_ref(&mut input).take(PIECE as u64 + 1).read_to_end(buffer).map_err(reading)?;
        search.look(buffer, 0, true);
        (objects.put(buffer).map_err(keeping)?, buffer.len() as u64)
    } else {
        let mut writer = objects.writer().map_err(keeping)?;
        let overlap = forbidden.iter().map(Forbidden::reach).max().unwrap_or(0);
        loop {
            // What is left of the last piece stays in front, so that nothing hides on a seam.
            let kept = buffer.len().min(overlap);
            buffer.drain(..buffer.len() - kept);
            let read = Read::by_ref(&mut input).take(PIECE as u64).read_to_end(buffer).map_err(reading)?;
            search.look(buffer, kept, read == 0);
            if read == 0 {
                break;
            }
            writer.write_all(&buffer[kept..]).map_err(|error| keeping(error.into()))?;
        }
        writer.finish().map_err(keeping)?
    };
    let fault = search
        .found
        .map(|(forbidden, offset)| Fault { path: file.path.as_str().to_owned(), kind: forbidden.fault(offset) });
    Ok((stored, fault))
}

/// Looks for the first forbidden place in a file that comes in pieces.
struct Search<'a> {
    forbidden: &'a [Forbidden],
    seen: u64,
    found: Option<(&'a Forbidden, u64)>,
}

impl Search<'_> {
    /// `piece` begins with `kept` bytes of the one before.
    fn look(&mut self, piece: &[u8], kept: usize, is_last: bool) {
        if self.found.is_none() {
            let first = self.forbidden.iter().filter_map(|f| f.find_in_piece(piece, kept, is_last).map(|at| (at, f)));
            let first = first.min_by_key(|(at, f)| (*at, f.place().len()));
            self.found = first.map(|(at, forbidden)| (forbidden, self.seen - kept as u64 + at as u64));
        }
        self.seen += (piece.len() - kept) as u64;
    }
}
