//! Debian's control syntax: stanzas of `Name: value` fields, as in `Packages`, `Sources`, `Release`, `.dsc` and the
//! `control` file of a package (Debian Policy 5.1; `deb822(5)`).
//!
//! Fields borrow from the text, so a stanza costs one allocation however long it is. [`Stanzas`] walks a text in
//! memory; [`Reader`] holds one stanza at a time of a text of any length. A field's value is given as it stands,
//! trimmed at both ends: its further lines keep their leading blanks, and a full stop that stands for an empty line
//! stays. Field names compare without regard to case. A field that occurs twice, a line that is no field and a
//! continuation of nothing are errors that name their line.

use std::io::{self, BufRead};

use memchr::{memchr, memchr_iter};

/// More fields than any stanza has; a bound on the cost of finding duplicates.
const MAX_FIELDS: usize = 1024;

/// The longest stanza that [`Reader`] holds in memory.
const MAX_STANZA: usize = 16 << 20;

/// What is wrong with a text in control syntax.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A line is neither a field, a continuation, a comment nor empty.
    #[error("line {line} is not `Name: value`: `{text}`")]
    NotAField {
        /// The line, counted from 1.
        line: u64,
        /// Its beginning.
        text: String,
    },
    /// A field's name has characters that none may have.
    #[error("line {line}: `{name}` is not a field's name")]
    BadName {
        /// The line, counted from 1.
        line: u64,
        /// The name.
        name: String,
    },
    /// A continuation line with no field before it.
    #[error("line {line} continues a field, but there is none before it")]
    ContinuesNothing {
        /// The line, counted from 1.
        line: u64,
    },
    /// One field twice in one stanza.
    #[error("line {line}: the field `{name}` occurs twice in one stanza")]
    Duplicate {
        /// The line of the second one, counted from 1.
        line: u64,
        /// The name.
        name: String,
    },
    /// Too large to be a stanza.
    #[error("line {line}: the stanza that begins here is too large")]
    TooLarge {
        /// The line, counted from 1.
        line: u64,
    },
    /// Bytes that are not UTF-8.
    #[error("line {line} is not UTF-8")]
    NotUtf8 {
        /// The line, counted from 1.
        line: u64,
    },
    /// The text cannot be read.
    #[error("cannot read the text after line {line}")]
    Io {
        /// The last line that was read.
        line: u64,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// What the user can do about it: nothing but have the file again; these are not written by hand.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        None
    }
}

/// One field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name, as written.
    pub name: &'a str,
    /// The value as it stands, trimmed at both ends.
    pub value: &'a str,
}

/// A run of fields without an empty line between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stanza<'a> {
    fields: Vec<Field<'a>>,
    line: u64,
}

impl<'a> Stanza<'a> {
    /// The value of the field `name`, whatever the case of its letters.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.fields.iter().find(|field| same(field.name, name)).map(|field| field.value)
    }

    /// The lines of a field's value, each trimmed, without empty ones and comments.
    pub fn lines(&self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let value = self.get(name).unwrap_or_default();
        value.lines().filter(|line| !line.starts_with('#')).map(str::trim).filter(|line| !line.is_empty())
    }

    /// Every field in the order of the text.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = Field<'a>> + use<'a, '_> {
        self.fields.iter().copied()
    }

    /// The line of its first field, counted from 1.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.line
    }
}

fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.eq_ignore_ascii_case(b)
}

/// Walks the stanzas of a text. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Stanzas<'a> {
    rest: &'a str,
    line: u64,
}

