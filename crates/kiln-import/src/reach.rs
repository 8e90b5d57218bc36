//! Reaching an archive, whatever its kind: the first mirror that is believed, what a lock pins, and the folder where what
//! was believed is kept.
//!
//! That folder is a cache: each file in it is whole or not there, and is looked at before it is believed again.

use std::error::Error;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use kiln_fetch::{Expect, FetchError, Job, Request, shown};
use kiln_model::lock::{LockedIndex, LockedOrigin};
use kiln_model::{Digest, ObjectId, OriginName};

use crate::archive::Means;
use crate::debian::archive::moved_on;
use crate::debian::date;
use crate::mirror::Mirror;

/// Packages fetched at once.
const CONNECTIONS: usize = 6;

/// Why an archive cannot be reached in the state that is wanted.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// No mirror has something that is believed.
    #[error("no mirror serves `{path}` of the origin `{origin}`:{}", attempts.iter().map(|a| format!("\n  {a}")).collect::<String>())]
    NoMirror {
        /// The origin.
        origin: OriginName,
        /// The file.
        path: String,
        /// What is wrong with each.
        attempts: Vec<String>,
        /// What to do about the first.
        hint: Option<String>,
    },
    /// It is older than the one in the lock.
    #[error("{what} is offered as it was on {offered}, and the lock has it as of {locked}")]
    Replay {
        /// The origin, or a part of it.
        what: String,
        /// The date of what is offered.
        offered: String,
        /// The date in the lock.
        locked: String,
    },
    /// What is locked is kept nowhere any more.
    #[error("the locked index `{path}` of the origin `{origin}` is gone from its mirrors")]
    Gone {
        /// The origin.
        origin: OriginName,
        /// The index.
        path: String,
    },
    /// Something cannot be fetched.
    #[error("cannot fetch from the origin `{origin}`")]
    Fetch {
        /// The origin.
        origin: OriginName,
        /// Why.
        #[source]
        source: Box<FetchError>,
    },
    /// The folder of what is kept cannot be used.
    #[error("cannot use `{}`", .path.display())]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl ReachError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoMirror { hint, .. } => hint.clone(),
            Self::Replay { .. } => Some(
                "try another mirror; if the archive really went back, remove the block of that origin from `kiln.lock`"
                    .to_owned(),
            ),
            Self::Gone { origin, .. } => Some(format!(
                "the archive has moved on: `kiln lock --update {origin}` takes its present state; what a store has already stays usable"
            )),
            Self::Fetch { source, .. } => source.hint(),
            Self::Folder { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("free some space, then try again".to_owned())
            }
            Self::Folder { .. } => None,
        }
    }

    /// A fault of what is kept at a path.
    pub(crate) fn folder(path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Folder { path: path.clone(), source }
    }

    /// Nobody gave what was asked for. Under the one address of a locked index there may be another state's by now.
    pub(crate) fn of_locked(origin: &OriginName, path: &str, source: FetchError) -> Self {
        let origin = origin.clone();
        if moved_on(&source) {
            Self::Gone { origin, path: path.to_owned() }
        } else {
            Self::Fetch { origin, source: Box::new(source) }
        }
    }
}

/// Nothing may be older than the lock has it. The lock says of when the newest of an origin's repositories is; of when each
/// was, by the path of its index, where that is kept: `date_of` tells.
pub(crate) fn check_floor(
    origin: &OriginName,
    locked: &LockedOrigin,
    offered: &[(String, u64)],
    date_of: impl Fn(&LockedIndex) -> Option<u64>,
) -> Result<(), ReachError> {
    let replay = |what: String, offered: u64, locked: u64| {
        Err(ReachError::Replay { what, offered: date::format(offered), locked: date::format(locked) })
    };
    let newest = newest(offered.iter().map(|(_, date)| *date));
    if let Some(locked) = date::parse(&locked.date).filter(|locked| newest < *locked) {
        return replay(format!("the origin `{origin}`"), newest, locked);
    }
    for (path, offered) in offered {
        let before = locked.indexes.iter().find(|pin| pin.path == *path).and_then(&date_of);
        if let Some(before) = before.filter(|before| offered < before) {
            return replay(format!("`{path}` of the origin `{origin}`"), *offered, before);
        }
    }
    Ok(())
}

/// When the newest was made.
pub(crate) fn newest(dates: impl Iterator<Item = u64>) -> u64 {
    dates.max().unwrap_or(0)
}

/// What the first mirror gives whose answer is believed.
pub(crate) fn first_believed<T, E: Error>(
    origin: &OriginName,
    mirrors: &[Mirror],
    path: &str,
    hint_of: impl Fn(&E) -> Option<String>,
    ask: impl Fn(&Mirror) -> Result<T, E>,
) -> Result<T, ReachError> {
    let (mut attempts, mut hint) = (Vec::new(), None);
    for mirror in mirrors {
        match ask(mirror) {
            Ok(given) => return Ok(given),
            Err(error) => {
                hint = hint.or_else(|| hint_of(&error));
                attempts.push(format!("{}: {}", shown(&mirror.url), chain(&error)));
            }
        }
    }
    Err(ReachError::NoMirror { origin: origin.clone(), path: path.to_owned(), attempts, hint })
}

