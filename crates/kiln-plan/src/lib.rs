//! From a project and its lock to actions: reading a project ([`workspace`]), and all that binds the crates below
//! into one graph.

pub mod action;
pub mod documents;
pub mod git;
pub mod hooks;
pub mod images;
pub mod imports;
pub mod locking;
mod parallel;
pub mod pins;
pub mod plan;
pub mod recipes;
mod records;
pub mod relations;
pub mod rules;
pub mod services;
pub mod tools;
pub mod units;
pub mod unknown;
pub mod vendored;
pub mod workspace;

pub use plan::{AuditError, ImageNodes, Plan, PlanError};
pub use services::{MirrorWords, Services, ServicesError, Settings};
pub use workspace::{Workspace, WorkspaceError};
