//! Patterns of the shell: `*`, `?`, `[...]`, as in `case` and in the removal of prefixes (POSIX, 2.13).

/// Does the whole `text` match? A backslash takes the next character as it is.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    // Positions of the pattern that can be reached, so that no pattern takes more than length times length.
    let mut at = vec![false; pattern.len() + 1];
    at[0] = true;
    skip_stars(&pattern, &mut at);
    for c in text {
        let mut next = vec![false; pattern.len() + 1];
        for (index, _) in at.iter().enumerate().filter(|(_, reached)| **reached) {
            let Some(first) = pattern.get(index) else { continue };
            match first {
                '*' => next[index] = true,
                '?' => next[index + 1] = true,
                '[' => match bracket(&pattern[index..], c) {
                    Some((length, true)) => next[index + length] = true,
                    Some((_, false)) => {}
                    None if c == '[' => next[index + 1] = true,
                    None => {}
                },
                '\\' if pattern.get(index + 1) == Some(&c) => next[index + 2] = true,
                '\\' => {}
                plain if *plain == c => next[index + 1] = true,
                _ => {}
            }
        }
        skip_stars(&pattern, &mut next);
        at = next;
    }
    at[pattern.len()]
}

fn skip_stars(pattern: &[char], at: &mut [bool]) {
    for index in 0..pattern.len() {
        if at[index] && pattern[index] == '*' {
            at[index + 1] = true;
        }
    }
}

/// A bracket expression: how long it is, and whether `c` is in it. None when it is not closed.
fn bracket(pattern: &[char], c: char) -> Option<(usize, bool)> {
    let mut index = 1;
    let negated = matches!(pattern.get(1), Some('!' | '^'));
    index += usize::from(negated);
    let mut found = false;
    let start = index;
    loop {
        let first = *pattern.get(index)?;
        if first == ']' && index > start {
            return Some((index + 1, found != negated));
        }
        if first == '[' && pattern.get(index + 1) == Some(&':') {
            let length = pattern[index + 2..].iter().position(|c| *c == ':')?;
            let class: String = pattern[index + 2..index + 2 + length].iter().collect();
            found |= match class.as_str() {
                "alnum" => c.is_ascii_alphanumeric(),
                "alpha" => c.is_ascii_alphabetic(),
                "digit" => c.is_ascii_digit(),
                "lower" => c.is_ascii_lowercase(),
                "space" => c.is_ascii_whitespace(),
                "upper" => c.is_ascii_uppercase(),
                _ => return None,
            };
            index += length + 4;
            continue;
        }
        match (pattern.get(index + 1), pattern.get(index + 2)) {
            (Some('-'), Some(last)) if *last != ']' => {
                found |= (first..=*last).contains(&c);
                index += 3;
            }
            _ => {
                found |= first == c;
                index += 1;
            }
        }
    }
}

/// Is there anything in `text` that a pattern would take for more than itself?
pub(crate) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// `text` with everything in it taken as it is.
pub(crate) fn literal(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_match_as_in_the_shell() {
        for (pattern, text, holds) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("?", "é", true),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[[:digit:]]*", "7z", true),
            ("[x", "[x", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("install|upgrade", "install", false),
        ] {
            assert_eq!(matches(pattern, text), holds, "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn a_literal_matches_itself_and_nothing_else(a in "[a-c*?\\[\\]\\\\]{0,8}", b in "[a-c*?\\[\\]\\\\]{0,8}") {
            prop_assert!(matches(&literal(&a), &a));
            prop_assert_eq!(matches(&literal(&a), &b), a == b);
        }

        #[test]
        fn no_pattern_takes_forever(stars in "[*a]{0,200}", text in "a{0,200}b") {
            let _ = matches(&stars, &text);
        }
    }
}
