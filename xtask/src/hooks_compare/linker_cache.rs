//! `ld.so.cache` as the dynamic linker reads it: which library is where, in the order in which it looks.
//!
//! The layout is that of glibc's `dl-cache.h`: a header of 48 bytes, entries of 24, strings at offsets from the file's
//! start. Who generated it, and where in the file a string lies, means nothing.

const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER: usize = 48;
const ENTRY: usize = 24;

/// One line a library, or nothing if the bytes are no such cache.
pub fn libraries(bytes: &[u8]) -> Option<String> {
    if !bytes.starts_with(MAGIC) {
        return None;
    }
    let count = usize::try_from(number(bytes, MAGIC.len())?).ok()?;
    let entries = bytes.get(HEADER..HEADER.checked_add(count.checked_mul(ENTRY)?)?)?;
    let mut text = String::new();
    for entry in entries.chunks_exact(ENTRY) {
        let (flags, hardware) = (number(entry, 0)?, (number(entry, 16)?, number(entry, 20)?));
        let (name, path) = (string(bytes, number(entry, 4)?)?, string(bytes, number(entry, 8)?)?);
        text.push_str(&format!("{name} {path} {flags:x} {hardware:x?}\n"));
    }
    Some(text)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(four.try_into().ok()?))
}

fn string(bytes: &[u8], at: u32) -> Option<&str> {
    let from = bytes.get(usize::try_from(at).ok()?..)?;
    let end = from.iter().position(|byte| *byte == 0)?;
    std::str::from_utf8(&from[..end]).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A cache of libraries whose strings begin after some bytes of no meaning.
    fn cache(libraries: &[(&str, &str)], gap: usize) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(u32::try_from(libraries.len()).unwrap().to_le_bytes());
        bytes.resize(HEADER, 0);
        let mut strings = vec![b'~'; gap];
        let start = HEADER + libraries.len() * ENTRY;
        for (name, path) in libraries {
            let mut place = |text: &str| {
                let at = u32::try_from(start + strings.len()).unwrap();
                strings.extend(text.as_bytes());
                strings.push(0);
                at.to_le_bytes()
            };
            let (name, path) = (place(name), place(path));
            bytes.extend([0x0303_u32.to_le_bytes(), name, path, [0; 4], [0; 4], [0; 4]].concat());
        }
        [bytes, strings].concat()
    }

    #[test]
    fn where_strings_lie_means_nothing_and_what_they_say_and_their_order_do() {
        let (a, b) = (("libb.so.1", "/usr/lib/libb.so.1"), ("liba.so.1", "/usr/lib/liba.so.1"));
        let of = |list: &[(&str, &str)], gap| libraries(&cache(list, gap)).unwrap();
        assert_eq!(of(&[a, b], 0), of(&[a, b], 13));
        assert_ne!(of(&[a, b], 0), of(&[b, a], 0));
        assert_ne!(of(&[a, b], 0), of(&[a], 0));
        assert!(of(&[a], 0).starts_with("libb.so.1 /usr/lib/libb.so.1 303"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), with_magic: bool) {
            let bytes = if with_magic { [MAGIC, &bytes].concat() } else { bytes };
            let _ = libraries(&bytes);
        }
    }
}
