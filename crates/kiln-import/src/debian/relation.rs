//! Relations between packages: the syntax of `Depends` and its like (Debian Policy 7.1), `Provides`, and of
//! `Build-Depends` with its architectures and build profiles.
//!
//! A field is a conjunction of groups, a group a list of alternatives in order of preference. Values borrow from the
//! text. Empty groups, as left by generated lists (`a, , b`), count as nothing.

use std::cmp::Ordering;
use std::fmt;

use super::version;

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a relation to a package: {why}")]
pub struct RelationError {
    text: String,
    why: &'static str,
}

/// How versions must compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// `<<`
    Earlier,
    /// `<=`
    EarlierOrEqual,
    /// `=`
    Equal,
    /// `>=`
    LaterOrEqual,
    /// `>>`
    Later,
}

impl Operator {
    /// Every comparison.
    pub const ALL: [Self; 5] = [Self::Earlier, Self::EarlierOrEqual, Self::Equal, Self::LaterOrEqual, Self::Later];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Earlier => "<<",
            Self::EarlierOrEqual => "<=",
            Self::Equal => "=",
            Self::LaterOrEqual => ">=",
            Self::Later => ">>",
        }
    }

    /// Does `version` stand in this relation to `bound`?
    #[must_use]
    pub fn admits(self, version: &str, bound: &str) -> bool {
        let order = version::compare(version, bound);
        match self {
            Self::Earlier => order == Ordering::Less,
            Self::EarlierOrEqual => order != Ordering::Greater,
            Self::Equal => order == Ordering::Equal,
            Self::LaterOrEqual => order != Ordering::Less,
            Self::Later => order == Ordering::Greater,
        }
    }
}

/// A word that may be negated: `!amd64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term<'a> {
    /// The word.
    pub word: &'a str,
    /// Is it negated?
    pub negated: bool,
}

/// One alternative: a package, perhaps of certain versions, perhaps only in certain circumstances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation<'a> {
    /// The package, real or virtual.
    pub name: &'a str,
    /// The architecture after the colon: `any`, `native`, or the name of one.
    pub qualifier: Option<&'a str>,
    /// The versions.
    pub version: Option<(Operator, &'a str)>,
    /// `[amd64 !i386]`: the architectures this counts on; all when empty.
    pub architectures: Vec<Term<'a>>,
    /// `<!nocheck> <cross>`: the build profiles this counts in; each list is a conjunction, one of them must hold.
    pub profiles: Vec<Vec<Term<'a>>>,
}

impl Relation<'_> {
    /// Does it count when building for `architecture` with `profiles`?
    #[must_use]
    pub fn applies(&self, architecture: &str, profiles: &[&str]) -> bool {
        let matches = |term: &Term<'_>| {
            let word = term.word;
            word == architecture || word == "any" || word == "linux-any" || word == format!("any-{architecture}")
        };
        let here = match self.architectures.first() {
            None => true,
            Some(first) if first.negated => !self.architectures.iter().any(matches),
            Some(_) => self.architectures.iter().any(matches),
        };
        let holds = |term: &Term<'_>| profiles.contains(&term.word) != term.negated;
        here && (self.profiles.is_empty() || self.profiles.iter().any(|all| all.iter().all(holds)))
    }

    /// Does a version satisfy it?
    #[must_use]
    pub fn admits(&self, version: &str) -> bool {
        self.version.is_none_or(|(operator, bound)| operator.admits(version, bound))
    }
}

impl fmt::Display for Relation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if let Some(qualifier) = self.qualifier {
            write!(f, ":{qualifier}")?;
        }
        if let Some((operator, version)) = self.version {
            write!(f, " ({} {version})", operator.as_str())?;
        }
        let terms = |terms: &[Term<'_>]| {
            let words: Vec<_> =
                terms.iter().map(|t| format!("{}{}", if t.negated { "!" } else { "" }, t.word)).collect();
            words.join(" ")
        };
        if !self.architectures.is_empty() {
            write!(f, " [{}]", terms(&self.architectures))?;
        }
        for all in &self.profiles {
            write!(f, " <{}>", terms(all))?;
        }
        Ok(())
    }
}

/// Alternatives in order of preference; never empty.
pub type Group<'a> = Vec<Relation<'a>>;

