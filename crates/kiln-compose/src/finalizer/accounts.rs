//! `passwd`, `group`, `shadow`, `gshadow`: passwd(5), group(5), shadow(5), gshadow(5).
//!
//! Every password is locked, so nobody logs in who was not given a way to. The field for the day of the last change is
//! left empty, which means that passwords do not age: a day would make the image depend on the clock.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kiln_model::{Meta, TreePath};

use super::{FinalizeContext, FinalizeError, fixed};

pub(super) fn run(context: &mut FinalizeContext<'_>) -> Result<(), FinalizeError> {
    let accounts = context.accounts;
    let mut users: Vec<_> = accounts.users.iter().collect();
    users.sort_by_key(|(name, user)| (user.uid, *name));
    let mut groups: Vec<_> = accounts.groups.iter().collect();
    groups.sort_by_key(|(name, group)| (group.gid, *name));

    let mut passwd = String::new();
    for (name, user) in &users {
        let _ = writeln!(passwd, "{name}:x:{}:{}:{}:{}:{}", user.uid, user.gid, user.summary, user.home, user.shell);
    }
    let mut group_lines = String::new();
    let mut gshadow_lines = BTreeMap::new();
    for (name, group) in &groups {
        let members: Vec<&str> = group.members.iter().map(|member| member.as_str()).collect();
        let members = members.join(",");
        let _ = writeln!(group_lines, "{name}:x:{}:{members}", group.gid);
        gshadow_lines.insert(name.as_str().to_owned(), format!("{name}:*::{members}"));
    }
    let shadow_lines = users.iter().map(|(name, user)| {
        // The second day of 1970, as systemd-sysusers(8) has it: no way to log in is left, a key of SSH neither.
        let expires = if user.expired { "1" } else { "" };
        (name.as_str().to_owned(), format!("{name}:*::0:99999:7::{expires}:"))
    });
    let user_order: Vec<&str> = users.iter().map(|(name, _)| name.as_str()).collect();
    let group_order: Vec<&str> = groups.iter().map(|(name, _)| name.as_str()).collect();
    let shadow = keep(context, &fixed("etc/shadow"), shadow_lines.collect(), &user_order)?;
    let gshadow = keep(context, &fixed("etc/gshadow"), gshadow_lines, &group_order)?;

    let secret = match context.group("shadow") {
        Some(gid) => Meta { gid, ..Meta::root_owned(0o640) },
        None => Meta::root_owned(0o600),
    };
    for (path, text, meta) in [
        ("etc/passwd", &passwd, Meta::root_owned(0o644)),
        ("etc/group", &group_lines, Meta::root_owned(0o644)),
        ("etc/shadow", &shadow, secret.clone()),
        ("etc/gshadow", &gshadow, secret),
    ] {
        let path = fixed(path);
        // The image's own file was read as a declaration. When it says everything, it stays as it is.
        if context.is_the_images_own(&path) && same_lines(&context.read(&path)?.unwrap_or_default(), text) {
            continue;
        }
        context.write_always(&path, text.as_bytes(), meta)?;
    }
    Ok(())
}

/// Lines by name in `order`: from the file where the image brings it, so that a password given there stays.
fn keep(
    context: &FinalizeContext<'_>,
    path: &TreePath,
    mut lines: BTreeMap<String, String>,
    order: &[&str],
) -> Result<String, FinalizeError> {
    for line in String::from_utf8_lossy(&context.read(path)?.unwrap_or_default()).lines() {
        let name = line.split(':').next().unwrap_or_default();
        if let Some(entry) = lines.get_mut(name) {
            line.clone_into(entry);
        }
    }
    Ok(order.iter().filter_map(|name| lines.get(*name)).flat_map(|line| [line.as_str(), "\n"]).collect())
}

fn same_lines(there: &[u8], wanted: &str) -> bool {
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    std::str::from_utf8(there).is_ok_and(|there| sorted(there) == sorted(wanted))
}
