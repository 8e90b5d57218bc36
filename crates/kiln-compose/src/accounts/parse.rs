//! Readers of the account files that a composed tree may hold: `passwd(5)`, `group(5)`, `sysusers.d(5)`.
//!
//! They take bytes that packages bring and never panic. A line of `passwd` or `group` that is not one is an error; what
//! `sysusers.d` has and Kiln does not support is handed back to be told to the user.

use kiln_model::name::AccountName;

/// A line of `passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PasswdLine {
    pub name: AccountName,
    pub uid: u32,
    pub gid: u32,
    pub summary: String,
    pub home: String,
    pub shell: String,
}

/// A line of `group`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GroupLine {
    pub name: AccountName,
    pub gid: u32,
    pub members: Vec<AccountName>,
}

/// Which line could not be read, and why.
pub(super) type LineFault = (usize, String);

fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(i, l)| (i + 1, l)).filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#'))
}

fn utf8(bytes: &[u8]) -> Result<&str, LineFault> {
    std::str::from_utf8(bytes).map_err(|_| (1, "it is not UTF-8".to_owned()))
}

fn number(text: &str, line: usize) -> Result<u32, LineFault> {
    text.parse().map_err(|_| (line, format!("`{}` is not a number", text.escape_default())))
}

/// Reads `passwd`.
pub(super) fn passwd(bytes: &[u8]) -> Result<Vec<PasswdLine>, LineFault> {
    let mut users = Vec::new();
    for (line, text) in lines(utf8(bytes)?) {
        let fields: Vec<&str> = text.split(':').collect();
        let [name, _, uid, gid, summary, home, shell] = fields[..] else {
            return Err((line, format!("it has {} fields, not 7", fields.len())));
        };
        users.push(PasswdLine {
            name: name.parse().map_err(|e| (line, format!("{e}")))?,
            uid: number(uid, line)?,
            gid: number(gid, line)?,
            summary: summary.to_owned(),
            home: home.to_owned(),
            shell: shell.to_owned(),
        });
    }
    Ok(users)
}

/// Reads `group`.
pub(super) fn group(bytes: &[u8]) -> Result<Vec<GroupLine>, LineFault> {
    let mut groups = Vec::new();
    for (line, text) in lines(utf8(bytes)?) {
        let fields: Vec<&str> = text.split(':').collect();
        let [name, _, gid, members] = fields[..] else {
            return Err((line, format!("it has {} fields, not 4", fields.len())));
        };
        let members = members.split(',').filter(|m| !m.is_empty());
        groups.push(GroupLine {
            name: name.parse().map_err(|e| (line, format!("{e}")))?,
            gid: number(gid, line)?,
            members: members.map(|m| m.parse().map_err(|e| (line, format!("{e}")))).collect::<Result<_, _>>()?,
        });
    }
    Ok(groups)
}

/// What a line of `sysusers.d` declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sysuser {
    User {
        name: AccountName,
        uid: Option<u32>,
        group: Option<GroupChoice>,
        summary: Option<String>,
        home: Option<String>,
        shell: Option<String>,
        /// `u!`: nobody is ever to log in as it, by no way at all.
        expired: bool,
    },
    Group {
        name: AccountName,
        gid: Option<u32>,
    },
    Member {
        user: AccountName,
        group: AccountName,
    },
}

/// The primary group in a user's line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GroupChoice {
    Number(u32),
    Name(AccountName),
}

/// Splits a line into words; quotes hold a word together, a backslash takes the next character as it is.
fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (_, '\\') => word.get_or_insert_default().push(characters.next()?),
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

