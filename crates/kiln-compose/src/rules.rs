//! The rules that come with Kiln, and those of a project: what stands for hooks that Kiln does not read by itself.

use std::collections::BTreeMap;

use kiln_model::diagnostic::Diagnostics;
use kiln_model::rule::{self, Rule};
use kiln_model::{ArchiveKind, Digest, KeyBuilder};

use crate::relation::in_range;

/// The files below `rules`, by name, each with the kind of archive whose packages it is for.
const SHIPPED: &[(ArchiveKind, &str, &str)] = &[
    (ArchiveKind::Deb, "rules/debian/base.yaml", include_str!("../../../rules/debian/base.yaml")),
    (ArchiveKind::Deb, "rules/debian/alternatives.yaml", include_str!("../../../rules/debian/alternatives.yaml")),
    (ArchiveKind::Deb, "rules/debian/services.yaml", include_str!("../../../rules/debian/services.yaml")),
    (ArchiveKind::Deb, "rules/debian/no-ops.yaml", include_str!("../../../rules/debian/no-ops.yaml")),
    (ArchiveKind::Apk, "rules/alpine/base.yaml", include_str!("../../../rules/alpine/base.yaml")),
];

/// Rules by package.
#[derive(Debug, Clone, Default)]
pub struct RuleSet {
    by_package: BTreeMap<(ArchiveKind, String), Vec<Rule>>,
    texts: Vec<(String, String)>,
}

impl RuleSet {
    /// The rules that come with Kiln.
    ///
    /// # Errors
    /// When a file among them is wrong: a test reads them all.
    pub fn shipped() -> Result<Self, Diagnostics> {
        let mut set = Self::default();
        for (kind, path, text) in SHIPPED {
            set.add(*kind, path, text)?;
        }
        Ok(set)
    }

    /// Adds a file of rules for packages of a kind of archive. A rule added later goes before those added sooner.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub fn add(&mut self, kind: ArchiveKind, path: &str, text: &str) -> Result<(), Diagnostics> {
        let rules = rule::parse(path, text)?;
        self.texts.push((path.to_owned(), text.to_owned()));
        for rule in rules {
            for package in &rule.packages {
                self.by_package.entry((kind, package.as_str().to_owned())).or_default().insert(0, rule.clone());
            }
        }
        Ok(())
    }

    /// The rule for a version of a package.
    #[must_use]
    pub fn find(&self, kind: ArchiveKind, package: &str, version: &str) -> Option<&Rule> {
        let mut rules = self.by_package.get(&(kind, package.to_owned()))?.iter();
        rules.find(|rule| rule.versions.as_ref().is_none_or(|range| in_range(kind, range, version)))
    }

    /// Names the set: another file, or another text of one, gives another digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let fields = self.texts.iter().flat_map(|(path, text)| [path, text]);
        *KeyBuilder::new("rules/1").list("texts", fields).finish().digest()
    }

    /// Every rule, by package.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Rule)> {
        self.by_package.iter().flat_map(|((_, name), rules)| rules.iter().map(move |rule| (name.as_str(), rule)))
    }
}
