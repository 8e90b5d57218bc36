//! What may be done with a file: `chmod`, `setcap`.

use std::collections::BTreeSet;

use kiln_model::facts::Mode;
use kiln_model::{TreePath, capability};

use super::super::options::Options;
use super::super::{Call, Done, Outcome, Stuck, stuck};
use super::{fails, octal, owners, place};
use crate::account::Became;
use crate::evaluate::Evaluator;
use crate::state::MadeKind;
use crate::world::Seen;

pub(in crate::commands) fn chmod(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    // A mode may begin with `-`, as in `chmod -x`.
    let known = ["-R", "--recursive", "-f", "-v", "-c", "--quiet", "--silent", "--reference="];
    let (options, modes): (Vec<&str>, Vec<&str>) =
        words.iter().partition(|word| known.contains(word) || (word.starts_with("--") && **word != "--"));
    let options = Options::read(&options, &known)?;
    let mut modes: Vec<&str> = modes.into_iter().filter(|word| *word != "--").collect();
    let reference = match options.get(&["--reference"]) {
        Some(reference) => format!("{}", current(evaluator, &place(evaluator, reference)?)?),
        None if modes.is_empty() => return stuck("which mode it gets is not said"),
        None => modes.remove(0).to_owned(),
    };
    let (mode, targets) = (reference.as_str(), modes);
    let reach = owners::Reach { recursive: options.has(&["-R", "--recursive"]), ..owners::Reach::default() };
    owners::each(evaluator, &targets, reach, |evaluator, at| {
        // A link has no mode of its own.
        let owners::At::Path(path) = at else { return Ok(()) };
        let changed = changed(evaluator, path, mode)?;
        set(evaluator, path, changed);
        Ok(())
    })
}

/// The mode that a path has after a change.
fn changed(evaluator: &Evaluator<'_>, path: &TreePath, change: &str) -> Result<Mode, Stuck> {
    if change.bytes().all(|b| b.is_ascii_digit()) {
        return octal(change);
    }
    let is_directory = evaluator.seen(&path.to_string(), true) == Some(Seen::Directory);
    let bits = current(evaluator, path)?.bits();
    symbolic(change, bits, is_directory).map(Mode::new)
}

/// The mode of something new, from octal digits or from what is changed in `bits`.
pub(super) fn wanted(text: &str, bits: u16, is_directory: bool) -> Result<Mode, Stuck> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        octal(text)
    } else {
        symbolic(text, bits, is_directory).map(Mode::new)
    }
}

/// What a change in letters (`u=rwx,g-w`) makes of a mode.
fn symbolic(change: &str, mut bits: u16, is_directory: bool) -> Result<u16, Stuck> {
    for clause in change.split(',') {
        let Some(at) = clause.find(['+', '-', '=']) else {
            return stuck(format!("the mode `{change}` is not followed"));
        };
        let (who, rest) = clause.split_at(at);
        let who = if who.is_empty() || who == "a" { "ugo" } else { who };
        let mut wanted = 0;
        for letter in rest[1..].chars() {
            let for_all = match letter {
                'r' => 0o444,
                'w' => 0o222,
                'x' => 0o111,
                'X' if is_directory || bits & 0o111 != 0 => 0o111,
                'X' => 0,
                's' => 0o6000,
                't' => 0o1000,
                _ => return stuck(format!("the mode `{change}` is not followed")),
            };
            wanted |= for_all;
        }
        let mut mask = 0;
        for letter in who.chars() {
            mask |= match letter {
                'u' => 0o4700,
                'g' => 0o2070,
                'o' => 0o1007,
                _ => return stuck(format!("the mode `{change}` is not followed")),
            };
        }
        match &rest[..1] {
            "+" => bits |= wanted & mask,
            "-" => bits &= !(wanted & mask),
            _ => bits = (bits & !(mask & 0o777)) | (wanted & mask),
        }
    }
    Ok(bits)
}

