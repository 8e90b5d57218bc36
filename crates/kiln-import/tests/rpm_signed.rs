//! Packages that `rpmsign` signed: which are believed, and that nothing else is.

use std::fs;
use std::sync::LazyLock;

use kiln_import::debian::openpgp::Keyring;
use kiln_import::rpm::{Record, RpmError, check_signature};
use proptest::prelude::*;
use testkit::rpm::{Packager, RawFile, RawRpm, architecture, build};

/// Signatures of tests are of now, so they are looked at from some time after.
const NOW: u64 = 4_000_000_000;

const SPEC: &str = "Name: sample
Version: 1.0
Release: 2
Epoch: 3
%description
A sample.
%install
mkdir -p %{buildroot}/usr/share
echo one > %{buildroot}/usr/share/one
%files
/usr/share/one
";

/// The package, signed by a key of a kind; the key; and the package as it was before.
struct Signed {
    keyring: Keyring,
    package: Vec<u8>,
    unsigned: Vec<u8>,
}

fn signed(kind: &str) -> Signed {
    let folder = tempfile::tempdir().unwrap();
    let packager = Packager::new(kind, folder.path().join("gpg"));
    let built = build(SPEC, &[], &folder.path().join("rpms"));
    let unsigned = fs::read(&built[0]).unwrap();
    packager.sign(&built);
    let keyring = Keyring::parse("keys", packager.public().as_bytes()).unwrap();
    Signed { package: fs::read(&built[0]).unwrap(), unsigned, keyring }
}

static RSA: LazyLock<Signed> = LazyLock::new(|| signed("rsa3072"));
static EDDSA: LazyLock<Signed> = LazyLock::new(|| signed("ed25519"));

fn record() -> Record {
    let (name, version, architecture) = ("sample".to_owned(), "3:1.0-2".to_owned(), architecture().to_owned());
    Record { name, version, architecture, ..Record::default() }
}

fn check(package: &[u8], record: &Record, keyring: &Keyring) -> Result<(), RpmError> {
    check_signature(package, record, keyring, NOW)
}

/// What is said, with its cause.
fn refused(package: &[u8], record: &Record, keyring: &Keyring) -> String {
    let error = check(package, record, keyring).expect_err("it is refused");
    assert!(error.hint().is_some(), "{error}");
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    format!("{error} {}", cause.unwrap_or_default())
}

/// Where the main header begins: behind the lead, and the header of signatures with its padding.
fn header_of(package: &[u8]) -> usize {
    let word = |at: usize| u32::from_be_bytes(package[at..at + 4].try_into().unwrap()) as usize;
    96 + (16 + word(104) * 16 + word(108)).next_multiple_of(8)
}

#[test]
fn what_a_key_of_the_project_signed_is_believed() {
    for signed in [&RSA, &EDDSA] {
        check(&signed.package, &record(), &signed.keyring).unwrap();
    }
}

#[test]
fn what_nobody_or_somebody_else_signed_is_refused() {
    assert!(refused(&RSA.unsigned, &record(), &RSA.keyring).contains("nobody signed"));
    assert!(refused(&RSA.package, &record(), &EDDSA.keyring).contains("no key of `keys` made its signature"));
    let raw = RawRpm::new(&[RawFile { path: "/etc/x", mode: 0o100_644, size: 0, target: "" }]).bytes();
    assert!(refused(&raw, &record(), &RSA.keyring).contains("nobody signed"));
}

#[test]
fn what_was_signed_is_what_the_index_says() {
    let of = |change: fn(&mut Record)| {
        let mut record = record();
        change(&mut record);
        refused(&RSA.package, &record, &RSA.keyring)
    };
    let said = format!("is another package than the index says: sample 3:1.0-2 for {}", architecture());
    assert!(of(|record| record.name = "other".into()).contains(&said));
    assert!(of(|record| record.version = "3:1.0-3".into()).contains(&said));
    assert!(of(|record| record.architecture = "noarch".into()).contains(&said));
}

#[test]
fn neither_header_nor_payload_can_be_changed() {
    let header = header_of(&RSA.package);
    let altered = |at: usize| {
        let mut bytes = RSA.package.clone();
        bytes[at] ^= 1;
        refused(&bytes, &record(), &RSA.keyring)
    };
    let end = RSA.package.len() - 9;
    assert!(altered(end).contains("not those that it names"), "{}", altered(end));
    let name = header + RSA.package[header..].windows(6).position(|bytes| bytes == b"sample").unwrap();
    assert!(altered(name).contains("does not fit"), "{}", altered(name));
    // Another package, which nobody signed, behind these signatures.
    let folder = tempfile::tempdir().unwrap();
    let other = fs::read(&build(&SPEC.replace("Release: 2", "Release: 3"), &[], folder.path())[0]).unwrap();
    let other = [&RSA.package[..header], &other[header_of(&other)..]].concat();
    let told = refused(&other, &record(), &RSA.keyring);
    assert!(told.contains("does not fit"), "{told}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_package_with_a_byte_changed_is_the_same_or_refused(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = RSA.package.clone();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if at >= header_of(&RSA.package) {
            check(&bytes, &record(), &RSA.keyring).unwrap_err();
        } else {
            let _ = check(&bytes, &record(), &RSA.keyring);
        }
    }
}
