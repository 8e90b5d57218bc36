//! Origins: where packages come from, and what each kind of archive is told in `kiln.yaml`.
//!
//! A kind of archive is a variant of [`Origin`] with its settings, and a row of [`READERS`].

use std::time::Duration;

use schemars::JsonSchema;

use super::{ProjectPath, reject_doubles};
use crate::ArchiveKind;
use crate::diagnostic::{Problem, Spanned};
use crate::yaml::{Fields, Node, Reader, Value, did_you_mean};

/// Where packages come from.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(tag = "archive", rename_all = "lowercase", deny_unknown_fields)]
pub enum Origin {
    /// A distribution's archive of `.deb` packages.
    Deb(DebOrigin),
    /// Alpine's archive of `.apk` packages, or one made like it.
    Apk(ApkOrigin),
    /// Container images: of a registry, or of a folder in the OCI image layout.
    Oci(OciOrigin),
    /// Repositories of `.rpm` packages, each a folder with `repodata` in it.
    Rpm(RpmOrigin),
}

/// A distribution's archive of `.deb` packages.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct DebOrigin {
    /// The distribution: names the machine's keyring and its mirror. By default the origin's name.
    #[schemars(with = "Option<String>")]
    pub distribution: String,
    /// The suite or codename.
    pub suite: String,
    /// The components.
    #[schemars(with = "Option<Vec<String>>")]
    pub components: Vec<String>,
    /// A keyring of the project that the archive has to be signed by, instead of the machine's.
    pub keyring: Option<Spanned<ProjectPath>>,
    /// For an archive whose index names no end of its validity: how old it may be.
    #[schemars(rename = "max-age", with = "Option<String>")]
    pub max_age: Option<MaxAge>,
}

/// Alpine's archive of `.apk` packages (version 2 of the format), or one made like it.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ApkOrigin {
    /// The distribution: names its mirror. By default the origin's name.
    #[schemars(with = "Option<String>")]
    pub distribution: String,
    /// The branch, as a folder of the mirror: `v3.22`.
    pub suite: String,
    /// The repositories of the branch.
    #[schemars(with = "Option<Vec<String>>")]
    pub components: Vec<String>,
    /// The public keys that the indexes have to be signed by: a `.rsa.pub` file of the project, or a folder of them.
    pub keyring: Spanned<ProjectPath>,
    /// What an index's signature has to be made with; `sha256` by default.
    #[schemars(with = "Option<IndexSignatures>")]
    pub signatures: IndexSignatures,
}

/// Container images. A package of the origin is an image: a repository of the registry, or a name in the layout.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct OciOrigin {
    /// Where the images are: one of the two.
    #[schemars(flatten)]
    pub place: ImagePlace,
    /// The tag that `kiln lock` pins; `latest` by default.
    #[schemars(with = "Option<String>")]
    pub tag: String,
}

/// Repositories of `.rpm` packages, each a folder with `repodata` in it.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RpmOrigin {
    /// The distribution: names its mirror. By default the origin's name.
    #[schemars(with = "Option<String>")]
    pub distribution: String,
    /// The release: what `$releasever` stands for in the repositories' folders.
    pub suite: String,
    /// The repositories: folders below the mirror's that hold `repodata`, with `$releasever` and `$basearch`.
    pub repositories: Vec<String>,
    /// A keyring of the project that has to have signed what `signed` says.
    pub keyring: Spanned<ProjectPath>,
    /// What is signed: each repository's `repomd.xml`, if nothing is said, or the packages alone.
    #[schemars(with = "Option<Signed>")]
    pub signed: Signed,
    /// How old the repositories may be, since their indexes name no end of their validity.
    #[schemars(rename = "max-age", with = "String")]
    pub max_age: MaxAge,
}

/// What of a repository of `.rpm` packages somebody signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum Signed {
    /// `repomd.xml`, which names everything else by digest.
    #[default]
    Repository,
    /// Each package by itself, and `repomd.xml` not.
    Packages,
}

impl std::str::FromStr for Signed {
    type Err = SignedError;

    fn from_str(text: &str) -> Result<Self, SignedError> {
        match text {
            "repository" => Ok(Self::Repository),
            "packages" => Ok(Self::Packages),
            _ => Err(SignedError(text.chars().take(40).collect())),
        }
    }
}

/// A text that does not say what is signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is nothing that is signed: there are `repository` and `packages`")]
pub struct SignedError(String);

/// Where images are.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum ImagePlace {
    /// A registry, and the part of its repositories' names before the package's: `https://HOST/PATH`.
    Registry(String),
    /// A folder of the project in the OCI image layout.
    Layout(#[schemars(with = "ProjectPath")] Spanned<ProjectPath>),
}

