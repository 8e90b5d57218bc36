//! The `oci` output: an image layout folder of the OCI image specification 1.1.
//!
//! ```text
//! web.oci/
//!   oci-layout           {"imageLayoutVersion":"1.0.0"}
//!   index.json           the manifest, tagged with the image's name, marked as Kiln's; its referrers, without a tag
//!   blobs/sha256/HEX     manifest, configuration, layers; the referrers' manifests and documents
//! ```
//!
//! Layers come from where the caller keeps them: cloned where the file system shares blocks, else hard linked, else
//! copied and checked. The folder is written aside and renamed whole. A layout that already holds this image, checked
//! blob by blob, is left untouched; another one of Kiln's is replaced; anything else is refused.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;

use kiln_model::{Digest, Hasher, ObjectError, ObjectId};

use super::document::Marks;
use super::{Assembled, MARK, assemble};
use crate::OutputError;
use crate::aside::{self, Aside, Standing};
use crate::outputs::{Request, Written};
use crate::stream::{BUFFER, ObjectReader};

/// The content of `oci-layout`. The number is that of the layout's shape, not of the specification.
pub(super) const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// An index that is larger than this was not written here.
const INDEX_LIMIT: u64 = 1 << 20;

/// Writes the image of `request` as a layout at `place`.
///
/// # Errors
/// When it cannot be written whole; then what stood there still does.
pub fn write(request: &Request<'_>, place: &Path) -> Result<Written, OutputError> {
    let image = assemble(request.spec, request.layers, request.referrers)?;
    let size = image.blobs().map(|(_, size)| size).sum::<u64>();
    let written = |untouched| Written { path: place.to_owned(), digest: image.manifest.digest, size, untouched };
    match aside::standing(place)? {
        Standing::Nothing => {}
        Standing::File => return Err(occupied(place, "is a file, and this output is a folder")),
        Standing::Folder => {
            check_is_ours(place)?;
            if holds(place, &image, request) {
                aside::sweep(place)?;
                return Ok(written(true));
            }
        }
    }
    let folder = Aside::new_folder(place)?;
    let blobs = folder.path().join("blobs").join("sha256");
    fs::create_dir_all(&blobs).map_err(OutputError::io("write", place))?;
    let mut layers = Layers { request, clone: true, written: Vec::new() };
    for (digest, size) in image.distinct_layers() {
        layers.put(&digest, size, &blobs.join(digest.to_hex()))?;
    }
    let mut written_files = layers.written;
    let attached = image.attached.iter().map(|(digest, bytes)| (blobs.join(digest.to_hex()), &**bytes));
    let documents = [
        (blobs.join(image.config.digest.to_hex()), &*image.config.bytes),
        (blobs.join(image.manifest.digest.to_hex()), &*image.manifest.bytes),
        (folder.path().join("oci-layout"), LAYOUT),
        (folder.path().join("index.json"), &*image.index),
    ];
    for (path, bytes) in attached.chain(documents) {
        let mut file = create(&path)?;
        file.write_all(bytes).map_err(OutputError::io("write", &path))?;
        written_files.push(file);
    }
    for path in [&*blobs, folder.path()] {
        written_files.push(File::open(path).map_err(OutputError::io("flush", place))?);
    }
    flush(&written_files).map_err(OutputError::io("flush", place))?;
    folder.put(check_is_ours)?;
    Ok(written(false))
}

fn occupied(place: &Path, what: &'static str) -> OutputError {
    OutputError::Occupied { path: place.to_owned(), what }
}

impl Assembled {
    /// Every layer blob once, by digest.
    pub(super) fn distinct_layers(&self) -> BTreeMap<Digest, u64> {
        self.layers.iter().copied().collect()
    }

    /// Every blob once: digest and size.
    pub(super) fn blobs(&self) -> impl Iterator<Item = (Digest, u64)> {
        let documents = [&self.config, &self.manifest].map(|blob| (blob.digest, blob.bytes.len() as u64));
        let attached = self.attached.iter().map(|(digest, bytes)| (*digest, bytes.len() as u64));
        self.distinct_layers().into_iter().chain(documents).chain(attached)
    }
}

/// An empty folder may be filled, a layout with Kiln's mark replaced.
fn check_is_ours(place: &Path) -> Result<(), OutputError> {
    // Another writer may exchange the folder while it is read, and remove what was there: look again then.
    for _ in 0..3 {
        let mut entries = fs::read_dir(place).map_err(OutputError::io("read", place))?;
        if entries.next().is_none() || has_mark(place) {
            return Ok(());
        }
    }
    Err(occupied(place, "is a folder that Kiln did not write"))
}

fn has_mark(place: &Path) -> bool {
    let marks = read_small(&place.join("index.json")).and_then(|index| serde_json::from_slice::<Marks>(&index).ok());
    marks.is_some_and(|marks| marks.annotations.get(MARK.0).is_some_and(|mark| mark == MARK.1))
}

fn read_small(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    open_file(path)?.take(INDEX_LIMIT).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Opens a regular file, following no link.
fn open_file(path: &Path) -> Option<File> {
    fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file)?;
    File::open(path).ok()
}

