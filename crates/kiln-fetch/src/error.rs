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

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Offline { .. } => "run once without `--offline`, or keep the bytes in the repository with `kiln vendor`".to_owned(),
            Self::WrongDigest { .. } | Self::WrongSize { .. } => {
                "the file changed since it was locked, or something on the way alters it; if the change is wanted, pin the new digest".to_owned()
            }
            Self::Status { status: 401 | 403 | 407, .. } => "check that the URL, and the credentials in it, are right".to_owned(),
            Self::Status { status: 404 | 410, .. } => "the server no longer has this file; check the URL, or fetch from a cache".to_owned(),
            Self::Stalled { .. } | Self::Connection { .. } => {
                "check the network and the proxy settings; what has come so far is kept and taken up again".to_owned()
            }
            Self::File { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "free some space, then try again: what has come so far is kept".to_owned()
            }
            Self::EveryPlace { attempts, .. } => attempts.iter().find_map(Self::hint)?,
            Self::Several(errors) => errors.iter().find_map(Self::hint)?,
            _ => return None,
        })
    }
}
