//! Whose a file is: `chown`, `chgrp`.

use kiln_model::TreePath;
use kiln_model::name::AccountName;

use super::super::options::Options;
use super::super::{Call, Done, Outcome, Stuck, stuck};
use super::{fails, place};
use crate::account::Became;
use crate::evaluate::Evaluator;

pub(in crate::commands) fn chown(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let options = Options::read(&words, OPTIONS)?;
    let Some((who, targets)) = options.operands.split_first() else { return stuck("whose it becomes is not said") };
    let (owner, group) = match who.split_once([':', '.']) {
        Some((owner, "")) => (owner, Some(login_group(evaluator, owner))),
        Some((owner, group)) => (owner, Some(group.to_owned())),
        None => (*who, None),
    };
    let owner = (!owner.is_empty()).then_some(owner);
    each(evaluator, targets, options.has(&["-R", "--recursive"]), |evaluator, path| {
        set(evaluator, path, owner, group.as_deref())
    })
}

pub(in crate::commands) fn chgrp(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let options = Options::read(&words, OPTIONS)?;
    let Some((group, targets)) = options.operands.split_first() else { return stuck("whose it becomes is not said") };
    each(evaluator, targets, options.has(&["-R", "--recursive"]), |evaluator, path| {
        set(evaluator, path, None, Some(group))
    })
}

/// The group that `chown USER:` means: that of the user's login, which is its own unless this hook says otherwise.
fn login_group(evaluator: &Evaluator<'_>, user: &str) -> String {
    let users = &evaluator.state.effects.facts.users;
    let declared = user.parse::<AccountName>().ok().and_then(|name| users.get(&name)?.group.as_ref());
    declared.map_or_else(|| user.to_owned(), ToString::to_string)
}

const OPTIONS: &[&str] =
    &["-R", "--recursive", "-h", "--no-dereference", "-f", "--quiet", "--silent", "-v", "-c", "-H", "-L", "-P"];

/// Does something to each of several paths, and to all that is below.
pub(super) fn each(
    evaluator: &mut Evaluator<'_>,
    targets: &[&str],
    recursive: bool,
    mut change: impl FnMut(&mut Evaluator<'_>, &TreePath) -> Result<(), Stuck>,
) -> Outcome {
    for target in targets {
        if evaluator.seen(target, true).is_none() {
            return fails();
        }
        let mut paths = vec![place(evaluator, target)?];
        while let Some(path) = paths.pop() {
            if recursive {
                for name in evaluator.names(&path.to_string()) {
                    paths.extend(path.join(&name).ok());
                }
            }
            change(evaluator, &path)?;
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
