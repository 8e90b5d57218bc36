//! Does everything in the image find what it needs there?
//!
//! [`analyse`] reads, once per package tree, what its programs and libraries ask for; the result is small, depends on
//! the tree alone and can be kept. [`check`] then looks the answers up in the composed tree without reading any object.

mod analysis;
mod check;
pub(crate) mod search;

pub use analysis::{AnalysisError, ObjectKind, TreeAnalysis, analyse};
pub(crate) use analysis::{Knowledge, is_candidate};
pub use check::{Allowed, ClosureFault, FaultKind, Severity, check};
