//! Unit files of systemd: systemd.syntax(7), as far as it takes to say what enabling one does.
//!
//! systemd itself leaves out lines that it does not understand, and so does [`Unit::parse`], which hands them back as
//! faults: those of a package are its own business, those of a project's file are errors.

use std::fmt;

use crate::TreePath;

/// A unit file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unit {
    sections: Vec<String>,
    settings: Vec<Setting>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting {
    section: String,
    key: String,
    value: String,
}

/// A line of a unit file that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct UnitFault {
    /// The line, from one.
    pub line: usize,
    /// What is wrong.
    pub why: String,
}

/// Sections that systemd knows; those that begin with `X-` are for others.
const SECTIONS: &[&str] = &[
    "Unit",
    "Install",
    "Service",
    "Socket",
    "Mount",
    "Automount",
    "Swap",
    "Path",
    "Timer",
    "Slice",
    "Scope",
    "Target",
    "Device",
];

/// Kinds of units that a file can define.
pub const KINDS: &[&str] = &["service", "socket", "target", "timer", "path", "mount", "automount", "swap", "slice"];

/// The longest line that is quoted in a message.
const QUOTED: usize = 60;

impl Unit {
    /// Reads a unit file: what is understood, and what is not.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> (Self, Vec<UnitFault>) {
        let (mut unit, mut faults) = (Self::default(), Vec::new());
        let Ok(text) = std::str::from_utf8(bytes) else {
            let before = &bytes[..std::str::from_utf8(bytes).map_or_else(|e| e.valid_up_to(), str::len)];
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            return (unit, vec![UnitFault { line, why: "it is not UTF-8".to_owned() }]);
        };
        let mut section: Option<String> = None;
        for (line, text) in logical_lines(text) {
            let mut fault = |why: String| faults.push(UnitFault { line, why });
            if let Some(name) = text.strip_prefix('[') {
                let Some(name) = name.strip_suffix(']') else {
                    fault(format!("`{}` is not a section: it does not end with `]`", shown(&text)));
                    section = None;
                    continue;
                };
                if !SECTIONS.contains(&name) && !name.starts_with("X-") {
                    fault(format!("`[{}]` is not a section of a unit", shown(name)));
                }
                unit.sections.push(name.to_owned());
                section = Some(name.to_owned());
                continue;
            }
            let Some((key, value)) = text.split_once('=') else {
                fault(format!("`{}` is not a setting: it has no `=`", shown(&text)));
                continue;
            };
            let (key, value) = (key.trim_end(), value.trim());
            match &section {
                None => fault(format!("`{}` is in no section", shown(key))),
                Some(_) if key.is_empty() => fault("a setting has no name".to_owned()),
                Some(section) => unit.settings.push(Setting {
                    section: section.clone(),
                    key: key.to_owned(),
                    value: value.to_owned(),
                }),
            }
        }
        (unit, faults)
    }

    /// Has it a section of this name?
    #[must_use]
    pub fn has_section(&self, name: &str) -> bool {
        self.sections.iter().any(|section| section == name)
    }

    /// The last value of a setting.
    #[must_use]
    pub fn value(&self, section: &str, key: &str) -> Option<&str> {
        self.assignments(section, key).pop()
    }

    /// The words of a setting that may be given more than once. An empty one forgets those before it.
    #[must_use]
    pub fn words(&self, section: &str, key: &str) -> Vec<String> {
        let mut words = Vec::new();
        for value in self.assignments(section, key) {
            if value.is_empty() {
                words.clear();
            }
            words.extend(split(value));
        }
        words
    }

    fn assignments(&self, section: &str, key: &str) -> Vec<&str> {
        let settings = self.settings.iter().filter(|setting| setting.section == section && setting.key == key);
        settings.map(|setting| setting.value.as_str()).collect()
    }
}

/// Lines with their numbers, those that end with a backslash joined by a blank with the next; without comments and
/// empty lines.
fn logical_lines(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut lines = text.lines().enumerate();
    let is_comment = |line: &str| line.starts_with(['#', ';']);
    std::iter::from_fn(move || {
        loop {
            let (number, first) = lines.next()?;
            let first = first.trim();
            if first.is_empty() || is_comment(first) {
                continue;
            }
            let mut whole = first.to_owned();
            while let Some(stem) = whole.strip_suffix('\\') {
                let mut joined = stem.to_owned();
                // Comments between continued lines are left out: systemd.syntax(7).
                let next = lines.by_ref().map(|(_, line)| line.trim()).find(|line| !is_comment(line));
                joined.push(' ');
                joined.push_str(next.unwrap_or_default());
                whole = joined;
                if next.is_none() {
                    break;
                }
            }
            return Some((number + 1, whole.trim().to_owned()));
        }
    })
}

