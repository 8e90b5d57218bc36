//! The package manager's own commands: dpkg(1), dpkg-divert(1), dpkg-statoverride(1), ucf(1).

use std::cmp::Ordering;

use kiln_model::TreePath;
use kiln_model::facts::{Diversion, Mode, Permission};
use kiln_model::version::deb::compare;

use super::files;
use super::options::Options;
use super::{Call, Done, Outcome, Stuck, stuck};
use crate::account::Became;
use crate::evaluate::Evaluator;
use crate::state::{Made, MadeKind};
use crate::value::{Status, Value};

fn path(text: &str) -> Result<TreePath, Stuck> {
    crate::paths::tree(text).ok_or_else(|| Stuck(format!("`{text}` is no path of an image").into()))
}

pub(super) fn dpkg(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    match words[..] {
        ["--compare-versions", left, operator, right] => versions(left, operator, right),
        ["--compare-versions", left, operator] => versions(left, operator, ""),
        ["--print-architecture"] => Done::prints(format!("{}\n", evaluator.world.architecture())),
        ["--print-foreign-architectures"] => Done::quietly(),
        ["-s" | "--status", package] => status(evaluator, package),
        ["-l" | "--list", ref names @ ..] if none_is_there(evaluator, names) => Done::says(false),
        ["-l" | "--list", package] => match installed(evaluator, package) || package.contains(['*', '?', '[']) {
            true => {
                Ok(Done { status: Status::SUCCESS, output: Value::unknown("what `dpkg -l` prints is not followed") })
            }
            false => Done::says(false),
        },
        ["-L" | "--listfiles", ref packages @ ..] => files_of(evaluator, packages),
        [word, ..] if word.starts_with("--assert-") || word.starts_with("--validate-") => Done::quietly(),
        ["-S" | "--search", ..] => Done::unknown("which package has a file is not followed"),
        _ => stuck(format!("`dpkg {}` is not followed", words.join(" "))),
    }
}

/// The paths of packages, those that are not there being passed over with a failure at the end.
fn files_of(evaluator: &Evaluator<'_>, packages: &[&str]) -> Outcome {
    let mut text = String::new();
    let mut all = true;
    for package in packages {
        match evaluator.world.files(package.split(':').next().unwrap_or(package)) {
            Some(paths) => {
                text.push_str("/.\n");
                paths.iter().for_each(|path| text.push_str(&format!("{path}\n")));
            }
            None => all = false,
        }
    }
    Ok(Done { status: Status::of(all), output: Value::Known(text) })
}

/// `dpkg -s PACKAGE`: of what it prints the state and the version are known.
fn status(evaluator: &mut Evaluator<'_>, package: &str) -> Outcome {
    let name = package.split(':').next().unwrap_or(package);
    let Some(version) = evaluator.world.package(name) else { return Done::says(false) };
    let why: std::rc::Rc<str> = format!("what else dpkg knows of `{name}` is not followed").into();
    let record = format!("Package: {name}\nStatus: install ok installed\nVersion: {version}\n");
    evaluator.state.record = Some((std::rc::Rc::clone(&why), record));
    Ok(Done { status: Status::SUCCESS, output: Value::Unknown(why) })
}

fn installed(evaluator: &Evaluator<'_>, package: &str) -> bool {
    evaluator.world.package(package.split(':').next().unwrap_or(package)).is_some()
}

/// dpkg(1): an empty version is before all others, but for the operators that end in `-nl`.
fn versions(left: &str, operator: &str, right: &str) -> Outcome {
    let late = operator.ends_with("-nl");
    let order = match (left.is_empty(), right.is_empty()) {
        (true, true) => Ordering::Equal,
        (true, false) if late => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, true) if late => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => compare(left, right),
    };
    Done::says(match operator {
        "lt" | "lt-nl" | "<<" => order.is_lt(),
        "le" | "le-nl" | "<=" | "<" => order.is_le(),
        "eq" | "=" => order.is_eq(),
        "ne" => order.is_ne(),
        "ge" | "ge-nl" | ">=" | ">" => order.is_ge(),
        "gt" | "gt-nl" | ">>" => order.is_gt(),
        _ => return stuck(format!("`{operator}` does not compare versions")),
    })
}

/// Is it certain that no package of the image has one of these names, which may be patterns?
fn none_is_there(evaluator: &Evaluator<'_>, names: &[&str]) -> bool {
    let Some(packages) = evaluator.world.packages() else { return false };
    let is_there = |name: &&str| packages.iter().any(|package| crate::pattern::matches(name, package));
    !names.is_empty() && !names.iter().any(is_there)
}

