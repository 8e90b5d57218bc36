//! The rules that come with Kiln, and those of a project: what stands for hooks that Kiln does not read by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use kiln_model::diagnostic::Diagnostics;
use kiln_model::rule::{self, Rule, RuleFile};
use kiln_model::{ArchiveKind, Digest, KeyBuilder};

use crate::relation::in_range;

/// The files below `rules`, by name.
const SHIPPED: &[(&str, &str)] = &[
    ("rules/debian/base.yaml", include_str!("../../../rules/debian/base.yaml")),
    ("rules/debian/alternatives.yaml", include_str!("../../../rules/debian/alternatives.yaml")),
    ("rules/debian/services.yaml", include_str!("../../../rules/debian/services.yaml")),
    ("rules/debian/services-read.yaml", include_str!("../../../rules/debian/services-read.yaml")),
    ("rules/debian/services-made.yaml", include_str!("../../../rules/debian/services-made.yaml")),
    ("rules/debian/no-ops.yaml", include_str!("../../../rules/debian/no-ops.yaml")),
    ("rules/alpine/base.yaml", include_str!("../../../rules/alpine/base.yaml")),
];

/// Rules by package.
#[derive(Debug, Clone, Default)]
pub struct RuleSet {
    by_package: BTreeMap<(ArchiveKind, String), Vec<Arc<Rule>>>,
    files: Vec<RuleFile>,
}

impl RuleSet {
    /// The rules that come with Kiln.
    ///
    /// # Errors
    /// When a file among them is wrong: a test reads them all.
    pub fn shipped() -> Result<Self, Diagnostics> {
        let mut set = Self::default();
        for (path, text) in SHIPPED {
            set.add(rule::parse(path, text)?);
        }
        Ok(set)
    }

    /// Adds a file of rules. A rule added later goes before those added sooner.
    pub fn add(&mut self, file: RuleFile) {
        for rule in &file.rules {
            let rule = Arc::new(rule.clone());
            for package in &rule.packages {
                let of_package = self.by_package.entry((file.archive, package.as_str().to_owned())).or_default();
                of_package.insert(0, Arc::clone(&rule));
            }
        }
        self.files.push(file);
    }

    /// The rule for a version of a package.
    #[must_use]
    pub fn find(&self, kind: ArchiveKind, package: &str, version: &str) -> Option<&Arc<Rule>> {
        let mut rules = self.by_package.get(&(kind, package.to_owned()))?.iter();
        rules.find(|rule| rule.versions.as_ref().is_none_or(|range| in_range(kind, range, version)))
    }

    /// Names the set: another rule, or another order of them, gives another digest. Reasons and comments are for people.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let rules = self.files.iter().flat_map(|file| file.rules.iter().map(move |rule| (file.archive, rule)));
        let told = rules.map(|(kind, rule)| {
            let names: Vec<&str> = rule.packages.iter().map(|name| name.as_str()).collect();
            let range = rule.versions.as_ref().map(|range| format!("{} {}", range.operator, range.version));
            let facts = String::from_utf8_lossy(&rule.facts.canonical()).into_owned();
            let answers: Vec<String> = rule.answers.iter().map(|(name, answer)| format!("{name}={answer}")).collect();
            let answers = answers.join("\x01");
            [kind.to_string(), names.join(" "), range.unwrap_or_default(), rule.adds.to_string(), answers, facts]
                .join("\0")
        });
        *KeyBuilder::new("rules/3").list("rules", told).finish().digest()
    }

    /// Every rule, by package.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Rule)> {
        self.by_package.iter().flat_map(|((_, name), rules)| rules.iter().map(move |rule| (name.as_str(), &**rule)))
    }
}
