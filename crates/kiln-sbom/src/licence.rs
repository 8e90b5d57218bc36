//! What is known of a licence, as SPDX says it.
//!
//! An expression of the SPDX list is taken as it is. A name that is not on the list is kept as a reference of this
//! document (`LicenseRef-...`) to what was said, word for word: nothing is made to fit.

use std::collections::{BTreeMap, BTreeSet};

use ::spdx::{Expression, LicenseItem, ParseMode};
use kiln_model::Digest;

/// What the list of SPDX allows: also names that were on it once.
const MODE: ParseMode = ParseMode {
    allow_slash_as_or_operator: false,
    allow_imprecise_license_names: false,
    allow_postfix_plus_on_gpl: true,
    allow_deprecated: true,
    allow_unknown: false,
};

/// The longest part of a name that a reference repeats.
const LONGEST: usize = 60;

/// A licence, or several.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Licence {
    /// Expressions that all hold.
    all: BTreeSet<String>,
    named: BTreeMap<String, Named>,
}

/// A licence that is not on the list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// What it is called where it is declared.
    pub name: String,
    /// What is said there; its name, if nothing else.
    pub text: String,
}

impl Licence {
    /// Nothing is known.
    #[must_use]
    pub fn unknown() -> Self {
        Self::default()
    }

    /// As a recipe declares it: an SPDX expression, or else a name.
    #[must_use]
    pub fn declared(text: &str) -> Self {
        let text = text.trim();
        if text.is_empty() {
            return Self::unknown();
        }
        let Ok(expression) = Expression::parse_mode(text, MODE) else { return Self::named(text, text) };
        let mut named = BTreeMap::new();
        for part in expression.requirements() {
            match &part.req.license {
                LicenseItem::Spdx { .. } => {}
                LicenseItem::Other(other) if other.doc_ref.is_none() => {
                    let name = other.lic_ref.clone();
                    named.insert(format!("LicenseRef-{name}"), Named { text: name.clone(), name });
                }
                // A document that nobody has.
                LicenseItem::Other(_) => return Self::named(text, text),
            }
        }
        Self { all: [text.to_owned()].into(), named }
    }

    /// A name that is not on the list, and what is said of it.
    #[must_use]
    pub fn named(name: &str, text: &str) -> Self {
        let text = if text.trim().is_empty() { name } else { text };
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
        let shown: String = name.chars().take(LONGEST).map(plain).collect();
        // Two packages may mean two texts by one name.
        let digest = Digest::of(format!("{name}\0{text}").as_bytes()).to_hex();
        let reference = format!("LicenseRef-{}-{}", shown.trim_matches('-'), &digest[..12]);
        let named = Named { name: name.to_owned(), text: text.to_owned() };
        Self { all: [reference.clone()].into(), named: [(reference, named)].into() }
    }

    /// All of these hold. Those of which nothing is known say nothing.
    #[must_use]
    pub fn all(licences: impl IntoIterator<Item = Self>) -> Self {
        let mut whole = Self::unknown();
        for licence in licences {
            whole.all.extend(licence.all);
            whole.named.extend(licence.named);
        }
        whole
    }

    /// One of these may be chosen. Those of which nothing is known are no choice.
    #[must_use]
    pub fn any(licences: impl IntoIterator<Item = Self>) -> Self {
        let (mut choices, mut named) = (BTreeSet::new(), BTreeMap::new());
        for licence in licences {
            choices.extend(licence.expression());
            named.extend(licence.named);
        }
        Self { all: joined(&choices, " OR ").into_iter().collect(), named }
    }

    /// An SPDX expression; none when nothing is known.
    #[must_use]
    pub fn expression(&self) -> Option<String> {
        joined(&self.all, " AND ")
    }

    /// The licences of the expression that are not on the list, by their references.
    #[must_use]
    pub const fn references(&self) -> &BTreeMap<String, Named> {
        &self.named
    }
}

/// Expressions as one; none of none.
fn joined(expressions: &BTreeSet<String>, word: &str) -> Option<String> {
    if expressions.len() < 2 {
        return expressions.first().cloned();
    }
    let bracketed = |text: &String| if text.contains(' ') { format!("({text})") } else { text.clone() };
    Some(expressions.iter().map(bracketed).collect::<Vec<_>>().join(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_of_the_list_is_taken_as_it_is() {
        for text in ["MIT", "Apache-2.0 OR MIT", "GPL-2.0-only WITH Classpath-exception-2.0", "GPL-2.0+"] {
            let licence = Licence::declared(text);
            assert_eq!(licence.expression().as_deref(), Some(text));
            assert!(licence.references().is_empty());
        }
        assert_eq!(Licence::declared(" ").expression(), None);
    }

    #[test]
    fn what_is_not_on_the_list_is_kept_word_for_word() {
        let licence = Licence::declared("BSD-like, see COPYING");
        let (reference, named) = licence.references().first_key_value().unwrap();
        assert_eq!(licence.expression().as_ref(), Some(reference));
        assert!(reference.starts_with("LicenseRef-BSD-like--see-COPYING-"), "{reference}");
        assert_eq!(named.text, "BSD-like, see COPYING");
        assert_ne!(licence, Licence::declared("BSD-like; see COPYING"));

        let licence = Licence::declared("MIT AND LicenseRef-ours");
        assert_eq!(licence.expression().as_deref(), Some("MIT AND LicenseRef-ours"));
        assert_eq!(licence.references()["LicenseRef-ours"].text, "ours");
    }

    #[test]
    fn several_are_joined_in_one_order_and_each_once() {
        let [mit, isc] = ["MIT", "ISC"].map(Licence::declared);
        let either = Licence::any([mit.clone(), isc.clone()]);
        let all = Licence::all([mit.clone(), either.clone(), mit, Licence::unknown()]);
        assert_eq!(all.expression().as_deref(), Some("(ISC OR MIT) AND MIT"));
        assert_eq!(Licence::all([isc.clone(), isc]).expression().as_deref(), Some("ISC"));
        let nested = Licence::all([Licence::all(["MIT", "ISC"].map(Licence::declared)), Licence::declared("Zlib")]);
        assert_eq!(nested.expression().as_deref(), Some("ISC AND MIT AND Zlib"));
        assert_eq!(Licence::all([]), Licence::unknown());
    }
}
