//! Debian's `Replaces`: which package may overwrite files of which.
//!
//! Source: Debian policy 7.6.1; the order of versions is that of deb-version(7).

use std::cmp::Ordering;
use std::collections::BTreeSet;

use kiln_model::rule::VersionRange;

use crate::owner::OwnerId;
use crate::request::Member;

/// Who replaces files of whom.
pub(crate) struct Replaces(BTreeSet<(OwnerId, OwnerId)>);

impl Replaces {
    pub fn of(members: &[(OwnerId, &Member)]) -> Self {
        let mut pairs = BTreeSet::new();
        for (owner, member) in members {
            for (name, range) in parse(&member.record.relations.replaces) {
                for (other, target) in members {
                    let matches = target.record.name.as_str() == name
                        && target.record.origin == member.record.origin
                        && range.as_ref().is_none_or(|range| in_range(range, &target.record.version));
                    if matches && other != owner {
                        pairs.insert((*owner, *other));
                    }
                }
            }
        }
        Self(pairs)
    }

    pub fn holds(&self, replacer: OwnerId, replaced: OwnerId) -> bool {
        self.0.contains(&(replacer, replaced))
    }
}

/// Is `version` in the range?
pub(crate) fn in_range(range: &VersionRange, version: &str) -> bool {
    let order = compare(version, &range.version);
    match &*range.operator {
        "<<" => order.is_lt(),
        "<=" => order.is_le(),
        "=" => order.is_eq(),
        ">=" => order.is_ge(),
        _ => order.is_gt(),
    }
}

/// The names of a relation field, each with its range. What cannot be read replaces nothing.
fn parse(field: &str) -> Vec<(&str, Option<VersionRange>)> {
    let mut list = Vec::new();
    for part in field.split([',', '|']) {
        let (name, range) = match part.split_once('(') {
            None => (part, None),
            Some((name, rest)) => {
                match rest.split_once(')').and_then(|(range, _)| range.trim().parse::<VersionRange>().ok()) {
                    Some(range) => (name, Some(range)),
                    None => continue,
                }
            }
        };
        let name = name.trim().split([':', ' ', '[', '<']).next().unwrap_or_default();
        if !name.is_empty() {
            list.push((name, range));
        }
    }
    list
}

/// Compares two Debian versions.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    fn split(version: &str) -> (u64, &str, &str) {
        let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "0"));
        (epoch.parse().unwrap_or(0), upstream, revision)
    }
    let (a, b) = (split(a.trim()), split(b.trim()));
    a.0.cmp(&b.0).then_with(|| part(a.1, b.1)).then_with(|| part(a.2, b.2))
}

/// `~` before the end, the end before letters, letters before everything else.
fn weight(byte: Option<u8>) -> i32 {
    match byte {
        Some(b'~') => -1,
        None | Some(b'0'..=b'9') => 0,
        Some(b) if b.is_ascii_alphabetic() => i32::from(b),
        Some(b) => i32::from(b) + 256,
    }
}

fn part(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while !a.is_empty() || !b.is_empty() {
        loop {
            let (x, y) = (a.first().copied(), b.first().copied());
            let digit = |byte: Option<u8>| byte.is_none_or(|b| b.is_ascii_digit());
            if digit(x) && digit(y) {
                break;
            }
            match weight(x).cmp(&weight(y)) {
                Ordering::Equal => {}
                order => return order,
            }
            a = a.get(1..).unwrap_or_default();
            b = b.get(1..).unwrap_or_default();
        }
        let number = |bytes: &mut &[u8]| {
            let end = bytes.iter().position(|b| !b.is_ascii_digit()).unwrap_or(bytes.len());
            let (digits, rest) = bytes.split_at(end);
            *bytes = rest;
            let start = digits.iter().position(|b| *b != b'0').unwrap_or(digits.len());
            digits[start..].to_vec()
        };
        let (x, y) = (number(&mut a), number(&mut b));
        match x.len().cmp(&y.len()).then_with(|| x.cmp(&y)) {
            Ordering::Equal => {}
            order => return order,
        }
    }
    Ordering::Equal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_versions_as_dpkg_does() {
        for (a, b) in [
            ("1.0~rc1", "1.0"),
            ("1.0", "1.0-1"),
            ("1.0-1", "1.0-1+b1"),
            ("1.9", "1.10"),
            ("9", "1:1"),
            ("1.0a", "1.0+"),
            ("1.0~~", "1.0~"),
            ("2.41-12~", "2.41-12"),
        ] {
            assert_eq!(compare(a, b), Ordering::Less, "{a} {b}");
            assert_eq!(compare(b, a), Ordering::Greater, "{b} {a}");
        }
        assert_eq!(compare("1.00", "1.0"), Ordering::Equal);
        assert_eq!(compare("0:1-0", "1"), Ordering::Equal);
    }

    #[test]
    fn reads_relation_fields() {
        let list = parse("libc6 (<< 2.41-3), foo:any, broken (>> ), bar | baz (= 1)");
        let names: Vec<&str> = list.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["libc6", "foo", "bar", "baz"]);
        let range = list[0].1.as_ref().unwrap();
        assert!(in_range(range, "2.41-2"));
        assert!(!in_range(range, "2.41-3"));
    }
}
