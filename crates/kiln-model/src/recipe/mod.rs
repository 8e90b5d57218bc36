//! Recipes: `packages/NAME/package.yaml`, a package built from source.
//!
//! Paths in a recipe are relative to its folder and may not leave it; in a [`Recipe`] they are given from the project's
//! root, so that what a recipe inherits by `base:` keeps pointing to where it was written.

mod facts;
mod limits;
mod read;
mod source;
mod steps;
mod system_facts;

use std::collections::BTreeMap;

use schemars::JsonSchema;

pub use facts::{Declared, Declarer, read_facts};
pub(crate) use facts::{absolute, mode, read_by_path};
pub use limits::Limits;
pub(crate) use limits::read_size;
pub use read::{read, read_need, read_word};
pub use source::{GitLocation, OutwardLinks, Source, SourceKind};
pub use steps::{BuildVars, JOBS_VARIABLE, Step, StepTemplate};
pub(crate) use system_facts::file;

use crate::builder::Argument;
use crate::diagnostic::Spanned;
use crate::project::ProjectPath;
use crate::template::Template;
use crate::{Facts, OptionName, PackageName, PackageRef, PartName};

/// A package built from source.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(rename = "recipe", deny_unknown_fields)]
pub struct Recipe {
    /// The package's name: that of the recipe's folder.
    pub name: Spanned<PackageName>,
    /// The recipe's folder, from the project's root.
    #[schemars(skip)]
    pub folder: ProjectPath,
    /// Another recipe of this project, which this one starts from: lists append, mappings merge, scalars override, and
    /// `!replace` before a value replaces what is inherited.
    pub base: Option<Spanned<PackageName>>,
    /// The version.
    #[schemars(with = "TextOrNumber")]
    pub version: Spanned<String>,
    /// What it is, in one line.
    pub summary: String,
    /// Its licence, as an SPDX expression.
    pub license: String,
    /// Who wrote the recipe.
    pub author: Option<String>,
    /// What it is built from. They are laid into the build folder in this order.
    #[schemars(default)]
    pub sources: Vec<Source>,
    /// Patches in the order they are applied, each with why it is here.
    #[schemars(with = "Option<BTreeMap<ProjectPath, String>>")]
    pub patches: Vec<Patch>,
    /// What images and projects can switch.
    #[schemars(default)]
    pub options: BTreeMap<OptionName, RecipeOption>,
    /// Packages that have to be there to build it, besides the project's `environment`.
    #[schemars(default)]
    pub needs: Vec<Need>,
    /// Packages that have to be there to run it, besides the shared libraries, which are found.
    #[schemars(default)]
    pub runtime: Vec<Need>,
    /// How it is built.
    #[schemars(with = "schema::BuildSchema")]
    pub build: Build,
    /// Packages split off by what they claim; what no part claims is the package itself.
    #[schemars(default)]
    pub parts: BTreeMap<PartName, Part>,
    /// What the package declares.
    #[schemars(default)]
    pub facts: Facts,
    /// The unit files of its services, from the project's root, by the unit's full name.
    #[schemars(skip)]
    pub units: BTreeMap<String, Spanned<ProjectPath>>,
    /// What is run to test it, in a root with only this package and what it needs to run.
    #[schemars(default)]
    pub test: Vec<StepTemplate>,
}

/// A patch of the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// The file.
    pub path: Spanned<ProjectPath>,
    /// Why it is here.
    pub why: String,
}

/// Something that images and projects can switch.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RecipeOption {
    /// On, when nobody says otherwise?
    pub default: bool,
    /// What it switches, in one line.
    pub summary: String,
    /// Where it is declared.
    #[schemars(skip)]
    pub place: crate::diagnostic::Place,
}

/// Options and whether each is on.
pub type Options = BTreeMap<OptionName, bool>;

/// A package that is needed, perhaps only with an option.
pub type Need = Conditional<Spanned<PackageRef>>;

/// A value that may depend on an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conditional<T> {
    /// The value.
    pub value: T,
    /// When it holds; always, if none.
    pub condition: Option<Condition>,
}

/// `when:` or `unless:` an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The option.
    pub option: Spanned<OptionName>,
    /// Has it to be on, or off?
    pub on: bool,
}

impl Condition {
    /// Does it hold? An option that is not there is off.
    #[must_use]
    pub fn holds(&self, options: &Options) -> bool {
        options.get(&self.option.value).copied().unwrap_or(false) == self.on
    }
}

impl<T> Conditional<T> {
    /// A value that depends on nothing.
    pub const fn always(value: T) -> Self {
        Self { value, condition: None }
    }

    /// Does it hold?
    #[must_use]
    pub fn holds(&self, options: &Options) -> bool {
        self.condition.as_ref().is_none_or(|condition| condition.holds(options))
    }
}

/// How a package is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// By a builder, or by its own steps.
    pub method: Method,
    /// Environment variables of every step.
    pub env: Vec<(String, Template)>,
    /// What it may use.
    pub limits: Limits,
}

/// By a builder, or by its own steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// By a builder.
    Builder(BuilderCall),
    /// By steps of its own.
    Steps(Vec<StepTemplate>),
}

/// A builder with what the recipe sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuilderCall {
    /// The builder.
    pub builder: std::sync::Arc<crate::builder::Builder>,
    /// What the recipe sets, each of its parameter's kind.
    pub arguments: BTreeMap<String, Argument>,
    /// Steps before the builder's.
    pub before: Vec<StepTemplate>,
    /// Steps after the builder's.
    pub after: Vec<StepTemplate>,
}

/// A package split off.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Part {
    /// What it takes: paths and patterns, from the root of the package's tree.
    pub claim: Vec<Spanned<String>>,
}

impl Recipe {
    /// The value of every option: its default, unless a project's or an image's word switches it.
    #[must_use]
    pub fn options(&self, switches: &[&Switches]) -> Options {
        let mut options: Options = self.options.iter().map(|(name, option)| (name.clone(), option.default)).collect();
        for switches in switches {
            for (names, on) in [(&switches.with, true), (&switches.without, false)] {
                for name in names.iter().filter(|name| self.options.contains_key(&name.value)) {
                    options.insert(name.value.clone(), on);
                }
            }
        }
        options
    }

    /// The packages that it needs to build, with these options.
    pub fn build_needs<'a>(&'a self, options: &'a Options) -> impl Iterator<Item = &'a Spanned<PackageRef>> {
        self.needs.iter().filter(|need| need.holds(options)).map(|need| &need.value)
    }

    /// The packages that it needs to run, with these options.
    pub fn runtime_needs<'a>(&'a self, options: &'a Options) -> impl Iterator<Item = &'a Spanned<PackageRef>> {
        self.runtime.iter().filter(|need| need.holds(options)).map(|need| &need.value)
    }
}

/// Options that somebody switches on and off.
#[derive(Debug, Clone, PartialEq, Eq, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Switches {
    /// Switched on.
    #[schemars(default)]
    pub with: Vec<Spanned<OptionName>>,
    /// Switched off.
    #[schemars(default)]
    pub without: Vec<Spanned<OptionName>>,
}

mod schema;

/// A text that may look like a number, such as a version.
#[derive(Debug)]
pub struct TextOrNumber;

impl JsonSchema for TextOrNumber {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TextOrNumber".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "number"] })
    }
}
