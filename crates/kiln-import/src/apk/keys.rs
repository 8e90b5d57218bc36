//! Who signed an index: plain RSA keys, each a file whose name the signature gives.
//!
//! A signature is `.SIGN.ALGORITHM.KEY`: `RSA512` and `RSA256` are over SHA-512 and SHA-256, `RSA` is over SHA-1. Alpine's
//! own tools make only the last. Whether that counts is for the project to say: to forge an index under an honest
//! signature still takes a second preimage, which nobody can find, but who is let to put a file before the signer could
//! prepare two with one SHA-1.

use std::fs;
use std::path::{Path, PathBuf};

use kiln_model::project::IndexSignatures;
use rsa::pkcs8::DecodePublicKey;
use rsa::traits::PublicKeyParts;
use rsa::{Pkcs1v15Sign, RsaPublicKey};
use sha1::{Digest as _, Sha1};
use sha2::{Sha256, Sha512};

/// Shorter keys are in reach.
const FEWEST_BITS: usize = 2048;

/// A signature in an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The algorithm: `RSA256`.
    pub algorithm: String,
    /// The name of the key's file.
    pub key: String,
    /// The signature itself.
    pub bytes: Vec<u8>,
}

/// Keys that may sign an archive's indexes.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    keys: Vec<(String, RsaPublicKey)>,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// It cannot be read.
    #[error("cannot read the key `{}`", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no key.
    #[error("`{name}` is not a public RSA key: {why}")]
    NoKey {
        /// Its name.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// The folder has none.
    #[error("the folder `{}` has no key in it", .0.display())]
    Empty(PathBuf),
}

impl KeysError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(
            "a key is a file such as `alpine-devel@lists.alpinelinux.org-6165ee59.rsa.pub`, under the name that Alpine's \
             `/etc/apk/keys` has it"
                .to_owned(),
        )
    }
}

/// Why no signature of an index counts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is none.
    #[error("it has no signature")]
    None,
    /// All are by other keys.
    #[error("no key of the project made its signature; it is said to be by {0}")]
    UnknownKey(String),
    /// It does not fit.
    #[error("its signature by `{0}` does not fit: it was altered")]
    Wrong(String),
    /// It is only over SHA-1.
    #[error("its only signature, by `{0}`, is over SHA-1")]
    Weak(String),
}

impl SignatureError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::None => "sign the index (`abuild-sign`): an archive that nobody signed is not believed".to_owned(),
            Self::UnknownKey(_) => "if the archive has a new key, put its file beside the others in `keyring:`".to_owned(),
            Self::Wrong(_) => "try another mirror, and do not use this one until you know why".to_owned(),
            Self::Weak(_) => {
                "sign with `abuild-sign -t RSA256`; if the archive is not yours and has nothing better, as Alpine's own, say so with `signatures: sha1` at the origin".to_owned()
            }
        })
    }
}

impl Keys {
    /// Reads a key file, or a folder of them.
    ///
    /// # Errors
    /// When one of them is no key, or there is none.
    pub fn open(path: &Path) -> Result<Self, KeysError> {
        let fault = |path: &Path| {
            let path = path.to_owned();
            move |source| KeysError::Read { path, source }
        };
        let mut files = Vec::new();
        if path.is_dir() {
            for entry in fs::read_dir(path).map_err(fault(path))? {
                let file = entry.map_err(fault(path))?.path();
                if file.extension().is_some_and(|ending| ending == "pub") {
                    files.push(file);
                }
            }
            files.sort();
        } else {
            files.push(path.to_owned());
        }
        let mut keys = Self::default();
        for file in files {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            keys.add(&name, &fs::read_to_string(&file).map_err(fault(&file))?)?;
        }
        if keys.keys.is_empty() { Err(KeysError::Empty(path.to_owned())) } else { Ok(keys) }
    }

    /// Adds a key in PEM, under the name that signatures give it.
    ///
    /// # Errors
    /// When it is no RSA key, or too short.
    pub fn add(&mut self, name: &str, pem: &str) -> Result<(), KeysError> {
        let fault = |why: String| KeysError::NoKey { name: name.to_owned(), why };
        let key = RsaPublicKey::from_public_key_pem(pem.trim()).map_err(|error| fault(error.to_string()))?;
        if key.n().bits() < FEWEST_BITS {
            return Err(fault(format!("it has {} bits, and {FEWEST_BITS} are the fewest that hold", key.n().bits())));
        }
        self.keys.push((name.to_owned(), key));
        Ok(())
    }

    /// Checks that one of the keys signed `message`. Gives the key's name.
    ///
    /// # Errors
    /// When no signature counts.
    pub fn verify(
        &self,
        signatures: &[Signature],
        message: &[u8],
        weakest: IndexSignatures,
    ) -> Result<String, SignatureError> {
        if signatures.is_empty() {
            return Err(SignatureError::None);
        }
        let (mut wrong, mut weak) = (None, None);
        for signature in signatures {
            let (scheme, hashed, strong) = match &*signature.algorithm {
                "RSA512" => (scheme(64), Sha512::digest(message).to_vec(), true),
                "RSA256" => (scheme(32), Sha256::digest(message).to_vec(), true),
                "RSA" => (scheme(20), Sha1::digest(message).to_vec(), false),
                _ => continue,
            };
            for (name, key) in self.keys.iter().filter(|(name, _)| *name == signature.key) {
                match key.verify(scheme.clone(), &hashed, &signature.bytes) {
                    Ok(()) if strong || weakest == IndexSignatures::Sha1 => return Ok(name.clone()),
                    Ok(()) => weak = Some(SignatureError::Weak(name.clone())),
                    Err(_) => wrong = Some(SignatureError::Wrong(name.clone())),
                }
            }
        }
        let names: Vec<String> = signatures.iter().map(|signature| format!("`{}`", signature.key)).collect();
        Err(wrong.or(weak).unwrap_or_else(|| SignatureError::UnknownKey(names.join(", "))))
    }
}

/// PKCS #1 v1.5 with the prefix that names the digest of so many bytes: RFC 8017, 9.2.
fn scheme(length: usize) -> Pkcs1v15Sign {
    let prefix: &[u8] = match length {
        20 => &[0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14],
        32 => &[
            0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04,
            0x20,
        ],
        _ => &[
            0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04,
            0x40,
        ],
    };
    Pkcs1v15Sign { hash_len: Some(length), prefix: prefix.into() }
}