impl<'a> Stanzas<'a> {
    /// The stanzas of `text`.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self { rest: text, line: 0 }
    }

    /// The stanzas of `bytes`, which must be UTF-8 throughout.
    ///
    /// # Errors
    /// When they are not.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, Error> {
        Ok(Self::new(utf8(bytes, 0)?))
    }

    /// The next line without its end, and what comes after it.
    fn split_line(rest: &'a str) -> (&'a str, &'a str) {
        match memchr(b'\n', rest.as_bytes()) {
            Some(end) => (&rest[..end], &rest[end + 1..]),
            None => (rest, ""),
        }
    }

    fn stanza(&mut self) -> Result<Option<Stanza<'a>>, Error> {
        let mut stanza = Stanza { fields: Vec::new(), line: 0 };
        while !self.rest.is_empty() {
            let (line, rest) = Self::split_line(self.rest);
            self.line += 1;
            let number = self.line;
            if blank(line) {
                self.rest = rest;
                if stanza.fields.is_empty() {
                    continue;
                }
                break;
            }
            match line.as_bytes().first() {
                Some(b'#') => self.rest = rest,
                Some(b' ' | b'\t') => return Err(Error::ContinuesNothing { line: number }),
                _ => {
                    let field = self.field()?;
                    if stanza.fields.is_empty() {
                        stanza.line = number;
                        stanza.fields.reserve(24);
                    }
                    if stanza.fields.iter().any(|other| same(other.name, field.name)) {
                        return Err(Error::Duplicate { line: number, name: excerpt(field.name) });
                    }
                    if stanza.fields.len() == MAX_FIELDS {
                        return Err(Error::TooLarge { line: stanza.line });
                    }
                    stanza.fields.push(field);
                }
            }
        }
        Ok((!stanza.fields.is_empty()).then_some(stanza))
    }

    /// The field that begins `self.rest`, whose first line is already counted, with its continuation lines.
    fn field(&mut self) -> Result<Field<'a>, Error> {
        let text = self.rest;
        let (first, mut rest) = Self::split_line(text);
        let colon =
            memchr(b':', first.as_bytes()).ok_or_else(|| Error::NotAField { line: self.line, text: excerpt(first) })?;
        let name = &first[..colon];
        let fits = |b: u8| matches!(b, b'!'..=b'~');
        if name.is_empty() || name.starts_with('-') || !name.bytes().all(fits) {
            return Err(Error::BadName { line: self.line, name: excerpt(name) });
        }
        let mut end = first.len();
        // Comments belong to the value only when it goes on after them.
        let mut after = rest;
        let mut comments = 0;
        while !after.is_empty() {
            let (line, next) = Self::split_line(after);
            match line.as_bytes()[..] {
                [b'#', ..] => comments += 1,
                [b' ' | b'\t', ..] if !blank(line) => {
                    end = text.len() - after.len() + line.len();
                    rest = next;
                    self.line += comments + 1;
                    comments = 0;
                }
                _ => break,
            }
            after = next;
        }
        self.rest = rest;
        Ok(Field { name, value: text[colon + 1..end].trim_ascii() })
    }
}

impl<'a> Iterator for Stanzas<'a> {
    type Item = Result<Stanza<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let result = self.stanza().transpose();
        if matches!(result, Some(Err(_))) {
            self.rest = "";
        }
        result
    }
}

/// Reads stanzas one at a time from a text of any length.
#[derive(Debug)]
pub struct Reader<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Lines before the ones in the buffer.
    line: u64,
}

impl<R: BufRead> Reader<R> {
    /// Reads from `reader`; give it a large buffer.
    pub fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), line: 0 }
    }

    /// The next stanza, which borrows from this reader; none at the end.
    ///
    /// # Errors
    /// When the text cannot be read or is not in control syntax.
    pub fn stanza(&mut self) -> Result<Option<Stanza<'_>>, Error> {
        loop {
            self.line += memchr_iter(b'\n', &self.buffer).count() as u64;
            self.buffer.clear();
            if !self.fill()? {
                return Ok(None);
            }
            let text = utf8(&self.buffer, self.line)?;
            // A run of comments only is no stanza; the borrow ends here so that the loop may read on.
            if Stanzas::new(text).has_field() {
                break;
            }
        }
        let mut stanzas = Stanzas { rest: utf8(&self.buffer, self.line)?, line: self.line };
        stanzas.stanza()
    }

    /// Takes lines up to and with the next empty one after something that is not empty. False at the end.
    fn fill(&mut self) -> Result<bool, Error> {
        let mut started = false;
        loop {
            let from = self.buffer.len();
            let limit = (MAX_STANZA + 1 - from) as u64;
            let mut bounded = io::Read::take(&mut self.reader, limit);
            let read = bounded.read_until(b'\n', &mut self.buffer).map_err(|source| Error::Io {
                line: self.line + memchr_iter(b'\n', &self.buffer).count() as u64,
                source,
            })?;
            if self.buffer.len() > MAX_STANZA {
                return Err(Error::TooLarge { line: self.line + 1 });
            }
            if read == 0 {
                return Ok(started);
            }
            let empty = self.buffer[from..].trim_ascii().is_empty();
            if empty && started {
                return Ok(true);
            }
            if empty {
                self.buffer.clear();
                self.line += 1;
            } else {
                started = true;
            }
        }
    }
}

impl Stanzas<'_> {
    /// Is there a line that is neither empty nor a comment?
    fn has_field(&self) -> bool {
        self.rest.lines().any(|line| !line.starts_with('#') && !blank(line))
    }
}

