//! Presets: which units are to be enabled, systemd.preset(5).
//!
//! Those that are in the image are asked about what packages enable, as Debian's hooks ask them. Kiln's own file comes
//! before all of them and says of every unit that can be enabled what became of it, so that `systemctl preset-all`
//! changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use kiln_model::unit::NameParts;
use kiln_model::{Entry, TreePath};

use super::super::{FinalizeContext, FinalizeError, fixed, glob};

/// What a preset says of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Enable,
    Disable,
    Ignore,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    verdict: Verdict,
    pattern: String,
    instances: BTreeSet<String>,
    /// Does the image itself bring it?
    own: bool,
}

/// Every line, the first that fits decides.
#[derive(Debug, Default)]
pub(super) struct Presets(Vec<Rule>);

/// The folder of presets below `/etc/systemd` and `/usr/lib/systemd`.
pub(super) const fn folder(user: bool) -> &'static str {
    if user { "user-preset" } else { "system-preset" }
}

impl Presets {
    /// Reads those that are in the tree. A file of one name in `/etc` replaces the one in `/usr/lib`.
    pub fn read(context: &FinalizeContext<'_>, user: bool) -> Result<Self, FinalizeError> {
        let mut files: BTreeMap<String, TreePath> = BTreeMap::new();
        for above in ["usr/lib/systemd", "usr/local/lib/systemd", "etc/systemd"] {
            let folder = fixed(&format!("{above}/{}", folder(user)));
            for (name, entry) in context.directory(&folder).into_iter().flat_map(|dir| dir.entries()) {
                if name.ends_with(".preset") && !matches!(entry, Entry::Dir(_)) {
                    files.insert(name.to_owned(), folder.join(name).unwrap_or_default());
                }
            }
        }
        let mut rules = Vec::new();
        for path in files.values() {
            let own = context.is_the_images_own(path);
            let bytes = context.read(path)?.unwrap_or_default();
            rules.extend(parse(&String::from_utf8_lossy(&bytes)).map(|rule| Rule { own, ..rule }));
        }
        Ok(Self(rules))
    }

    /// What they say of a unit, and whether it is the image itself that says so.
    pub fn verdict(&self, name: &str) -> Option<(Verdict, bool)> {
        let parts = NameParts::of(name);
        let listed = |rule: &Rule| {
            let (Some(parts), Some(of)) = (parts, NameParts::of(&rule.pattern)) else {
                return false;
            };
            of.is_template()
                && (of.prefix, of.kind) == (parts.prefix, parts.kind)
                && parts.instance.is_some_and(|instance| instance.is_empty() || rule.instances.contains(instance))
        };
        let fits = |rule: &&Rule| {
            if rule.instances.is_empty() { glob::matches(&rule.pattern, name) } else { listed(rule) }
        };
        self.0.iter().find(fits).map(|rule| (rule.verdict, rule.own))
    }
}

fn parse(text: &str) -> impl Iterator<Item = Rule> {
    text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let verdict = match words.next()? {
            "enable" => Verdict::Enable,
            "disable" => Verdict::Disable,
            "ignore" => Verdict::Ignore,
            _ => return None,
        };
        let pattern = words.next()?.to_owned();
        let instances = if verdict == Verdict::Enable { words.map(str::to_owned).collect() } else { BTreeSet::new() };
        Some(Rule { verdict, pattern, instances, own: false })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_decides() {
        let text = "# c\nenable a.service\ndisable *.service\nenable g@.service x y\nnonsense\nignore s.socket\n";
        let presets = Presets(parse(text).collect());
        let verdict = |name| presets.verdict(name).map(|(verdict, _)| verdict);
        assert_eq!(verdict("a.service"), Some(Verdict::Enable));
        assert_eq!(verdict("b.service"), Some(Verdict::Disable));
        assert_eq!(verdict("s.socket"), Some(Verdict::Ignore));
        assert_eq!(verdict("t.timer"), None);
        let presets = Presets(parse("enable g@.service x y\n").collect());
        assert!(presets.verdict("g@x.service").is_some() && presets.verdict("g@z.service").is_none());
    }
}
