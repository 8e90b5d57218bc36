//! Projects: `kiln.yaml`, and reading a whole project at once ([`load`]).

mod check;
pub mod init;
mod load;
mod path;
pub mod synthetic;
mod wanted;

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;

pub use check::{FileKind, Files};
pub use load::{IMAGES, LoadedProject, PACKAGES, PROJECT_FILE, parse_project_tree, wanted_files};
pub use path::ProjectPath;
pub use wanted::{Variant, WantedSource, WantedTarget};

use crate::diagnostic::{Place, Problem, Spanned};
use crate::recipe::Switches;
use crate::template::read_variables;
use crate::yaml::{Fields, Node, Reader, Value, did_you_mean};
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
    /// Options of recipes, switched for the whole project. An image's own word comes after.
    #[schemars(default)]
    pub options: BTreeMap<PackageName, Spanned<Switches>>,
    /// Values for `{{ name }}` in recipes and images.
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub variables: BTreeMap<String, Spanned<String>>,
}

/// Where packages come from.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(tag = "archive", rename_all = "lowercase", deny_unknown_fields)]
pub enum Origin {
    /// A distribution's archive of `.deb` packages.
    Deb(DebOrigin),
}

/// A distribution's archive of `.deb` packages.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct DebOrigin {
    /// The distribution: names the machine's keyring and its mirror. By default the origin's name.
    #[schemars(with = "Option<String>")]
    pub distribution: String,
    /// The suite or codename.
    pub suite: String,
    /// The components.
    #[schemars(with = "Option<Vec<String>>")]
    pub components: Vec<String>,
    /// A keyring of the project that the archive has to be signed by, instead of the machine's.
    pub keyring: Option<Spanned<ProjectPath>>,
    /// For an archive whose index names no end of its validity: how old it may be.
    #[schemars(rename = "max-age", with = "Option<String>")]
    pub max_age: Option<MaxAge>,
}

/// How old an index may be that names no end of its validity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxAge {
    /// As old as it likes.
    Unlimited,
    /// At most so old.
    For(Duration),
}

impl std::str::FromStr for MaxAge {
    type Err = MaxAgeError;

    fn from_str(text: &str) -> Result<Self, MaxAgeError> {
        if text == "unlimited" {
            return Ok(Self::Unlimited);
        }
        let days = text.strip_suffix('d').filter(|days| days.bytes().all(|b| b.is_ascii_digit()));
        match days.and_then(|days| days.parse::<u64>().ok()) {
            Some(days @ 1..=36_500) => Ok(Self::For(Duration::from_secs(days * 86_400))),
            _ => Err(MaxAgeError(text.chars().take(40).collect())),
        }
    }
}

impl std::fmt::Display for MaxAge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unlimited => f.write_str("unlimited"),
            Self::For(age) => write!(f, "{}d", age.as_secs() / 86_400),
        }
    }
}

/// Why a text is not a greatest age.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a greatest age: a number of days such as `365d`, or `unlimited`")]
pub struct MaxAgeError(String);

impl Project {
    /// Reads `kiln.yaml`.
    pub fn read(reader: &Reader<'_>, node: &Node) -> Option<Self> {
        let mut fields = reader.map(node, "a project")?;
        let (format, name, origins) = (fields.require("kiln"), fields.require("name"), fields.take("origins"));
        let (architectures, environment) = (fields.take("architectures"), fields.take("environment"));
        let (options, variables) = (fields.take("options"), fields.take("variables"));
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

impl Origin {
    fn read(reader: &Reader<'_>, name: &str, node: &Node) -> Option<Self> {
        if node.get("git").is_some() {
            reader.unsupported(node.place, "a repository of recipes as an origin");
            return None;
        }
        let mut fields = reader.map(node, "an origin")?;
        let archive = fields.require("archive");
        let (distribution, suite) = (fields.take("distribution"), fields.require("suite"));
        let (components, keyring) = (fields.take("components"), fields.take("keyring"));
        let max_age = fields.take("max-age");
        fields.finish();
        archive.and_then(|node| {
            let text = reader.text(node)?;
            match text {
                "deb" => {}
                "apk" | "rpm" => reader.unsupported(node.place, &format!("an archive of `.{text}` packages")),
                _ => {
                    let problem = Problem::new(node.place, format!("`{text}` is not a kind of archive"));
                    reader.report(problem.maybe_hint(did_you_mean(text, "there are", ["deb"])));
                }
            }
            Some(())
        });
        let word = |node: &Node| {
            let text = reader.line(node)?;
            let sound = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._/".contains(&b));
            // It becomes part of an address: nothing in it may lead elsewhere.
            if sound && !text.starts_with(['/', '.']) && !text.contains("..") && !text.contains("//") {
                return Some(text);
            }
            reader.wrong(node.place, format!("`{text}` cannot be part of an archive's address"));
            None
        };
        let distribution = match distribution {
            Some(node) => word(node),
            None => Some(name.to_owned()),
        };
        let suite = suite.and_then(word);
        let components = match components {
            Some(list) => {
                let items = reader.each(list, |item| Some(Spanned::new(word(item)?, item.place)))?;
                reject_doubles(reader, &items);
                if matches!(&list.value, Value::List(items) if items.is_empty()) {
                    reader.wrong(list.place, "an archive has at least one component");
                }
                items.into_iter().map(|item| item.value).collect()
            }
            None => vec!["main".to_owned()],
        };
        let keyring = keyring.and_then(|node| reader.parse::<ProjectPath>(node));
        let max_age = max_age.and_then(|node| reader.parse::<MaxAge>(node)).map(|age| age.value);
        Some(Self::Deb(DebOrigin { distribution: distribution?, suite: suite?, components, keyring, max_age }))
    }
}
