//! Relations: `name`, `name >= 1:2.0-3`, `/bin/sh`, `libc.so.6()(64bit)`, and the rich ones in parentheses:
//! `(a or b)`, `(a and b)`, `(a if b else c)`, `(a unless b else c)`, `(a with b)`, `(a without b)`
//! (rpm's `docs/manual/boolean_dependencies.md`).

use std::cmp::Ordering;
use std::fmt;

use kiln_model::version::rpm;

/// Rich relations are not nested deeper.
const DEEPEST: usize = 16;

/// How a version must compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bound {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `=`
    Equal,
    /// `>=`
    AtLeast,
    /// `>`
    Greater,
}

impl Bound {
    /// Every comparison.
    pub const ALL: [Self; 5] = [Self::Less, Self::AtMost, Self::Equal, Self::AtLeast, Self::Greater];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Equal => "=",
            Self::AtLeast => ">=",
            Self::Greater => ">",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bound| bound.as_str() == text)
    }

    /// Which of `<`, `=`, `>` it takes.
    const fn takes(self) -> [bool; 3] {
        match self {
            Self::Less => [true, false, false],
            Self::AtMost => [true, true, false],
            Self::Equal => [false, true, false],
            Self::AtLeast => [false, true, true],
            Self::Greater => [false, false, true],
        }
    }

    /// Does `version` satisfy it?
    #[must_use]
    pub fn admits(self, version: &str, bound: &str) -> bool {
        let [less, equal, greater] = self.takes();
        match rpm::compare_as_relation(version, bound) {
            Ordering::Less => less,
            Ordering::Equal => equal,
            Ordering::Greater => greater,
        }
    }
}

/// A name, perhaps with a range of versions: what is wanted, or provided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Simple<'a> {
    /// The name, or the absolute path of a file.
    pub name: &'a str,
    /// Which versions.
    pub bound: Option<(Bound, &'a str)>,
}

impl<'a> Simple<'a> {
    /// Reads one.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &'a str) -> Result<Self, RelationError> {
        let mut words = text.split_ascii_whitespace();
        let found = match (words.next(), words.next(), words.next(), words.next()) {
            (Some(name), None, ..) => Some(Self { name, bound: None }),
            (Some(name), Some(operator), Some(version), None) => {
                Bound::parse(operator).map(|bound| Self { name, bound: Some((bound, version)) })
            }
            _ => None,
        };
        found.ok_or_else(|| RelationError::new(text, "it is not a name, or a name with a version"))
    }

    /// Does what is provided under the same name overlap with what is wanted? One that says no version is of all.
    #[must_use]
    pub fn overlaps(&self, provided: &Self) -> bool {
        let (Some((wanted, bound)), Some((given, version))) = (self.bound, provided.bound) else { return true };
        let order = rpm::compare_as_relation(version, bound);
        let (wants, gives) = (wanted.takes(), given.takes());
        match order {
            Ordering::Less => wants[0] || gives[2],
            Ordering::Greater => wants[2] || gives[0],
            Ordering::Equal => wants.iter().zip(gives).any(|(wants, gives)| *wants && gives),
        }
    }

    /// Does a package of this version, asked for by its name, satisfy it?
    #[must_use]
    pub fn admits(&self, version: &str) -> bool {
        self.bound.is_none_or(|(bound, wanted)| bound.admits(version, wanted))
    }
}

impl fmt::Display for Simple<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bound {
            Some((bound, version)) => write!(f, "{} {} {version}", self.name, bound.as_str()),
            None => f.write_str(self.name),
        }
    }
}

/// A relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Relation<'a> {
    /// A name.
    Simple(Simple<'a>),
    /// All of them.
    And(Vec<Self>),
    /// Any of them.
    Or(Vec<Self>),
    /// The first if the second holds; if not, the third.
    If(Box<Self>, Box<Self>, Option<Box<Self>>),
    /// The first unless the second holds; then the third.
    Unless(Box<Self>, Box<Self>, Option<Box<Self>>),
    /// One package that satisfies all of them.
    With(Vec<Self>),
    /// One package that satisfies the first and not the second.
    Without(Box<Self>, Box<Self>),
}

