//! Composition: from a set of packages, overlays and files to one tree.
//!
//! [`compose`] is a function of its [`Request`], which is a set: no disk, no clock, no order. It unites the packages'
//! trees, finds every conflict, puts facts into effect, and runs the finalizers of [`finalizer::TABLE`], which derive what
//! package hooks would have generated. No hook is ever run: [`prepare`] reads what hooks mean, with the rules of
//! [`RuleSet`], and what nobody understands is named to the user. [`closure`] checks that what is in the image finds what
//! it needs there.

pub mod accounts;
mod alpine_hooks;
pub mod closure;
mod compose;
mod declared;
mod diversion;
mod error;
mod facts;
pub mod finalizer;
mod hooks;
mod layers;
mod owner;
mod reading;
mod relation;
mod request;
mod rules;
pub mod trigger;
mod union;
mod usrmerge;
mod work;

pub use accounts::{AccountError, Accounts};
pub use compose::{Composition, Warning, compose};
pub use declared::Contradiction;
pub use diversion::{DiversionError, Diverted};
pub use error::{ComposeError, Conflict, Conflicts, PermissionConflict};
pub use finalizer::tool::{NoTools, ToolError, ToolRequest, ToolRunner};
pub use hooks::{Untranslated, prepare};
pub use layers::Layer;
pub use owner::{LayerName, Owner, Owners};
pub use request::{AccountIds, ImageFile, Member, OsRelease, Overlay, Request};
pub use rules::RuleSet;
pub use work::PlaceError;

/// The version of composition: it enters the key of a composed image. Raise it when the same request would give another
/// tree.
pub const VERSION: u32 = 2;

/// The version of the reading of hooks: it enters the same key.
pub const HOOKS_VERSION: u32 = kiln_hooks::VERSION;
