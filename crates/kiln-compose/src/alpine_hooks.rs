//! What the scripts of Alpine's packages come to, without running any.
//!
//! Nearly all that do anything make the accounts of a service, with constant arguments to busybox's `addgroup` and
//! `adduser`: those become facts. Every other line is named, never guessed at.

use kiln_hooks::{Became, Outcome, Place, Reading, Unfollowed};
use kiln_model::facts::{Directory, Group, User};
use kiln_model::name::AccountName;
use kiln_model::{Facts, TreePath};

/// Reads a script into what the hooks of its package come to: accounts and their homes, and the first line that is not
/// understood, after which nothing is.
pub(crate) fn read(script: &str, text: &str, reading: &mut Reading) {
    for (index, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') || matches!(line, "exit 0" | "true" | ":" | "set -e") {
            continue;
        }
        let place = Place { script: script.to_owned(), line: index + 1 };
        match command(line, &mut reading.facts) {
            Some((kind, name)) => {
                let became = Became::Fact(kind, name);
                reading.outcomes.push(Outcome { place, command: line.to_owned(), became });
            }
            None => {
                let why = "of Alpine's scripts only constant calls of `addgroup` and `adduser` are followed".to_owned();
                reading.unfollowed.push(Unfollowed { place, text: line.to_owned(), why });
                return;
            }
        }
    }
}

/// Reads one command into a kind of fact and what it is about; none when it is not understood.
fn command(line: &str, facts: &mut Facts) -> Option<(&'static str, String)> {
    // What becomes of messages and of an account that is there already makes no difference on a fresh tree.
    let mut line = line;
    for ending in ["|| true", "|| :", "2>&1", "2>/dev/null", "1>/dev/null", "&>/dev/null", ">/dev/null"] {
        line = line.trim_end().strip_suffix(ending).unwrap_or(line);
    }
    let words = words(line)?;
    let (name, rest) = words.split_first()?;
    let arguments = Arguments::of(rest)?;
    match name.as_str() {
        "addgroup" => addgroup(&arguments, facts),
        "adduser" => adduser(&arguments, facts),
        _ => None,
    }
}

/// The words of a line that says the same in every shell, whatever its state.
fn words(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), c) if c == open => quote = None,
            (_, '$' | '`' | '\\') => return None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, ' ' | '\t') => words.extend(word.take()),
            (None, '|' | '&' | ';' | '<' | '>' | '*' | '?' | '(' | ')' | '{' | '}' | '[' | ']' | '#' | '~' | '!') => {
                return None;
            }
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// Options of `adduser` and `addgroup`, and what follows them.
struct Arguments<'a> {
    flags: Vec<char>,
    values: Vec<(char, &'a str)>,
    operands: Vec<&'a str>,
}

impl<'a> Arguments<'a> {
    fn of(words: &'a [String]) -> Option<Self> {
        let mut found = Self { flags: Vec::new(), values: Vec::new(), operands: Vec::new() };
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            let Some(letters) = word.strip_prefix('-') else {
                found.operands.push(word);
                continue;
            };
            for (at, letter) in letters.char_indices() {
                match letter {
                    'S' | 'D' | 'H' => found.flags.push(letter),
                    'h' | 'g' | 's' | 'G' | 'u' | 'k' => {
                        let attached = &letters[at + letter.len_utf8()..];
                        found.values.push((letter, if attached.is_empty() { rest.next()? } else { attached }));
                        break;
                    }
                    _ => return None,
                }
            }
        }
        Some(found)
    }

    fn value(&self, letter: char) -> Option<&'a str> {
        self.values.iter().find(|(found, _)| *found == letter).map(|(_, value)| *value)
    }
}

fn addgroup(arguments: &Arguments<'_>, facts: &mut Facts) -> Option<(&'static str, String)> {
    match arguments.operands[..] {
        [group] => {
            let id = arguments.value('g').map(str::parse).transpose().ok()?;
            let declared: &mut Group = facts.groups.entry(group.parse().ok()?).or_default();
            declared.id = declared.id.or(id);
            Some(("group", group.to_owned()))
        }
        [user, group] => {
            let user: AccountName = user.parse().ok()?;
            facts.groups.entry(group.parse().ok()?).or_default().members.insert(user);
            Some(("group", group.to_owned()))
        }
        _ => None,
    }
}

