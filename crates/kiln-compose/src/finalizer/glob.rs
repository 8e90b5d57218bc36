//! Shell patterns: `*`, `?`, `[a-z]`, as fnmatch(3) without escapes has them. Used by presets and by tmpfiles.d.

/// Does `name` match `pattern`?
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where to go on when it does not: after the last star, with one character more taken by it.
    let mut back: Option<(usize, usize)> = None;
    loop {
        let step = match pattern.get(p) {
            None if n == name.len() => return true,
            None => None,
            Some('*') => {
                back = Some((p + 1, n));
                p += 1;
                continue;
            }
            Some('?') => (n < name.len()).then_some(p + 1),
            Some('[') => match (set(&pattern[p..]), name.get(n)) {
                (Some((set, length)), Some(c)) => set.holds(*c).then_some(p + length),
                (None, Some('[')) => Some(p + 1),
                _ => None,
            },
            Some(c) => (name.get(n) == Some(c)).then_some(p + 1),
        };
        match (step, back) {
            (Some(next), _) => (p, n) = (next, n + 1),
            (None, Some((after, taken))) if taken < name.len() => {
                (p, n) = (after, taken + 1);
                back = Some((after, taken + 1));
            }
            (None, _) => return false,
        }
    }
}

/// Has it anything that a plain name has not?
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

struct Set<'a> {
    negated: bool,
    members: &'a [char],
}

impl Set<'_> {
    fn holds(&self, c: char) -> bool {
        let mut at = 0;
        let mut found = false;
        while let Some(first) = self.members.get(at) {
            if let (Some('-'), Some(last)) = (self.members.get(at + 1), self.members.get(at + 2)) {
                found |= (*first..=*last).contains(&c);
                at += 3;
            } else {
                found |= *first == c;
                at += 1;
            }
        }
        found != self.negated
    }
}

/// The set that a pattern begins with, and its length in the pattern.
fn set(pattern: &[char]) -> Option<(Set<'_>, usize)> {
    let negated = matches!(pattern.get(1), Some('!' | '^'));
    let start = if negated { 2 } else { 1 };
    // A bracket right at the beginning is a member.
    let end = pattern.iter().skip(start + 1).position(|c| *c == ']')? + start + 1;
    Some((Set { negated, members: &pattern[start..end] }, end + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name) in [
            ("*", ""),
            ("systemd-journal-*.*", "systemd-journal-remote.socket"),
            ("a?c", "abc"),
            ("[a-c]x", "bx"),
            ("[!a]", "b"),
            ("a[", "a["),
            ("*.a*b", "x.acab"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("a", "ab"), ("?", ""), ("[a-c]", "d"), ("*.socket", "a.service"), ("[]a]", "b")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn a_plain_name_matches_itself_alone(name in "[a-z.@-]{0,12}", other in "[a-z.@-]{0,12}") {
            prop_assert!(matches(&name, &name) && matches("*", &name));
            prop_assert_eq!(matches(&name, &other), name == other);
        }

        #[test]
        fn arbitrary_patterns_end(pattern in "[a*?\\[\\]!-]{0,24}", name in "[a\\[-]{0,24}") {
            let _ = matches(&pattern, &name);
        }
    }
}
