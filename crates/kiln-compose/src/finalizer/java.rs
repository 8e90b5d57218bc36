//! Java's store of certificate authorities: `/etc/ssl/certs/java/cacerts`, as `ca-certificates-java` keeps it.
//!
//! The format is JKS, big-endian: magic `feedfeed`, version 2, the number of entries; an entry is its kind (2 for a
//! certificate that is trusted), its alias, a date in milliseconds, `X.509`, and the certificate; texts have a length of
//! two bytes, certificates of four. Last comes a SHA-1 digest over the password in UTF-16, the words `Mighty Aphrodite`
//! and everything before. The digest is no secret: the password of every such store is `changeit`.

use std::collections::BTreeMap;

use kiln_model::{Entry, SOURCE_DATE_EPOCH};
use sha1::{Digest as _, Sha1};

use super::ca::der;
use super::{FinalizeContext, FinalizeError, fixed};

/// Without this package nothing of Java's reads the store there.
const PROGRAM: &str = "usr/share/ca-certificates-java/ca-certificates-java.jar";
const CONFIGURATION: &str = "etc/default/cacerts";
const CERTIFICATES: &str = "etc/ssl/certs";
const STORE: &str = "etc/ssl/certs/java/cacerts";
const PASSWORD: &str = "changeit";

/// Where the links lead that count; others are by hash, or a person's own.
const AUTHORITIES: [&str; 2] = ["/usr/share/ca-certificates", "/usr/local/share/ca-certificates"];

pub(super) fn run(context: &mut FinalizeContext<'_>) -> Result<(), FinalizeError> {
    if context.file(&fixed(PROGRAM)).is_none() {
        return Ok(());
    }
    let configuration = context.read(&fixed(CONFIGURATION))?.unwrap_or_default();
    if !String::from_utf8_lossy(&configuration).lines().any(|line| line.trim() == "cacerts_updates=yes") {
        return Ok(());
    }
    let folder = fixed(CERTIFICATES);
    let links = context.directory(&folder).into_iter().flat_map(|dir| dir.entries());
    let names: Vec<String> = links
        .filter(|(name, entry)| {
            let leads = |target: &str| AUTHORITIES.iter().any(|place| target.starts_with(place));
            name.ends_with(".pem") && matches!(entry, Entry::Symlink(link) if leads(&link.target))
        })
        .map(|(name, _)| name.to_owned())
        .collect();
    let mut entries = BTreeMap::new();
    for name in names {
        let text = context.read(&folder.join(&name).unwrap_or_default())?.unwrap_or_default();
        if let Some(certificate) = der::certificates(&text).into_iter().next() {
            entries.insert(format!("debian:{}", name.to_lowercase()), certificate);
        }
    }
    if entries.is_empty() {
        return Ok(());
    }
    context.write(&fixed(STORE), &encode(&entries))
}

/// The bytes of a store, in order of alias.
fn encode(entries: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut store = vec![0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2];
    store.extend_from_slice(&(entries.len() as u32).to_be_bytes());
    let text = |store: &mut Vec<u8>, text: &str| {
        store.extend_from_slice(&(text.len() as u16).to_be_bytes());
        store.extend_from_slice(text.as_bytes());
    };
    for (alias, certificate) in entries {
        store.extend_from_slice(&2u32.to_be_bytes());
        text(&mut store, alias);
        store.extend_from_slice(&(SOURCE_DATE_EPOCH * 1000).to_be_bytes());
        text(&mut store, "X.509");
        store.extend_from_slice(&(certificate.len() as u32).to_be_bytes());
        store.extend_from_slice(certificate);
    }
    let mut digest = Sha1::new();
    digest.update(PASSWORD.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>());
    digest.update(b"Mighty Aphrodite");
    digest.update(&store);
    store.extend_from_slice(&digest.finalize());
    store
}
