//! One exchange with one server: connect, follow redirections, hand over the body.
//!
//! Redirections are followed here, not by the client, so that none leaves `http` and `https`, none falls back from
//! `https` to `http`, and credentials never go to another server.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use url::Url;

use crate::registry::{self, Challenge, Tokens};
use crate::{FetchError, FetchOptions, shown};

const REDIRECTIONS: usize = 8;

/// The longest wait that a server may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What a server sends.
pub(crate) struct Body {
    /// The bytes.
    pub(crate) reader: Box<dyn Read>,
    /// Where in the whole they begin.
    pub(crate) offset: u64,
    /// How many there are in the whole, if the server says so.
    pub(crate) total: Option<u64>,
    /// What names this state of the file, to ask for the rest of the same state.
    pub(crate) validator: Option<String>,
}

/// Where to take up a download.
pub(crate) struct Resume {
    /// How many bytes are there.
    pub(crate) offset: u64,
    /// The state of the file they are of; none when a digest will tell.
    pub(crate) validator: Option<String>,
}

/// The clients, made when first needed: reading the machine's certificates takes some milliseconds.
pub(crate) struct Transport {
    http: OnceLock<Agent>,
    https: OnceLock<Result<Agent, String>>,
    tokens: Tokens,
}

impl Transport {
    pub(crate) fn new() -> Self {
        Self { http: OnceLock::new(), https: OnceLock::new(), tokens: Tokens::default() }
    }

    /// Opens `url`.
    pub(crate) fn open(
        &self,
        url: &Url,
        resume: Option<&Resume>,
        subject: &str,
        options: &FetchOptions,
    ) -> Result<Body, FetchError> {
        match url.scheme() {
            "file" => open_file(url),
            "http" | "https" if options.offline => {
                Err(FetchError::Offline { subject: subject.to_owned(), url: shown(url) })
            }
            "http" | "https" => self.open_http(url, resume, options),
            scheme => Err(FetchError::Unsupported {
                url: shown(url),
                why: format!("`{scheme}` is none of `https`, `http`, `file`"),
            }),
        }
    }

    fn agent(&self, https: bool, options: &FetchOptions) -> Result<&Agent, FetchError> {
        if https {
            let agent = self.https.get_or_init(|| https_agent(options));
            agent.as_ref().map_err(|why| FetchError::Setup { what: "https", why: why.clone() })
        } else {
            if let Some(agent) = self.http.get() {
                return Ok(agent);
            }
            let agent = http_agent(options).map_err(|why| FetchError::Setup { what: "http", why })?;
            Ok(self.http.get_or_init(|| agent))
        }
    }

    fn open_http(&self, asked: &Url, resume: Option<&Resume>, options: &FetchOptions) -> Result<Body, FetchError> {
        let mut url = asked.clone();
        let mut refused = false;
        for _ in 0..=REDIRECTIONS {
            let response = self.exchange(&url, resume, options)?;
            let status = response.status().as_u16();
            let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
            match status {
                301 | 302 | 303 | 307 | 308 => {
                    let to = header("location").unwrap_or_default();
                    url = redirected(&url, to)?;
                }
                200 => {
                    let total = header("content-length").and_then(|value| value.parse().ok());
                    let validator = validator(&response);
                    let reader = Box::new(response.into_body().into_reader());
                    return Ok(Body { reader, offset: 0, total, validator });
                }
                206 => {
                    let range = header("content-range").and_then(content_range);
                    let validator = validator(&response);
                    let Some((offset, total)) = range else {
                        let source = "a part was sent without saying which".into();
                        return Err(FetchError::Connection { url: shown(&url), source });
                    };
                    return Ok(Body { reader: Box::new(response.into_body().into_reader()), offset, total, validator });
                }
                // A registry says where it takes tokens from, and is asked once more with one.
                401 if !refused && let Some(challenge) = header("www-authenticate").and_then(Challenge::of) => {
                    refused = true;
                    self.tokens.forget(&url);
                    let token = self.token(&url, &challenge, options)?;
                    self.tokens.keep(&url, token);
                }
                _ => {
                    let wait = header("retry-after").and_then(|value| value.parse().ok()).map(Duration::from_secs);
                    let retry_after = wait.map(|wait| wait.min(LONGEST_WAIT));
                    return Err(FetchError::Status { url: shown(&url), status, retry_after });
                }
            }
        }
        let why = format!("it redirects on and on, at last to `{}`", shown(&url));
        Err(FetchError::Unsupported { url: shown(asked), why })
    }

