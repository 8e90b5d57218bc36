//! What a registry of the OCI distribution specification asks of a client beyond plain HTTP: to say which documents it
//! understands, and to take a token for each repository from the service that the registry names.
//!
//! A token goes to the server that asked for it and for the repository that it was asked for, and to nobody else. The
//! service is asked over `https`, and over `http` only by a registry that is itself reached so.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use url::Url;

use crate::{FetchError, shown};

/// Types of documents that name several images, by platform or by name.
pub const INDEX_TYPES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];

/// Types of documents that are one image.
pub const MANIFEST_TYPES: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];

/// The documents that are understood. A registry that is not told sends what nobody reads any more, or nothing.
pub(crate) fn accept() -> String {
    format!("{}, */*", [INDEX_TYPES, MANIFEST_TYPES].concat().join(", "))
}

/// No answer with a token is longer.
pub(crate) const ANSWER_LIMIT: u64 = 1 << 20;

/// The repository that an address below `/v2/` is of, and what is asked of it.
fn repository(url: &Url) -> Option<(&str, &str)> {
    let path = url.path().strip_prefix("/v2/")?;
    ["/manifests/", "/blobs/"].into_iter().find_map(|what| path.rsplit_once(what).map(|(name, _)| (name, what)))
}

/// Is a manifest asked for?
pub(crate) fn is_manifest(url: &Url) -> bool {
    repository(url).is_some_and(|(_, what)| what == "/manifests/")
}

/// Where a registry takes its tokens from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    realm: String,
    service: Option<String>,
    scope: Option<String>,
}

impl Challenge {
    /// Reads `Bearer realm="...",service="...",scope="..."`.
    pub(crate) fn of(header: &str) -> Option<Self> {
        let (scheme, mut rest) = header.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut fields = BTreeMap::new();
        while let Some((name, after)) = rest.split_once('=') {
            let (value, after) = match after.strip_prefix('"') {
                // Neither of these has quotes in it.
                Some(quoted) => quoted.split_once('"')?,
                None => after.split_at(after.find(',').unwrap_or(after.len())),
            };
            fields.insert(name.trim_matches([' ', ',']).to_ascii_lowercase(), value.to_owned());
            rest = after;
        }
        let realm = fields.remove("realm")?;
        Some(Self { realm, service: fields.remove("service"), scope: fields.remove("scope") })
    }

    /// The address to ask for a token for what is at `url`, with the credentials that are for there.
    pub(crate) fn realm_for(&self, url: &Url) -> Result<Url, FetchError> {
        let refuse = |why: &str| FetchError::Unsupported { url: shown(url), why: why.to_owned() };
        let realm = Url::parse(&self.realm);
        let mut realm = realm.map_err(|_| refuse("it takes tokens from a place that is no address"))?;
        if realm.scheme() != "https" && (realm.scheme() != "http" || url.scheme() != "http") {
            return Err(refuse("it takes tokens from a place that is not reached by https"));
        }
        let named = [("service", &self.service), ("scope", &self.scope)];
        realm
            .query_pairs_mut()
            .extend_pairs(named.iter().filter_map(|(name, value)| value.as_ref().map(|v| (name, v))));
        // An address without a host has neither.
        let _ = realm.set_username(url.username());
        let _ = realm.set_password(url.password());
        Ok(realm)
    }
}

/// The token in a service's answer.
pub(crate) fn token(answer: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
    }
    let answer: Answer = serde_json::from_slice(answer).ok()?;
    let sound = |token: &String| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
    answer.token.or(answer.access_token).filter(sound)
}

/// The tokens that there are, each for one repository of one server.
#[derive(Debug, Default)]
pub(crate) struct Tokens(Mutex<BTreeMap<(String, String), String>>);

impl Tokens {
    fn key(url: &Url) -> Option<(String, String)> {
        let (name, _) = repository(url)?;
        Some((url.origin().ascii_serialization(), name.to_owned()))
    }

    pub(crate) fn of(&self, url: &Url) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&Self::key(url)?).cloned()
    }

    pub(crate) fn keep(&self, url: &Url, token: String) {
        if let Some(key) = Self::key(url) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, token);
        }
    }

    pub(crate) fn forget(&self, url: &Url) {
        if let Some(key) = Self::key(url) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn a_challenge_names_realm_service_and_scope() {
        let header =
            r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push""#;
        let challenge = Challenge::of(header).unwrap();
        let asked = challenge.realm_for(&url("https://me:word@registry.example/v2/a/b/manifests/x")).unwrap();
        assert_eq!(
            asked.as_str(),
            "https://me:word@auth.example/token?service=registry.example&scope=repository%3Aa%2Fb%3Apull%2Cpush"
        );
        assert_eq!(Challenge::of("Basic realm=\"x\""), None);
        assert_eq!(Challenge::of("Bearer service=x"), None);
        assert_eq!(Challenge::of("Bearer realm=\"x"), None);
    }

    #[test]
    fn a_token_is_never_asked_for_in_the_clear_by_a_registry_that_is_reached_by_https() {
        for realm in ["http://auth.example/token", "file:///etc/passwd", "token"] {
            let challenge = Challenge { realm: realm.to_owned(), service: None, scope: None };
            assert!(challenge.realm_for(&url("https://registry.example/v2/a/blobs/x")).is_err(), "{realm}");
        }
        let plain = Challenge { realm: "http://127.0.0.1:5/token".to_owned(), service: None, scope: None };
        assert!(plain.realm_for(&url("http://127.0.0.1:4/v2/a/blobs/x")).is_ok());
    }

    #[test]
    fn a_token_is_for_one_repository_of_one_server() {
        let tokens = Tokens::default();
        tokens.keep(&url("https://one.example/v2/a/manifests/x"), "t".to_owned());
        assert_eq!(tokens.of(&url("https://one.example/v2/a/blobs/y")).as_deref(), Some("t"));
        for other in ["https://one.example/v2/b/blobs/y", "https://two.example/v2/a/blobs/y", "https://one.example/a"] {
            assert_eq!(tokens.of(&url(other)), None, "{other}");
        }
        tokens.keep(&url("https://one.example/elsewhere"), "t".to_owned());
        assert_eq!(tokens.of(&url("https://one.example/elsewhere")), None);
    }

    #[test]
    fn a_token_that_could_be_more_than_one_header_is_none() {
        assert_eq!(token(br#"{"token":"abc"}"#).as_deref(), Some("abc"));
        assert_eq!(token(br#"{"access_token":"abc"}"#).as_deref(), Some("abc"));
        assert_eq!(token(br#"{"token":"a\r\nX: y"}"#), None);
        assert_eq!(token(b"{}"), None);
        assert_eq!(token(b"no"), None);
    }
}
