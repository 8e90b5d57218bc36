//! The rules that come with Kiln, and those of a project: what stands for hooks that Kiln does not read by itself.

use std::collections::BTreeMap;

use kiln_model::diagnostic::Diagnostics;
use kiln_model::rule::{self, Rule};
use kiln_model::{Digest, KeyBuilder};

use crate::relation::in_range;

/// The files of `rules/debian`, by name.
const SHIPPED: &[(&str, &str)] = &[
    ("rules/debian/base.yaml", include_str!("../../../rules/debian/base.yaml")),
    ("rules/debian/alternatives.yaml", include_str!("../../../rules/debian/alternatives.yaml")),
    ("rules/debian/services.yaml", include_str!("../../../rules/debian/services.yaml")),
    ("rules/debian/no-ops.yaml", include_str!("../../../rules/debian/no-ops.yaml")),
];

/// Rules by package.
#[derive(Debug, Clone, Default)]
pub struct RuleSet {
    by_package: BTreeMap<String, Vec<Rule>>,
    texts: Vec<(String, String)>,
}

impl RuleSet {
    /// The rules that come with Kiln.
    ///
    /// # Errors
    /// When a file among them is wrong: a test reads them all.
    pub fn shipped() -> Result<Self, Diagnostics> {
        let mut set = Self::default();
        for (path, text) in SHIPPED {
            set.add(path, text)?;
        }
        Ok(set)
    }

    /// Adds a file of rules. A rule added later goes before those added sooner.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub fn add(&mut self, path: &str, text: &str) -> Result<(), Diagnostics> {
        let rules = rule::parse(path, text)?;
        self.texts.push((path.to_owned(), text.to_owned()));
        for rule in rules {
            for package in &rule.packages {
                self.by_package.entry(package.as_str().to_owned()).or_default().insert(0, rule.clone());
            }
        }
        Ok(())
    }

    /// The rule for a version of a package.
    #[must_use]
    pub fn find(&self, package: &str, version: &str) -> Option<&Rule> {
        let mut rules = self.by_package.get(package)?.iter();
        rules.find(|rule| rule.versions.as_ref().is_none_or(|range| in_range(range, version)))
    }

    /// Names the set: another file, or another text of one, gives another digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let fields = self.texts.iter().flat_map(|(path, text)| [path, text]);
        *KeyBuilder::new("rules/1").list("texts", fields).finish().digest()
    }

    /// Every rule, by package.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Rule)> {
        self.by_package.iter().flat_map(|(name, rules)| rules.iter().map(move |rule| (name.as_str(), rule)))
    }
}
