//! Regular expressions of POSIX, as `grep` and `sed` know them, in the words of the crate `regex`.

use regex::{Regex, RegexBuilder};

/// How an expression is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grammar {
    /// A plain text.
    Fixed,
    /// Operators stand behind a backslash.
    Basic,
    /// Operators stand alone.
    Extended,
}

/// The same expression for [`compile`].
pub(super) fn translate(pattern: &str, grammar: Grammar) -> String {
    if grammar == Grammar::Fixed {
        return regex::escape(pattern);
    }
    let mut out = String::new();
    let characters: Vec<char> = pattern.chars().collect();
    let mut index = 0;
    while let Some(c) = characters.get(index).copied() {
        index += 1;
        match c {
            '[' => index = bracket(&characters, index, &mut out),
            '\\' => {
                let Some(next) = characters.get(index).copied() else { break };
                index += 1;
                match next {
                    '(' | ')' | '{' | '}' | '|' | '+' | '?' if grammar == Grammar::Basic => out.push(next),
                    '<' | '>' | 'b' => out.push_str("\\b"),
                    's' | 'S' | 'w' | 'W' | 'd' => out.extend(['\\', next]),
                    'n' => out.push('\n'),
                    't' => out.push('\t'),
                    // A reference to a group: `regex` has none, and refuses this.
                    '1'..='9' => out.push_str("(?=)"),
                    other => out.push_str(&regex::escape(&other.to_string())),
                }
            }
            '(' | ')' | '{' | '}' | '|' | '+' | '?' if grammar == Grammar::Basic => out.extend(['\\', c]),
            '*' if out.is_empty() || out == "^" => out.push_str("\\*"),
            '^' if !out.is_empty() && grammar == Grammar::Basic && !out.ends_with('(') && !out.ends_with('|') => {
                out.push_str("\\^");
            }
            '#' | '&' | '~' | '/' | '-' => out.push_str(&regex::escape(&c.to_string())),
            other => out.push(other),
        }
    }
    out
}

/// A bracket expression, in which a backslash is itself.
fn bracket(characters: &[char], start: usize, out: &mut String) -> usize {
    let mut index = start;
    out.push('[');
    if characters.get(index) == Some(&'^') {
        out.push('^');
        index += 1;
    }
    let first = index;
    while let Some(c) = characters.get(index).copied() {
        index += 1;
        match c {
            ']' if index - 1 > first => {
                out.push(']');
                return index;
            }
            '[' if characters.get(index) == Some(&':') => {
                let rest: String = characters[index - 1..].iter().collect();
                let Some(end) = rest.find(":]") else { break };
                out.push_str(&rest[..end + 2]);
                index += rest[..end + 2].chars().count() - 1;
            }
            '-' => out.push('-'),
            other => out.push_str(&regex::escape(&other.to_string())),
        }
    }
    index
}

/// A large expression is none of a hook.
const MOST_BYTES: usize = 1 << 20;

pub(super) fn compile(pattern: &str, ignores_case: bool) -> Option<Regex> {
    RegexBuilder::new(pattern).case_insensitive(ignores_case).size_limit(MOST_BYTES).build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn posix_expressions_keep_their_meaning() {
        for (pattern, grammar, text, holds) in [
            ("a+", Grammar::Basic, "a+", true),
            ("^a+$", Grammar::Basic, "aa", false),
            ("^a+$", Grammar::Extended, "aa", true),
            ("\\(a\\|b\\)c", Grammar::Basic, "bc", true),
            ("^[[:space:]]*x", Grammar::Basic, "  x", true),
            ("[^:]*:42", Grammar::Basic, "x:42", true),
            ("a.b", Grammar::Fixed, "axb", false),
            ("[\\]", Grammar::Basic, "\\", true),
            ("*a", Grammar::Basic, "*a", true),
        ] {
            let expression = compile(&translate(pattern, grammar), false).unwrap();
            assert_eq!(expression.is_match(text), holds, "{pattern} {text}");
        }
        assert!(compile(&translate("\\(a\\)\\1", Grammar::Basic), false).is_none());
    }
}
