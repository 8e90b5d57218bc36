//! The `dir` output: an image's files as a folder of this system.
//!
//! As root everything is kept: owners, modes, extended attributes, devices. An ordinary user owns what it writes; the
//! permission bits are kept but for set-user-id and set-group-id, which would then mean *this* user, and so are
//! attributes outside `security.` and `trusted.`. One warning counts what was not kept. Devices are refused, since a
//! folder without them is not the image; named pipes are made.
//!
//! The folder is written aside and renamed. It carries the attribute `user.kiln.tree`, the digest of its tree, which
//! tells a later run that Kiln wrote it. Where a file system has no attributes the folder carries none, and the
//! next run will not replace it. Nothing is flushed: after a power cut, write it again.
//!
//! Files are written by several threads, each in its directory by descriptor and only where nothing stands, so no
//! link is ever followed. Directories get their own mode and time last, deepest first.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fmt, thread};

use kiln_model::report::Event;
use kiln_model::{Device, Dir, Entry, FileEntry, Meta, SOURCE_DATE_EPOCH, TreePath};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat, fchmod, fchown,
    fsetxattr, futimens, lgetxattr, linkat, lsetxattr, makedev, mkdirat, mknodat, openat, symlinkat, utimensat,
};

use crate::aside::{self, Aside, Standing};
use crate::outputs::{Request, Written};
use crate::plan::content_size;
use crate::stream::{BUFFER, Links, ObjectReader};
use crate::{LayerError, OutputError};

/// The attribute by which a folder is known as Kiln's.
const MARK: &str = "user.kiln.tree";

/// Directories are held open on the way down, and a process may hold about a thousand.
const MAX_DEPTH: usize = 400;

/// More threads than this wait for each other in the file system.
const MAX_THREADS: usize = 8;

const TIMES: Timestamps = {
    let time = Timespec { tv_sec: SOURCE_DATE_EPOCH.cast_signed(), tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
};

/// Writes the tree of `request` as a folder at `place`.
///
/// # Errors
/// When it cannot be written whole; then what stood there still does.
pub(crate) fn write(request: &Request<'_>, place: &Path) -> Result<Written, OutputError> {
    match aside::standing(place)? {
        Standing::Nothing => {}
        Standing::File => return Err(occupied(place, "is a file, and this output is a folder")),
        Standing::Folder => check_is_ours(place)?,
    }
    let root = rustix::process::geteuid().is_root();
    let lost = check(request.tree, root)?;
    let folder = Aside::new_folder(place)?;
    let id = request.tree.id();
    match fsetxattr(folder.file(), MARK, id.to_string().as_bytes(), XattrFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOTSUP | rustix::io::Errno::PERM) => {}
        Err(error) => return Err(OutputError::io("write", place)(error.into())),
    }
    Writer { request, place, aside: folder.path(), root }.write(folder.file())?;
    folder.put(check_is_ours)?;
    if lost.any() {
        let message = format!("`{}` lacks what only root can make: {lost}", place.display());
        let hint = "take the `tar` or `oci` output, which keep everything, or run as root".to_owned();
        request.reporter.report(Event::Warning { message, hint: Some(hint) });
    }
    let size = content_size(request.tree);
    Ok(Written { path: place.to_owned(), digest: *id.digest(), size, untouched: false })
}

fn occupied(place: &Path, what: &'static str) -> OutputError {
    OutputError::Occupied { path: place.to_owned(), what }
}

fn check_is_ours(place: &Path) -> Result<(), OutputError> {
    let mut value = [0; 128];
    let marked = lgetxattr(place, MARK, &mut value).is_ok();
    if marked || fs::read_dir(place).is_ok_and(|mut entries| entries.next().is_none()) {
        return Ok(());
    }
    Err(occupied(place, "is a folder that Kiln did not write"))
}

/// How many entries could not have what their tree says.
#[derive(Default)]
struct Lost {
    owners: usize,
    modes: usize,
    attributes: usize,
}

impl Lost {
    const fn any(&self) -> bool {
        self.owners + self.modes + self.attributes > 0
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.owners, "owner", "owners"),
            (self.modes, "set-user-id or set-group-id bit", "set-user-id or set-group-id bits"),
            (self.attributes, "extended attribute", "extended attributes"),
        ];
        let parts: Vec<String> = parts
            .into_iter()
            .filter(|part| part.0 > 0)
            .map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many }))
            .collect();
        f.write_str(&parts.join(", "))
    }
}

