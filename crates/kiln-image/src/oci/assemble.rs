//! Manifest, configuration and index of an image over its layers.

use std::collections::BTreeMap;

use kiln_model::Digest;
use serde::Serialize;

use super::document::{
    CONFIG, Config, Descriptor, Execution, History, INDEX, Index, MANIFEST, Manifest, Nothing, Platform, RootFs,
};
use super::{CREATED, MARK, Referrer};
use crate::spec::ImageSpec;
use crate::{OutputError, WrittenLayer};

/// A small document and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Blob {
    pub(super) fn of(document: &impl Serialize) -> Self {
        let bytes = bytes(document);
        Self { digest: Digest::of(&bytes), bytes }
    }

    pub(super) fn describe<'a>(&self, media_type: &'a str) -> Descriptor<'a> {
        Descriptor {
            annotations: Default::default(),
            artifact_type: None,
            digest: self.digest.to_string(),
            media_type,
            platform: None,
            size: self.bytes.len() as u64,
        }
    }
}

/// An image's documents. With the blobs of its layers they are the whole image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assembled {
    /// How it runs, and what its layers are unpacked.
    pub config: Blob,
    /// The configuration and the layers. Its digest is the image's own.
    pub manifest: Blob,
    /// `index.json` of a layout that holds this one image.
    pub index: Vec<u8>,
    /// The manifests of its referrers, and the blobs that those name, by digest.
    pub attached: BTreeMap<Digest, Vec<u8>>,
    /// The layers' blobs, bottom first: digest and size. Two layers may be one blob.
    pub layers: Vec<(Digest, u64)>,
}

fn bytes(document: &impl Serialize) -> Vec<u8> {
    // These types have string keys and no failing serializers; both are all that JSON can fail at.
    serde_json::to_vec(document).unwrap_or_default()
}

/// Makes the documents of an image from its specification, its layers, bottom first, and what goes with it.
///
/// # Errors
/// When the specification has a value that cannot be meant, or there is no layer.
pub fn assemble(spec: &ImageSpec, layers: &[WrittenLayer], referrers: &[Referrer]) -> Result<Assembled, OutputError> {
    spec.check()?;
    if layers.is_empty() {
        return Err(OutputError::NoLayers);
    }
    let platform = || Platform { architecture: spec.architecture.as_str(), os: "linux" };
    let config = Blob::of(&Config {
        architecture: platform().architecture,
        config: execution(spec),
        created: CREATED,
        history: layers
            .iter()
            .map(|layer| History { comment: &layer.comment, created: CREATED, created_by: "kiln" })
            .collect(),
        os: platform().os,
        rootfs: RootFs {
            diff_ids: layers.iter().map(|layer| layer.info.diff_id.to_string()).collect(),
            kind: "layers",
        },
    });
    let mut annotations = spec.source.annotations();
    annotations.insert("org.opencontainers.image.created".to_owned(), CREATED.to_owned());
    let manifest = Blob::of(&Manifest {
        annotations,
        artifact_type: None,
        config: config.describe(CONFIG),
        layers: layers
            .iter()
            .map(|layer| Descriptor {
                annotations: Default::default(),
                artifact_type: None,
                digest: layer.info.digest.to_string(),
                media_type: layer.info.compression.media_type(),
                platform: None,
                size: layer.info.size,
            })
            .collect(),
        media_type: MANIFEST,
        schema_version: 2,
        subject: None,
    });
    let mut descriptor = manifest.describe(MANIFEST);
    descriptor.platform = Some(platform());
    descriptor.annotations.insert("org.opencontainers.image.ref.name".to_owned(), spec.name.to_string());
    let mut manifests = vec![descriptor];
    let mut attached = BTreeMap::new();
    for referrer in referrers {
        let (document, blobs) = referrer.assemble(&manifest);
        manifests.push(Descriptor { artifact_type: Some(referrer.artifact_type), ..document.describe(MANIFEST) });
        attached.extend(blobs.into_iter().chain([document]).map(|blob| (blob.digest, blob.bytes)));
    }
    let index = bytes(&Index {
        annotations: [(MARK.0.to_owned(), MARK.1.to_owned())].into(),
        manifests,
        media_type: INDEX,
        schema_version: 2,
    });
    let layers = layers.iter().map(|layer| (layer.info.digest, layer.info.size)).collect();
    Ok(Assembled { config, manifest, index, attached, layers })
}

fn execution(spec: &ImageSpec) -> Execution<'_> {
    let config = &spec.config;
    let mut labels = spec.source.annotations();
    labels.extend(config.labels.clone());
    Execution {
        cmd: &config.command,
        entrypoint: &config.entrypoint,
        env: config.env.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        exposed_ports: config.ports.iter().map(|port| (port.to_string(), Nothing {})).collect(),
        labels,
        stop_signal: config.stop_signal.as_deref(),
        user: config.user.as_deref(),
        volumes: config.volumes.iter().map(|path| (path.to_string(), Nothing {})).collect(),
        working_dir: config.workdir.as_ref().map(ToString::to_string),
    }
}
