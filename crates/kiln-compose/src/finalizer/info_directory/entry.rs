//! What a manual says of itself: `INFO-DIR-SECTION` and `START-INFO-DIR-ENTRY`, and how an entry is laid out.
//! Texinfo manual, "Installing Dir Entries" and "Invoking install-info".

/// One entry, laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its lines, each with its end.
    pub text: String,
    /// The sections it goes to.
    pub sections: Vec<String>,
}

/// What one manual adds. The last comes first in both lists, as the program keeps them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Manual {
    /// Every section it names.
    pub sections: Vec<String>,
    /// Its entries.
    pub entries: Vec<Entry>,
}

const SECTION: &str = "INFO-DIR-SECTION ";
const START: &str = "START-INFO-DIR-ENTRY";
const END: &str = "END-INFO-DIR-ENTRY";

/// Where descriptions begin, and where their further lines do; those of `Individual utilities` further right.
const COLUMNS: (usize, usize) = (32, 34);
const UTILITIES: (&str, (usize, usize)) = ("Individual utilities", (48, 50));

/// The widest line.
const WIDTH: usize = 79;

/// Reads a manual. A block that is not ended ends with the manual, unread.
pub(super) fn parse(text: &str) -> Manual {
    let mut manual = Manual::default();
    // Sections since the last block: they are for the blocks that follow.
    let (mut group, mut closed) = (Vec::new(), false);
    let mut block: Option<String> = None;
    for line in text.split_inclusive('\n') {
        let bare = line.strip_suffix('\n').unwrap_or(line);
        if let Some(name) = bare.strip_prefix(SECTION) {
            if std::mem::take(&mut closed) {
                group.clear();
            }
            group.insert(0, name.to_owned());
            manual.sections.insert(0, name.to_owned());
        } else if bare == START {
            if manual.sections.is_empty() {
                manual.sections.push("Miscellaneous".to_owned());
                group.push("Miscellaneous".to_owned());
            }
            closed = true;
            block = Some(String::new());
        } else if let Some(entry) = &mut block {
            if bare == END || (line.starts_with("* ") && !entry.is_empty()) {
                let text = lay_out(entry, &group);
                manual.entries.insert(0, Entry { text, sections: group.clone() });
                entry.clear();
            }
            if bare == END {
                block = None;
            } else {
                entry.push_str(line);
            }
        }
    }
    manual
}

/// An entry with its description in the right column.
fn lay_out(entry: &str, sections: &[String]) -> String {
    let Some((name, description)) = split(entry) else {
        return entry.to_owned();
    };
    let (name_length, mut text) = (name.len(), name.to_owned());
    let utilities = sections.iter().any(|section| section == UTILITIES.0);
    let (first, further) = if utilities { UTILITIES.1 } else { COLUMNS };
    // One letter is no description.
    if description.len() <= 1 {
        if name_length > first - 1 && !description.is_empty() {
            text.push('\n');
            text.push_str(&" ".repeat(first));
        }
        text.push('\n');
        return text;
    }
    if name_length > first - 1 {
        text.push('\n');
        text.push_str(&" ".repeat(first));
    } else {
        text.push_str(&" ".repeat(first - name_length));
    }
    wrap(&mut text, &description, first, further);
    text
}

/// Breaks a description at blanks. After the first line, the indentation is not counted.
fn wrap(text: &mut String, description: &str, first: usize, further: usize) {
    let (mut line, mut column) = (String::new(), first);
    for character in description.chars().chain(['\n']) {
        if character == '\n' {
            line.push(character);
            break;
        }
        // Bytes, as the program counts them.
        column += if character == '\t' { 8 - column % 8 } else { character.len_utf8() };
        while column > WIDTH && !line.is_empty() {
            match line.rfind([' ', '\t']) {
                Some(blank) => {
                    let rest = line.split_off(blank + 1);
                    text.push_str(&line);
                    text.push('\n');
                    text.push_str(&" ".repeat(further));
                    line = rest;
                }
                None => {
                    text.push_str(&std::mem::take(&mut line));
                    text.push('\n');
                }
            }
            column = line.len() + character.len_utf8();
        }
        line.push(character);
    }
    text.push_str(&line);
}

/// Name and description: the first ends at the first period that a blank or a line's end follows. The description is
/// one line.
fn split(entry: &str) -> Option<(&str, String)> {
    let bytes = entry.as_bytes();
    let period =
        (0..bytes.len()).find(|at| bytes[*at] == b'.' && matches!(bytes.get(at + 1), Some(b' ' | b'\t' | b'\n')))?;
    let (name, mut rest) = entry.split_at(period + 1);
    let mut description = String::new();
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Some((name, description));
        }
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        description.push_str(line);
        if line.len() > 1 && !after.is_empty() {
            match line.chars().next_back() {
                Some('.') => description.push_str("  "),
                Some(last) if !last.is_ascii_whitespace() => description.push(' '),
                _ => {}
            }
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn manual(body: &str) -> Manual {
        parse(&format!("This is a manual.\n{body}\nFile: a\n"))
    }

    #[test]
    fn sections_are_those_before_a_block() {
        let manual = manual(
            "INFO-DIR-SECTION A\nINFO-DIR-SECTION B\nSTART-INFO-DIR-ENTRY\n* x: (x). One.\n* y: (y). Two\n  lines.\nEND-INFO-DIR-ENTRY\nINFO-DIR-SECTION C\nSTART-INFO-DIR-ENTRY\n* z: (z). Three.\nEND-INFO-DIR-ENTRY",
        );
        assert_eq!(manual.sections, ["C", "B", "A"]);
        let entries: Vec<_> = manual.entries.iter().map(|e| (e.text.as_str(), e.sections.join(" "))).collect();
        assert_eq!(entries[0], ("* z: (z).                       Three.\n", "C".to_owned()));
        assert_eq!(entries[1].1, "B A");
        assert!(entries[1].0.ends_with("Two lines.\n"));
    }

    #[test]
    fn a_manual_without_a_section_is_miscellaneous() {
        let manual = manual("START-INFO-DIR-ENTRY\n* x::  Text.\nEND-INFO-DIR-ENTRY");
        assert_eq!((manual.sections.len(), manual.entries[0].sections[0].as_str()), (1, "Miscellaneous"));
    }

    #[test]
    fn long_names_and_descriptions_are_broken() {
        let long = "word ".repeat(20);
        let manual = manual(&format!(
            "INFO-DIR-SECTION Individual utilities\nSTART-INFO-DIR-ENTRY\n* {}: (x)y. {long}\nEND-INFO-DIR-ENTRY",
            "n".repeat(50)
        ));
        let lines: Vec<&str> = manual.entries[0].text.lines().collect();
        assert!(lines[1].starts_with(&" ".repeat(48)) && lines[1].len() <= 80, "{lines:?}");
        assert!(lines[2].starts_with(&" ".repeat(50)));
    }

    proptest! {
        #[test]
        fn arbitrary_manuals_never_panic(text in "(INFO-DIR-SECTION |START-INFO-DIR-ENTRY\n|END-INFO-DIR-ENTRY\n|\\* |[a-zé]{1,90}|[ .:()\n\t]){0,60}") {
            let _ = parse(&text);
        }
    }
}
