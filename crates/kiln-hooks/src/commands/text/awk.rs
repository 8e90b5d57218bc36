//! The part of `awk` that hooks use: fields of the lines that match, printed (POSIX, `awk`).
//!
//! A program is a list of rules, each a condition and `{ print ... }`. Anything else is not understood, but for one case:
//! without `BEGIN` and `END` a program that reads nothing prints nothing, whatever it says.

use regex::Regex;

use super::regular::{Grammar, compile, translate};

/// A text that a rule makes of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Term {
    /// `$0` is the whole line, `$1` its first field.
    Field(usize),
    LastField,
    CountOfFields,
    CountOfLines,
    Text(String),
}

enum Condition {
    Matches(Term, Regex, bool),
    Equals(Term, Term, bool),
}

struct Rule {
    /// All of them must hold.
    conditions: Vec<Condition>,
    /// What is printed, with a space between the lists.
    prints: Vec<Vec<Term>>,
    exits: bool,
}

/// What a program makes of a text; none when something in it is not understood. `separator` is that of `-F`.
pub(super) fn run(program: &str, separator: Option<&str>, text: &str) -> Option<String> {
    if text.is_empty() && !program.contains("BEGIN") && !program.contains("END") {
        return Some(String::new());
    }
    let rules = Parser { rest: program }.rules()?;
    let split = match separator.filter(|separator| *separator != " ") {
        Some(separator) => Some(separating(separator)?),
        None => None,
    };
    let mut out = String::new();
    for (index, line) in text.lines().enumerate() {
        let fields: Vec<&str> = match &split {
            None => line.split_ascii_whitespace().collect(),
            Some(_) if line.is_empty() => Vec::new(),
            Some(separator) => separator.split(line).collect(),
        };
        let value = |term: &Term| match term {
            Term::Field(0) => line.to_owned(),
            Term::Field(number) => fields.get(number - 1).copied().unwrap_or_default().to_owned(),
            Term::LastField => fields.last().copied().unwrap_or(line).to_owned(),
            Term::CountOfFields => fields.len().to_string(),
            Term::CountOfLines => (index + 1).to_string(),
            Term::Text(text) => text.clone(),
        };
        for rule in &rules {
            let holds = rule.conditions.iter().all(|condition| match condition {
                Condition::Matches(term, expression, wanted) => expression.is_match(&value(term)) == *wanted,
                Condition::Equals(left, right, wanted) => same(&value(left), &value(right)) == *wanted,
            });
            if !holds {
                continue;
            }
            if !rule.prints.is_empty() {
                let words: Vec<String> = rule.prints.iter().map(|terms| terms.iter().map(value).collect()).collect();
                out.push_str(&words.join(" "));
                out.push('\n');
            }
            if rule.exits {
                return Some(out);
            }
        }
    }
    Some(out)
}

/// What looks like a number on both sides is compared as one.
fn same(left: &str, right: &str) -> bool {
    match (left.trim().parse::<f64>(), right.trim().parse::<f64>()) {
        (Ok(left), Ok(right)) => left.total_cmp(&right).is_eq(),
        _ => left == right,
    }
}

