//! Why something could not be fetched, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use kiln_model::Digest;
use url::Url;

/// Why something could not be fetched. URLs are kept as [`shown`] gives them, without passwords.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// A socket would be needed.
    #[error("cannot fetch {subject} offline: `{url}` is on the network")]
    Offline {
        /// What was asked for.
        subject: String,
        /// The first place to ask.
        url: String,
    },
    /// The request names no place to ask.
    #[error("there is no place to fetch {0} from")]
    NoPlace(String),
    /// The URL is none that can be fetched.
    #[error("`{url}` cannot be fetched: {why}")]
    Unsupported {
        /// The URL.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The server said no.
    #[error("`{url}` answered {status}")]
    Status {
        /// The URL.
        url: String,
        /// The HTTP status.
        status: u16,
        /// How long it asks us to wait.
        retry_after: Option<Duration>,
    },
    /// The connection could not be made, or broke.
    #[error("cannot read from `{url}`")]
    Connection {
        /// The URL.
        url: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server sent nothing for too long.
    #[error("`{url}` hung: less than {least} bytes in {} s", .after.as_secs_f32())]
    Stalled {
        /// The URL.
        url: String,
        /// The bound.
        after: Duration,
        /// How many bytes it takes to count as alive.
        least: u64,
    },
    /// Fewer bytes came than promised.
    #[error("`{url}` ended after {got} of {wanted} bytes")]
    Truncated {
        /// The URL.
        url: String,
        /// What came.
        got: u64,
        /// What was promised.
        wanted: u64,
    },
    /// More bytes came, or were announced, than may come.
    #[error("`{url}` sends more than the {limit} bytes that {subject} may have")]
    TooLarge {
        /// The URL.
        url: String,
        /// What was asked for.
        subject: String,
        /// The bound.
        limit: u64,
        /// Is the bound what was pinned, rather than one for all?
        is_pinned: bool,
    },
    /// Other bytes came than those pinned.
    #[error("`{url}` is not the pinned {subject}: wanted sha256 {}, got {}", .wanted.to_hex(), .got.to_hex())]
    WrongDigest {
        /// The URL.
        url: String,
        /// What was asked for.
        subject: String,
        /// The pinned digest.
        wanted: Digest,
        /// That of what came.
        got: Digest,
    },
    /// The server has a file of another size than pinned.
    #[error("`{url}` is not the pinned {subject}: wanted {wanted} bytes, the server has {got}")]
    WrongSize {
        /// The URL.
        url: String,
        /// What was asked for.
        subject: String,
        /// The pinned size.
        wanted: u64,
        /// What the server announces.
        got: u64,
    },
    /// A file could not be read or written.
    #[error("cannot {action} `{}`", .path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Every place to ask failed.
    #[error("cannot fetch {subject}:{}", lines(.attempts))]
    EveryPlace {
        /// What was asked for.
        subject: String,
        /// What each place said, in order.
        attempts: Vec<FetchError>,
    },
    /// Several things could not be fetched.
    #[error("{} files cannot be fetched:{}", .0.len(), lines(.0))]
    Several(Vec<FetchError>),
    /// Another download of the same batch failed, so this one was stopped.
    #[error("fetching {0} was stopped")]
    Stopped(String),
    /// The client could not be set up.
    #[error("cannot set up {what}: {why}")]
    Setup {
        /// Which part.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
}

/// A URL as it may be shown and logged: without its password.
#[must_use]
pub fn shown(url: &Url) -> String {
    if url.password().is_none() {
        return url.to_string();
    }
    let mut url = url.clone();
    // Only URLs that cannot have a password refuse to lose it.
    let _ = url.set_password(Some("***"));
    url.to_string()
}

/// An error with its causes on one line.
fn line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

fn lines(errors: &[FetchError]) -> String {
    errors.iter().map(|error| format!("\n  {}", line(error).replace('\n', "\n  "))).collect()
}

impl FetchError {
    /// May the same request succeed a little later?
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            Self::Connection { .. } | Self::Stalled { .. } | Self::Truncated { .. } => true,
            _ => false,
        }
    }

    /// Did every place that was asked say that it has no such thing (404 or 410, or no such file)?
    #[must_use]
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status, 404 | 410),
            Self::File { source, action, .. } => *action == "open" && source.kind() == io::ErrorKind::NotFound,
            Self::EveryPlace { attempts, .. } => !attempts.is_empty() && attempts.iter().all(Self::is_gone),
            Self::Several(errors) => !errors.is_empty() && errors.iter().all(Self::is_gone),
            _ => false,
        }
    }

    /// Is the fault this machine's, so that asking elsewhere cannot help?
    pub(crate) fn is_ours(&self) -> bool {
        match self {
            Self::File { action, .. } => *action != "open",
            Self::Stopped(_) | Self::Setup { .. } => true,
            _ => false,
        }
    }

    /// Is there no room for it?
    pub(crate) fn is_of_a_full_disk(&self) -> bool {
        matches!(self, Self::File { source, .. } if source.kind() == io::ErrorKind::StorageFull)
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Offline { .. } => "run once without `--offline`: what has been fetched stays in the store".to_owned(),
            Self::WrongDigest { .. } | Self::WrongSize { .. } => {
                "the file changed since it was locked, or something on the way alters it; if the change is wanted, pin the new digest".to_owned()
            }
            Self::Status { status: 401 | 403 | 407, .. } => "check that the URL, and the credentials in it, are right".to_owned(),
            Self::Status { status: 404 | 410, .. } => "the server does not have this file (any more); check its address".to_owned(),
            Self::Status { status: 429 | 500..=599, .. } => {
                "the server has trouble of its own: try again later, or give another place that has the file".to_owned()
            }
            Self::Status { .. } => "open the address in a browser: the server has no file to give there".to_owned(),
            Self::Unsupported { .. } => "give the address that the file itself is at, with `https://`".to_owned(),
            Self::Truncated { .. } => {
                "the server or something on the way broke off; what has come so far is kept: try again".to_owned()
            }
            Self::TooLarge { is_pinned: true, .. } => {
                "the server has another file at this address, or the lock has a wrong size: `kiln lock --update NAME` pins what is there"
                    .to_owned()
            }
            Self::TooLarge { is_pinned: false, .. } => {
                "look whether the address is right; if it is, allow more with `largest_download: 8GiB` in `~/.config/kiln/config.yaml`"
                    .to_owned()
            }
            Self::Stalled { .. } | Self::Connection { .. } => {
                "check the network and the proxy settings; what has come so far is kept and taken up again".to_owned()
            }
            Self::File { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "free some space on the file system of that folder (`kiln gc` cleans the store), then try again".to_owned()
            }
            Self::EveryPlace { attempts, .. } => attempts.iter().find_map(Self::hint)?,
            Self::Several(errors) => errors.iter().find_map(Self::hint)?,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_of_a_server_comes_with_a_way_out_that_there_is() {
        let url = || "https://example.org/x".to_owned();
        let status = |status| FetchError::Status { url: url(), status, retry_after: None };
        let large = |is_pinned| FetchError::TooLarge { url: url(), subject: "x".to_owned(), limit: 5, is_pinned };
        let failures = [
            FetchError::Offline { subject: "x".to_owned(), url: url() },
            FetchError::Unsupported { url: url(), why: "it redirects on and on".to_owned() },
            status(403),
            status(404),
            status(418),
            status(500),
            status(503),
            FetchError::Connection { url: url(), source: "refused".into() },
            FetchError::Stalled { url: url(), after: Duration::from_secs(20), least: 1 },
            FetchError::Truncated { url: url(), got: 1, wanted: 2 },
            large(true),
            large(false),
        ];
        for failure in &failures {
            let hint = failure.hint().unwrap_or_else(|| panic!("{failure} has no hint"));
            assert!(!hint.contains("vendor") && !hint.contains("a cache"), "{hint}");
        }
        assert_ne!(large(true).hint(), large(false).hint());
        let all = FetchError::EveryPlace { subject: "x".to_owned(), attempts: failures.into() };
        assert!(all.hint().is_some());
    }
}
