//! The typed description that every document is made from.

use kiln_model::{Architecture, Digest, TreePath};
use sha1::{Digest as _, Sha1};

use crate::{Licence, Purl};

/// What is described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubjectKind {
    /// An image of the project.
    Image,
    /// A package that the project builds, with its parts.
    Package,
}

/// An image or a package, and what it is made of. Lists may be in any order: documents sort them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: SubjectKind,
    /// The project it is of.
    pub project: String,
    /// Its version: of an image the commit, with `-dirty` when the tree differs from it.
    pub version: String,
    /// The project's commit, in the same form.
    pub commit: String,
    /// What it runs on.
    pub architecture: Architecture,
    /// The digest of the canonical form of all its files.
    pub tree: Digest,
    /// How others name it, if they do.
    pub purl: Option<Purl>,
    /// Its packages.
    pub packages: Vec<Package>,
    /// Files that none of its packages brings.
    pub files: Vec<File>,
}

/// A package of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// How the project names it; no two packages of a description have one: `debian:nginx`, `nginx`.
    pub reference: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it is, in a line.
    pub summary: Option<String>,
    /// Who it comes from: a distribution, or the project.
    pub supplier: String,
    /// How others name it.
    pub purl: Purl,
    /// What is known of its licence.
    pub licence: Licence,
    /// The digest of the package's file, if it came as one.
    pub digest: Option<Digest>,
    /// The digest of the canonical form of its files.
    pub tree: Digest,
    /// Is it an image itself, which the image was made on?
    pub is_image: bool,
    /// Was it built here?
    pub is_built: bool,
    /// What it was built from, as far as that is known.
    pub sources: Vec<Source>,
    /// What was changed of that here, in the order of application.
    pub patches: Vec<Patch>,
    /// Its files, where the image has them.
    pub files: Vec<File>,
}

/// What a package was built from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Its version, if it has one.
    pub version: Option<String>,
    /// How others name it.
    pub purl: Option<Purl>,
    /// Where it is, as a URL.
    pub location: Option<String>,
    /// The commit, of a Git repository.
    pub commit: Option<String>,
    /// The digest of the canonical form of its files, if it was unpacked here.
    pub tree: Option<Digest>,
    /// The files that it consists of.
    pub files: Vec<SourceFile>,
}

/// A file of a source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceFile {
    /// Its name.
    pub name: String,
    /// Its digest.
    pub sha256: Digest,
}

/// A patch of the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// The file, from the project's root.
    pub path: String,
    /// Why it is here.
    pub why: String,
    /// Its digests.
    pub checksums: Checksums,
}

/// A regular file. Directories, links and devices have no content to be named by, and are in no document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it is.
    pub path: TreePath,
    /// Its digests.
    pub checksums: Checksums,
}

/// The digests of a file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Checksums {
    /// Its name in the store.
    pub sha256: Digest,
    /// What SPDX insists on. It names a file for tools that compare lists; nothing is trusted by it.
    pub sha1: [u8; 20],
}

impl Checksums {
    /// Of bytes in memory.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self { sha256: Digest::of(bytes), sha1: Sha1::digest(bytes).into() }
    }

    /// The SHA-1 as it is written.
    #[must_use]
    pub fn sha1_hex(&self) -> String {
        hex::encode(self.sha1)
    }
}

impl Description {
    /// The same with every list in its order.
    pub(crate) fn sorted(&self) -> Self {
        let mut sorted = self.clone();
        sorted.packages.sort_by(|a, b| a.reference.cmp(&b.reference));
        for package in &mut sorted.packages {
            package.files.sort_by(|a, b| a.path.cmp(&b.path));
            package.sources.sort();
        }
        sorted.files.sort_by(|a, b| a.path.cmp(&b.path));
        sorted
    }
}
