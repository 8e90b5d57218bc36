//! Layer blobs: a tree, as tar, compressed, hashed before and after, in one pass.
//!
//! A blob depends on the tree, the compression and [`KIND`], and on nothing else, so the caller keeps it as an
//! action with that key and writes several at once. Compression is deterministic on any number of cores. What one
//! layer needs in memory does not depend on its size: buffers, and for zstd about 32 MB in the compressor.

use std::io::{self, Write};

use kiln_archive::compress::{Level, encoder};
use kiln_model::{Digest, Dir, KeyBuilder, ObjectError, ObjectSink, ObjectSource, TreeId, TreePath};
use serde::{Deserialize, Serialize};

use crate::sink::{Even, Measured};
use crate::stream::{Names, write_tree};

/// The kind of the action that writes a layer, for its key. Raise the number when the same tree would give other bytes:
/// the golden digests in this crate's tests tell.
pub const KIND: &str = "image.layer/2";

/// How layers are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerCompression {
    /// zstd, level 3: fifteen times as fast as gzip, and smaller.
    #[default]
    Zstd,
    /// gzip, level 6: for clients from before 2020.
    Gzip,
    /// Not at all.
    None,
}

impl LayerCompression {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Zstd, Self::Gzip, Self::None];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::None => "none",
        }
    }

    /// What a manifest calls a layer of this compression.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::None => "application/vnd.oci.image.layer.v1.tar",
        }
    }

    pub(crate) const fn archive(self) -> kiln_archive::Compression {
        match self {
            Self::Zstd => kiln_archive::Compression::Zstd,
            Self::Gzip => kiln_archive::Compression::Gzip,
            Self::None => kiln_archive::Compression::None,
        }
    }
}

impl std::str::FromStr for LayerCompression {
    type Err = CompressionError;

    fn from_str(text: &str) -> Result<Self, CompressionError> {
        Self::ALL.into_iter().find(|one| one.as_str() == text).ok_or_else(|| CompressionError(text.to_owned()))
    }
}

/// Why a text names no compression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a compression of layers: `zstd`, `gzip` or `none`")]
pub struct CompressionError(String);

/// What is known of a layer's blob: all that a manifest says about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerInfo {
    /// The digest of the blob.
    pub digest: Digest,
    /// The blob's length.
    pub size: u64,
    /// The digest of the tar inside.
    pub diff_id: Digest,
    /// The length of the tar inside.
    pub uncompressed: u64,
    /// How the one was made of the other.
    pub compression: LayerCompression,
}

/// A layer of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenLayer {
    /// Its blob.
    pub info: LayerInfo,
    /// What `history` says about it.
    pub comment: String,
}

/// Why a tree cannot be streamed.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The content of a file cannot be had.
    #[error("the content of `{path}` cannot be read")]
    Object {
        /// The file.
        path: TreePath,
        /// Why.
        #[source]
        source: ObjectError,
    },
    /// A name that means something else in a layer.
    #[error("`{0}` cannot be in a layer: a name that begins with `.wh.` removes a file there")]
    ReservedName(TreePath),
    /// The stream cannot be written, or an entry cannot be expressed in it.
    #[error("the stream cannot be written")]
    Write(#[source] io::Error),
    /// The blob cannot be stored.
    #[error("the layer cannot be stored")]
    Store(#[source] ObjectError),
}

impl LayerError {
    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Object { .. } => Some(
                "`kiln fsck --repair` takes damaged objects out of the store; the next build makes them again"
                    .to_owned(),
            ),
            Self::ReservedName(_) => Some("rename it, or take the `tar` output".to_owned()),
            Self::Write(error) | Self::Store(ObjectError::Io { source: error, .. })
                if error.kind() == io::ErrorKind::StorageFull =>
            {
                Some("free some disk space".to_owned())
            }
            Self::Write(_) | Self::Store(_) => None,
        }
    }
}

/// The key of the action that writes the layer of `tree`.
#[must_use]
pub fn key(tree: &TreeId, compression: LayerCompression) -> kiln_model::ActionKey {
    KeyBuilder::new(KIND).field("tree", tree.digest().as_bytes()).field("compression", compression.as_str()).finish()
}

/// Writes the layer of `tree` to `out`.
///
/// # Errors
/// When an object cannot be read or is damaged, a name is reserved, or `out` fails. What was written to `out` is then of
/// no use.
pub fn write(
    tree: &Dir,
    objects: &dyn ObjectSource,
    compression: LayerCompression,
    out: impl Write,
) -> Result<LayerInfo, LayerError> {
    let blob = Measured::new(out);
    let (blob, diff_id, uncompressed) = compress(tree, objects, compression, blob)?;
    let (mut out, digest, size) = blob.end();
    out.flush().map_err(LayerError::Write)?;
    Ok(LayerInfo { digest, size, diff_id, uncompressed, compression })
}

/// Writes the layer of `tree` as an object, whose name is the blob's digest.
///
/// # Errors
/// As [`write()`]; then no object is made.
pub fn store(
    tree: &Dir,
    objects: &dyn ObjectSource,
    compression: LayerCompression,
    sink: &dyn ObjectSink,
) -> Result<LayerInfo, LayerError> {
    // The sink hashes what it takes: doing it here as well would cost as much as everything but the compression.
    let writer = sink.writer().map_err(LayerError::Store)?;
    let (writer, diff_id, uncompressed) = compress(tree, objects, compression, writer)?;
    let (object, size) = writer.finish().map_err(LayerError::Store)?;
    Ok(LayerInfo { digest: *object.digest(), size, diff_id, uncompressed, compression })
}

fn compress<W: Write>(
    tree: &Dir,
    objects: &dyn ObjectSource,
    compression: LayerCompression,
    out: W,
) -> Result<(W, Digest, u64), LayerError> {
    let encoder = encoder(compression.archive(), out, Level::Default).map_err(LayerError::Write)?;
    let even = write_tree(tree, objects, Names::NoWhiteouts, Even::new(Measured::new(encoder)))?;
    let (encoder, diff_id, uncompressed) = even.finish().map_err(LayerError::Write)?.end();
    let out = encoder.finish().map_err(LayerError::Write)?;
    Ok((out, diff_id, uncompressed))
}

#[cfg(test)]
#[path = "layer_tests.rs"]
mod tests;
