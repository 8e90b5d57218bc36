//! Reproducibility, checked: the same build under other conditions, and an account of what came out differently.
//!
//! [`CONDITIONS`] is a table: each row changes the surroundings of a build in one way that must not show in what it makes.
//! [`Surroundings::run`] starts a command in them. [`differences`] compares two trees path by path, and [`Cause`] says what
//! a difference most likely comes from, after the two contents.
//!
//! This crate builds nothing itself: the command runs Kiln once more.

mod cause;
mod condition;
mod difference;
mod file;
mod surroundings;

pub use cause::Cause;
pub use condition::{CONDITIONS, Condition};
pub use difference::{Change, Difference, Side, differences};
pub use file::{FileDifference, compare_files};
pub use surroundings::{Ended, RunError, Surroundings};
