//! Debian's machine-readable copyright files (DEP-5): `/usr/share/doc/PACKAGE/copyright`.
//!
//! What such a file declares of the package as a whole is its header's `License`; else it is all that its `Files`
//! paragraphs name. A short name that means a licence of the SPDX list beyond doubt becomes that one ([`SAME`]); any
//! other is kept with its text. A file that is not in this form says nothing here: reading prose would be guessing.

use std::collections::BTreeMap;

use crate::Licence;

/// A larger copyright file is left alone.
const LARGEST: usize = 4 << 20;

/// Debian's short names, and the names of SPDX for the same text. The versions that Debian writes with `+` are "or later".
/// Not here are names that different texts go by, such as `MIT`, `BSD`, `Artistic` and `public-domain`.
const SAME: &[(&str, &str)] = &[
    ("AGPL-3", "AGPL-3.0-only"),
    ("AGPL-3+", "AGPL-3.0-or-later"),
    ("Apache-2", "Apache-2.0"),
    ("BSD-2-clause", "BSD-2-Clause"),
    ("BSD-3-clause", "BSD-3-Clause"),
    ("CC0", "CC0-1.0"),
    ("Expat", "MIT"),
    ("GFDL-1.2", "GFDL-1.2-only"),
    ("GFDL-1.2+", "GFDL-1.2-or-later"),
    ("GFDL-1.3", "GFDL-1.3-only"),
    ("GFDL-1.3+", "GFDL-1.3-or-later"),
    ("GFDL-NIV-1.2", "GFDL-1.2-no-invariants-only"),
    ("GFDL-NIV-1.2+", "GFDL-1.2-no-invariants-or-later"),
    ("GFDL-NIV-1.3", "GFDL-1.3-no-invariants-only"),
    ("GFDL-NIV-1.3+", "GFDL-1.3-no-invariants-or-later"),
    ("GPL-1", "GPL-1.0-only"),
    ("GPL-1+", "GPL-1.0-or-later"),
    ("GPL-2", "GPL-2.0-only"),
    ("GPL-2+", "GPL-2.0-or-later"),
    ("GPL-3", "GPL-3.0-only"),
    ("GPL-3+", "GPL-3.0-or-later"),
    ("LGPL-2", "LGPL-2.0-only"),
    ("LGPL-2+", "LGPL-2.0-or-later"),
    ("LGPL-2.1", "LGPL-2.1-only"),
    ("LGPL-2.1+", "LGPL-2.1-or-later"),
    ("LGPL-3", "LGPL-3.0-only"),
    ("LGPL-3+", "LGPL-3.0-or-later"),
    ("ZLIB", "Zlib"),
];

/// Names that both lists have, for the same text.
const COMMON: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Artistic-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC-BY-SA-3.0",
    "CC-BY-SA-4.0",
    "CC0-1.0",
    "CDDL-1.0",
    "EPL-1.0",
    "EPL-2.0",
    "ISC",
    "MPL-1.1",
    "MPL-2.0",
    "OFL-1.1",
    "Unlicense",
    "Zlib",
];

/// The licence that a copyright file declares; unknown when it is not in the machine-readable form.
#[must_use]
pub fn licence(bytes: &[u8]) -> Licence {
    let Some(text) = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= LARGEST) else {
        return Licence::unknown();
    };
    let paragraphs = paragraphs(text);
    let Some(header) = paragraphs.first() else { return Licence::unknown() };
    let format = header.get("format").map_or("", |format| format.first.as_str());
    if !format.contains("/copyright-format/1.0") && !format.contains("dep.debian.net/deps/dep5") {
        return Licence::unknown();
    }
    // A licence's text stands once, in a paragraph of its own or where it is first named.
    let mut texts: BTreeMap<&str, &str> = BTreeMap::new();
    for field in paragraphs.iter().filter_map(|paragraph| paragraph.get("license")) {
        if !field.rest.is_empty() {
            texts.entry(&field.first).or_insert(&field.rest);
        }
    }
    let of = |field: &Field| synopsis(&field.first, &texts);
    if let Some(field) = header.get("license") {
        return of(field);
    }
    let files = paragraphs.iter().filter(|paragraph| paragraph.contains_key("files"));
    Licence::all(files.filter_map(|paragraph| paragraph.get("license")).map(of))
}

/// A field: its first line, and the lines after it.
#[derive(Debug, Default)]
struct Field {
    first: String,
    rest: String,
}

fn paragraphs(text: &str) -> Vec<BTreeMap<String, Field>> {
    let mut all: Vec<BTreeMap<String, Field>> = Vec::new();
    let mut current: BTreeMap<String, Field> = BTreeMap::new();
    let mut name: Option<String> = None;
    for line in text.lines() {
        if line.trim().is_empty() {
            all.extend(Some(std::mem::take(&mut current)).filter(|paragraph| !paragraph.is_empty()));
            name = None;
        } else if line.starts_with([' ', '\t']) {
            if let Some(field) = name.as_ref().and_then(|name| current.get_mut(name)) {
                let line = line.trim();
                field.rest.push_str(if line == "." { "" } else { line });
                field.rest.push('\n');
            }
        } else if let Some((key, value)) = line.split_once(':').filter(|_| !line.starts_with('#')) {
            let key = key.trim().to_ascii_lowercase();
            current.insert(key.clone(), Field { first: value.trim().to_owned(), rest: String::new() });
            name = Some(key);
        }
    }
    all.extend(Some(current).filter(|paragraph| !paragraph.is_empty()));
    all
}

