//! Composition: from a set of packages, overlays and files to one tree.
//!
//! [`compose`] is a function of its [`Request`], which is a set: no disk, no clock, no order. It unites the packages'
//! trees, finds every conflict, puts facts into effect, and runs the finalizers of [`finalizer::TABLE`], which derive what
//! package hooks would have generated. No hook is ever run: what they mean is read, or a rule of
//! [`RuleSet`] or a word of the image stands for it, and what nothing stands for is an error. [`audit`] gives the account. [`closure`] checks that what is in the image finds what
//! it needs there.

pub mod accounts;
mod answers;
pub mod audit;
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
mod rpm_trigger;
mod rules;
pub mod trigger;
mod union;
mod usrmerge;
mod work;

pub use accounts::{AccountError, Accounts};
pub use answers::AnswerFaults;
pub use compose::{Composition, Warning, compose};
pub use declared::Contradiction;
pub use diversion::{DiversionError, Diverted};
pub use error::{ComposeError, Conflict, Conflicts, PermissionConflict};
pub use finalizer::tool::{NoTools, ToolError, ToolRequest, ToolRunner};
pub use hooks::{HookFaults, Said, Sayer, prepare};
pub use layers::Layer;
pub use owner::{LayerName, Owner, Owners};
pub use request::{AccountIds, Answer, ImageFile, Member, OsRelease, Overlay, Request};
pub use rules::RuleSet;
pub use work::PlaceError;

/// The version of composition: it enters the key of a composed image. Raise it when the same request would give another
/// tree.
pub const VERSION: u32 = 4;

/// The version of the reading of hooks: it enters the same key.
pub const HOOKS_VERSION: u32 = kiln_hooks::VERSION;
