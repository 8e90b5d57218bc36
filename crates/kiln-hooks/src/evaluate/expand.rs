//! Words to texts: quotes, parameters, command substitution, splitting, patterns of paths (POSIX, 2.6).

use brush_parser::ast::Word;
use brush_parser::word::{
    Parameter, ParameterExpr, ParameterTestType, SpecialParameter, TildeExpr, WordPiece, WordPieceWithSource,
};

use super::{Evaluator, Flow};
use crate::paths;
use crate::script;
use crate::value::{Status, Value};
use crate::{pattern, world::Seen};

/// Stands for the number of the shell's process, which no two runs share: it makes names that nothing else has. What is
/// left in the end with it in its name or its content is not known.
pub(crate) const PROCESS: &str = "@process@";

/// A piece of a word.
enum Part {
    /// What it is is what it says.
    Quoted(Value),
    /// Written out: it may be a pattern, and is not split.
    Written(Value),
    /// Put in place of something: it is split, and may be a pattern.
    Expanded(Value),
    /// `"$@"`: a word each.
    Arguments(Vec<Value>),
}

/// A word while it is put together: its text, and the same as a pattern.
#[derive(Default)]
struct Field {
    value: Option<Value>,
    pattern: String,
}

impl Field {
    fn push(&mut self, value: &Value, is_literal: bool) {
        self.value.get_or_insert_with(Value::empty).push(value);
        if let Value::Known(text) = value {
            if is_literal {
                self.pattern.push_str(&pattern::literal(text));
            } else {
                self.pattern.push_str(text);
            }
        }
    }
}

