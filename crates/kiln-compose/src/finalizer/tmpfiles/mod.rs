//! What packages ship in tmpfiles.d, made at composition as their hooks would make it: `systemd-tmpfiles --create`.
//!
//! As with the hooks, it happens only where the program is in the image; an image without it has nobody who reads the
//! files. What is below `/run`, `/tmp`, `/dev`, `/proc` and `/sys` is made anew by every machine that starts and is left
//! out. What the image itself brings or declares keeps its content, owner and mode.

mod parse;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kiln_model::name::AccountName;
use kiln_model::{Device, Dir, Entry, FileEntry, Meta, SymlinkEntry, TreePath};

use super::{FinalizeContext, FinalizeError, fixed, glob};
use parse::{Action, Field, Line};

/// Where a running system keeps what it makes itself.
const VOLATILE: &[&str] = &["run", "tmp", "dev", "proc", "sys"];

/// A line, and where it stands.
type Placed = (TreePath, Line);

pub(super) fn run(context: &mut FinalizeContext<'_>) -> Result<(), FinalizeError> {
    let program = ["usr/bin/systemd-tmpfiles", "bin/systemd-tmpfiles"];
    if !program.iter().any(|path| context.file(&fixed(path)).is_some()) {
        return Ok(());
    }
    let (mut made, mut adjusted): (BTreeMap<TreePath, Placed>, Vec<Placed>) = (BTreeMap::new(), Vec::new());
    for file in files(context) {
        let bytes = context.read(&file)?.unwrap_or_default();
        let (lines, faults) = parse::read(&bytes);
        for (line, why) in faults {
            context.warn(format!("`{file}` line {line} is left out: {why}"), None);
        }
        for line in lines {
            match line.action {
                Action::Adjust { .. } => adjusted.push((file.clone(), line)),
                // Of several for one path, the first stands: tmpfiles.d(5).
                _ => {
                    made.entry(line.path.clone()).or_insert((file.clone(), line));
                }
            }
        }
    }
    // In order of path: what is above comes first, however the files are named.
    for (file, line) in made.into_values() {
        make(context, &file, &line)?;
    }
    for (file, line) in adjusted {
        let Action::Adjust { recursive } = line.action else {
            continue;
        };
        let mut places = matching(&context.work.tree, &line.path);
        if recursive {
            let below: Vec<TreePath> =
                places.iter().flat_map(|place| everything_below(&context.work.tree, place)).collect();
            places.extend(below);
        }
        for place in places {
            if !is_volatile(&place) {
                adjust(context, &file, &line, &place, false);
            }
        }
    }
    Ok(())
}

/// The files, by name; one in `/etc` replaces the one of its name in `/usr/lib`.
fn files(context: &FinalizeContext<'_>) -> Vec<TreePath> {
    let mut files = BTreeMap::new();
    for folder in ["usr/lib/tmpfiles.d", "usr/local/lib/tmpfiles.d", "etc/tmpfiles.d"].map(fixed) {
        for (name, entry) in context.directory(&folder).into_iter().flat_map(|dir| dir.entries()) {
            if name.ends_with(".conf") && !matches!(entry, Entry::Dir(_)) {
                files.insert(name.to_owned(), folder.join(name).unwrap_or_default());
            }
        }
    }
    files.into_values().collect()
}

/// The paths that shipped files make or adjust.
pub(super) fn shipped_paths(context: &FinalizeContext<'_>) -> Result<BTreeSet<TreePath>, FinalizeError> {
    let mut paths = BTreeSet::new();
    for file in files(context) {
        let bytes = context.read(&file)?.unwrap_or_default();
        paths.extend(parse::read(&bytes).0.into_iter().map(|line| line.path));
    }
    Ok(paths)
}

fn is_volatile(place: &TreePath) -> bool {
    place.components().next().is_some_and(|first| VOLATILE.contains(&first))
}

