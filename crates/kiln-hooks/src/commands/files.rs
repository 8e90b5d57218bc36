//! Commands that make, copy, move and remove files, and change whose they are.
//!
//! What a package ships is never changed by a hook that is followed: such a command is reported instead.

mod modes;
mod owners;

use kiln_model::TreePath;
use kiln_model::facts::Mode;

use super::options::Options;
use super::{Call, Done, Outcome, Stuck, stuck};
use crate::account::Became;
use crate::evaluate::Evaluator;
use crate::paths;
use crate::state::{Effects, Made, MadeKind, USUAL_UMASK};
use crate::value::{Status, Value};
use crate::world::Seen;

pub(super) use modes::{chmod, current, getcap, setcap};

/// The mode of a path, where it is known.
pub(super) fn mode_of(evaluator: &Evaluator<'_>, path: &TreePath) -> Option<u16> {
    current(evaluator, path).ok().map(Mode::bits)
}
pub(super) use owners::{chgrp, chown};

pub(super) fn place(evaluator: &Evaluator<'_>, text: &str) -> Result<TreePath, Stuck> {
    let path = paths::absolute(&evaluator.state.directory, text);
    paths::tree(&path).ok_or_else(|| Stuck(format!("`{text}` is no path of an image").into()))
}

fn fails() -> Outcome {
    Ok(Done { status: Status::FAILURE, output: Value::empty() })
}

fn octal(text: &str) -> Result<Mode, Stuck> {
    match u16::from_str_radix(text, 8) {
        Ok(bits) if bits <= 0o7777 => Ok(Mode::new(bits)),
        _ => stuck(format!("the mode `{text}` is not followed")),
    }
}

/// Puts something at a path where nothing is, or only something that the hook made itself.
fn make(evaluator: &mut Evaluator<'_>, path: &TreePath, mut made: Made) -> Result<(), Stuck> {
    if !evaluator.state.effects.made.contains_key(path) && evaluator.seen(&path.to_string(), false).is_some() {
        return stuck(format!("it changes `{path}`, which a package ships"));
    }
    if evaluator.state.umask != USUAL_UMASK && made.mode.is_none() {
        let usual = match &made.kind {
            MadeKind::Directory => Some(0o777),
            MadeKind::Copy(from) => evaluator.world.mode(from),
            MadeKind::Link(_) => None,
            _ => Some(0o666),
        };
        made.mode = usual.map(|mode| Mode::new(mode & !evaluator.state.umask));
    }
    let kind = match made.kind {
        MadeKind::Directory => "directory",
        MadeKind::Link(_) => "link",
        _ => "file",
    };
    evaluator.effect(Became::Fact(kind, path.to_string()), |effects| {
        effects.made.insert(path.clone(), made);
    });
    Ok(())
}

fn make_directory(evaluator: &mut Evaluator<'_>, path: &TreePath, mode: Option<Mode>) -> Result<(), Stuck> {
    if let Some(parent) = path.parent()
        && !parent.is_root()
        && evaluator.seen(&parent.to_string(), true).is_none()
    {
        make_directory(evaluator, &parent, None)?;
    }
    make(evaluator, path, Made { mode, ..Made::new(MadeKind::Directory) })
}

/// Makes a directory and those above it, where they are not there yet.
pub(super) fn directories(evaluator: &mut Evaluator<'_>, at: &str) -> Result<(), Stuck> {
    let path = place(evaluator, at)?;
    if evaluator.seen(at, true).is_some() { Ok(()) } else { make_directory(evaluator, &path, None) }
}

/// Copies a file to where nothing is, with the mode of a new file.
pub(super) fn copied(evaluator: &mut Evaluator<'_>, from: &str, to: &str) -> Result<(), Stuck> {
    let path = place(evaluator, to)?;
    match source(evaluator, from)? {
        Some(made) => copy(evaluator, &path, made),
        None => stuck(format!("`{from}` is not there")),
    }
}

/// Makes a symbolic link where nothing is.
pub(super) fn link(evaluator: &mut Evaluator<'_>, target: &str, at: &str) -> Result<(), Stuck> {
    let path = place(evaluator, at)?;
    make(evaluator, &path, Made::new(MadeKind::Link(target.to_owned())))
}

pub(super) fn mkdir(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let options = Options::read(&words, &["-p", "--parents", "-m=", "--mode=", "-v", "--verbose", "-Z"])?;
    let parents = options.has(&["-p", "--parents"]);
    let mode = options.get(&["-m", "--mode"]).map(|text| modes::wanted(text, 0o777, true)).transpose()?;
    for word in &options.operands {
        let path = place(evaluator, word)?;
        match evaluator.seen(word, true) {
            Some(Seen::Directory) if parents => {}
            Some(_) => return fails(),
            None => make_directory(evaluator, &path, mode)?,
        }
    }
    Done::quietly()
}

