//! The index of manual pages, `index.db`, by what it says of each page: a GDBM file with man-db's entries.
//!
//! Which bucket an entry lies in follows from the order of insertion, and each entry holds the time stamp of its page;
//! neither means anything here. The layout is that of GDBM's `gdbmdefs.h` on a 64-bit machine: a header, a directory of
//! offsets of buckets, and in each bucket a table of places of keys and values.

const MAGIC: u32 = 0x1357_9acf;
/// The table of free places at the head of a bucket: a count and six of them.
const FREE: usize = 8 + 6 * 16;
const ELEMENT: usize = 24;

/// One line an entry, sorted, or nothing if the bytes are no such index.
pub fn pages(bytes: &[u8]) -> Option<String> {
    if number(bytes, 0)? != MAGIC {
        return None;
    }
    let (directory, directory_size) = (offset(bytes, 8)?, size(bytes, 16)?);
    let elements = size(bytes, 28)?;
    let places = bytes.get(directory..directory.checked_add(directory_size)?)?;
    let mut buckets: Vec<usize> =
        places.chunks_exact(8).map(|place| offset(place, 0)).collect::<Option<Vec<usize>>>()?;
    // A bucket that was not split yet stands in the directory several times.
    buckets.sort_unstable();
    buckets.dedup();
    let mut lines = Vec::new();
    for bucket in buckets {
        let table = bucket.checked_add(FREE + 8)?;
        let table = bytes.get(table..table.checked_add(elements.checked_mul(ELEMENT)?)?)?;
        for element in table.chunks_exact(ELEMENT).filter(|element| number(element, 0) != Some(u32::MAX)) {
            let (place, key, value) = (offset(element, 8)?, size(element, 16)?, size(element, 20)?);
            let middle = place.checked_add(key)?;
            let (key, value) = (bytes.get(place..middle)?, bytes.get(middle..middle.checked_add(value)?)?);
            lines.push(format!("{} {}", String::from_utf8_lossy(key), without_time(&String::from_utf8_lossy(value))));
        }
    }
    lines.sort();
    Some(lines.join("\n"))
}

/// An entry is ten fields between tabs, the fourth and fifth being seconds and nanoseconds; others are left alone.
fn without_time(value: &str) -> String {
    let mut fields: Vec<&str> = value.split('\t').collect();
    if let [_, _, _, seconds, nanoseconds, _, _, _, _, _] = &mut fields[..] {
        (*seconds, *nanoseconds) = ("", "");
    }
    fields.join("\t")
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn size(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(number(bytes, at)?).ok()
}

fn offset(bytes: &[u8], at: usize) -> Option<usize> {
    let eight = bytes.get(at..at.checked_add(8)?)?;
    usize::try_from(u64::from_le_bytes(eight.try_into().ok()?)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An index of one bucket with room for four entries.
    fn index(entries: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = MAGIC.to_le_bytes().to_vec();
        bytes.extend(64_u32.to_le_bytes());
        bytes.extend(64_u64.to_le_bytes());
        [16_u32, 1, 256, 4].into_iter().for_each(|number| bytes.extend(number.to_le_bytes()));
        bytes.resize(64, 0);
        // Both places of the directory are the one bucket.
        [80_u64, 80].into_iter().for_each(|place| bytes.extend(place.to_le_bytes()));
        bytes.resize(80 + FREE + 8, 0);
        let mut texts = Vec::new();
        let start = bytes.len() + 4 * ELEMENT;
        for slot in 0..4 {
            let Some((key, value)) = entries.get(slot) else {
                bytes.extend([0xff; ELEMENT]);
                continue;
            };
            bytes.extend(7_u64.to_le_bytes());
            bytes.extend(((start + texts.len()) as u64).to_le_bytes());
            [key.len(), value.len()].into_iter().for_each(|n| bytes.extend(u32::try_from(n).unwrap().to_le_bytes()));
            texts.extend(key.bytes().chain(value.bytes()));
        }
        [bytes, texts].concat()
    }

    fn entry(seconds: u64, what: &str) -> String {
        format!("-\t1\t1\t{seconds}\t9\tA\t-\t-\tgz\t{what}\0")
    }

    #[test]
    fn time_stamps_and_order_mean_nothing_and_what_is_said_of_a_page_does() {
        let (old, new, other) = (entry(1, "one"), entry(2, "one"), entry(1, "another"));
        let of = |entries: &[(&str, &str)]| pages(&index(entries)).unwrap();
        assert_eq!(of(&[("a", &old), ("b", &old)]), of(&[("b", &new), ("a", &new)]));
        assert_ne!(of(&[("a", &old)]), of(&[("a", &other)]));
        assert_ne!(of(&[("a", &old)]), of(&[("b", &old)]));
        assert_eq!(of(&[("$version$", "2.5.0")]), "$version$ 2.5.0");
        assert_eq!(pages(b"no index at all"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), with_magic: bool) {
            let bytes = if with_magic { [&MAGIC.to_le_bytes()[..], &bytes].concat() } else { bytes };
            let _ = pages(&bytes);
        }

        #[test]
        fn no_damage_makes_it_panic(at in 0_usize..300, byte: u8) {
            let mut bytes = index(&[("a", "-")]);
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            let _ = pages(&bytes);
        }
    }
}
