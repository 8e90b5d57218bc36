//! As much of X.509 as OpenSSL's name for a certificate takes: PEM, and the hash of the subject in canonical form.
//!
//! The hash is over the subject's relative names with every text as UTF-8, in lower case, white space trimmed and runs
//! of it one space: the first four bytes of the SHA-1, little-endian. It is a name for a file, no safety rests on it.
//!
//! Sources: RFC 5280 section 4.1, X.690 (DER), RFC 7468 (PEM), OpenSSL's `x509_name_canon`.

use sha1::{Digest as _, Sha1};

/// One element: its tag, its content, and the whole of it.
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    whole: &'a [u8],
}

/// Takes one element off the front.
fn take<'a>(bytes: &mut &'a [u8]) -> Option<Element<'a>> {
    let all = *bytes;
    let (&tag, rest) = all.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0usize, |value, digit| value << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some(Element { tag, content, whole: &all[..all.len() - rest.len()] })
}

fn take_tag<'a>(bytes: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    take(bytes).filter(|element| element.tag == tag).map(|element| element.content)
}

/// Writes one element.
fn put(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    match content.len() {
        length @ 0..=0x7f => out.push(length as u8),
        length => {
            let bytes = length.to_be_bytes();
            let start = bytes.iter().position(|b| *b != 0).unwrap_or(0);
            out.push(0x80 | (bytes.len() - start) as u8);
            out.extend_from_slice(&bytes[start..]);
        }
    }
    out.extend_from_slice(content);
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const UTF8: u8 = 0x0c;

/// The name of the subject of a certificate, as OpenSSL hashes it; none when it is not a certificate.
pub(super) fn subject_hash(certificate: &[u8]) -> Option<String> {
    let mut bytes = certificate;
    let mut certificate = take_tag(&mut bytes, SEQUENCE)?;
    let mut fields = take_tag(&mut certificate, SEQUENCE)?;
    let mut next = take(&mut fields)?;
    if next.tag == 0xa0 {
        next = take(&mut fields)?;
    }
    // That was the serial number; then the algorithm, the issuer and the validity.
    if next.tag != 0x02 {
        return None;
    }
    for _ in 0..3 {
        take_tag(&mut fields, SEQUENCE)?;
    }
    let mut subject = take_tag(&mut fields, SEQUENCE)?;
    let mut canonical = Vec::new();
    while !subject.is_empty() {
        let mut attributes = take_tag(&mut subject, SET)?;
        let mut list = Vec::new();
        while !attributes.is_empty() {
            let mut attribute = take_tag(&mut attributes, SEQUENCE)?;
            let kind = take(&mut attribute)?;
            let value = take(&mut attribute)?;
            let mut content = kind.whole.to_vec();
            match text(&value) {
                Some(text) => put(&mut content, UTF8, normal(&text).as_bytes()),
                None => content.extend_from_slice(value.whole),
            }
            let mut entry = Vec::new();
            put(&mut entry, SEQUENCE, &content);
            list.push(entry);
        }
        // A set is written in order of its encodings.
        list.sort();
        put(&mut canonical, SET, &list.concat());
    }
    let hash = Sha1::digest(&canonical);
    Some(format!("{:08x}", u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]])))
}

/// The text of a value; none for what is compared as it is.
fn text(value: &Element<'_>) -> Option<String> {
    match value.tag {
        // UTF-8, printable, IA5, visible.
        0x0c | 0x13 | 0x16 | 0x1a => String::from_utf8(value.content.to_vec()).ok(),
        // T.61, which everyone takes for Latin-1.
        0x14 => Some(value.content.iter().map(|byte| char::from(*byte)).collect()),
        0x1e => {
            let units = value.content.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).collect::<Result<_, _>>().ok()
        }
        0x1c => {
            let points =
                value.content.chunks_exact(4).map(|four| u32::from_be_bytes([four[0], four[1], four[2], four[3]]));
            points.map(char::from_u32).collect()
        }
        _ => None,
    }
}

fn normal(text: &str) -> String {
    let space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r');
    let words: Vec<String> = text.split(space).filter(|word| !word.is_empty()).map(str::to_ascii_lowercase).collect();
    words.join(" ")
}

/// The certificates of a PEM file; those that cannot be read are left out.
pub(in super::super) fn certificates(pem: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(pem);
    let mut list = Vec::new();
    let mut current: Option<String> = None;
    for line in text.lines().map(str::trim) {
        match (line, &mut current) {
            (
                "-----BEGIN CERTIFICATE-----"
                | "-----BEGIN TRUSTED CERTIFICATE-----"
                | "-----BEGIN X509 CERTIFICATE-----",
                _,
            ) => {
                current = Some(String::new());
            }
            (line, Some(_)) if line.starts_with("-----END ") => list.extend(current.take().and_then(|b| base64(&b))),
            (line, Some(body)) => body.push_str(line),
            _ => {}
        }
    }
    list
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_compared_without_case_and_runs_of_spaces() {
        assert_eq!(normal("  Kiln \t Root  CA "), "kiln root ca");
        assert_eq!(normal("Größe É"), "größe É", "only ASCII changes its case");
    }

    #[test]
    fn reads_pem_with_noise_around() {
        let pem = b"subject: x\n-----BEGIN CERTIFICATE-----\nMAMC\nAQU=\n-----END CERTIFICATE-----\ntail\n";
        assert_eq!(certificates(pem), [[0x30, 3, 2, 1, 5]]);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = (subject_hash(&bytes), certificates(&bytes));
        }
    }
}
