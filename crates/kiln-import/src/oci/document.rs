//! Indexes, manifests and configurations: the JSON documents that lead to an image's layers.
//!
//! Which document it is is told by its media type, and by what it holds where it names none. Documents of another type, as
//! charts, signatures and the first version of Docker's manifests are, are refused by name.

use kiln_fetch::registry::{INDEX_TYPES, MANIFEST_TYPES};
use kiln_model::{Architecture, Digest};
use serde::Deserialize;

use super::architecture_name;
use super::error::ImageError;

const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
const LAYERS: [&str; 5] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
];

/// Names a document or a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// The operating system and architecture, where an index names them.
    pub platform: Option<(String, String)>,
    /// The name that a layout gives it.
    pub name: Option<String>,
}

/// A document that leads further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// Several documents, for platforms or by name.
    Index(Vec<Descriptor>),
    /// One image.
    Manifest(Manifest),
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its configuration.
    pub config: Descriptor,
    /// Its layers, the lowest first.
    pub layers: Vec<Descriptor>,
}

/// What is used of an image's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What it runs on.
    pub architecture: Architecture,
    /// The digests of the layers, unpacked.
    pub layers: Vec<Digest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDocument {
    schema_version: u32,
    media_type: Option<String>,
    config: Option<RawDescriptor>,
    layers: Option<Vec<RawDescriptor>>,
    manifests: Option<Vec<RawDescriptor>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    media_type: String,
    digest: String,
    size: u64,
    platform: Option<RawPlatform>,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct RawPlatform {
    os: String,
    architecture: String,
}

#[derive(Deserialize)]
struct RawConfig {
    os: String,
    architecture: String,
    rootfs: RawRoot,
}

#[derive(Deserialize)]
struct RawRoot {
    diff_ids: Vec<String>,
}

/// Texts of strangers are shown in part and without control characters.
fn shown(text: &str) -> String {
    text.chars().take(80).collect::<String>().escape_default().to_string()
}

fn digest(what: &'static str, text: &str) -> Result<Digest, ImageError> {
    let sha256 = text.strip_prefix("sha256:").and_then(|digits| digits.parse().ok());
    sha256.ok_or_else(|| ImageError::Document { what, why: format!("`{}` is not a sha256", shown(text)) })
}

impl RawDescriptor {
    fn read(self, what: &'static str) -> Result<Descriptor, ImageError> {
        Ok(Descriptor {
            digest: digest(what, &self.digest)?,
            size: self.size,
            platform: self.platform.map(|platform| (platform.os, platform.architecture)),
            name: self.annotations.get("org.opencontainers.image.ref.name").cloned(),
            media_type: self.media_type,
        })
    }
}

fn json<'a, T: Deserialize<'a>>(what: &'static str, bytes: &'a [u8]) -> Result<T, ImageError> {
    serde_json::from_slice(bytes).map_err(|source| ImageError::Json { what, source })
}

impl Descriptor {
    /// Does it name an index?
    #[must_use]
    pub fn is_index(&self) -> bool {
        INDEX_TYPES.contains(&&*self.media_type)
    }

    /// Does it name an image's manifest?
    #[must_use]
    pub fn is_manifest(&self) -> bool {
        MANIFEST_TYPES.contains(&&*self.media_type)
    }

    /// May it be for an architecture? One that names no platform may be for any.
    #[must_use]
    pub fn may_serve(&self, architecture: Architecture) -> bool {
        let fits = |(os, of): &(String, String)| os == "linux" && of == architecture_name(architecture);
        (self.is_index() || self.is_manifest()) && self.platform.as_ref().is_none_or(fits)
    }
}

impl Document {
    /// Reads an index or a manifest.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(bytes: &[u8]) -> Result<Self, ImageError> {
        let what = "manifest";
        let raw: RawDocument = json(what, bytes)?;
        let other = |media_type: &str| ImageError::MediaType { what, media_type: shown(media_type) };
        if raw.schema_version != 2 {
            return Err(other(&format!("version {} of the format", raw.schema_version)));
        }
        match (raw.manifests, raw.config, raw.layers) {
            (Some(manifests), None, None) => {
                if let Some(of) = raw.media_type.filter(|of| !INDEX_TYPES.contains(&&**of)) {
                    return Err(other(&of));
                }
                // What an index holds besides images is not looked at.
                let list: Result<Vec<_>, _> = manifests.into_iter().map(|raw| raw.read("index")).collect();
                Ok(Self::Index(list?))
            }
            (None, Some(config), Some(layers)) => {
                if let Some(of) = raw.media_type.filter(|of| !MANIFEST_TYPES.contains(&&**of)) {
                    return Err(other(&of));
                }
                let config = config.read(what)?;
                if !CONFIGS.contains(&&*config.media_type) {
                    return Err(ImageError::MediaType { what: "configuration", media_type: shown(&config.media_type) });
                }
                let layers = layers.into_iter().map(|raw| raw.read(what)).collect::<Result<Vec<_>, _>>()?;
                match layers.iter().find(|layer| !LAYERS.contains(&&*layer.media_type)) {
                    Some(layer) => Err(ImageError::MediaType { what: "layer", media_type: shown(&layer.media_type) }),
                    None => Ok(Self::Manifest(Manifest { config, layers })),
                }
            }
            _ => Err(other(raw.media_type.as_deref().unwrap_or("a document that names no type"))),
        }
    }
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, ImageError> {
        match Document::parse(bytes)? {
            Document::Manifest(manifest) => Ok(manifest),
            Document::Index(_) => {
                Err(ImageError::MediaType { what: "manifest", media_type: "an index of several".to_owned() })
            }
        }
    }

    /// The files it names: the configuration, then the layers.
    pub fn parts(&self) -> impl Iterator<Item = &Descriptor> {
        std::iter::once(&self.config).chain(&self.layers)
    }
}

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    /// When it is none, or of a platform that is not supported.
    pub fn parse(bytes: &[u8]) -> Result<Self, ImageError> {
        let what = "configuration";
        let raw: RawConfig = json(what, bytes)?;
        let known = Architecture::ALL.into_iter().find(|known| architecture_name(*known) == raw.architecture);
        let Some(architecture) = known.filter(|_| raw.os == "linux") else {
            return Err(ImageError::Platform(format!("{}/{}", shown(&raw.os), shown(&raw.architecture))));
        };
        let layers = raw.rootfs.diff_ids.iter().map(|text| digest(what, text)).collect::<Result<_, _>>()?;
        Ok(Self { architecture, layers })
    }
}
