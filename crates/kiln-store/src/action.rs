//! The results of actions on disk.
//!
//! A record is a line `sha256:DIGEST` over the rest, then one line of canonical JSON: keys sorted, no spaces. It holds its
//! own key, so a record under a wrong name shows. A record that does not check is as good as none: the action is
//! performed again and its record replaced. `kiln fsck` reports it.

use std::collections::BTreeMap;
use std::time::Duration;

use kiln_model::{ActionKey, Digest, ObjectId, TreeId};
use rustix::fs::{Timespec, Timestamps, UTIME_OMIT, futimens};
use serde::{Deserialize, Serialize};

use crate::files::FileError;
use crate::{Store, layout};

/// No record is longer.
pub(crate) const LIMIT: u64 = 64 << 20;
/// A result counts as used when it is looked up, but its time is moved only when it is older than this.
const USED_AGAIN: Duration = Duration::from_secs(6 * 3600);

/// What came of an action. It must name everything that it needs: gc keeps what is named here and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionResult {
    /// Trees by what they are: `files`, `doc`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub trees: BTreeMap<String, TreeId>,
    /// Objects by what they are, each with its length: `record`, `layer`. A tree that an object names must also stand
    /// under `trees`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub objects: BTreeMap<String, (ObjectId, u64)>,
    /// Anything else.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub meta: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record<R> {
    key: ActionKey,
    result: R,
}

/// Puts a checksum line before `body`.
pub(crate) fn seal(body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{}\n", Digest::of(body)).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Takes the checksum line off, if it is right.
pub(crate) fn unseal(bytes: &[u8]) -> Option<&[u8]> {
    let (line, rest) = bytes.split_at_checked(71)?;
    let body = rest.strip_prefix(b"\n")?;
    (line == Digest::of(body).to_string().as_bytes()).then_some(body)
}

pub(crate) fn to_bytes(key: &ActionKey, result: &ActionResult) -> Vec<u8> {
    let mut body = serde_json::to_vec(&Record { key: *key, result }).expect("a record is made of texts and numbers");
    body.push(b'\n');
    seal(&body)
}

pub(crate) fn from_bytes(key: &ActionKey, bytes: &[u8]) -> Option<ActionResult> {
    let record: Record<ActionResult> = serde_json::from_slice(unseal(bytes)?).ok()?;
    (record.key == *key).then_some(record.result)
}

impl Store {
    /// The result of an action, if it has one. A damaged record is none.
    ///
    /// # Errors
    /// When the record is there and cannot be read.
    pub fn action(&self, key: &ActionKey) -> Result<Option<ActionResult>, FileError> {
        let at = layout::action(key);
        let file = match self.files().open(&at) {
            Ok(file) => file,
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error),
        };
        let bytes = self.files().read_open(&file, &at, LIMIT)?;
        let result = from_bytes(key, &bytes);
        if result.is_some() && self.options().writable {
            self.mark_used(&file);
        }
        Ok(result)
    }

    /// Moves the time that gc goes by. Best effort: a result not marked is only collected sooner.
    pub(crate) fn mark_used(&self, file: &std::fs::File) {
        let now = self.options().now;
        let old = file.metadata().and_then(|meta| meta.modified()).is_ok_and(|used| used + USED_AGAIN < now);
        let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        if old && let Ok(seconds) = i64::try_from(since.as_secs()) {
            let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
            let last_modification = Timespec { tv_sec: seconds, tv_nsec: 0 };
            let _ = futimens(file, &Timestamps { last_access, last_modification });
        }
    }

    /// Drops the result of an action, so that it is performed again: for a result that turned out unusable.
    ///
    /// # Errors
    /// When the record cannot be removed.
    pub fn forget_action(&self, key: &ActionKey) -> Result<(), FileError> {
        self.check_writable("remove")?;
        match self.files().unlink(&layout::action(key)) {
            Err(error) if !error.is_missing() => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(text: &str) -> ActionKey {
        ActionKey(Digest::of(text.as_bytes()))
    }

    #[test]
    fn a_record_has_one_form() {
        let mut result = ActionResult::default();
        result.meta.insert("b".into(), "2".into());
        result.meta.insert("a".into(), "1".into());
        let bytes = to_bytes(&key("k"), &result);
        let text = String::from_utf8(bytes).unwrap();
        let (_, json) = text.split_once('\n').unwrap();
        assert_eq!(
            json,
            format!("{{\"key\":\"{}\",\"result\":{{\"meta\":{{\"a\":\"1\",\"b\":\"2\"}}}}}}\n", key("k").to_hex())
        );
    }

    #[test]
    fn a_record_under_another_key_is_none() {
        let bytes = to_bytes(&key("one"), &ActionResult::default());
        assert_eq!(from_bytes(&key("one"), &bytes), Some(ActionResult::default()));
        assert_eq!(from_bytes(&key("two"), &bytes), None);
    }

    proptest! {
        #[test]
        fn any_record_round_trips_and_any_flipped_bit_shows(
            meta in proptest::collection::btree_map(".{0,8}", ".{0,8}", 0..5), size in any::<u64>(),
            at in any::<usize>(), bit in 0u8..8,
        ) {
            let result = ActionResult {
                trees: [("files".to_owned(), TreeId(Digest::EMPTY))].into(),
                objects: [("record".to_owned(), (ObjectId::of(b"x"), size))].into(),
                meta,
            };
            let mut bytes = to_bytes(&key("k"), &result);
            prop_assert_eq!(from_bytes(&key("k"), &bytes), Some(result));
            let at = at % bytes.len();
            prop_assert_eq!(from_bytes(&key("k"), &bytes[..at]), None);
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(from_bytes(&key("k"), &bytes), None);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(from_bytes(&key("k"), &bytes), None);
            prop_assert_eq!(from_bytes(&key("k"), &seal(&bytes)), None);
        }
    }
}
