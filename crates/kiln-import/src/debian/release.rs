//! `InRelease`: the signed statement of what an archive's suite holds.
//!
//! The only way to the digest of an index is a [`VerifiedRelease`], and the only way to one is
//! [`SignedRelease::verify`]: signature, suite, dates and replay are checked before anything else is believed. What was
//! believed once is known by its digest from then on ([`SignedRelease::known`]). Only the `SHA256` section is read.

use std::collections::BTreeMap;

use kiln_archive::compress::Compression;
use kiln_model::Digest;

use super::cleartext::{Cleartext, CleartextError};
use super::date;
use super::openpgp::{self, CLOCK_SKEW, Keyring, SignatureError};
use crate::deb::deb822::{Stanza, Stanzas};

/// An `InRelease` nobody has verified yet.
#[derive(Debug, Clone)]
pub struct SignedRelease {
    message: Cleartext,
    digest: Digest,
}

/// How long a release without `Valid-Until` is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxAge {
    /// So many seconds after its `Date`.
    Seconds(u64),
    /// For ever: the archive is known not to give a date, and replay is guarded by the lock's date only.
    Unlimited,
}

/// What a release must be.
#[derive(Debug, Clone)]
pub struct Checks<'a> {
    /// The suite or code name that was asked for.
    pub suite: &'a str,
    /// The distribution: the `Origin` field, whatever the case of its letters; perhaps with more words after it.
    pub distribution: &'a str,
    /// Seconds since 1970.
    pub now: u64,
    /// For a release without `Valid-Until`.
    pub max_age: Option<MaxAge>,
    /// The `Date` of the release in the lock: an older one is a replay.
    pub not_before: Option<u64>,
}

/// An `InRelease` that is what was asked for.
#[derive(Debug, Clone)]
pub struct VerifiedRelease {
    digest: Digest,
    suite: String,
    codename: String,
    date: u64,
    valid_until: Option<u64>,
    by_hash: bool,
    all_apart: bool,
    signer: String,
    files: BTreeMap<String, (Digest, u64)>,
}

/// One index file of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexFile {
    /// Its path below the suite's folder.
    pub path: String,
    /// Where mirrors keep it by its digest, when they do.
    pub by_hash: Option<String>,
    /// How it is compressed.
    pub compression: Compression,
    /// Its digest.
    pub sha256: Digest,
    /// Its size.
    pub size: u64,
    /// Its size uncompressed, when the release says so.
    pub unpacked: Option<u64>,
}

/// Why a release is not believed.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// It is not one signed message.
    #[error("the release file cannot be believed")]
    Frame(#[from] CleartextError),
    /// Its signature does not count.
    #[error("the release file cannot be believed")]
    Signature(#[from] SignatureError),
    /// It is signed, but makes no sense.
    #[error("the release file has no usable field `{0}`")]
    Field(&'static str),
    /// One file with two digests.
    #[error("the release file lists `{0}` twice, differently")]
    Twice(String),
    /// Another suite.
    #[error("the release file is of the suite `{suite}` (`{codename}`), but `{wanted}` was asked for")]
    WrongSuite {
        /// What was asked for.
        wanted: String,
        /// What it says.
        suite: String,
        /// What it says.
        codename: String,
    },
    /// Another distribution.
    #[error("the release file is of `{origin}`, but the distribution `{wanted}` was asked for")]
    WrongDistribution {
        /// What was asked for.
        wanted: String,
        /// What it says.
        origin: String,
    },
    /// Dated later than now.
    #[error("the release file is dated {}, which has not come yet", date::format(*.0))]
    Future(u64),
    /// Its time is over.
    #[error("the release file expired on {}", date::format(*.0))]
    Expired(u64),
    /// It does not say how long it counts.
    #[error("the release file does not say how long it counts: it has no `Valid-Until`")]
    NoValidUntil,
    /// Older than the one that is locked.
    #[error("the release file is dated {}, older than the locked one of {}", date::format(*.date), date::format(*.locked))]
    Replayed {
        /// Its date.
        date: u64,
        /// The date of the locked one.
        locked: u64,
    },
    /// It has no such index.
    #[error("the suite `{suite}` has no `{path}`")]
    NoIndex {
        /// The suite.
        suite: String,
        /// The index, without its compression's ending.
        path: String,
    },
}

impl ReleaseError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Frame(CleartextError::NotSigned) => {
                "the server sent something else, or the archive is not signed: check the mirror and the suite".to_owned()
            }
            Self::Frame(_) => "the file was altered on the way: try another mirror".to_owned(),
            Self::Signature(error) => return error.hint(),
            Self::Field(_) | Self::Twice(_) => "the archive is broken: tell its maintainers".to_owned(),
            Self::WrongSuite { suite, codename, .. } => {
                format!("set `suite:` in `kiln.yaml` to `{codename}` or `{suite}`, or use a mirror that has the one you want")
            }
            Self::WrongDistribution { .. } => {
                "use a mirror of that distribution, or set `distribution:` in `kiln.yaml` to what the archive calls itself".to_owned()
            }
            Self::Future(_) => "check this machine's clock".to_owned(),
            Self::Expired(_) => "the mirror is stale or someone holds updates back: try another mirror; check this machine's clock too".to_owned(),
            Self::NoValidUntil => {
                "if that is how this archive is, give the origin `max-age: 30d` or `max-age: unlimited` in `kiln.yaml`".to_owned()
            }
            Self::Replayed { .. } => "the mirror is behind, or someone holds updates back: try another mirror".to_owned(),
            Self::NoIndex { .. } => "check `components:` and `architectures:` in `kiln.yaml`".to_owned(),
        })
    }
}

