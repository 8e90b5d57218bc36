//! The part of `sed` that hooks use: substitutions, deleted and printed lines, addresses (POSIX, `sed`).

use std::collections::BTreeMap;

use regex::Regex;

use super::regular::{Grammar, compile, is_longer, translate};

enum Address {
    Line(usize),
    Last,
    Match(Regex),
}

enum Action {
    Substitute {
        from: Regex,
        to: String,
        /// The first match that is replaced, from 1; all after it too with `all`.
        first: usize,
        all: bool,
        prints: bool,
    },
    /// Puts characters in the place of others.
    Characters(BTreeMap<char, char>),
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
    let lines: Vec<&str> = text.split_terminator('\n').collect();
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
                Action::Characters(characters) => {
                    line = line.chars().map(|c| characters.get(&c).copied().unwrap_or(c)).collect();
                }
                Action::Substitute { from, to, first, all, prints } => {
                    if let Some(replaced) = substituted(&line, from, to, *first, *all)? {
                        line = replaced;
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
            return Some(out);
        }
    }
    // A last line without an end is left without one.
    if !text.is_empty() && !text.ends_with('\n') {
        out.pop();
    }
    Some(out)
}

/// A line with some of its matches replaced; `Some(None)` without any, none where POSIX might take a longer match.
#[allow(clippy::option_option, reason = "nothing replaced and not followed are two things")]
fn substituted(line: &str, from: &Regex, to: &str, first: usize, all: bool) -> Option<Option<String>> {
    let (mut out, mut end, mut any) = (String::new(), 0, false);
    for (index, found) in from.captures_iter(line).enumerate() {
        let whole = found.get(0)?;
        if index + 1 < first {
            continue;
        }
        if is_longer(from, line, whole.start(), whole.end()) {
            return None;
        }
        out.push_str(&line[end..whole.start()]);
        found.expand(to, &mut out);
        (end, any) = (whole.end(), true);
        if !all {
            break;
        }
    }
    out.push_str(&line[end..]);
    Some(any.then_some(out))
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
                let (pattern, body) = until(body, mark, true)?;
                let (replacement, body) = until(body, mark, false)?;
                // Between flags there may be spaces.
                let is_flag = |c: &char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '\t');
                let flags: String = body.chars().take_while(is_flag).collect();
                characters = body[flags.len()..].chars();
                if flags.chars().any(|flag| !"gpIi \t0123456789".contains(flag)) {
                    return None;
                }
                let number: String = flags.chars().filter(char::is_ascii_digit).collect();
                Action::Substitute {
                    from: expression(&pattern, grammar, flags.contains(['I', 'i']))?,
                    to: replacement_of(&replacement)?,
                    first: if number.is_empty() { 1 } else { number.parse().ok().filter(|first| *first > 0)? },
                    all: flags.contains('g'),
                    prints: flags.contains('p'),
                }
            }
            'y' => {
                let mark = characters.next()?;
                let (from, body) = until(characters.as_str(), mark, false)?;
                let (to, body) = until(body, mark, false)?;
                characters = body.chars();
                let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
                if from.len() != to.len() || from.contains(&'\\') || to.contains(&'\\') {
                    return None;
                }
                // The first of two that are the same counts.
                Action::Characters(from.into_iter().zip(to).rev().collect())
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
    let (pattern, after) = until(body, mark, true)?;
    let ignores_case = after.starts_with('I');
    *rest = &after[usize::from(ignores_case)..];
    Some(Some(Address::Match(expression(&pattern, grammar, ignores_case)?)))
}

/// An expression. None where it is empty: that stands for the last one that was used.
fn expression(pattern: &str, grammar: Grammar, ignores_case: bool) -> Option<Regex> {
    if pattern.is_empty() { None } else { compile(&translate(&with_controls(pattern), grammar), ignores_case) }
}

