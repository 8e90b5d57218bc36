//! busybox's adduser and addgroup, which Alpine's scripts call: other options than Debian's, other defaults, and a failure
//! where the account is there already.
//!
//! Source: the usage texts of the applets `adduser` and `addgroup`, and loginutils/adduser.c for what they do by default.

use super::super::options::Options;
use super::super::{Call, Done, Outcome, stuck};
use super::{add_group, is_group, is_user, member, name, number, path};
use crate::account::Became;
use crate::evaluate::Evaluator;
use crate::state::{Made, MadeKind};
use crate::value::{Status, Value};

/// The account is there: a message to standard error, and this status.
fn in_use() -> Outcome {
    Ok(Done { status: Status::FAILURE, output: Value::empty() })
}

/// `adduser [-S] [-D] [-H] [-h HOME] [-s SHELL] [-G GROUP] [-u ID] [-g SUMMARY] USER`, or `adduser USER GROUP`.
pub(super) fn adduser(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let options = Options::read(&words, &["-h=", "-g=", "-s=", "-G=", "-S", "-D", "-H", "-u=", "-k="])?;
    let user = match options.operands[..] {
        [user] => user,
        [user, group] if options.values.is_empty() => return member(evaluator, user, group),
        _ => return stuck("this use of `adduser` is not followed"),
    };
    let is_service = options.has(&["-S"]);
    if !is_service && !options.has(&["-D"]) {
        return stuck("a user that is asked for a password is not followed");
    }
    if options.has(&["-k"]) {
        return stuck("a home with the files of a skeleton is not followed");
    }
    if is_user(evaluator, user) {
        return in_use();
    }
    let home = options.get(&["-h"]).map_or_else(|| format!("/home/{user}"), str::to_owned);
    let (user, home) = (name(user)?, path(&home)?);
    let group = match options.get(&["-G"]) {
        Some(group) => Some(name(group)?),
        None if is_service => Some(name("nogroup")?),
        None => None,
    };
    let id = options.get(&["-u"]).map(number).transpose()?;
    let shell = path(options.get(&["-s"]).unwrap_or(if is_service { "/sbin/nologin" } else { "/bin/sh" }))?;
    let summary = options.get(&["-g"]).filter(|text| !text.is_empty()).map(str::to_owned);
    evaluator.effect(Became::Fact("user", user.to_string()), |effects| {
        let fact = effects.user(user.clone());
        (fact.id, fact.group, fact.summary) = (id, group.clone(), summary);
        (fact.home, fact.shell) = (Some(home.clone()), Some(shell));
    });
    let makes_home = !options.has(&["-H"]) && !home.is_root() && !home.as_str().starts_with("dev/");
    if makes_home && evaluator.seen(&home.to_string(), true).is_none() {
        let group = group.unwrap_or_else(|| user.clone());
        let made = Made { kind: MadeKind::Directory, mode: None, owner: Some(user), group: Some(group) };
        evaluator.effect(Became::Fact("directory", home.to_string()), |effects| {
            effects.made.insert(home.clone(), made);
        });
    }
    Done::quietly()
}

/// `addgroup [-S] [-g ID] GROUP`, or `addgroup USER GROUP`.
pub(super) fn addgroup(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let options = Options::read(&words, &["-g=", "-S"])?;
    match options.operands[..] {
        [group] if is_group(evaluator, group) => in_use(),
        [group] => add_group(evaluator, group, options.get(&["-g"])),
        [user, group] => member(evaluator, user, group),
        _ => stuck("this use of `addgroup` is not followed"),
    }
}
