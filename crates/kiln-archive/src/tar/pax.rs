//! PAX extended headers: records `LENGTH KEY=VALUE\n`, where the length counts itself.

use std::collections::BTreeMap;

use crate::ReadError;

/// The prefix of extended attributes' keys, as `star` began it and everyone reads it.
pub(super) const XATTR: &str = "SCHILY.xattr.";

/// The key of a content's SHA-1 in hexadecimal, as `abuild-tar` writes it.
pub(super) const SHA1: &str = "APK-TOOLS.checksum.SHA1";

/// What the records of one extended header say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) user: Option<String>,
    pub(super) group: Option<String>,
    pub(super) mtime: Option<i64>,
    pub(super) xattrs: BTreeMap<Box<str>, Box<[u8]>>,
    pub(super) sha1: Option<[u8; 20]>,
    pub(super) sparse: bool,
}

impl Records {
    /// Adds the records of `bytes`. Later ones win; an empty value takes a key back. Keys that say nothing about what
    /// is read here, such as access times, are passed over.
    pub(super) fn add(&mut self, mut bytes: &[u8]) -> Result<(), ReadError> {
        while !bytes.is_empty() {
            let (key, value, rest) = record(bytes).ok_or_else(|| ReadError::Header {
                entry: "PAX header".into(),
                why: "a record is not `LENGTH KEY=VALUE`".into(),
            })?;
            self.set(key, value)?;
            bytes = rest;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), ReadError> {
        let text = || String::from_utf8_lossy(value).into_owned();
        let fault = || ReadError::Header {
            entry: "PAX header".into(),
            why: format!("`{}={}` is no value of this key", String::from_utf8_lossy(key), text().escape_debug()),
        };
        let bytes = || (!value.is_empty()).then(|| value.to_vec());
        match key {
            b"path" => self.path = bytes(),
            b"linkpath" => self.link = bytes(),
            b"size" => self.size = number(value).ok_or_else(fault)?,
            b"uid" => self.uid = number(value).ok_or_else(fault)?,
            b"gid" => self.gid = number(value).ok_or_else(fault)?,
            b"uname" => self.user = Some(text()).filter(|t| !t.is_empty()),
            b"gname" => self.group = Some(text()).filter(|t| !t.is_empty()),
            b"mtime" => {
                let whole = value.split(|&b| b == b'.').next().unwrap_or_default();
                self.mtime = number(whole).ok_or_else(fault)?;
            }
            _ => {
                let Ok(key) = std::str::from_utf8(key) else { return Ok(()) };
                self.sparse |= key.starts_with("GNU.sparse.");
                if key == SHA1 {
                    self.sha1 = Some(sha1(value).ok_or_else(fault)?);
                }
                if let Some(name) = key.strip_prefix(XATTR) {
                    self.xattrs.insert(name.into(), value.into());
                }
            }
        }
        Ok(())
    }

    /// What a global header may set: it holds for every entry, so names, lengths and attributes are refused.
    pub(super) fn check_global(&self) -> Result<(), ReadError> {
        let named = [
            (self.path.is_some(), "path"),
            (self.link.is_some(), "linkpath"),
            (self.size.is_some(), "size"),
            (self.sparse, "GNU.sparse"),
            (!self.xattrs.is_empty(), XATTR),
            (self.sha1.is_some(), SHA1),
        ];
        match named.iter().find(|(set, _)| *set) {
            None => Ok(()),
            Some((_, key)) => Err(ReadError::Header {
                entry: "global PAX header".into(),
                why: format!("it sets `{key}` for every entry"),
            }),
        }
    }
}

fn sha1(hex: &[u8]) -> Option<[u8; 20]> {
    let mut bytes = [0; 20];
    if hex.len() != 40 {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(hex.chunks(2)) {
        let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(bytes)
}

/// A decimal number, or nothing when the value is empty. None when it is neither.
#[expect(clippy::option_option, reason = "outer: is it valid; inner: is it set")]
fn number<T: std::str::FromStr>(value: &[u8]) -> Option<Option<T>> {
    match value {
        [] => Some(None),
        [b'+', ..] => None,
        _ => std::str::from_utf8(value).ok()?.parse().ok().map(Some),
    }
}

/// Takes the first record: key, value, rest.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = bytes.iter().take(20).position(|&b| b == b' ')?;
    let length: usize = number(&bytes[..blank])??;
    if length <= blank + 1 || length > bytes.len() {
        return None;
    }
    let (record, rest) = bytes.split_at(length);
    let record = record[blank + 1..].strip_suffix(b"\n")?;
    let equals = record.iter().position(|&b| b == b'=')?;
    (equals > 0).then(|| (&record[..equals], &record[equals + 1..], rest))
}

/// Adds one record to `out`.
pub(super) fn write(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    let body = key.len() + value.len() + 3;
    let mut length = body;
    // The length counts its own digits; one more digit may make it one digit longer again.
    while length != body + length.to_string().len() {
        length = body + length.to_string().len();
    }
    out.extend_from_slice(format!("{length} {key}=").as_bytes());
    out.extend_from_slice(value);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_length_counts_itself() {
        for length in [0, 1, 86, 87, 88, 985, 986, 987, 988] {
            let mut out = Vec::new();
            write(&mut out, "path", &vec![b'a'; length]);
            let digits = out.split(|&b| b == b' ').next().unwrap();
            assert_eq!(std::str::from_utf8(digits).unwrap().parse(), Ok(out.len()));
        }
    }

    #[test]
    fn reads_what_it_knows_and_refuses_nonsense() {
        let read = |text: &[u8]| {
            let mut records = Records::default();
            records.add(text).map(|()| records)
        };
        let records = read(b"9 path=b\n11 mtime=1.5\n9 size=5\n12 atime=0.25\n7 size=\n").map_err(|e| e.to_string());
        assert!(records.is_err(), "a wrong length");
        let mut out = Vec::new();
        for (key, value) in [("path", "b"), ("mtime", "1.5"), ("size", "5"), ("atime", "9"), ("size", "")] {
            write(&mut out, key, value.as_bytes());
        }
        let records = read(&out).unwrap();
        assert_eq!((records.path, records.mtime, records.size), (Some(b"b".to_vec()), Some(1), None));
        for (key, value) in [("size", "-1"), ("uid", "4294967296"), ("mtime", "x"), ("gid", "+1")] {
            let mut out = Vec::new();
            write(&mut out, key, value.as_bytes());
            assert!(read(&out).is_err(), "{key}={value}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "([0-9]{1,2} [a-z.]{1,5}=[a-z0-9]{0,4}\n){0,4}") {
            let _ = Records::default().add(&bytes);
            let _ = Records::default().add(text.as_bytes());
        }

        #[test]
        fn attributes_read_back(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut out = Vec::new();
            write(&mut out, "SCHILY.xattr.user.x", &value);
            let mut records = Records::default();
            records.add(&out).unwrap();
            prop_assert_eq!(&*records.xattrs["user.x"], &value[..]);
        }
    }
}