/// What only root can keep is counted, what cannot be made at all is refused, before anything is written.
fn check(tree: &Dir, root: bool) -> Result<Lost, OutputError> {
    let mut lost = Lost::default();
    for (path, entry) in tree.walk() {
        if path.components().count() > MAX_DEPTH {
            return Err(OutputError::TooDeep(path));
        }
        if root {
            continue;
        }
        if let Entry::Device(Device::Character { .. } | Device::Block { .. }, _) = entry {
            return Err(OutputError::NeedsRoot { path, what: "device" });
        }
        let meta = entry.meta();
        lost.owners += usize::from(meta.uid != 0 || meta.gid != 0);
        lost.modes += usize::from(meta.mode & 0o6000 != 0);
        lost.attributes += meta.xattrs.keys().filter(|name| needs_root(name)).count();
    }
    Ok(lost)
}

fn needs_root(attribute: &str) -> bool {
    !attribute.starts_with("user.")
}

/// One regular file to be written.
struct Job<'a> {
    folder: Arc<OwnedFd>,
    path: TreePath,
    name: &'a str,
    file: &'a FileEntry,
}

struct Writer<'a> {
    request: &'a Request<'a>,
    /// Where the folder will stand, for messages.
    place: &'a Path,
    /// Where it grows.
    aside: &'a Path,
    root: bool,
}

impl<'a> Writer<'a> {
    fn write(&self, top: &fs::File) -> Result<(), OutputError> {
        let tree = self.request.tree;
        let top: Arc<OwnedFd> = Arc::new(top.try_clone().map_err(OutputError::io("write", self.place))?.into());
        let threads = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        let failure = Mutex::new(None);
        let mut names = Names { links: Links::default(), further: Vec::new() };
        thread::scope(|scope| {
            // Few jobs wait at a time: each holds its directory open.
            let (sender, receiver) = sync_channel::<Job<'a>>(64);
            let receiver = Arc::new(Mutex::new(receiver));
            for _ in 0..threads {
                let (receiver, failure) = (Arc::clone(&receiver), &failure);
                scope.spawn(move || self.work(&receiver, failure));
            }
            if let Err(error) = self.folder(tree, &top, &TreePath::root(), &mut names, &sender) {
                keep(&failure, error);
            }
            // The workers end when the channel does.
            drop(sender);
        });
        if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        for (first, further) in &names.further {
            linkat(&*top, first.as_str(), &*top, further.as_str(), AtFlags::empty()).map_err(self.at(further))?;
        }
        self.finish_folders(tree, top.as_fd(), &TreePath::root())
    }