/// What a lock pins, under the name that it is kept by: fetched unless it is kept, and kept then.
pub(crate) fn pinned(
    origin: &OriginName,
    pin: &LockedIndex,
    name: &str,
    urls: Vec<kiln_fetch::Url>,
    means: &Means<'_>,
) -> Result<Vec<u8>, ReachError> {
    if let Some(bytes) = kept(means.folder, name, &pin.sha256) {
        return Ok(bytes);
    }
    let expect = Expect::Digest { sha256: pin.sha256, size: Some(pin.size) };
    let request = Request { urls, expect, subject: format!("{origin} {}", pin.path) };
    let fetched = means.fetcher.fetch_bytes(&request, means.reporter);
    let (bytes, _) = fetched.map_err(|source| ReachError::of_locked(origin, &pin.path, source))?;
    keep(means.folder, name, &bytes)?;
    Ok(bytes)
}

/// Fetches packages that have to be looked at before they are believed. Each that is gets into the store, where building
/// finds it, and what `note` says of it is kept: a file's name and its text.
pub(crate) fn checked<E: From<ReachError>>(
    origin: &OriginName,
    jobs: &[Job],
    means: &Means<'_>,
    check: impl Fn(usize, &Path) -> Result<Digest, E>,
    note: impl Fn(usize, &Digest) -> (String, String),
) -> Result<(), E> {
    let fault = |source| ReachError::Fetch { origin: origin.clone(), source: Box::new(source) };
    means.fetcher.fetch_all(jobs, CONNECTIONS, means.reporter).map_err(fault)?;
    for (at, job) in jobs.iter().enumerate() {
        let checked = check(at, &job.dest);
        if checked.is_err() {
            // What is not believed is not gone on from.
            let _ = fs::remove_file(&job.dest);
        }
        let sha256 = checked?;
        let stored = means.session.import_file(&job.dest, Some(ObjectId(sha256)));
        stored.map_err(|error| ReachError::folder(&job.dest)(io::Error::other(error)))?;
        let _ = fs::remove_file(&job.dest);
        let (name, text) = note(at, &sha256);
        keep(means.folder, &name, text.as_bytes())?;
    }
    Ok(())
}

/// Keeps a file: whole or not at all.
///
/// # Errors
/// When it cannot be written.
pub fn keep(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), ReachError> {
    let place = folder.join(name);
    let write = || {
        fs::create_dir_all(folder)?;
        let mut aside = tempfile::NamedTempFile::new_in(folder)?;
        aside.write_all(bytes)?;
        aside.persist(&place).map(drop).map_err(|error| error.error)
    };
    write().map_err(ReachError::folder(&place))
}

/// A kept file, if it is what it has to be.
pub(crate) fn kept(folder: &Path, name: &str, sha256: &Digest) -> Option<Vec<u8>> {
    fs::read(folder.join(name)).ok().filter(|bytes| Digest::of(bytes) == *sha256)
}

/// An error with its causes, in a line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_whole_and_only_what_it_has_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let (below, digest) = (folder.path().join("new"), Digest::of(b"whole"));
        keep(&below, "file", b"whole").unwrap();
        assert_eq!(kept(&below, "file", &digest).as_deref(), Some(&b"whole"[..]));
        fs::write(below.join("file"), "who").unwrap();
        assert_eq!(kept(&below, "file", &digest), None);
        // What takes its place is there at once, and nothing is left beside it.
        keep(&below, "file", b"whole").unwrap();
        assert_eq!(fs::read_dir(&below).unwrap().count(), 1);
        let error = keep(&below.join("file"), "below", b"x").unwrap_err();
        assert!(error.to_string().contains("file/below"), "{error}");
    }

    #[test]
    fn the_first_mirror_that_is_believed_counts_and_the_others_are_told_of() {
        let mirror = |host: &str| Mirror {
            url: format!("https://{host}.example/").parse().unwrap(),
            named_by: "a test".to_owned(),
        };
        let (origin, mirrors) = ("x".parse().unwrap(), [mirror("a"), mirror("b")]);
        let hint = |_: &io::Error| Some("try".to_owned());
        let ask = |good: &'static str| {
            move |mirror: &Mirror| match mirror.url.host_str() {
                Some(host) if host.starts_with(good) => Ok(good),
                _ => Err(io::Error::other("no")),
            }
        };
        assert_eq!(first_believed(&origin, &mirrors, "path", hint, ask("b")).unwrap(), "b");
        let error = first_believed(&origin, &mirrors, "path", hint, ask("c")).unwrap_err();
        let said = "no mirror serves `path` of the origin `x`:\n  https://a.example/: no\n  https://b.example/: no";
        assert_eq!((error.to_string().as_str(), error.hint().as_deref()), (said, Some("try")));
    }
}
