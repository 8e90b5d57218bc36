//! What a build left in `/out`: whether it can be kept, and which part of the package each file belongs to.

mod forbidden;
mod parts;

pub use forbidden::Forbidden;
pub use parts::{PartError, Split, split};
