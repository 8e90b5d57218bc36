//! Transport of pinned bytes: `http`, `https` and `file` URLs to a file or into memory.
//!
//! Nothing here is trusted but what the caller expects: a digest, or for signed documents an upper bound of their size.
//! A mirror is only a place to ask. What it answers is bounded while it is read, checked before it gets its name, and
//! kept aside (`NAME.part`) so that an interrupted download is taken up again where the server allows it.
//!
//! - [`Fetcher`]: one request, several places to ask, retries, resumption ([`fetch`]).
//! - [`Fetcher::fetch_all`]: many requests over a few connections ([`batch`]).
//! - [`FetchOptions::offline`]: no socket is ever opened.
//!
//! The machine's own certificate store decides which `https` servers are believed, so a company's own authority works
//! as it does for every other program of that machine.

pub mod batch;
pub mod error;
pub mod fetch;
mod partial;
pub mod registry;
mod request;
mod transport;

pub use error::{FetchError, shown};
pub use fetch::{Fetcher, vendored_path};
pub use request::{Expect, FetchOptions, Fetched, Job, Proxies, Request};
pub use url::Url;
