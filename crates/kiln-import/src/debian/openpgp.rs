//! Who signed a message: keyrings, and the policy for believing a signature of theirs.
//!
//! A signature counts when it verifies over the text, uses a hash that still holds, was made by a key of the keyring
//! (or a subkey bound to one, that may sign), and neither it nor the key has expired or been revoked *now*. Judging by
//! the present, not by the time the signature claims, is what keeps a stolen old key from back-dating.
//! One good signature is enough: archives sign with several keys so that old and new keyrings both work.

use std::io::{BufRead, BufReader};

use pgp::armor::Dearmor;
use pgp::composed::{Deserializable, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::packet::{Packet, PacketParser, Signature, SignatureType, SubpacketData};
use pgp::ser::Serialize as _;
use pgp::types::{KeyDetails, PublicParams, Tag, VerifyingKey};

use super::cleartext::Cleartext;
use super::date;

/// Clocks of servers and this machine may differ by so much.
pub(crate) const CLOCK_SKEW: u64 = 10 * 60;

/// More signatures than any archive makes.
const MOST_SIGNATURES: usize = 32;

const ARMOR: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";

const SIGNATURE_ARMOR: &str = "-----BEGIN PGP SIGNATURE-----";

/// Keys that may sign an archive.
#[derive(Debug, Clone)]
pub struct Keyring {
    name: String,
    keys: Vec<SignedPublicKey>,
}

/// Why a file is no keyring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` has no OpenPGP key in it that can be used{}", .why.as_ref().map(|why| format!(": {why}")).unwrap_or_default())]
pub struct KeyringError {
    name: String,
    why: Option<String>,
}

impl KeyringError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some("a keyring is a file of public keys as `gpg --export` writes it, armored or not".to_owned())
    }
}

impl Keyring {
    /// Reads the keys of a file, binary or armored. `name` is for messages. Keys of kinds that are not understood are
    /// left out.
    ///
    /// # Errors
    /// When no key is left.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, KeyringError> {
        let mut why = None;
        let mut keys = Vec::new();
        let mut take = |result: Result<SignedPublicKey, pgp::errors::Error>| match result {
            Ok(key) => keys.push(key),
            Err(error) => why = Some(error.to_string()),
        };
        match std::str::from_utf8(bytes).ok().filter(|text| text.contains(ARMOR)) {
            Some(text) => {
                for at in text.match_indices(ARMOR).map(|(at, _)| at) {
                    match SignedPublicKey::from_armor_many(&bytes[at..]) {
                        Ok((found, _)) => found.for_each(&mut take),
                        Err(error) => take(Err(error)),
                    }
                }
            }
            None => match SignedPublicKey::from_bytes_many(bytes) {
                Ok(found) => found.for_each(&mut take),
                Err(error) => take(Err(error)),
            },
        }
        if keys.is_empty() {
            return Err(KeyringError { name: name.to_owned(), why });
        }
        Ok(Self { name: name.to_owned(), keys })
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The fingerprints of its keys, in hexadecimal.
    #[must_use]
    pub fn fingerprints(&self) -> Vec<String> {
        self.keys.iter().map(|key| fingerprint(&key.primary_key)).collect()
    }
}

/// Why no signature of a message counts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The signature part cannot be read.
    #[error("its signature cannot be read: {0}")]
    Unreadable(String),
    /// No key of the keyrings made any of them.
    #[error("no key of {keyrings} made its signature; it is said to be by {issuers}")]
    UnknownKey {
        /// The keyrings.
        keyrings: String,
        /// Who the signatures say made them.
        issuers: String,
    },
    /// A key of the keyrings is said to have made it, but it does not count.
    #[error("its signature by {key} does not count: {why}")]
    Refused {
        /// The key.
        key: String,
        /// Why not.
        why: String,
    },
}

impl SignatureError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unreadable(_) => "the file is damaged: try again, or another mirror".to_owned(),
            Self::UnknownKey { .. } => {
                "if the archive has new keys, update the keyring: install the distribution's current archive keyring package, or give `keyring:` to the origin in `kiln.yaml`".to_owned()
            }
            Self::Refused { why, .. } if why.contains("expired") || why.contains("revoked") => {
                "update the keyring: install the distribution's current archive keyring package, or give a newer `keyring:` to the origin in `kiln.yaml`".to_owned()
            }
            Self::Refused { .. } => {
                "the file was altered on the way, or is not what the archive signed: try another mirror, and do not use this one until you know why".to_owned()
            }
        })
    }
}

/// Checks that a key of `keyrings` signed `message`, at the time `now` in seconds since 1970. Gives the fingerprint of
/// that key.
///
/// # Errors
/// When no signature counts.
pub fn verify(message: &Cleartext, keyrings: &[Keyring], now: u64) -> Result<String, SignatureError> {
    check(&signatures(message.signature())?, &message.signed(), keyrings, now)
}

