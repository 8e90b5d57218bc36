//! Accounts that every system of a distribution has under the same numbers, for packages whose archive names an owner only
//! by number.

use kiln_model::name::AccountName;

/// A distribution's fixed accounts: names by number, in order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FixedAccounts {
    pub(crate) users: &'static [(u32, &'static str)],
    pub(crate) groups: &'static [(u32, &'static str)],
}

/// Whose number it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Account {
    User,
    Group,
}

impl Account {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
        }
    }
}

impl FixedAccounts {
    /// The fixed name of a number.
    pub(crate) fn name(&self, account: Account, number: u32) -> Option<AccountName> {
        let table = match account {
            Account::User => self.users,
            Account::Group => self.groups,
        };
        table.iter().find(|(id, _)| *id == number).and_then(|(_, name)| name.parse().ok())
    }

    /// Is every name one, and every number there once and in order?
    #[cfg(test)]
    pub(crate) fn is_sound(&self) -> bool {
        [(self.users, Account::User), (self.groups, Account::Group)].iter().all(|(table, account)| {
            let sound =
                |(id, name): &(u32, &str)| self.name(*account, *id).is_some_and(|found| found.as_str() == *name);
            table.is_sorted_by(|a, b| a.0 < b.0) && table.iter().all(sound)
        })
    }
}