fn adduser(arguments: &Arguments<'_>, facts: &mut Facts) -> Option<(&'static str, String)> {
    let [name] = arguments.operands[..] else { return None };
    let system = arguments.flags.contains(&'S');
    let home = arguments.value('h').map_or_else(|| format!("/home/{name}"), str::to_owned);
    let name: AccountName = name.parse().ok()?;
    // Without `-G` a service's user is in `nogroup`, a person's in a group of its own.
    let group: Option<AccountName> = match arguments.value('G') {
        Some(group) => Some(group.parse().ok()?),
        None if system => Some("nogroup".parse().ok()?),
        None => None,
    };
    let home = TreePath::from_absolute(&home).ok()?;
    if !arguments.flags.contains(&'H') && !home.is_root() && !home.as_str().starts_with("dev/") {
        let directory = Directory { owner: Some(name.clone()), group: group.clone(), mode: None };
        facts.directories.insert(home.clone(), directory);
    }
    let shell = arguments.value('s').unwrap_or(if system { "/sbin/nologin" } else { "/bin/sh" });
    let user = User {
        id: arguments.value('u').map(str::parse).transpose().ok()?,
        group,
        home: Some(home),
        shell: Some(TreePath::from_absolute(shell).ok()?),
        summary: arguments.value('g').map(str::to_owned),
        ..User::default()
    };
    let about = name.to_string();
    facts.users.insert(name, user);
    Some(("user", about))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> (Facts, Option<String>) {
        let mut reading = Reading::default();
        super::read(".post-install", text, &mut reading);
        (reading.facts, reading.unfollowed.pop().map(|told| told.text))
    }

    #[test]
    fn accounts_of_a_service_become_facts() {
        let text = "#!/bin/sh\n\naddgroup -S -g 82 www-data 2>/dev/null\naddgroup -S nginx 2>/dev/null\nadduser -S -D -H -h /var/lib/nginx -s /sbin/nologin -G nginx -g 'nginx worker' nginx 2>/dev/null\naddgroup nginx www-data >/dev/null 2>&1 || true\n\nexit 0\n";
        let (facts, unknown) = read(text);
        assert_eq!(unknown, None);
        assert_eq!(facts.groups["www-data"].id, Some(82));
        assert!(facts.groups["www-data"].members.contains("nginx"));
        let nginx = &facts.users["nginx"];
        assert_eq!(nginx.home.as_ref().unwrap().as_str(), "var/lib/nginx");
        assert_eq!(nginx.group.as_ref().unwrap().as_str(), "nginx");
        assert_eq!(nginx.summary.as_deref(), Some("nginx worker"));
        assert!(facts.directories.is_empty(), "-H makes no home");
        let (facts, unknown) = read("adduser -SDu 500 -h /var/x x\n");
        assert_eq!(unknown, None);
        assert_eq!(facts.users["x"].id, Some(500));
        assert_eq!(facts.users["x"].group.as_ref().unwrap().as_str(), "nogroup");
        assert_eq!(facts.directories.len(), 1);
    }

    #[test]
    fn whatever_else_is_told_and_not_guessed() {
        for line in [
            "mkdir /var/x",
            "adduser $name",
            "adduser -S a; rm -r /",
            "addgroup -S `id`",
            "adduser -S a && b",
            "if [ -e /x ]; then",
            "adduser -Z a",
            "adduser -S a b",
            "addgroup -g many a",
            "adduser \"a",
            "adduser -h",
        ] {
            assert_eq!(read(line).1.as_deref(), Some(line));
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "(adduser |addgroup |-[SDHhgsGuk]| |[a-z/'\"$|]|\n){0,30}") {
            let _ = read(&text);
        }
    }
}
