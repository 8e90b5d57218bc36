//! The command as its users meet it: the built program, a project in a Git repository, an archive on this disk.
//! Nothing here opens a socket to another machine. What Kiln promises is tested by name: `law_1_...` to `law_10_...`.

mod world;

mod alpine;
mod auditing;
mod bad_input;
mod building;
mod composing;
mod images;
mod laws;
mod locking;
mod rpm;
mod running;
mod sbom;
mod store;
mod tools;
mod upkeep;
mod vendoring;
mod verifying;
