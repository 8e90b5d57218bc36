//! Fixtures for tests that need a distribution's archive and must not reach for one: packages ([`Deb`]), the archive
//! that has them ([`DebianArchive`]), the key that signs it ([`ArchiveKey`]), and [`toolbox`], a package with the shell
//! and the programs of this machine, so that builds run in the sandbox without a network. The same for Alpine is in [`apk`], for
//! RPM in [`rpm`].
//!
//! Nothing here is shipped, so what cannot go on panics.

pub mod apk;
mod archive;
mod deb;
mod key;
pub mod python;
pub mod rpm;
mod toolbox;

pub use apk::{AlpineArchive, Apk, ApkKey, ApkSections};
pub use archive::{DebianArchive, SourcePackage};
pub use deb::{Deb, tarball};
pub use key::ArchiveKey;
pub use toolbox::{build_essential, toolbox};
