//! What is asked for, and how: plain values.

use std::path::PathBuf;
use std::time::Duration;

use kiln_model::Digest;
use url::Url;

/// One thing to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where to ask, in this order.
    pub urls: Vec<Url>,
    /// What must come.
    pub expect: Expect,
    /// What it is, for people: `nginx 1.26.3-3`.
    pub subject: String,
}

/// What must come, so that no server can send anything else or without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Exactly these bytes.
    Digest {
        /// Their digest.
        sha256: Digest,
        /// Their number, where it is known.
        size: Option<u64>,
    },
    /// Any bytes, at most so many. For documents that carry their own signature.
    AtMost(u64),
}

impl Expect {
    /// How many bytes may come.
    pub(crate) fn limit(&self, options: &FetchOptions) -> u64 {
        match self {
            Self::Digest { size: Some(size), .. } => *size,
            Self::Digest { size: None, .. } => options.size_limit,
            Self::AtMost(limit) => *limit,
        }
    }

    /// How many bytes will come, where it is known.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        match self {
            Self::Digest { size, .. } => *size,
            Self::AtMost(_) => None,
        }
    }
}

/// A request and the file it goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// What to fetch.
    pub request: Request,
    /// The file. While it is incomplete, `NAME.part` stands beside it.
    pub dest: PathBuf,
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The digest of the bytes.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
    /// Who sent them; none when the file was there already.
    pub url: Option<Url>,
}

/// How to fetch.
#[derive(Debug, Clone)]
pub struct FetchOptions {
    /// Never open a socket: only `file` URLs, and files that are there already.
    pub offline: bool,
    /// How long setting up a connection may take, TLS included.
    pub connect_timeout: Duration,
    /// How long a server may send nothing, or next to nothing, before it counts as hung.
    pub stall_timeout: Duration,
    /// How many more times each URL is tried after a failure that may pass.
    pub retries: u32,
    /// The wait before the first retry; it doubles each time, up to eight times.
    pub backoff: Duration,
    /// The bound for pinned bytes of unknown size. The largest sources that distributions build from have about three
    /// thousand million bytes.
    pub size_limit: u64,
    /// A folder of pinned files by their digest ([`crate::vendored_path`]), which is asked before any other place.
    pub vendored: Option<PathBuf>,
    /// How this program names itself.
    pub user_agent: String,
    /// Proxies to go through.
    pub proxies: Proxies,
}

/// Proxies, as the usual environment variables give them: the caller reads those.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http` URLs (`http_proxy`).
    pub http: Option<String>,
    /// For `https` URLs (`https_proxy`).
    pub https: Option<String>,
    /// Hosts that are reached without them, separated by commas (`no_proxy`).
    pub except: Option<String>,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            offline: false,
            connect_timeout: Duration::from_secs(15),
            stall_timeout: Duration::from_secs(20),
            retries: 2,
            backoff: Duration::from_millis(500),
            size_limit: 4 << 30,
            vendored: None,
            user_agent: concat!("kiln/", env!("CARGO_PKG_VERSION")).to_owned(),
            proxies: Proxies::default(),
        }
    }
}
