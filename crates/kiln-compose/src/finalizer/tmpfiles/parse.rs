//! The lines of tmpfiles.d(5).
//!
//! A line that depends on the machine or on its being started (`%m`, `%b`, credentials, `!`) says nothing of an image and
//! is left out; so is what only cleaning up is for. What cannot be read is handed back.

use kiln_model::TreePath;

/// What a line is to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    /// `d`, `D`, `v`, `q`, `Q`.
    Directory,
    /// `f`; with `+`, or `F`, its content is replaced.
    File,
    /// `L`; with `?` only when its target is there.
    Link { only_if_there: bool },
    /// `C`.
    Copy,
    /// `p`.
    Pipe,
    /// `c`.
    Character,
    /// `b`.
    Block,
    /// `z`, `m`, and `Z`.
    Adjust { recursive: bool },
}

/// A mode, owner or group as a line gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field<T> {
    pub value: T,
    /// `:` before it: only for what is made.
    pub only_new: bool,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub action: Action,
    /// `+`: replaces what is there.
    pub force: bool,
    /// The path, or a pattern of paths for [`Action::Adjust`].
    pub path: TreePath,
    pub mode: Option<Field<u16>>,
    /// `~` before the mode: masked by what is there.
    pub masked: bool,
    pub user: Option<Field<String>>,
    pub group: Option<Field<String>>,
    pub argument: Option<String>,
}

/// Which line could not be read, and why.
pub(super) type LineFault = (usize, String);

/// Reads a file.
pub(super) fn read(bytes: &[u8]) -> (Vec<Line>, Vec<LineFault>) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return (Vec::new(), vec![(1, "it is not UTF-8".to_owned())]);
    };
    let (mut lines, mut faults) = (Vec::new(), Vec::new());
    for (number, text) in text.lines().enumerate() {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        match line(text) {
            Ok(line) => lines.extend(line),
            Err(why) => faults.push((number + 1, why)),
        }
    }
    (lines, faults)
}

fn line(text: &str) -> Result<Option<Line>, String> {
    let (words, rest) = words(text)?;
    let [Some(kind), Some(path), mode, user, group, _age] = words.each_ref().map(|word| word.as_deref()) else {
        return Err("it has no path".to_owned());
    };
    let mut letters = kind.chars();
    let letter = letters.next().unwrap_or_default();
    let modifiers: &str = letters.as_str();
    if let Some(unknown) = modifiers.chars().find(|c| !"+!-=~^$?".contains(*c)) {
        return Err(format!("`{unknown}` after `{letter}` is not known"));
    }
    // Only when the machine starts, or from what it is given then.
    if modifiers.contains(['!', '^', '~']) {
        return Ok(None);
    }
    let Some(action) = action(letter, modifiers)? else {
        return Ok(None);
    };
    let (Some(path), Some(argument)) =
        (expand(path)?, rest.as_deref().map(expand).transpose()?.map_or(Some(None), |argument| argument.map(Some)))
    else {
        return Ok(None);
    };
    let path = path.trim_end_matches('/').to_owned();
    let path = TreePath::from_absolute(if path.is_empty() { "/" } else { &path }).map_err(|error| error.to_string())?;
    let given = |word: Option<&str>| word.filter(|word| !matches!(*word, "-" | "")).map(str::to_owned);
    let (mode, masked) = read_mode(given(mode))?;
    let name = |word: Option<&str>| -> Result<Option<Field<String>>, String> {
        let Some(word) = given(word) else { return Ok(None) };
        let (only_new, name) = word.strip_prefix(':').map_or((false, word.as_str()), |name| (true, name));
        match expand(name)? {
            Some(value) => Ok(Some(Field { value, only_new })),
            None => Err(format!("`{name}` cannot be told before the machine runs")),
        }
    };
    let argument = argument.filter(|argument| argument != "-").map(|text| unescape(&text));
    let force = modifiers.contains('+') || letter == 'F';
    Ok(Some(Line { action, force, path, mode, masked, user: name(user)?, group: name(group)?, argument }))
}

fn action(letter: char, modifiers: &str) -> Result<Option<Action>, String> {
    Ok(Some(match letter {
        'd' | 'D' | 'v' | 'q' | 'Q' => Action::Directory,
        'f' | 'F' => Action::File,
        'L' => Action::Link { only_if_there: modifiers.contains('?') },
        'C' => Action::Copy,
        'p' => Action::Pipe,
        'c' => Action::Character,
        'b' => Action::Block,
        'z' | 'm' => Action::Adjust { recursive: false },
        'Z' => Action::Adjust { recursive: true },
        // Adjusts directories alone, as `d` does where one is.
        'e' => return Ok(None),
        // Cleaning up, and what a file system may not have: attributes, access lists.
        'x' | 'X' | 'r' | 'R' | 'h' | 'H' | 't' | 'T' | 'a' | 'A' => return Ok(None),
        // Writing to what is there is for the kernel's own files.
        'w' => return Ok(None),
        _ => return Err(format!("`{letter}` is not a kind of line that is known")),
    }))
}