impl SignedRelease {
    /// Reads the frame. Nothing in it is believed yet.
    ///
    /// # Errors
    /// When it is not exactly one signed message.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReleaseError> {
        Ok(Self { message: Cleartext::parse(bytes)?, digest: Digest::of(bytes) })
    }

    /// Believes it, if everything is as it must be.
    ///
    /// # Errors
    /// When anything is not.
    pub fn verify(self, keyrings: &[Keyring], checks: &Checks<'_>) -> Result<VerifiedRelease, ReleaseError> {
        let signer = openpgp::verify(&self.message, keyrings, checks.now)?;
        let stanza = self.stanza()?;
        let (suite, codename) = (stanza.get("Suite").unwrap_or_default(), stanza.get("Codename").unwrap_or_default());
        if ![suite, codename].contains(&checks.suite) || checks.suite.is_empty() {
            return Err(ReleaseError::WrongSuite {
                wanted: checks.suite.to_owned(),
                suite: suite.to_owned(),
                codename: codename.to_owned(),
            });
        }
        let origin = stanza.get("Origin").unwrap_or_default();
        if !is_of(origin, checks.distribution) {
            let wanted = checks.distribution.to_owned();
            return Err(ReleaseError::WrongDistribution { wanted, origin: origin.to_owned() });
        }
        let (date, valid_until) = check_dates(&stanza, checks)?;
        believed(self.digest, &stanza, signer, date, valid_until)
    }

    /// Takes it as what was believed before: what has this digest was, or nobody would know the digest.
    ///
    /// # Errors
    /// When it is not that, or makes no sense.
    pub fn known(self, digest: &Digest) -> Result<VerifiedRelease, ReleaseError> {
        if self.digest != *digest {
            return Err(ReleaseError::Field("SHA256"));
        }
        let stanza = self.stanza()?;
        let date = stanza.get("Date").and_then(date::parse).ok_or(ReleaseError::Field("Date"))?;
        believed(self.digest, &stanza, String::new(), date, None)
    }

    /// The one stanza that it is.
    fn stanza(&self) -> Result<Stanza<'_>, ReleaseError> {
        let mut stanzas = Stanzas::new(self.message.text());
        let stanza = stanzas.next().and_then(Result::ok).ok_or(ReleaseError::Field("Suite"))?;
        if stanzas.next().is_some() { Err(ReleaseError::Field("SHA256")) } else { Ok(stanza) }
    }
}

fn believed(
    digest: Digest,
    stanza: &Stanza<'_>,
    signer: String,
    date: u64,
    valid_until: Option<u64>,
) -> Result<VerifiedRelease, ReleaseError> {
    let yes = |field: &str| stanza.get(field).is_some_and(|value| value.eq_ignore_ascii_case("yes"));
    let words = |field: &str, word: &str| stanza.get(field).is_some_and(|v| v.split_whitespace().any(|w| w == word));
    Ok(VerifiedRelease {
        digest,
        suite: stanza.get("Suite").unwrap_or_default().to_owned(),
        codename: stanza.get("Codename").unwrap_or_default().to_owned(),
        date,
        valid_until,
        by_hash: yes("Acquire-By-Hash"),
        all_apart: words("Architectures", "all") && !words("No-Support-for-Architecture-all", "Packages"),
        signer,
        files: files(stanza)?,
    })
}