/// The text before a mark that stands behind no backslash, nor in brackets of a pattern, and what comes after.
fn until(text: &str, mark: char, is_pattern: bool) -> Option<(String, &str)> {
    let (mut found, mut rest) = (String::new(), text);
    while let Some(c) = rest.chars().next() {
        let length = if is_pattern { bracket(rest) } else { None };
        if let Some(length) = length.filter(|_| c != mark) {
            found.push_str(&rest[..length]);
            rest = &rest[length..];
            continue;
        }
        rest = &rest[c.len_utf8()..];
        if c == mark {
            return Some((found, rest));
        }
        found.push(c);
        if c == '\\' {
            let next = rest.chars().next()?;
            if next == mark {
                found.pop();
            }
            found.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    None
}

/// The length of the bracket expression that a text begins with.
fn bracket(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('[')?;
    let inside = inside.strip_prefix('^').unwrap_or(inside);
    // What comes first is in it, a closing bracket too; so is what closes a class.
    let mut at = text.len() - inside.len() + inside.chars().next()?.len_utf8();
    if inside.starts_with("[:") {
        at -= 1;
    }
    loop {
        let rest = &text[at..];
        let c = rest.chars().next()?;
        at += match c {
            ']' => return Some(at + 1),
            '\n' => return None,
            '[' if rest.starts_with("[:") => rest.find(":]")? + 2,
            other => other.len_utf8(),
        };
    }
}

/// `\t` is a tab to GNU's `sed` wherever it stands, in a bracket too, where to others a backslash is itself. So are others.
fn with_controls(pattern: &str) -> String {
    let mut out = String::new();
    let mut characters = pattern.chars().peekable();
    while let Some(c) = characters.next() {
        match (c, characters.peek().copied()) {
            ('\\', Some(next)) => {
                characters.next();
                match control(next) {
                    Some(control) => out.push(control),
                    None => out.extend([c, next]),
                }
            }
            _ => out.push(c),
        }
    }
    out
}

fn control(letter: char) -> Option<char> {
    match letter {
        't' => Some('\t'),
        'r' => Some('\r'),
        'f' => Some('\u{c}'),
        'v' => Some('\u{b}'),
        'a' => Some('\u{7}'),
        _ => None,
    }
}

/// A replacement in the words of `regex`: `&` and `\1` are groups, `$` is itself. None where it changes case, and the like.
fn replacement_of(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '$' => out.push_str("$$"),
            '&' => out.push_str("${0}"),
            '\\' => match characters.next() {
                Some(digit @ '0'..='9') => out.push_str(&format!("${{{digit}}}")),
                Some('n') => out.push('\n'),
                Some('$') => out.push_str("$$"),
                Some(letter) if letter.is_ascii_alphabetic() => out.push(control(letter)?),
                Some(other) => out.push(other),
                None => {}
            },
            other => out.push(other),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_lines_are_left_as_they_are() {
        for (text, wanted) in [("a\r\nb", "x\r\nb"), ("b\na", "b\nx"), ("a\n", "x\n"), ("", ""), ("\n", "\n")] {
            assert_eq!(run("s/a/x/", Grammar::Basic, false, text).as_deref(), Some(wanted), "{text:?}");
        }
    }

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
            ("s/a/x/ p", Grammar::Basic, true, "x 1\n"),
            ("/^[[:blank:]]*b/ { \ts#^b[[:blank:]]*## \tp\n\t}", Grammar::Basic, true, "2\n"),
            ("s/./x/3", Grammar::Basic, false, "a x\nb x\n# x\n"),
            ("s/./x/2g", Grammar::Basic, false, "axx\nbxx\n#xx\n"),
            ("y/ab/ba/", Grammar::Basic, false, "b 1\na 2\n# c\n"),
            ("s/[/ ]/-/", Grammar::Basic, false, "a-1\nb-2\n#-c\n"),
            ("s/[]/ ]/-/;s/[[:alpha:]/]//", Grammar::Basic, false, "-1\n-2\n#-\n"),
            ("/B/Id", Grammar::Basic, false, "a 1\n# c\n"),
            ("1c\\\nnew", Grammar::Basic, false, "new\nb 2\n# c\n"),
        ] {
            assert_eq!(run(script, grammar, quiet, text).as_deref(), Some(wanted), "{script}");
        }
        for script in [
            "y/a/bc/",
            "s//b/",
            "s/a/\\U&/",
            "s/a/b/0",
            "s/a\\|a 1//",
            "s/a/b/e",
            "w file",
            "s/a",
            "{p",
            "p}",
            "1,",
            "b nowhere",
            ":a;ba",
        ] {
            assert!(run(script, Grammar::Basic, false, text).is_none(), "{script}");
        }
    }
}
