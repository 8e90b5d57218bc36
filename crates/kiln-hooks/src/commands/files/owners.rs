//! Whose a file is: `chown`, `chgrp`.

use kiln_model::TreePath;
use kiln_model::facts::Permission;
use kiln_model::name::AccountName;

use super::super::options::Options;
use super::super::{Call, Done, Outcome, Stuck, stuck};
use super::{fails, place};
use crate::account::Became;
use crate::evaluate::Evaluator;
use crate::paths;
use crate::world::Seen;

pub(in crate::commands) fn chown(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let options = Options::read(&words, OPTIONS)?;
    if let Some(reference) = options.get(&["--reference"]) {
        let (owner, group) = owners_of(evaluator, &place(evaluator, reference)?)?;
        return give(evaluator, &options, &options.operands, Some(&owner), Some(&group));
    }
    let Some((who, targets)) = options.operands.split_first() else { return stuck("whose it becomes is not said") };
    let (owner, group) = match who.split_once([':', '.']) {
        Some((owner, "")) => (owner, Some(login_group(evaluator, owner))),
        Some((owner, group)) => (owner, Some(group.to_owned())),
        None => (*who, None),
    };
    let owner = (!owner.is_empty()).then_some(owner);
    give(evaluator, &options, targets, owner, group.as_deref())
}

pub(in crate::commands) fn chgrp(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let options = Options::read(&words, OPTIONS)?;
    if let Some(reference) = options.get(&["--reference"]) {
        let (_, group) = owners_of(evaluator, &place(evaluator, reference)?)?;
        return give(evaluator, &options, &options.operands, None, Some(&group));
    }
    let Some((group, targets)) = options.operands.split_first() else { return stuck("whose it becomes is not said") };
    give(evaluator, &options, targets, None, Some(group))
}

fn give(
    evaluator: &mut Evaluator<'_>,
    options: &Options<'_>,
    targets: &[&str],
    owner: Option<&str>,
    group: Option<&str>,
) -> Outcome {
    if options.has(&["-L"]) {
        return stuck("whose everything becomes that links lead to is not followed");
    }
    let reach = Reach {
        recursive: options.has(&["-R", "--recursive"]),
        links_themselves: options.has(&["-h", "--no-dereference"]),
        follows_targets: options.has(&["-H"]),
    };
    each(evaluator, targets, reach, |evaluator, at| match at {
        At::Path(path) => set(evaluator, path, owner, group),
        At::Link(path) => set_link(evaluator, path, owner, group),
    })
}

/// The group that `chown USER:` means: that of the user's login, which is its own unless this hook says otherwise.
fn login_group(evaluator: &Evaluator<'_>, user: &str) -> String {
    let users = &evaluator.state.effects.facts.users;
    let declared = user.parse::<AccountName>().ok().and_then(|name| users.get(&name)?.group.as_ref());
    declared.map_or_else(|| user.to_owned(), ToString::to_string)
}

const OPTIONS: &[&str] = &[
    "-R",
    "--recursive",
    "-h",
    "--no-dereference",
    "-f",
    "--quiet",
    "--silent",
    "-v",
    "-c",
    "-H",
    "-L",
    "-P",
    "--reference=",
];

/// Whose a path is, by what the hook gave it. What nobody gave away is root's, but what a package ships may be another's.
fn owners_of(evaluator: &Evaluator<'_>, path: &TreePath) -> Result<(String, String), Stuck> {
    let effects = &evaluator.state.effects;
    let (owner, group) = match (effects.made.get(path), effects.permissions.get(path)) {
        (Some(made), _) => (&made.owner, &made.group),
        (None, Some(Permission { owner: owner @ Some(_), group: group @ Some(_), .. })) => (owner, group),
        _ => return stuck(format!("whose `{path}` is is not known")),
    };
    let name = |name: &Option<AccountName>| name.as_ref().map_or("root", AccountName::as_str).to_owned();
    Ok((name(owner), name(group)))
}

/// How far a change of several paths goes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reach {
    /// To all that is below.
    pub recursive: bool,
    /// To links instead of what they lead to. What is come to on the way down is never followed.
    pub links_themselves: bool,
    /// With `recursive`, to what links lead to that are given by name.
    pub follows_targets: bool,
}

/// What is changed: what is at a path, or a link itself.
pub(super) enum At<'a> {
    Path(&'a TreePath),
    Link(&'a TreePath),
}

/// Does something to each of several paths, and to all that is below.
pub(super) fn each(
    evaluator: &mut Evaluator<'_>,
    targets: &[&str],
    reach: Reach,
    mut change: impl FnMut(&mut Evaluator<'_>, At<'_>) -> Result<(), Stuck>,
) -> Outcome {
    for target in targets {
        let follows =
            if reach.recursive { reach.follows_targets || target.ends_with('/') } else { !reach.links_themselves };
        if evaluator.seen_with_earlier(target, follows).is_none() {
            return fails();
        }
        let start = place(evaluator, target)?;
        let start = if follows { paths::end_of_links(&evaluator.state.effects, start) } else { start };
        let mut below = vec![(start, follows)];
        while let Some((path, follows)) = below.pop() {
            match evaluator.seen_with_earlier(&path.to_string(), follows) {
                Some(Seen::Link(_)) => {
                    change(evaluator, At::Link(&path))?;
                    continue;
                }
                Some(Seen::Directory) if reach.recursive => {
                    let names = evaluator.names_with_earlier(&path.to_string());
                    below.extend(names.iter().filter_map(|name| Some((path.join(name).ok()?, false))));
                }
                _ => {}
            }
            change(evaluator, At::Path(&path))?;
        }
    }
    Done::quietly()
}

fn account(name: Option<&str>) -> Result<Option<AccountName>, Stuck> {
    match name {
        None => Ok(None),
        Some("0") => account(Some("root")),
        Some(name) => match name.parse::<AccountName>() {
            Ok(account) if !name.bytes().all(|b| b.is_ascii_digit()) => Ok(Some(account)),
            _ => stuck(format!("`{name}` is no name of a user or group")),
        },
    }
}

/// Gives a link itself to somebody, and not what it leads to.
fn set_link(
    evaluator: &mut Evaluator<'_>,
    path: &TreePath,
    owner: Option<&str>,
    group: Option<&str>,
) -> Result<(), Stuck> {
    if evaluator.state.effects.made.contains_key(path) {
        return set(evaluator, path, owner, group);
    }
    let (owner, group) = (account(owner)?, account(group)?);
    if owner.is_none() && group.is_none() {
        return Ok(());
    }
    evaluator.effect(Became::Fact("permission", path.to_string()), |effects| {
        let permission = effects.links.entry(path.clone()).or_default();
        permission.owner = owner.or(permission.owner.take());
        permission.group = group.or(permission.group.take());
    });
    Ok(())
}

/// Gives a path to somebody.
pub(super) fn set(
    evaluator: &mut Evaluator<'_>,
    path: &TreePath,
    owner: Option<&str>,
    group: Option<&str>,
) -> Result<(), Stuck> {
    let (owner, group) = (account(owner)?, account(group)?);
    if owner.is_none() && group.is_none() {
        return Ok(());
    }
    evaluator.effect(Became::Fact("permission", path.to_string()), |effects| {
        let (to_owner, to_group) = match effects.made.get_mut(path) {
            Some(made) => (&mut made.owner, &mut made.group),
            None => {
                let permission = effects.permissions.entry(path.clone()).or_default();
                (&mut permission.owner, &mut permission.group)
            }
        };
        if owner.is_some() {
            *to_owner = owner;
        }
        if group.is_some() {
            *to_group = group;
        }
    });
    Ok(())
}
