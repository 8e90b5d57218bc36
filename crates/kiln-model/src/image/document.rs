//! Documents about an image: what is in it, and what it was made of.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::diagnostic::{Problem, Spanned};
use crate::yaml::{Node, Reader};

/// A document about an image, written beside its outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Document {
    /// What is in it, as CycloneDX 1.6.
    CycloneDx,
    /// What it was made of, as SLSA provenance.
    Provenance,
    /// What is in it, as SPDX 2.3.
    Spdx,
}

impl Document {
    /// Every kind by name.
    pub const ALL: [(&'static str, Self); 3] =
        [("cyclonedx", Self::CycloneDx), ("provenance", Self::Provenance), ("spdx", Self::Spdx)];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CycloneDx => "cyclonedx",
            Self::Provenance => "provenance",
            Self::Spdx => "spdx",
        }
    }

    /// Reads the list of an image.
    pub(super) fn read_list(reader: &Reader<'_>, node: &Node) -> Option<Vec<Spanned<Self>>> {
        let one =
            |item: &Node| Some(Spanned::new(reader.word(item, "a document about an image", &Self::ALL)?, item.place));
        let list: Vec<Spanned<Self>> = reader.each(node, one)?;
        for (index, document) in list.iter().enumerate() {
            if let Some(first) = list[..index].iter().find(|first| first.value == document.value) {
                let problem = Problem::new(document.place, "this document is listed twice");
                reader.report(problem.related(first.place, "first here"));
            }
        }
        Some(list)
    }
}

/// The shape of a document.
pub(super) struct DocumentSchema;

impl JsonSchema for DocumentSchema {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Document".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": Document::ALL.map(|(name, _)| name) })
    }
}
