//! An archive of sources onto disk.
//!
//! What arrives is plain: directories and executable files 0755, other files 0644, every time stamp
//! [`kiln_model::SOURCE_DATE_EPOCH`], no owners, no attributes. Of two entries with one path the last wins. Refused are
//! devices, anything whose folder turns out to be a link that the archive itself made, and (unless asked otherwise)
//! symbolic links that lead out of what is unpacked, also by way of other links.
//!
//! The destination appears whole or not at all: everything is unpacked into a sibling folder `.unpack-*`, which is
//! renamed at the end and removed on any error. After a power cut only that sibling can be left.

mod links;
mod place;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use kiln_model::{ObjectError, TreePath};

use crate::{Archive, Kind, Limits, ReadError, open_file};
use place::Place;

pub(crate) use links::check_links;

/// Which folders at the top of the archive to leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strip {
    /// None: everything as it is.
    #[default]
    Nothing,
    /// So many; entries that are not below them are left out.
    Folders(usize),
    /// The one folder that holds all the rest, if there is one; else nothing.
    SingleFolder,
}

impl Strip {
    /// The path that is left; none when nothing is.
    pub(crate) fn apply(self, path: &TreePath) -> Option<TreePath> {
        let Self::Folders(count @ 1..) = self else { return Some(path.clone()) };
        let rest: Vec<&str> = path.components().skip(count).collect();
        if rest.is_empty() { None } else { rest.join("/").parse().ok() }
    }
}

/// Where symbolic links may lead. They are never followed here either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Links {
    /// Only to places below the folder that is unpacked, whether or not something is there.
    #[default]
    Inside,
    /// Anywhere.
    Anywhere,
}

/// How to unpack.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How much the archive may hold; used where the archive is opened.
    pub limits: Limits,
    /// Which folders at the top to leave out.
    pub strip: Strip,
    /// Where symbolic links may lead.
    pub links: Links,
}

/// Why an archive cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// The archive cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A symbolic link leads out.
    #[error("the symbolic link `{entry}` leads outside the archive, to `{target}`")]
    Outside {
        /// The link.
        entry: String,
        /// Its target.
        target: String,
    },
    /// An entry below something that is not a folder.
    #[error("`{entry}` lies below `{link}`, which is not a folder but a link or file of the same archive")]
    ThroughLink {
        /// The entry.
        entry: String,
        /// What is in the way.
        link: String,
    },
    /// A device node or pipe.
    #[error("`{entry}` is a {kind}; sources are folders, files and links")]
    Device {
        /// The entry.
        entry: String,
        /// What it is.
        kind: &'static str,
    },
    /// A hard link to something that is not there.
    #[error("the hard link `{entry}` names `{target}`, which is no file before it in the archive")]
    MissingTarget {
        /// The link.
        entry: String,
        /// Its target.
        target: String,
    },
    /// A file where a folder with content is.
    #[error("`{entry}` would replace a folder that is not empty")]
    InTheWay {
        /// The entry.
        entry: String,
    },
    /// Everything was stripped.
    #[error("nothing is left of the archive after leaving out its top folders")]
    NothingLeft,
    /// The destination is there already.
    #[error("`{}` is there already", .path.display())]
    Exists {
        /// The destination.
        path: PathBuf,
    },
    /// The disk says no.
    #[error("cannot write `{entry}`")]
    Write {
        /// The entry or folder.
        entry: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The store says no.
    #[error("cannot store `{entry}`")]
    Object {
        /// The entry.
        entry: String,
        /// What the store said.
        #[source]
        source: ObjectError,
    },
}

impl ExtractError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Read(error) => error.hint(),
            Self::Outside { .. } => Some(
                "if it belongs there, `outward-links: keep` beside the source keeps such links as they are; otherwise do not trust the archive".into(),
            ),
            Self::ThroughLink { .. } | Self::Device { .. } | Self::MissingTarget { .. } => {
                Some("repack the archive without this entry, or use its unpacked folder as the source".into())
            }
            Self::InTheWay { .. } => Some("the archive contradicts itself: repack it".into()),
            Self::NothingLeft => Some("leave out fewer folders".into()),
            Self::Exists { .. } => Some("remove it first".into()),
            Self::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("the disk is full: free some space (`kiln gc`) and try again".into())
            }
            Self::Write { .. } | Self::Object { .. } => None,
        }
    }

    fn write(entry: impl ToString, source: impl Into<io::Error>) -> Self {
        Self::Write { entry: entry.to_string(), source: source.into() }
    }
}

/// Unpacks the file `archive` into `destination`, which must not be there yet (an empty folder may be).
///
/// # Errors
/// When the archive cannot be read or holds what must not be unpacked, or when the disk says no. Nothing is then left.
pub fn extract_file(archive: &Path, destination: &Path, options: &Options) -> Result<(), ExtractError> {
    let file = File::open(archive).map_err(ReadError::Io)?;
    extract(&mut *open_file(file, &options.limits)?, destination, options)
}