fn read_mode(text: Option<String>) -> Result<(Option<Field<u16>>, bool), String> {
    let Some(text) = text else {
        return Ok((None, false));
    };
    let digits = text.trim_start_matches(['~', ':']);
    let value = u16::from_str_radix(digits, 8).ok().filter(|bits| *bits <= 0o7777);
    let value = value.ok_or_else(|| format!("`{}` is not a mode", text.escape_default()))?;
    let prefix = &text[..text.len() - digits.len()];
    Ok((Some(Field { value, only_new: prefix.contains(':') }), prefix.contains('~')))
}

/// Six words, and the rest of the line; quotes hold a word together.
fn words(text: &str) -> Result<([Option<String>; 6], Option<String>), String> {
    let mut words: [Option<String>; 6] = Default::default();
    let mut rest = text;
    for place in &mut words {
        rest = rest.trim_start();
        if rest.is_empty() {
            break;
        }
        let (mut word, mut quote, mut end) = (String::new(), None, rest.len());
        let mut characters = rest.char_indices();
        while let Some((at, c)) = characters.next() {
            match (quote, c) {
                (Some(q), c) if q == c => quote = None,
                (None, '"' | '\'') => quote = Some(c),
                (_, '\\') => match characters.next() {
                    // What else is escaped is for the one who uses the word.
                    Some((_, next)) if matches!(next, '"' | '\'' | '\\' | ' ') => word.push(next),
                    Some((_, next)) => word.extend(['\\', next]),
                    None => return Err("it ends with a backslash".to_owned()),
                },
                (None, c) if c.is_whitespace() => {
                    end = at;
                    break;
                }
                (_, c) => word.push(c),
            }
        }
        if quote.is_some() {
            return Err("a quote does not end".to_owned());
        }
        *place = Some(word);
        rest = &rest[end..];
    }
    let rest = rest.trim();
    let bare = ['"', '\''].iter().find_map(|quote| rest.strip_prefix(*quote)?.strip_suffix(*quote)).unwrap_or(rest);
    Ok((words, (!rest.is_empty()).then(|| bare.to_owned())))
}

/// The specifiers that are the same on every machine; none when there is another one.
fn expand(text: &str) -> Result<Option<String>, String> {
    let mut filled = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        if c != '%' {
            filled.push(c);
            continue;
        }
        filled.push_str(match characters.next() {
            Some('%') => "%",
            Some('C') => "/var/cache",
            Some('g' | 'u') => "root",
            Some('G' | 'U') => "0",
            Some('h') => "/root",
            Some('L') => "/var/log",
            Some('S') => "/var/lib",
            Some('t') => "/run",
            Some('T') => "/tmp",
            Some('V') => "/var/tmp",
            Some('a' | 'A' | 'b' | 'B' | 'H' | 'l' | 'm' | 'M' | 'o' | 'v' | 'w' | 'W') => return Ok(None),
            Some(other) => return Err(format!("`%{other}` is not a specifier")),
            None => return Err("it ends with `%`".to_owned()),
        });
    }
    Ok(Some(filled))
}

/// Escapes of C in the content of a file.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match characters.next() {
            Some('n') => plain.push('\n'),
            Some('t') => plain.push('\t'),
            Some('r') => plain.push('\r'),
            Some('s') => plain.push(' '),
            Some(other @ ('\\' | '"' | '\'')) => plain.push(other),
            Some(other) => plain.extend(['\\', other]),
            None => plain.push('\\'),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_every_field() {
        let text = b"# c\nd /var/lib/x :2750 root :adm 1w -\nf+ \"/etc/a b\" - - - - one\\ntwo\nL? /etc/l - - - - ../t\nZ %S/x ~0640 u - -\n";
        let (lines, faults) = read(text);
        assert_eq!(faults, []);
        assert_eq!(lines[0].mode, Some(Field { value: 0o2750, only_new: true }));
        assert_eq!(lines[0].group, Some(Field { value: "adm".into(), only_new: true }));
        assert_eq!((lines[1].path.to_string(), lines[1].force), ("/etc/a b".to_owned(), true));
        assert_eq!(lines[1].argument.as_deref(), Some("one\ntwo"));
        assert_eq!(lines[2].action, Action::Link { only_if_there: true });
        assert_eq!((lines[3].path.to_string(), lines[3].masked), ("/var/lib/x".to_owned(), true));
    }

    #[test]
    fn what_only_a_running_machine_knows_is_left_out() {
        let text = b"L! /etc/x - - - - y\nf^ /etc/y - - - - c\nz /var/log/journal/%m 2755\nx /tmp/a*\nr! /b\nh /v - - - - +C\n";
        assert_eq!(read(text), (Vec::new(), Vec::new()));
        assert_eq!(read(b"d relative\nk /x\nd /a%q\nd\n").1.len(), 4);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
        }

        #[test]
        fn arbitrary_lines_never_panic(text in "[dDfLCzZx][+!?]{0,2} [/a-z%\"' \\\\:~0-9-]{0,60}\n") {
            let _ = read(text.as_bytes());
        }
    }
}
