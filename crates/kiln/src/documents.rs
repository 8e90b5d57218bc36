//! The documents of what `kiln build` writes: beside the outputs, and within those that have a place for them.

use std::collections::{BTreeMap, BTreeSet};

use kiln_build::graph::ActionError;
use kiln_image::Referrer;
use kiln_model::Digest;
use kiln_model::image::{Document, Image};
use kiln_model::project::Variant;
use kiln_plan::ImageNodes;
use kiln_plan::documents::Documents;
use kiln_plan::recipes::RecipeNodes;
use kiln_sbom::{Description, Provenance, cyclonedx, provenance, spdx};

/// The documents of one image or package. Made once, for all its outputs.
pub struct Made {
    /// What the documents are called before the dot.
    stem: String,
    lists: Vec<(Document, Vec<u8>)>,
    provenance: Option<Provenance>,
    /// `image` or `package`, and its name.
    pub subject: (&'static str, String),
    /// The digest of all its files.
    pub tree: Digest,
}

/// A document as it is written.
pub struct Written {
    /// What it is.
    pub kind: Document,
    /// The name of its file.
    pub file: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Made {
    /// The documents of an image that are wanted.
    pub fn of_image(
        of: &Documents<'_>,
        image: &Image,
        nodes: ImageNodes,
        wanted: &BTreeSet<Document>,
    ) -> Result<Self, ActionError> {
        let mut lists = Vec::new();
        // What is in it takes reading it; what it was made of does not.
        if wanted.iter().any(|document| *document != Document::Provenance) {
            lists = self::lists(&of.image(image, nodes)?, wanted);
        }
        let provenance = wanted.contains(&Document::Provenance);
        let provenance = provenance.then(|| of.provenance_of_image(image, nodes)).transpose()?;
        let (name, tree) = (image.name.to_string(), of.plan.composed(of.finished, nodes)?.tree.0);
        Ok(Self { stem: name.clone(), lists, provenance, subject: ("image", name), tree })
    }

    /// All documents of a package that the project builds.
    pub fn of_package(of: &Documents<'_>, variant: &Variant, nodes: &RecipeNodes) -> Result<Self, ActionError> {
        let description = of.recipe(variant, nodes)?;
        Ok(Self {
            // An image may have the recipe's name.
            stem: format!("{}.package", variant.recipe),
            lists: lists(&description, &all()),
            provenance: Some(of.provenance_of_recipe(variant, nodes)?),
            subject: ("package", variant.label.clone()),
            tree: description.tree,
        })
    }

    /// As they go with an image whose manifest has this digest.
    pub fn referrers(&self, manifest: Digest) -> Vec<Referrer> {
        let subjects = [(self.subject.1.clone(), manifest)].into();
        let referrer = |Written { kind, file, bytes }| Referrer { artifact_type: media_type(kind), title: file, bytes };
        self.written(&subjects).into_iter().map(referrer).collect()
    }

    /// As they stand beside outputs, each a file's name and a digest. Without any, the provenance is that of the files.
    pub fn beside(&self, outputs: &BTreeMap<String, Digest>) -> Vec<Written> {
        if outputs.is_empty() {
            self.written(&[(self.subject.1.clone(), self.tree)].into())
        } else {
            self.written(outputs)
        }
    }

    fn written(&self, subjects: &BTreeMap<String, Digest>) -> Vec<Written> {
        let of_outputs =
            self.provenance.iter().map(|made| (Document::Provenance, provenance::document(made, subjects)));
        let written = |(kind, bytes)| Written { kind, file: format!("{}.{}", self.stem, extension(kind)), bytes };
        self.lists.iter().cloned().chain(of_outputs).map(written).collect()
    }
}

/// Those documents that say what is in something.
fn lists(of: &Description, wanted: &BTreeSet<Document>) -> Vec<(Document, Vec<u8>)> {
    let list = |document: &Document| match document {
        Document::Spdx => Some((Document::Spdx, spdx::document(of))),
        Document::CycloneDx => Some((Document::CycloneDx, cyclonedx::document(of))),
        Document::Provenance => None,
    };
    wanted.iter().filter_map(list).collect()
}

/// Every kind.
pub fn all() -> BTreeSet<Document> {
    Document::ALL.iter().map(|(_, document)| *document).collect()
}

/// What follows a dot in the names of its files.
const fn extension(document: Document) -> &'static str {
    match document {
        Document::CycloneDx => "cdx.json",
        Document::Provenance => "provenance.json",
        Document::Spdx => "spdx.json",
    }
}

const fn media_type(document: Document) -> &'static str {
    match document {
        Document::CycloneDx => "application/vnd.cyclonedx+json",
        Document::Provenance => "application/vnd.in-toto+json",
        Document::Spdx => "application/spdx+json",
    }
}
