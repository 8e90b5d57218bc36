//! Why an archive cannot be read.

use std::io;

use kiln_model::path::PathError;

use crate::LimitError;

/// Why an archive cannot be read. Names in messages are escaped: they may hold anything.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bytes cannot be had or decompressed.
    #[error("cannot read the archive")]
    Io(#[source] io::Error),
    /// It ends too early.
    #[error("the archive ends within {within}")]
    Truncated {
        /// Within what.
        within: String,
    },
    /// It is not what it should be.
    #[error("this is not {format}: {why}")]
    Format {
        /// The expected format with its article.
        format: &'static str,
        /// What tells.
        why: String,
    },
    /// A header or record makes no sense.
    #[error("entry `{entry}`: {why}")]
    Header {
        /// The entry, as far as it is known.
        entry: String,
        /// What is wrong.
        why: String,
    },
    /// A name that must not be used.
    #[error("an entry's name must not be used")]
    Path(#[source] PathError),
    /// A name or target that is not UTF-8.
    #[error("the name `{0}` is not UTF-8")]
    NotUtf8(String),
    /// Something that this program does not read.
    #[error("entry `{entry}` is {what}, which is not supported")]
    Unsupported {
        /// The entry.
        entry: String,
        /// What it is, with its article.
        what: &'static str,
    },
    /// Larger than allowed.
    #[error(transparent)]
    Limit(LimitError),
}

impl ReadError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Io(_) => return None,
            Self::Truncated { .. } => {
                "fetch the file again; if its digest is right, the archive was made broken".into()
            }
            Self::Format { .. } => "tar (plain, gzip, xz, zstd, bzip2) and zip archives can be read".into(),
            Self::Header { .. } => "the archive is damaged, or was made by a broken program: repack it".into(),
            Self::Path(_) => "an entry must stay inside the archive's own folder: repack the archive without it".into(),
            Self::NotUtf8(_) => "repack the archive with UTF-8 names".into(),
            Self::Unsupported { .. } => "repack the archive in the `pax` or `ustar` format, without this entry".into(),
            Self::Limit(error) => error.hint(),
        })
    }

    pub(crate) fn header(entry: &[u8], why: impl Into<String>) -> Self {
        Self::Header { entry: shown(entry), why: why.into() }
    }
}

/// Errors of the readers below come wrapped in [`io::Error`]: a limit is told from the rest here.
impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        if error.get_ref().is_some_and(|inner| inner.is::<Self>()) {
            return *error.into_inner().and_then(|inner| inner.downcast().ok()).expect("it was just seen to be there");
        }
        if let Some(limit) = error.get_ref().and_then(|inner| inner.downcast_ref::<LimitError>()) {
            return Self::Limit(limit.clone());
        }
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Self::Truncated { within: "its compressed data".into() };
        }
        Self::Io(error)
    }
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(error) => error,
            other => Self::new(io::ErrorKind::InvalidData, other),
        }
    }
}

/// A name for a message: escaped and not too long.
pub(crate) fn shown(name: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(&name[..name.len().min(200)]).escape_debug().collect();
    if name.len() > 200 { text + "…" } else { text }
}
