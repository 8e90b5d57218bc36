//! Action keys: an unambiguous digest over labelled inputs.
//!
//! Each field is hashed as `len(label) label len(value) value` with 64-bit little-endian lengths, so no two different
//! sequences of fields have the same bytes. The kind of action and [`crate::BUILDER_VERSION`] come first.

use crate::{ActionKey, BUILDER_VERSION, Hasher};

/// Collects everything that can influence an action's result.
#[derive(Debug, Clone)]
pub struct KeyBuilder {
    hasher: Hasher,
}

impl KeyBuilder {
    /// Starts the key of an action of `kind`, for example `import.deb/1`. The number after the slash is the version
    /// of that action's own code: raise it when that code would give other bytes for the same inputs.
    #[must_use]
    pub fn new(kind: &str) -> Self {
        let mut key = Self { hasher: Hasher::new() };
        key.add("kiln", &BUILDER_VERSION.to_le_bytes());
        key.add("kind", kind.as_bytes());
        key
    }

    fn add(&mut self, label: &str, value: &[u8]) {
        for bytes in [label.as_bytes(), value] {
            self.hasher.update(&(bytes.len() as u64).to_le_bytes());
            self.hasher.update(bytes);
        }
    }

    /// Adds one labelled input.
    #[must_use]
    pub fn field(mut self, label: &str, value: impl AsRef<[u8]>) -> Self {
        self.add(label, value.as_ref());
        self
    }

    /// Adds a labelled list: its length, then each element. The order counts; sort a set before.
    #[must_use]
    pub fn list<T: AsRef<[u8]>>(mut self, label: &str, values: impl IntoIterator<Item = T>) -> Self {
        let mut count = 0u64;
        for value in values {
            self.add(label, value.as_ref());
            count += 1;
        }
        self.add(label, &count.to_le_bytes());
        self
    }

    /// [`KeyBuilder::list`] of texts that `write` makes, one after the other in one place: a list of thousands costs no
    /// allocation for each.
    #[must_use]
    pub fn written<T>(
        mut self,
        label: &str,
        values: impl IntoIterator<Item = T>,
        write: impl Fn(&mut String, T) -> std::fmt::Result,
    ) -> Self {
        let (mut text, mut count) = (String::new(), 0u64);
        for value in values {
            text.clear();
            write(&mut text, value).expect("a text takes everything");
            self.add(label, text.as_bytes());
            count += 1;
        }
        self.add(label, &count.to_le_bytes());
        self
    }

    /// The key.
    #[must_use]
    pub fn finish(self) -> ActionKey {
        ActionKey(self.hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn fields_cannot_run_into_each_other() {
        let a = KeyBuilder::new("t/1").field("a", "bc").finish();
        let b = KeyBuilder::new("t/1").field("ab", "c").finish();
        let c = KeyBuilder::new("t/1").list("a", ["b", "c"]).finish();
        let d = KeyBuilder::new("t/1").list("a", ["bc"]).finish();
        let e = KeyBuilder::new("t/2").field("a", "bc").finish();
        let written = KeyBuilder::new("t/1").written("a", [1, 22], |text, n| write!(text, "{n}")).finish();
        assert_eq!(written, KeyBuilder::new("t/1").list("a", ["1", "22"]).finish());
        let all = [a, b, c, d, e];
        for (i, x) in all.iter().enumerate() {
            for y in &all[i + 1..] {
                assert_ne!(x, y);
            }
        }
    }
}
