//! Patterns of paths: `*` and `?` stay within a component, `**` does not.

/// One pattern, with or without ` -> ` and a pattern of a link's target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    path: String,
    target: Option<String>,
}

impl Pattern {
    /// Reads one: an absolute pattern, or `**...`.
    pub fn new(text: &str) -> Option<Self> {
        let (path, target) = match text.split_once(" -> ") {
            Some((path, target)) => (path, Some(target.to_owned())),
            None => (text, None),
        };
        let anchored = path.starts_with('/') || path.starts_with("**");
        anchored.then(|| Self { path: path.to_owned(), target })
    }

    /// Does it match an absolute path and, if it is a link, its target?
    pub fn matches(&self, path: &str, target: Option<&str>) -> bool {
        let targets = match &self.target {
            Some(pattern) => target.is_some_and(|target| glob(pattern.as_bytes(), target.as_bytes())),
            None => true,
        };
        targets && glob(self.path.as_bytes(), path.as_bytes())
    }
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', b'*', rest @ ..] => (0..=text.len()).any(|skip| glob(rest, &text[skip..])),
        [b'*', rest @ ..] => {
            let reach = text.iter().position(|byte| *byte == b'/').unwrap_or(text.len());
            (0..=reach).any(|skip| glob(rest, &text[skip..]))
        }
        [b'?', rest @ ..] => matches!(text, [byte, text @ ..] if *byte != b'/' && glob(rest, text)),
        [byte, rest @ ..] => matches!(text, [first, text @ ..] if first == byte && glob(rest, text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Pattern::new(pattern).unwrap().matches(path, None)
    }

    #[test]
    fn a_star_stays_within_a_component_and_two_do_not() {
        assert!(matches("/etc/rc?.d/*", "/etc/rc2.d/S01ssh"));
        assert!(!matches("/etc/*", "/etc/a/b"));
        assert!(matches("/etc/**", "/etc/a/b"));
        assert!(matches("**/__pycache__/**", "/usr/lib/x/__pycache__/y.pyc"));
        assert!(!matches("/etc/**", "/etc"));
        assert!(!matches("/a?b", "/a/b"));
    }

    #[test]
    fn a_target_asks_for_a_link() {
        let pattern = Pattern::new("** -> /etc/alternatives/*").unwrap();
        assert!(pattern.matches("/usr/bin/awk", Some("/etc/alternatives/awk")));
        assert!(!pattern.matches("/usr/bin/awk", Some("gawk")));
        assert!(!pattern.matches("/usr/bin/awk", None));
    }

    #[test]
    fn a_relative_pattern_is_none() {
        assert_eq!(Pattern::new("etc/x"), None);
    }
}