/// `dpkg-query`, for whether a package is there and which version it has.
pub(super) fn query(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    if words.iter().any(|word| matches!(*word, "--control-path" | "-c")) {
        // Before it is installed for the first time a package has none.
        return Done::says(false);
    }
    if words.iter().any(|word| matches!(*word, "--search" | "-S" | "-L" | "--listfiles")) {
        return Done::unknown("which files a package has is not followed");
    }
    let known = ["-W", "--show", "-f=", "--showformat=", "-l", "--list", "-s", "--status", "--no-pager"];
    let options = Options::read(&words, &known)?;
    if none_is_there(evaluator, &options.operands) {
        return Ok(Done { status: Status::FAILURE, output: Value::empty() });
    }
    let [package] = options.operands[..] else { return Done::unknown("which packages there are is not followed") };
    if package.contains(['*', '?', '[']) {
        return Done::unknown("which packages there are is not followed");
    }
    let name = package.split(':').next().unwrap_or(package);
    let Some(version) = evaluator.world.package(name) else {
        return Ok(Done { status: Status::FAILURE, output: Value::empty() });
    };
    if options.has(&["-l", "--list", "-s", "--status"]) {
        let output = Value::unknown("what else dpkg knows of a package is not followed");
        return Ok(Done { status: Status::SUCCESS, output });
    }
    let format = options.get(&["-f", "--showformat"]).unwrap_or("${Package}\t${Version}\n");
    let fields = [
        ("${Package}", name),
        ("${Version}", version.as_str()),
        ("${Status}", "install ok installed"),
        ("${db:Status-Status}", "installed"),
        ("${db:Status-Want}", "install"),
        ("${db:Status-Eflag}", "ok"),
        ("${db:Status-Abbrev}", "ii "),
        ("\\n", "\n"),
        ("\\t", "\t"),
    ];
    let text = fields.iter().fold(format.to_owned(), |text, (field, value)| text.replace(field, value));
    if text.contains("${") { Done::unknown("this field of a package is not followed") } else { Done::prints(text) }
}

/// `dpkg-divert`. A guard against files of packages that do not know that `/usr` is merged has no use: in an image it is.
pub(super) fn divert(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let known = [
        "--package=",
        "--divert=",
        "--rename",
        "--no-rename",
        "--add",
        "--remove",
        "--quiet",
        "--local",
        "--list",
        "--truename",
        "--listpackage",
        "--test",
    ];
    let options = Options::read(&words, &known)?;
    if options.has(&["--truename"]) {
        return Done::prints(format!("{}\n", options.operands.first().copied().unwrap_or_default()));
    }
    if options.has(&["--list", "--listpackage"]) {
        return Done::quietly();
    }
    if options.has(&["--remove"]) {
        evaluator.note(Became::Nothing("a fresh system has no diversion to remove"));
        return Done::quietly();
    }
    let [from] = options.operands[..] else { return stuck("which file is diverted is not said") };
    let to = options.get(&["--divert"]).map_or_else(|| format!("{from}.distrib"), str::to_owned);
    if to.ends_with(".usr-is-merged") {
        evaluator.note(Became::Nothing("`/usr` is merged in every image"));
        return Done::quietly();
    }
    let (from, to) = (path(from)?, path(&to)?);
    evaluator.effect(Became::Fact("diversion", from.to_string()), |effects| {
        effects.facts.diversions.insert(from, Diversion { to });
    });
    Done::quietly()
}

pub(super) fn statoverride(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let known =
        ["--add", "--remove", "--list", "--update", "--force", "--force-all", "--force-statoverride-add", "--quiet"];
    let options = Options::read(&words, &known)?;
    if options.has(&["--list"]) {
        // A fresh system has none.
        return Done::says(false);
    }
    if options.has(&["--remove"]) {
        return Done::quietly();
    }
    let [user, group, mode, file] = options.operands[..] else {
        return stuck("this use of `dpkg-statoverride` is not followed");
    };
    let account =
        |text: &str| text.parse().map_err(|_| Stuck(format!("`{text}` is no name of a user or group").into()));
    let Ok(bits) = u16::from_str_radix(mode, 8) else { return stuck(format!("the mode `{mode}` is not followed")) };
    let permission = Permission {
        owner: Some(account(user)?),
        group: Some(account(group)?),
        mode: Some(Mode::new(bits)),
        ..Permission::default()
    };
    let path = path(file)?;
    evaluator.effect(Became::Fact("permission", path.to_string()), |effects| match effects.made.get_mut(&path) {
        Some(made) => (made.owner, made.group, made.mode) = (permission.owner, permission.group, permission.mode),
        None => {
            effects.permissions.insert(path.clone(), permission);
        }
    });
    Done::quietly()
}

