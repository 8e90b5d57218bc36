//! A composed tree, written in the formats that other programs read.
//!
//! [`outputs()`] is the table of formats: a new one is one file and one row there. Every output is written aside and
//! renamed, so what stands under its name is old or new, never between ([`aside`] says how), and is the same bytes
//! whoever writes it, where and when.
//!
//! The way of an OCI image: [`plan::plan_layers`] sorts the layers and groups them into the budget,
//! [`layer::write()`] turns each into a blob (the caller keeps it, and runs several at once), [`oci::assemble`] makes
//! manifest and configuration of them, and the `oci` and `oci-archive` outputs put it all down.
//!
//! This crate reads objects through `kiln_model::ObjectSource` and knows nothing of the store behind it.

mod aside;
mod document_file;
mod error;
pub mod layer;
pub mod oci;
pub mod outputs;
pub mod plan;
mod sink;
pub mod spec;
mod stream;
mod tar;
mod tree_folder;

pub use document_file::write_document;
pub use error::OutputError;
pub use layer::{LayerCompression, LayerError, LayerInfo, WrittenLayer};
pub use oci::Referrer;
pub use outputs::{Content, Output, Request, Written, find, outputs};
pub use plan::{Group, LayerInput, MergeError, Stability, plan_layers};
pub use spec::{ImageConfig, ImageSpec, Port, Protocol, SourceLabel, SpecError};
