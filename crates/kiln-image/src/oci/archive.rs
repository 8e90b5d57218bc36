//! The `oci-archive` output: the image layout as one tar file, which `podman load`, `skopeo` and others read.
//!
//! Entries are `oci-layout`, `index.json`, `blobs/`, `blobs/sha256/`, then configuration, manifest, what belongs to
//! its referrers, and layers: what a reader of a stream needs first comes first. Owners, modes and times are constants.

use std::io::{self, Read, Write};
use std::path::Path;

use kiln_archive::{Entry, Kind, tar};
use kiln_model::Digest;

use super::layout::{BlobReader, LAYOUT};
use super::{Assembled, assemble};
use crate::OutputError;
use crate::outputs::{Request, Written};
use crate::tar::put_stream;

/// Writes the image of `request` as an archive at `place`.
///
/// # Errors
/// When it cannot be written whole; then what stood there still does.
pub fn write(request: &Request<'_>, place: &Path) -> Result<Written, OutputError> {
    let image = assemble(request.spec, request.layers, request.referrers)?;
    put_stream(place, |out| {
        let mut archive = Archive { writer: tar::Writer::new(out), request, place };
        archive.layout(&image)?;
        archive.writer.finish().map_err(OutputError::io("write", place))
    })
}

struct Archive<'a, W> {
    writer: tar::Writer<W>,
    request: &'a Request<'a>,
    place: &'a Path,
}

impl<W: Write> Archive<'_, W> {
    fn layout(&mut self, image: &Assembled) -> Result<(), OutputError> {
        self.bytes("oci-layout", LAYOUT)?;
        self.bytes("index.json", &image.index)?;
        self.add("blobs", Kind::Directory, 0, &mut io::empty())?;
        self.add("blobs/sha256", Kind::Directory, 0, &mut io::empty())?;
        for document in [&image.config, &image.manifest] {
            self.bytes(&blob_path(&document.digest), &document.bytes)?;
        }
        for (digest, bytes) in &image.attached {
            self.bytes(&blob_path(digest), bytes)?;
        }
        for (digest, size) in image.distinct_layers() {
            let mut blob = BlobReader::open(self.request, &digest, size)?;
            self.add(&blob_path(&digest), Kind::File, size, &mut blob).map_err(|error| blob.explain(error))?;
        }
        Ok(())
    }

    fn bytes(&mut self, path: &str, bytes: &[u8]) -> Result<(), OutputError> {
        self.add(path, Kind::File, bytes.len() as u64, &mut &*bytes)
    }

    fn add(&mut self, path: &str, kind: Kind, size: u64, content: &mut dyn Read) -> Result<(), OutputError> {
        let failed = OutputError::io("write", self.place);
        let path = path.parse().map_err(|error| OutputError::io("write", self.place)(io::Error::other(error)))?;
        let mut entry = Entry::new(path, kind);
        entry.size = size;
        self.writer.add(&entry, content).map_err(failed)
    }
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.to_hex())
}
