//! Reads the maintainer scripts of Debian's and RPM's packages without running them.
//!
//! A package's hooks say in shell what could have been declared. This crate reads them as a careful person would: it
//! follows `preinst install` and `postinst configure` of a fresh installation through the grammar of the shell, with
//! values that are known or not, and gives what they come to: [`Facts`](kiln_model::Facts), an account of every command,
//! and what could not be followed. It never guesses, and nothing is ever executed.
//!
//! [`read`], [`read_scriptlets`] and [`read_apk_scripts`] are all there is to call. What is in the image is asked through [`World`]. Commands
//! are rows of one table, in `commands`.

mod account;
mod commands;
mod condition;
mod debconf;
mod document;
mod evaluate;
mod hook;
mod paths;
mod pattern;
mod script;
mod state;
mod value;
mod world;

pub use account::{Became, Outcome, Place, Reading, Unfollowed};
pub use debconf::{Question, templates};
pub use hook::{Scriptlet, Scripts, read, read_apk_scripts, read_scriptlets};
pub use world::{Earlier, Seen, World};

/// The version of the reading: it enters the key of whatever is made of it. Raise it when the same scripts would give
/// other facts.
pub const VERSION: u32 = 11;