/// `install`, for directories and for files.
pub(super) fn install(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let known = [
        "-d",
        "-Z",
        "--directory",
        "-m=",
        "--mode=",
        "-o=",
        "--owner=",
        "-g=",
        "--group=",
        "-D",
        "-T",
        "-t=",
        "-p",
        "-v",
        "-c",
        "--no-target-directory",
        "--target-directory=",
        "--preserve-timestamps",
        "--verbose",
    ];
    let options = Options::read(&words, &known)?;
    let is_folder = options.has(&["-d", "--directory"]);
    let mode = options.get(&["-m", "--mode"]).map(|text| modes::wanted(text, 0, is_folder)).transpose()?;
    let mode = mode.unwrap_or(Mode::new(0o755));
    let owner = options.get(&["-o", "--owner"]);
    let group = options.get(&["-g", "--group"]);
    let mut changed = Vec::new();
    if is_folder {
        for word in &options.operands {
            let path = place(evaluator, word)?;
            match evaluator.seen(word, true) {
                Some(Seen::Directory) => {}
                Some(_) => return fails(),
                None => make_directory(evaluator, &path, None)?,
            }
            changed.push(path);
        }
    } else {
        let mut operands = options.operands.clone();
        let target = match options.get(&["-t", "--target-directory"]) {
            Some(target) => Some(target),
            None => operands.pop(),
        };
        let Some(target) = target else { return stuck("what `install` installs is not said") };
        for from in operands {
            let Some(made) = source(evaluator, from)? else { return fails() };
            let to = below(evaluator, target, from, options.has(&["-T", "--no-target-directory"]));
            let to = place(evaluator, &to)?;
            copy(evaluator, &to, made)?;
            changed.push(to);
        }
    }
    for path in &changed {
        modes::set(evaluator, path, mode);
        owners::set(evaluator, path, owner, group)?;
    }
    Done::quietly()
}

/// What a copy of a file is; none when there is no file.
pub(super) fn source(evaluator: &Evaluator<'_>, from: &str) -> Result<Option<Made>, Stuck> {
    let path = place(evaluator, from)?;
    if let Some(made) = evaluator.state.effects.made.get(&path) {
        return Ok(Some(Made { mode: made.mode, ..Made::new(made.kind.clone()) }));
    }
    match evaluator.seen(from, true) {
        // A copy has the mode of the file.
        Some(Seen::File { .. }) => {
            let mode = evaluator.world.mode(&path).filter(|mode| !matches!(mode, 0o644 | 0o755)).map(Mode::new);
            Ok(Some(Made { mode, ..Made::new(MadeKind::Copy(path)) }))
        }
        Some(_) if from == "/dev/null" => Ok(Some(Made::new(MadeKind::Text(String::new())))),
        None if from == "/dev/null" => Ok(Some(Made::new(MadeKind::Text(String::new())))),
        None => Ok(None),
        Some(_) => stuck(format!("`{from}` is no file")),
    }
}

/// Where a file goes that is copied to `to`: into it, if it is a directory.
fn below(evaluator: &Evaluator<'_>, to: &str, from: &str, exactly: bool) -> String {
    let name = from.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let is_directory = !exactly && evaluator.seen(to, true) == Some(Seen::Directory);
    if is_directory { format!("{}/{name}", to.trim_end_matches('/')) } else { to.to_owned() }
}

fn copy(evaluator: &mut Evaluator<'_>, to: &TreePath, made: Made) -> Result<(), Stuck> {
    if let MadeKind::Unknown(why) = &made.kind
        && !Effects::is_passing(to)
    {
        return stuck(format!("what it writes to `{to}` is not known: {why}"));
    }
    if let MadeKind::OfMachine(_) = &made.kind {
        return stuck(format!("`{to}` would be a copy of what each machine makes for itself"));
    }
    make(evaluator, to, made)
}

pub(super) fn touch(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let options = Options::read(
        &words,
        &["-a", "-m", "-c", "-h", "-d=", "-t=", "-r=", "--date=", "--reference=", "--no-create"],
    )?;
    for word in &options.operands {
        let path = place(evaluator, word)?;
        if evaluator.seen(word, true).is_none() && !options.has(&["-c", "--no-create"]) {
            make(evaluator, &path, Made::new(MadeKind::Text(String::new())))?;
        }
    }
    Done::quietly()
}

