//! The vocabulary of Kiln: names, digests, trees, facts, recipes, images and the lock.
//!
//! Everything here is pure: bytes in, values out. No file, clock, network or environment is read in this crate, so
//! every rule in it can be tested with values alone. Parsers never trust their input, encoders are canonical: equal
//! values have equal bytes, and only canonical bytes decode.

pub mod archive;
pub mod builder;
pub mod capability;
pub mod diagnostic;
pub mod digest;
pub mod elf;
pub mod facts;
pub mod hooks;
pub mod image;
pub mod key;
pub mod lock;
pub mod name;
pub mod object;
pub mod package;
pub mod path;
pub mod project;
pub mod recipe;
pub mod report;
pub mod rule;
pub mod schema;
pub mod template;
pub mod tree;
pub mod unit;
pub mod user_config;
pub mod version;
pub mod yaml;

pub use archive::ArchiveKind;
pub use digest::{ActionKey, Digest, Hasher, ObjectId, TreeId};
pub use facts::Facts;
pub use hooks::HooksWord;
pub use key::KeyBuilder;
pub use name::{Architecture, ImageName, OptionName, OriginName, PackageName, PackageRef, PartName};
pub use object::{MemoryObjects, ObjectError, ObjectParts, ObjectSink, ObjectSource, ObjectWriter};
pub use package::PackageRecord;
pub use path::TreePath;
pub use report::{Event, Reporter, Silent, TaskId};
pub use tree::{Device, Dir, Entry, FileEntry, Meta, SymlinkEntry};

/// Kiln's builder version. It enters every action key: raise it when the same inputs would give other bytes.
pub const BUILDER_VERSION: u32 = 1;

/// The one time stamp of everything Kiln writes: 1980-01-01T00:00:00Z, the earliest that FAT and ZIP can carry.
pub const SOURCE_DATE_EPOCH: u64 = 315_532_800;
