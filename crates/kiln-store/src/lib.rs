//! The local content-addressed store.
//!
//! It holds **objects** (contents of files, by sha256), **trees** (by the digest of their root directory), the
//! **results of actions** (by action key) with their logs, **roots** (what gc must keep) and **checkouts** (trees laid
//! out for a sandbox or container, by hard link).
//!
//! Invariants, and who keeps them:
//! - A file in `objects`, `trees` or `actions` is whole, has its bytes on the disk, and never changes ([`commit`]).
//! - A tree's objects, and all that a result names, were there before it: nothing dangles ([`commit`], [`gc`]).
//! - An action is done when its record has its name, and not before: the one commit point ([`commit`]).
//! - Nothing is removed while a session lives ([`session`], [`lock`], [`gc`]).
//! - What disks do to bytes is found when they are used: objects, trees and records are verified as they are read, and
//!   whole by [`Store::fsck`].
//!
//! The layout stands in [`layout`] and in `docs/format/store.md`.

pub mod action;
pub mod checkout;
pub mod commit;
mod files;
pub mod fsck;
pub mod gc;
mod layout;
mod lock;
mod object;
mod parallel;
pub mod roots;
pub mod session;
pub mod store;
#[cfg(test)]
mod tests;
pub mod tree;
mod walk;
mod writer;

pub use action::ActionResult;
pub use checkout::{Checkout, CheckoutError};
pub use commit::WriteError;
pub use files::FileError;
pub use fsck::{Fate, Fault, FsckError, FsckOptions, FsckReport, Problem, Refetch, Repair};
pub use gc::{GcError, GcOptions, GcReport};
pub use lock::ActionLock;
pub use roots::{Reference, RootError};
pub use session::{Session, SessionError};
pub use store::{Durability, OpenError, OpenOptions, Store};
pub use tree::TreeError;
pub use walk::{Size, Usage};
