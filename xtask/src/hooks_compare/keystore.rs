//! Java's keystore, `cacerts`, by the certificates it trusts: a file of the format JKS.
//!
//! Each entry holds the time at which it was added, entries are in the order of a hash table, and the digest at the end
//! covers both; none of it means anything here. Numbers are big-endian, texts have their length in front.

const MAGIC: u32 = 0xfeed_feed;
/// An entry that is a trusted certificate, without a key.
const TRUSTED: u32 = 2;
/// The digest at the end.
const SHA1: usize = 20;

/// One line a certificate, sorted, or nothing if the bytes are no such store.
pub fn certificates(bytes: &[u8]) -> Option<String> {
    let mut rest = bytes.get(..bytes.len().checked_sub(SHA1)?)?;
    if number(&mut rest)? != MAGIC || number(&mut rest)? != 2 {
        return None;
    }
    let mut lines = Vec::new();
    for _ in 0..number(&mut rest)? {
        if number(&mut rest)? != TRUSTED {
            return None;
        }
        let name = text(&mut rest)?;
        let _added = take(&mut rest, 8)?;
        let kind = text(&mut rest)?;
        let length = usize::try_from(number(&mut rest)?).ok()?;
        let certificate = kiln_model::Digest::of(take(&mut rest, length)?).to_hex();
        lines.push(format!("{name} {kind} {certificate}"));
    }
    lines.sort();
    rest.is_empty().then(|| lines.join("\n"))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(take(rest, 4)?.try_into().ok()?))
}

fn text(rest: &mut &[u8]) -> Option<String> {
    let length = u16::from_be_bytes(take(rest, 2)?.try_into().ok()?);
    Some(String::from_utf8_lossy(take(rest, usize::from(length))?).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn store(entries: &[(&str, u64, &str)]) -> Vec<u8> {
        let mut bytes = MAGIC.to_be_bytes().to_vec();
        bytes.extend(2_u32.to_be_bytes());
        bytes.extend(u32::try_from(entries.len()).unwrap().to_be_bytes());
        let word = |text: &str| [&u16::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat();
        for (name, added, certificate) in entries {
            bytes.extend(TRUSTED.to_be_bytes());
            bytes.extend(word(name));
            bytes.extend(added.to_be_bytes());
            bytes.extend(word("X.509"));
            bytes.extend(u32::try_from(certificate.len()).unwrap().to_be_bytes());
            bytes.extend(certificate.as_bytes());
        }
        bytes.extend([7; SHA1]);
        bytes
    }

    #[test]
    fn order_and_time_mean_nothing_and_names_and_certificates_do() {
        let of = |entries: &[(&str, u64, &str)]| certificates(&store(entries)).unwrap();
        assert_eq!(of(&[("a", 1, "x"), ("b", 2, "y")]), of(&[("b", 3, "y"), ("a", 4, "x")]));
        assert_ne!(of(&[("a", 1, "x")]), of(&[("a", 1, "y")]));
        assert_ne!(of(&[("a", 1, "x")]), of(&[("b", 1, "x")]));
        assert_ne!(of(&[("a", 1, "x")]), of(&[("a", 1, "x"), ("b", 1, "x")]));
        assert_eq!(certificates(b"no store at all, of whatever kind"), None);
    }

    proptest! {
        #[test]
        fn no_damage_makes_it_panic(at in 0_usize..80, byte: u8, cut in 0_usize..80) {
            let mut bytes = store(&[("a", 1, "x"), ("b", 2, "y")]);
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            bytes.truncate(bytes.len().saturating_sub(cut));
            let _ = certificates(&bytes);
        }
    }
}