/// The same for bytes whose armored signatures are a file of their own.
///
/// # Errors
/// When no signature counts.
pub fn verify_detached(
    signed: &[u8],
    signature: &[u8],
    keyrings: &[Keyring],
    now: u64,
) -> Result<String, SignatureError> {
    let armored = std::str::from_utf8(signature).ok().filter(|text| text.trim_start().starts_with(SIGNATURE_ARMOR));
    let armored = armored.ok_or_else(|| SignatureError::Unreadable("it is not armored".to_owned()))?;
    check(&signatures(armored)?, signed, keyrings, now)
}

/// The same for a signature that is not armored.
///
/// # Errors
/// When no signature counts.
pub fn verify_binary(
    signed: &[u8],
    signature: &[u8],
    keyrings: &[Keyring],
    now: u64,
) -> Result<String, SignatureError> {
    check(&packets(signature)?, signed, keyrings, now)
}

fn check(signatures: &[Signature], signed: &[u8], keyrings: &[Keyring], now: u64) -> Result<String, SignatureError> {
    let mut refused = None;
    let mut issuers = Vec::new();
    for signature in signatures {
        issuers.extend(issuer(signature));
        for cert in keyrings.iter().flat_map(|ring| &ring.keys) {
            let primary = made_by(signature, &cert.primary_key)
                .then(|| (fingerprint(&cert.primary_key), check_primary(cert, signature, signed, now)));
            let subkeys = cert.public_subkeys.iter().filter(|subkey| made_by(signature, &subkey.key));
            let subkeys =
                subkeys.map(|subkey| (fingerprint(&subkey.key), check_subkey(cert, subkey, signature, signed, now)));
            for (key, result) in primary.into_iter().chain(subkeys) {
                match result {
                    Ok(()) => return Ok(key),
                    Err(why) => refused = refused.or(Some(SignatureError::Refused { key, why })),
                }
            }
        }
    }
    Err(refused.unwrap_or_else(|| {
        let keyrings: Vec<_> = keyrings.iter().map(|ring| format!("`{}`", ring.name)).collect();
        issuers.sort();
        issuers.dedup();
        let nobody = "nobody".to_owned();
        SignatureError::UnknownKey {
            keyrings: if keyrings.is_empty() { "no keyring".to_owned() } else { keyrings.join(", ") },
            issuers: if issuers.is_empty() { nobody } else { issuers.join(", ") },
        }
    }))
}

fn signatures(armored: &str) -> Result<Vec<Signature>, SignatureError> {
    let unreadable = |error: pgp::errors::Error| SignatureError::Unreadable(error.to_string());
    let mut dearmor = Dearmor::new(BufReader::new(armored.as_bytes()));
    dearmor.read_header().map_err(unreadable)?;
    packets(BufReader::new(dearmor))
}

fn packets(reader: impl BufRead) -> Result<Vec<Signature>, SignatureError> {
    let mut signatures = Vec::new();
    for packet in PacketParser::new(reader).take(MOST_SIGNATURES) {
        match packet.map_err(|error| SignatureError::Unreadable(error.to_string()))? {
            Packet::Signature(signature) => signatures.push(signature),
            _ => return Err(SignatureError::Unreadable("it has something other than signatures in it".to_owned())),
        }
    }
    if signatures.is_empty() { Err(SignatureError::Unreadable("it is empty".to_owned())) } else { Ok(signatures) }
}

fn fingerprint(key: &impl KeyDetails) -> String {
    hex::encode_upper(key.fingerprint().as_bytes())
}

fn issuer(signature: &Signature) -> Option<String> {
    let by_fingerprint = signature.issuer_fingerprint().first().map(|f| hex::encode_upper(f.as_bytes()));
    by_fingerprint.or_else(|| signature.issuer_key_id().first().map(|id| hex::encode_upper(id.as_ref())))
}

/// Does the signature name this key as its maker? One that names nobody is not tried against every key.
fn made_by(signature: &Signature, key: &impl KeyDetails) -> bool {
    let fingerprints = signature.issuer_fingerprint();
    if !fingerprints.is_empty() {
        return fingerprints.iter().any(|f| **f == key.fingerprint());
    }
    signature.issuer_key_id().iter().any(|id| **id == key.legacy_key_id())
}

fn check_primary(cert: &SignedPublicKey, signature: &Signature, signed: &[u8], now: u64) -> Result<(), String> {
    check_signature(&cert.primary_key, signature, signed, now)?;
    let newest = check_cert(cert, now)?;
    let flags = newest.key_flags();
    // A key that says nothing of what it is for may sign.
    let says_nothing = !has_flags(newest);
    if says_nothing || flags.sign() { Ok(()) } else { Err("the key is not meant for signing".to_owned()) }
}

