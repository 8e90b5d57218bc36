//! Errors with a place: file, line, column, the line itself and what to do.
//!
//! Reading code notes a [`Problem`], which is small and points into a file by [`Place`]. When all of a project is
//! read, [`Sources`] turns problems into [`Diagnostic`]s, which stand alone: they carry the line they speak of.
//! [`Diagnostics`] is what every parser of this crate fails with: all errors of a file at once, never only the first.

mod render;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

/// How many problems are told of at once. A file with more is damaged in one place, or hostile.
pub const MOST_TOLD: usize = 50;

/// One file among [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(u32);

/// A place in a file. Lines and columns count from one, columns and lengths in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Which file.
    pub file: FileId,
    /// Which line.
    pub line: u32,
    /// Which column.
    pub column: u32,
    /// How many characters, on that line.
    pub length: u32,
}

/// A value and where it was written. Compares, orders and hashes as the value alone.
#[derive(Debug, Clone)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub place: Place,
}

impl<T> Spanned<T> {
    /// Puts a value and its place together.
    pub const fn new(value: T, place: Place) -> Self {
        Self { value, place }
    }
}

impl<T> std::ops::Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Spanned<T> {}

impl<T: PartialOrd> PartialOrd for Spanned<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.value.partial_cmp(&other.value)
    }
}

impl<T: Ord> Ord for Spanned<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.value.cmp(&other.value)
    }
}

impl<T: std::hash::Hash> std::hash::Hash for Spanned<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.value.hash(state);
    }
}

impl<T: fmt::Display> fmt::Display for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: Serialize> Serialize for Spanned<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for Spanned<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }

    fn inline_schema() -> bool {
        T::inline_schema()
    }
}

/// Something wrong at a place, as noted while reading.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What, in one line.
    pub message: String,
    /// A few words to stand under the place.
    pub label: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Other places that explain it.
    pub related: Vec<(Place, String)>,
}

impl Problem {
    /// Something wrong at a place.
    pub fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into(), label: String::new(), hint: None, related: Vec::new() }
    }

    /// With words under the place.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With what to do about it, if anything.
    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint.or(self.hint);
        self
    }

    /// With another place that explains it.
    #[must_use]
    pub fn related(mut self, place: Place, label: impl Into<String>) -> Self {
        self.related.push((place, label.into()));
        self
    }
}

/// The texts that places point into.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<(Arc<str>, Arc<str>)>,
}

impl Sources {
    /// No files yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file under the path that people know it by.
    ///
    /// # Panics
    /// With more than four thousand million files.
    pub fn add(&mut self, path: &str, text: &str) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).expect("fewer files than a 32-bit number counts"));
        self.files.push((path.into(), text.into()));
        id
    }

    /// A file's path; empty for a file of other sources.
    #[must_use]
    pub fn path(&self, file: FileId) -> &str {
        self.files.get(file.0 as usize).map_or("", |(path, _)| path)
    }

    /// A file's text; empty for a file of other sources.
    #[must_use]
    pub fn text(&self, file: FileId) -> &str {
        self.files.get(file.0 as usize).map_or("", |(_, text)| text)
    }

    /// The text of a place's line.
    #[must_use]
    pub fn line(&self, place: Place) -> &str {
        self.text(place.file).lines().nth(place.line.saturating_sub(1) as usize).unwrap_or("")
    }

    /// Where `needle` stands in the value that begins at `place`: its `nth` occurrence, counted from zero. The place
    /// itself when it cannot be found, which happens when an escape hides it.
    #[must_use]
    pub fn find(&self, place: Place, needle: &str, nth: usize) -> Place {
        let mut left = nth;
        let lines = self.text(place.file).lines().enumerate().skip(place.line.saturating_sub(1) as usize);
        for (index, line) in lines.take(10_000) {
            let first = index + 1 == place.line as usize;
            let start = if first { byte_of_column(line, place.column) } else { 0 };
            for (at, _) in line[start..].match_indices(needle) {
                if left == 0 {
                    let column = line[..start + at].chars().count() + 1;
                    return Place {
                        file: place.file,
                        line: small(index + 1),
                        column: small(column),
                        length: small(needle.chars().count()),
                    };
                }
                left -= 1;
            }
        }
        place
    }

    /// A problem as an error that stands alone.
    #[must_use]
    pub fn diagnostic(&self, problem: &Problem) -> Diagnostic {
        let label = |place: Place, text: &str| Label {
            file: self.path(place.file).to_owned(),
            line: place.line,
            column: place.column,
            length: place.length,
            snippet: self.line(place).to_owned(),
            text: text.to_owned(),
        };
        Diagnostic {
            severity: Severity::Error,
            message: problem.message.clone(),
            primary: Some(label(problem.place, &problem.label)),
            related: problem.related.iter().map(|(place, text)| label(*place, text)).collect(),
            hint: problem.hint.clone(),
        }
    }

    /// Problems as errors that stand alone: by place, each once, at most [`MOST_TOLD`].
    #[must_use]
    pub fn diagnostics(&self, problems: Vec<Problem>) -> Diagnostics {
        let count = problems.len();
        let unique: BTreeSet<Problem> = problems.into_iter().collect();
        let mut told: Vec<Diagnostic> = unique.iter().take(MOST_TOLD).map(|p| self.diagnostic(p)).collect();
        if unique.len() > MOST_TOLD {
            let more = unique.len() - MOST_TOLD;
            told.push(Diagnostic::error(format!("and {more} more errors")).hint("mend these first, then try again"));
        }
        debug_assert!(told.is_empty() == (count == 0));
        Diagnostics(told)
    }
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn byte_of_column(line: &str, column: u32) -> usize {
    line.char_indices().nth(column.saturating_sub(1) as usize).map_or(line.len(), |(at, _)| at)
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It stops the work.
    Error,
    /// It does not.
    Warning,
}

/// A place as text, with the line it is on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Label {
    /// The file's path, from the project's root.
    pub file: String,
    /// The line, counted from one.
    pub line: u32,
    /// The column, counted from one, in characters.
    pub column: u32,
    /// How many characters.
    pub length: u32,
    /// The line's text.
    pub snippet: String,
    /// Words to stand under it.
    pub text: String,
}

/// An error or a warning that stands alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What, in one line.
    pub message: String,
    /// Where; none when it is about the project as a whole.
    pub primary: Option<Label>,
    /// Other places that explain it.
    pub related: Vec<Label>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error without a place.
    pub fn error(message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, message: message.into(), primary: None, related: Vec::new(), hint: None }
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// `file:line:column`, as editors and terminals understand it.
    #[must_use]
    pub fn position(&self) -> Option<String> {
        self.primary.as_ref().map(|at| format!("{}:{}:{}", at.file, at.line, at.column))
    }

    /// For people: the message, the place with its line, the hint.
    #[must_use]
    pub fn render(&self, style: Style) -> String {
        render::render(self, style)
    }
}

/// How to draw a diagnostic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// No colours, as for a log.
    #[default]
    Plain,
    /// ANSI colours, as for a terminal.
    Colour,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position() {
            Some(position) => write!(f, "{position}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Diagnostic {}

/// Everything wrong with a file or a project, by place.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Nothing wrong?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them for people, with a blank line between.
    #[must_use]
    pub fn render(&self, style: Style) -> String {
        self.0.iter().map(|d| d.render(style)).collect::<Vec<_>>().join("\n")
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            write!(f, "{}{diagnostic}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}
