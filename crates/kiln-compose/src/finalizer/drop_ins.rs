//! What is declared, once more as the files that systemd reads: sysusers.d(5) and tmpfiles.d(5).
//!
//! Users, groups and directories are in the image already. A machine may start with an empty `/var`, and always with an
//! empty `/run`: there the directories are made again from these files. Below `/usr` and `/etc` they come with the image.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use kiln_model::name::AccountName;
use kiln_model::{Entry, TreePath};

use super::{FinalizeContext, FinalizeError, fixed, systemd, tmpfiles};
use crate::declared::declarers;
use crate::owner::Owner;

/// Places that a machine may find empty.
const EMPTY_AT_START: &[&str] = &["home", "root", "run", "srv", "var"];

pub(super) fn sysusers(context: &mut FinalizeContext<'_>) -> Result<(), FinalizeError> {
    if !systemd::is_there(context) {
        return Ok(());
    }
    let (mut users, mut groups): (BTreeSet<&AccountName>, BTreeSet<&AccountName>) = Default::default();
    for (_, facts) in declarers(context.request) {
        users.extend(facts.users.keys());
        groups.extend(facts.groups.keys());
    }
    let accounts = context.accounts;
    let mut text = String::new();
    let mut lines = BTreeSet::new();
    let group_of: BTreeMap<u32, &AccountName> = accounts.groups.iter().map(|(name, group)| (group.gid, name)).collect();
    for user in users.iter().filter_map(|name| accounts.users.get(*name)) {
        groups.extend(group_of.get(&user.gid));
    }
    for name in &groups {
        if let Some(group) = accounts.groups.get(*name) {
            let _ = writeln!(text, "g {name} {}", group.gid);
        }
    }
    for name in &users {
        let Some(user) = accounts.users.get(*name) else {
            continue;
        };
        let summary = if user.summary.is_empty() { "-".to_owned() } else { quote(&user.summary) };
        let _ =
            writeln!(text, "u {name} {}:{} {summary} {} {}", user.uid, user.gid, quote(&user.home), quote(&user.shell));
    }
    for (name, group) in &accounts.groups {
        for member in group.members.iter().filter(|member| users.contains(member) || groups.contains(name)) {
            lines.insert(format!("m {member} {name}\n"));
        }
    }
    text.extend(lines);
    if text.is_empty() { Ok(()) } else { context.write(&fixed("usr/lib/sysusers.d/kiln.conf"), text.as_bytes()) }
}

pub(super) fn tmpfiles(context: &mut FinalizeContext<'_>) -> Result<(), FinalizeError> {
    if !systemd::is_there(context) {
        return Ok(());
    }
    // Of two lines for one path, the first by the name of its file counts. So packages' directories are left to the
    // files that packages ship, and the image's own come before all of them.
    let shipped = tmpfiles::shipped_paths(context)?;
    let (mut of_packages, mut of_image): (BTreeSet<TreePath>, BTreeSet<TreePath>) = Default::default();
    for (by, facts) in declarers(context.request) {
        let own = by == Owner::Image;
        let permitted = facts.permissions.keys().filter(|path| own && shipped.contains(*path));
        for path in facts.directories.keys().chain(permitted) {
            // Where it really is: `/var/run/x` is `/run/x`.
            let found = context.work.tree.resolve(path).map(|(place, _)| place);
            let Some(place) = found.filter(|place| context.work.tree.dir(place).is_some()) else {
                continue;
            };
            let is_shipped = shipped.contains(path) || shipped.contains(&place);
            let may_be_empty = place.components().next().is_some_and(|top| EMPTY_AT_START.contains(&top));
            if own && (may_be_empty || is_shipped) {
                of_image.insert(place);
            } else if may_be_empty && !is_shipped && !of_image.contains(&place) {
                of_packages.insert(place);
            }
        }
    }
    for (file, places) in [("00-kiln-image.conf", of_image), ("kiln.conf", of_packages)] {
        let text = directory_lines(context, &places);
        if !text.is_empty() {
            context.write(&fixed("usr/lib/tmpfiles.d").join(file).unwrap_or_default(), text.as_bytes())?;
        }
    }
    Ok(())
}

/// Lines that make directories as they are in the image.
fn directory_lines(context: &FinalizeContext<'_>, places: &BTreeSet<TreePath>) -> String {
    let accounts = context.accounts;
    let users: BTreeMap<u32, &AccountName> = accounts.users.iter().map(|(name, user)| (user.uid, name)).collect();
    let groups: BTreeMap<u32, &AccountName> = accounts.groups.iter().map(|(name, group)| (group.gid, name)).collect();
    let name = |number: u32, names: &BTreeMap<u32, &AccountName>| {
        names.get(&number).map_or_else(|| number.to_string(), ToString::to_string)
    };
    let mut text = String::new();
    for place in places {
        let Some(meta) = context.work.tree.get(place).map(Entry::meta) else {
            continue;
        };
        let (user, group) = (name(meta.uid, &users), name(meta.gid, &groups));
        let _ = writeln!(text, "d {} {:04o} {user} {group} - -", quote(&place.to_string()), meta.mode);
    }
    text
}

/// A word as both formats read it: `%` begins a specifier.
fn quote(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    if text.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\\')) || text.is_empty() {
        format!("\"{escaped}\"")
    } else {
        escaped
    }
}
