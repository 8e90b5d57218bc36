//! What a difference between two contents most likely comes from.
//!
//! A guess, and told as one: it looks at the bytes around the first difference, and at both contents as a whole.

use std::collections::BTreeMap;
use std::fmt;

/// What builds that are not reproducible usually let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The time of the build.
    Time,
    /// The head of a gzip file, which has a time.
    GzipTime,
    /// A path of the machine.
    Path,
    /// The order in which a directory lists its files, or in which parallel steps end.
    Order,
    /// A random number, or the number of a process.
    Random,
    /// How many cores or jobs there are.
    Jobs,
    /// The locale.
    Locale,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Time => "the time of the build: `SOURCE_DATE_EPOCH` has one that stays",
            Self::GzipTime => "a time in the head of a gzip file: `gzip -n` leaves it out",
            Self::Path => "a path of this machine, or of a temporary file",
            Self::Order => "an order: of a directory's files (sort them), or of steps that run in parallel",
            Self::Random => "a random number, or the number of a process",
            Self::Jobs => "the number of cores or of jobs",
            Self::Locale => "the locale: capital letters or the order of sorting",
        })
    }
}

/// Bytes on either side of the first difference that are looked at.
const AROUND: usize = 48;

impl Cause {
    /// Guesses, from two contents that differ first at `offset`.
    #[must_use]
    pub fn guess(first: &[u8], second: &[u8], offset: usize) -> Option<Self> {
        if [first, second].iter().all(|bytes| bytes.starts_with(&[0x1f, 0x8b])) && (4..8).contains(&offset) {
            return Some(Self::GzipTime);
        }
        let (one, two) = (window(first, offset), window(second, offset));
        let (one_word, two_word) = (word(first, offset), word(second, offset));
        let both = |test: &dyn Fn(&str) -> bool| test(&one_word) && test(&two_word);
        if both(&is_time) || (has_clock(&one) && has_clock(&two) && digits_differ(&one_word, &two_word)) {
            return Some(Self::Time);
        }
        if both(&|word| word.contains('/')) {
            return Some(Self::Path);
        }
        if is_permutation(first, second) {
            return Some(Self::Order);
        }
        if one_word.to_lowercase() == two_word.to_lowercase() || has_dotless(&one_word) || has_dotless(&two_word) {
            return Some(Self::Locale);
        }
        let small = |word: &str| word.parse::<u32>().is_ok_and(|number| (1..=1024).contains(&number));
        if both(&small) && (mentions_jobs(&one) || mentions_jobs(&two)) {
            return Some(Self::Jobs);
        }
        let number = |word: &str| word.len() >= 3 && word.bytes().all(|byte| byte.is_ascii_digit());
        let token = |word: &str| {
            word.len() >= 8 && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        (both(&number) || (both(&token) && one_word.len() == two_word.len())).then_some(Self::Random)
    }
}

fn window(bytes: &[u8], offset: usize) -> String {
    let (from, to) = (offset.saturating_sub(AROUND), (offset + AROUND).min(bytes.len()));
    String::from_utf8_lossy(bytes.get(from..to).unwrap_or_default()).into_owned()
}

/// What stands around `offset` without a blank or a quote in it.
fn word(bytes: &[u8], offset: usize) -> String {
    let ends = |byte: &u8| byte.is_ascii_whitespace() || byte.is_ascii_control() || b"\"'`=<>(),;[]{}|".contains(byte);
    let (before, after) = bytes.split_at(offset.min(bytes.len()));
    let from = before.iter().rposition(ends).map_or(0, |at| at + 1).max(offset.saturating_sub(4096).min(before.len()));
    let to = after.iter().take(4096).position(ends).unwrap_or(after.len().min(4096));
    String::from_utf8_lossy(&bytes[from..before.len() + to]).into_owned()
}

/// Seconds since 1970 of this century, or a date or a time of day.
fn is_time(word: &str) -> bool {
    let seconds = |text: &str| text.parse::<u64>().is_ok_and(|n| (946_684_800..4_102_444_800).contains(&n));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty();
    let whole = word.split('.').next().unwrap_or_default();
    let parts = |text: &str, by: char, lengths: &[usize]| {
        let parts: Vec<&str> = text.split(by).collect();
        parts.len() == lengths.len() && parts.iter().zip(lengths).all(|(part, n)| digits(part) && part.len() == *n)
    };
    let date = word.get(..10).is_some_and(|date| parts(date, '-', &[4, 2, 2]));
    seconds(whole) || date || parts(whole, ':', &[2, 2, 2]) || parts(whole, ':', &[2, 2])
}

/// Is there something like `12:34` in it?
fn has_clock(text: &str) -> bool {
    text.as_bytes().windows(5).any(|w| w[2] == b':' && [0, 1, 3, 4].iter().all(|at| w[*at].is_ascii_digit()))
}

fn digits_differ(one: &str, two: &str) -> bool {
    [one, two].iter().all(|word| word.bytes().any(|byte| byte.is_ascii_digit()))
}

/// Have both the same lines, or the same bytes, in another order?
fn is_permutation(first: &[u8], second: &[u8]) -> bool {
    let lines = |bytes: &[u8]| {
        let mut lines: Vec<Vec<u8>> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        lines.sort_unstable();
        lines
    };
    let words = |bytes: &[u8]| {
        let mut counts: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        for word in bytes.split(|byte| byte.is_ascii_whitespace() || b",;:".contains(byte)) {
            *counts.entry(word.to_vec()).or_default() += 1;
        }
        counts
    };
    first.len() == second.len() && (lines(first) == lines(second) || words(first) == words(second))
}

fn has_dotless(word: &str) -> bool {
    word.contains(['ı', 'İ'])
}

fn mentions_jobs(text: &str) -> bool {
    let text = text.to_lowercase();
    ["cpu", "core", "job", "nproc", "thread", "-j", "parallel"].iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn guess(first: &str, second: &str) -> Option<Cause> {
        let offset = first.bytes().zip(second.bytes()).position(|(a, b)| a != b);
        Cause::guess(first.as_bytes(), second.as_bytes(), offset.unwrap_or(first.len().min(second.len())))
    }

    #[test]
    fn usual_causes_are_told_apart() {
        for (first, second, cause) in [
            ("built 1764182000 here", "built 1764182031 here", Some(Cause::Time)),
            ("built Thu Nov 26 18:41:12 UTC 2026", "built Thu Nov 26 18:43:55 UTC 2026", Some(Cause::Time)),
            ("on 2026-11-26", "on 2026-11-27", Some(Cause::Time)),
            ("from /tmp/one/x.c", "from /srv/other/x.c", Some(Cause::Path)),
            ("b\na\nc\n", "a\nb\nc\n", Some(Cause::Order)),
            ("files: c b a", "files: a b c", Some(Cause::Order)),
            ("cores=2\n", "cores=1\n", Some(Cause::Jobs)),
            ("TITLE", "TİTLE", Some(Cause::Locale)),
            ("pid 12345", "pid 12399", Some(Cause::Random)),
            ("id=9f86d081884c7d65", "id=60303ae22b998861", Some(Cause::Random)),
            ("red", "blue", None),
        ] {
            assert_eq!(guess(first, second), cause, "{first} / {second}");
        }
        assert_eq!(Cause::guess(b"\x1f\x8b\x08\0abcd", b"\x1f\x8b\x08\0abce", 7), Some(Cause::GzipTime));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(first in prop::collection::vec(any::<u8>(), 0..200),
                                  second in prop::collection::vec(any::<u8>(), 0..200), offset in 0_usize..300) {
            let _ = Cause::guess(&first, &second, offset);
        }
    }
}
