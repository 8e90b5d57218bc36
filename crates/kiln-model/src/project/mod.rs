//! Projects: `kiln.yaml`, and reading a whole project at once ([`load`]).

mod check;
pub mod init;
mod load;
mod origin;
mod path;
pub mod synthetic;
mod wanted;

use std::collections::BTreeMap;

use schemars::JsonSchema;

pub use check::{FileKind, Files};
pub use load::{IMAGES, LoadedProject, PACKAGES, PROJECT_FILE, RULES, parse_project_tree, wanted_files};
pub use origin::{
    ApkOrigin, DebOrigin, ImagePlace, IndexSignatures, MaxAge, MaxAgeError, OciOrigin, Origin, RpmOrigin, Signed,
    SignedError,
};
pub use path::ProjectPath;
pub use wanted::{Requests, Variant, WantedSource, WantedTarget};

use crate::diagnostic::{Place, Problem, Spanned};
use crate::hooks::{self, HooksWords};
use crate::recipe::Switches;
use crate::template::read_variables;
use crate::yaml::{Fields, Node, Reader};
use crate::{Architecture, OriginName, PackageName, PackageRef};

/// The format of `kiln.yaml` that this version reads.
pub const FORMAT: u32 = 1;

/// A project, as `kiln.yaml` declares it.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(rename = "project", deny_unknown_fields)]
pub struct Project {
    /// The version of this format: 1.
    #[schemars(rename = "kiln")]
    pub format: u32,
    /// The project's name.
    pub name: Spanned<String>,
    /// Where packages come from, besides the project's own recipes.
    #[schemars(default)]
    pub origins: BTreeMap<OriginName, Spanned<Origin>>,
    /// What to build for; this machine's architecture, if none is named.
    #[schemars(default)]
    pub architectures: Vec<Spanned<Architecture>>,
    /// What every source build has, besides its own `needs`.
    #[schemars(default)]
    pub environment: Vec<Spanned<PackageRef>>,
    /// What becomes of hooks that Kiln cannot follow, by package, in every image and every build environment.
    #[schemars(with = "Option<BTreeMap<PackageRef, crate::hooks::WordSchema>>")]
    pub hooks: HooksWords,
    /// Options of recipes, switched for the whole project. An image's own word comes after.
    #[schemars(default)]
    pub options: BTreeMap<PackageName, Spanned<Switches>>,
    /// Values for `{{ name }}` in recipes and images.
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub variables: BTreeMap<String, Spanned<String>>,
}

impl Project {
    /// Reads `kiln.yaml`.
    pub fn read(reader: &Reader<'_>, node: &Node) -> Option<Self> {
        let mut fields = reader.map(node, "a project")?;
        let (format, name, origins) = (fields.require("kiln"), fields.require("name"), fields.take("origins"));
        let (architectures, environment) = (fields.take("architectures"), fields.take("environment"));
        let (options, variables) = (fields.take("options"), fields.take("variables"));
        let words = fields.take("hooks").and_then(|node| hooks::read_words(reader, node));
        fields.refuse("caches", "sharing packages through caches");
        fields.finish();
        let format = format.and_then(|node| {
            let format = reader.number::<u32>(node)?;
            if format != FORMAT {
                let problem = Problem::new(node.place, format!("this project is of format {format}"));
                reader.report(problem.hint(format!("this version of Kiln reads format {FORMAT}")));
            }
            Some(format)
        });
        let name = name.and_then(|node| {
            // It becomes part of file and host names.
            let name = reader.parse::<crate::ImageName>(node)?;
            Some(Spanned::new(name.value.as_str().to_owned(), name.place))
        });
        let origins = origins.and_then(|node| {
            reader.table(node, |key, node| Some(Spanned::new(Origin::read(reader, &key.text, node)?, key.place)))
        });
        let environment = environment.and_then(|node| reader.each_as::<PackageRef>(node)).unwrap_or_default();
        let architectures = architectures.and_then(|node| reader.each_as::<Architecture>(node)).unwrap_or_default();
        reject_doubles(reader, &environment);
        reject_doubles(reader, &architectures);
        let options = options.and_then(|node| {
            reader.table(node, |key, node| {
                let mut fields = reader.map(node, "a recipe's options")?;
                let switches = read_switches(reader, &mut fields);
                fields.finish();
                Some(Spanned::new(switches, key.place))
            })
        });
        Some(Self {
            format: format?,
            name: name?,
            origins: origins.unwrap_or_default(),
            architectures,
            environment,
            hooks: words.unwrap_or_default(),
            options: options.unwrap_or_default(),
            variables: variables.map(|node| read_variables(reader, node)).unwrap_or_default(),
        })
    }
}

/// Reads `with:` and `without:`.
pub(crate) fn read_switches(reader: &Reader<'_>, fields: &mut Fields<'_, '_, '_>) -> Switches {
    let (with, without) = (fields.take("with"), fields.take("without"));
    let with = with.and_then(|node| reader.each_as(node)).unwrap_or_default();
    let without: Vec<Spanned<crate::OptionName>> = without.and_then(|node| reader.each_as(node)).unwrap_or_default();
    reject_doubles(reader, &with);
    reject_doubles(reader, &without);
    for off in &without {
        if let Some(on) = with.iter().find(|on| *on == off) {
            let problem = Problem::new(off.place, format!("`{off}` is switched on and off at once"));
            reader.report(problem.related(on.place, "switched on here"));
        }
    }
    Switches { with, without }
}

/// Notes values that a list has twice.
pub(crate) fn reject_doubles<T: Ord + std::fmt::Display>(reader: &Reader<'_>, items: &[Spanned<T>]) {
    let mut seen: BTreeMap<&T, Place> = BTreeMap::new();
    for item in items {
        if let Some(first) = seen.insert(&item.value, item.place) {
            let problem = Problem::new(item.place, format!("`{}` is listed twice", item.value));
            reader.report(problem.related(first, "first here"));
        }
    }
}