    /// Takes a token from where a registry says, with the credentials that are meant for the registry.
    fn token(&self, url: &Url, challenge: &Challenge, options: &FetchOptions) -> Result<String, FetchError> {
        let realm = challenge.realm_for(url)?;
        let response = self.exchange(&realm, None, options)?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(FetchError::Status { url: shown(&realm), status, retry_after: None });
        }
        let mut answer = Vec::new();
        let read = response.into_body().into_reader().take(registry::ANSWER_LIMIT).read_to_end(&mut answer);
        read.map_err(|source| FetchError::Connection { url: shown(&realm), source: source.into() })?;
        registry::token(&answer).ok_or_else(|| {
            let source = "its answer holds no token".into();
            FetchError::Connection { url: shown(&realm), source }
        })
    }

    fn exchange(
        &self,
        url: &Url,
        resume: Option<&Resume>,
        options: &FetchOptions,
    ) -> Result<ureq::http::Response<ureq::Body>, FetchError> {
        let agent = self.agent(url.scheme() == "https", options)?;
        let mut plain = url.clone();
        // An http URL always may lose these.
        let _ = plain.set_username("");
        let _ = plain.set_password(None);
        plain.set_fragment(None);
        let mut request = agent.get(plain.as_str()).header("accept-encoding", "identity");
        if registry::is_manifest(url) {
            request = request.header("accept", registry::accept());
        }
        if let Some(token) = self.tokens.of(url) {
            request = request.header("authorization", format!("Bearer {token}"));
        } else if !url.username().is_empty() || url.password().is_some() {
            let pair = format!("{}:{}", decoded(url.username()), decoded(url.password().unwrap_or_default()));
            let value = base64::engine::general_purpose::STANDARD.encode(pair);
            request = request.header("authorization", format!("Basic {value}"));
        }
        if let Some(resume) = resume {
            request = request.header("range", format!("bytes={}-", resume.offset));
            if let Some(validator) = &resume.validator {
                request = request.header("if-range", validator);
            }
        }
        request.call().map_err(|error| fault(url, error, options))
    }
}

