//! Paths inside a tree.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A path inside a tree: relative to the root, `/`-separated, normal. It has no empty, `.` or `..` component, no NUL,
/// and is UTF-8, as the Remote Execution API demands of every name. The empty path is the root itself.
///
/// It is shown to people with a leading slash. Paths order by component, so a directory sorts right before its content.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct TreePath(Box<str>);

/// Why a text is not a path inside a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` {why}", .text.escape_default())]
pub struct PathError {
    text: String,
    why: &'static str,
}

/// Is `name` one component of a path?
pub(crate) fn check_component(name: &str) -> Result<(), PathError> {
    let fault = if name.contains('/') { Some("is more than one component") } else { component_fault(name) };
    fault.map_or(Ok(()), |why| Err(PathError { text: name.into(), why }))
}

/// Checks one component.
fn component_fault(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("has an empty component"),
        "." => Some("has a component `.`"),
        ".." => Some("has a component `..`, which could leave the tree"),
        _ if name.contains('\0') => Some("has a NUL byte"),
        _ if name.len() > 255 => Some("has a component longer than 255 bytes"),
        _ => None,
    }
}

impl TreePath {
    /// The root.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// Parses a relative path as it stands in an archive: a leading `./` and trailing slashes are dropped, everything
    /// else must be normal. An absolute path is refused.
    ///
    /// # Errors
    /// When the path is absolute or not normal.
    pub fn from_archive(text: &str) -> Result<Self, PathError> {
        let trimmed = text.trim_end_matches('/');
        if text.starts_with('/') {
            return Err(PathError { text: text.into(), why: "is an absolute path" });
        }
        match trimmed.strip_prefix("./").unwrap_or(trimmed) {
            "" | "." => Ok(Self::root()),
            rest => rest.parse(),
        }
    }

    /// Parses a path as people write it: absolute, from the root of the image.
    ///
    /// # Errors
    /// When there is no leading slash, or the rest is not normal.
    pub fn from_absolute(text: &str) -> Result<Self, PathError> {
        match text.strip_prefix('/') {
            None => Err(PathError { text: text.into(), why: "is not absolute: begin it with `/`" }),
            Some("") => Ok(Self::root()),
            Some(rest) => rest.parse(),
        }
    }

    /// The path without a leading slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Is it the root?
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The components, outermost first. The root has none.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/').filter(|c| !c.is_empty())
    }

    /// The last component; none for the root.
    #[must_use]
    pub fn file_name(&self) -> Option<&str> {
        self.components().next_back()
    }

    /// The directory that holds it; none for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        Some(Self(self.0.rsplit_once('/').map_or("", |(parent, _)| parent).into()))
    }

    /// This path with one more component.
    ///
    /// # Errors
    /// When `name` is not a component.
    pub fn join(&self, name: &str) -> Result<Self, PathError> {
        check_component(name)?;
        if self.is_root() { Ok(Self(name.into())) } else { Ok(Self(format!("{}/{name}", self.0).into())) }
    }

    /// Is it `other`, or below it?
    #[must_use]
    pub fn starts_with(&self, other: &Self) -> bool {
        other.is_root() || self.0.strip_prefix(&*other.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Where a symbolic link at this path leads, lexically: an absolute target from the root, a relative one from the
    /// link's directory; `..` at the root stays at the root, as in a chroot.
    #[must_use]
    pub fn resolve_link(&self, target: &str) -> Self {
        let mut parts: Vec<&str> = if target.starts_with('/') {
            Vec::new()
        } else {
            let mut parts: Vec<&str> = self.components().collect();
            parts.pop();
            parts
        };
        for part in target.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                name => parts.push(name),
            }
        }
        Self(parts.join("/").into())
    }
}

impl FromStr for TreePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        if text.starts_with('/') {
            return Err(PathError { text: text.into(), why: "is an absolute path" });
        }
        if text.len() > 4096 {
            return Err(PathError { text: text.chars().take(80).collect(), why: "is longer than 4096 bytes" });
        }
        match text.split('/').find_map(component_fault) {
            Some(why) if !text.is_empty() => Err(PathError { text: text.into(), why }),
            _ => Ok(Self(text.into())),
        }
    }
}

impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.components().cmp(other.components())
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0)
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"/{}\"", self.0)
    }
}

impl Serialize for TreePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TreePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_absolute(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for TreePath {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Path".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^/", "description": "An absolute path inside the image" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_could_leave_the_tree() {
        for bad in ["/etc", "a/../b", "..", "a//b", "./a", "a/", "a\0b"] {
            assert!(bad.parse::<TreePath>().is_err(), "{bad}");
        }
        for bad in ["/etc/passwd", "./../x", "a/./b"] {
            assert!(TreePath::from_archive(bad).is_err(), "{bad}");
        }
        assert_eq!(TreePath::from_archive("./usr/bin/").unwrap().as_str(), "usr/bin");
        assert!(TreePath::from_archive("./").unwrap().is_root());
    }

    #[test]
    fn orders_by_component() {
        let path = |t: &str| t.parse::<TreePath>().unwrap();
        assert!(path("a/b") < path("a-b"), "a directory's content comes right after it");
        assert!(path("a") < path("a/b"));
    }

    #[test]
    fn resolves_links_as_in_a_chroot() {
        let at = "usr/bin/awk".parse::<TreePath>().unwrap();
        assert_eq!(at.resolve_link("/etc/alternatives/awk").as_str(), "etc/alternatives/awk");
        assert_eq!(at.resolve_link("mawk").as_str(), "usr/bin/mawk");
        assert_eq!(at.resolve_link("../../../../lib/x").as_str(), "lib/x");
    }
}