/// Does the layout at `place` hold exactly `image`? A blob that is the store's own inode needs no reading.
fn holds(place: &Path, image: &Assembled, request: &Request<'_>) -> bool {
    let same = |name: &str, bytes: &[u8]| read_small(&place.join(name)).as_deref() == Some(bytes);
    if !same("index.json", &image.index) || !same("oci-layout", LAYOUT) {
        return false;
    }
    let blobs = place.join("blobs").join("sha256");
    let count = fs::read_dir(&blobs).map_or(0, Iterator::count);
    count == image.blobs().count()
        && image.blobs().all(|(digest, size)| {
            let path = blobs.join(digest.to_hex());
            is_the_stores(request, &digest, size, &path) || hashes_to(&path, &digest, size)
        })
}

fn is_the_stores(request: &Request<'_>, digest: &Digest, size: u64, path: &Path) -> bool {
    let Some(kept) = (request.blob_path)(digest) else { return false };
    match (fs::symlink_metadata(kept), fs::symlink_metadata(path)) {
        (Ok(kept), Ok(found)) => {
            (kept.dev(), kept.ino(), kept.len()) == (found.dev(), found.ino(), size) && found.is_file()
        }
        _ => false,
    }
}

fn hashes_to(path: &Path, digest: &Digest, size: u64) -> bool {
    let Some(mut file) = open_file(path) else { return false };
    let mut hasher = Hasher::new();
    file.metadata().is_ok_and(|found| found.len() == size)
        && io::copy(&mut file, &mut hasher).is_ok()
        && hasher.finish() == *digest
}

fn create(path: &Path) -> Result<File, OutputError> {
    OpenOptions::new().write(true).create_new(true).open(path).map_err(OutputError::io("write", path))
}

/// Flushes files and folders all at once, so that the file system can do it in one go.
fn flush(files: &[File]) -> io::Result<()> {
    thread::scope(|scope| {
        let pieces = files.chunks(files.len().div_ceil(8).max(1));
        let working: Vec<_> = pieces.map(|piece| scope.spawn(|| piece.iter().try_for_each(File::sync_all))).collect();
        working.into_iter().try_for_each(|thread| match thread.join() {
            Ok(flushed) => flushed,
            Err(_) => Err(io::ErrorKind::Other.into()),
        })
    })
}

/// Puts layer blobs into the folder.
struct Layers<'a> {
    request: &'a Request<'a>,
    /// Can the file system share blocks? Until it says no.
    clone: bool,
    /// What was written and is not flushed yet.
    written: Vec<File>,
}

impl Layers<'_> {
    fn put(&mut self, digest: &Digest, size: u64, to: &Path) -> Result<(), OutputError> {
        if let Some(kept) = (self.request.blob_path)(digest) {
            let found = fs::symlink_metadata(&kept).map_err(|source| blob_error(digest, source.into()))?;
            if !found.is_file() || found.len() != size {
                return Err(OutputError::DamagedBlob(*digest));
            }
            if self.clone_file(&kept, to)? || fs::hard_link(&kept, to).is_ok() {
                return Ok(());
            }
        }
        let file = create(to)?;
        let mut blob = BlobReader::open(self.request, digest, size)?;
        let mut buffered = BufWriter::with_capacity(BUFFER, &file);
        io::copy(&mut blob, &mut buffered)
            .and_then(|_| buffered.flush())
            .map_err(|error| blob.explain(OutputError::io("write", to)(error)))?;
        drop(buffered);
        self.written.push(file);
        Ok(())
    }

    /// Shares the blocks of `from` where the file system can. A clone is the output's own: nobody who edits it reaches
    /// into the store, which is why this comes before a hard link.
    fn clone_file(&mut self, from: &Path, to: &Path) -> Result<bool, OutputError> {
        if !self.clone {
            return Ok(false);
        }
        let Ok(source) = File::open(from) else { return Ok(false) };
        let file = create(to)?;
        self.clone = rustix::fs::ioctl_ficlone(&file, &source).is_ok();
        if self.clone {
            self.written.push(file);
        } else {
            fs::remove_file(to).map_err(OutputError::io("write", to))?;
        }
        Ok(self.clone)
    }
}

fn blob_error(digest: &Digest, source: ObjectError) -> OutputError {
    match source {
        ObjectError::Damaged(_) => OutputError::DamagedBlob(*digest),
        source => OutputError::Blob { digest: *digest, source },
    }
}

/// Reads a layer's blob and checks it on the way.
pub(super) struct BlobReader {
    digest: Digest,
    object: ObjectReader,
}

impl BlobReader {
    pub(super) fn open(request: &Request<'_>, digest: &Digest, size: u64) -> Result<Self, OutputError> {
        match ObjectReader::open(request.objects, ObjectId(*digest), size) {
            Ok(object) => Ok(Self { digest: *digest, object }),
            Err(source) => Err(blob_error(digest, source)),
        }
    }

    /// What an error of somebody who read from here and wrote elsewhere was about.
    pub(super) fn explain(self, error: OutputError) -> OutputError {
        self.object.fault().map_or(error, |source| blob_error(&self.digest, source))
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.object.read(buffer)
    }
}
