//! The part of `sed` that hooks use: substitutions, deleted and printed lines, addresses (POSIX, `sed`).

use regex::Regex;

use super::regular::{Grammar, compile, translate};

enum Address {
    Line(usize),
    Last,
    Match(Regex),
}

enum Action {
    Substitute { from: Regex, to: String, all: bool, prints: bool },
    Delete,
    Print,
    Quit,
}

struct Command {
    from: Option<Address>,
    to: Option<Address>,
    negated: bool,
    action: Action,
    active: bool,
}

/// What a script makes of a text; none when something in it is not understood.
pub(super) fn run(script: &str, grammar: Grammar, quiet: bool, text: &str) -> Option<String> {
    let mut commands = parse(script, grammar)?;
    let lines: Vec<&str> = text.lines().collect();
    let mut out = String::new();
    for (index, line) in lines.iter().enumerate() {
        let mut line = (*line).to_owned();
        let (mut deleted, mut quits) = (false, false);
        for command in &mut commands {
            if command.selects(index + 1, index + 1 == lines.len(), &line) == command.negated {
                continue;
            }
            match &command.action {
                Action::Delete => {
                    deleted = true;
                    break;
                }
                Action::Print => out.push_str(&format!("{line}\n")),
                Action::Quit => {
                    quits = true;
                    break;
                }
                Action::Substitute { from, to, all, prints } => {
                    let changed = if *all { from.replace_all(&line, to) } else { from.replace(&line, to) };
                    let changed = changed.into_owned();
                    if *prints && changed != line {
                        out.push_str(&format!("{changed}\n"));
                    }
                    line = changed;
                }
            }
        }
        if !deleted && !quiet {
            out.push_str(&format!("{line}\n"));
        }
        if quits {
            break;
        }
    }
    Some(out)
}

impl Command {
    fn selects(&mut self, number: usize, is_last: bool, line: &str) -> bool {
        let holds = |address: &Address| match address {
            Address::Line(wanted) => *wanted == number,
            Address::Last => is_last,
            Address::Match(expression) => expression.is_match(line),
        };
        match (&self.from, &self.to) {
            (None, _) => true,
            (Some(from), None) => holds(from),
            (Some(from), Some(to)) => {
                if self.active {
                    self.active = !holds(to);
                    return true;
                }
                // GNU's `0,/x/` may end at the very first line.
                let begins = holds(from) || (matches!(from, Address::Line(0)) && number == 1);
                if begins {
                    self.active = match (from, to) {
                        (Address::Line(0), to) => !holds(to),
                        (_, Address::Line(last)) => number < *last,
                        _ => true,
                    };
                }
                begins
            }
        }
    }
}

fn parse(script: &str, grammar: Grammar) -> Option<Vec<Command>> {
    let mut commands = Vec::new();
    let mut rest = script;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\n', ';']);
        if rest.is_empty() {
            return Some(commands);
        }
        if rest.starts_with('#') {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
            continue;
        }
        let from = address(&mut rest, grammar)?;
        let mut to = None;
        if let Some(after) = rest.strip_prefix(',') {
            rest = after;
            to = Some(address(&mut rest, grammar)??);
        }
        rest = rest.trim_start();
        let negated = rest.starts_with('!');
        rest = rest.trim_start_matches(['!', ' ']);
        let mut characters = rest.chars();
        let action = match characters.next()? {
            'd' => Action::Delete,
            'p' => Action::Print,
            'q' => Action::Quit,
            's' => {
                let mark = characters.next()?;
                let body = characters.as_str();
                let (pattern, body) = until(body, mark)?;
                let (replacement, body) = until(body, mark)?;
                let flags: String = body.chars().take_while(char::is_ascii_alphabetic).collect();
                characters = body[flags.len()..].chars();
                if flags.chars().any(|flag| !"gpI".contains(flag)) {
                    return None;
                }
                Action::Substitute {
                    from: compile(&translate(&pattern, grammar), flags.contains('I'))?,
                    to: replacement_of(&replacement),
                    all: flags.contains('g'),
                    prints: flags.contains('p'),
                }
            }
            _ => return None,
        };
        rest = characters.as_str().trim_start_matches([' ', '\t']);
        if !rest.is_empty() && !rest.starts_with([';', '\n', '#', '}']) {
            return None;
        }
        commands.push(Command { from, to, negated, action, active: false });
    }
}

/// An address at the beginning of a text, if there is one.
#[allow(clippy::option_option, reason = "nothing there and not understood are two things")]
fn address(rest: &mut &str, grammar: Grammar) -> Option<Option<Address>> {
    let text = *rest;
    if let Some(after) = text.strip_prefix('$') {
        *rest = after;
        return Some(Some(Address::Last));
    }
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if digits > 0 {
        *rest = &text[digits..];
        return Some(Some(Address::Line(text[..digits].parse().ok()?)));
    }
    let (mark, body) = match text.strip_prefix('\\') {
        Some(after) => (after.chars().next()?, &after[after.chars().next()?.len_utf8()..]),
        None => match text.strip_prefix('/') {
            Some(body) => ('/', body),
            None => return Some(None),
        },
    };
    let (pattern, after) = until(body, mark)?;
    *rest = after;
    Some(Some(Address::Match(compile(&translate(&pattern, grammar), false)?)))
}

/// The text before a mark that stands behind no backslash, and what comes after.
fn until(text: &str, mark: char) -> Option<(String, &str)> {
    let mut found = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        if c == mark {
            return Some((found, &text[at + mark.len_utf8()..]));
        }
        found.push(c);
        if c == '\\' {
            let (_, next) = characters.next()?;
            if next == mark {
                found.pop();
            }
            found.push(next);
        }
    }
    None
}

/// A replacement in the words of `regex`: `&` and `\1` are groups, `$` is itself.
fn replacement_of(text: &str) -> String {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '$' => out.push_str("$$"),
            '&' => out.push_str("${0}"),
            '\\' => match characters.next() {
                Some(digit @ '0'..='9') => out.push_str(&format!("${{{digit}}}")),
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('$') => out.push_str("$$"),
                Some(other) => out.push(other),
                None => {}
            },
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_do_what_sed_does() {
        let text = "a 1\nb 2\n# c\n";
        for (script, grammar, quiet, wanted) in [
            ("s/a/x&x/", Grammar::Basic, false, "xax 1\nb 2\n# c\n"),
            ("/^#/d", Grammar::Basic, false, "a 1\nb 2\n"),
            ("s/\\(.\\) \\(.\\)/\\2 \\1/", Grammar::Basic, false, "1 a\n2 b\nc #\n"),
            ("/b/p", Grammar::Basic, true, "b 2\n"),
            ("1d;$d", Grammar::Basic, false, "b 2\n"),
            ("2,3d", Grammar::Basic, false, "a 1\n"),
            ("s,[0-9]+,$,g", Grammar::Extended, false, "a $\nb $\n# c\n"),
            ("/b/!d", Grammar::Basic, false, "b 2\n"),
        ] {
            assert_eq!(run(script, grammar, quiet, text).as_deref(), Some(wanted), "{script}");
        }
        for script in ["y/a/b/", "s/a/b/e", "w file", "s/a", "{p", "1,"] {
            assert!(run(script, Grammar::Basic, false, text).is_none(), "{script}");
        }
    }
}
