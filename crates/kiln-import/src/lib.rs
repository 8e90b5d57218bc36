//! Distribution archives and their packages, into trees and facts.
//!
//! [`archive`] is the seam: what a kind of archive has to be able to do, and the table of those that there are. Behind it
//! are Debian's ([`debian`], [`deb`], [`debsource`]) and Alpine's ([`apk`]); [`solver`] serves them all.

pub mod apk;
pub mod archive;
pub mod deb;
pub mod debian;
pub mod debsource;
pub mod mirror;
mod payload;
pub mod solver;
