//! Users and groups: what the image declares, from all sources, and the number of each.
//!
//! A name's data comes from the first of these that knows it: an `/etc/passwd` or `/etc/group` that the image itself
//! brings; Debian's fixed table (`base-passwd`, when it is in the image); facts; `sysusers.d`; and, for a name that is
//! only referred to, the same fixed table built in. The image's own facts change what packages declare. Two packages
//! that declare one name differently are an error.
//!
//! A number comes from the declaration, else from the lock, else it is allotted between 101 and 999. Where the search for
//! a free one begins depends on the name alone, so two branches that each add a user seldom want the same number.

mod allot;
mod gather;
mod parse;
mod standard;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use kiln_model::TreePath;
use kiln_model::name::AccountName;

use crate::AccountIds;

/// The names of users and of groups that a file of sysusers.d(5) declares.
pub(crate) fn declared_by_sysusers(bytes: &[u8]) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut users, mut groups) = (BTreeSet::new(), BTreeSet::new());
    for declaration in parse::sysusers(bytes).0 {
        match declaration {
            parse::Sysuser::User { name, group, .. } => {
                groups.extend(group.is_none().then(|| name.to_string()));
                users.insert(name.to_string());
            }
            parse::Sysuser::Group { name, .. } => drop(groups.insert(name.to_string())),
            parse::Sysuser::Member { user, group } => {
                users.insert(user.to_string());
                groups.insert(group.to_string());
            }
        }
    }
    (users, groups)
}

/// Is it a user of Debian's fixed table?
pub(crate) fn is_standard_user(name: &AccountName) -> bool {
    standard::USERS.iter().any(|user| user.0 == name.as_str())
}

/// Is it a group of Debian's fixed table?
pub(crate) fn is_standard_group(name: &AccountName) -> bool {
    gather::standard_group(name).is_some()
}

pub(crate) use gather::{Reference, Sources, resolve};

/// A user with its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedUser {
    /// Number.
    pub uid: u32,
    /// Number of the primary group.
    pub gid: u32,
    /// What it is for.
    pub summary: String,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
    /// Is the account expired, so that nobody logs in by any way? `u!` of sysusers.d(5).
    pub expired: bool,
}

/// A group with its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedGroup {
    /// Number.
    pub gid: u32,
    /// Members besides those whose primary group it is.
    pub members: BTreeSet<AccountName>,
}

/// Every user and group of the image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accounts {
    /// Users by name.
    pub users: BTreeMap<AccountName, ResolvedUser>,
    /// Groups by name.
    pub groups: BTreeMap<AccountName, ResolvedGroup>,
    /// The numbers that nothing declares: the lock keeps them.
    pub allotted: AccountIds,
}

/// Which kind of account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccountKind {
    /// A user.
    User,
    /// A group.
    Group,
}

impl std::fmt::Display for AccountKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Group => "group",
        })
    }
}

/// Two declarations of one account that do not agree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} `{name}` has {field} `{first}` by {first_owner}, but `{second}` by {second_owner}")]
pub struct Disagreement {
    /// User or group.
    pub kind: AccountKind,
    /// Its name.
    pub name: AccountName,
    /// What they disagree on.
    pub field: &'static str,
    /// One value.
    pub first: String,
    /// Who says so.
    pub first_owner: String,
    /// The other value.
    pub second: String,
    /// Who says so.
    pub second_owner: String,
}

/// Why the accounts of an image cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// Two declarations do not agree.
    #[error(transparent)]
    Conflict(Box<Disagreement>),
    /// A name is used that nothing declares.
    #[error("{by} names {kind} `{name}` {purpose}, but nothing declares it")]
    Unknown {
        /// User or group.
        kind: AccountKind,
        /// The name.
        name: AccountName,
        /// Who uses it.
        by: String,
        /// What for.
        purpose: String,
    },
    /// Two names have one number.
    #[error("{kind}s `{first}` and `{second}` are both declared with number {number}")]
    NumberTaken {
        /// User or group.
        kind: AccountKind,
        /// One name.
        first: AccountName,
        /// The other.
        second: AccountName,
        /// The number.
        number: u32,
    },
    /// All numbers for system accounts are taken.
    #[error("no number between 101 and 999 is left for {kind} `{name}`")]
    NoneLeft {
        /// User or group.
        kind: AccountKind,
        /// The name.
        name: AccountName,
    },
    /// A file that declares accounts cannot be read.
    #[error("`{path}` line {line}: {why}")]
    File {
        /// The file.
        path: TreePath,
        /// The line.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// A text cannot stand in an account file.
    #[error("{kind} `{name}`: its {field} `{}` has a colon or a line break", .value.escape_default())]
    Unwritable {
        /// User or group.
        kind: AccountKind,
        /// The name.
        name: AccountName,
        /// Which field.
        field: &'static str,
        /// The text.
        value: String,
    },
}

impl AccountError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Conflict(conflict) => Some(format!(
                "declare {} `{}` under `facts:` of the image: the image's word wins",
                conflict.kind, conflict.name
            )),
            Self::Unknown { kind, name, .. } => {
                Some(format!("declare it: `facts: {{ {kind}s: {{ {name}: {{}} }} }}` in the recipe or the image"))
            }
            Self::NumberTaken { .. } => Some("give one of them another `id`, or none: Kiln then allots one".to_owned()),
            Self::NoneLeft { .. } => Some("give accounts an `id` of 1000 or more, or fewer packages".to_owned()),
            Self::File { .. } | Self::Unwritable { .. } => None,
        }
    }
}
