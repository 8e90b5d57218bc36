//! One file a command: its arguments, its help, what it does.

pub mod audit;
pub mod build;
pub mod diff;
pub mod fsck;
pub mod gc;
pub mod init;
pub mod lock;
pub mod outdated;
pub mod run;
pub mod sbom;
pub mod shell;
pub mod show;
pub mod vendor;
pub mod verify;
pub mod why;