impl ImagePlace {
    /// The address, or the folder.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Registry(address) => address,
            Self::Layout(folder) => folder.value.as_str(),
        }
    }
}

/// The weakest digest that a signature of an index may be made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum IndexSignatures {
    /// SHA-256 or SHA-512: `.SIGN.RSA256`, `.SIGN.RSA512`.
    #[default]
    Sha256,
    /// SHA-1 too: `.SIGN.RSA`, all that Alpine's own indexes have.
    Sha1,
}

impl std::str::FromStr for IndexSignatures {
    type Err = IndexSignaturesError;

    fn from_str(text: &str) -> Result<Self, IndexSignaturesError> {
        match text {
            "sha256" => Ok(Self::Sha256),
            "sha1" => Ok(Self::Sha1),
            _ => Err(IndexSignaturesError(text.chars().take(40).collect())),
        }
    }
}

/// Why a text says nothing of signatures.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no digest of signatures: `sha256`, or `sha1` where the archive has nothing better")]
pub struct IndexSignaturesError(String);

/// How old an index may be that names no end of its validity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxAge {
    /// As old as it likes.
    Unlimited,
    /// At most so old.
    For(Duration),
}

impl std::str::FromStr for MaxAge {
    type Err = MaxAgeError;

    fn from_str(text: &str) -> Result<Self, MaxAgeError> {
        if text == "unlimited" {
            return Ok(Self::Unlimited);
        }
        let days = text.strip_suffix('d').filter(|days| days.bytes().all(|b| b.is_ascii_digit()));
        match days.and_then(|days| days.parse::<u64>().ok()) {
            Some(days @ 1..=36_500) => Ok(Self::For(Duration::from_secs(days * 86_400))),
            _ => Err(MaxAgeError(text.chars().take(40).collect())),
        }
    }
}

impl std::fmt::Display for MaxAge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unlimited => f.write_str("unlimited"),
            Self::For(age) => write!(f, "{}d", age.as_secs() / 86_400),
        }
    }
}

/// Why a text is not a greatest age.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a greatest age: a number of days such as `365d`, or `unlimited`")]
pub struct MaxAgeError(String);

impl Origin {
    /// Which kind of archive it is.
    #[must_use]
    pub const fn kind(&self) -> ArchiveKind {
        match self {
            Self::Deb(_) => ArchiveKind::Deb,
            Self::Apk(_) => ArchiveKind::Apk,
            Self::Oci(_) => ArchiveKind::Oci,
            Self::Rpm(_) => ArchiveKind::Rpm,
        }
    }

    /// The distribution, which its mirror is named by; of images, where they are.
    #[must_use]
    pub fn distribution(&self) -> &str {
        match self {
            Self::Deb(origin) => &origin.distribution,
            Self::Apk(origin) => &origin.distribution,
            Self::Oci(origin) => origin.place.as_str(),
            Self::Rpm(origin) => &origin.distribution,
        }
    }

    /// What a mirror of it is named by: its distribution; of images, the origin itself.
    #[must_use]
    pub fn mirror_name<'a>(&'a self, origin: &'a str) -> &'a str {
        match self {
            Self::Oci(_) => origin,
            _ => self.distribution(),
        }
    }

    /// The suite; of images, the tag.
    #[must_use]
    pub fn suite(&self) -> &str {
        match self {
            Self::Deb(origin) => &origin.suite,
            Self::Apk(origin) => &origin.suite,
            Self::Oci(origin) => &origin.tag,
            Self::Rpm(origin) => &origin.suite,
        }
    }

    /// The components of the suite; of RPM's archives, the folders of the repositories.
    #[must_use]
    pub fn components(&self) -> &[String] {
        match self {
            Self::Deb(origin) => &origin.components,
            Self::Apk(origin) => &origin.components,
            Self::Oci(_) => &[],
            Self::Rpm(origin) => &origin.repositories,
        }
    }

    /// The keys of the project that the archive has to be signed by.
    #[must_use]
    pub const fn keyring(&self) -> Option<&Spanned<ProjectPath>> {
        match self {
            Self::Deb(origin) => origin.keyring.as_ref(),
            Self::Apk(origin) => Some(&origin.keyring),
            Self::Oci(_) => None,
            Self::Rpm(origin) => Some(&origin.keyring),
        }
    }

