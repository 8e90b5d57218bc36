//! The actions of Kiln's graph that bind crates to each other. Sources and builds have theirs in `kiln-build`.

mod closure_notes;
mod compose;
mod composed;
mod debian_source;
mod import;
mod layers;
mod test;

use std::error::Error;

use kiln_build::graph::ActionError;

pub use compose::{Built, ComposeAction, Content, MemberNode};
pub use composed::{Composed, ComposedPackage, LayerTree, Note};
pub use debian_source::DebianUnpacker;
pub use import::{ANALYSIS, ImportAction};
pub use layers::{LAYERS, LayersAction, read_layers};
pub use test::TestAction;

/// Wraps the error of a crate below with its hint.
pub(crate) fn hinted<E: Error + Send + Sync + 'static>(
    hint: impl FnOnce(&E) -> Option<String>,
) -> impl FnOnce(E) -> ActionError {
    move |error| {
        let hint = hint(&error);
        ActionError::new(error).with_hint(hint)
    }
}