impl Evaluator<'_> {
    /// A word as one text, without splitting.
    pub(in crate::evaluate) fn word(&mut self, word: &Word) -> Value {
        self.text_of(&word.value)
    }

    pub(in crate::evaluate) fn text_of(&mut self, text: &str) -> Value {
        let parts = self.pieces(text);
        let mut whole = Value::empty();
        for part in parts {
            match part {
                Part::Quoted(value) | Part::Written(value) | Part::Expanded(value) => whole.push(&value),
                Part::Arguments(values) => whole.push(&Value::joined(&values)),
            }
        }
        whole
    }

    /// The content of a here-document in which parameters are expanded.
    pub(in crate::evaluate) fn document(&mut self, text: &str) -> Value {
        let pieces = match brush_parser::word::parse_heredoc(text, &script::options(self.is_bash())) {
            Ok(pieces) => pieces,
            Err(error) => return Value::unknown(error.to_string()),
        };
        let mut parts = Vec::new();
        self.parts(&pieces, true, &mut parts);
        let mut whole = Value::empty();
        for part in parts {
            match part {
                Part::Quoted(value) | Part::Written(value) | Part::Expanded(value) => whole.push(&value),
                Part::Arguments(values) => whole.push(&Value::joined(&values)),
            }
        }
        whole
    }

    /// A word as a pattern: what is quoted in it stands for itself.
    pub(in crate::evaluate) fn pattern(&mut self, word: &Word) -> Value {
        self.pattern_of(&word.value)
    }

    fn pattern_of(&mut self, text: &str) -> Value {
        let mut whole = Value::empty();
        for part in self.pieces(text) {
            match part {
                Part::Quoted(Value::Known(text)) => whole.push(&pattern::literal(&text).into()),
                Part::Quoted(value) | Part::Written(value) | Part::Expanded(value) => whole.push(&value),
                Part::Arguments(values) => whole.push(&Value::joined(&values)),
            }
        }
        whole
    }

    /// A word as the arguments that it becomes.
    pub(in crate::evaluate) fn fields(&mut self, word: &Word) -> Vec<Value> {
        let parts = self.pieces(&word.value);
        let mut fields: Vec<Field> = Vec::new();
        let mut field = Field::default();
        for part in parts {
            match part {
                Part::Quoted(value) => field.push(&value, true),
                Part::Written(value) => field.push(&value, false),
                Part::Expanded(Value::Known(text)) => match self.separators() {
                    Value::Known(separators) => split_into(&text, &separators, &mut field, &mut fields),
                    unknown => field.push(&unknown, true),
                },
                Part::Expanded(unknown) => field.push(&unknown, true),
                Part::Arguments(values) => {
                    for (index, value) in values.iter().enumerate() {
                        if index > 0 {
                            fields.push(std::mem::take(&mut field));
                        }
                        field.push(value, true);
                    }
                }
            }
        }
        if field.value.is_some() {
            fields.push(field);
        }
        fields.into_iter().flat_map(|field| self.paths(field)).collect()
    }

    /// The characters that split words: `IFS`.
    pub(in crate::evaluate) fn separators(&self) -> Value {
        self.state.variables.get("IFS").cloned().unwrap_or_else(|| " \t\n".into())
    }

    /// The paths that a word stands for when it is a pattern, else the word.
    fn paths(&self, field: Field) -> Vec<Value> {
        let Some(value) = field.value else { return Vec::new() };
        if value.known().is_none() || !has_pattern(&field.pattern) {
            return vec![value];
        }
        let absolute = paths::absolute(&self.state.directory, &field.pattern);
        let mut found = vec![String::new()];
        for part in absolute.split('/').filter(|part| !part.is_empty()) {
            let mut next = Vec::new();
            for base in &found {
                if !has_pattern(part) {
                    next.push(format!("{base}/{}", unescaped(part)));
                    continue;
                }
                for name in self.names(base) {
                    let hidden = name.starts_with('.') && !part.starts_with('.');
                    if !hidden && pattern::matches(part, &name) {
                        next.push(format!("{base}/{name}"));
                    }
                }
            }
            found = next;
        }
        found.retain(|path| self.seen(path, false).is_some());
        found.sort();
        if found.is_empty() { vec![value] } else { found.into_iter().map(Value::from).collect() }
    }

    /// The names in a folder, those that the hook made among them.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let Some(path) = paths::tree(folder) else { return Vec::new() };
        let mut names = self.world.names(&path);
        for made in self.state.effects.made.keys() {
            if made.parent().as_ref() == Some(&path) {
                names.extend(made.file_name().map(str::to_owned));
            }
        }
        names.retain(|name| path.join(name).is_ok_and(|path| !self.state.effects.removed.contains(&path)));
        names.sort();
        names.dedup();
        names
    }

    fn pieces(&mut self, text: &str) -> Vec<Part> {
        let pieces = match brush_parser::word::parse(text, &script::options(self.is_bash())) {
            Ok(pieces) => pieces,
            Err(error) => return vec![Part::Quoted(Value::unknown(error.to_string()))],
        };
        let mut parts = Vec::new();
        self.parts(&pieces, false, &mut parts);
        parts
    }

    fn parts(&mut self, pieces: &[WordPieceWithSource], quoted: bool, out: &mut Vec<Part>) {
        for piece in pieces {
            let expanded = |value| if quoted { Part::Quoted(value) } else { Part::Expanded(value) };
            let part = match &piece.piece {
                WordPiece::Text(text) if quoted => Part::Quoted(text.as_str().into()),
                WordPiece::Text(text) => Part::Written(text.as_str().into()),
                WordPiece::SingleQuotedText(text) => Part::Quoted(text.as_str().into()),
                WordPiece::AnsiCQuotedText(_) => {
                    Part::Quoted(Value::unknown("`$'...'` is no part of the shell that hooks are written for"))
                }
                WordPiece::DoubleQuotedSequence(inner) | WordPiece::GettextDoubleQuotedSequence(inner) => {
                    out.push(Part::Quoted(Value::empty()));
                    // `"$@"` without arguments is no word at all, not an empty one.
                    if is_arguments_alone(inner) {
                        out.pop();
                    }
                    self.parts(inner, true, out);
                    continue;
                }
                WordPiece::TildeExpansion(TildeExpr::Home) => Part::Quoted("/root".into()),
                WordPiece::TildeExpansion(TildeExpr::UserHome(user)) => {
                    Part::Quoted(crate::commands::home_of(self, user))
                }
                WordPiece::TildeExpansion(_) => Part::Quoted(Value::unknown("the home of a user is not known")),
                WordPiece::EscapeSequence(text) => {
                    Part::Quoted(text.strip_prefix('\\').unwrap_or(text).trim_start_matches('\n').into())
                }
                WordPiece::ParameterExpansion(ParameterExpr::Parameter {
                    parameter: Parameter::Special(SpecialParameter::AllPositionalParameters { concatenate }),
                    indirect: false,
                }) => {
                    let arguments = self.state.arguments.clone();
                    if quoted && !concatenate {
                        Part::Arguments(arguments)
                    } else {
                        expanded(Value::joined(&arguments))
                    }
                }
                WordPiece::ParameterExpansion(expression) => expanded(self.parameter(expression)),
                WordPiece::CommandSubstitution(text) => expanded(self.substituted(text)),
                WordPiece::BackquotedCommandSubstitution(text) => {
                    expanded(self.substituted(&within_backquotes(text, quoted)))
                }
                WordPiece::ArithmeticExpression(expression) => {
                    let text = self.text_of(&expression.value);
                    expanded(arithmetic(&text, |name| self.state.variables.get(name).cloned()))
                }
            };
            out.push(part);
        }
    }

    /// What a command prints.
    fn substituted(&mut self, text: &str) -> Value {
        let program = match script::parse(text, self.is_bash()) {
            Ok(program) => program,
            Err(why) => return Value::unknown(why),
        };
        let outer = self.fixed_line.replace(self.fixed_line.unwrap_or(self.line));
        let (_, printed) = self.capture(|evaluator| {
            evaluator.subshell(|evaluator| {
                for list in &program.complete_commands {
                    let flow = evaluator.list(list);
                    if flow != Flow::Next {
                        return flow;
                    }
                }
                Flow::Next
            })
        });
        self.fixed_line = outer;
        match printed {
            Value::Known(text) => text.trim_end_matches('\n').into(),
            unknown => unknown,
        }
    }

    /// Follows something and takes what it prints.
    pub fn capture<T>(&mut self, inner: impl FnOnce(&mut Self) -> T) -> (T, Value) {
        self.captured.push(Value::empty());
        let result = inner(self);
        let printed = self.captured.pop().unwrap_or_else(Value::empty);
        (result, printed)
    }

    /// The value of a parameter; none when it is not set.
    fn value(&self, parameter: &Parameter) -> Option<Value> {
        match parameter {
            Parameter::Positional(0) => Some(format!("/var/lib/dpkg/info/{}.{}", self.package, self.script).into()),
            Parameter::Positional(n) => self.state.arguments.get(*n as usize - 1).cloned(),
            Parameter::Named(name) => self.state.variables.get(name).cloned(),
            Parameter::Special(special) => Some(match special {
                SpecialParameter::AllPositionalParameters { .. } => {
                    if self.state.arguments.is_empty() {
                        return None;
                    }
                    Value::joined(&self.state.arguments)
                }
                SpecialParameter::PositionalParameterCount => self.state.arguments.len().to_string().into(),
                SpecialParameter::LastExitStatus => match &self.state.status {
                    Status::Known(code) => code.to_string().into(),
                    Status::Unknown(why) => Value::Unknown(std::rc::Rc::clone(why)),
                },
                SpecialParameter::ShellName => format!("/var/lib/dpkg/info/{}.{}", self.package, self.script).into(),
                SpecialParameter::ProcessId => PROCESS.into(),
                _ => Value::unknown("the number of a process is not known"),
            }),
            _ => Some(Value::unknown("arrays are no part of the shell that hooks are written for")),
        }
    }

    fn parameter(&mut self, expression: &ParameterExpr) -> Value {
        use ParameterExpr as E;
        match expression {
            E::Parameter { parameter, indirect: false } => self.value(parameter).unwrap_or_else(Value::empty),
            E::UseDefaultValues { parameter, indirect: false, test_type, default_value } => {
                match self.set(parameter, test_type) {
                    Some(value) => value,
                    None => self.text_of(default_value.as_deref().unwrap_or_default()),
                }
            }
            E::AssignDefaultValues { parameter, indirect: false, test_type, default_value } => {
                if let Some(value) = self.set(parameter, test_type) {
                    return value;
                }
                let value = self.text_of(default_value.as_deref().unwrap_or_default());
                if let Parameter::Named(name) = parameter {
                    self.state.variables.insert(name.clone(), value.clone());
                }
                value
            }
            E::IndicateErrorIfNullOrUnset { parameter, indirect: false, test_type, .. } => self
                .set(parameter, test_type)
                .unwrap_or_else(|| Value::unknown("a variable that the hook demands is not set")),
            E::UseAlternativeValue { parameter, indirect: false, test_type, alternative_value } => {
                match self.set(parameter, test_type) {
                    None => Value::empty(),
                    Some(Value::Unknown(why)) => Value::Unknown(why),
                    Some(Value::Known(_)) => self.text_of(alternative_value.as_deref().unwrap_or_default()),
                }
            }
            E::ParameterLength { parameter, indirect: false } => {
                match self.value(parameter).unwrap_or_else(Value::empty) {
                    Value::Known(text) => text.chars().count().to_string().into(),
                    unknown => unknown,
                }
            }
            E::RemoveSmallestSuffixPattern { parameter, indirect: false, pattern } => {
                self.cut(parameter, pattern.as_deref(), End::Suffix, Greed::Smallest)
            }
            E::RemoveLargestSuffixPattern { parameter, indirect: false, pattern } => {
                self.cut(parameter, pattern.as_deref(), End::Suffix, Greed::Largest)
            }
            E::RemoveSmallestPrefixPattern { parameter, indirect: false, pattern } => {
                self.cut(parameter, pattern.as_deref(), End::Prefix, Greed::Smallest)
            }
            E::RemoveLargestPrefixPattern { parameter, indirect: false, pattern } => {
                self.cut(parameter, pattern.as_deref(), End::Prefix, Greed::Largest)
            }
            _ => Value::unknown("an expansion that is no part of the shell that hooks are written for"),
        }
    }

    /// The value of a parameter that is set, and not empty where that counts.
    fn set(&self, parameter: &Parameter, test: &ParameterTestType) -> Option<Value> {
        let value = self.value(parameter)?;
        let empty = value.known() == Some("");
        (!empty || matches!(test, ParameterTestType::Unset)).then_some(value)
    }

    /// A value without what matches at its end or beginning.
    fn cut(&mut self, parameter: &Parameter, pattern: Option<&str>, end: End, greed: Greed) -> Value {
        let value = self.value(parameter).unwrap_or_else(Value::empty);
        let (text, pattern) = match (value, self.pattern_of(pattern.unwrap_or_default())) {
            (Value::Known(text), Value::Known(pattern)) => (text, pattern),
            (Value::Unknown(why), _) | (_, Value::Unknown(why)) => return Value::Unknown(why),
        };
        let mut cuts: Vec<usize> = text.char_indices().map(|(index, _)| index).chain([text.len()]).collect();
        // For a suffix the smallest is the one that begins last.
        if matches!((end, greed), (End::Suffix, Greed::Smallest) | (End::Prefix, Greed::Largest)) {
            cuts.reverse();
        }
        for cut in cuts {
            let (before, after) = text.split_at(cut);
            match end {
                End::Suffix if pattern::matches(&pattern, after) => return before.into(),
                End::Prefix if pattern::matches(&pattern, before) => return after.into(),
                _ => {}
            }
        }
        text.into()
    }

    /// What is at a path, what hooks of other packages made before counted in too.
    pub fn seen_with_earlier(&mut self, path: &str, follow: bool) -> Option<Seen> {
        let found = self.seen(path, follow);
        let at = paths::tree(&paths::absolute(&self.state.directory, path))?;
        if found.is_some() || self.state.effects.removed.contains(&at) {
            return found;
        }
        self.state.asks_earlier = true;
        self.world.earlier()?.at(&at)
    }

    /// The names in a folder, what hooks of other packages made before among them.
    pub fn names_with_earlier(&mut self, folder: &str) -> Vec<String> {
        let mut names = self.names(folder);
        self.state.asks_earlier = true;
        if let (Some(path), Some(earlier)) = (paths::tree(folder), self.world.earlier()) {
            let depth = path.components().count();
            let below = earlier.made.keys().filter(|made| made.starts_with(&path) && **made != path);
            names.extend(below.filter_map(|made| made.components().nth(depth).map(str::to_owned)));
            names.retain(|name| path.join(name).is_ok_and(|path| !self.state.effects.removed.contains(&path)));
            names.sort();
            names.dedup();
        }
        names
    }

    /// What is at a path, what the hook made and removed counted in.
    pub fn seen(&self, path: &str, follow: bool) -> Option<Seen> {
        paths::seen(self.world, &self.state.effects, &paths::absolute(&self.state.directory, path), follow)
    }
}

