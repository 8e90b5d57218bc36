//! The home that `useradd --create-home` makes: a folder with what is in `/etc/skel`, all of it the user's own.
//!
//! Source: useradd(8), `--create-home`; login.defs(5), `HOME_MODE` and `UMASK`.

use kiln_model::TreePath;
use kiln_model::facts::Mode;
use kiln_model::name::AccountName;

use super::super::{Stuck, stuck};
use crate::account::Became;
use crate::evaluate::Evaluator;
use crate::paths;
use crate::state::{Effects, Made, MadeKind};
use crate::world::Seen;

const SKELETON: &str = "/etc/skel";

/// Makes the home of a user, unless something is there: then it is left as it is.
pub(super) fn make(
    evaluator: &mut Evaluator<'_>,
    home: &TreePath,
    user: &AccountName,
    group: &AccountName,
) -> Result<(), Stuck> {
    if evaluator.seen(&home.to_string(), true).is_some() {
        return Ok(());
    }
    let mode = mode(evaluator)?;
    let owned = |kind, mode| Made { mode, owner: Some(user.clone()), group: Some(group.clone()), ..Made::new(kind) };
    let mut all = vec![("directory", home.clone(), owned(MadeKind::Directory, Some(mode)))];
    if evaluator.seen(SKELETON, true).is_some() {
        for name in evaluator.names(SKELETON) {
            let from = format!("{SKELETON}/{name}");
            let (Some(at), Ok(path)) = (paths::tree(&from), home.join(&name)) else {
                return stuck(format!("`{from}` is no path of an image"));
            };
            all.push(match evaluator.seen(&from, false) {
                Some(Seen::Link(target)) => ("link", path, owned(MadeKind::Link(target), None)),
                Some(Seen::File { .. }) if !evaluator.state.effects.made.contains_key(&at) => {
                    let mode = evaluator.world.mode(&at).map(Mode::new);
                    ("file", path, owned(MadeKind::Copy(at), mode))
                }
                _ => return stuck(format!("what `{from}` is as a part of a home is not followed")),
            });
        }
    }
    for (kind, path, made) in all {
        evaluator.effect(Became::Fact(kind, path.to_string()), |effects: &mut Effects| {
            effects.made.insert(path, made);
        });
    }
    Ok(())
}

/// The mode of a new home.
fn mode(evaluator: &Evaluator<'_>) -> Result<Mode, Stuck> {
    let settings = paths::tree("/etc/login.defs").and_then(|path| evaluator.world.read(&path));
    let Some(settings) = settings else { return stuck("which mode a home has is not known") };
    let setting = |name: &str| {
        let mut lines = settings.lines().map(str::split_ascii_whitespace);
        let value = lines.find_map(|mut words| if words.next() == Some(name) { words.next() } else { None })?;
        Some(u16::from_str_radix(value, 8).ok().filter(|mode| *mode <= 0o777))
    };
    let known = match (setting("HOME_MODE"), setting("UMASK")) {
        (Some(mode), _) => mode,
        (None, Some(umask)) => umask.map(|umask| 0o777 & !umask),
        (None, None) => Some(0o755),
    };
    known.map_or_else(|| stuck("which mode a home has is not known"), |mode| Ok(Mode::new(mode)))
}
