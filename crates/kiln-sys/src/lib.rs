//! The only crate with `unsafe`: starting a command in namespaces of its own.
//!
//! A [`Plan`] is data: which namespaces, which ids, which mounts, and what the command may do. [`Plan::spawn`] carries it
//! out in a child process and gives back a [`Contained`], which can be waited for, signalled and killed, and which takes
//! everything with it when it is dropped or when this process dies.
//!
//! Between `fork` and `exec` of a program with threads only async-signal-safe calls are allowed: no allocation, no lock,
//! no panic. So everything the child needs is made before the fork, and the child ([`child`], [`init`]) is a small
//! interpreter of the plan over raw system calls. Its faults come back as (phase, step, errno) and are turned into
//! [`SpawnError`]s here, where allocating is allowed again.
//!
//! Sources: user_namespaces(7), pid_namespaces(7), mount_setattr(2), pivot_root(2), seccomp(2), capabilities(7),
//! signal-safety(7), cgroups(7), proc(5).

mod child;
mod init;
mod memory;

pub mod cgroup;
pub mod identity;
pub mod plan;
pub mod refusal;
pub mod seccomp;
pub mod spawn;
mod standard;
pub mod terminal;

pub use cgroup::{Control, Group};
pub use identity::{Identities, Range};
pub use plan::{Namespaces, Plan, Resource, Step};
pub use refusal::Refusal;
pub use seccomp::Filter;
pub use spawn::{Contained, Outcome, SpawnError};
pub use terminal::{Lent, device as terminal_device};