/// One character is itself, more are an expression.
fn separating(separator: &str) -> Option<Regex> {
    let pattern = match separator {
        "\\t" | "\t" | "t" => "\t".to_owned(),
        one if one.chars().count() == 1 => regex::escape(one),
        more => translate(more, Grammar::Extended),
    };
    compile(&pattern, false)
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn rules(mut self) -> Option<Vec<Rule>> {
        let mut rules = Vec::new();
        loop {
            self.rest = self.rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ';');
            if self.rest.is_empty() {
                return Some(rules);
            }
            let mut conditions = Vec::new();
            while !self.rest.starts_with('{') {
                conditions.push(self.condition()?);
                if !self.takes("&&") {
                    break;
                }
            }
            let mut rule = Rule { conditions, prints: Vec::new(), exits: false };
            if self.takes("{") {
                self.action(&mut rule)?
            } else {
                rule.prints.push(vec![Term::Field(0)])
            }
            if rule.conditions.is_empty() && rule.prints.is_empty() && !rule.exits {
                return None;
            }
            rules.push(rule);
        }
    }

    fn takes(&mut self, text: &str) -> bool {
        let rest = self.rest.trim_start();
        let after = rest.strip_prefix(text);
        self.rest = after.unwrap_or(rest);
        after.is_some()
    }

    fn action(&mut self, rule: &mut Rule) -> Option<()> {
        loop {
            if self.takes("}") {
                return Some(());
            } else if self.takes(";") {
                continue;
            } else if self.takes("print") {
                if !rule.prints.is_empty() || self.rest.starts_with(|c: char| c.is_ascii_alphanumeric()) {
                    return None;
                }
                rule.prints.push(self.terms());
                while self.takes(",") {
                    rule.prints.push(self.terms());
                }
                if rule.prints.len() == 1 && rule.prints[0].is_empty() {
                    rule.prints[0].push(Term::Field(0));
                }
                if rule.prints.iter().any(Vec::is_empty) {
                    return None;
                }
            } else if self.takes("exit") {
                rule.exits = true;
            } else {
                return None;
            }
            if !self.rest.trim_start().starts_with([';', '}']) && !self.rest.starts_with('\n') {
                return None;
            }
        }
    }

    /// Terms one after the other are one text.
    fn terms(&mut self) -> Vec<Term> {
        std::iter::from_fn(|| self.term()).collect()
    }

    fn term(&mut self) -> Option<Term> {
        let rest = self.rest.trim_start_matches([' ', '\t']);
        let number = |text: &'a str| {
            let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            (digits > 0 && digits < 4).then(|| (&text[..digits], &text[digits..]))
        };
        let is_word = |after: &str| !after.starts_with(|c: char| c.is_ascii_alphanumeric() || "_([".contains(c));
        let (term, after) = if let Some(after) = rest.strip_prefix("$NF").filter(|after| is_word(after)) {
            (Term::LastField, after)
        } else if let Some((digits, after)) = rest.strip_prefix('$').and_then(number) {
            (Term::Field(digits.parse().ok()?), after)
        } else if let Some(after) = rest.strip_prefix("NF").filter(|after| is_word(after)) {
            (Term::CountOfFields, after)
        } else if let Some(after) = rest.strip_prefix("NR").filter(|after| is_word(after)) {
            (Term::CountOfLines, after)
        } else if let Some((digits, after)) = number(rest) {
            (Term::Text(digits.to_owned()), after)
        } else {
            let (text, after) = quoted(rest, '"')?;
            (Term::Text(text), after)
        };
        self.rest = after;
        Some(term)
    }

    fn condition(&mut self) -> Option<Condition> {
        let negated = self.takes("!");
        if self.rest.starts_with('/') {
            return Some(Condition::Matches(Term::Field(0), self.expression()?, !negated));
        }
        if negated {
            return None;
        }
        let left = self.term()?;
        for (operator, wanted) in [("==", true), ("!=", false)] {
            if self.takes(operator) {
                return Some(Condition::Equals(left, self.term()?, wanted));
            }
        }
        for (operator, wanted) in [("!~", false), ("~", true)] {
            if self.takes(operator) {
                self.rest = self.rest.trim_start();
                return Some(Condition::Matches(left, self.expression()?, wanted));
            }
        }
        None
    }

    fn expression(&mut self) -> Option<Regex> {
        let body = self.rest.strip_prefix('/')?;
        let mut escaped = false;
        let end = body.find(|c| {
            let ends = c == '/' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        })?;
        self.rest = &body[end + 1..];
        compile(&translate(&body[..end], Grammar::Extended), false)
    }
}

/// A text between marks, and what comes after.
fn quoted(text: &str, mark: char) -> Option<(String, &str)> {
    let body = text.strip_prefix(mark)?;
    let mut found = String::new();
    let mut characters = body.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            c if c == mark => return Some((found, &body[at + mark.len_utf8()..])),
            '\\' => match characters.next()?.1 {
                'n' => found.push('\n'),
                't' => found.push('\t'),
                other @ ('\\' | '"' | '/') => found.push(other),
                _ => return None,
            },
            other => found.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_do_what_awk_does() {
        let text = "a 1 x\nb 2\n\nc:d 3\n";
        for (program, separator, wanted) in [
            ("{print $1}", None, "a\nb\n\nc:d\n"),
            ("{ print $2, $1; }", None, "1 a\n2 b\n \n3 c:d\n"),
            ("/b/{print $NF}", None, "2\n"),
            ("!/b/ {print NR \"-\" NF}", None, "1-3\n3-0\n4-2\n"),
            ("$2 == \"1\" { print $1 \"/\" $3; exit }", None, "a/x\n"),
            ("NR==2", None, "b 2\n"),
            ("$1 ~ /^[ab]$/ && $2 != 1 {print}", None, "b 2\n"),
            ("{print $2}", Some(":"), "\n\n\nd 3\n"),
        ] {
            assert_eq!(run(program, separator, text).as_deref(), Some(wanted), "{program}");
        }
        for program in
            ["{printf \"%s\", $1}", "{x=$1; print x}", "BEGIN {print 1}", "{print substr($1,2)}", "{print", "$1>3"]
        {
            assert!(run(program, None, text).is_none(), "{program}");
        }
    }

    #[test]
    fn a_program_that_reads_nothing_prints_nothing() {
        assert_eq!(run("{split($0,F); for (f in F) print f}", None, "").as_deref(), Some(""));
        assert_eq!(run("BEGIN {print 1}", None, ""), None);
        assert_eq!(run("{x++} END {print x}", None, ""), None);
    }

    proptest::proptest! {
        #[test]
        fn no_program_makes_it_panic(program in "[{}print $0-9NFR\"/~!=&;,\\\\é]{0,40}", text in "[a-zé: \n]{0,20}") {
            let _ = run(&program, Some(":"), &text);
        }
    }
}
