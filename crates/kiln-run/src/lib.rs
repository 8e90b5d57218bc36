//! Runs a composed tree on this machine: a container without root, without a daemon, and without unpacking anything.
//!
//! The root of a container is an overlay: below, a checkout of the tree in the store, which cannot be written through;
//! above, a tmpfs that is gone when the container is. Everything else is set up inside namespaces of its own, so nothing
//! has to be cleaned up, also when Kiln is killed. Published ports are listened on by Kiln itself and passed on into the
//! container's network, which has no other way out.
//!
//! See `docs/concepts/sandbox.md` for how the walls are built, and [`container`] for what a container can be told.

pub mod account;
pub mod container;
pub mod error;
mod forward;
mod place;
mod relay;
mod running;
mod world;

pub use container::{Container, Network, Owned, Port, Volume, VolumeSource};
pub use error::RunError;
pub use kiln_sys::Outcome;
pub use running::Running;
