//! Brings the declarations together and gives every name its number.

use std::collections::{BTreeMap, BTreeSet};

use kiln_model::name::AccountName;
use kiln_model::{Facts, TreePath};

use super::allot::{Taken, allot};
use super::parse::{self, GroupChoice, Sysuser};
use super::standard;
use super::{AccountError, AccountKind, Accounts, Disagreement, ResolvedGroup, ResolvedUser};
use crate::AccountIds;

/// How messages call the image's own facts.
const IMAGE: &str = "the image";

/// A name that something refers to.
#[derive(Debug, Clone)]
pub(crate) struct Reference {
    pub kind: AccountKind,
    pub name: AccountName,
    /// Who refers to it.
    pub by: String,
    /// What for: `as the owner of ...`.
    pub purpose: String,
}

/// Everything that says something of accounts.
#[derive(Debug, Default)]
pub(crate) struct Sources<'a> {
    /// Facts of packages, each with who declares them, in order.
    pub facts: Vec<(String, &'a Facts)>,
    /// The image's own facts.
    pub image: Option<&'a Facts>,
    /// The `passwd` and `group` that accounts are added to: the image's own, or Debian's fixed tables.
    pub passwd: Option<(TreePath, Vec<u8>)>,
    pub group: Option<(TreePath, Vec<u8>)>,
    /// Files of `sysusers.d`, in order.
    pub sysusers: Vec<(TreePath, Vec<u8>)>,
    /// Names that something refers to.
    pub references: Vec<Reference>,
    /// Numbers that the lock holds.
    pub locked: AccountIds,
    /// The shell of root, when only the built-in table knows it.
    pub root_shell: String,
}

#[derive(Debug, Clone, Default)]
struct DraftUser {
    uid: Option<u32>,
    gid: Option<u32>,
    group: Option<AccountName>,
    summary: Option<String>,
    home: Option<String>,
    shell: Option<String>,
    expired: bool,
}

#[derive(Debug, Default)]
struct Draft {
    users: BTreeMap<AccountName, DraftUser>,
    groups: BTreeMap<AccountName, Option<u32>>,
    /// Members by group, with who says so.
    members: BTreeMap<AccountName, BTreeMap<AccountName, String>>,
}

/// Every user and group, and the lines of `sysusers.d` that were left out.
pub(crate) fn resolve(sources: &Sources<'_>) -> Result<(Accounts, Vec<String>), AccountError> {
    let mut draft = Draft::default();
    draft.add_files(sources)?;
    draft.add_facts(sources)?;
    let warnings = draft.add_sysusers(sources);
    draft.add_references(sources)?;
    draft.close()?;
    Ok((draft.number(&sources.locked)?, warnings))
}