/// `ln`. A hard link is a copy here: the two are equal, and no hook counts on more.
pub(super) fn ln(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let known = ["-s", "-f", "-n", "-T", "-r", "-v", "--symbolic", "--force", "--no-dereference", "--relative"];
    let options = Options::read(&words, &known)?;
    let (target, link) = match options.operands[..] {
        [target, link] => (target, link.to_owned()),
        [target] => (target, ".".to_owned()),
        _ => return stuck("more than one target of a link is not followed"),
    };
    let exactly = options.has(&["-n", "-T", "--no-dereference"])
        && !matches!(evaluator.seen(&link, false), Some(Seen::Directory));
    let link = below(evaluator, &link, target, exactly);
    let path = place(evaluator, &link)?;
    let made = if options.has(&["-s", "--symbolic"]) {
        let target =
            if options.has(&["-r", "--relative"]) { relative(evaluator, target, &path)? } else { target.to_owned() };
        Made::new(MadeKind::Link(target))
    } else {
        let Some(made) = source(evaluator, target)? else { return fails() };
        made
    };
    match (evaluator.seen(&link, false), &made.kind) {
        (Some(Seen::Link(there)), MadeKind::Link(target)) if there == *target => return Done::quietly(),
        (Some(_), _) if !options.has(&["-f", "--force"]) => return fails(),
        _ => {}
    }
    copy(evaluator, &path, made)?;
    Done::quietly()
}

fn relative(evaluator: &Evaluator<'_>, target: &str, link: &TreePath) -> Result<String, Stuck> {
    let target = place(evaluator, target)?;
    let from: Vec<&str> = link.components().collect();
    let to: Vec<&str> = target.components().collect();
    let folder = &from[..from.len().saturating_sub(1)];
    let same = folder.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let ups = std::iter::repeat_n("..", folder.len() - same);
    Ok(ups.chain(to[same..].iter().copied()).collect::<Vec<_>>().join("/"))
}

pub(super) fn cp(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let known = [
        "-a",
        "-Z",
        "-p",
        "-r",
        "-R",
        "-f",
        "-n",
        "-d",
        "-L",
        "-P",
        "-v",
        "-u",
        "-T",
        "--archive",
        "--recursive",
        "--force",
        "--no-clobber",
        "--preserve=",
        "--no-target-directory",
        "--update",
        "--remove-destination",
        "--no-dereference",
    ];
    let options = Options::read(&words, &known)?;
    let recursive = options.has(&["-a", "-r", "-R", "--archive", "--recursive"]);
    let Some((to, sources)) = options.operands.split_last() else { return stuck("what is copied is not said") };
    for from in sources {
        let target = below(evaluator, to, from, options.has(&["-T", "--no-target-directory"]));
        if options.has(&["-n", "--no-clobber"]) && evaluator.seen(&target, false).is_some() {
            continue;
        }
        if recursive && evaluator.seen(from, false) == Some(Seen::Directory) {
            copy_directory(evaluator, from, &target, 0)?;
            continue;
        }
        let Some(mut made) = source(evaluator, from)? else { return fails() };
        let target = place(evaluator, &target)?;
        let there = evaluator.state.effects.made.get(&target).filter(|_| !options.has(&["--remove-destination"]));
        if options.has(&["-a", "-p", "--archive", "--preserve"]) {
            let from = evaluator.state.effects.made.get(&place(evaluator, from)?);
            (made.owner, made.group) = from.map_or((None, None), |from| (from.owner.clone(), from.group.clone()));
        } else if let Some(there) = there {
            // What is there already keeps its owner and its mode.
            (made.mode, made.owner, made.group) = (there.mode, there.owner.clone(), there.group.clone());
        } else {
            made.mode = made.mode.map(|mode| Mode::new(mode.bits() & 0o777 & !evaluator.state.umask));
        }
        copy(evaluator, &target, made)?;
    }
    Done::quietly()
}

/// Directories are copied this deep; nothing of a package is deeper.
const MOST_DEEP: usize = 40;

fn copy_directory(evaluator: &mut Evaluator<'_>, from: &str, to: &str, depth: usize) -> Result<(), Stuck> {
    if depth > MOST_DEEP {
        return stuck("what is copied is nested too deeply");
    }
    if evaluator.seen(to, true).is_none() {
        let path = place(evaluator, to)?;
        make_directory(evaluator, &path, None)?;
    }
    let folder = paths::absolute(&evaluator.state.directory, from);
    for name in evaluator.names(&folder) {
        let (from, to) = (format!("{folder}/{name}"), format!("{to}/{name}"));
        match evaluator.seen(&from, false) {
            Some(Seen::Directory) => copy_directory(evaluator, &from, &to, depth + 1)?,
            Some(Seen::Link(target)) => {
                let path = place(evaluator, &to)?;
                make(evaluator, &path, Made::new(MadeKind::Link(target)))?;
            }
            _ => {
                if let Some(made) = source(evaluator, &from)? {
                    let path = place(evaluator, &to)?;
                    copy(evaluator, &path, made)?;
                }
            }
        }
    }
    Ok(())
}