fn blank(line: &str) -> bool {
    line.bytes().all(|b| b.is_ascii_whitespace())
}

fn excerpt(text: &str) -> String {
    text.chars().take(60).flat_map(char::escape_debug).collect()
}

fn utf8(bytes: &[u8], lines_before: u64) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(|error| Error::NotUtf8 {
        line: lines_before + 1 + memchr_iter(b'\n', &bytes[..error.valid_up_to()]).count() as u64,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "\n# made by hand\nPackage: a\nDescription: short\n long line\n .\n more\nEmpty:\n\n \t\nPackage: b\nDepends: x,\n# why\n y\n# end\nSize: 1";

    #[test]
    fn gives_folded_values_as_they_stand() {
        let stanzas: Vec<_> = Stanzas::new(TEXT).collect::<Result<_, _>>().unwrap();
        assert_eq!(stanzas.len(), 2);
        assert_eq!(stanzas[0].get("description"), Some("short\n long line\n .\n more"));
        assert_eq!(stanzas[0].get("Empty"), Some(""));
        assert_eq!(stanzas[0].get("Depends"), None);
        assert_eq!((stanzas[0].line(), stanzas[1].line()), (3, 11));
        assert_eq!(stanzas[1].lines("Depends").collect::<Vec<_>>(), ["x,", "y"]);
        assert_eq!(stanzas[1].get("SIZE"), Some("1"));
        assert_eq!(stanzas[1].fields().map(|f| f.name).collect::<Vec<_>>(), ["Package", "Depends", "Size"]);
    }

    #[test]
    fn names_the_line_of_every_fault() {
        let fault = |text: &str| Stanzas::new(text).find_map(Result::err).unwrap().to_string();
        assert_eq!(fault("A: 1\n\nnonsense\n"), "line 3 is not `Name: value`: `nonsense`");
        assert_eq!(fault("A: 1\n b\nB: 2\na: 3\n"), "line 4: the field `a` occurs twice in one stanza");
        assert_eq!(fault("\n x\n"), "line 2 continues a field, but there is none before it");
        assert_eq!(fault("A B: 1"), "line 1: `A B` is not a field's name");
        assert_eq!(fault("-A: 1"), "line 1: `-A` is not a field's name");
        assert_eq!(fault(": 1"), "line 1: `` is not a field's name");
        let many: String = (0..2000).map(|i| format!("F{i}: x\n")).collect();
        assert_eq!(fault(&many), "line 1: the stanza that begins here is too large");
        assert_eq!(Stanzas::from_bytes(b"A: 1\nB: \xff\n").unwrap_err().to_string(), "line 2 is not UTF-8");
    }

    #[test]
    fn stops_after_an_error() {
        assert_eq!(Stanzas::new("x\n\nA: 1\n").count(), 1);
    }

    #[test]
    fn reads_stanzas_of_a_stream_as_of_a_text() {
        let text = format!("{TEXT}\n\n# only a comment\n\n\nPackage: c\n");
        let mut reader = Reader::new(io::BufReader::with_capacity(7, text.as_bytes()));
        for expected in Stanzas::new(&text) {
            assert_eq!(reader.stanza().unwrap().unwrap(), expected.unwrap());
        }
        assert!(reader.stanza().unwrap().is_none());
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics_and_both_readers_agree(text in "([A-Za-z#: \t.\r]{0,8}\n{0,2}){0,12}") {
            let mut reader = Reader::new(text.as_bytes());
            for expected in Stanzas::new(&text) {
                match expected {
                    Ok(expected) => prop_assert_eq!(reader.stanza().unwrap().unwrap(), expected),
                    Err(error) => {
                        prop_assert_eq!(reader.stanza().unwrap_err().to_string(), error.to_string());
                        return Ok(());
                    }
                }
            }
            prop_assert!(reader.stanza().unwrap().is_none());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(stanzas) = Stanzas::from_bytes(&bytes) {
                prop_assert!(stanzas.count() <= bytes.len());
            }
        }

        #[test]
        fn what_is_written_reads_back(fields in proptest::collection::btree_map("[A-Z][a-z]{1,6}", "[!-~]([ -~]{0,20}[!-~])?", 1..8)) {
            let text: String = fields.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
            let stanza = Stanzas::new(&text).next().unwrap().unwrap();
            for (name, value) in &fields {
                prop_assert_eq!(stanza.get(name), Some(value.as_str()));
            }
        }
    }
}
