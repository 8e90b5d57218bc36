//! Alpine's relations: `name`, `name>=1.2`, `so:libc.so=1`, `cmd:awk`, `pc:zlib`, and `!name` for what must not be there.

use std::fmt;

use kiln_model::version::apk;

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
    /// `~`: it begins with this, part by part.
    Begins,
}

impl Bound {
    /// Every comparison.
    pub const ALL: [Self; 6] = [Self::Less, Self::AtMost, Self::Equal, Self::AtLeast, Self::Greater, Self::Begins];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Equal => "=",
            Self::AtLeast => ">=",
            Self::Greater => ">",
            Self::Begins => "~",
        }
    }

    /// Does `version` satisfy it?
    #[must_use]
    pub fn admits(self, version: &str, bound: &str) -> bool {
        let order = apk::compare(version, bound);
        match self {
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Equal => order.is_eq(),
            Self::AtLeast => order.is_ge(),
            Self::Greater => order.is_gt(),
            Self::Begins => apk::begins(bound, version),
        }
    }
}

/// One relation, or one provided name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency<'a> {
    /// The name, real or virtual.
    pub name: &'a str,
    /// Which versions.
    pub bound: Option<(Bound, &'a str)>,
    /// Must it not be there?
    pub conflict: bool,
}

/// Why a text is no relation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` cannot be read as a relation: {why}")]
pub struct DependencyError {
    text: String,
    why: &'static str,
}

impl<'a> Dependency<'a> {
    /// Reads one relation.
    ///
    /// # Errors
    /// When it is none, or of a kind that an archive's packages do not have: bound to a repository or to one build.
    pub fn parse(text: &'a str) -> Result<Self, DependencyError> {
        let fault = |why| Err(DependencyError { text: text.chars().take(80).collect(), why });
        let (conflict, rest) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
        let operator = |c: char| matches!(c, '<' | '>' | '=' | '~');
        let at = rest.find(operator).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(at);
        if name.is_empty() || name.bytes().any(|b| !b.is_ascii_graphic() || matches!(b, b'!' | b'@')) {
            return fault("its name is none");
        }
        if rest.is_empty() {
            return Ok(Self { name, bound: None, conflict });
        }
        let end = rest.find(|c| !operator(c)).unwrap_or(rest.len());
        let bound = match &rest[..end] {
            "<" => Bound::Less,
            "<=" => Bound::AtMost,
            "=" => Bound::Equal,
            ">=" => Bound::AtLeast,
            ">" => Bound::Greater,
            "~" | "~=" | "=~" => Bound::Begins,
            _ => return fault("there is no such comparison"),
        };
        match &rest[end..] {
            "" => fault("there is no version"),
            version => Ok(Self { name, bound: Some((bound, version)), conflict }),
        }
    }

    /// Reads a list of relations, separated by blanks.
    ///
    /// # Errors
    /// At the first that is none.
    pub fn parse_all(text: &'a str) -> Result<Vec<Self>, DependencyError> {
        text.split_ascii_whitespace().map(Self::parse).collect()
    }

    /// Does a version satisfy it? A name that is provided without one satisfies only who asks for none.
    #[must_use]
    pub fn admits(&self, version: Option<&str>) -> bool {
        match (self.bound, version) {
            (None, _) => true,
            (Some((bound, wanted)), Some(version)) => bound.admits(version, wanted),
            (Some(_), None) => false,
        }
    }
}

impl fmt::Display for Dependency<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.conflict { "!" } else { "" })?;
        f.write_str(self.name)?;
        match self.bound {
            Some((bound, version)) => write!(f, "{}{version}", bound.as_str()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_each_form_and_writes_it_again() {
        for text in [
            "musl",
            "musl>=1.2",
            "so:libc.musl-x86_64.so.1=1",
            "cmd:awk",
            "!busybox<1.30",
            "python3~3.12",
            "a>1",
            "b<=2",
        ] {
            assert_eq!(Dependency::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "!", "=1", "a=", "a><Q1abc", "a@edge", "a>=", "a<>1"] {
            assert!(Dependency::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn versions_decide_and_a_name_without_one_satisfies_only_who_asks_for_none() {
        let at_least = Dependency::parse("a>=1.2").unwrap();
        assert!(at_least.admits(Some("1.10-r0")) && !at_least.admits(Some("1.1")) && !at_least.admits(None));
        assert!(Dependency::parse("a").unwrap().admits(None));
        let fuzzy = Dependency::parse("a~1.2").unwrap();
        assert!(fuzzy.admits(Some("1.2.7-r3")) && !fuzzy.admits(Some("1.20")));
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "[!a-z:<>=~@.0-9 -]{0,20}") {
            let _ = Dependency::parse_all(&text);
        }
    }
}
