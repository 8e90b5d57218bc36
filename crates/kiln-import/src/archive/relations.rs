//! Relations between packages, whatever the syntax they are written in.

use kiln_model::package::Relations;

/// Something that is wanted, or must not be there: a name, and which versions of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// The name, real or provided.
    pub name: String,
    /// How a version must compare, as the syntax writes it, and to what.
    pub version: Option<(String, String)>,
}

/// Something that a package needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// As it is written.
    pub text: String,
    /// Any of these serves, the first best.
    pub any_of: Vec<Term>,
}

/// A name that a package answers to besides its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provided {
    /// The name.
    pub name: String,
    /// In which version; without one it serves only who asks for none, but for RPM's.
    pub version: Option<String>,
}

/// Why a relation cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SyntaxError(Box<dyn std::error::Error + Send + Sync>);

impl SyntaxError {
    pub(super) fn new(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(Box::new(error))
    }
}

/// How the packages of a kind of archive state their relations.
pub trait RelationSyntax {
    /// What a package needs.
    ///
    /// # Errors
    /// When a relation cannot be read.
    fn needs(&self, relations: &Relations) -> Result<Vec<Wish>, SyntaxError>;

    /// What a package cannot be with, each with the verb for it.
    ///
    /// # Errors
    /// When a relation cannot be read.
    fn against(&self, relations: &Relations) -> Result<Vec<(&'static str, Term)>, SyntaxError>;

    /// What a package answers to besides its own name.
    ///
    /// # Errors
    /// When a relation cannot be read.
    fn provides(&self, relations: &Relations) -> Result<Vec<Provided>, SyntaxError>;

    /// Does a name that is provided without a version satisfy who asks for some?
    fn unversioned_serves(&self) -> bool {
        false
    }

    /// Does a version satisfy a term that names some?
    fn admits(&self, version: &str, operator: &str, bound: &str) -> bool;
}
