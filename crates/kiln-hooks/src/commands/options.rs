//! Options of commands, as getopt(3) reads them.

use std::collections::BTreeMap;

use super::{Stuck, stuck};

/// What was given: options by their long or short name, and the rest.
#[derive(Debug, Default)]
pub(super) struct Options<'a> {
    pub values: BTreeMap<&'static str, &'a str>,
    pub operands: Vec<&'a str>,
}

impl<'a> Options<'a> {
    /// Reads words. `known` are names: `-m=` and `--mode=` take a value, `-p` and `--parents` do not.
    pub fn read(words: &[&'a str], known: &[&'static str]) -> Result<Self, Stuck> {
        let mut options = Self::default();
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            if word == "--" {
                options.operands.extend(words);
                break;
            }
            if let Some(long) = word.strip_prefix("--") {
                let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
                let found =
                    known.iter().find(|known| known.strip_prefix("--").map(|k| k.trim_end_matches('=')) == Some(name));
                // A name may be cut short where only one begins like that.
                let begins = |known: &&&str| known.strip_prefix("--").is_some_and(|known| known.starts_with(name));
                let found = found.or_else(|| {
                    let mut longer = known.iter().filter(begins);
                    longer.next().filter(|_| longer.next().is_none())
                });
                let Some(found) = found else { return stuck(format!("its option `{word}` is not followed")) };
                let value = match (found.ends_with('='), value) {
                    (true, Some(value)) => value,
                    (true, None) => words.next().unwrap_or_default(),
                    (false, _) => "",
                };
                options.values.insert(found.trim_end_matches('='), value);
                continue;
            }
            let Some(short) = word.strip_prefix('-').filter(|short| !short.is_empty()) else {
                options.operands.push(word);
                continue;
            };
            for (index, letter) in short.char_indices() {
                let found = known.iter().find(|known| {
                    known.strip_prefix('-').map(|k| k.trim_end_matches('=')) == Some(letter.encode_utf8(&mut [0; 4]))
                });
                let Some(found) = found else { return stuck(format!("its option `-{letter}` is not followed")) };
                if !found.ends_with('=') {
                    options.values.insert(found, "");
                    continue;
                }
                let rest = &short[index + letter.len_utf8()..];
                let value = if rest.is_empty() { words.next().unwrap_or_default() } else { rest };
                options.values.insert(found.trim_end_matches('='), value);
                break;
            }
        }
        Ok(options)
    }

    /// Was one of these given?
    pub fn has(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.values.contains_key(name))
    }

    /// The value of one of these.
    pub fn get(&self, names: &[&str]) -> Option<&'a str> {
        names.iter().find_map(|name| self.values.get(name).copied())
    }
}
