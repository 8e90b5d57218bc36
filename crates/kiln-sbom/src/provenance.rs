//! SLSA provenance, version 1, in an in-toto statement, version 1: what an output was made of, every input by its digest.
//!
//! There is no time and no name of a machine in it: the same build has the same statement wherever it is made. Who made it
//! is said by who signs it.

use std::collections::BTreeMap;

use kiln_model::{Architecture, Digest};
use serde::Serialize;

use crate::KILN_VERSION;

/// What the parameters mean, and how they and the inputs come to the outputs: `docs/format/documents.md`.
pub const BUILD_TYPE: &str = "urn:kiln:build:1";
/// Who built it: Kiln, on a machine of whoever signs the statement.
pub const BUILDER: &str = "urn:kiln:builder:1";
/// The type of the predicate.
pub const PREDICATE: &str = "https://slsa.dev/provenance/v1";

/// How something came to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// The project's name.
    pub project: String,
    /// The image or package of it.
    pub target: String,
    /// What it was built for.
    pub architecture: Architecture,
    /// The project's commit; none before the first.
    pub commit: Option<String>,
    /// Did the project's folder differ from it?
    pub dirty: bool,
    /// What it was made of. In any order: the document sorts them.
    pub inputs: Vec<Input>,
}

/// Something that went in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Input {
    /// What it is.
    pub kind: InputKind,
    /// Its name.
    pub name: String,
    /// How others name it, or where it is.
    pub uri: Option<String>,
    /// What it has to be: the algorithm, and the digest in hexadecimal.
    pub digest: (&'static str, String),
    /// What it is an input of, where that is not the target itself: a recipe, or an environment.
    pub of: Option<String>,
}

/// Kinds of inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum InputKind {
    /// The root that recipes were built in.
    Environment,
    /// A file of the project that the image adds.
    File,
    /// A folder of the project that the image lays over its packages.
    Overlay,
    /// A package of an archive.
    Package,
    /// A patch of a recipe.
    Patch,
    /// The recipes' own outcome: a package that the project built.
    Built,
    /// A source of a recipe.
    Source,
}

impl InputKind {
    /// Its name in the document.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::File => "file",
            Self::Overlay => "overlay",
            Self::Package => "package",
            Self::Patch => "patch",
            Self::Built => "built",
            Self::Source => "source",
        }
    }
}

impl Input {
    /// The digest of a SHA-256.
    #[must_use]
    pub fn sha256(digest: &Digest) -> (&'static str, String) {
        ("sha256", digest.to_hex())
    }
}

/// The statement that `subjects`, each a name and a digest, came of `provenance`.
#[must_use]
pub fn document(provenance: &Provenance, subjects: &BTreeMap<String, Digest>) -> Vec<u8> {
    let subject = subjects.iter().map(|(name, digest)| Resource {
        name: Some(name.clone()),
        digest: [("sha256".to_owned(), digest.to_hex())].into(),
        ..Resource::default()
    });
    let mut inputs = provenance.inputs.clone();
    inputs.sort();
    inputs.dedup();
    let project = Resource {
        name: Some(provenance.project.clone()),
        digest: provenance.commit.iter().map(|commit| ("gitCommit".to_owned(), commit.clone())).collect(),
        annotations: [("kind", "project".to_owned())].into(),
        ..Resource::default()
    };
    let inputs = inputs.into_iter().map(|input| {
        let mut annotations = BTreeMap::from([("kind", input.kind.as_str().to_owned())]);
        annotations.extend(input.of.map(|of| ("of", of)));
        Resource {
            uri: input.uri,
            name: Some(input.name),
            digest: [(input.digest.0.to_owned(), input.digest.1)].into(),
            annotations,
        }
    });
    // A project without a commit has no digest to be named by.
    let project = provenance.commit.is_some().then_some(project);
    crate::text(&Statement {
        kind: "https://in-toto.io/Statement/v1",
        subject: subject.collect(),
        predicate_type: PREDICATE,
        predicate: Predicate {
            build_definition: BuildDefinition {
                build_type: BUILD_TYPE,
                external_parameters: ExternalParameters {
                    architecture: provenance.architecture.to_string(),
                    commit: provenance.commit.clone(),
                    dirty: provenance.dirty,
                    project: provenance.project.clone(),
                    target: provenance.target.clone(),
                },
                resolved_dependencies: project.into_iter().chain(inputs).collect(),
            },
            run_details: RunDetails { builder: Builder { id: BUILDER, version: [("kiln", KILN_VERSION)].into() } },
        },
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    kind: &'static str,
    subject: Vec<Resource>,
    predicate_type: &'static str,
    predicate: Predicate,
}

#[derive(Serialize, Default)]
struct Resource {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
    digest: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Predicate {
    build_definition: BuildDefinition,
    run_details: RunDetails,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BuildDefinition {
    build_type: &'static str,
    external_parameters: ExternalParameters,
    resolved_dependencies: Vec<Resource>,
}

#[derive(Serialize)]
struct ExternalParameters {
    architecture: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<String>,
    dirty: bool,
    project: String,
    target: String,
}

#[derive(Serialize)]
struct RunDetails {
    builder: Builder,
}

#[derive(Serialize)]
struct Builder {
    id: &'static str,
    version: BTreeMap<&'static str, &'static str>,
}