/// A command between backquotes, in which a backslash before `$`, a backquote or a backslash is taken away; within double
/// quotes also one before a double quote (POSIX, 2.6.3).
fn within_backquotes(text: &str, quoted: bool) -> String {
    let mut command = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let next = characters.peek().copied();
        if c == '\\' && (matches!(next, Some('$' | '`' | '\\')) || (quoted && next == Some('"'))) {
            command.extend(characters.next());
        } else {
            command.push(c);
        }
    }
    command
}

#[derive(Clone, Copy)]
enum End {
    Prefix,
    Suffix,
}

#[derive(Clone, Copy)]
enum Greed {
    Smallest,
    Largest,
}

fn is_arguments_alone(pieces: &[WordPieceWithSource]) -> bool {
    matches!(
        pieces,
        [WordPieceWithSource {
            piece: WordPiece::ParameterExpansion(ParameterExpr::Parameter {
                parameter: Parameter::Special(SpecialParameter::AllPositionalParameters { concatenate: false }),
                ..
            }),
            ..
        }]
    )
}

/// Puts what was put in place of something into words (POSIX, 2.6.5): separators that are blanks count once however many
/// there are, each other one ends a word, be it empty.
fn split_into(text: &str, separators: &str, field: &mut Field, fields: &mut Vec<Field>) {
    let is_blank = |c: char| separators.contains(c) && matches!(c, ' ' | '\t' | '\n');
    let is_mark = |c: char| separators.contains(c) && !is_blank(c);
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c| separators.contains(c)).unwrap_or(rest.len());
        if end > 0 {
            field.push(&rest[..end].into(), false);
            rest = &rest[end..];
            continue;
        }
        let after = rest.trim_start_matches(is_blank);
        let ends = after.strip_prefix(is_mark);
        rest = ends.map_or(after, |after| after.trim_start_matches(is_blank));
        if ends.is_some() {
            field.value.get_or_insert_with(Value::empty);
        }
        if field.value.is_some() {
            fields.push(std::mem::take(field));
        }
    }
}

