//! The `control` file of a binary package: one stanza, owned.

use super::deb822::{self, Stanza, Stanzas};

/// The fields that dpkg's list of installed packages repeats, in its order (`dpkg/lib/dpkg/parse.c`), but for what only
/// an installation has: conffiles with their digests, triggers that wait. `Status` comes after `Protected`.
const LISTED: &[&str] = &[
    "Package",
    "Essential",
    "Protected",
    "Priority",
    "Section",
    "Installed-Size",
    "Origin",
    "Bugs",
    "Maintainer",
    "Architecture",
    "Multi-Arch",
    "Source",
    "Version",
    "Replaces",
    "Provides",
    "Depends",
    "Pre-Depends",
    "Recommends",
    "Suggests",
    "Breaks",
    "Conflicts",
    "Enhances",
    "Description",
    "Homepage",
    "Built-Using",
    "Static-Built-Using",
];

/// Every field of a `control` file, in its order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Control {
    fields: Vec<(String, String)>,
}

impl Control {
    /// Reads a `control` file, which has exactly one stanza. None when it has none or more.
    ///
    /// # Errors
    /// When it is not in control syntax.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, deb822::Error> {
        let mut stanzas = Stanzas::from_bytes(bytes)?;
        let first = stanzas.next().transpose()?;
        let second = stanzas.next().transpose()?;
        Ok(first.filter(|_| second.is_none()).map(|stanza| Self::from(&stanza)))
    }

    /// The value of the field `name`, whatever the case of its letters, as it stands in the file.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Every field: name as written, value as it stands.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A relation field on one line, as the records of packages keep it; empty when there is none.
    #[must_use]
    pub fn relation(&self, name: &str) -> String {
        self.get(name).map(unfold).unwrap_or_default()
    }

    /// What a list of installed packages repeats, each value on one line: of the description the synopsis.
    #[must_use]
    pub fn listing(&self) -> Vec<(String, String)> {
        let value = |name: &str| match name {
            "Description" => self.get(name).and_then(|text| text.lines().next()).map(unfold),
            _ => self.get(name).map(unfold),
        };
        let field = |name: &&str| Some(((*name).to_owned(), value(name)?));
        LISTED.iter().filter_map(field).filter(|(_, value)| !value.is_empty()).collect()
    }

    /// The source package and its version: the field `Source` may name both, and what it leaves out is this package's.
    #[must_use]
    pub fn source(&self) -> Option<(String, String)> {
        let (package, version) = (self.get("Package")?, self.get("Version")?);
        let source = self.get("Source").unwrap_or(package);
        Some(match source.split_once('(') {
            Some((name, version)) => {
                (name.trim().to_owned(), version.trim_end().trim_end_matches(')').trim().to_owned())
            }
            None => (source.to_owned(), version.to_owned()),
        })
    }
}

impl From<&Stanza<'_>> for Control {
    fn from(stanza: &Stanza<'_>) -> Self {
        Self { fields: stanza.fields().map(|field| (field.name.to_owned(), field.value.to_owned())).collect() }
    }
}

/// Every run of blanks and line ends becomes one space.
fn unfold(value: &str) -> String {
    value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_every_field_in_order() {
        let control =
            Control::parse(b"Package: a\nVersion: 1\nX-Mine: yes\nDepends: b,\n c  (>= 2)\n").unwrap().unwrap();
        let names: Vec<_> = control.fields().map(|(name, _)| name).collect();
        assert_eq!(names, ["Package", "Version", "X-Mine", "Depends"]);
        assert_eq!(control.get("x-mine"), Some("yes"));
        assert_eq!(control.relation("depends"), "b, c (>= 2)");
        assert_eq!(control.relation("Breaks"), "");
    }

    #[test]
    fn a_listing_is_in_dpkgs_order_and_of_single_lines() {
        let text = b"version: 1\nPackage: a\nDescription: short\n long\nDepends: b,\n c\nX-Mine: no\nSuggests:\n";
        let listing = Control::parse(text).unwrap().unwrap().listing();
        let lines: Vec<String> = listing.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(lines, ["Package: a", "Version: 1", "Depends: b, c", "Description: short"]);
    }

    #[test]
    fn one_stanza_and_no_more() {
        assert!(Control::parse(b"\n").unwrap().is_none());
        assert!(Control::parse(b"A: 1\n\nB: 2\n").unwrap().is_none());
    }

    #[test]
    fn a_source_is_named_or_the_package_itself() {
        let source = |text: &[u8]| Control::parse(text).unwrap().unwrap().source().unwrap();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(source(b"Package: a\nVersion: 1+b1\n"), pair("a", "1+b1"));
        assert_eq!(source(b"Package: a\nVersion: 1+b1\nSource: s\n"), pair("s", "1+b1"));
        assert_eq!(source(b"Package: a\nVersion: 1+b1\nSource: s (1)\n"), pair("s", "1"));
    }
}