/// Makes what one line asks for.
fn make(context: &mut FinalizeContext<'_>, file: &TreePath, line: &Line) -> Result<(), FinalizeError> {
    // Links on the way are followed: `/var/run` is `/run`.
    let Ok(mut place) = context.work.place(&line.path) else {
        return Ok(());
    };
    if is_volatile(&place) || place.is_root() {
        return Ok(());
    }
    if line.action == Action::Directory
        && let Some((resolved, Some(Entry::Dir(_)))) = context.work.tree.resolve(&place)
    {
        place = resolved;
    }
    if is_volatile(&place) {
        return Ok(());
    }
    let there = context.work.tree.get(&place);
    let fits = match (line.action, there) {
        (Action::Directory, Some(Entry::Dir(_)))
        | (Action::File, Some(Entry::File(_)))
        | (Action::Character | Action::Block | Action::Pipe, Some(Entry::Device(..))) => Some(true),
        (_, Some(_)) => Some(false),
        (_, None) => None,
    };
    let own = there.is_some() && context.is_the_images_own(&place);
    let replaces = line.force && !own && !matches!(line.action, Action::Directory);
    if fits == Some(true) && !(replaces && line.action == Action::File) {
        adjust(context, file, line, &place, false);
        return Ok(());
    }
    if fits == Some(false) && !replaces {
        return Ok(());
    }
    // An unknown owner fails the whole line, before anything is made.
    if !accounts_are_known(context, file, line) {
        return Ok(());
    }
    let Some(entry) = entry(context, line)? else {
        return Ok(());
    };
    let is_link = matches!(entry, Entry::Symlink(_));
    context.work.put(&place, entry, context.owner)?;
    if !is_link {
        adjust(context, file, line, &place, true);
    }
    Ok(())
}

/// What a line makes anew; nothing when what it is made from is not there.
fn entry(context: &FinalizeContext<'_>, line: &Line) -> Result<Option<Entry>, FinalizeError> {
    // The default source of `C` and `L`: tmpfiles.d(5).
    let factory = || format!("/usr/share/factory{}", line.path);
    Ok(Some(match line.action {
        Action::Directory => Entry::Dir(Arc::new(Dir::new(Meta::root_owned(0o755)))),
        Action::File => {
            let text = line.argument.clone().unwrap_or_default();
            let object = context.sink.put(text.as_bytes())?;
            Entry::File(FileEntry::plain(object, text.len() as u64, false))
        }
        Action::Link { only_if_there } => {
            let target = line.argument.clone().unwrap_or_else(factory);
            let end = line.path.resolve_link(&target);
            if only_if_there && context.work.tree.resolve(&end).is_none() {
                return Ok(None);
            }
            Entry::Symlink(SymlinkEntry::plain(target.as_str()))
        }
        Action::Copy => {
            let source = line.argument.clone().unwrap_or_else(factory);
            let source = TreePath::from_absolute(&source).ok().and_then(|path| context.work.tree.resolve(&path));
            match source {
                Some((_, Some(Entry::File(file)))) => Entry::File(FileEntry { hardlinked: false, ..file.clone() }),
                Some((_, Some(other))) => other.clone(),
                _ => return Ok(None),
            }
        }
        Action::Pipe => Entry::Device(Device::Fifo, Meta::root_owned(0o644)),
        Action::Character | Action::Block => {
            let numbers = line.argument.as_deref().and_then(|text| text.split_once(':'));
            let Some((major, minor)) = numbers.and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?))) else {
                return Ok(None);
            };
            let device = match line.action {
                Action::Character => Device::Character { major, minor },
                _ => Device::Block { major, minor },
            };
            Entry::Device(device, Meta::root_owned(0o644))
        }
        Action::Adjust { .. } => return Ok(None),
    }))
}

/// The number of a name or number; none when nobody has the name.
fn number(text: &str, of: impl Fn(&AccountName) -> Option<u32>) -> Option<u32> {
    text.parse().ok().or_else(|| of(&text.parse().ok()?))
}

