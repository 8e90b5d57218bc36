//! Reading XML as a stream: what begins, what ends, and the text in between.
//!
//! Indexes come from outside. What would make memory grow without an end is refused: text or markup of more than a
//! megabyte, deep nesting, document types and the entities that they declare.

use std::io::{self, BufRead, Read};

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

/// No text and no tag is longer.
const LONGEST: usize = 1 << 20;

/// Indexes are not nested deeper.
const DEEPEST: usize = 32;

/// Is told what a document has, in order. Names have no prefixes.
pub(super) trait Visitor {
    /// An element begins.
    fn start(&mut self, name: &str, element: &Element<'_>) -> Result<(), String>;

    /// An element ends; `text` is what stood in it after its last child.
    fn end(&mut self, name: &str, text: &str) -> Result<(), String>;
}

/// An element that begins.
pub(super) struct Element<'a>(&'a BytesStart<'a>);

impl Element<'_> {
    /// The value of an attribute.
    pub fn get(&self, name: &str) -> Result<Option<String>, String> {
        for attribute in self.0.attributes().with_checks(false) {
            let attribute = attribute.map_err(|error| error.to_string())?;
            if attribute.key.local_name().as_ref() == name {
                let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|error| error.to_string())?;
                return Ok(Some(value.into_owned()));
            }
        }
        Ok(None)
    }

    /// The value of an attribute that has to be there.
    pub fn require(&self, name: &str) -> Result<String, String> {
        self.get(name)?.ok_or_else(|| format!("`{}` has no `{name}`", self.0.local_name().as_ref()))
    }
}

/// Reads a document.
///
/// # Errors
/// What is wrong with it, or what the visitor says is.
pub(super) fn read(reader: impl BufRead, visitor: &mut dyn Visitor) -> Result<(), String> {
    let mut reader = Reader::from_reader(Guard { inner: reader, since: 0 });
    reader.config_mut().expand_empty_elements = true;
    let (mut buffer, mut text, mut depth, mut elements) = (Vec::new(), String::new(), 0usize, 0u64);
    loop {
        buffer.clear();
        let event = reader.read_event_into(&mut buffer).map_err(|error| error.to_string())?;
        match event {
            Event::Start(start) => {
                (depth, elements) = (depth + 1, elements + 1);
                if depth > DEEPEST {
                    return Err("it is nested too deeply".to_owned());
                }
                text.clear();
                visitor.start(start.local_name().as_ref(), &Element(&start))?;
            }
            Event::End(end) => {
                depth = depth.saturating_sub(1);
                visitor.end(end.local_name().as_ref(), &text)?;
                text.clear();
            }
            Event::Text(piece) => text.push_str(&piece.xml10_content()),
            Event::GeneralRef(reference) => match reference.resolve_char_ref().map_err(|error| error.to_string())? {
                Some(c) => text.push(c),
                None => text.push_str(match &*reference.xml10_content() {
                    "lt" => "<",
                    "gt" => ">",
                    "amp" => "&",
                    "quot" => "\"",
                    "apos" => "'",
                    other => return Err(format!("`&{other};` is not known")),
                }),
            },
            Event::CData(piece) => text.push_str(&piece.xml10_content()),
            Event::Comment(_) | Event::Decl(_) => {}
            Event::DocType(_) | Event::PI(_) => return Err("it has a document type or an instruction".to_owned()),
            Event::Empty(_) => return Err("an element neither begins nor ends".to_owned()),
            Event::Eof if depth > 0 || elements == 0 => return Err("it ends too early".to_owned()),
            Event::Eof => return Ok(()),
        }
        if text.len() > LONGEST {
            return Err("it has a text that is longer than any".to_owned());
        }
    }
}

/// Stops a stream in which nothing begins for too long.
struct Guard<R> {
    inner: R,
    since: usize,
}

impl<R: BufRead> Read for Guard<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Guard<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.since > LONGEST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a tag or text is longer than any"));
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        if let Ok(buffered) = self.inner.fill_buf() {
            let consumed = &buffered[..amount.min(buffered.len())];
            self.since = match memchr::memrchr(b'<', consumed) {
                Some(at) => consumed.len() - at,
                None => self.since + consumed.len(),
            };
        }
        self.inner.consume(amount);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Told(Vec<String>);

    impl Visitor for Told {
        fn start(&mut self, name: &str, element: &Element<'_>) -> Result<(), String> {
            let value = element.get("a")?.unwrap_or_default();
            self.0.push(format!("<{name} {value}"));
            Ok(())
        }

        fn end(&mut self, name: &str, text: &str) -> Result<(), String> {
            self.0.push(format!("{text}/{name}"));
            Ok(())
        }
    }

    fn told(text: &[u8]) -> Result<Vec<String>, String> {
        let mut told = Told::default();
        read(text, &mut told).map(|()| told.0)
    }

    #[test]
    fn tells_what_begins_and_ends_without_prefixes() {
        let text = b"<?xml version=\"1.0\"?><r xmlns:p=\"x\"><p:e a=\"1 &lt; 2\"/><t>a &amp; b&#33;</t></r>";
        assert_eq!(told(text).unwrap(), ["<r ", "<e 1 < 2", "/e", "<t ", "a & b!/t", "/r"]);
    }

    #[test]
    fn what_could_grow_without_an_end_is_refused() {
        assert!(told(b"<!DOCTYPE r [<!ENTITY a \"aaaa\">]><r>&a;</r>").is_err());
        assert!(told(b"<r>&a;</r>").unwrap_err().contains("&a;"));
        assert!(told("<r>".repeat(40).as_bytes()).unwrap_err().contains("deeply"));
        assert!(told(format!("<r>{}</r>", "x".repeat(LONGEST + BUFFER)).as_bytes()).is_err());
        assert!(told(b"<r><e></r>").is_err() && told(b"<r>").is_err() && told(b"").is_err());
    }

    const BUFFER: usize = 1 << 18;

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "([<>/a-z&;\"'=! -]|<r>|</r>|<!--|<!\\[CDATA\\[){0,40}", bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = (told(text.as_bytes()), told(&bytes));
        }
    }
}