/// `mv` of something that the hook made. A package's own files stay where they are.
pub(super) fn mv(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let options = Options::read(&words, &["-f", "-n", "-v", "-i", "-T", "-Z", "--force", "--no-clobber"])?;
    let [from, to] = options.operands[..] else { return stuck("more than one file that is moved is not followed") };
    let path = place(evaluator, from)?;
    if evaluator.seen(from, false).is_none() {
        return fails();
    }
    let Some(made) = evaluator.state.effects.made.get(&path).cloned() else {
        return stuck(format!("it moves `{path}`, which a package ships"));
    };
    if matches!(made.kind, MadeKind::Directory) {
        return stuck("moving a folder is not followed");
    }
    let target = below(evaluator, to, from, options.has(&["-T"]));
    let target = place(evaluator, &target)?;
    if !is_as_shipped(evaluator, &target, &made) {
        copy(evaluator, &target, made)?;
    }
    let is_of_other = evaluator.world.entry(&path, false).is_some();
    evaluator.take_away(std::slice::from_ref(&path));
    if is_of_other {
        evaluator.state.effects.removed.insert(path);
    }
    Done::quietly()
}

/// Is what would come to a path what a package ships there, down to its mode?
fn is_as_shipped(evaluator: &Evaluator<'_>, path: &TreePath, made: &Made) -> bool {
    let effects = &evaluator.state.effects;
    let MadeKind::Text(text) = &made.kind else { return false };
    let is_shipped = !effects.made.contains_key(path) && !effects.removed.contains(path);
    is_shipped
        && (&made.owner, &made.group) == (&None, &None)
        && matches!(evaluator.world.entry(path, false), Some(Seen::File { .. }))
        && !effects.permissions.contains_key(path)
        && evaluator.world.mode(path) == Some(made.mode.map_or(0o644, Mode::bits))
        && evaluator.world.read(path).as_ref() == Some(text)
}

/// `rm`: of what is not there, nothing; of what the hook made, that.
pub(super) fn rm(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let options =
        Options::read(&words, &["-r", "-R", "-f", "-v", "-d", "--recursive", "--force", "--one-file-system"])?;
    for word in &options.operands {
        let path = place(evaluator, word)?;
        let made: Vec<TreePath> =
            evaluator.state.effects.made.keys().filter(|made| made.starts_with(&path)).cloned().collect();
        if !made.is_empty() {
            evaluator.take_away(&made);
            evaluator.state.effects.removed.insert(path);
        } else if evaluator.seen(word, false).is_some() {
            // Whether that holds is seen at the end: it may be made anew.
            if !Effects::is_passing(&path) {
                evaluator.effect(Became::Fact("removal", path.to_string()), |effects| {
                    effects.removed.insert(path.clone());
                });
            }
        } else if !options.has(&["-f", "--force"]) {
            return fails();
        } else {
            evaluator.note(Became::Nothing("what it removes is not there on a fresh system"));
        }
    }
    Done::quietly()
}

/// `rmdir`: a directory with something in it stays.
pub(super) fn rmdir(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let options = Options::read(&words, &["-p", "-v", "--parents", "--ignore-fail-on-non-empty"])?;
    let ignores = options.has(&["--ignore-fail-on-non-empty"]);
    for word in &options.operands {
        let path = place(evaluator, word)?;
        match evaluator.seen(word, false) {
            None => return fails(),
            Some(Seen::Directory) if evaluator.names_with_earlier(&path.to_string()).is_empty() => {
                if evaluator.state.effects.made.contains_key(&path) {
                    evaluator.take_away(&[path]);
                } else {
                    evaluator.effect(Became::Fact("removal", path.to_string()), |effects| {
                        effects.removed.insert(path.clone());
                    });
                }
            }
            Some(_) if ignores => {}
            Some(_) => return fails(),
        }
    }
    Done::quietly()
}

/// `mktemp`: a name that nothing else has. The same every time, since what is made there is only passing.
pub(super) fn mktemp(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let options = Options::read(
        &words,
        &["-d", "-t", "-p=", "-q", "-u", "-m=", "--tmpdir", "--tmpdir=", "--suffix=", "--directory"],
    )?;
    let name = match options.operands.first() {
        Some(template) => template.replace('X', "x"),
        None => format!("kiln.{}", evaluator.state.effects.made.len()),
    };
    let folder = options.get(&["-p", "--tmpdir"]).filter(|folder| !folder.is_empty()).unwrap_or("/tmp");
    let is_path = name.contains('/') && !options.has(&["-t", "-p", "--tmpdir"]);
    let path = if is_path { name } else { format!("{folder}/{name}") };
    let at = place(evaluator, &path)?;
    let kind = if options.has(&["-d", "--directory"]) { MadeKind::Directory } else { MadeKind::Text(String::new()) };
    evaluator.state.effects.made.insert(at.clone(), Made { mode: Some(Mode::new(0o600)), ..Made::new(kind) });
    Done::prints(format!("{at}\n"))
}
