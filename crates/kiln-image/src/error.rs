//! Why an output cannot be written.

use std::io;
use std::path::{Path, PathBuf};

use kiln_model::{Digest, ObjectError, TreePath};

use crate::layer::LayerError;
use crate::spec::SpecError;

/// Why an output cannot be written. Nothing of it is left then, and what stood there before still does.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// Something stands where the output goes that Kiln did not write.
    #[error("`{}` {what}", .path.display())]
    Occupied {
        /// Where.
        path: PathBuf,
        /// What stands there.
        what: &'static str,
    },
    /// The system refused.
    #[error("cannot {action} `{}`", .path.display())]
    Io {
        /// A verb.
        action: &'static str,
        /// At what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The image's configuration has a value that cannot be meant.
    #[error("the image's configuration cannot be written")]
    Spec(#[from] SpecError),
    /// A tree cannot be streamed.
    #[error("the image's files cannot be written")]
    Layer(#[from] LayerError),
    /// An image without any file.
    #[error("the image has no layers")]
    NoLayers,
    /// A layer's blob cannot be had.
    #[error("layer {digest} cannot be read")]
    Blob {
        /// The layer.
        digest: Digest,
        /// Why.
        #[source]
        source: ObjectError,
    },
    /// A layer's blob is not what its name says.
    #[error("layer {0} is damaged")]
    DamagedBlob(Digest),
    /// Only root can make this.
    #[error("`{path}` is a {what}, which only root can make in a folder")]
    NeedsRoot {
        /// The first such entry.
        path: TreePath,
        /// What it is.
        what: &'static str,
    },
    /// The tree is deeper than a folder of this process can be.
    #[error("`{0}` lies too deep to be written into a folder")]
    TooDeep(TreePath),
}

impl OutputError {
    pub(crate) fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Occupied { .. } => Some("remove it, or give another place with `--to`".to_owned()),
            Self::Io { source, path, .. } => io_hint(source, path),
            Self::Layer(error) => error.hint(),
            Self::Blob { .. } | Self::DamagedBlob(_) => Some(
                "`kiln fsck --repair` takes damaged blobs out of the store; the next build makes them again".to_owned(),
            ),
            Self::NeedsRoot { .. } => {
                Some("take the `tar` or `oci` output, which any user can write, or run as root".to_owned())
            }
            Self::TooDeep(_) => Some("take the `tar` or `oci` output, which have no such limit".to_owned()),
            Self::NoLayers => Some("name a package or a file in the image".to_owned()),
            Self::Spec(_) => None,
        }
    }
}

fn io_hint(source: &io::Error, path: &Path) -> Option<String> {
    let folder = path.parent().unwrap_or(path).display();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some(format!("free some space at `{folder}`, or give another place with `--to`"))
        }
        io::ErrorKind::NotFound => Some(format!("make the folder `{folder}` first")),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Some(format!("`{folder}` must be writable; give another place with `--to`"))
        }
        _ => None,
    }
}
