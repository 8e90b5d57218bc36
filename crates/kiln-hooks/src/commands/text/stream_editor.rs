//! The part of `sed` that hooks use: substitutions, deleted and printed lines, addresses (POSIX, `sed`).

use std::collections::BTreeMap;

use regex::Regex;

use super::regular::{Grammar, compile, translate};

enum Address {
    Line(usize),
    Last,
    Match(Regex),
}

enum Action {
    Substitute {
        from: Regex,
        to: String,
        all: bool,
        prints: bool,
    },
    Delete,
    Print,
    Quit,
    /// A text of its own before the line, after it, or in its place.
    Insert(String),
    Append(String),
    Change(String),
    /// Goes on behind the end of the block, where it is not for this line.
    Block {
        end: usize,
    },
    /// The end of a block.
    End,
    /// Goes to a place, here its number; with `t` only where something was replaced since the line was read.
    Jump {
        to: usize,
        if_changed: bool,
    },
}

struct Command {
    from: Option<Address>,
    to: Option<Address>,
    negated: bool,
    action: Action,
    active: bool,
}

/// A line goes through so many commands; a loop that goes on is not followed.
const MOST_STEPS: usize = 10_000;

/// What a script makes of a text; none when something in it is not understood.
pub(super) fn run(script: &str, grammar: Grammar, quiet: bool, text: &str) -> Option<String> {
    let mut commands = parse(script, grammar)?;
    let lines: Vec<&str> = text.lines().collect();
    let mut out = String::new();
    for (index, line) in lines.iter().enumerate() {
        let mut line = (*line).to_owned();
        let (mut deleted, mut quits, mut changed) = (false, false, false);
        let (mut after, mut at) = (String::new(), 0);
        for step in 0.. {
            if step == MOST_STEPS {
                return None;
            }
            let Some(command) = commands.get_mut(at) else { break };
            at += 1;
            let selected = command.selects(index + 1, index + 1 == lines.len(), &line) != command.negated;
            if let (Action::Block { end }, false) = (&command.action, selected) {
                at = *end;
            }
            if !selected {
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
                Action::Insert(text) => out.push_str(text),
                Action::Append(text) => after.push_str(text),
                Action::Change(text) => {
                    after.push_str(text);
                    deleted = true;
                    break;
                }
                Action::Block { .. } | Action::End => {}
                Action::Jump { to, if_changed } => {
                    if !if_changed || std::mem::take(&mut changed) {
                        at = *to;
                    }
                }
                Action::Substitute { from, to, all, prints } => {
                    if from.is_match(&line) {
                        line = if *all { from.replace_all(&line, to) } else { from.replace(&line, to) }.into_owned();
                        changed = true;
                        if *prints {
                            out.push_str(&format!("{line}\n"));
                        }
                    }
                }
            }
        }
        if !deleted && !quiet {
            out.push_str(&format!("{line}\n"));
        }
        out.push_str(&after);
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
    let mut commands: Vec<Command> = Vec::new();
    let mut blocks = Vec::new();
    let (mut labels, mut jumps) = (BTreeMap::new(), Vec::new());
    let mut rest = script;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\n', ';']);
        if rest.is_empty() {
            break;
        }
        if rest.starts_with('#') {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
            continue;
        }
        if let Some(after) = rest.strip_prefix(':') {
            let (label, after) = label(after);
            labels.insert(label, commands.len());
            rest = after;
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
            '{' => {
                blocks.push(commands.len());
                commands.push(Command { from, to, negated, action: Action::Block { end: 0 }, active: false });
                rest = characters.as_str();
                continue;
            }
            '}' => {
                let begin: usize = blocks.pop()?;
                commands[begin].action = Action::Block { end: commands.len() };
                Action::End
            }
            mark @ ('b' | 't') => {
                let (label, after) = label(characters.as_str());
                jumps.push((commands.len(), label));
                characters = after.chars();
                Action::Jump { to: 0, if_changed: mark == 't' }
            }
            mark @ ('a' | 'i' | 'c') => {
                let (text, after) = own_text(characters.as_str());
                characters = after.chars();
                match mark {
                    'a' => Action::Append(text),
                    'i' => Action::Insert(text),
                    _ if to.is_some() => return None,
                    _ => Action::Change(text),
                }
            }
            's' => {
                let mark = characters.next()?;
                let body = characters.as_str();
                let (pattern, body) = until(body, mark)?;
                let (replacement, body) = until(body, mark)?;
                let flags: String = body.chars().take_while(char::is_ascii_alphabetic).collect();
                characters = body[flags.len()..].chars();
                if flags.chars().any(|flag| !"gpIi".contains(flag)) {
                    return None;
                }
                Action::Substitute {
                    from: compile(&translate(&with_tabs(&pattern), grammar), flags.contains(['I', 'i']))?,
                    to: replacement_of(&replacement),
                    all: flags.contains('g'),
                    prints: flags.contains('p'),
                }
            }
            _ => return None,
        };
        rest = characters.as_str().trim_start_matches([' ', '\t']);
        let is_own = matches!(action, Action::Append(_) | Action::Insert(_) | Action::Change(_));
        if !is_own && !rest.is_empty() && !rest.starts_with([';', '\n', '#', '}']) {
            return None;
        }
        commands.push(Command { from, to, negated, action, active: false });
    }
    for (at, label) in jumps {
        let target = if label.is_empty() { commands.len() } else { *labels.get(label)? };
        if let Action::Jump { to, .. } = &mut commands[at].action {
            *to = target;
        }
    }
    blocks.is_empty().then_some(commands)
}

