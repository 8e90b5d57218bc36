//! Distribution archives and their packages, into trees and facts.
//!
//! [`archive`] is the seam: what a kind of archive has to be able to do, and the table of those that there are. Behind it
//! are Debian's ([`debian`], [`deb`], [`debsource`]), Alpine's ([`apk`]), RPM's ([`rpm`]) and container images ([`oci`]);
//! [`solver`] serves those whose packages need each other.

pub mod apk;
pub mod archive;
pub mod deb;
pub mod debian;
pub mod debsource;
mod hashed;
pub mod mirror;
pub mod oci;
mod payload;
pub mod reach;
pub mod rpm;
pub mod solver;