    pub(super) fn read(reader: &Reader<'_>, name: &str, node: &Node) -> Option<Self> {
        if node.get("git").is_some() {
            reader.unsupported(node.place, "a repository of recipes as an origin");
            return None;
        }
        let mut fields = reader.map(node, "an origin")?;
        let kind = fields.require("archive").and_then(|node| kind(reader, node)).unwrap_or_default();
        let read = READERS.iter().find(|(of, _)| *of == kind).map(|(_, read)| read)?;
        let origin = read(reader, name, &mut fields);
        fields.finish();
        origin
    }
}

/// Reads what one kind of archive is told.
type ReadOrigin = fn(&Reader<'_>, &str, &mut Fields<'_, '_, '_>) -> Option<Origin>;

/// Who reads the settings of each kind.
const READERS: &[(ArchiveKind, ReadOrigin)] =
    &[(ArchiveKind::Deb, deb), (ArchiveKind::Apk, apk), (ArchiveKind::Oci, oci), (ArchiveKind::Rpm, rpm)];

fn kind(reader: &Reader<'_>, node: &Node) -> Option<ArchiveKind> {
    let text = reader.text(node)?;
    let found = text.parse().ok();
    if found.is_none() {
        let problem = Problem::new(node.place, format!("`{text}` is not a kind of archive"));
        let known = ArchiveKind::ALL.iter().map(|kind| kind.as_str());
        reader.report(problem.maybe_hint(did_you_mean(text, "there are", known)));
    }
    found
}

fn deb(reader: &Reader<'_>, name: &str, fields: &mut Fields<'_, '_, '_>) -> Option<Origin> {
    let state = State::read(reader, name, fields);
    let (keyring, max_age) = (fields.take("keyring"), fields.take("max-age"));
    let keyring = keyring.and_then(|node| reader.parse::<ProjectPath>(node));
    let max_age = max_age.and_then(|node| reader.parse::<MaxAge>(node)).map(|age| age.value);
    let State { distribution, suite, components } = state?;
    Some(Origin::Deb(DebOrigin { distribution, suite, components, keyring, max_age }))
}

fn apk(reader: &Reader<'_>, name: &str, fields: &mut Fields<'_, '_, '_>) -> Option<Origin> {
    let state = State::read(reader, name, fields);
    // No machine but one of its own has the keys of such an archive, so there are none to fall back on.
    let (keyring, signatures) = (fields.require("keyring"), fields.take("signatures"));
    let keyring = keyring.and_then(|node| reader.parse::<ProjectPath>(node));
    let signatures = signatures.and_then(|node| reader.parse::<IndexSignatures>(node)).map(|said| said.value);
    let State { distribution, suite, components } = state?;
    let signatures = signatures.unwrap_or_default();
    Some(Origin::Apk(ApkOrigin { distribution, suite, components, keyring: keyring?, signatures }))
}

fn oci(reader: &Reader<'_>, _: &str, fields: &mut Fields<'_, '_, '_>) -> Option<Origin> {
    let (registry, layout, tag) = (fields.take("registry"), fields.take("layout"), fields.take("tag"));
    let place = match (registry, layout) {
        (Some(node), None) => address(reader, node).map(ImagePlace::Registry),
        (None, Some(node)) => reader.parse::<ProjectPath>(node).map(ImagePlace::Layout),
        (Some(_), Some(node)) => {
            reader.wrong(node.place, "images are of a `registry` or of a `layout`, not of both");
            None
        }
        (None, None) => {
            // Says what is missing, at its place.
            fields.require("registry");
            None
        }
    };
    let tag = match tag {
        Some(node) => image_tag(reader, node),
        None => Some("latest".to_owned()),
    };
    Some(Origin::Oci(OciOrigin { place: place?, tag: tag? }))
}

fn rpm(reader: &Reader<'_>, name: &str, fields: &mut Fields<'_, '_, '_>) -> Option<Origin> {
    let (distribution, suite) = (fields.take("distribution"), fields.require("suite"));
    let (repositories, keyring) = (fields.require("repositories"), fields.require("keyring"));
    let max_age = fields.require("max-age").and_then(|node| reader.parse::<MaxAge>(node)).map(|age| age.value);
    let signed = fields.take("signed").and_then(|node| reader.parse::<Signed>(node)).map(|said| said.value);
    let distribution = match distribution {
        Some(node) => word(reader, node),
        None => Some(name.to_owned()),
    };
    let suite = suite.and_then(|node| word(reader, node));
    let repositories = repositories.and_then(|list| {
        let items = reader.each(list, |item| Some(Spanned::new(folder(reader, item)?, item.place)))?;
        reject_doubles(reader, &items);
        if items.is_empty() {
            reader.wrong(list.place, "an archive has at least one repository");
        }
        Some(items.into_iter().map(|item| item.value).collect())
    });
    let keyring = keyring.and_then(|node| reader.parse::<ProjectPath>(node));
    let (distribution, suite, repositories) = (distribution?, suite?, repositories?);
    let (signed, keyring, max_age) = (signed.unwrap_or_default(), keyring?, max_age?);
    Some(Origin::Rpm(RpmOrigin { distribution, suite, repositories, keyring, signed, max_age }))
}

