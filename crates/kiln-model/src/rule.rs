//! Rules: what stands for the hooks of packages that Kiln cannot read by itself. Data files, shipped with Kiln or of a
//! project.
//!
//! ```yaml
//! archive: deb                      # whose packages the rules are for; `deb` if nothing is said
//! rules:
//!   - packages: [base-files]        # one or more names
//!     versions: ">= 13"             # optional: `<<`, `<=`, `=`, `>=`, `>>`
//!     reason: The skeleton of the system.
//!     facts: { directories: { /srv: {} } }
//!     files:
//!       /etc/motd: { copy: /usr/share/base-files/motd }
//!       /etc/networks: { content: "loopback 127.0.0.0\n", mode: "0644" }
//! ```
//!
//! With `adds: true` a rule is added to what is read of the hooks, and what cannot be read of them is accepted. Otherwise
//! it stands in place of all that they do. `answers:` are read in place of what `config` would come to. A rule without facts and files says that the hooks do nothing that an image needs, and why.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;

use crate::diagnostic::{Diagnostics, Place, Problem};
use crate::facts::File;
use crate::recipe::{Declarer, file, read_by_path, read_facts};
use crate::yaml::{self, Node, Reader};
use crate::{ArchiveKind, Facts, PackageName, TreePath};

/// A file of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFile {
    /// Its path, as people know it.
    pub path: Arc<str>,
    /// The kind of archive whose packages its rules are for.
    pub archive: ArchiveKind,
    /// The rules, in order.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The file it stands in.
    pub file: Arc<str>,
    /// Packages it is for.
    pub packages: Vec<PackageName>,
    /// Versions it is for; all when there is none.
    pub versions: Option<VersionRange>,
    /// What the hooks do, and why this stands for it.
    pub reason: String,
    /// Is it added to what is read of the hooks, instead of standing in place of it?
    pub adds: bool,
    /// Answers to questions of debconf, where the image gives no other: what `config` comes to when nobody is asked.
    pub answers: BTreeMap<String, String>,
    /// What it declares; its `files` are among them.
    pub facts: Facts,
}

/// How a version must compare to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VersionRange {
    /// `<<`, `<=`, `=`, `>=` or `>>`.
    pub operator: Box<str>,
    /// The other version.
    pub version: Box<str>,
}

impl std::str::FromStr for VersionRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not a range of versions: write `>= 1.2`, with `<<`, `<=`, `=`, `>=` or `>>`");
        let split = text.find(|c: char| !matches!(c, '<' | '>' | '=')).ok_or_else(wrong)?;
        let (operator, version) = (&text[..split], text[split..].trim());
        let known = matches!(operator, "<<" | "<=" | "=" | ">=" | ">>");
        if !known || version.is_empty() || version.contains(char::is_whitespace) {
            return Err(wrong());
        }
        Ok(Self { operator: operator.into(), version: version.into() })
    }
}

/// Reads a file of rules.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(path: &str, text: &str) -> Result<RuleFile, Diagnostics> {
    let (sources, node) = yaml::parse(path, text)?;
    let reader = Reader::new(&sources);
    let rules = read(&reader, &node, path);
    reader.finish(rules)
}

/// Reads a file of rules that is parsed already.
pub(crate) fn read(reader: &Reader<'_>, node: &Node, path: &str) -> Option<RuleFile> {
    let path: Arc<str> = path.into();
    let mut fields = reader.map(node, "a file of rules")?;
    let archive = fields.take("archive").map(|node| match reader.parse::<ArchiveKind>(node)?.value {
        ArchiveKind::Oci => {
            reader.wrong(node.place, "images have no hooks that a rule could stand for");
            None
        }
        kind => Some(kind),
    });
    let rules = fields.require("rules").and_then(|node| reader.each(node, |node| rule(reader, node, &path)));
    fields.finish();
    let (archive, rules) = (archive.unwrap_or(Some(ArchiveKind::Deb))?, rules?);
    let mut seen: BTreeMap<(&PackageName, Option<&VersionRange>), Place> = BTreeMap::new();
    for rule in &rules {
        for (package, place) in &rule.packages {
            if let Some(first) = seen.insert((package, rule.versions.as_ref()), *place) {
                let problem = Problem::new(*place, format!("there are two rules for `{package}`"));
                reader.report(problem.related(first, "this is the other").hint("give each its `versions:`"));
            }
        }
    }
    let rules = rules.into_iter().map(|read| read.rule).collect();
    Some(RuleFile { path, archive, rules })
}

/// A rule, with where its packages are named.
struct Read {
    packages: Vec<(PackageName, Place)>,
    versions: Option<VersionRange>,
    rule: Rule,
}

