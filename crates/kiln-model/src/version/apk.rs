//! The order of Alpine's versions: `{number}{.number}...{letter}{_suffix{number}}...{-rN}`, as `apk version -t` has it.
//!
//! A version is a list of parts. The first part in which two versions differ decides; where one has nothing more, the
//! longer one is the later, unless it goes on with a suffix of a pre-release (`_alpha`, `_beta`, `_pre`, `_rc`).

use std::cmp::Ordering;

/// Suffixes in their order. The first four come before the version they are added to.
const SUFFIXES: [&str; 9] = ["alpha", "beta", "pre", "rc", "cvs", "svn", "git", "hg", "p"];

/// How many of [`SUFFIXES`] mean a release that is yet to come.
const BEFORE: usize = 4;

/// One part of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part<'a> {
    /// The first number, or one without a leading zero, after a dot.
    Number(&'a str),
    /// A number with a leading zero after a dot: a fraction, compared digit by digit.
    Fraction(&'a str),
    /// The letter after the numbers.
    Letter(u8),
    /// A suffix, by its place among [`SUFFIXES`].
    Suffix(usize),
    /// The number of a suffix.
    SuffixNumber(&'a str),
    /// The number after `-r`.
    Revision(&'a str),
    /// What is no part of a version: compared as text.
    Odd(&'a str),
}

impl Part<'_> {
    /// Where a kind of part stands when another kind is in its place.
    const fn rank(&self) -> u8 {
        match self {
            Self::Odd(_) => 0,
            Self::Revision(_) => 1,
            Self::SuffixNumber(_) => 2,
            Self::Suffix(_) => 3,
            Self::Letter(_) => 4,
            Self::Number(_) | Self::Fraction(_) => 5,
        }
    }

    const fn is_before(&self) -> bool {
        matches!(self, Self::Suffix(place) if *place < BEFORE)
    }
}

fn number(digits: &str) -> (usize, &str) {
    let digits = digits.trim_start_matches('0');
    (digits.len(), digits)
}

fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = text;
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    while !rest.is_empty() {
        let last = parts.last();
        let numeric = matches!(last, Some(Part::Number(_) | Part::Fraction(_)));
        let first = rest.as_bytes()[0];
        let counted = matches!(last, Some(Part::Suffix(_)));
        let (part, after) = if first.is_ascii_digit() && (counted || matches!(last, None | Some(Part::Letter(_)))) {
            let (run, after) = rest.split_at(digits(rest));
            (if counted { Part::SuffixNumber(run) } else { Part::Number(run) }, after)
        } else if first == b'.' && numeric && digits(&rest[1..]) > 0 {
            let (run, after) = rest[1..].split_at(digits(&rest[1..]));
            (if run.starts_with('0') && run.len() > 1 { Part::Fraction(run) } else { Part::Number(run) }, after)
        } else if first.is_ascii_lowercase() && numeric {
            (Part::Letter(first), &rest[1..])
        } else if let Some(place) = rest.strip_prefix('_').and_then(suffix)
            && !matches!(last, None | Some(Part::Revision(_)))
        {
            (Part::Suffix(place), &rest[1 + SUFFIXES[place].len()..])
        } else if let Some(after) =
            rest.strip_prefix("-r").filter(|after| digits(after) == after.len() && !after.is_empty())
            && last.is_some()
        {
            (Part::Revision(after), "")
        } else {
            (Part::Odd(rest), "")
        };
        parts.push(part);
        rest = after;
    }
    parts
}

fn suffix(text: &str) -> Option<usize> {
    let letters = text.bytes().take_while(u8::is_ascii_lowercase).count();
    SUFFIXES.iter().position(|suffix| *suffix == &text[..letters])
}

/// Is `text` a version as Alpine's packages have it?
#[must_use]
pub fn is_version(text: &str) -> bool {
    !text.is_empty() && parts(text).iter().all(|part| !matches!(part, Part::Odd(_)))
}

/// Compares two versions as `apk` does.
#[must_use]
pub fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (parts(a), parts(b));
    for place in 0.. {
        let order = match (a.get(place), b.get(place)) {
            (None, None) => break,
            (Some(more), None) => {
                if more.is_before() {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
            (None, Some(more)) => {
                if more.is_before() {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
            (Some(x), Some(y)) => part(x, y),
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

fn part(x: &Part<'_>, y: &Part<'_>) -> Ordering {
    match (x, y) {
        (Part::Number(x), Part::Number(y))
        | (Part::SuffixNumber(x), Part::SuffixNumber(y))
        | (Part::Revision(x), Part::Revision(y)) => number(x).cmp(&number(y)),
        // With a zero in front on either side both are fractions: `1.02` is before `1.1`.
        (Part::Number(x) | Part::Fraction(x), Part::Number(y) | Part::Fraction(y)) => x.cmp(y),
        (Part::Letter(x), Part::Letter(y)) => x.cmp(y),
        (Part::Suffix(x), Part::Suffix(y)) => x.cmp(y),
        (Part::Odd(x), Part::Odd(y)) => x.cmp(y),
        // One of them goes on with a pre-release: that is the earlier one.
        (x, y) if x.is_before() != y.is_before() => y.is_before().cmp(&x.is_before()),
        (x, y) => x.rank().cmp(&y.rank()),
    }
}

/// Is `version` one of those that `prefix` begins, part by part: what `~` asks for? `1.2` begins `1.2.3-r0`, not `1.20`.
#[must_use]
pub fn begins(prefix: &str, version: &str) -> bool {
    let (prefix, version) = (parts(prefix), parts(version));
    prefix.len() <= version.len() && prefix.iter().zip(&version).all(|(x, y)| part(x, y).is_eq())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn orders_as_apk_does() {
        let ascending = [
            "0.1",
            "1_alpha",
            "1_alpha2",
            "1_beta",
            "1_pre1",
            "1_rc1",
            "1",
            "1-r0",
            "1-r9",
            "1-r10",
            "1_git20200101",
            "1_p1",
            "1_p1-r1",
            "1a",
            "1b",
            "1.0",
            "1.02",
            "1.1",
            "1.1.1",
            "1.2",
            "1.10",
            "2.0_rc1-r0",
            "2.0-r0",
            "2.0.0",
            "10",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a} {b}");
            }
        }
        assert_eq!(compare("1.0-r01", "1.0-r1"), Ordering::Equal);
    }

    #[test]
    fn tells_what_is_no_version() {
        for good in ["1", "1.2.3-r0", "1.2a_p1-r3", "20240315-r1", "1.0_alpha1_git20200101-r0"] {
            assert!(is_version(good), "{good}");
        }
        for bad in ["", "a", "1..2", "1-r", "1_new", "1-1", "1.2 ", "-r1", "1-r1_p1"] {
            assert!(!is_version(bad), "{bad}");
        }
    }

    #[test]
    fn a_fuzzy_version_is_a_beginning_part_by_part() {
        for (prefix, version, holds) in [
            ("1.2", "1.2.3-r0", true),
            ("1.2", "1.2-r5", true),
            ("1.2", "1.20", false),
            ("1.2.3", "1.2", false),
            ("3.12", "3.12", true),
            ("1", "2", false),
        ] {
            assert_eq!(begins(prefix, version), holds, "{prefix} {version}");
        }
    }

    proptest! {
        #[test]
        fn is_antisymmetric_on_any_text(a in ".{0,10}", b in "[0-9.a-z_r-]{0,10}", c in "([0-9]{1,2}[.]){0,3}[0-9]{1,2}(_rc|_p)?[0-9]?(-r[0-9])?") {
            for (x, y) in [(&a, &b), (&b, &c), (&a, &c)] {
                prop_assert_eq!(compare(x, y), compare(y, x).reverse());
                prop_assert_eq!(compare(x, x), Ordering::Equal);
            }
        }

        #[test]
        fn is_a_total_order_on_versions(all in proptest::collection::vec("([0-3][.]){0,2}[0-2]{1,2}[ab]?(_rc|_p|_git)?[0-1]?(-r[0-1])?", 3)) {
            let (a, b, c) = (&all[0], &all[1], &all[2]);
            if compare(a, b).is_le() && compare(b, c).is_le() {
                prop_assert!(compare(a, c).is_le(), "{} {} {}", a, b, c);
            }
        }
    }
}
