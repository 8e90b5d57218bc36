//! Release files that must be believed, and every kind that must not, signed by keys made here.

use kiln_import::debian::date;
use kiln_import::debian::{Checks, Keyring, MaxAge, ReleaseError, SignedRelease, VerifiedRelease};
use kiln_model::Digest;
use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, KeyType, SecretKeyParamsBuilder, SignedPublicKey, SignedSecretKey,
    SubkeyParamsBuilder,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{KeyFlags, Signature, SignatureConfig, SignatureType, Subpacket, SubpacketData};
use pgp::ser::Serialize as _;
use pgp::types::{Duration, Password, SigningKey, Tag, Timestamp};
use rand::SeedableRng;

const NOW: u64 = 1_700_000_000;
const DAY: u64 = 24 * 60 * 60;
const PACKAGES: &[u8] = b"the index";

fn ago(seconds: u64) -> Timestamp {
    Timestamp::from_secs(u32::try_from(NOW - seconds).unwrap())
}

struct Key {
    secret: SignedSecretKey,
    cert: SignedPublicKey,
}

fn config(key: &impl SigningKey, kind: SignatureType, made: Timestamp, more: Vec<SubpacketData>) -> SignatureConfig {
    let mut config = SignatureConfig::v4(kind, key.algorithm(), HashAlgorithm::Sha256);
    let mut all = vec![SubpacketData::SignatureCreationTime(made), SubpacketData::IssuerFingerprint(key.fingerprint())];
    all.extend(more);
    config.hashed_subpackets = all.into_iter().map(|data| Subpacket::regular(data).unwrap()).collect();
    config
}

fn flags(sign: bool) -> SubpacketData {
    let mut flags = KeyFlags::default();
    flags.set_certify(true);
    flags.set_sign(sign);
    SubpacketData::KeyFlags(flags)
}

/// A key whose statement about itself, made 100 days ago, has these subpackets.
fn key_saying(seed: u64, says: Vec<SubpacketData>) -> Key {
    key_of(KeyType::Ed25519Legacy, seed, says)
}

fn key_of(kind: KeyType, seed: u64, says: Vec<SubpacketData>) -> Key {
    let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
    let subkey = SubkeyParamsBuilder::default()
        .key_type(KeyType::Ed25519Legacy)
        .can_sign(true)
        .created_at(ago(100 * DAY))
        .build()
        .unwrap();
    let secret = SecretKeyParamsBuilder::default()
        .key_type(kind)
        .can_certify(true)
        .can_sign(true)
        .created_at(ago(100 * DAY))
        .primary_user_id("Archive <archive@example.org>".to_owned())
        .subkey(subkey)
        .build()
        .unwrap()
        .generate(&mut rng)
        .unwrap();
    let mut cert = SignedPublicKey::from(secret.clone());
    let user = &mut cert.details.users[0];
    let config = config(&secret.primary_key, SignatureType::CertPositive, ago(100 * DAY), says);
    let own = config
        .sign_certification(&secret.primary_key, &cert.primary_key, &Password::empty(), Tag::UserId, &user.id)
        .unwrap();
    user.signatures = vec![own];
    cert.public_subkeys[0].signatures.clear();
    let mut key = Key { secret, cert };
    key.bind_subkey(vec![flags(true)], true);
    key
}

fn key(seed: u64) -> Key {
    key_saying(seed, vec![flags(true)])
}

impl Key {
    fn bind_subkey(&mut self, mut says: Vec<SubpacketData>, confirmed: bool) {
        let (primary, sub) = (&self.secret.primary_key, &self.secret.secret_subkeys[0].key);
        let subkey = &mut self.cert.public_subkeys[0];
        if confirmed {
            let back = config(sub, SignatureType::KeyBinding, ago(100 * DAY), vec![])
                .sign_primary_key_binding(sub, &subkey.key, &Password::empty(), &self.cert.primary_key)
                .unwrap();
            says.push(SubpacketData::EmbeddedSignature(Box::new(back)));
        }
        let binding = config(primary, SignatureType::SubkeyBinding, ago(100 * DAY), says)
            .sign_subkey_binding(primary, &self.cert.primary_key, &Password::empty(), &subkey.key)
            .unwrap();
        subkey.signatures = vec![binding];
    }

