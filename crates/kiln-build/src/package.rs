//! Packages as the results of actions, the same for imports and builds.
//!
//! The result of an action that makes a package has the object [`RECORD`] (a [`PackageRecord`]) and the tree [`TREE`] that
//! the record names. A part of it is under the same names with `:PART` after them. What a built package needs is in the
//! metadata, so that who only asks what comes along reads no record: of other recipes of the project, which a record
//! cannot name, in [`RECIPES`], one name a line; of origins in [`PACKAGES`], one `ORIGIN:NAME` a line.

use std::borrow::Cow;
use std::collections::BTreeSet;

use kiln_model::name::NameError;
use kiln_model::{
    Dir, ObjectError, ObjectId, ObjectSink as _, ObjectSource as _, PackageName, PackageRecord, PackageRef, PartName,
};
use kiln_store::{ActionResult, Session, WriteError};

/// The record of a package in its result.
pub const RECORD: &str = "record";
/// The tree of a package in its result.
pub const TREE: &str = "tree";
/// The project's packages that a built package needs at run time, in its result's metadata.
pub const RECIPES: &str = "recipes";
/// The packages of origins that a built package needs at run time, in its result's metadata.
pub const PACKAGES: &str = "packages";

/// Why a package cannot be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The result is not that of a package, or has no such part.
    #[error("a result has no `{0}`")]
    Absent(String),
    /// The record cannot be read or written.
    #[error("cannot read or keep a package's record")]
    Object(#[from] ObjectError),
    /// The record is not one.
    #[error("a package's record is damaged")]
    Record(#[from] serde_json::Error),
    /// The tree cannot be written.
    #[error("cannot keep a package's files")]
    Write(#[from] WriteError),
}

impl PackageError {
    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Write(error) => error.hint(),
            Self::Absent(_) => None,
            Self::Object(_) | Self::Record(_) => {
                Some("`kiln fsck --repair` finds and mends damage of the store".to_owned())
            }
        }
    }
}

impl From<PackageError> for crate::graph::ActionError {
    fn from(error: PackageError) -> Self {
        let hint = error.hint();
        Self::new(error).with_hint(hint)
    }
}

fn under<'n>(name: &'n str, part: Option<&PartName>) -> Cow<'n, str> {
    part.map_or(Cow::Borrowed(name), |part| Cow::Owned(format!("{name}:{part}")))
}

/// Stores a package, or a part of one, and adds it to `result`. The record's tree must be `tree`.
///
/// # Errors
/// When the store does not take it.
pub fn put_package(
    session: &Session,
    result: &mut ActionResult,
    part: Option<&PartName>,
    record: &PackageRecord,
    tree: &Dir,
    recipes: &BTreeSet<PackageName>,
) -> Result<(), PackageError> {
    let id = session.put_tree(tree)?;
    debug_assert_eq!(id, record.tree, "a record names the tree it is stored with");
    let bytes = record.canonical();
    let object = session.put(&bytes)?;
    result.trees.insert(under(TREE, part).into_owned(), id);
    result.objects.insert(under(RECORD, part).into_owned(), (object, bytes.len() as u64));
    let recipes: BTreeSet<String> = recipes.iter().map(PackageName::to_string).collect();
    let packages = record.runtime.iter().map(|pinned| format!("{}:{}", pinned.origin, pinned.name)).collect();
    for (name, needed) in [(RECIPES, recipes), (PACKAGES, packages)] {
        if !needed.is_empty() {
            let lines: Vec<String> = needed.into_iter().collect();
            result.meta.insert(under(name, part).into_owned(), lines.join("\n"));
        }
    }
    Ok(())
}

/// The name of a package that a recipe builds, or of a part of it: `nginx`, `nginx-dev`.
///
/// # Errors
/// When the two together are no package's name.
pub fn name_of(recipe: &PackageName, part: Option<&PartName>) -> Result<PackageName, NameError> {
    part.map_or_else(|| Ok(recipe.clone()), |part| format!("{recipe}-{part}").parse())
}

/// The object that holds the record of a package, or of a part of one.
///
/// # Errors
/// When the result has none.
pub fn record_object(result: &ActionResult, part: Option<&PartName>) -> Result<ObjectId, PackageError> {
    let name = under(RECORD, part);
    let found = result.objects.get(&*name).map(|(object, _)| *object);
    found.ok_or_else(|| PackageError::Absent(name.into_owned()))
}

/// The record that an object holds.
///
/// # Errors
/// When it cannot be read, or is none.
pub fn record_of(session: &Session, object: &ObjectId) -> Result<PackageRecord, PackageError> {
    Ok(serde_json::from_slice(&session.read(object)?)?)
}

/// The record of a package, or of a part of one.
///
/// # Errors
/// When the result has none, or it cannot be read.
pub fn package_record(
    session: &Session,
    result: &ActionResult,
    part: Option<&PartName>,
) -> Result<PackageRecord, PackageError> {
    record_of(session, &record_object(result, part)?)
}

/// What a built package, or a part of one, needs at run time: packages of the project and of origins.
#[must_use]
pub fn needed(result: &ActionResult, part: Option<&PartName>) -> Vec<PackageRef> {
    let lines = [RECIPES, PACKAGES].into_iter().filter_map(|name| result.meta.get(&*under(name, part)));
    lines.flat_map(|text| text.lines()).filter_map(|line| line.parse().ok()).collect()
}
