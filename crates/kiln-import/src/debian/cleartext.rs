//! The cleartext signature framework (RFC 9580, section 7), read strictly.
//!
//! What is signed and what is parsed afterwards are the same lines: [`Cleartext::text`] is made from the very lines
//! that [`Cleartext::signed`] is. Anything that another reader could take differently is refused: text before or after
//! the frame, carriage returns, NUL bytes, other control characters, unescaped dashes, unknown headers, a second
//! message.

/// A message between its markers. Nothing is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleartext {
    text: String,
    signature: String,
}

/// Why the bytes are not such a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CleartextError {
    /// It does not begin as one.
    #[error("it is not a signed message: it does not begin with `{BEGIN}`")]
    NotSigned,
    /// Something stands outside the frame.
    #[error("line {0} is outside the signed part")]
    Outside(usize),
    /// A byte that no honest writer uses here.
    #[error("line {0} has a control character or is not UTF-8")]
    Control(usize),
    /// A header that means nothing.
    #[error("line {0} is a header other than `Hash`")]
    Header(usize),
    /// A dash at the beginning of a line of the text that is not escaped.
    #[error("line {0} begins with an unescaped dash")]
    Dash(usize),
    /// It ends too early.
    #[error("it ends before its signature does")]
    Truncated,
}

const BEGIN: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const BEGIN_SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END_SIGNATURE: &str = "-----END PGP SIGNATURE-----";

impl Cleartext {
    /// Takes the frame apart.
    ///
    /// # Errors
    /// When it is not exactly one message and nothing else.
    pub fn parse(bytes: &[u8]) -> Result<Self, CleartextError> {
        if !bytes.starts_with(BEGIN.as_bytes()) {
            return Err(CleartextError::NotSigned);
        }
        let line_at = |at: usize| bytes[..at].iter().filter(|&&b| b == b'\n').count() + 1;
        let whole = std::str::from_utf8(bytes).map_err(|e| CleartextError::Control(line_at(e.valid_up_to())))?;
        if let Some(at) = whole.find(|c: char| c.is_control() && !matches!(c, '\n' | '\t')) {
            return Err(CleartextError::Control(line_at(at)));
        }
        let mut lines =
            whole.strip_suffix('\n').unwrap_or(whole).split('\n').enumerate().map(|(n, line)| (n + 1, line));
        if lines.next().is_none_or(|(_, line)| line != BEGIN) {
            return Err(CleartextError::NotSigned);
        }
        loop {
            match lines.next() {
                None => return Err(CleartextError::Truncated),
                Some((_, "")) => break,
                Some((_, line)) if line.starts_with("Hash: ") => {}
                Some((number, _)) => return Err(CleartextError::Header(number)),
            }
        }
        let mut text = String::with_capacity(whole.len());
        loop {
            let (number, line) = lines.next().ok_or(CleartextError::Truncated)?;
            if line == BEGIN_SIGNATURE {
                break;
            }
            let line = match line.strip_prefix("- ") {
                Some(escaped) => escaped,
                None if line.starts_with('-') => return Err(CleartextError::Dash(number)),
                None => line,
            };
            text.push_str(line.trim_end_matches([' ', '\t']));
            text.push('\n');
        }
        let mut signature = format!("{BEGIN_SIGNATURE}\n");
        loop {
            let (_, line) = lines.next().ok_or(CleartextError::Truncated)?;
            signature.push_str(line);
            signature.push('\n');
            if line == END_SIGNATURE {
                break;
            }
        }
        match lines.next() {
            None => Ok(Self { text, signature }),
            Some((number, _)) => Err(CleartextError::Outside(number)),
        }
    }

    /// The text, one `\n` after each line. To be believed only when [`Self::signed`] is verified.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the signature is of: the lines of the text, `\r\n` between them and none at the end.
    #[must_use]
    pub fn signed(&self) -> Vec<u8> {
        self.text.strip_suffix('\n').unwrap_or(&self.text).replace('\n', "\r\n").into_bytes()
    }

    /// The armored signature.
    #[must_use]
    pub fn signature(&self) -> &str {
        &self.signature
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(body: &str) -> String {
        format!("{BEGIN}\nHash: SHA256\n\n{body}\n{BEGIN_SIGNATURE}\n\nAAAA\n{END_SIGNATURE}\n")
    }

    #[test]
    fn takes_the_text_out_of_its_frame() {
        let parsed = Cleartext::parse(message("Origin: x \n- -----\n\nDate: y").as_bytes()).unwrap();
        assert_eq!(parsed.text(), "Origin: x\n-----\n\nDate: y\n");
        assert_eq!(parsed.signed(), b"Origin: x\r\n-----\r\n\r\nDate: y");
        assert!(parsed.signature().contains("AAAA"));
    }

    #[test]
    fn refuses_everything_that_could_be_read_in_two_ways() {
        let good = message("a: b");
        let cases: [(String, CleartextError); 13] = [
            ("a: b\n".to_owned(), CleartextError::NotSigned),
            (format!("x\n{good}"), CleartextError::NotSigned),
            (format!("\n{good}"), CleartextError::NotSigned),
            (format!("{good}evil: 1\n"), CleartextError::Outside(9)),
            (format!("{good}{good}"), CleartextError::Outside(9)),
            (format!("{good}\n"), CleartextError::Outside(9)),
            (good.replace('\n', "\r\n"), CleartextError::Control(1)),
            (message("a: b\rc: d"), CleartextError::Control(4)),
            (message("a: b\0"), CleartextError::Control(4)),
            (message("a: b\u{85}c: d"), CleartextError::Control(4)),
            (message("-a: b"), CleartextError::Dash(4)),
            (good.replace("Hash: SHA256\n", "Hash: SHA256\nOrigin: x\n"), CleartextError::Header(3)),
            (good[..good.len() - 10].to_owned(), CleartextError::Truncated),
        ];
        for (text, error) in cases {
            assert_eq!(Cleartext::parse(text.as_bytes()), Err(error), "{text}");
        }
        let mut bytes = good.into_bytes();
        bytes[60] = 0xff;
        assert!(matches!(Cleartext::parse(&bytes), Err(CleartextError::Control(_))));
        assert_eq!(Cleartext::parse(format!("{BEGIN} \n\na\n").as_bytes()), Err(CleartextError::NotSigned));
        let blank = message("a").replace("SHA256\n\n", "SHA256\n \n");
        assert_eq!(Cleartext::parse(blank.as_bytes()), Err(CleartextError::Header(3)));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), body in "[a \n\r-]{0,30}") {
            let _ = Cleartext::parse(&bytes);
            let _ = Cleartext::parse(message(&body).as_bytes());
        }
    }
}