fn rule(reader: &Reader<'_>, node: &Node, path: &Arc<str>) -> Option<Read> {
    let mut fields = reader.map(node, "a rule")?;
    let packages = fields.require("packages").and_then(|node| reader.each_as::<PackageName>(node));
    let versions = fields.take("versions").and_then(|node| reader.parse::<VersionRange>(node));
    let reason = fields.require("reason").and_then(|node| reader.filled(node)).map(str::to_owned);
    let adds = fields.take("adds").and_then(|node| reader.flag(node)).unwrap_or_default();
    let answers = fields.take("answers").and_then(|node| reader.entries(node)).map(|entries| {
        let answers =
            entries.iter().filter_map(|(key, node)| Some((key.text.to_string(), reader.text(node)?.to_owned())));
        answers.collect::<BTreeMap<String, String>>()
    });
    let declared = fields.take("facts").and_then(|node| read_facts(reader, node, Declarer::Rule));
    let mut facts = declared.unwrap_or_default().facts;
    let files = fields.take("files").and_then(|node| read_by_path(reader, node, |_, node| file(reader, node)));
    let place = fields.place();
    fields.finish();
    facts.files.extend(files.unwrap_or_default());
    let packages = packages?;
    if packages.is_empty() {
        reader.wrong(place, "this rule is for no package");
    }
    let packages: Vec<(PackageName, Place)> = packages.into_iter().map(|name| (name.value, name.place)).collect();
    let versions = versions.map(|range| range.value);
    let rule = Rule {
        file: Arc::clone(path),
        packages: packages.iter().map(|(name, _)| name.clone()).collect(),
        versions: versions.clone(),
        reason: reason?,
        adds,
        answers: answers.unwrap_or_default(),
        facts,
    };
    Some(Read { packages, versions, rule })
}

/// The shape of a file of rules.
#[derive(JsonSchema)]
#[schemars(rename = "rules", deny_unknown_fields)]
#[allow(dead_code, reason = "it is there for its schema alone")]
pub(crate) struct FileSchema {
    /// The kind of archive whose packages the rules are for; `deb` if nothing is said.
    archive: Option<ArchiveKind>,
    /// The rules.
    rules: Vec<RuleSchema>,
}

/// The shape of a rule.
#[derive(JsonSchema)]
#[schemars(rename = "Rule", deny_unknown_fields)]
#[allow(dead_code, reason = "it is there for its schema alone")]
struct RuleSchema {
    /// Packages it is for.
    packages: Vec<PackageName>,
    /// Versions it is for, `>= 1.2`; all when there is none.
    versions: Option<String>,
    /// What the hooks do, and why this stands for it.
    reason: String,
    /// Is it added to what is read of the hooks, instead of standing in place of it?
    adds: Option<bool>,
    /// Answers to questions of debconf, where the image gives no other.
    #[schemars(default)]
    answers: BTreeMap<String, String>,
    /// What it declares.
    #[schemars(default)]
    facts: Facts,
    /// Files, made where nothing is.
    #[schemars(default)]
    files: BTreeMap<TreePath, File>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_rule_and_tells_every_fault_of_one() {
        let text = "rules:\n  - packages: [base-files]\n    versions: '>= 13'\n    reason: skeleton\n    facts: { directories: { /srv: {} } }\n    files:\n      /etc/motd: { copy: /usr/share/base-files/motd }\n      /etc/x: { content: 'y', mode: '0600' }\n";
        let file = parse("r.yaml", text).unwrap();
        assert_eq!(file.archive, ArchiveKind::Deb);
        let rules = file.rules;
        assert_eq!(rules.len(), 1);
        assert_eq!(rules[0].versions, Some(VersionRange { operator: ">=".into(), version: "13".into() }));
        assert_eq!(rules[0].facts.files.len(), 2);
        assert_eq!(rules[0].facts.directories.len(), 1);

        let bad = "rules:\n  - packages: []\n    versions: 'about 3'\n    reason: ''\n    file: {}\n    files: { /a: { copy: /b, content: c } }\n";
        let problems = parse("r.yaml", bad).unwrap_err();
        assert_eq!(problems.0.len(), 5, "{problems}");
        let text = problems.to_string();
        for part in ["r.yaml:3", "r.yaml:4", "for no package", "unknown key `file`", "either `copy` or `content`"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn two_rules_for_the_same_versions_of_a_package_are_refused() {
        let rule = |versions: &str| format!("  - {{ packages: [a], {versions} reason: x }}\n");
        let text = format!("archive: apk\nrules:\n{}{}", rule(""), rule("versions: '>= 2',"));
        let file = parse("r.yaml", &text).unwrap();
        assert_eq!((file.archive, file.rules.len()), (ArchiveKind::Apk, 2));
        let images = parse("r.yaml", &format!("archive: oci\nrules:\n{}", rule(""))).unwrap_err().to_string();
        assert!(images.contains("r.yaml:1") && images.contains("no hooks"), "{images}");
        let told = parse("r.yaml", &format!("rules:\n{}{}", rule(""), rule(""))).unwrap_err().to_string();
        assert!(told.contains("r.yaml:3") && told.contains("two rules for `a`"), "{told}");
    }
}