/// The first line of a `License` field: names with `and`, `or` and commas. `and` binds closer than `or`, and a comma before
/// the word less than either.
fn synopsis(line: &str, texts: &BTreeMap<&str, &str>) -> Licence {
    let words: Vec<&str> = line.split_whitespace().collect();
    // `GPL-2+ with OpenSSL exception`: an exception's name there is none of SPDX's, so the whole is a name.
    let joins = |word: &&str| matches!(word.to_ascii_lowercase().as_str(), "and" | "or");
    if words.is_empty() || words.iter().any(|word| word.eq_ignore_ascii_case("with")) || texts.contains_key(line) {
        return name(line, texts);
    }
    let after_comma = |(index, word): (usize, &&str)| index > 0 && joins(word) && words[index - 1].ends_with(',');
    let cuts: Vec<usize> = words.iter().enumerate().filter(|found| after_comma(*found)).map(|(i, _)| i).collect();
    let Some(first) = cuts.first() else { return plain(&words, texts).unwrap_or_else(|| name(line, texts)) };
    // Two words after commas, and not one: which binds closer nothing says.
    if cuts.iter().any(|cut| !words[*cut].eq_ignore_ascii_case(words[*first])) {
        return name(line, texts);
    }
    let mut parts = Vec::new();
    let mut start = 0;
    for end in cuts.iter().copied().chain([words.len()]) {
        let Some(part) = plain(&words[start..end], texts) else { return name(line, texts) };
        parts.push(part);
        start = end + 1;
    }
    if words[*first].eq_ignore_ascii_case("and") { Licence::all(parts) } else { Licence::any(parts) }
}

/// Names joined by `and` and `or`; none when two names follow each other.
fn plain(words: &[&str], texts: &BTreeMap<&str, &str>) -> Option<Licence> {
    let is = |word: &str, wanted: &str| word.eq_ignore_ascii_case(wanted);
    let mut alternatives = Vec::new();
    for alternative in words.split(|word| is(word, "or")) {
        let mut parts = Vec::new();
        for part in alternative.split(|word| is(word, "and")) {
            let [one] = part else { return None };
            parts.push(name(one.trim_end_matches(','), texts));
        }
        alternatives.push(Licence::all(parts));
    }
    Some(Licence::any(alternatives))
}

fn name(name: &str, texts: &BTreeMap<&str, &str>) -> Licence {
    if name.is_empty() {
        return Licence::unknown();
    }
    if let Some((_, listed)) = SAME.iter().find(|(debian, _)| *debian == name) {
        return Licence::declared(listed);
    }
    if COMMON.contains(&name) {
        return Licence::declared(name);
    }
    Licence::named(name, texts.get(name).copied().unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORMAT: &str = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n";

    fn of(rest: &str) -> Option<String> {
        licence(format!("{FORMAT}{rest}").as_bytes()).expression()
    }

    #[test]
    fn what_the_files_are_under_all_holds() {
        let text =
            "\nFiles: *\nCopyright: A\nLicense: GPL-2+\n\nFiles: doc/*\nCopyright: B\nLicense: Expat or Apache-2.0\n";
        assert_eq!(of(text).as_deref(), Some("(Apache-2.0 OR MIT) AND GPL-2.0-or-later"));
    }

    #[test]
    fn the_header_speaks_for_the_whole() {
        assert_eq!(of("License: LGPL-2.1+\n\nFiles: *\nLicense: Expat\n").as_deref(), Some("LGPL-2.1-or-later"));
    }

    #[test]
    fn and_binds_closer_than_or_and_a_comma_less_than_either() {
        let of = |line: &str| of(&format!("\nFiles: *\nLicense: {line}\n"));
        assert_eq!(of("ISC or Expat and ZLIB").as_deref(), Some("ISC OR (MIT AND Zlib)"));
        assert_eq!(of("ISC or Expat, and ZLIB").as_deref(), Some("(ISC OR MIT) AND Zlib"));
        assert!(of("ISC, or Expat, and ZLIB").unwrap().starts_with("LicenseRef-"));
    }

    #[test]
    fn a_name_of_many_meanings_is_kept_with_its_text() {
        let text = format!("{FORMAT}\nFiles: *\nLicense: BSD\n\nLicense: BSD\n Do what\n .\n you like.\n");
        let licence = licence(text.as_bytes());
        let (reference, named) = licence.references().first_key_value().unwrap();
        assert_eq!(licence.expression().as_ref(), Some(reference));
        assert_eq!((&*named.name, &*named.text), ("BSD", "Do what\n\nyou like.\n"));
        assert!(of("\nFiles: *\nLicense: GPL-2+ with OpenSSL exception\n").unwrap().starts_with("LicenseRef-GPL-2"));
    }

    #[test]
    fn prose_says_nothing() {
        assert_eq!(licence(b"This package is under the GPL.\n"), Licence::unknown());
        assert_eq!(licence(b"License: GPL-2\n"), Licence::unknown());
        assert_eq!(licence(b"\xff"), Licence::unknown());
    }

    #[test]
    fn every_listed_name_is_one_of_spdx() {
        for listed in SAME.iter().map(|(_, listed)| listed).chain(COMMON) {
            assert!(::spdx::license_id(listed).is_some(), "{listed}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = licence(&bytes);
        }

        #[test]
        fn what_is_declared_is_always_an_expression(line in "[A-Za-z0-9+., ()-]{0,12}( and | or |, and | with )?[A-Za-z+ ]{0,8}") {
            if let Some(expression) = of(&format!("\nFiles: *\nLicense: {line}\n")) {
                prop_assert!(::spdx::Expression::parse(&expression).is_ok(), "{expression}");
            }
        }
    }
}