/// Unpacks `archive` into `destination`, which must not be there yet (an empty folder may be).
///
/// # Errors
/// When the archive cannot be read or holds what must not be unpacked, or when the disk says no. Nothing is then left.
pub fn extract(archive: &mut dyn Archive, destination: &Path, options: &Options) -> Result<(), ExtractError> {
    let parent = match destination.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let aside = tempfile::Builder::new().prefix(".unpack-").tempdir_in(parent);
    let aside = aside.map_err(|source| ExtractError::write(parent.display(), source))?;
    let mut unpacking = Unpacking {
        place: Place::open(aside.path()).map_err(|source| ExtractError::write(aside.path().display(), source))?,
        folders: BTreeSet::new(),
        links: BTreeMap::new(),
        strip: options.strip,
    };
    while let Some(entry) = archive.next_entry()? {
        unpacking.entry(archive, entry)?;
    }
    let prefix = single_folder(aside.path(), options.strip)?;
    check_links(&unpacking.links, &prefix, options.links)?;
    unpacking.finish()?;
    if matches!(options.strip, Strip::Folders(1..)) && is_empty(aside.path())? {
        return Err(ExtractError::NothingLeft);
    }
    fs::rename(aside.path().join(&prefix), destination).map_err(|source| match source.kind() {
        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            ExtractError::Exists { path: destination.to_owned() }
        }
        _ => ExtractError::write(destination.display(), source),
    })
}

fn is_empty(folder: &Path) -> Result<bool, ExtractError> {
    let mut entries = fs::read_dir(folder).map_err(|source| ExtractError::write(folder.display(), source))?;
    Ok(entries.next().is_none())
}

/// The name of the one folder that is to be left out, with a slash; empty when there is none.
fn single_folder(folder: &Path, strip: Strip) -> Result<String, ExtractError> {
    if strip != Strip::SingleFolder {
        return Ok(String::new());
    }
    let fault = |source| ExtractError::write(folder.display(), source);
    let mut entries = fs::read_dir(folder).map_err(fault)?;
    match (entries.next().transpose().map_err(fault)?, entries.next()) {
        (Some(only), None) if only.file_type().map_err(fault)?.is_dir() => {
            // Every name came from a tree path, so it is UTF-8.
            Ok(only.file_name().into_string().map_or_else(|_| String::new(), |name| name + "/"))
        }
        _ => Ok(String::new()),
    }
}

struct Unpacking {
    place: Place,
    folders: BTreeSet<TreePath>,
    /// Symbolic links: path to target.
    links: BTreeMap<String, String>,
    strip: Strip,
}

impl Unpacking {
    fn entry(&mut self, archive: &mut dyn Archive, entry: crate::Entry) -> Result<(), ExtractError> {
        let Some(path) = self.strip.apply(&entry.path) else { return Ok(()) };
        if path.is_root() {
            return match entry.kind {
                Kind::Directory => Ok(()),
                _ => Err(ExtractError::InTheWay { entry: "/".into() }),
            };
        }
        let shown = entry.path.to_string();
        match entry.kind {
            Kind::Directory => {
                self.place.directory(&path, &mut self.folders).map_err(|fault| fault.of(&shown))?;
                self.links.remove(path.as_str());
            }
            Kind::File => {
                let file = self.place.create(&path, &mut self.folders).map_err(|fault| fault.of(&shown))?;
                self.links.remove(path.as_str());
                let mut content = archive.content()?;
                place::write(file, &mut *content, entry.mode & 0o100 != 0, &shown)?;
            }
            Kind::Symlink(target) => self.symlink(&path, target, &shown)?,
            Kind::Hardlink(target) => {
                let missing = || ExtractError::MissingTarget { entry: shown.clone(), target: target.to_string() };
                let source = self.strip.apply(&target).ok_or_else(missing)?;
                if source == path {
                    return Err(missing());
                }
                match self.links.get(source.as_str()).cloned() {
                    Some(target) => self.symlink(&path, target, &shown)?,
                    None if self.place.is_file(&source) => {
                        self.place.link(&source, &path, &mut self.folders).map_err(|fault| fault.of(&shown))?;
                        self.links.remove(path.as_str());
                    }
                    None => return Err(missing()),
                }
            }
            Kind::Character { .. } | Kind::Block { .. } | Kind::Fifo => {
                return Err(ExtractError::Device { entry: shown, kind: entry.kind.name() });
            }
        }
        Ok(())
    }

    fn symlink(&mut self, path: &TreePath, target: String, shown: &str) -> Result<(), ExtractError> {
        self.place.symlink(&target, path, &mut self.folders).map_err(|fault| fault.of(shown))?;
        self.links.insert(path.as_str().to_owned(), target);
        Ok(())
    }

    /// Folders get their mode and time last: what is put into one changes its time.
    fn finish(mut self) -> Result<(), ExtractError> {
        for folder in self.folders.iter().rev() {
            self.place.settle(folder).map_err(|source| ExtractError::write(folder, source))?;
        }
        self.place.settle(&TreePath::root()).map_err(|source| ExtractError::write("/", source))
    }
}

#[cfg(test)]
mod tests;