fn sysuser(text: &str) -> Result<Option<Sysuser>, String> {
    let words = words(text).ok_or("a quote does not end")?;
    let word = |place: usize| words.get(place).map(String::as_str).filter(|w| !matches!(*w, "-" | ""));
    if words.iter().any(|w| w.contains('%')) {
        return Err("it has a specifier (`%`), which is not supported".to_owned());
    }
    let name = |place: usize| -> Result<AccountName, String> {
        word(place).ok_or("a name is missing")?.parse().map_err(|e| format!("{e}"))
    };
    let number = |text: &str| text.parse::<u32>().map_err(|_| format!("`{text}` is not a number"));
    match words.first().map(String::as_str) {
        Some(kind @ ("u" | "u!")) => {
            let (uid, group) = match word(2) {
                None => (None, None),
                // The number of an existing file's owner: no file has one before the image is composed.
                Some(id) if id.starts_with('/') => (None, None),
                Some(id) => match id.split_once(':') {
                    None => (Some(number(id)?), None),
                    Some((uid, group)) => {
                        let choice = match group.parse::<u32>() {
                            Ok(number) => GroupChoice::Number(number),
                            Err(_) => GroupChoice::Name(group.parse().map_err(|e| format!("{e}"))?),
                        };
                        (if uid == "-" { None } else { Some(number(uid)?) }, Some(choice))
                    }
                },
            };
            let text = |place: usize| word(place).map(str::to_owned);
            let (summary, home, shell) = (text(3), text(4), text(5));
            Ok(Some(Sysuser::User { name: name(1)?, uid, group, summary, home, shell, expired: kind == "u!" }))
        }
        Some("g") => {
            let gid = word(2).filter(|id| !id.starts_with('/')).map(number).transpose()?;
            Ok(Some(Sysuser::Group { name: name(1)?, gid }))
        }
        Some("m") => Ok(Some(Sysuser::Member { user: name(1)?, group: name(2)? })),
        // A range to take numbers from: Kiln's own is the same on every system.
        Some("r") | None => Ok(None),
        Some(other) => Err(format!("`{other}` is not a kind of line that is supported")),
    }
}

/// Reads a file of `sysusers.d`: what it declares, and the lines that were left out.
pub(super) fn sysusers(bytes: &[u8]) -> (Vec<Sysuser>, Vec<LineFault>) {
    let text = match utf8(bytes) {
        Ok(text) => text,
        Err(fault) => return (Vec::new(), vec![fault]),
    };
    let (mut declared, mut faults) = (Vec::new(), Vec::new());
    for (line, text) in lines(text) {
        match sysuser(text) {
            Ok(found) => declared.extend(found),
            Err(why) => faults.push((line, why)),
        }
    }
    (declared, faults)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_sysusers_lines() {
        let text = b"# comment\n\nu nginx - \"nginx worker\" /var/lib/nginx /bin/sh\nu! sshd 74:nogroup\ng input - \nm nginx adm\nr - 500-900\nu bad %i\nx y\n";
        let (declared, faults) = sysusers(text);
        let name = |t: &str| t.parse::<AccountName>().unwrap();
        assert_eq!(
            declared,
            [
                Sysuser::User {
                    name: name("nginx"),
                    uid: None,
                    group: None,
                    summary: Some("nginx worker".into()),
                    home: Some("/var/lib/nginx".into()),
                    shell: Some("/bin/sh".into()),
                    expired: false,
                },
                Sysuser::User {
                    name: name("sshd"),
                    uid: Some(74),
                    group: Some(GroupChoice::Name(name("nogroup"))),
                    summary: None,
                    home: None,
                    shell: None,
                    expired: true,
                },
                Sysuser::Group { name: name("input"), gid: None },
                Sysuser::Member { user: name("nginx"), group: name("adm") },
            ]
        );
        assert_eq!(faults.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [8, 9]);
    }

    #[test]
    fn names_the_line_that_is_no_account() {
        assert_eq!(passwd(b"root:x:0:0:root:/root:/bin/sh\nbroken\n").unwrap_err().0, 2);
        assert_eq!(passwd(b"root:x:zero:0::/:/\n").unwrap_err().0, 1);
        assert_eq!(group(b"root:x:0:\nadm:x:4\n").unwrap_err().0, 2);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = (passwd(&bytes), group(&bytes), sysusers(&bytes));
        }

        #[test]
        fn arbitrary_lines_never_panic(text in "[ugmr!] [a-z\"' \\\\:%/-]{0,60}\n") {
            let _ = sysusers(text.as_bytes());
        }
    }
}
