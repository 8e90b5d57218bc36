//! Keys that sign archives, as `gpg` makes them, from a number: the same key each time.

use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, DetachedSignature, KeyType, SecretKeyParamsBuilder, SignedPublicKey,
    SignedSecretKey,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::types::{Password, Timestamp};
use rand::SeedableRng;

/// A key that signs archives.
pub struct ArchiveKey {
    secret: SignedSecretKey,
    seed: u64,
}

impl ArchiveKey {
    /// The key of this number.
    ///
    /// # Panics
    /// When the library cannot make it.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let secret = SecretKeyParamsBuilder::default()
            .key_type(KeyType::Ed25519Legacy)
            .can_certify(true)
            .can_sign(true)
            .created_at(Timestamp::from_secs(1_600_000_000))
            .primary_user_id("Archive <archive@example.org>".to_owned())
            .build()
            .unwrap()
            .generate(rand::rngs::StdRng::seed_from_u64(seed))
            .unwrap();
        Self { secret, seed }
    }

    /// Its public half, for a keyring in a project.
    ///
    /// # Panics
    /// When the library cannot write it.
    #[must_use]
    pub fn public(&self) -> String {
        SignedPublicKey::from(self.secret.clone()).to_armored_string(ArmorOptions::default()).unwrap()
    }

    /// A text with its signature of now, as `InRelease` is.
    ///
    /// # Panics
    /// When the library cannot sign.
    #[must_use]
    pub fn sign(&self, text: &str) -> String {
        let rng = rand::rngs::StdRng::seed_from_u64(self.seed + 1);
        let signed = CleartextSignedMessage::sign(rng, text, &self.secret.primary_key, &Password::empty()).unwrap();
        signed.to_armored_string(ArmorOptions::default()).unwrap()
    }

    /// The armored signature of now of some bytes, as a file of its own: `repomd.xml.asc`.
    ///
    /// # Panics
    /// When the library cannot sign.
    #[must_use]
    pub fn sign_detached(&self, bytes: &[u8]) -> String {
        let rng = rand::rngs::StdRng::seed_from_u64(self.seed + 2);
        let key = &self.secret.primary_key;
        let signed = DetachedSignature::sign_binary_data(rng, key, &Password::empty(), HashAlgorithm::Sha256, bytes);
        signed.unwrap().to_armored_string(ArmorOptions::default()).unwrap()
    }
}