/// A label, and what comes after.
fn label(text: &str) -> (&str, &str) {
    let text = text.trim_start_matches([' ', '\t']);
    text.split_at(text.find([' ', '\t', '\n', ';', '}']).unwrap_or(text.len()))
}

/// The text of `a`, `i` or `c`: the rest of the line, and the next one behind a backslash.
fn own_text(text: &str) -> (String, &str) {
    let mut rest = text.trim_start_matches([' ', '\t']);
    if let Some(after) = rest.strip_prefix('\\') {
        rest = after.trim_start_matches([' ', '\t']);
        rest = rest.strip_prefix('\n').unwrap_or(rest);
    }
    let mut found = String::new();
    let mut characters = rest.chars();
    while let Some(c) = characters.next() {
        match c {
            '\n' => break,
            '\\' => found.extend(characters.next()),
            other => found.push(other),
        }
    }
    found.push('\n');
    (found, characters.as_str())
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
    Some(Some(Address::Match(compile(&translate(&with_tabs(&pattern), grammar), false)?)))
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

/// `\t` is a tab to GNU's `sed` wherever it stands, in a bracket too, where to others a backslash is itself.
fn with_tabs(pattern: &str) -> String {
    let mut out = String::new();
    let mut characters = pattern.chars().peekable();
    while let Some(c) = characters.next() {
        match (c, characters.peek()) {
            ('\\', Some('t')) => {
                characters.next();
                out.push('\t');
            }
            ('\\', Some(_)) => {
                out.push(c);
                out.extend(characters.next());
            }
            _ => out.push(c),
        }
    }
    out
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
            ("s/A/x/i;s/C/y/I", Grammar::Basic, false, "x 1\nb 2\n# y\n"),
            ("/b/{s/2/3/;p}", Grammar::Basic, true, "b 3\n"),
            ("/b/{\n/3/{p\n}\n}", Grammar::Basic, true, ""),
            (":a;s/^\\(-*\\)[a-z0-9 ]/\\1-/;ta", Grammar::Basic, false, "---\n---\n# c\n"),
            ("/b/b;s/$/!/", Grammar::Basic, false, "a 1!\nb 2\n# c!\n"),
            ("/b/i\\\nbefore", Grammar::Basic, false, "a 1\nbefore\nb 2\n# c\n"),
            ("s/[ \\t1]*$/!/", Grammar::Basic, false, "a!\nb 2!\n# c!\n"),
            ("2a after", Grammar::Basic, false, "a 1\nb 2\nafter\n# c\n"),
            ("1c\\\nnew", Grammar::Basic, false, "new\nb 2\n# c\n"),
        ] {
            assert_eq!(run(script, grammar, quiet, text).as_deref(), Some(wanted), "{script}");
        }
        for script in ["y/a/b/", "s/a/b/e", "w file", "s/a", "{p", "p}", "1,", "b nowhere", ":a;ba"] {
            assert!(run(script, Grammar::Basic, false, text).is_none(), "{script}");
        }
    }
}