    fn keyring(&self) -> Keyring {
        Keyring::parse("test.gpg", &self.cert.to_bytes().unwrap()).unwrap()
    }

    fn sign(&self, text: &str) -> String {
        message(text, |text| vec![signature(&self.secret.primary_key, text, ago(60), vec![])])
    }
}

fn signature(key: &impl SigningKey, text: &str, made: Timestamp, more: Vec<SubpacketData>) -> Signature {
    config(key, SignatureType::Text, made, more).sign(key, &Password::empty(), text.as_bytes()).unwrap()
}

fn message(text: &str, sign: impl FnOnce(&str) -> Vec<Signature>) -> String {
    let message = CleartextSignedMessage::new_many(text, |text| Ok(sign(text))).unwrap();
    message.to_armored_string(ArmorOptions::default()).unwrap()
}

fn release() -> String {
    format!(
        "Origin: Debian\nSuite: stable\nCodename: trixie\nDate: {}\nValid-Until: {}\nAcquire-By-Hash: yes\nArchitectures: all amd64\nNo-Support-for-Architecture-all: Packages\nMD5Sum:\n 0123  9 main/binary-amd64/Packages.xz\nSHA256:\n {} 9 main/binary-amd64/Packages.xz\n {} 99 main/binary-amd64/Packages\n {} 5 main/binary-amd64/Release",
        date::format(NOW - DAY),
        date::format(NOW + DAY),
        Digest::of(PACKAGES).to_hex(),
        Digest::of(b"unpacked").to_hex(),
        Digest::of(b"other").to_hex(),
    )
}

fn checks() -> Checks<'static> {
    Checks { suite: "trixie", distribution: "debian", now: NOW, max_age: None, not_before: None }
}

fn believe(text: &str, keyring: &Keyring, checks: &Checks<'_>) -> Result<VerifiedRelease, ReleaseError> {
    SignedRelease::parse(text.as_bytes())?.verify(std::slice::from_ref(keyring), checks)
}

