//! Unit files of the project: read, checked, and put where systemd finds them.
//!
//! A recipe's become part of its package, an image's are files of its own. In the facts that go on from here no service
//! names a file of the project any more.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kiln_model::diagnostic::Spanned;
use kiln_model::image::Image;
use kiln_model::project::ProjectPath;
use kiln_model::recipe::Recipe;
use kiln_model::unit::{self, Unit, UnitFault};
use kiln_model::{Facts, TreePath};

use crate::images::{ContentError, inside};

/// Why a unit file of the project cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum UnitError {
    /// It cannot be read.
    #[error(transparent)]
    File(Box<ContentError>),
    /// It has a fault.
    #[error("`{path}` {fault}")]
    Syntax {
        /// The file.
        path: ProjectPath,
        /// Where and what.
        fault: UnitFault,
    },
    /// It is to be enabled, but does not say what would start it.
    #[error("`{path}` is to be enabled, but has no `[Install]` section")]
    NoInstall {
        /// The file.
        path: ProjectPath,
    },
    /// It is larger than any unit.
    #[error("`{0}` is larger than 1 MiB")]
    Large(PathBuf),
}

impl UnitError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::NoInstall { .. } => Some("as in `[Install]` and below it `WantedBy=multi-user.target`".to_owned()),
            Self::Syntax { .. } | Self::Large(_) => None,
        }
    }
}

/// systemd's own limit for a unit file.
const LIMIT: u64 = 1024 * 1024;

/// Files by where they go.
pub type Added = BTreeMap<TreePath, Arc<[u8]>>;

/// The facts of a recipe, and the unit files that become part of its package.
///
/// # Errors
/// When a file cannot be read or is no unit.
pub fn of_recipe(recipe: &Recipe, folder: &Path) -> Result<(Facts, Added), UnitError> {
    read(&recipe.facts, &recipe.units, folder)
}

/// The facts of an image, and the unit files that it brings.
///
/// # Errors
/// When a file cannot be read or is no unit.
pub fn of_image(image: &Image, folder: &Path) -> Result<(Facts, Added), UnitError> {
    read(&image.facts, &image.units, folder)
}

fn read(
    facts: &Facts,
    units: &BTreeMap<String, Spanned<ProjectPath>>,
    folder: &Path,
) -> Result<(Facts, Added), UnitError> {
    let (mut facts, mut added) = (facts.clone(), BTreeMap::new());
    for (name, path) in units {
        let Some(service) = facts.services.get_mut(name) else {
            continue;
        };
        service.unit = None;
        let file = inside(folder, path.value.as_str()).map_err(|error| UnitError::File(Box::new(error)))?;
        let wrap = |source| UnitError::File(Box::new(ContentError::Read { path: file.clone(), source }));
        if file.metadata().map_err(wrap)?.len() > LIMIT {
            return Err(UnitError::Large(file));
        }
        let bytes = std::fs::read(&file).map_err(wrap)?;
        let (unit, faults) = Unit::parse(&bytes);
        let path = &path.value;
        if let Some(fault) = faults.into_iter().next() {
            return Err(UnitError::Syntax { path: path.clone(), fault });
        }
        if service.enabled && !unit.has_section("Install") {
            return Err(UnitError::NoInstall { path: path.clone() });
        }
        if let Some(place) = unit::packaged_path(name, service.user) {
            added.insert(place, bytes.into());
        }
    }
    Ok((facts, added))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(text: &str, enabled: bool) -> Result<(Facts, Added), UnitError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.service"), text).unwrap();
        let service = kiln_model::facts::Service { unit: Some("a.service".into()), enabled, ..Default::default() };
        let facts = Facts { services: [("a.service".to_owned(), service)].into(), ..Facts::default() };
        let place = kiln_model::diagnostic::Sources::new().add("kiln.yaml", "");
        let place = kiln_model::diagnostic::Place { file: place, line: 1, column: 1, length: 1 };
        let path = Spanned::new("a.service".parse().unwrap(), place);
        read(&facts, &[("a.service".to_owned(), path)].into(), folder.path())
    }

    #[test]
    fn a_unit_goes_where_systemd_finds_it_and_the_fact_names_no_file_any_more() {
        let text = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n";
        let (facts, added) = read_one(text, true).unwrap();
        assert_eq!(&*added[&"usr/lib/systemd/system/a.service".parse::<TreePath>().unwrap()], text.as_bytes());
        assert!(facts.services["a.service"].enabled && facts.services["a.service"].unit.is_none());
    }

    #[test]
    fn a_fault_is_told_with_file_and_line() {
        let error = read_one("[Service]\nExecStart\n", false).unwrap_err();
        assert_eq!(error.to_string(), "`a.service` line 2: `ExecStart` is not a setting: it has no `=`");
        assert!(matches!(read_one("[Service]\nExecStart=/bin/true\n", true), Err(UnitError::NoInstall { .. })));
    }
}