fn is_of(origin: &str, distribution: &str) -> bool {
    let (origin, wanted) = (origin.to_lowercase(), distribution.to_lowercase());
    !wanted.is_empty() && origin.strip_prefix(&*wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

fn check_dates(stanza: &Stanza<'_>, checks: &Checks<'_>) -> Result<(u64, Option<u64>), ReleaseError> {
    let released = stanza.get("Date").and_then(date::parse).ok_or(ReleaseError::Field("Date"))?;
    if released > checks.now + CLOCK_SKEW {
        return Err(ReleaseError::Future(released));
    }
    let said = match stanza.get("Valid-Until") {
        Some(text) => Some(date::parse(text).ok_or(ReleaseError::Field("Valid-Until"))?),
        None => None,
    };
    let until = match (said, checks.max_age) {
        (Some(said), _) => Some(said),
        (None, Some(MaxAge::Seconds(seconds))) => Some(released.saturating_add(seconds)),
        (None, Some(MaxAge::Unlimited)) => None,
        (None, None) => return Err(ReleaseError::NoValidUntil),
    };
    if let Some(until) = until.filter(|until| *until < checks.now) {
        return Err(ReleaseError::Expired(until));
    }
    match checks.not_before {
        Some(locked) if released < locked => Err(ReleaseError::Replayed { date: released, locked }),
        _ => Ok((released, until)),
    }
}

fn files(stanza: &Stanza<'_>) -> Result<BTreeMap<String, (Digest, u64)>, ReleaseError> {
    let mut files = BTreeMap::new();
    for line in stanza.lines("SHA256") {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [digest, size, path] = words[..] else { return Err(ReleaseError::Field("SHA256")) };
        let (Ok(digest), Ok(size)) = (digest.parse(), size.parse()) else { return Err(ReleaseError::Field("SHA256")) };
        let entry = (digest, size);
        if files.insert(path.to_owned(), entry).is_some_and(|other| other != entry) {
            return Err(ReleaseError::Twice(path.to_owned()));
        }
    }
    if files.is_empty() { Err(ReleaseError::Field("SHA256")) } else { Ok(files) }
}

impl VerifiedRelease {
    /// The digest of the whole file.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// When it was made, in seconds since 1970.
    #[must_use]
    pub fn date(&self) -> u64 {
        self.date
    }

    /// Until when it counts.
    #[must_use]
    pub fn valid_until(&self) -> Option<u64> {
        self.valid_until
    }

    /// Its suite and code name.
    #[must_use]
    pub fn names(&self) -> (&str, &str) {
        (&self.suite, &self.codename)
    }

    /// The fingerprint of the key that signed it.
    #[must_use]
    pub fn signer(&self) -> &str {
        &self.signer
    }

    /// Are packages for all architectures in an index of their own?
    #[must_use]
    pub fn all_is_apart(&self) -> bool {
        self.all_apart
    }

    /// The index `path`, given without its compression's ending (`main/binary-amd64/Packages`), in the smallest
    /// form that the archive has.
    ///
    /// # Errors
    /// When the release does not list it.
    pub fn index(&self, path: &str) -> Result<IndexFile, ReleaseError> {
        let forms = [".xz", ".zst", ".gz", ".bz2", ""];
        let found = forms.iter().find_map(|ending| {
            let name = format!("{path}{ending}");
            let &(sha256, size) = self.files.get(&name)?;
            Some((name, Compression::of_suffix(ending)?, sha256, size))
        });
        let (path, compression, sha256, size) =
            found.ok_or_else(|| ReleaseError::NoIndex { suite: self.suite.clone(), path: path.to_owned() })?;
        let stem = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let by_hash = self.by_hash.then(|| format!("{stem}/by-hash/SHA256/{}", sha256.to_hex()));
        let plain = forms.iter().find_map(|ending| path.strip_suffix(ending).filter(|_| !ending.is_empty()));
        let unpacked = self.files.get(plain.unwrap_or(&path)).map(|&(_, size)| size);
        Ok(IndexFile { path, by_hash, compression, sha256, size, unpacked })
    }
}