/// The whole message of an error with its causes, and that it says what to do.
fn refused(result: Result<VerifiedRelease, ReleaseError>) -> String {
    let error = result.expect_err("must be refused");
    assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{error:?} has no hint");
    let mut text = error.to_string();
    let mut next = std::error::Error::source(&error);
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

#[test]
fn believes_a_good_release_and_gives_its_indexes() {
    let key = key(1);
    let text = key.sign(&release());
    let verified = believe(&text, &key.keyring(), &checks()).unwrap();
    assert_eq!(verified.digest(), Digest::of(text.as_bytes()));
    assert_eq!((verified.date(), verified.valid_until()), (NOW - DAY, Some(NOW + DAY)));
    assert_eq!(verified.names(), ("stable", "trixie"));
    assert!(!verified.all_is_apart());
    assert_eq!(verified.signer(), key.keyring().fingerprints()[0]);
    let index = verified.index("main/binary-amd64/Packages").unwrap();
    assert_eq!((index.sha256, index.size, index.unpacked), (Digest::of(PACKAGES), 9, Some(99)));
    assert_eq!(index.path, "main/binary-amd64/Packages.xz");
    let by_hash = format!("main/binary-amd64/by-hash/SHA256/{}", Digest::of(PACKAGES).to_hex());
    assert_eq!(index.by_hash.as_deref(), Some(&*by_hash));
    let error = verified.index("contrib/binary-amd64/Packages").unwrap_err();
    assert!(error.to_string().contains("contrib") && error.hint().unwrap().contains("components"));
}

#[test]
fn the_suite_may_be_asked_for_by_either_name_and_no_other() {
    let key = key(1);
    let text = key.sign(&release());
    believe(&text, &key.keyring(), &Checks { suite: "stable", ..checks() }).unwrap();
    let text = refused(believe(&text, &key.keyring(), &Checks { suite: "sid", ..checks() }));
    assert!(text.contains("`trixie`") && text.contains("`sid`"), "{text}");
    let nameless = key.sign(&release().replace("Suite: stable\nCodename: trixie\n", "Label: x\n"));
    refused(believe(&nameless, &key.keyring(), &Checks { suite: "", ..checks() }));
}

#[test]
fn another_distribution_is_refused() {
    let key = key(1);
    let text = refused(believe(&key.sign(&release().replace("Debian", "Debianoid")), &key.keyring(), &checks()));
    assert!(text.contains("`Debianoid`"), "{text}");
    believe(&key.sign(&release().replace("Debian", "Debian Backports")), &key.keyring(), &checks()).unwrap();
}

#[test]
fn a_key_that_is_not_in_the_keyring_is_refused() {
    let text = refused(believe(&key(1).sign(&release()), &key(2).keyring(), &checks()));
    assert!(text.contains("test.gpg") && text.contains(&key(1).keyring().fingerprints()[0]), "{text}");
    let none = SignedRelease::parse(key(1).sign(&release()).as_bytes()).unwrap().verify(&[], &checks());
    assert!(refused(none).contains("no keyring"));
}

#[test]
fn one_known_signature_of_two_is_enough() {
    let (known, unknown) = (key(1), key(2));
    for flip in [false, true] {
        let text = message(&release(), |text| {
            let mut all = vec![
                signature(&known.secret.primary_key, text, ago(60), vec![]),
                signature(&unknown.secret.primary_key, text, ago(60), vec![]),
            ];
            if flip {
                all.reverse();
            }
            all
        });
        let verified = believe(&text, &known.keyring(), &checks()).unwrap();
        assert_eq!(verified.signer(), known.keyring().fingerprints()[0]);
    }
}

#[test]
fn a_changed_text_is_refused() {
    let key = key(1);
    let good = key.sign(&release());
    for (from, to) in [("trixie", "trixia"), ("amd64/Packages.xz", "amd64/Packages.gz"), ("SHA256:", "SHA256:\n x")] {
        let bad = good.replace(from, to);
        assert_ne!(good, bad);
        assert!(refused(believe(&bad, &key.keyring(), &checks())).contains("altered"), "{from}");
    }
    let digest = Digest::of(PACKAGES).to_hex();
    let bad = good.replace(&digest, &Digest::of(b"evil").to_hex());
    assert!(refused(believe(&bad, &key.keyring(), &checks())).contains("altered"));
}

#[test]
fn text_outside_the_signed_part_is_refused_not_read() {
    let key = key(1);
    let good = key.sign(&release());
    let evil = format!("SHA256:\n {} 9 main/binary-amd64/Packages.xz\n", Digest::of(b"evil").to_hex());
    for bad in [
        format!("{evil}{good}"),
        format!("{good}{evil}"),
        format!("{good}\n"),
        format!("{good}{good}"),
        format!("\n{good}"),
    ] {
        refused(believe(&bad, &key.keyring(), &checks()));
    }
    let in_header = good.replacen("Hash:", "Suite: sid\nHash:", 1);
    assert!(refused(believe(&in_header, &key.keyring(), &checks())).contains("header"));
}

#[test]
fn carriage_returns_and_nul_bytes_are_refused() {
    let key = key(1);
    let good = key.sign(&release());
    for bad in [
        good.replace('\n', "\r\n"),
        good.replacen("Suite: stable\n", "Suite: stable\rSuite: sid\n", 1),
        good.replacen("Suite: stable", "Suite: stable\0", 1),
        good.replacen("Suite: stable", "Suite: stable\u{0b}", 1),
    ] {
        assert!(refused(believe(&bad, &key.keyring(), &checks())).contains("control character"));
    }
}

#[test]
fn an_unsigned_release_is_refused() {
    let text = refused(believe(&release(), &key(1).keyring(), &checks()));
    assert!(text.contains("not a signed message"), "{text}");
    let html = "<html><body>Sign in to the hotel's network</body></html>";
    assert!(refused(believe(html, &key(1).keyring(), &checks())).contains("not a signed message"));
    let empty = key(1).sign(&release());
    let at = empty.find("-----BEGIN PGP SIGNATURE-----").unwrap();
    let empty = format!("{}-----BEGIN PGP SIGNATURE-----\n\n-----END PGP SIGNATURE-----\n", &empty[..at]);
    refused(believe(&empty, &key(1).keyring(), &checks()));
}

#[test]
fn dates_are_checked() {
    let key = key(1);
    let with = |from: &str, to: &str| key.sign(&release().replace(from, to));
    let (dated, until) = (date::format(NOW - DAY), date::format(NOW + DAY));
    let future = with(&dated, &date::format(NOW + DAY));
    assert!(refused(believe(&future, &key.keyring(), &checks())).contains("not come yet"));
    let over = with(&until, &date::format(NOW - 60));
    assert!(refused(believe(&over, &key.keyring(), &checks())).contains("expired"));
    let broken = with(&until, "soon");
    assert!(refused(believe(&broken, &key.keyring(), &checks())).contains("Valid-Until"));
    let undated = with(&format!("Date: {dated}\n"), "");
    assert!(refused(believe(&undated, &key.keyring(), &checks())).contains("`Date`"));
}

#[test]
fn a_release_that_never_expires_is_believed_only_when_the_project_says_so() {
    let key = key(1);
    let until = format!("Valid-Until: {}\n", date::format(NOW + DAY));
    let text = key.sign(&release().replace(&until, ""));
    let missing = refused(believe(&text, &key.keyring(), &checks()));
    assert!(missing.contains("Valid-Until"), "{missing}");
    let with = |max_age| believe(&text, &key.keyring(), &Checks { max_age: Some(max_age), ..checks() });
    assert_eq!(with(MaxAge::Unlimited).unwrap().valid_until(), None);
    assert_eq!(with(MaxAge::Seconds(2 * DAY)).unwrap().valid_until(), Some(NOW + DAY));
    assert!(refused(with(MaxAge::Seconds(DAY / 2))).contains("expired"));
}

#[test]
fn an_older_release_than_the_locked_one_is_refused() {
    let key = key(1);
    let text = key.sign(&release());
    believe(&text, &key.keyring(), &Checks { not_before: Some(NOW - DAY), ..checks() }).unwrap();
    let replayed = refused(believe(&text, &key.keyring(), &Checks { not_before: Some(NOW - DAY + 1), ..checks() }));
    assert!(replayed.contains("older than the locked one"), "{replayed}");
}

#[test]
fn only_sha256_counts() {
    let key = key(1);
    let text = release();
    let at = text.find("SHA256:").unwrap();
    assert!(refused(believe(&key.sign(text[..at].trim_end()), &key.keyring(), &checks())).contains("`SHA256`"));
    let twice = format!("{text}\n {} 9 main/binary-amd64/Packages.xz", Digest::of(b"evil").to_hex());
    assert!(refused(believe(&key.sign(&twice), &key.keyring(), &checks())).contains("twice"));
    let section = format!("{text}\nSHA256:\n {} 9 main/binary-amd64/Packages.xz", Digest::of(b"evil").to_hex());
    refused(believe(&key.sign(&section), &key.keyring(), &checks()));
    let stanza = format!("{text}\n\nSHA256:\n {} 9 main/binary-amd64/Packages.xz", Digest::of(b"evil").to_hex());
    refused(believe(&key.sign(&stanza), &key.keyring(), &checks()));
}

#[test]
fn a_subkey_that_may_sign_and_confirms_its_key_is_as_good() {
    let mut key = key(1);
    let sub = key.secret.secret_subkeys[0].key.clone();
    let text = message(&release(), |text| vec![signature(&sub, text, ago(60), vec![])]);
    let verified = believe(&text, &key.keyring(), &checks()).unwrap();
    assert_ne!(verified.signer(), key.keyring().fingerprints()[0]);
    key.bind_subkey(vec![flags(true)], false);
    assert!(refused(believe(&text, &key.keyring(), &checks())).contains("does not confirm"));
    key.bind_subkey(vec![flags(false)], true);
    assert!(refused(believe(&text, &key.keyring(), &checks())).contains("not meant for signing"));
    let lasts = SubpacketData::KeyExpirationTime(Duration::from_secs(u32::try_from(50 * DAY).unwrap()));
    key.bind_subkey(vec![flags(true), lasts], true);
    assert!(refused(believe(&text, &key.keyring(), &checks())).contains("expired"));
    key.bind_subkey(vec![flags(true)], true);
    let revocation = config(&key.secret.primary_key, SignatureType::SubkeyRevocation, ago(DAY), vec![])
        .sign_subkey_binding(&key.secret.primary_key, &key.cert.primary_key, &Password::empty(), &sub.public_key())
        .unwrap();
    key.cert.public_subkeys[0].signatures.push(revocation);
    assert!(refused(believe(&text, &key.keyring(), &checks())).contains("revoked"));
}

#[test]
fn a_strangers_subkey_is_not_accepted() {
    let (mut victim, stranger) = (key(1), key(2));
    victim.cert.public_subkeys = stranger.cert.public_subkeys.clone();
    let sub = stranger.secret.secret_subkeys[0].key.clone();
    let text = message(&release(), |text| vec![signature(&sub, text, ago(60), vec![])]);
    assert!(refused(believe(&text, &victim.keyring(), &checks())).contains("not bound"));
}

#[test]
fn an_expired_key_is_refused_even_for_an_old_signature() {
    let lasts = |days| SubpacketData::KeyExpirationTime(Duration::from_secs(u32::try_from(days * DAY).unwrap()));
    let key = key_saying(1, vec![flags(true), lasts(99)]);
    let text = message(&release(), |text| vec![signature(&key.secret.primary_key, text, ago(50 * DAY), vec![])]);
    let why = refused(believe(&text, &key.keyring(), &checks()));
    assert!(why.contains("the key expired on"), "{why}");
    believe(&text, &key_saying(1, vec![flags(true), lasts(101)]).keyring(), &checks()).unwrap();
}

#[test]
fn a_revoked_key_is_refused() {
    let mut key = key(1);
    let text = key.sign(&release());
    let revocation = config(&key.secret.primary_key, SignatureType::KeyRevocation, ago(DAY), vec![])
        .sign_key(&key.secret.primary_key, &Password::empty(), &key.cert.primary_key)
        .unwrap();
    key.cert.details.revocation_signatures.push(revocation);
    assert!(refused(believe(&text, &key.keyring(), &checks())).contains("revoked"));
}

#[test]
fn a_key_that_may_not_sign_is_refused() {
    let key = key_saying(1, vec![flags(false)]);
    assert!(refused(believe(&key.sign(&release()), &key.keyring(), &checks())).contains("not meant for signing"));
    let silent = key_saying(1, vec![]);
    believe(&silent.sign(&release()), &silent.keyring(), &checks()).unwrap();
}

#[test]
fn expired_future_and_weak_signatures_are_refused() {
    let key = key(1);
    let sign = |made, more| message(&release(), |text| vec![signature(&key.secret.primary_key, text, made, more)]);
    let lasts = SubpacketData::SignatureExpirationTime(Duration::from_secs(30));
    assert!(refused(believe(&sign(ago(60), vec![lasts]), &key.keyring(), &checks())).contains("expired"));
    let future = Timestamp::from_secs(u32::try_from(NOW + DAY).unwrap());
    assert!(refused(believe(&sign(future, vec![]), &key.keyring(), &checks())).contains("future"));
    assert!(refused(believe(&sign(ago(200 * DAY), vec![]), &key.keyring(), &checks())).contains("older than the key"));
    let critical = message(&release(), |text| {
        let mut config = config(&key.secret.primary_key, SignatureType::Text, ago(60), vec![]);
        let odd = SubpacketData::Experimental(101, b"x".to_vec().into());
        config.hashed_subpackets.push(Subpacket::critical(odd).unwrap());
        vec![config.sign(&key.secret.primary_key, &Password::empty(), text.as_bytes()).unwrap()]
    });
    assert!(refused(believe(&critical, &key.keyring(), &checks())).contains("not understood"));
}

#[test]
fn a_hash_that_can_be_forged_is_refused() {
    let key = key_of(KeyType::Rsa(2048), 3, vec![flags(true)]);
    let sign = |hash| {
        message(&release(), |text| {
            let mut config = config(&key.secret.primary_key, SignatureType::Text, ago(60), vec![]);
            config.hash_alg = hash;
            vec![config.sign(&key.secret.primary_key, &Password::empty(), text.as_bytes()).unwrap()]
        })
    };
    believe(&sign(HashAlgorithm::Sha512), &key.keyring(), &checks()).unwrap();
    assert!(refused(believe(&sign(HashAlgorithm::Sha1), &key.keyring(), &checks())).contains("forged"));
}

/// The messages and keys were made by GnuPG.
#[test]
fn what_another_program_signed_is_believed_unless_its_key_is_short() {
    let long = Keyring::parse("long", include_bytes!("debian_fixtures/rsa2048.asc")).unwrap();
    believe(include_str!("debian_fixtures/rsa2048.InRelease"), &long, &checks()).unwrap();
    let short = Keyring::parse("short", include_bytes!("debian_fixtures/rsa1024.asc")).unwrap();
    let text = include_str!("debian_fixtures/rsa1024.InRelease");
    assert!(refused(believe(text, &short, &checks())).contains("too weak"));
}

#[test]
fn keyrings_are_read_binary_armored_and_several_keys_at_once() {
    let (a, b) = (key(1), key(2));
    let mut binary = a.cert.to_bytes().unwrap();
    binary.extend(b.cert.to_bytes().unwrap());
    let mut armored = a.cert.to_armored_string(ArmorOptions::default()).unwrap();
    armored.push_str(&b.cert.to_armored_string(ArmorOptions::default()).unwrap());
    for bytes in [binary, armored.into_bytes()] {
        let ring = Keyring::parse("two", &bytes).unwrap();
        assert_eq!(ring.fingerprints().len(), 2);
        believe(&b.sign(&release()), &ring, &checks()).unwrap();
    }
    for bytes in [&b""[..], b"hello", &[0xff; 64], b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nzzz"] {
        let error = Keyring::parse("bad.gpg", bytes).unwrap_err();
        assert!(error.to_string().contains("bad.gpg") && error.hint().is_some(), "{error}");
    }
}

mod any_bytes {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn never_panic_in_keyrings_and_signatures(bytes in proptest::collection::vec(any::<u8>(), 0..400), at in 0usize..300) {
            let _ = Keyring::parse("any", &bytes);
            let key = key(1);
            let mut cert = key.cert.to_bytes().unwrap();
            let index = at % cert.len();
            cert[index] ^= 0x55;
            let damaged = Keyring::parse("damaged", &cert);
            let mut text = key.sign(&release()).into_bytes();
            if let Ok(ring) = damaged {
                let _ = SignedRelease::parse(&text).unwrap().verify(&[ring], &checks());
            }
            let signature = text.windows(20).position(|part| part == b"-----BEGIN PGP SIGNA").unwrap();
            let index = text.len() - 1 - at % text.len();
            text[index] ^= 0x05;
            if let Ok(signed) = SignedRelease::parse(&text) {
                // The armour's checksum is no part of what is signed, and RFC 9580, 6.1 has readers pass over it.
                let believed = signed.verify(&[key.keyring()], &checks()).is_ok();
                prop_assert!(!believed || index > signature, "a changed byte {index} of the text is believed");
            }
        }
    }
}