fn user_number(context: &FinalizeContext<'_>, field: &Field<String>) -> Option<u32> {
    number(&field.value, |name| context.accounts.users.get(name).map(|user| user.uid))
}

fn group_number(context: &FinalizeContext<'_>, field: &Field<String>) -> Option<u32> {
    number(&field.value, |name| context.accounts.groups.get(name).map(|group| group.gid))
}

fn accounts_are_known(context: &mut FinalizeContext<'_>, file: &TreePath, line: &Line) -> bool {
    let user = line.user.as_ref().filter(|field| user_number(context, field).is_none());
    let group = line.group.as_ref().filter(|field| group_number(context, field).is_none());
    let Some(field) = user.or(group) else {
        return true;
    };
    context.warn(
        format!("`{file}`: `{}` is not made, for its owner `{}` is not in the image", line.path, field.value),
        Some(format!("declare it: `facts: {{ users: {{ {}: {{}} }} }}`", field.value)),
    );
    false
}

/// Gives a path the mode and owner that a line has, unless the image speaks of it.
fn adjust(context: &mut FinalizeContext<'_>, file: &TreePath, line: &Line, place: &TreePath, is_new: bool) {
    let declared = &context.request.facts;
    let image_says = declared.permissions.contains_key(place) || declared.directories.contains_key(place);
    if image_says || context.is_the_images_own(place) || !accounts_are_known(context, file, line) {
        return;
    }
    let Some(entry) = context.work.tree.get(place) else {
        return;
    };
    if matches!(entry, Entry::Symlink(_)) {
        return;
    }
    let is_dir = matches!(entry, Entry::Dir(_));
    let old = entry.meta().clone();
    let mut meta = old.clone();
    let holds = |only_new: bool| is_new || !only_new;
    if let Some(field) = line.mode.as_ref().filter(|field| holds(field.only_new)) {
        meta.mode = if line.masked { masked(field.value, old.mode, is_dir) } else { field.value };
    }
    if let Some(field) = line.user.as_ref().filter(|field| holds(field.only_new)) {
        meta.uid = user_number(context, field).unwrap_or(meta.uid);
    }
    if let Some(field) = line.group.as_ref().filter(|field| holds(field.only_new)) {
        meta.gid = group_number(context, field).unwrap_or(meta.gid);
    }
    if meta != old {
        context.work.set_meta(place, meta);
    }
}

/// `~`: bits that nobody has on what is there are not given to it; the set-id and sticky bits only to directories.
fn masked(wanted: u16, there: u16, is_dir: bool) -> u16 {
    let mut mode = wanted;
    for bits in [0o111, 0o222, 0o444] {
        if there & bits == 0 {
            mode &= !bits;
        }
    }
    if is_dir { mode } else { mode & 0o777 }
}

/// Every path of the tree that a pattern fits, component by component.
fn matching(tree: &Dir, pattern: &TreePath) -> BTreeSet<TreePath> {
    let mut places = BTreeSet::from([TreePath::root()]);
    for part in pattern.components() {
        let mut next = BTreeSet::new();
        for place in places {
            let place = match tree.resolve(&place) {
                Some((resolved, _)) => resolved,
                None => continue,
            };
            let Some(dir) = tree.dir(&place) else {
                continue;
            };
            if glob::is_pattern(part) {
                // As in a shell, a star does not find what begins with a dot.
                let found = dir.entries().filter(|(name, _)| part.starts_with('.') || !name.starts_with('.'));
                let found = found.filter(|(name, _)| glob::matches(part, name));
                next.extend(found.filter_map(|(name, _)| place.join(name).ok()));
            } else if dir.entry(part).is_some() {
                next.extend(place.join(part).ok());
            }
        }
        places = next;
    }
    places
}

fn everything_below(tree: &Dir, place: &TreePath) -> Vec<TreePath> {
    let walk = tree.dir(place).into_iter().flat_map(Dir::walk);
    walk.filter_map(|(below, _)| format!("{}/{}", place.as_str(), below.as_str()).parse().ok()).collect()
}