/// Agrees on one field of one declaration, or says who does not.
fn agree<T: Clone + PartialEq + std::fmt::Display>(
    first: &mut Option<(T, String)>,
    second: Option<&T>,
    owner: &str,
    what: (AccountKind, &AccountName, &'static str),
) -> Result<(), AccountError> {
    let Some(second) = second else {
        return Ok(());
    };
    match first {
        None => *first = Some((second.clone(), owner.to_owned())),
        // Where the image has spoken, others are not asked.
        Some((_, by)) if by == IMAGE && owner != IMAGE => {}
        Some((value, first_owner)) if value != second => {
            return Err(AccountError::Conflict(Box::new(Disagreement {
                kind: what.0,
                name: what.1.clone(),
                field: what.2,
                first: value.to_string(),
                first_owner: first_owner.clone(),
                second: second.to_string(),
                second_owner: owner.to_owned(),
            })));
        }
        Some(_) => {}
    }
    Ok(())
}

/// One user's data with who said each.
#[derive(Default)]
struct Declared {
    uid: Option<(u32, String)>,
    group: Option<(AccountName, String)>,
    summary: Option<(String, String)>,
    home: Option<(String, String)>,
    shell: Option<(String, String)>,
}

fn value<T>(said: Option<(T, String)>) -> Option<T> {
    said.map(|(value, _)| value)
}

impl Draft {
    fn add_files(&mut self, sources: &Sources<'_>) -> Result<(), AccountError> {
        let fault = |path: &TreePath, (line, why)| AccountError::File { path: path.clone(), line, why };
        if let Some((path, bytes)) = &sources.group {
            for line in parse::group(bytes).map_err(|f| fault(path, f))? {
                for member in line.members {
                    self.member(&line.name, member, &format!("`{path}`"));
                }
                self.groups.insert(line.name, Some(line.gid));
            }
        }
        if let Some((path, bytes)) = &sources.passwd {
            for line in parse::passwd(bytes).map_err(|f| fault(path, f))? {
                let user = DraftUser {
                    uid: Some(line.uid),
                    gid: Some(line.gid),
                    group: None,
                    summary: Some(line.summary),
                    home: Some(line.home),
                    shell: Some(line.shell),
                    expired: false,
                };
                self.users.insert(line.name, user);
            }
        }
        Ok(())
    }

    fn member(&mut self, group: &AccountName, user: AccountName, by: &str) {
        self.members.entry(group.clone()).or_default().entry(user).or_insert_with(|| by.to_owned());
    }

    fn add_facts(&mut self, sources: &Sources<'_>) -> Result<(), AccountError> {
        let mut users: BTreeMap<&AccountName, Declared> = BTreeMap::new();
        let mut groups: BTreeMap<&AccountName, Option<(u32, String)>> = BTreeMap::new();
        let image = sources.image.map(|facts| (IMAGE.to_owned(), facts));
        // The image speaks first: what it says, packages need not agree on.
        for (owner, facts) in image.iter().chain(&sources.facts) {
            for (name, user) in &facts.users {
                let declared = users.entry(name).or_default();
                let what = |field| (AccountKind::User, name, field);
                let (home, shell) = (user.home.as_ref().map(text), user.shell.as_ref().map(text));
                agree(&mut declared.uid, user.id.as_ref(), owner, what("number"))?;
                agree(&mut declared.group, user.group.as_ref(), owner, what("group"))?;
                agree(&mut declared.summary, user.summary.as_ref(), owner, what("summary"))?;
                agree(&mut declared.home, home.as_ref(), owner, what("home"))?;
                agree(&mut declared.shell, shell.as_ref(), owner, what("shell"))?;
                for group in &user.groups {
                    self.member(group, name.clone(), owner);
                }
            }
            for (name, group) in &facts.groups {
                let declared = groups.entry(name).or_default();
                agree(declared, group.id.as_ref(), owner, (AccountKind::Group, name, "number"))?;
                for member in &group.members {
                    self.member(name, member.clone(), owner);
                }
            }
        }
        for (name, declared) in users {
            self.add_declared(name, declared)?;
        }
        for (name, declared) in groups {
            let id = value(declared.clone());
            match (self.groups.get(name), id) {
                (Some(Some(fixed)), Some(id)) if *fixed != id => {
                    let owner = declared.map_or_else(String::new, |(_, owner)| owner);
                    return Err(fixed_conflict(AccountKind::Group, name, *fixed, id, owner));
                }
                (Some(Some(_)), _) => {}
                _ => {
                    self.groups.insert(name.clone(), id);
                }
            }
        }
        Ok(())
    }

    /// A user that exists already keeps its data, as `adduser` has it, but for what the image says.
    fn add_declared(&mut self, name: &AccountName, declared: Declared) -> Result<(), AccountError> {
        let Some(known) = self.users.get_mut(name) else {
            let user = DraftUser {
                uid: value(declared.uid),
                gid: None,
                group: value(declared.group),
                summary: value(declared.summary),
                home: value(declared.home),
                shell: value(declared.shell),
                expired: false,
            };
            self.users.insert(name.clone(), user);
            return Ok(());
        };
        if let (Some(fixed), Some((id, owner))) = (known.uid, declared.uid)
            && fixed != id
        {
            return Err(fixed_conflict(AccountKind::User, name, fixed, id, owner));
        }
        let image = |said: Option<(String, String)>| said.filter(|(_, by)| by == IMAGE).map(|(value, _)| value);
        if let Some((group, _)) = declared.group.filter(|(_, by)| by == IMAGE) {
            known.group = Some(group);
            known.gid = None;
        }
        for (field, said) in [
            (&mut known.summary, declared.summary),
            (&mut known.home, declared.home),
            (&mut known.shell, declared.shell),
        ] {
            if let Some(value) = image(said) {
                *field = Some(value);
            }
        }
        Ok(())
    }

    fn add_sysusers(&mut self, sources: &Sources<'_>) -> Vec<String> {
        let mut warnings = Vec::new();
        for (path, bytes) in &sources.sysusers {
            let (declared, faults) = parse::sysusers(bytes);
            warnings.extend(faults.into_iter().map(|(line, why)| format!("`{path}` line {line} is left out: {why}")));
            for declaration in declared {
                match declaration {
                    Sysuser::User { name, uid, group, summary, home, shell, expired } => {
                        let user = self.users.entry(name).or_insert_with(|| {
                            let (gid, group) = match group {
                                None => (None, None),
                                Some(GroupChoice::Number(gid)) => (Some(gid), None),
                                Some(GroupChoice::Name(name)) => (None, Some(name)),
                            };
                            DraftUser { uid, gid, group, expired, ..DraftUser::default() }
                        });
                        user.summary = user.summary.take().or(summary);
                        user.home = user.home.take().or(home).or_else(|| Some("/".to_owned()));
                        user.shell = user.shell.take().or(shell);
                    }
                    Sysuser::Group { name, gid } => {
                        let number = self.groups.entry(name.clone()).or_default();
                        *number = number.or(gid).or_else(|| standard_group(&name));
                    }
                    Sysuser::Member { user, group } => {
                        // Unlike a fact, this line declares both.
                        self.users.entry(user.clone()).or_default();
                        let number = self.groups.entry(group.clone()).or_default();
                        *number = number.or_else(|| standard_group(&group));
                        self.member(&group, user, &format!("`{path}`"));
                    }
                }
            }
        }
        warnings
    }

    /// Names that are only referred to: from the built-in table, or an error.
    fn add_references(&mut self, sources: &Sources<'_>) -> Result<(), AccountError> {
        for name in ["root", "nobody"] {
            self.want_user(name, sources);
        }
        for reference in &sources.references {
            let known = match reference.kind {
                AccountKind::User => self.want_user(reference.name.as_str(), sources),
                AccountKind::Group => self.want_group(&reference.name),
            };
            // A user's own group comes with the user.
            let own = reference.kind == AccountKind::Group
                && self.users.get(&reference.name).is_some_and(|user| user.gid.is_none() && user.group.is_none());
            if !known && !own {
                return Err(AccountError::Unknown {
                    kind: reference.kind,
                    name: reference.name.clone(),
                    by: reference.by.clone(),
                    purpose: reference.purpose.clone(),
                });
            }
        }
        Ok(())
    }

    fn want_user(&mut self, name: &str, sources: &Sources<'_>) -> bool {
        if self.users.contains_key(name) {
            return true;
        }
        let Some((name, uid, gid, summary, home, shell)) = standard::USERS.iter().find(|user| user.0 == name) else {
            return false;
        };
        let Ok(name) = name.parse::<AccountName>() else {
            return false;
        };
        let shell = if *uid == 0 { &*sources.root_shell } else { shell };
        let user = DraftUser {
            uid: Some(*uid),
            gid: Some(*gid),
            group: None,
            summary: Some((*summary).to_owned()),
            home: Some((*home).to_owned()),
            shell: Some(shell.to_owned()),
            expired: false,
        };
        self.users.insert(name, user);
        true
    }

    fn want_group(&mut self, name: &AccountName) -> bool {
        if self.groups.contains_key(name) {
            return true;
        }
        let Some(gid) = standard_group(name) else {
            return false;
        };
        self.groups.insert(name.clone(), Some(gid));
        true
    }

    /// Adds the groups that users need, and checks that members exist.
    fn close(&mut self) -> Result<(), AccountError> {
        let mut numbered: BTreeSet<u32> = self.groups.values().flatten().copied().collect();
        let mut wanted = Vec::new();
        for (name, user) in &self.users {
            match (&user.group, user.gid) {
                (Some(group), _) => wanted.push((name.clone(), group.clone())),
                (None, Some(gid)) if !numbered.contains(&gid) => {
                    // A number without a group: Debian's name for it, or the user's own.
                    let standard = standard::GROUPS.iter().find(|group| group.1 == gid);
                    let group = standard.and_then(|group| group.0.parse().ok()).unwrap_or_else(|| name.clone());
                    numbered.insert(gid);
                    self.groups.insert(group, Some(gid));
                }
                (None, Some(_)) => {}
                (None, None) => {
                    self.groups.entry(name.clone()).or_default();
                }
            }
        }
        for (user, group) in wanted {
            if !self.want_group(&group) {
                return Err(AccountError::Unknown {
                    kind: AccountKind::Group,
                    name: group,
                    by: format!("user `{user}`"),
                    purpose: "as its primary group".to_owned(),
                });
            }
        }
        for (group, members) in self.members.clone() {
            let (user, by) = members.iter().next().map(|(u, b)| (u.clone(), b.clone())).unzip();
            let by = by.unwrap_or_default();
            if !self.want_group(&group) {
                let purpose = format!("for user `{}`", user.map_or_else(String::new, |u| u.to_string()));
                return Err(AccountError::Unknown { kind: AccountKind::Group, name: group, by, purpose });
            }
            for (user, by) in members {
                if !self.users.contains_key(&user) {
                    let purpose = format!("as a member of group `{group}`");
                    return Err(AccountError::Unknown { kind: AccountKind::User, name: user, by, purpose });
                }
            }
        }
        Ok(())
    }

    fn number(self, locked: &AccountIds) -> Result<Accounts, AccountError> {
        let (mut uids, mut gids) = (Taken::default(), Taken::default());
        let mut accounts = Accounts::default();
        let (mut users, mut groups) = (BTreeMap::new(), BTreeMap::new());
        let taken = |kind, number, second: &AccountName, first| AccountError::NumberTaken {
            kind,
            first,
            second: second.clone(),
            number,
        };
        for (name, uid) in self.users.iter().filter_map(|(name, user)| Some((name, user.uid?))) {
            // Two names of one number are an old custom for root only.
            uids.take(uid, name).map_err(|first| taken(AccountKind::User, uid, name, first))?;
            users.insert(name.clone(), uid);
        }
        for (name, gid) in self.groups.iter().filter_map(|(name, gid)| Some((name, (*gid)?))) {
            gids.take(gid, name).map_err(|first| taken(AccountKind::Group, gid, name, first))?;
            groups.insert(name.clone(), gid);
        }
        // The lock's numbers next. One that a declaration has taken since is allotted anew.
        for (name, uid) in &locked.users {
            if uids.take(*uid, name).is_ok() && self.users.get(name).is_some_and(|user| user.uid.is_none()) {
                users.insert(name.clone(), *uid);
                accounts.allotted.users.insert(name.clone(), *uid);
            }
        }
        for (name, gid) in &locked.groups {
            if gids.take(*gid, name).is_ok() && self.groups.get(name).is_some_and(Option::is_none) {
                groups.insert(name.clone(), *gid);
                accounts.allotted.groups.insert(name.clone(), *gid);
            }
        }
        for name in self.users.keys() {
            if users.contains_key(name) {
                continue;
            }
            // A user and the group of its name have one number where they can.
            let group = self.groups.contains_key(name).then(|| groups.get(name).copied());
            let free = |n: u32| !uids.0.contains_key(&n) && (group != Some(None) || !gids.0.contains_key(&n));
            let same = group.flatten().filter(|gid| (101..=999).contains(gid) && free(*gid));
            let none_left = || AccountError::NoneLeft { kind: AccountKind::User, name: name.clone() };
            let uid = same.or_else(|| allot(name, free)).ok_or_else(none_left)?;
            uids.0.insert(uid, name.clone());
            users.insert(name.clone(), uid);
            accounts.allotted.users.insert(name.clone(), uid);
        }
        for name in self.groups.keys() {
            if groups.contains_key(name) {
                continue;
            }
            let free = |n: u32| !gids.0.contains_key(&n);
            let same = users.get(name).copied().filter(|uid| free(*uid));
            let none_left = || AccountError::NoneLeft { kind: AccountKind::Group, name: name.clone() };
            let gid = same.or_else(|| allot(name, free)).ok_or_else(none_left)?;
            gids.0.insert(gid, name.clone());
            groups.insert(name.clone(), gid);
            accounts.allotted.groups.insert(name.clone(), gid);
        }
        for (name, user) in self.users {
            let group = user.group.as_ref().unwrap_or(&name);
            let gid = user.gid.or_else(|| groups.get(group).copied()).unwrap_or(65534);
            let or = |text: Option<String>, default: &str| text.unwrap_or_else(|| default.to_owned());
            let resolved = ResolvedUser {
                uid: users.get(&name).copied().unwrap_or(65534),
                gid,
                summary: or(user.summary, ""),
                home: or(user.home, "/nonexistent"),
                shell: or(user.shell, "/usr/sbin/nologin"),
                expired: user.expired,
            };
            for (field, value) in [("summary", &resolved.summary), ("home", &resolved.home), ("shell", &resolved.shell)]
            {
                if value.contains([':', '\n', '\r', '\0']) {
                    let (kind, value) = (AccountKind::User, value.clone());
                    return Err(AccountError::Unwritable { kind, name, field, value });
                }
            }
            accounts.users.insert(name, resolved);
        }
        for name in self.groups.into_keys() {
            let members = self.members.get(&name).map(|m| m.keys().cloned().collect()).unwrap_or_default();
            let gid = groups.get(&name).copied().unwrap_or(65534);
            accounts.groups.insert(name, ResolvedGroup { gid, members });
        }
        Ok(accounts)
    }
}

fn text(path: &TreePath) -> String {
    path.to_string()
}

pub(super) fn standard_group(name: &AccountName) -> Option<u32> {
    standard::GROUPS.iter().find(|group| group.0 == name.as_str()).map(|group| group.1)
}

fn fixed_conflict(kind: AccountKind, name: &AccountName, fixed: u32, id: u32, owner: String) -> AccountError {
    AccountError::Conflict(Box::new(Disagreement {
        kind,
        name: name.clone(),
        field: "number",
        first: fixed.to_string(),
        first_owner: "the system's own table".to_owned(),
        second: id.to_string(),
        second_owner: owner,
    }))
}