/// The folder of a repository. Of what `dnf` knows as variables, the two that differ from one project to the next.
fn folder(reader: &Reader<'_>, node: &Node) -> Option<String> {
    let text = reader.line(node)?;
    let plain = text.replace("$releasever", "x").replace("$basearch", "x");
    if text == "." || is_word(&plain) {
        return Some(text);
    }
    let problem = Problem::new(node.place, format!("`{text}` is not the folder of a repository"));
    reader.report(problem.hint(
        "write the folder below the mirror's that holds `repodata`, such as `releases/$releasever/Everything/$basearch/os`, \
         or `.` for the mirror's own",
    ));
    None
}

/// The address of a registry. Credentials are nothing for a file that is committed, and without TLS anyone on the way
/// learns what a machine fetches and may withhold it, so only one on this machine does without.
fn address(reader: &Reader<'_>, node: &Node) -> Option<String> {
    let text = reader.line(node)?;
    let (rest, clear) = match text.strip_prefix("https://") {
        Some(rest) => (Some(rest), false),
        None => (text.strip_prefix("http://"), true),
    };
    let known = |b: u8| b.is_ascii_alphanumeric() || b"-._:/[]".contains(&b);
    let sound = rest.is_some_and(|rest| {
        rest.bytes().all(known) && !rest.starts_with('/') && !rest.is_empty() && !rest.contains("..")
    });
    if !sound {
        let problem = Problem::new(node.place, format!("`{text}` is not a registry's address"));
        reader.report(problem.hint("write it as `https://HOST/PATH`, without credentials"));
        return None;
    }
    if clear && !rest.is_some_and(is_loopback) {
        let problem = Problem::new(node.place, format!("`{text}` is not encrypted"));
        reader.report(problem.hint("write `https://`; only a registry on this machine does without"));
        return None;
    }
    Some(text)
}

/// Is the host of what follows `http://` this machine?
fn is_loopback(rest: &str) -> bool {
    let host = rest.split('/').next().unwrap_or_default();
    let port = |rest: &str| rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|name| host.strip_prefix(name).is_some_and(port))
}

fn image_tag(reader: &Reader<'_>, node: &Node) -> Option<String> {
    let text = reader.line(node)?;
    let known = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    if !text.is_empty() && text.len() <= 128 && text.bytes().all(known) && !text.starts_with(['-', '.']) {
        return Some(text);
    }
    reader.wrong(node.place, format!("`{text}` is not a tag of an image"));
    None
}

/// What names a state of a distribution's archive.
struct State {
    distribution: String,
    suite: String,
    components: Vec<String>,
}

impl State {
    fn read(reader: &Reader<'_>, name: &str, fields: &mut Fields<'_, '_, '_>) -> Option<Self> {
        let (distribution, suite) = (fields.take("distribution"), fields.require("suite"));
        let components = fields.take("components");
        let distribution = match distribution {
            Some(node) => word(reader, node),
            None => Some(name.to_owned()),
        };
        let suite = suite.and_then(|node| word(reader, node));
        let components = match components {
            Some(list) => {
                let items = reader.each(list, |item| Some(Spanned::new(word(reader, item)?, item.place)))?;
                reject_doubles(reader, &items);
                if matches!(&list.value, Value::List(items) if items.is_empty()) {
                    reader.wrong(list.place, "an archive has at least one component");
                }
                items.into_iter().map(|item| item.value).collect()
            }
            None => vec!["main".to_owned()],
        };
        Some(Self { distribution: distribution?, suite: suite?, components })
    }
}

/// A word that becomes part of an address: nothing in it may lead elsewhere.
fn word(reader: &Reader<'_>, node: &Node) -> Option<String> {
    let text = reader.line(node)?;
    if is_word(&text) {
        return Some(text);
    }
    reader.wrong(node.place, format!("`{text}` cannot be part of an archive's address"));
    None
}

fn is_word(text: &str) -> bool {
    let sound = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._/".contains(&b));
    sound && !text.starts_with(['/', '.']) && !text.contains("..") && !text.contains("//")
}
