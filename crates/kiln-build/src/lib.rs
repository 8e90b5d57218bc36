//! Building: from pinned sources and composed environments to packages.
//!
//! - [`graph`] runs actions of any kind: what they need first, each once, as many at once as there is room for.
//! - [`source`] brings sources into the store as trees; [`patch`] changes such a tree.
//! - [`recipe`] builds a recipe in the [`sandbox`]; [`output`] says what may come out, [`needs`] what that needs to run.
//! - [`package`] is how any action's result holds a package; [`disk`] carries trees to folders and back; [`work`] has the
//!   folders for it.
//!
//! Nothing here opens a socket but a [`source::FetchAction`] and `git` in a [`source::GitAction`].

pub mod disk;
pub mod graph;
pub mod needs;
pub mod output;
pub mod package;
pub mod patch;
pub mod recipe;
pub mod sandbox;
pub mod source;
pub mod work;
