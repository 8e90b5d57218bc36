//! The JSON documents of the OCI image specification 1.1, as far as Kiln writes them.
//!
//! Fields are declared in the byte order of their JSON names, maps are sorted and nothing is indented, so each document
//! has one form whatever the JSON library is built with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

pub(super) type Annotations = BTreeMap<String, String>;

#[derive(Debug, Serialize)]
pub(super) struct Platform<'a> {
    pub(super) architecture: &'a str,
    pub(super) os: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: Annotations,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) artifact_type: Option<&'a str>,
    pub(super) digest: String,
    pub(super) media_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) platform: Option<Platform<'a>>,
    pub(super) size: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index<'a> {
    pub(super) annotations: Annotations,
    pub(super) manifests: Vec<Descriptor<'a>>,
    pub(super) media_type: &'a str,
    pub(super) schema_version: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest<'a> {
    pub(super) annotations: Annotations,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) artifact_type: Option<&'a str>,
    pub(super) config: Descriptor<'a>,
    pub(super) layers: Vec<Descriptor<'a>>,
    pub(super) media_type: &'a str,
    pub(super) schema_version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<Descriptor<'a>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Nothing {}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Execution<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) cmd: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) entrypoint: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) env: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) exposed_ports: BTreeMap<String, Nothing>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) labels: Annotations,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stop_signal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) volumes: BTreeMap<String, Nothing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) working_dir: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct History<'a> {
    pub(super) comment: &'a str,
    pub(super) created: &'a str,
    pub(super) created_by: &'a str,
}

#[derive(Debug, Serialize)]
pub(super) struct RootFs<'a> {
    pub(super) diff_ids: Vec<String>,
    #[serde(rename = "type")]
    pub(super) kind: &'a str,
}

#[derive(Debug, Serialize)]
pub(super) struct Config<'a> {
    pub(super) architecture: &'a str,
    pub(super) config: Execution<'a>,
    pub(super) created: &'a str,
    pub(super) history: Vec<History<'a>>,
    pub(super) os: &'a str,
    pub(super) rootfs: RootFs<'a>,
}

/// An index as it is read back, to see who wrote it. Everything else in it is of no interest.
#[derive(Debug, Deserialize)]
pub(super) struct Marks {
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, serde_json::Value>,
}