/// Percent-decoded, as credentials in a URL are meant.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|d| std::str::from_utf8(d).ok());
        match digits.and_then(|d| u8::from_str_radix(d, 16).ok()) {
            Some(value) if byte == b'%' => {
                bytes.push(value);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A strong validator: a weak one does not promise equal bytes.
fn validator(response: &ureq::http::Response<ureq::Body>) -> Option<String> {
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let etag = header("etag").filter(|etag| etag.starts_with('"'));
    etag.or_else(|| header("last-modified")).map(str::to_owned)
}

/// `bytes 5-9/10`: where the part begins, and the size of the whole.
fn content_range(value: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    Some((first.trim().parse().ok()?, total))
}

fn redirected(from: &Url, to: &str) -> Result<Url, FetchError> {
    let refuse = |why| {
        let to: String = to.chars().take(200).collect();
        let why = format!("it redirects to `{}`, which is not followed: {why}", to.escape_default());
        FetchError::Unsupported { url: shown(from), why }
    };
    let mut next = from.join(to).map_err(|_| refuse("it is not a URL"))?;
    match (from.scheme(), next.scheme()) {
        (_, "https") | ("http", "http") => {}
        ("https", "http") => return Err(refuse("it would leave https")),
        _ => return Err(refuse("it is neither http nor https")),
    }
    if !next.has_host() {
        return Err(refuse("it names no host"));
    }
    if next.origin() == from.origin() && next.username().is_empty() && next.password().is_none() {
        let _ = next.set_username(from.username());
        let _ = next.set_password(from.password());
    }
    Ok(next)
}

fn open_file(url: &Url) -> Result<Body, FetchError> {
    let why = || "it does not name a file of this machine".to_owned();
    let path = url.to_file_path().map_err(|()| FetchError::Unsupported { url: shown(url), why: why() })?;
    let fault = |source| FetchError::File { action: "open", path: path.clone(), source };
    // A named pipe would block in `open` for ever, so what it is is asked first.
    let metadata = std::fs::metadata(&path).map_err(fault)?;
    if !metadata.is_file() {
        return Err(FetchError::Unsupported { url: shown(url), why: "it is not a regular file".to_owned() });
    }
    let file = File::open(&path).map_err(fault)?;
    Ok(Body { reader: Box::new(file), offset: 0, total: Some(metadata.len()), validator: None })
}

/// What an error of the client means here.
pub(crate) fn fault(url: &Url, error: ureq::Error, options: &FetchOptions) -> FetchError {
    match error {
        ureq::Error::Timeout(
            ureq::Timeout::PerRead | ureq::Timeout::PerWrite | ureq::Timeout::RecvResponse | ureq::Timeout::SendRequest,
        ) => FetchError::Stalled { url: shown(url), after: options.stall_timeout, least: 1 },
        ureq::Error::BadUri(why) => FetchError::Unsupported { url: shown(url), why },
        // Their Display already holds all there is to say of them.
        ureq::Error::Io(source) => FetchError::Connection { url: shown(url), source: Box::new(source) },
        other => FetchError::Connection { url: shown(url), source: other.to_string().into() },
    }
}

fn proxy(address: Option<&String>, except: Option<&String>) -> Result<Option<ureq::Proxy>, String> {
    let Some(address) = address.filter(|address| !address.is_empty()) else { return Ok(None) };
    let bad = || format!("`{address}` is not a proxy's address: http://HOST:PORT");
    let text = if address.contains("://") { address.clone() } else { format!("http://{address}") };
    let url = Url::parse(&text).map_err(|_| bad())?;
    let protocol = match url.scheme() {
        "http" => ureq::ProxyProtocol::Http,
        "https" => ureq::ProxyProtocol::Https,
        _ => return Err(bad()),
    };
    let host = url.host_str().ok_or_else(bad)?;
    let port = url.port_or_known_default().ok_or_else(bad)?;
    let mut builder = ureq::Proxy::builder(protocol).host(host).port(port);
    if !url.username().is_empty() {
        builder = builder.username(&decoded(url.username()));
    }
    if let Some(password) = url.password() {
        builder = builder.password(&decoded(password));
    }
    for host in except.into_iter().flat_map(|list| list.split(',')).map(str::trim).filter(|host| !host.is_empty()) {
        builder = builder.no_proxy(host);
    }
    builder.build().map(Some).map_err(|_| bad())
}

fn base(
    options: &FetchOptions,
    proxy: Option<ureq::Proxy>,
) -> ureq::config::ConfigBuilder<ureq::typestate::AgentScope> {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(proxy)
        .user_agent(&options.user_agent)
        .timeout_connect(Some(options.connect_timeout))
        .timeout_resolve(Some(options.connect_timeout))
        .timeout_recv_response(Some(options.stall_timeout))
        .timeout_per_read(Some(options.stall_timeout))
        .timeout_per_write(Some(options.stall_timeout))
        .max_idle_connections(16)
        .max_idle_connections_per_host(8)
}

fn agent(config: ureq::config::Config) -> Agent {
    Agent::with_parts(config, DefaultConnector::default(), Remembered::default())
}

/// Looks a host up once a run. A mirror is asked over many connections, and a lookup whose answer is lost takes five
/// seconds (resolv.conf(5), `timeout`).
#[derive(Debug, Default)]
struct Remembered {
    resolver: DefaultResolver,
    known: Mutex<BTreeMap<String, Vec<SocketAddr>>>,
}

impl Resolver for Remembered {
    fn resolve(
        &self,
        uri: &ureq::http::Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let key = format!("{}://{}", uri.scheme_str().unwrap_or_default(), uri.authority().map_or("", |a| a.as_str()));
        // Held while it is looked up: those who want the same wait for the one answer.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(addresses) = known.get(&key) {
            let mut found = self.empty();
            addresses.iter().for_each(|address| found.push(*address));
            return Ok(found);
        }
        let found = self.resolver.resolve(uri, config, timeout)?;
        known.insert(key, found.iter().copied().collect());
        Ok(found)
    }
}

fn http_agent(options: &FetchOptions) -> Result<Agent, String> {
    let proxy = proxy(options.proxies.http.as_ref(), options.proxies.except.as_ref())?;
    Ok(agent(base(options, proxy).build()))
}

fn https_agent(options: &FetchOptions) -> Result<Agent, String> {
    let proxy = proxy(options.proxies.https.as_ref(), options.proxies.except.as_ref())?;
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        return Err(format!("this machine has no certificate authorities (package `ca-certificates`){why}"));
    }
    let roots: Vec<_> = found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::from(roots))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    Ok(agent(base(options, proxy).tls_config(tls).build()))
}
