//! getopt(1): options of a script put into order, as words that the shell reads again.

use super::super::{Call, Done, Outcome};
use crate::evaluate::Evaluator;
use crate::value::{Status, Value};

/// Does an option take a value?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    Value,
    MayBe,
}

/// What `getopt` is told about options.
#[derive(Debug, Default)]
struct Known {
    short: Vec<(char, Takes)>,
    long: Vec<(String, Takes)>,
    /// May a long option have one dash?
    alternative: bool,
    /// Does the first word that is no option end them?
    in_order: bool,
}

/// `getopt -o OPTIONS -l OPTIONS -n NAME -- WORDS`.
pub(in crate::commands) fn getopt(_: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let Ok(words) = call.arguments.known() else { return Done::unknown("what `getopt` reads is not known") };
    let mut known = Known::default();
    let mut words = words.into_iter();
    let rest: Vec<&str> = loop {
        match words.next() {
            Some("-a" | "--alternative") => known.alternative = true,
            Some("-n" | "--name") => drop(words.next()),
            Some("-o" | "--options") => known.read_short(words.next().unwrap_or_default()),
            Some("-l" | "--long" | "--longoptions") => known.read_long(words.next().unwrap_or_default()),
            Some("-T" | "--test") => return Ok(Done { status: Status::Known(4), output: Value::empty() }),
            Some("--") => break words.collect(),
            Some(word) => match (word.strip_prefix("--options="), word.split_once('=')) {
                (Some(short), _) => known.read_short(short),
                (_, Some(("--long" | "--longoptions", long))) => known.read_long(long),
                (_, Some(("--name", _))) => {}
                _ => return Done::unknown(format!("`getopt {word}` is not followed")),
            },
            None => break Vec::new(),
        }
    };
    match known.ordered(&rest) {
        Some(text) => Done::prints(text),
        // It prints what it understood, and complains.
        None => Done::unknown("an option is given that the script does not know"),
    }
}

/// What follows the name of an option: `:` when it takes a value, `::` when it may.
fn takes(marks: &str) -> Takes {
    match marks {
        "" => Takes::Nothing,
        ":" => Takes::Value,
        _ => Takes::MayBe,
    }
}

impl Known {
    fn read_short(&mut self, text: &str) {
        self.in_order |= text.starts_with('+');
        let mut rest = text.trim_start_matches(['+', '-']);
        while let Some(letter) = rest.chars().next() {
            rest = &rest[letter.len_utf8()..];
            let marks = rest.len() - rest.trim_start_matches(':').len();
            self.short.push((letter, takes(&rest[..marks])));
            rest = &rest[marks..];
        }
    }

    fn read_long(&mut self, text: &str) {
        for name in text.split([',', ' ', '\t', '\n']).filter(|name| !name.is_empty()) {
            let bare = name.trim_end_matches(':');
            self.long.push((bare.to_owned(), takes(&name[bare.len()..])));
        }
    }

    /// A long option by its name, or by the beginning of one.
    fn find_long(&self, name: &str) -> Option<&(String, Takes)> {
        let exact = self.long.iter().find(|(known, _)| known == name);
        let mut begin = self.long.iter().filter(|(known, _)| known.starts_with(name));
        exact.or_else(|| begin.next().filter(|_| begin.next().is_none()))
    }

    /// The words with options first, each quoted. None when an option is not known or lacks its value.
    fn ordered(&self, words: &[&str]) -> Option<String> {
        let (mut options, mut operands) = (String::new(), Vec::new());
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            if word == "--" {
                operands.extend(words);
                break;
            }
            let long = word.strip_prefix("--").or_else(|| {
                let alternative = word.strip_prefix('-').filter(|rest| self.alternative && rest.len() > 1);
                alternative.filter(|rest| self.find_long(rest.split('=').next().unwrap_or_default()).is_some())
            });
            if let Some(long) = long {
                let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
                let (name, takes) = self.find_long(name)?;
                options.push_str(&format!(" --{name}"));
                match (takes, value) {
                    (Takes::Nothing, Some(_)) => return None,
                    (Takes::Nothing, None) => {}
                    (Takes::MayBe, value) => options.push_str(&format!(" {}", quoted(value.unwrap_or_default()))),
                    (Takes::Value, Some(value)) => options.push_str(&format!(" {}", quoted(value))),
                    (Takes::Value, None) => options.push_str(&format!(" {}", quoted(words.next()?))),
                }
                continue;
            }
            let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
                operands.push(word);
                if self.in_order {
                    operands.extend(words);
                    break;
                }
                continue;
            };
            for (index, letter) in letters.char_indices() {
                let (_, takes) = self.short.iter().find(|(known, _)| *known == letter)?;
                options.push_str(&format!(" -{letter}"));
                let rest = &letters[index + letter.len_utf8()..];
                match takes {
                    Takes::Nothing => continue,
                    Takes::MayBe => options.push_str(&format!(" {}", quoted(rest))),
                    Takes::Value if rest.is_empty() => options.push_str(&format!(" {}", quoted(words.next()?))),
                    Takes::Value => options.push_str(&format!(" {}", quoted(rest))),
                }
                break;
            }
        }
        options.push_str(" --");
        operands.iter().for_each(|word| options.push_str(&format!(" {}", quoted(word))));
        options.push('\n');
        Some(options)
    }
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}
