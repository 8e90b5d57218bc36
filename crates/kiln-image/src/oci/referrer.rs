//! Documents about an image that go where it goes: referrers of the OCI image specification 1.1.
//!
//! A referrer is a manifest of its own whose `subject` is the image's and whose one layer is the document. The image's
//! manifest does not name it, so an image has one digest with and without. In a layout it stands in `index.json` without a
//! tag: who asks for the image by its tag gets the image.

use kiln_model::Digest;

use super::CREATED;
use super::assemble::Blob;
use super::document::{Descriptor, MANIFEST, Manifest};

/// A document about an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referrer {
    /// What it is: a media type.
    pub artifact_type: &'static str,
    /// The name of its file.
    pub title: String,
    /// The document.
    pub bytes: Vec<u8>,
}

/// The configuration of what has none.
const EMPTY: (&str, &[u8]) = ("application/vnd.oci.empty.v1+json", b"{}");

impl Referrer {
    /// Its manifest, and the blobs that it names.
    pub(super) fn assemble(&self, subject: &Blob) -> (Blob, [Blob; 2]) {
        let of = |bytes: &[u8]| Blob { digest: Digest::of(bytes), bytes: bytes.to_vec() };
        let (empty, document) = (of(EMPTY.1), of(&self.bytes));
        let title = ("org.opencontainers.image.title".to_owned(), self.title.clone());
        let manifest = Blob::of(&Manifest {
            annotations: [("org.opencontainers.image.created".to_owned(), CREATED.to_owned())].into(),
            artifact_type: Some(self.artifact_type),
            config: empty.describe(EMPTY.0),
            layers: vec![Descriptor { annotations: [title].into(), ..document.describe(self.artifact_type) }],
            media_type: MANIFEST,
            schema_version: 2,
            subject: Some(subject.describe(MANIFEST)),
        });
        (manifest, [empty, document])
    }
}