    /// An error at a path of the image.
    fn at<'p>(&self, path: &'p TreePath) -> impl FnOnce(rustix::io::Errno) -> OutputError + use<'p> {
        let full = self.place.join(path.as_str());
        move |error| OutputError::Io { action: "write", path: full, source: error.into() }
    }

    /// Makes everything but the content of files, which go to the workers.
    fn folder(
        &self,
        dir: &'a Dir,
        fd: &Arc<OwnedFd>,
        at: &TreePath,
        names: &mut Names<'a>,
        jobs: &SyncSender<Job<'a>>,
    ) -> Result<(), OutputError> {
        for (name, entry) in dir.entries() {
            let path = at.join(name).map_err(|_| OutputError::TooDeep(at.clone()))?;
            match entry {
                Entry::Dir(dir) => {
                    mkdirat(fd, name, Mode::RWXU).map_err(self.at(&path))?;
                    let below = Arc::new(open_folder(fd.as_fd(), name).map_err(self.at(&path))?);
                    self.folder(dir, &below, &path, names, jobs)?;
                }
                Entry::File(file) => {
                    if let Some(first) = names.links.first(&path, file) {
                        names.further.push((first, path));
                    } else if jobs.send(Job { folder: Arc::clone(fd), path, name, file }).is_err() {
                        return Ok(());
                    }
                }
                Entry::Symlink(link) => {
                    symlinkat(&*link.target, fd, name).map_err(self.at(&path))?;
                    self.finish_special(fd.as_fd(), name, &path, &link.meta, None)?;
                }
                Entry::Device(device, meta) => {
                    let (kind, number) = match *device {
                        Device::Character { major, minor } => (FileType::CharacterDevice, makedev(major, minor)),
                        Device::Block { major, minor } => (FileType::BlockDevice, makedev(major, minor)),
                        Device::Fifo => (FileType::Fifo, 0),
                    };
                    mknodat(fd, name, kind, Mode::RUSR, number).map_err(self.at(&path))?;
                    self.finish_special(fd.as_fd(), name, &path, meta, Some(self.mode(meta)))?;
                }
            }
        }
        Ok(())
    }

    fn work(&self, jobs: &Mutex<Receiver<Job<'a>>>, failure: &Mutex<Option<OutputError>>) {
        let mut buffer = vec![0; BUFFER];
        loop {
            let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = job else { return };
            if failure.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
                // Drain, so that the walk never blocks; what it makes is thrown away.
                continue;
            }
            if let Err(error) = self.file(&job, &mut buffer) {
                keep(failure, error);
            }
        }
    }

    fn file(&self, job: &Job<'_>, buffer: &mut [u8]) -> Result<(), OutputError> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(&*job.folder, job.name, flags, Mode::RUSR | Mode::WUSR).map_err(self.at(&job.path))?;
        let mut file = fs::File::from(fd);
        let unreadable = |source| LayerError::Object { path: job.path.clone(), source };
        let mut object =
            ObjectReader::open(self.request.objects, job.file.object, job.file.size).map_err(unreadable)?;
        loop {
            let read = match object.read(buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) => {
                    let fault = object.fault().unwrap_or_else(|| error.into());
                    return Err(unreadable(fault).into());
                }
            };
            let place = self.place.join(job.path.as_str());
            file.write_all(&buffer[..read]).map_err(OutputError::io("write", &place))?;
        }
        self.finish(file.as_fd(), &job.file.meta).map_err(self.at(&job.path))
    }

    /// Directories get what forbids writing only when all below them is written.
    fn finish_folders(&self, dir: &Dir, fd: BorrowedFd<'_>, at: &TreePath) -> Result<(), OutputError> {
        for (name, entry) in dir.entries() {
            if let Entry::Dir(dir) = entry {
                let path = at.join(name).map_err(|_| OutputError::TooDeep(at.clone()))?;
                let below = open_folder(fd, name).map_err(self.at(&path))?;
                self.finish_folders(dir, below.as_fd(), &path)?;
            }
        }
        self.finish(fd, dir.meta()).map_err(self.at(at))
    }

    fn mode(&self, meta: &Meta) -> Mode {
        let kept = if self.root { 0o7777 } else { 0o1777 };
        Mode::from_raw_mode(u32::from(meta.mode & kept))
    }

    fn attributes<'m>(&self, meta: &'m Meta) -> impl Iterator<Item = (&'m str, &'m [u8])> + use<'m> {
        let root = self.root;
        let kept = meta.xattrs.iter().filter(move |(name, _)| root || !needs_root(name));
        kept.map(|(name, value)| (&**name, &**value))
    }

    /// Owner first: changing it clears special modes and capabilities.
    fn finish(&self, fd: BorrowedFd<'_>, meta: &Meta) -> rustix::io::Result<()> {
        if self.root {
            fchown(fd, Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid)))?;
        }
        for (name, value) in self.attributes(meta) {
            fsetxattr(fd, name, value, XattrFlags::empty())?;
        }
        fchmod(fd, self.mode(meta))?;
        futimens(fd, &TIMES)
    }

    /// The same for what cannot be opened.
    fn finish_special(
        &self,
        fd: BorrowedFd<'_>,
        name: &str,
        path: &TreePath,
        meta: &Meta,
        mode: Option<Mode>,
    ) -> Result<(), OutputError> {
        if self.root {
            let (uid, gid) = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
            chownat(fd, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).map_err(self.at(path))?;
        }
        for (attribute, value) in self.attributes(meta) {
            lsetxattr(self.aside.join(path.as_str()), attribute, value, XattrFlags::empty()).map_err(self.at(path))?;
        }
        if let Some(mode) = mode {
            chmodat(fd, name, mode, AtFlags::empty()).map_err(self.at(path))?;
        }
        utimensat(fd, name, &TIMES, AtFlags::SYMLINK_NOFOLLOW).map_err(self.at(path))
    }
}

/// Hard links seen on the way: the first name of each inode, and the others, which wait for it.
struct Names<'a> {
    links: Links<'a>,
    further: Vec<(TreePath, TreePath)>,
}

fn open_folder(fd: BorrowedFd<'_>, name: &str) -> rustix::io::Result<OwnedFd> {
    openat(fd, name, OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

fn keep(failure: &Mutex<Option<OutputError>>, error: OutputError) {
    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
}
