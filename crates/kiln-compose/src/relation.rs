//! `Replaces`: which package may overwrite files of which, as each kind of archive has it.
//!
//! Sources: Debian policy 7.6.1; `replaces` and `replaces_priority` of APKBUILD(5). Of two of Alpine's packages that may
//! both overwrite the other's, the one with the higher priority does.

use std::collections::BTreeSet;

use kiln_model::rule::VersionRange;
use kiln_model::{ArchiveKind, version};

use crate::owner::OwnerId;
use crate::request::Member;

/// Who replaces files of whom.
pub(crate) struct Replaces(BTreeSet<(OwnerId, OwnerId)>);

impl Replaces {
    pub fn of(members: &[(OwnerId, &Member)]) -> Self {
        let mut pairs = BTreeSet::new();
        for (owner, member) in members {
            let relations = &member.record.relations;
            for (name, range) in parse(relations.syntax, &relations.replaces) {
                for (other, target) in members {
                    let matches = target.record.name.as_str() == name
                        && target.record.origin == member.record.origin
                        && range.as_ref().is_none_or(|r| in_range(relations.syntax, r, &target.record.version));
                    if matches && other != owner {
                        pairs.insert((*owner, *other));
                    }
                }
            }
        }
        let priority = |owner: &OwnerId| {
            let member = members.iter().find(|(of, _)| of == owner);
            member.map_or(0, |(_, member)| priority(&member.record.relations.replaces))
        };
        let overruled = |(a, b): &(OwnerId, OwnerId)| pairs.contains(&(*b, *a)) && priority(b) > priority(a);
        Self(pairs.iter().filter(|pair| !overruled(pair)).copied().collect())
    }

    pub fn holds(&self, replacer: OwnerId, replaced: OwnerId) -> bool {
        self.0.contains(&(replacer, replaced))
    }
}

/// Is `version` in the range?
pub(crate) fn in_range(kind: ArchiveKind, range: &VersionRange, version: &str) -> bool {
    let order = version::compare(kind, version, &range.version);
    match &*range.operator {
        "<<" => order.is_lt(),
        "<=" => order.is_le(),
        "=" => order.is_eq(),
        ">=" => order.is_ge(),
        _ => order.is_gt(),
    }
}

/// The names of a relation field, each with its range. What cannot be read replaces nothing.
fn parse(kind: ArchiveKind, field: &str) -> Vec<(&str, Option<VersionRange>)> {
    match kind {
        ArchiveKind::Deb => parse_deb(field),
        ArchiveKind::Apk => field.split_ascii_whitespace().filter_map(parse_apk).collect(),
        // RPM's packages never overwrite each other's files.
        ArchiveKind::Oci | ArchiveKind::Rpm => Vec::new(),
    }
}

/// The priority that is kept behind the names: `a b @5`.
fn priority(field: &str) -> u32 {
    field.split_ascii_whitespace().find_map(|word| word.strip_prefix('@')?.parse().ok()).unwrap_or(0)
}

fn parse_apk(word: &str) -> Option<(&str, Option<VersionRange>)> {
    let operator = |c: char| matches!(c, '<' | '>' | '=' | '~');
    let at = word.find(operator).unwrap_or(word.len());
    let (name, rest) = word.split_at(at);
    if name.is_empty() || name.starts_with('@') {
        return None;
    }
    if rest.is_empty() {
        return Some((name, None));
    }
    let version = rest.trim_start_matches(operator);
    // Alpine's `<` and `>` are what rules write as `<<` and `>>`.
    let operator = match &rest[..rest.len() - version.len()] {
        "<" => "<<",
        ">" => ">>",
        other @ ("<=" | "=" | ">=") => other,
        _ => return None,
    };
    Some((name, Some(VersionRange { operator: operator.into(), version: version.into() })))
}

fn parse_deb(field: &str) -> Vec<(&str, Option<VersionRange>)> {
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
        let list = parse_deb("libc6 (<< 2.41-3), foo:any, broken (>> ), bar | baz (= 1)");
        let names: Vec<&str> = list.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["libc6", "foo", "bar", "baz"]);
        let range = list[0].1.as_ref().unwrap();
        assert!(in_range(ArchiveKind::Deb, range, "2.41-2"));
        assert!(!in_range(ArchiveKind::Deb, range, "2.41-3"));
    }

    #[test]
    fn reads_alpines_fields() {
        let list = parse(ArchiveKind::Apk, "a b<1.2 c~1 @5");
        assert_eq!(list.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["a", "b"]);
        assert!(in_range(ArchiveKind::Apk, list[1].1.as_ref().unwrap(), "1.2_rc1"));
        assert_eq!((priority("a b @5"), priority("a")), (5, 0));
    }
}
