//! Debian's `Replaces`: which package may overwrite files of which.
//!
//! Source: Debian policy 7.6.1; the order of versions is that of deb-version(7).

use std::collections::BTreeSet;

use kiln_model::debian_version::compare;
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

#[cfg(test)]
mod tests {
    use super::*;

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
