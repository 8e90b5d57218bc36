//! The rules that stand for hooks, those of Kiln and those of a project, with the digest that enters the keys of compositions.

use kiln_compose::RuleSet;
use kiln_model::Digest;
use kiln_model::diagnostic::Diagnostics;
use kiln_model::rule::RuleFile;

/// Rules and their digest.
#[derive(Debug, Clone)]
pub struct Rules {
    set: RuleSet,
    digest: Digest,
}

impl Rules {
    /// The rules that come with Kiln.
    ///
    /// # Errors
    /// Never in a tested build: a test of `kiln-compose` reads them all.
    pub fn shipped() -> Result<Self, Diagnostics> {
        let set = RuleSet::shipped()?;
        let digest = set.digest();
        Ok(Self { set, digest })
    }

    /// With a project's own rules, which go before those that come with Kiln.
    #[must_use]
    pub fn with(&self, files: &[RuleFile]) -> Self {
        let mut set = self.set.clone();
        files.iter().cloned().for_each(|file| set.add(file));
        let digest = set.digest();
        Self { set, digest }
    }

    /// The rules.
    #[must_use]
    pub const fn set(&self) -> &RuleSet {
        &self.set
    }

    /// Changes whenever a rule does.
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }
}
