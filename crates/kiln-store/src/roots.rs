//! Roots: what gc must keep, by name. A root is a file of a checksum line and one reference a line, sorted:
//! `action DIGEST`, `object DIGEST` or `tree DIGEST`. Its name is percent-encoded into a file name.

use std::collections::BTreeMap;
use std::fmt;

use kiln_model::{ActionKey, ObjectId, TreeId};

use crate::action::{seal, unseal};
use crate::files::{self, FileError};
use crate::session::SessionError;
use crate::{Store, layout};

/// No root is longer.
const LIMIT: u64 = 64 << 20;

/// Something that a root keeps, with all that it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// The result of an action and its log.
    Action(ActionKey),
    /// An object.
    Object(ObjectId),
    /// A tree, and its checkout.
    Tree(TreeId),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Action(key) => write!(f, "action {}", key.to_hex()),
            Self::Object(id) => write!(f, "object {}", id.to_hex()),
            Self::Tree(id) => write!(f, "tree {}", id.to_hex()),
        }
    }
}

impl Reference {
    fn parse(line: &str) -> Option<Self> {
        let (kind, digest) = line.split_once(' ')?;
        if digest.len() != 64 {
            return None;
        }
        match kind {
            "action" => digest.parse().ok().map(Self::Action),
            "object" => digest.parse().ok().map(Self::Object),
            "tree" => digest.parse().ok().map(Self::Tree),
            _ => None,
        }
    }
}

/// Why a root cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// A call failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its name is empty or too long.
    #[error("`{0}` cannot name a root: it is empty or too long")]
    Name(String),
    /// It is to keep what is not there.
    #[error("root `{name}` cannot keep {reference}: the store does not have it")]
    Missing {
        /// The root.
        name: String,
        /// What is not there.
        reference: Reference,
    },
    /// Its file is damaged.
    #[error("root `{0}` is damaged")]
    Damaged(String),
}

impl RootError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Name(_) | Self::Missing { .. } => None,
            Self::Damaged(_) => Some("run `kiln fsck --repair`, then build again what is to be kept".to_owned()),
        }
    }
}

impl From<SessionError> for RootError {
    fn from(SessionError::File(error): SessionError) -> Self {
        Self::File(error)
    }
}

fn encode(name: &str) -> Option<String> {
    use std::fmt::Write as _;
    let mut out = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => out.push(char::from(byte)),
            _ => write!(out, "%{byte:02x}").expect("a text takes all"),
        }
    }
    (1..=250).contains(&out.len()).then_some(out)
}

/// The name that a file in `roots` stands for.
pub(crate) fn decode(file: &str) -> Option<String> {
    let mut out = Vec::new();
    let mut bytes = file.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    let name = String::from_utf8(out).ok()?;
    (encode(&name)? == file).then_some(name)
}

fn parse(bytes: &[u8]) -> Option<Vec<Reference>> {
    let body = std::str::from_utf8(unseal(bytes)?).ok()?;
    body.lines().map(Reference::parse).collect()
}

impl Store {
    fn root_at(name: &str) -> Result<String, RootError> {
        let file = encode(name).ok_or_else(|| RootError::Name(name.to_owned()))?;
        Ok(format!("{}/{file}", layout::ROOTS))
    }

    fn has(&self, reference: &Reference) -> files::Result<bool> {
        Ok(match reference {
            Reference::Action(key) => self.action(key)?.is_some(),
            Reference::Object(id) => self.files().look(&layout::object(id))?.is_some(),
            Reference::Tree(id) => self.files().look(&layout::tree(id))?.is_some(),
        })
    }

    /// Keeps these from gc under a name, instead of what the name kept before. What a session has not flushed is not
    /// there yet.
    ///
    /// # Errors
    /// When one of them is not there, or the root cannot be written; then it stays what it was.
    pub fn set_root(&self, name: &str, references: &[Reference]) -> Result<(), RootError> {
        let at = Self::root_at(name)?;
        let session = self.session()?;
        for reference in references {
            if !self.has(reference)? {
                return Err(RootError::Missing { name: name.to_owned(), reference: *reference });
            }
        }
        self.write_root(&session, &at, references)?;
        Ok(())
    }

    pub(crate) fn write_root(&self, session: &crate::Session, at: &str, references: &[Reference]) -> files::Result<()> {
        let mut lines: Vec<String> = references.iter().map(|reference| format!("{reference}\n")).collect();
        lines.sort_unstable();
        lines.dedup();
        let number = session.stage(0o644, &seal(lines.concat().as_bytes()))?;
        self.settle()?;
        self.files().rename(&session.staging()?.path(number), at)?;
        self.settle()
    }

    /// Keeps nothing any more under this name. A root that is not there will do.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove_root(&self, name: &str) -> Result<(), RootError> {
        let at = Self::root_at(name)?;
        self.check_writable("remove")?;
        match self.files().unlink(&at) {
            Err(error) if !error.is_missing() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// What one root keeps; none when there is no such root, or its file is damaged.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn root_of(&self, name: &str) -> Result<Option<Vec<Reference>>, RootError> {
        match self.files().read(&Self::root_at(name)?, LIMIT) {
            Ok(bytes) => Ok(parse(&bytes)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// All roots.
    ///
    /// # Errors
    /// When one is damaged or cannot be read.
    pub fn roots(&self) -> Result<BTreeMap<String, Vec<Reference>>, RootError> {
        let mut out = BTreeMap::new();
        for file in self.files().names(layout::ROOTS)? {
            let name = decode(&file).ok_or_else(|| RootError::Damaged(file.clone()))?;
            match self.files().read(&format!("{}/{file}", layout::ROOTS), LIMIT) {
                Ok(bytes) => {
                    let references = parse(&bytes).ok_or_else(|| RootError::Damaged(name.clone()))?;
                    out.insert(name, references);
                }
                // Removed meanwhile.
                Err(error) if error.is_missing() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(out)
    }

    /// One root's references; nothing when its file is damaged.
    pub(crate) fn root_file(&self, file: &str) -> files::Result<Option<Vec<Reference>>> {
        match self.files().read(&format!("{}/{file}", layout::ROOTS), LIMIT) {
            Ok(bytes) => Ok(decode(file).and_then(|_| parse(&bytes))),
            Err(error) if error.is_missing() => Ok(Some(Vec::new())),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use kiln_model::Digest;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_name_becomes_one_file_name_and_back(name in "\\PC{1,60}") {
            if let Some(file) = encode(&name) {
                prop_assert!(!file.contains('/') && !file.starts_with('.'));
                prop_assert_eq!(decode(&file), Some(name));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), name in "\\PC*") {
            prop_assert_eq!(parse(&bytes), None);
            let _ = parse(&seal(&bytes));
            if let Some(decoded) = decode(&name) {
                prop_assert_eq!(encode(&decoded), Some(name));
            }
        }
    }

    #[test]
    fn a_reference_reads_back() {
        let digest = Digest::of(b"x");
        let all = [
            Reference::Action(ActionKey(digest)),
            Reference::Object(ObjectId(digest)),
            Reference::Tree(TreeId(digest)),
        ];
        for reference in all {
            assert_eq!(Reference::parse(&reference.to_string()), Some(reference));
        }
        assert_eq!(Reference::parse("tree abc"), None);
        assert_eq!(Reference::parse("thing"), None);
    }
}