fn check_subkey(
    cert: &SignedPublicKey,
    subkey: &SignedPublicSubKey,
    signature: &Signature,
    signed: &[u8],
    now: u64,
) -> Result<(), String> {
    check_signature(&subkey.key, signature, signed, now)?;
    check_cert(cert, now)?;
    let of_type = |wanted| {
        let all = subkey.signatures.iter().filter(move |s| s.typ() == Some(wanted));
        all.filter(|s| s.verify_subkey_binding(&cert.primary_key, &subkey.key).is_ok())
    };
    if of_type(SignatureType::SubkeyRevocation).next().is_some() {
        return Err("the subkey has been revoked".to_owned());
    }
    let binding = newest(of_type(SignatureType::SubkeyBinding), now).ok_or("the subkey is not bound to its key")?;
    check_key_expiry(binding, subkey.key.created_at().as_secs(), now)?;
    if !binding.key_flags().sign() {
        return Err("the subkey is not meant for signing".to_owned());
    }
    // Without the subkey's own word a stranger's key could be passed off as a subkey.
    let back = binding.embedded_signature().ok_or("the subkey does not confirm its key")?;
    back.verify_primary_key_binding(&subkey.key, &cert.primary_key)
        .map_err(|_| "the subkey does not confirm its key".to_owned())
}

fn check_signature<K: VerifyingKey>(key: &K, signature: &Signature, signed: &[u8], now: u64) -> Result<(), String> {
    if !matches!(signature.typ(), Some(SignatureType::Text | SignatureType::Binary)) {
        return Err("it is not a signature of a text".to_owned());
    }
    let strong = matches!(
        signature.hash_alg(),
        Some(
            HashAlgorithm::Sha256
                | HashAlgorithm::Sha384
                | HashAlgorithm::Sha512
                | HashAlgorithm::Sha3_256
                | HashAlgorithm::Sha3_512
        )
    );
    if !strong {
        return Err("it uses a hash that can be forged".to_owned());
    }
    if weak(key) {
        return Err("the key is too weak".to_owned());
    }
    let subpackets = signature.config().map(|config| &config.hashed_subpackets).into_iter().flatten();
    let unknown = |data: &SubpacketData| {
        matches!(data, SubpacketData::Experimental(..) | SubpacketData::Other(..) | SubpacketData::Notation(_))
    };
    if subpackets.into_iter().any(|subpacket| subpacket.is_critical && unknown(&subpacket.data)) {
        return Err("it demands something that is not understood".to_owned());
    }
    signature.verify(key, signed).map_err(|_| "it does not fit the text, which was altered".to_owned())?;
    let created = u64::from(signature.created().ok_or("it does not say when it was made")?.as_secs());
    if created > now + CLOCK_SKEW {
        return Err(format!("it was made in the future, on {}", date::format(created)));
    }
    if created < u64::from(key.created_at().as_secs()) {
        return Err("it is older than the key".to_owned());
    }
    let lasts = signature.signature_expiration_time().map_or(0, |lasts| u64::from(lasts.as_secs()));
    if lasts > 0 && created + lasts < now {
        return Err(format!("it expired on {}", date::format(created + lasts)));
    }
    Ok(())
}

/// Is the key itself in force? Gives its newest statement about itself.
fn check_cert(cert: &SignedPublicKey, now: u64) -> Result<&Signature, String> {
    let key = &cert.primary_key;
    if cert.details.revocation_signatures.iter().any(|revocation| revocation.verify_key(key).is_ok()) {
        return Err("the key has been revoked".to_owned());
    }
    let direct = cert.details.direct_signatures.iter().filter(|s| s.verify_key(key).is_ok());
    let by_user = cert.details.users.iter().flat_map(|user| {
        let own = user.signatures.iter().filter(|s| s.is_certification());
        own.filter(|s| s.verify_certification(key, Tag::UserId, &user.id).is_ok())
    });
    let newest = newest(direct.chain(by_user), now).ok_or("the key has no valid signature of its own")?;
    check_key_expiry(newest, key.created_at().as_secs(), now)?;
    Ok(newest)
}

fn newest<'a>(signatures: impl Iterator<Item = &'a Signature>, now: u64) -> Option<&'a Signature> {
    let age = |signature: &Signature| signature.created().map(|created| u64::from(created.as_secs()));
    signatures.filter(|s| age(s).is_some_and(|created| created <= now + CLOCK_SKEW)).max_by_key(|s| age(s))
}

fn check_key_expiry(statement: &Signature, created: u32, now: u64) -> Result<(), String> {
    let lasts = statement.key_expiration_time().map_or(0, |lasts| u64::from(lasts.as_secs()));
    let ends = u64::from(created) + lasts;
    if lasts > 0 && ends < now {
        return Err(format!("the key expired on {}", date::format(ends)));
    }
    Ok(())
}

fn has_flags(signature: &Signature) -> bool {
    let subpackets = signature.config().map(|config| &config.hashed_subpackets);
    subpackets.is_some_and(|all| all.iter().any(|s| matches!(s.data, SubpacketData::KeyFlags(_))))
}

/// RSA under 2048 bits, and DSA, can be broken or are in reach.
fn weak(key: &impl KeyDetails) -> bool {
    match key.public_params() {
        // Two numbers, each after two bytes of length; the second one, the exponent, has three bytes nearly always.
        PublicParams::RSA(params) => params.write_len() < 2 + 256 + 2 + 1,
        _ => matches!(key.algorithm(), PublicKeyAlgorithm::DSA | PublicKeyAlgorithm::Elgamal),
    }
}
