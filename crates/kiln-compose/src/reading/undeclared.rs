//! Owners that nothing declares. A hook that is followed only in part may give a path to a user whom a line made that is not
//! followed: such a user is not known, and neither is whose the path is.

use std::collections::BTreeSet;

use kiln_hooks::{Earlier, Place, Unfollowed};
use kiln_model::TreePath;
use kiln_model::name::AccountName;

use crate::accounts;
use crate::request::{Member, Request};

/// Users and groups that something in an image declares.
pub(super) struct Declared {
    users: BTreeSet<String>,
    groups: BTreeSet<String>,
}

impl Declared {
    /// `tables` are the texts of `/etc/passwd` and `/etc/group`, where packages ship them.
    pub fn of(request: &Request, brought: &[Earlier], tables: [Option<String>; 2]) -> Self {
        let [passwd, group] = tables.map(|table| {
            let names = table.unwrap_or_default();
            names.lines().filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect::<Vec<_>>()
        });
        let of_image = |names: Vec<&AccountName>| names.into_iter().map(ToString::to_string).collect::<Vec<_>>();
        let users = of_image(request.facts.users.keys().collect());
        let groups = of_image(request.facts.groups.keys().chain(request.facts.users.keys()).collect());
        Self {
            users: brought.iter().flat_map(|of| &of.users).cloned().chain(users).chain(passwd).collect(),
            groups: brought.iter().flat_map(|of| &of.groups).cloned().chain(groups).chain(group).collect(),
        }
    }

    fn has_user(&self, name: &AccountName) -> bool {
        self.users.contains(name.as_str()) || accounts::is_standard_user(name)
    }

    fn has_group(&self, name: &AccountName) -> bool {
        self.groups.contains(name.as_str()) || accounts::is_standard_group(name)
    }

    /// Takes from a package what its half-followed hooks say of owners that nothing declares, and tells it.
    pub fn leave_out_others(&self, member: &mut Member) {
        if member.reading.unfollowed.is_empty() {
            return;
        }
        let mut told: Vec<(TreePath, AccountName)> = Vec::new();
        let mut keep = |path: &TreePath, owner: &mut Option<AccountName>, group: &mut Option<AccountName>| {
            let user = owner.take_if(|name| !self.has_user(name));
            let group = group.take_if(|name| !self.has_group(name));
            told.extend(user.into_iter().chain(group).map(|name| (path.clone(), name)));
        };
        let facts = &mut member.facts;
        let mut joins: Vec<AccountName> = Vec::new();
        for group in facts.groups.values_mut() {
            let (known, others) = std::mem::take(&mut group.members).into_iter().partition(|user| self.has_user(user));
            group.members = known;
            joins.extend::<BTreeSet<AccountName>>(others);
        }
        for user in facts.users.values_mut() {
            joins.extend(user.group.take_if(|group| !self.has_group(group)));
            let (known, others) = std::mem::take(&mut user.groups).into_iter().partition(|group| self.has_group(group));
            user.groups = known;
            joins.extend::<BTreeSet<AccountName>>(others);
        }
        facts.directories.iter_mut().for_each(|(path, of)| keep(path, &mut of.owner, &mut of.group));
        facts.files.iter_mut().for_each(|(path, of)| keep(path, &mut of.owner, &mut of.group));
        let permissions = facts.permissions.iter_mut().chain(&mut member.reading.elsewhere);
        permissions.chain(&mut member.reading.links).for_each(|(path, of)| keep(path, &mut of.owner, &mut of.group));
        for (path, name) in told {
            let about = path.to_string();
            let is_about = |outcome: &&kiln_hooks::Outcome| matches!(&outcome.became, kiln_hooks::Became::Fact("permission", named) if *named == about);
            let place = member.reading.outcomes.iter().rev().find(is_about).map(|outcome| outcome.place.clone());
            let place = place.unwrap_or_else(|| Place { script: "postinst".to_owned(), line: 1 });
            let why = format!("whose `{path}` is is not known: nothing that is followed declares `{name}`");
            member.reading.unfollowed.push(Unfollowed { place, text: about, why });
        }
        for name in joins {
            let place = Place { script: "postinst".to_owned(), line: 1 };
            let why = format!("who is in which group is not known: nothing that is followed declares `{name}`");
            member.reading.unfollowed.push(Unfollowed { place, text: name.to_string(), why });
        }
        member.reading.unfollowed.sort();
        member.reading.unfollowed.dedup();
    }
}