/// The mode that a path has, by what the hook gave it or as it is shipped.
pub(in crate::commands) fn current(evaluator: &Evaluator<'_>, path: &TreePath) -> Result<Mode, Stuck> {
    if let Some(made) = evaluator.state.effects.made.get(path) {
        let default = if made.kind == MadeKind::Directory { 0o755 } else { 0o644 };
        return Ok(made.mode.unwrap_or(Mode::new(default)));
    }
    if let Some(mode) = evaluator.state.effects.permissions.get(path).and_then(|permission| permission.mode) {
        return Ok(mode);
    }
    let mode = evaluator.world.mode(path).map(Mode::new);
    mode.ok_or_else(|| Stuck(format!("which mode `{path}` has is not known").into()))
}

/// Gives a path a mode.
pub(super) fn set(evaluator: &mut Evaluator<'_>, path: &TreePath, mode: Mode) {
    evaluator.effect(Became::Fact("permission", path.to_string()), |effects| match effects.made.get_mut(path) {
        Some(made) => made.mode = Some(mode),
        None => effects.permissions.entry(path.clone()).or_default().mode = Some(mode),
    });
}

/// `getcap FILE`: packages ship none, so what the hook itself gave.
pub(in crate::commands) fn getcap(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let mut text = String::new();
    for word in words.iter().filter(|word| !word.starts_with('-')) {
        let path = place(evaluator, word)?;
        let given = evaluator.state.effects.permissions.get(&path).map(|permission| &permission.capabilities);
        if let Some(given) = given.filter(|given| !given.is_empty()) {
            let names: Vec<&str> = given.iter().map(String::as_str).collect();
            text.push_str(&format!("{path} {}=ep\n", names.join(",")));
        }
    }
    Done::prints(text)
}

/// `setcap CAPABILITIES FILE`.
pub(in crate::commands) fn setcap(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let words: Vec<&str> = words.into_iter().filter(|word| *word != "-q").collect();
    if let ["-r", file] = words[..] {
        let path = place(evaluator, file)?;
        if evaluator.state.effects.permissions.contains_key(&path) {
            evaluator.change(|effects| effects.permissions.entry(path).or_default().capabilities.clear());
        }
        return Done::quietly();
    }
    let [capabilities, file] = words[..] else { return stuck("this use of `setcap` is not followed") };
    let Some(sets) = sets(capabilities) else {
        return stuck(format!("the capabilities `{capabilities}` are not followed"));
    };
    let path = place(evaluator, file)?;
    if evaluator.seen(file, true).is_none() {
        return fails();
    }
    evaluator.effect(Became::Fact("permission", path.to_string()), |effects| {
        let permission = effects.permissions.entry(path.clone()).or_default();
        match sets {
            Sets::Effective(names) => permission.capabilities = names,
            Sets::Other(value) => drop(permission.xattrs.insert(capability::XATTR.to_owned(), value)),
        }
    });
    Done::quietly()
}

/// What a file may have.
enum Sets {
    /// These, permitted and effective.
    Effective(BTreeSet<String>),
    /// Other sets, as the attribute that holds them, in hexadecimal digits.
    Other(String),
}

/// The sets of one clause, cap_from_text(3): `cap_net_raw,cap_net_admin=ep`. A file has none before.
fn sets(text: &str) -> Option<Sets> {
    let at = text.find(['=', '+', '-'])?;
    let (names, flags) = (&text[..at], &text[at + 1..]);
    let names: BTreeSet<String> = names.split(',').map(str::to_lowercase).collect();
    let mut all = 0;
    for name in &names {
        all |= capability::bit(name)?;
    }
    if !flags.chars().all(|flag| "eip".contains(flag)) {
        return None;
    }
    let has = |flag| flags.contains(flag) && !text[at..].starts_with('-');
    Some(match (has('e'), has('i'), has('p')) {
        (true, false, true) => Sets::Effective(names),
        (effective, inheritable, permitted) => {
            let set = |holds| if holds { all } else { 0 };
            let value = capability::value(set(permitted), set(inheritable), effective);
            Sets::Other(value.iter().map(|byte| format!("{byte:02x}")).collect())
        }
    })
}