/// Is there a pattern in a text in which everything that is meant as it is stands behind a backslash?
fn has_pattern(text: &str) -> bool {
    let mut escaped = false;
    text.chars().any(|c| {
        let found = !escaped && pattern::is_pattern(c.encode_utf8(&mut [0; 4]));
        escaped = !escaped && c == '\\';
        found
    })
}

fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        plain.extend(if c == '\\' { characters.next() } else { Some(c) });
    }
    plain
}

/// Sums of whole numbers; anything else is not known.
fn arithmetic(text: &Value, variable: impl Fn(&str) -> Option<Value>) -> Value {
    let text = match text {
        Value::Known(text) => text,
        unknown => return unknown.clone(),
    };
    let mut total = 0_i64;
    let mut sign = 1;
    for word in text.replace('+', " + ").replace('-', " - ").split_ascii_whitespace() {
        match word {
            "+" => sign = 1,
            "-" => sign = -1,
            word => {
                let looked_up = variable(word);
                let word = looked_up.as_ref().and_then(Value::known).unwrap_or(word);
                let Ok(number) = word.parse::<i64>() else {
                    return Value::unknown(format!("`$(({text}))` is not followed"));
                };
                total = total.saturating_add(sign * number);
            }
        }
    }
    total.to_string().into()
}