/// Words apart by blanks; quotes hold one together.
fn split(value: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in value.chars() {
        match (quote, c) {
            (Some(q), c) if q == c => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

fn shown(text: &str) -> String {
    text.escape_default().take(QUOTED).collect()
}

/// The full name of a unit: `nginx` is `nginx.service`. None for what cannot be a unit's name.
#[must_use]
pub fn full_name(text: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_' | '.' | '\\' | '@');
    if text.is_empty() || text.starts_with(['.', '@']) || !text.chars().all(plain) {
        return None;
    }
    let has_kind = text.rsplit_once('.').is_some_and(|(stem, kind)| !stem.is_empty() && KINDS.contains(&kind));
    let name = if has_kind { text.to_owned() } else { format!("{text}.service") };
    (name.len() <= 255).then_some(name)
}

/// Where the files of units are that come with the system, or its users' own managers.
#[must_use]
pub const fn packaged_folder(user: bool) -> &'static str {
    if user { "usr/lib/systemd/user" } else { "usr/lib/systemd/system" }
}

/// Where a unit's file goes. None for what cannot be a unit's name.
#[must_use]
pub fn packaged_path(name: &str, user: bool) -> Option<TreePath> {
    packaged_folder(user).parse::<TreePath>().ok()?.join(name).ok()
}

/// A unit's name in its parts: `getty@tty1.service` is `getty`, `tty1`, `service`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameParts<'a> {
    /// Before the `@`, or before the dot.
    pub prefix: &'a str,
    /// Between `@` and the dot: empty for a template, none for a plain unit.
    pub instance: Option<&'a str>,
    /// After the dot.
    pub kind: &'a str,
}

impl<'a> NameParts<'a> {
    /// Takes a full name apart.
    #[must_use]
    pub fn of(name: &'a str) -> Option<Self> {
        let (stem, kind) = name.rsplit_once('.')?;
        let (prefix, instance) = match stem.split_once('@') {
            Some((prefix, instance)) => (prefix, Some(instance)),
            None => (stem, None),
        };
        (!prefix.is_empty() && !kind.is_empty()).then_some(Self { prefix, instance, kind })
    }

    /// Is it a template?
    #[must_use]
    pub fn is_template(&self) -> bool {
        self.instance == Some("")
    }

    /// The same with another instance.
    #[must_use]
    pub fn with_instance(&self, instance: &str) -> String {
        format!("{}@{instance}.{}", self.prefix, self.kind)
    }
}

impl fmt::Display for NameParts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.instance {
            Some(instance) => write!(f, "{}@{instance}.{}", self.prefix, self.kind),
            None => write!(f, "{}.{}", self.prefix, self.kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_settings_with_comments_continued_lines_quotes_and_resets() {
        let text = b"# c\n[Unit]\nDescription=a = b\n[Install]\nWantedBy=old.target\nWantedBy=\nWantedBy=a.target \\\n; between\n  'b.target'\nAlias = x.service\n";
        let (unit, faults) = Unit::parse(text);
        assert_eq!(faults, []);
        assert_eq!(unit.value("Unit", "Description"), Some("a = b"));
        assert_eq!(unit.words("Install", "WantedBy"), ["a.target", "b.target"]);
        assert_eq!(unit.words("Install", "Alias"), ["x.service"]);
        assert!(unit.has_section("Install") && !unit.has_section("Service"));
    }

    #[test]
    fn names_the_line_of_every_fault() {
        let (_, faults) = Unit::parse(b"Early=1\n[Sevice]\nExecStart\n[Unit\n=x\n");
        let lines: Vec<usize> = faults.iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [1, 2, 3, 4, 5], "{faults:?}");
        assert_eq!(Unit::parse(b"[Unit]\n\xff").1[0].line, 2);
    }

    #[test]
    fn names_are_completed_and_taken_apart() {
        assert_eq!(full_name("nginx").as_deref(), Some("nginx.service"));
        assert_eq!(full_name("dbus-org.x").as_deref(), Some("dbus-org.x.service"));
        assert_eq!(full_name("ssh.socket").as_deref(), Some("ssh.socket"));
        assert_eq!(full_name("a/b"), None);
        let parts = NameParts::of("getty@tty1.service").unwrap();
        assert_eq!((parts.prefix, parts.instance, parts.kind), ("getty", Some("tty1"), "service"));
        assert!(NameParts::of("getty@.service").unwrap().is_template());
        assert_eq!(parts.with_instance(""), "getty@.service");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Unit::parse(&bytes);
        }

        #[test]
        fn arbitrary_lines_never_panic_and_say_nothing_twice(text in "(\\[[a-zA-Z-]{0,8}\\]?\n|[a-z]{0,4}=?[a-z\"' \\\\]{0,9}\n|[#;\\\\ ]{1,3}\n){0,12}") {
            let (unit, faults) = Unit::parse(text.as_bytes());
            prop_assert!(unit.settings.len() + unit.sections.len() + faults.len() <= 2 * text.lines().count());
            let _ = unit.words("Install", "WantedBy");
        }
    }
}
