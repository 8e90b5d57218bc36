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
    /// As Perl has it, and `regex`, which refuses what it has not.
    Perl,
}

/// What [`compile`] refuses: it stands for what `regex` has not, and for what POSIX leaves open.
const NOT_FOLLOWED: &str = "(?=)";

/// The same expression for [`compile`].
pub(super) fn translate(pattern: &str, grammar: Grammar) -> String {
    match grammar {
        Grammar::Fixed => return regex::escape(pattern),
        Grammar::Perl => return pattern.to_owned(),
        Grammar::Basic | Grammar::Extended => {}
    }
    let basic = grammar == Grammar::Basic;
    let mut out = String::new();
    let characters: Vec<char> = pattern.chars().collect();
    let mut index = 0;
    // Is nothing before this, in the expression or the group or the alternative? And if so, an anchor?
    let (mut begins, mut anchored) = (true, false);
    while let Some(c) = characters.get(index).copied() {
        index += 1;
        let first = begins;
        (begins, anchored) = (false, std::mem::take(&mut anchored) && first);
        match c {
            '[' => index = bracket(&characters, index, &mut out),
            '\\' => {
                let Some(next) = characters.get(index).copied() else { break };
                index += 1;
                match next {
                    '(' | ')' | '{' | '}' | '|' | '+' | '?' if basic => {
                        out.push(next);
                        begins = matches!(next, '(' | '|');
                    }
                    '<' => out.push_str("\\b{start}"),
                    '>' => out.push_str("\\b{end}"),
                    '`' => out.push_str("\\A"),
                    '\'' => out.push_str("\\z"),
                    'b' | 'B' | 's' | 'S' | 'w' | 'W' => out.extend(['\\', next]),
                    'n' => out.push('\n'),
                    't' => out.push('\t'),
                    // References to groups among others.
                    other if other.is_ascii_alphanumeric() => out.push_str(NOT_FOLLOWED),
                    other => out.push_str(&regex::escape(&other.to_string())),
                }
            }
            '(' | ')' | '{' | '}' | '|' | '+' | '?' if basic => out.extend(['\\', c]),
            '(' | '|' => {
                out.push(c);
                begins = true;
            }
            '*' if first && basic => out.push_str("\\*"),
            '*' | '+' | '?' | '{' if first => out.push_str(NOT_FOLLOWED),
            // In a basic expression an anchor is one only where it can hold; elsewhere it is itself.
            '^' if first && !anchored => {
                out.push(c);
                (begins, anchored) = (true, true);
            }
            '^' if basic => out.push_str("\\^"),
            '$' if basic && !ends(&characters[index..]) => out.push_str("\\$"),
            '#' | '&' | '~' | '/' | '-' => out.push_str(&regex::escape(&c.to_string())),
            other => out.push(other),
        }
    }
    out
}

/// Is what comes next the end of a basic expression, of a group in it, or of an alternative?
fn ends(rest: &[char]) -> bool {
    matches!(rest, [] | ['\\', ')' | '|', ..])
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

/// Of several matches at one place POSIX takes the longest, and `regex` that of the first alternative that holds.
pub(super) fn is_longer(expression: &Regex, line: &str, start: usize, end: usize) -> bool {
    if !expression.as_str().contains('|') {
        return false;
    }
    let Some(whole) = compile(&format!("^(?:{})$", expression.as_str()), true) else { return true };
    let ends = (end + 1..=line.len()).filter(|end| line.is_char_boundary(*end));
    ends.into_iter().any(|end| whole.is_match(&line[start..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_of_basic_expressions_are_themselves_where_they_cannot_hold() {
        for (pattern, text, holds) in [
            ("a$b", "a$b", true),
            ("$a", "$a", true),
            ("x$*y", "x$$y", true),
            ("a$\\|b", "xa", true),
            ("a$\\|b", "a$", false),
            ("\\(a$\\)", "ab", false),
            ("a$)", "a$)", true),
            ("a$", "a$b", false),
            ("a^b", "a^b", true),
            ("\\(^a\\)", "ba", false),
            ("b\\|^a", "ca", false),
            ("(^a", "(^a", true),
            ("(^a", "(a", false),
            ("^^a", "^a", true),
            ("^*a", "*a", true),
            ("^*a", "a", false),
            ("\\(*a\\)", "(a", false),
            ("^$", "", true),
        ] {
            let expression = compile(&translate(pattern, Grammar::Basic), false).unwrap();
            assert_eq!(expression.is_match(text), holds, "{pattern} {text}");
        }
    }

    #[test]
    fn anchors_of_extended_expressions_are_anchors_everywhere() {
        for (pattern, text, holds) in
            [("a$b", "a$b", false), ("a^b", "a^b", false), ("(a$|^b)", "ca", true), ("x|^y", "ay", false)]
        {
            let expression = compile(&translate(pattern, Grammar::Extended), false).unwrap();
            assert_eq!(expression.is_match(text), holds, "{pattern} {text}");
        }
        for open in ["*a", "(+a)", "a|?b", "^*a", "\\da"] {
            assert!(compile(&translate(open, Grammar::Extended), false).is_none(), "{open}");
        }
    }

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
            ("\\<b\\>", Grammar::Basic, "a b", true),
            ("a\\>", Grammar::Basic, "ab", false),
            ("^\\d+$", Grammar::Perl, "42", true),
        ] {
            let expression = compile(&translate(pattern, grammar), false).unwrap();
            assert_eq!(expression.is_match(text), holds, "{pattern} {text}");
        }
        assert!(compile(&translate("\\(a\\)\\1", Grammar::Basic), false).is_none());
    }
}
