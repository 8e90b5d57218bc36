//! Paths of files in a project: relative to its root, normal, never leaving it.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::TreePath;
use crate::path::PathError;

/// A path of a file or folder in the project, from its root. Shown without a leading slash.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ProjectPath(TreePath);

impl ProjectPath {
    /// The path as text; empty for the root.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The folder that holds it; the root for a file at the root.
    #[must_use]
    pub fn folder(&self) -> Self {
        Self(self.0.parent().unwrap_or_default())
    }

    /// A path written relative to this folder.
    ///
    /// # Errors
    /// When it is absolute, not normal, or would leave the folder.
    pub fn join(&self, text: &str) -> Result<Self, PathError> {
        let text = text.strip_prefix("./").unwrap_or(text).trim_end_matches('/');
        // `.` names the folder itself, as everywhere.
        if text == "." {
            return Ok(self.clone());
        }
        let relative: TreePath = text.parse()?;
        match (self.0.is_root(), relative.is_root()) {
            (true, _) => Ok(Self(relative)),
            (_, true) => Ok(self.clone()),
            _ => format!("{}/{}", self.0.as_str(), relative.as_str()).parse().map(Self),
        }
    }

    /// Is it `other`, or below it?
    #[must_use]
    pub fn starts_with(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// The path below a folder that it is in.
    #[must_use]
    pub fn below(&self, folder: &Self) -> Option<&str> {
        if folder.0.is_root() {
            return Some(self.as_str());
        }
        self.as_str().strip_prefix(folder.as_str())?.strip_prefix('/')
    }
}

impl FromStr for ProjectPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::default().join(text)
    }
}

impl fmt::Display for ProjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_root() { "." } else { self.as_str() })
    }
}

impl fmt::Debug for ProjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl Serialize for ProjectPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for ProjectPath {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ProjectPath".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[^/]", "description": "A relative path in the project" })
    }
}
