//! Why an image, or a place that has images, cannot be used, and what to do about it.

use std::io;

use kiln_archive::ReadError;
use kiln_fetch::FetchError;
use kiln_model::{Architecture, Digest, ObjectError, OriginName};

use crate::payload::PayloadError;
use crate::reach::ReachError;

/// Why an image cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A document cannot be read.
    #[error("cannot read the image's {what}")]
    Read {
        /// Which.
        what: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A document is not written as it has to be.
    #[error("the image's {what} cannot be read")]
    Json {
        /// Which.
        what: &'static str,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// A document makes no sense.
    #[error("the image's {what}: {why}")]
    Document {
        /// Which.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// It is something else than an image of a system.
    #[error("the {what} is none of an image of a system but `{media_type}`")]
    MediaType {
        /// Of what.
        what: &'static str,
        /// What it says it is.
        media_type: String,
    },
    /// It runs elsewhere.
    #[error("the image is for `{0}`")]
    Platform(String),
    /// Other files came than the manifest names.
    #[error("the files that `kiln.lock` pins for the image are not those that its manifest names")]
    Parts,
    /// The configuration speaks of other layers.
    #[error("the image has {layers} layers, and its configuration names {named}")]
    Count {
        /// Layers in the manifest.
        layers: usize,
        /// Layers in the configuration.
        named: usize,
    },
    /// A layer cannot be read.
    #[error("cannot read layer {layer} of the image")]
    Layer {
        /// Which, from one.
        layer: usize,
        /// What is wrong with it.
        #[source]
        source: ReadError,
    },
    /// A layer is another one, unpacked, than the configuration says.
    #[error(
        "layer {layer} of the image is, unpacked, not the one that its configuration names: wanted sha256 {}, got {}",
        .wanted.to_hex(), .is.to_hex()
    )]
    DiffId {
        /// Which, from one.
        layer: usize,
        /// What the configuration says.
        wanted: Digest,
        /// What it is.
        is: Digest,
    },
    /// An entry of a layer cannot be applied to those below.
    #[error("layer {layer} of the image: `{path}` {why}")]
    Entry {
        /// Which, from one.
        layer: usize,
        /// The entry.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// An owner without a name.
    #[error("`{path}` belongs to {what} {number}, which the image's `{file}` does not name")]
    Owner {
        /// The file.
        path: String,
        /// User or group.
        what: &'static str,
        /// The number.
        number: u32,
        /// Where it would be named.
        file: &'static str,
    },
    /// The files do not make a tree.
    #[error("the image's files cannot be used: {0}")]
    Files(String),
    /// An object cannot be written.
    #[error("cannot store `{what}`")]
    Object {
        /// What.
        what: String,
        /// What the store said.
        #[source]
        source: ObjectError,
    },
}

impl ImageError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Layer { source, .. } => {
                source.hint().or_else(|| Some("the layer is broken: make the image anew".into()))
            }
            Self::MediaType { .. } => Some(
                "name an image in the format of OCI, or in version 2 of Docker's; others have to be converted first: \
                 `skopeo copy --format oci`"
                    .into(),
            ),
            Self::Platform(_) => Some("take an image that is made for `linux/amd64` or `linux/arm64`".into()),
            Self::Parts => Some("if the lock was edited or merged by hand, `kiln lock` puts it right".into()),
            Self::Owner { file, .. } => Some(format!("name the account in `{file}` when the image is made")),
            Self::Json { .. }
            | Self::Document { .. }
            | Self::Count { .. }
            | Self::DiffId { .. }
            | Self::Entry { .. } => Some("the image is not sound: make it anew, or take another one".into()),
            Self::Files(_) => Some(
                "on a merged system `/bin` and `/usr/bin` are one, and so must be what the image has in both".into(),
            ),
            Self::Read { .. } | Self::Object { .. } => None,
        }
    }
}

impl From<PayloadError> for ImageError {
    fn from(error: PayloadError) -> Self {
        Self::Files(error.to_string())
    }
}

/// Why the images of an origin cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// A document cannot be had.
    #[error("cannot get the image `{image}` of the origin `{origin}`")]
    Fetch {
        /// The origin.
        origin: OriginName,
        /// The image.
        image: String,
        /// Why.
        #[source]
        source: Box<FetchError>,
    },
    /// What is locked is nowhere any more.
    #[error("nobody has the image `{image}` of the origin `{origin}` as it is locked")]
    Gone {
        /// The origin.
        origin: OriginName,
        /// The image.
        image: String,
        /// Why.
        #[source]
        source: Box<FetchError>,
    },
    /// It is not an image that can be used.
    #[error("the image `{image}` of the origin `{origin}` cannot be used")]
    Image {
        /// The origin.
        origin: OriginName,
        /// The image.
        image: String,
        /// Why.
        #[source]
        source: ImageError,
    },
    /// There is none for the architecture.
    #[error("the image `{image}` of the origin `{origin}` is not there for {architecture}{}", others(.there))]
    Architecture {
        /// The origin.
        origin: OriginName,
        /// The image.
        image: String,
        /// What was wanted.
        architecture: Architecture,
        /// What there is.
        there: Vec<String>,
    },
    /// A layout names an image twice.
    #[error("the origin `{origin}` has several images under the name `{image}`")]
    Twice {
        /// The origin.
        origin: OriginName,
        /// The name.
        image: String,
    },
    /// The folder of what is kept cannot be used.
    #[error(transparent)]
    Kept(#[from] ReachError),
}

fn others(there: &[String]) -> String {
    if there.is_empty() { String::new() } else { format!(", only for {}", there.join(", ")) }
}

impl IndexError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Fetch { source, .. } => source.hint(),
            Self::Gone { origin, .. } => Some(format!("`kiln lock --update {origin}` takes what there is now")),
            Self::Image { source, .. } => source.hint(),
            Self::Architecture { .. } => Some("take another image, or leave that architecture out".to_owned()),
            Self::Twice { .. } => Some("tell them apart by `tag:`".to_owned()),
            Self::Kept(error) => error.hint(),
        }
    }
}