/// Why a text is no relation, or none that is understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` cannot be read as a relation: {why}")]
pub struct RelationError {
    text: String,
    why: &'static str,
}

impl RelationError {
    pub(super) fn new(text: &str, why: &'static str) -> Self {
        Self { text: text.chars().take(200).collect(), why }
    }
}

impl<'a> Relation<'a> {
    /// Reads one relation.
    ///
    /// # Errors
    /// When it is none, or nested too deeply.
    pub fn parse(text: &'a str) -> Result<Self, RelationError> {
        let text = text.trim();
        if !text.starts_with('(') {
            return Simple::parse(text).map(Self::Simple);
        }
        let (relation, rest) = rich(text, text, 0)?;
        if rest.trim().is_empty() { Ok(relation) } else { Err(RelationError::new(text, "something follows its end")) }
    }

    /// Reads a list of relations, one a line.
    ///
    /// # Errors
    /// At the first that is none.
    pub fn parse_all(text: &'a str) -> Result<Vec<Self>, RelationError> {
        text.lines().map(Self::parse).collect()
    }
}

/// Reads what stands in parentheses, and gives what follows it.
fn rich<'a>(text: &'a str, whole: &'a str, depth: usize) -> Result<(Relation<'a>, &'a str), RelationError> {
    let fault = |why| RelationError::new(whole, why);
    if depth > DEEPEST {
        return Err(fault("it is nested too deeply"));
    }
    let (first, mut rest) = operand(&text[1..], whole, depth)?;
    let mut operands = vec![first];
    let mut words: Vec<&str> = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix(')') {
            return Ok((combine(operands, &words).ok_or_else(|| fault("its operators do not go together"))?, after));
        }
        let end = rest.find(|c: char| c.is_ascii_whitespace()).ok_or_else(|| fault("it does not end"))?;
        words.push(&rest[..end]);
        let (next, after) = operand(&rest[end..], whole, depth)?;
        operands.push(next);
        rest = after;
    }
}

/// Reads a name with a version, or something in parentheses.
fn operand<'a>(text: &'a str, whole: &'a str, depth: usize) -> Result<(Relation<'a>, &'a str), RelationError> {
    let text = text.trim_start();
    if text.starts_with('(') {
        return rich(text, whole, depth + 1);
    }
    let (name, rest) = word(text);
    if name.is_empty() {
        return Err(RelationError::new(whole, "a name is missing in it"));
    }
    let (operator, after) = word(rest.trim_start());
    if let Some(bound) = Bound::parse(operator) {
        let (version, after) = word(after.trim_start());
        if version.is_empty() {
            return Err(RelationError::new(whole, "a version is missing in it"));
        }
        return Ok((Relation::Simple(Simple { name, bound: Some((bound, version)) }), after));
    }
    Ok((Relation::Simple(Simple { name, bound: None }), rest))
}

/// A word up to a blank or a parenthesis that it did not open: `libc.so.6()(64bit)` is one.
fn word(text: &str) -> (&str, &str) {
    let mut depth = 0usize;
    let end = text.find(|c: char| match c {
        '(' => {
            depth += 1;
            false
        }
        ')' if depth == 0 => true,
        ')' => {
            depth -= 1;
            false
        }
        c => c.is_ascii_whitespace(),
    });
    text.split_at(end.unwrap_or(text.len()))
}