/// Shows a group as it is written.
#[must_use]
pub fn shown(group: &[Relation<'_>]) -> String {
    group.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ")
}

/// Parses a whole field.
///
/// # Errors
/// When it is not a list of relations.
pub fn parse(field: &str) -> Result<Vec<Group<'_>>, RelationError> {
    let mut groups = Vec::new();
    for group in field.split(',').map(str::trim).filter(|group| !group.is_empty()) {
        groups.push(group.split('|').map(parse_one).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(groups)
}

/// Parses one relation.
fn parse_one(text: &str) -> Result<Relation<'_>, RelationError> {
    let text = text.trim();
    let fault = |why| RelationError { text: text.chars().take(80).collect(), why };
    let name_end = text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '_')));
    let (name, mut rest) = text.split_at(name_end.unwrap_or(text.len()));
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(fault("it does not begin with a package's name"));
    }
    let mut relation =
        Relation { name, qualifier: None, version: None, architectures: Vec::new(), profiles: Vec::new() };
    if let Some(after) = rest.strip_prefix(':') {
        let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).unwrap_or(after.len());
        let (qualifier, after) = after.split_at(end);
        if qualifier.is_empty() {
            return Err(fault("there is no architecture after the `:`"));
        }
        (relation.qualifier, rest) = (Some(qualifier), after);
    }
    rest = rest.trim_start();
    while let Some(open) = rest.chars().next() {
        let close = match open {
            '(' => ')',
            '[' => ']',
            '<' => '>',
            _ => return Err(fault("there is something after it that does not belong there")),
        };
        let inner_end = rest.find(close).ok_or_else(|| fault("a bracket is not closed"))?;
        let inner = rest[1..inner_end].trim();
        rest = rest[inner_end + 1..].trim_start();
        match open {
            '(' if relation.version.is_none() => relation.version = Some(constraint(inner).map_err(fault)?),
            '[' if relation.architectures.is_empty() => relation.architectures = terms(inner).map_err(fault)?,
            '<' => relation.profiles.push(terms(inner).map_err(fault)?),
            _ => return Err(fault("a bracket occurs twice")),
        }
    }
    Ok(relation)
}

fn constraint(text: &str) -> Result<(Operator, &str), &'static str> {
    let end = text.find(|c| !matches!(c, '<' | '=' | '>')).unwrap_or(text.len());
    let (operator, version) = text.split_at(end);
    let operator = match operator {
        "<<" => Operator::Earlier,
        // The single signs are the old way to write these two (deb-control(5)).
        "<=" | "<" => Operator::EarlierOrEqual,
        "=" => Operator::Equal,
        ">=" | ">" => Operator::LaterOrEqual,
        ">>" => Operator::Later,
        _ => return Err("versions are compared with one of `<<`, `<=`, `=`, `>=`, `>>`"),
    };
    let version = version.trim();
    if version.is_empty() || version.contains(char::is_whitespace) {
        return Err("there is not exactly one version in the brackets");
    }
    Ok((operator, version))
}

fn terms(text: &str) -> Result<Vec<Term<'_>>, &'static str> {
    let terms: Vec<_> = text
        .split_ascii_whitespace()
        .map(|word| match word.strip_prefix('!') {
            Some(word) => Term { word, negated: true },
            None => Term { word, negated: false },
        })
        .collect();
    if terms.is_empty() || terms.iter().any(|term| term.word.is_empty()) {
        Err("a bracket is empty")
    } else {
        Ok(terms)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_the_archive_has() {
        let field = "libc6 (>= 2.38),\n python3:any (<< 3.14), default-mta | mail-transport-agent, , perl:native,";
        let groups = parse(field).unwrap();
        assert_eq!(groups.len(), 4);
        assert_eq!(groups[0][0].version, Some((Operator::LaterOrEqual, "2.38")));
        assert_eq!((groups[1][0].name, groups[1][0].qualifier), ("python3", Some("any")));
        assert_eq!(shown(&groups[2]), "default-mta | mail-transport-agent");
        assert_eq!(groups[3][0].qualifier, Some("native"));
        assert_eq!(parse("").unwrap(), Vec::<Group<'_>>::new());
        assert_eq!(parse("a(=1)").unwrap()[0][0].to_string(), "a (= 1)");
    }

    #[test]
    fn build_relations_apply_by_architecture_and_profile() {
        let applies = |text: &str, profiles: &[&str]| parse(text).unwrap()[0][0].applies("amd64", profiles);
        assert!(applies("a [amd64 i386]", &[]) && !applies("a [!amd64]", &[]) && applies("a [!i386]", &[]));
        assert!(applies("a [linux-any]", &[]) && applies("a [any-amd64]", &[]) && !applies("a [hurd-any]", &[]));
        assert!(applies("a <!nocheck>", &[]) && !applies("a <!nocheck>", &["nocheck"]));
        assert!(!applies("a <cross> <stage1 !nocheck>", &["stage1", "nocheck"]));
        assert!(applies("a <cross> <stage1>", &["stage1"]));
    }

    #[test]
    fn refuses_the_rest() {
        for bad in [
            "(= 1)",
            "a (1)",
            "a (>= )",
            "a (>= 1",
            "a b",
            "a [",
            "a []",
            "a:",
            "a (=1) (=2)",
            "a (= 1 2)",
            "!a",
            "a | ",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "[a-z0-9:()<>=!| ,\\[\\]\n]{0,40}") {
            let _ = parse(&text);
        }

        #[test]
        fn what_is_shown_reads_back(
            name in "[a-z0-9][a-z0-9+.-]{0,10}",
            qualifier in proptest::option::of("any|native|amd64"),
            version in proptest::option::of(("<<|<=|=|>=|>>", "[0-9][0-9a-z.+~:-]{0,8}")),
            arches in "|( \\[!?amd64( !?i386)?\\])",
            profiles in "|( <!?nocheck>( <cross stage1>)?)",
        ) {
            let mut text = name;
            if let Some(qualifier) = qualifier { text = format!("{text}:{qualifier}"); }
            if let Some((operator, version)) = version { text = format!("{text} ({operator} {version})"); }
            text = format!("{text}{arches}{profiles}");
            let groups = parse(&text).unwrap();
            prop_assert_eq!(groups[0][0].to_string(), text);
        }
    }
}
