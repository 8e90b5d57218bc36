//! The table of output formats. A new format is one file with a function like these, and one row here.

use std::path::{Path, PathBuf};

use kiln_model::{Digest, Dir, ImageName, ObjectSource, Reporter};

use crate::oci::Referrer;
use crate::spec::ImageSpec;
use crate::{OutputError, WrittenLayer, oci, tar, tree_folder};

/// What an output is made from, so that the caller prepares only what is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// The blobs of [`Request::layers`].
    Layers,
    /// The objects of [`Request::tree`].
    Tree,
}

/// An image to be written.
pub struct Request<'a> {
    /// What it is besides its files.
    pub spec: &'a ImageSpec,
    /// All its files.
    pub tree: &'a Dir,
    /// Its layers, bottom first; only outputs made from [`Content::Layers`] look at them.
    pub layers: &'a [WrittenLayer],
    /// Documents that go with it; only outputs made from [`Content::Layers`] have a place for them.
    pub referrers: &'a [Referrer],
    /// Where objects are read from. Layer blobs are objects too, named by their digests.
    pub objects: &'a dyn ObjectSource,
    /// Where a blob lies as a file, so that it can be linked instead of copied. None is always a right answer.
    pub blob_path: &'a (dyn Fn(&Digest) -> Option<PathBuf> + Sync),
    /// Takes warnings.
    pub reporter: &'a dyn Reporter,
}

/// An output that is in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Where.
    pub path: PathBuf,
    /// Its name: of an `oci` output the manifest's digest, of another file the digest of its bytes, of a folder the
    /// digest of its tree.
    pub digest: Digest,
    /// How many bytes it holds.
    pub size: u64,
    /// It was there already, whole, and was not written again.
    pub untouched: bool,
}

/// One format.
pub struct Output {
    /// What it is called in `outputs:` and after `--output`.
    pub name: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// What follows the image's name and a dot in the name of its file or folder.
    pub extension: &'static str,
    /// What it is made from.
    pub content: Content,
    writer: fn(&Request<'_>, &Path) -> Result<Written, OutputError>,
}

const TABLE: &[Output] = &[
    Output {
        name: "dir",
        summary: "A folder with the image's files",
        extension: "dir",
        content: Content::Tree,
        writer: tree_folder::write,
    },
    Output {
        name: "oci",
        summary: "An OCI image layout folder, one layer a package",
        extension: "oci",
        content: Content::Layers,
        writer: oci::layout::write,
    },
    Output {
        name: "oci-archive",
        summary: "The OCI image layout as one tar file",
        extension: "oci.tar",
        content: Content::Layers,
        writer: oci::archive::write,
    },
    Output {
        name: "tar",
        summary: "The root file system as a tar file",
        extension: "tar",
        content: Content::Tree,
        writer: tar::write_plain,
    },
    Output {
        name: "tar-gz",
        summary: "The root file system as a tar file, compressed with gzip",
        extension: "tar.gz",
        content: Content::Tree,
        writer: tar::write_gzip,
    },
    Output {
        name: "tar-zst",
        summary: "The root file system as a tar file, compressed with zstd",
        extension: "tar.zst",
        content: Content::Tree,
        writer: tar::write_zstd,
    },
];

/// Every format, by name.
#[must_use]
pub const fn outputs() -> &'static [Output] {
    TABLE
}

/// The format called `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Output> {
    TABLE.iter().find(|output| output.name == name)
}

impl Output {
    /// Where this output of an image goes in `folder`.
    #[must_use]
    pub fn path(&self, folder: &Path, image: &ImageName) -> PathBuf {
        folder.join(format!("{image}.{}", self.extension))
    }

    /// Writes an image into `folder`, which must be there.
    ///
    /// # Errors
    /// When it cannot be written whole. Then nothing of it is left, and what stood in its place still does.
    pub fn write(&self, request: &Request<'_>, folder: &Path) -> Result<Written, OutputError> {
        (self.writer)(request, &self.path(folder, &request.spec.name))
    }
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("name", &self.name).field("extension", &self.extension).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_no_two_outputs_share_a_place() {
        let names: Vec<&str> = outputs().iter().map(|output| output.name).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(names, sorted);
        let mut extensions: Vec<&str> = outputs().iter().map(|output| output.extension).collect();
        extensions.sort_unstable();
        extensions.dedup();
        assert_eq!(extensions.len(), outputs().len());
    }

    #[test]
    fn outputs_are_found_by_name() {
        let image = "web".parse().unwrap();
        let path = find("oci-archive").unwrap().path(Path::new("out"), &image);
        assert_eq!(path, Path::new("out/web.oci.tar"));
        assert!(find("floppy").is_none());
    }
}
