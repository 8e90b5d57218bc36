//! Errors about a lock that are found after it was read: they point to the entry's line all the same.
//!
//! Looking for a line is worth nothing until there is an error, so a lock keeps no places; the text is searched then.

use super::{LOCK_FILE, PackageKey};
use crate::diagnostic::{Diagnostic, Label, Severity};
use crate::{OriginName, PackageName};

/// An entry of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryRef<'a> {
    /// The state of an archive.
    Origin(&'a OriginName),
    /// A package.
    Package(&'a PackageKey),
    /// A source of a recipe.
    Source(&'a PackageName, u32),
}

impl EntryRef<'_> {
    /// The header of its block, and the lines that tell it from others of its kind.
    fn marks(&self) -> (&'static str, Vec<String>) {
        match self {
            Self::Origin(name) => ("[[origin]]", vec![format!("name = \"{name}\"")]),
            Self::Package(key) => {
                let architecture = key.architecture.map_or("all", |architecture| architecture.as_str());
                let lines =
                    [("origin", key.origin.as_str()), ("name", key.name.as_str()), ("architecture", architecture)];
                ("[[package]]", lines.map(|(field, value)| format!("{field} = \"{value}\"")).into())
            }
            Self::Source(recipe, index) => {
                ("[[source]]", vec![format!("recipe = \"{recipe}\""), format!("index = {index}")])
            }
        }
    }

    /// The line on which a lock's text has this entry, or the field of it that is named; none when it has it in another
    /// form than Kiln writes. Counted from one.
    #[must_use]
    pub fn line(&self, text: &str, field: Option<&str>) -> Option<u32> {
        let (header, marks) = self.marks();
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        let starts = lines.iter().enumerate().filter(|(_, line)| line.starts_with("[[")).map(|(at, _)| at);
        for start in starts.filter(|start| lines[*start] == header) {
            let block = &lines[start..];
            let length = block.iter().skip(1).position(|line| line.starts_with("[[")).map_or(block.len(), |at| at + 1);
            let block = &block[..length];
            if !marks.iter().all(|mark| block.contains(&mark.as_str())) {
                continue;
            }
            let of_field = field.and_then(|field| {
                // A field of a list's element stands in the middle of its line: then it is a value that is looked for.
                let own = |line: &&str| line.strip_prefix(field).is_some_and(|rest| rest.starts_with(" = "));
                block.iter().position(own).or_else(|| block.iter().position(|line| line.contains(field)))
            });
            return u32::try_from(start + of_field.unwrap_or(0) + 1).ok();
        }
        None
    }

    /// An error at this entry of a lock.
    #[must_use]
    pub fn fault(&self, text: &str, field: Option<&str>, message: impl Into<String>) -> Diagnostic {
        let line = self.line(text, field).unwrap_or(1);
        let snippet = text.lines().nth(line as usize - 1).unwrap_or_default().to_owned();
        let length = u32::try_from(snippet.chars().count()).unwrap_or(1).max(1);
        let label = Label { file: LOCK_FILE.to_owned(), line, column: 1, length, snippet, text: String::new() };
        Diagnostic {
            severity: Severity::Error,
            message: message.into(),
            primary: Some(label),
            related: Vec::new(),
            hint: None,
        }
    }
}