pub(super) fn trigger(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let options = Options::read(&words, &["--no-await", "--await", "--by-package=", "--check-supported", "--no-act"])?;
    if options.has(&["--check-supported"]) {
        return Done::quietly();
    }
    for name in options.operands {
        let name = name.to_owned();
        evaluator.state.perhaps.insert(name.clone());
        evaluator.effect(Became::Trigger(name.clone()), |effects| {
            effects.triggers.insert(name);
        });
    }
    Done::quietly()
}

/// `dpkg-maintscript-helper`: everything it does concerns what an earlier version left.
pub(super) fn maintscript_helper(evaluator: &mut Evaluator<'_>, _: &Call<'_>) -> Outcome {
    evaluator.note(Became::Nothing("it mends what an earlier version left; a fresh system has none"));
    Done::quietly()
}

/// A long option that has one dash, with two.
fn with_two_dashes(word: &str, known: &[&str]) -> String {
    let name = word.split('=').next().unwrap_or_default();
    let is_long = |known: &&str| known.starts_with("--") && known[1..].trim_end_matches('=') == name;
    if known.iter().any(is_long) { format!("-{word}") } else { word.to_owned() }
}

/// `ucfq -w FILE...`: on a fresh system no file has been registered, nor is one that the hook registers looked up again.
pub(super) fn ucfq(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let options = Options::read(&words, &["-w", "--with-colons", "-d=", "--debug=", "-v", "--verbose"])?;
    if !options.has(&["-w", "--with-colons"]) {
        return Done::unknown("this use of `ucfq` is not followed");
    }
    let mut text = String::new();
    for file in &options.operands {
        let exists = evaluator.seen(file, true).is_some();
        text.push_str(&format!("{file}::{}::\n", if exists { "Yes" } else { "" }));
    }
    Done::prints(text)
}

/// `ucf NEW DESTINATION`: where nothing is, the new file.
pub(super) fn ucf(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let known = [
        "--three-way",
        "--debconf-ok",
        "--debconf-template=",
        "--sum-file=",
        "--src-dir=",
        "--purge",
        "-p",
        "--debug=",
        "-v",
        "-Z",
        "--state-dir=",
    ];
    // `ucf` has getopt(1) read its options with `-a`: a long one may have a single dash.
    let doubled: Vec<String> = words.iter().map(|word| with_two_dashes(word, &known)).collect();
    let words: Vec<&str> = doubled.iter().map(String::as_str).collect();
    let options = Options::read(&words, &known)?;
    if options.has(&["--purge", "-p"]) {
        return Done::quietly();
    }
    let [new, destination] = options.operands[..] else { return stuck("this use of `ucf` is not followed") };
    let (from, to) = (path(new)?, path(destination)?);
    let mut made = match evaluator.state.effects.made.get(&from).cloned() {
        Some(Made { kind: MadeKind::Unknown(why), .. }) => {
            return stuck(format!("what it writes to `{to}` is not known: {why}"));
        }
        Some(made) => made,
        None => match files::source(evaluator, new)? {
            Some(made) => made,
            None => return Ok(Done { status: Status::FAILURE, output: Value::empty() }),
        },
    };
    if !evaluator.state.effects.made.contains_key(&to) && evaluator.seen(destination, true).is_some() {
        let (new, there) = (evaluator.content(&new.into()), evaluator.content(&destination.into()));
        if new.known().is_some() && new == there {
            evaluator.note(Became::Nothing("the package ships the very file"));
            return Done::quietly();
        }
        return stuck(format!("it changes `{to}`, which a package ships"));
    }
    // It copies with `-p` to where nothing is, and leaves whose an existing file is.
    if let Some(there) = evaluator.state.effects.made.get(&to) {
        (made.mode, made.owner, made.group) = (there.mode, there.owner.clone(), there.group.clone());
    }
    evaluator.effect(Became::Fact("file", to.to_string()), |effects| {
        effects.made.insert(to.clone(), made);
    });
    Done::quietly()
}