fn combine<'a>(mut operands: Vec<Relation<'a>>, words: &[&str]) -> Option<Relation<'a>> {
    let all = |word: &str| words.iter().all(|found| *found == word);
    match words {
        [] => operands.pop(),
        ["if" | "unless"] | ["if" | "unless", "else"] => {
            let mut operands = operands.into_iter().map(Box::new);
            let (first, second, third) = (operands.next()?, operands.next()?, operands.next());
            let make = if words[0] == "if" { Relation::If } else { Relation::Unless };
            Some(make(first, second, third))
        }
        ["without"] => {
            let second = operands.pop()?;
            Some(Relation::Without(Box::new(operands.pop()?), Box::new(second)))
        }
        _ if all("and") => Some(Relation::And(operands)),
        _ if all("or") => Some(Relation::Or(operands)),
        _ if all("with") => Some(Relation::With(operands)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn simple(text: &str) -> Simple<'_> {
        Simple::parse(text).unwrap()
    }

    #[test]
    fn reads_names_with_versions() {
        for text in [
            "a",
            "a >= 1:2.0-3",
            "libc.so.6(GLIBC_2.34)(64bit)",
            "/bin/sh",
            "config(x) = 2:1.0-1",
            "a < 1",
            "b <= 2",
            "c > 3",
        ] {
            assert_eq!(simple(text).to_string(), text);
        }
        for text in ["", "a =", "a >> 1", "a = 1 2", "a b"] {
            assert!(Relation::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ranges_overlap_as_rpm_has_it() {
        for (wanted, provided, holds) in [
            ("a", "a = 1", true),
            ("a = 1", "a", true),
            ("a >= 1.0", "a = 1.0-5", true),
            ("a = 1.0-4", "a = 1.0-5", false),
            ("a < 1.0", "a = 1.0-5", false),
            ("a > 1", "a = 1:0.1-1", true),
            ("a < 2", "a >= 1", true),
            ("a < 1", "a >= 1", false),
            ("a <= 1", "a >= 1", true),
            ("a >= 2", "a < 1", false),
            ("a <= 1", "a <= 0.5", true),
        ] {
            assert_eq!(simple(wanted).overlaps(&simple(provided)), holds, "{wanted} by {provided}");
        }
        assert!(simple("a >= 1").admits("1-1") && !simple("a > 1").admits("1-1") && simple("a").admits("0"));
        assert!(simple("a < 1").admits("0.9") && !simple("a < 1").admits("1.1"));
    }

    #[test]
    fn reads_rich_relations() {
        let [a, b, c] = ["a", "b >= 2", "c"].map(|text| Relation::Simple(simple(text)));
        let parse = |text| Relation::parse(text).unwrap();
        assert_eq!(parse("(a or b >= 2 or c)"), Relation::Or(vec![a.clone(), b.clone(), c.clone()]));
        assert_eq!(
            parse("(a if (b >= 2 and c))"),
            Relation::If(Box::new(a.clone()), Box::new(Relation::And(vec![b.clone(), c.clone()])), None)
        );
        assert_eq!(
            parse("(a unless b >= 2 else c)"),
            Relation::Unless(Box::new(a.clone()), Box::new(b.clone()), Some(Box::new(c.clone())))
        );
        assert_eq!(parse("(a with b >= 2)"), Relation::With(vec![a.clone(), b.clone()]));
        assert_eq!(parse("((a) without c)"), Relation::Without(Box::new(a), Box::new(c)));
        let Relation::Or(both) = parse("(libx.so.1()(64bit) or x(y) = 1)") else { panic!() };
        assert_eq!(both[0], Relation::Simple(simple("libx.so.1()(64bit)")));
    }

    #[test]
    fn what_is_no_rich_relation_is_told() {
        for text in [
            "(a or b",
            "(a or b and c)",
            "(a xor b)",
            "(a or )",
            "(a >= )",
            "()",
            "(a) b",
            "(a if b if c)",
            "(a without b without c)",
        ] {
            assert!(Relation::parse(text).is_err(), "{text}");
        }
        assert!(Relation::parse(&format!("{}a{}", "(".repeat(40), ")".repeat(40))).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "([()a-z<>= ]|or |if |else |with ){0,30}|.{0,10}") {
            let _ = Relation::parse_all(&text);
        }
    }
}
