//! Distribution archives and their packages, into trees and facts.

pub mod deb;
pub mod debian;
pub mod debsource;
