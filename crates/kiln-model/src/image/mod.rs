//! Images: `images/NAME.yaml`. Packages, files and facts composed into one tree, and how to run it.
//!
//! An image may extend other files of `images/`. Those are laid under it in order, each once however often it is
//! reached: lists append, mappings merge, a repeated scalar is an error unless marked `!replace`. A file without a
//! `name` is no image of its own; it is there to be extended.

mod document;
mod extend;
mod finalizer;
mod output;
mod read;
mod run;
mod system;

use std::collections::BTreeMap;

use schemars::JsonSchema;

pub use document::Document;
pub use extend::{ImageFile, flatten};
pub use finalizer::FinalizerName;
pub use output::{Compression, Format, Output};
pub use read::read;
pub use run::{Port, Protocol, Run};
pub use system::{Locale, TimeZone};

use crate::diagnostic::Spanned;
use crate::facts::Mode;
use crate::hooks::{Answers, HooksWords};
use crate::name::AccountName;
use crate::project::ProjectPath;
use crate::recipe::Switches;
use crate::{Facts, ImageName, PackageRef, PartName, TreePath};

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(rename = "image", deny_unknown_fields)]
pub struct Image {
    /// The image's name; none in a file that is only there to be extended.
    #[schemars(with = "Option<ImageName>")]
    pub name: Spanned<ImageName>,
    /// Files of `images/` that this one extends.
    #[schemars(with = "Option<Vec<String>>")]
    pub extends: Vec<String>,
    /// What is in it.
    #[schemars(with = "Option<Vec<read::PackageSchema>>")]
    pub packages: Vec<ImagePackage>,
    /// Files by absolute path. They win over those of packages.
    #[schemars(default)]
    pub files: BTreeMap<TreePath, FileSpec>,
    /// Folders laid over the packages, the highest priority on top.
    #[schemars(default)]
    pub overlays: Vec<Overlay>,
    /// What the image itself declares.
    #[schemars(default)]
    pub facts: Facts,
    /// The unit files of its services, from the project's root, by the unit's full name.
    #[schemars(skip)]
    pub units: BTreeMap<String, Spanned<ProjectPath>>,
    /// Which package's file is taken where several have a different one.
    #[schemars(default)]
    pub replace: BTreeMap<TreePath, Spanned<PackageRef>>,
    /// What becomes of hooks that Kiln cannot follow, by package. Before what the project says.
    #[schemars(with = "Option<BTreeMap<PackageRef, crate::hooks::WordSchema>>")]
    pub hooks: HooksWords,
    /// Answers to the questions that packages ask when they are installed, by package and question.
    #[schemars(with = "Option<BTreeMap<PackageRef, BTreeMap<String, String>>>")]
    pub answers: Answers,
    /// The language of the system: `de_DE.UTF-8`.
    pub locale: Option<Locale>,
    /// The time zone of the system: `Europe/Berlin`; `Etc/UTC` if nothing is said.
    #[schemars(rename = "time-zone")]
    pub time_zone: Option<TimeZone>,
    /// Finalizers that are switched off, by name.
    #[schemars(with = "Option<finalizer::FinalizersSchema>")]
    pub finalizers: BTreeMap<FinalizerName, bool>,
    /// How it runs as a container.
    #[schemars(default)]
    pub run: Run,
    /// What it is written as: `oci`, if nothing is said.
    #[schemars(with = "Option<Vec<output::OutputSchema>>")]
    pub outputs: Vec<Output>,
    /// Documents that are written beside the outputs: none, if nothing is said.
    #[schemars(with = "Option<Vec<document::DocumentSchema>>")]
    pub documents: Vec<Spanned<Document>>,
    /// Values for `{{ name }}` in this image.
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub variables: BTreeMap<String, Spanned<String>>,
}

/// A package of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagePackage {
    /// Which.
    pub reference: Spanned<PackageRef>,
    /// Options of a recipe that the image switches.
    pub switches: Switches,
    /// Parts of a recipe that come in besides the package itself.
    pub parts: Vec<Spanned<PartName>>,
}

/// A file of an image.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct FileSpec {
    /// What is in it.
    #[schemars(flatten)]
    pub content: FileContent,
    /// Its mode; `"0644"` by default.
    pub mode: Option<Mode>,
    /// Its owner; `root` by default.
    pub owner: Option<AccountName>,
    /// Its group; `root` by default.
    pub group: Option<AccountName>,
}

/// What is in a file of an image.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum FileContent {
    /// The content of a file of the project, from its root.
    Source(Spanned<ProjectPath>),
    /// This text.
    Content(String),
}

/// A folder laid over the packages.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Overlay {
    /// The folder, from the project's root.
    pub tree: Spanned<ProjectPath>,
    /// The highest wins; 0 by default.
    #[schemars(default)]
    pub priority: i32,
}
