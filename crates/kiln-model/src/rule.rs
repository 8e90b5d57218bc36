//! Rules: what stands for the hooks of packages that Kiln cannot read by itself. Data files, shipped with Kiln.
//!
//! ```yaml
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
//! A rule without facts and files says that the hooks do nothing that an image needs, and why.

use crate::diagnostic::Diagnostics;
use crate::recipe::{Declarer, file, read_by_path, read_facts};
use crate::yaml::{self, Node, Reader};
use crate::{Facts, PackageName};

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Packages it is for.
    pub packages: Vec<PackageName>,
    /// Versions it is for; all when there is none.
    pub versions: Option<VersionRange>,
    /// What the hooks do, and why this stands for it.
    pub reason: String,
    /// What it declares; its `files` are among them.
    pub facts: Facts,
}

/// How a version must compare to another.
#[derive(Debug, Clone, PartialEq, Eq)]
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
pub fn parse(path: &str, text: &str) -> Result<Vec<Rule>, Diagnostics> {
    let (sources, node) = yaml::parse(path, text)?;
    let reader = Reader::new(&sources);
    let rules = read(&reader, &node);
    reader.finish(rules)
}

fn read(reader: &Reader<'_>, node: &Node) -> Option<Vec<Rule>> {
    let mut fields = reader.map(node, "a file of rules")?;
    let rules = fields.require("rules").and_then(|node| reader.each(node, |node| rule(reader, node)));
    fields.finish();
    rules
}

fn rule(reader: &Reader<'_>, node: &Node) -> Option<Rule> {
    let mut fields = reader.map(node, "a rule")?;
    let packages = fields.require("packages").and_then(|node| reader.each_as::<PackageName>(node));
    let versions = fields.take("versions").and_then(|node| reader.parse::<VersionRange>(node));
    let reason = fields.require("reason").and_then(|node| reader.filled(node)).map(str::to_owned);
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
    Some(Rule {
        packages: packages.into_iter().map(|name| name.value).collect(),
        versions: versions.map(|range| range.value),
        reason: reason?,
        facts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_rule_and_tells_every_fault_of_one() {
        let text = "rules:\n  - packages: [base-files]\n    versions: '>= 13'\n    reason: skeleton\n    facts: { directories: { /srv: {} } }\n    files:\n      /etc/motd: { copy: /usr/share/base-files/motd }\n      /etc/x: { content: 'y', mode: '0600' }\n";
        let rules = parse("r.yaml", text).unwrap();
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
}
