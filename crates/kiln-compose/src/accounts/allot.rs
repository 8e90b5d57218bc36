//! Numbers for accounts that declare none.

use std::collections::BTreeMap;

use kiln_model::Digest;
use kiln_model::name::AccountName;

use super::standard;

/// Numbers that may be allotted: system accounts, without 100, which is Debian's group `users`.
const FIRST: u32 = 101;
const LAST: u32 = 999;

/// Which numbers are taken, by whom.
#[derive(Debug, Default)]
pub(super) struct Taken(pub BTreeMap<u32, AccountName>);

impl Taken {
    /// Takes `number` for `name`; gives who has it already, if that is another.
    pub fn take(&mut self, number: u32, name: &AccountName) -> Result<(), AccountName> {
        match self.0.get(&number) {
            Some(other) if other != name => Err(other.clone()),
            _ => {
                self.0.insert(number, name.clone());
                Ok(())
            }
        }
    }
}

/// Is the number fixed for another name on every Debian system?
fn is_standard(number: u32) -> bool {
    standard::USERS.iter().any(|user| user.1 == number) || standard::GROUPS.iter().any(|group| group.1 == number)
}

/// The first number from a place of `name`'s own that `free` accepts.
pub(super) fn allot(name: &AccountName, free: impl Fn(u32) -> bool) -> Option<u32> {
    let digest = Digest::of(name.as_str().as_bytes());
    let bytes = digest.as_bytes();
    let count = LAST - FIRST + 1;
    let begin = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) % count;
    (0..count).map(|step| FIRST + (begin + step) % count).find(|number| !is_standard(*number) && free(*number))
}
