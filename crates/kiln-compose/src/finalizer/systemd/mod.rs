//! Services: the links that `systemctl enable` and `systemctl mask` make, and presets that keep the decision.
//!
//! Packages are asked first, and presets that are in the image about what they enable, as Debian's hooks do it. One
//! package that masks a unit wins over those that enable it. The image's word wins over all of them, and a preset that the
//! image itself brings is its word too. Links are made with or without systemd in the image: Debian's hooks make them in
//! containers too, and whoever adds systemd later finds them right. Presets are only for systemd to read.

mod install;
mod preset;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use kiln_model::unit::{NameParts, Unit, packaged_folder};
use kiln_model::{Entry, TreePath};

use super::{FinalizeContext, FinalizeError, fixed};
use crate::declared::declarers;
use crate::owner::Owner;
use preset::{Presets, Verdict};

/// Why services of an image cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// There is no such unit.
    #[error("{by} declares service `{name}`, but no such unit is in the image")]
    NoUnit {
        /// Who declares it.
        by: Owner,
        /// The unit.
        name: String,
        /// A unit that is nearly named so.
        near: Option<String>,
    },
    /// The unit says nothing of what would start it.
    #[error("{by} enables `{name}`, which cannot be enabled: `{path}` {why}")]
    NotInstallable {
        /// Who enables it.
        by: Owner,
        /// The unit.
        name: String,
        /// Its file.
        path: TreePath,
        /// Why not.
        why: String,
    },
    /// A file is where the link that masks the unit is to be.
    #[error("{by} masks `{name}`, but `{path}` is a file of {owner}")]
    MaskBlocked {
        /// Who masks it.
        by: Owner,
        /// The unit.
        name: String,
        /// The file.
        path: TreePath,
        /// Whose it is.
        owner: Owner,
    },
}

impl ServiceError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoUnit { near: Some(near), .. } => Some(format!("did you mean `{near}`?")),
            Self::NoUnit { .. } => {
                Some("add the package that brings the unit, or give its file: `unit: PATH`".to_owned())
            }
            Self::NotInstallable { name, .. } => Some(format!(
                "what is to start it says so itself: take `{name}` out, or give a unit with an `[Install]` section"
            )),
            Self::MaskBlocked { .. } => Some("leave the file out instead".to_owned()),
        }
    }
}

/// What was decided about one unit.
#[derive(Debug, Clone)]
struct Decision {
    enabled: bool,
    masked: bool,
    by: Owner,
}

impl Decision {
    fn by_image(&self) -> bool {
        self.by == Owner::Image
    }
}

/// A unit of the tree.
#[derive(Debug, Clone)]
struct Found {
    /// Its own name, when it was looked up under another one.
    name: String,
    path: TreePath,
    unit: Unit,
}

/// Is systemd in the image, to read what is written for it?
pub(super) fn is_there(context: &FinalizeContext<'_>) -> bool {
    context.file(&fixed("usr/lib/systemd/systemd")).is_some()
}

pub(super) fn run(context: &mut FinalizeContext<'_>) -> Result<(), FinalizeError> {
    let has_systemd = is_there(context);
    for user in [false, true] {
        let presets = Presets::read(context, user)?;
        let decisions = decide(context, user, &presets, has_systemd)?;
        let mut aliases = Aliases::default();
        for (name, decision) in &decisions {
            carry_out(context, user, name, decision, &mut aliases)?;
        }
        aliases.link(context)?;
        if has_systemd {
            write_presets(context, user)?;
        }
    }
    let starts = context.request.facts.services.iter().find(|(_, service)| service.enabled && !service.user);
    if let (Some((name, _)), false) = (starts, has_systemd) {
        let hint = "add `systemd`, or start it as the `command` of `run:`".to_owned();
        context.warn(format!("the image enables `{name}`, but systemd is not in it to start it"), Some(hint));
    }
    Ok(())
}

/// What becomes of every unit that somebody speaks of.
fn decide(
    context: &FinalizeContext<'_>,
    user: bool,
    presets: &Presets,
    has_systemd: bool,
) -> Result<BTreeMap<String, Decision>, FinalizeError> {
    let mut decisions: BTreeMap<String, Decision> = BTreeMap::new();
    for (by, facts) in declarers(context.request) {
        for (name, service) in facts.services.iter().filter(|(_, service)| service.user == user) {
            match decisions.get_mut(name) {
                None => {
                    let (enabled, masked) = (service.enabled, service.masked);
                    decisions.insert(name.clone(), Decision { enabled, masked, by: by.clone() });
                }
                Some(first) if first.by_image() => {}
                Some(first) => {
                    // Whoever decides it is named.
                    if (service.masked && !first.masked) || (service.enabled && !first.enabled && !first.masked) {
                        first.by = by.clone();
                    }
                    first.enabled |= service.enabled;
                    first.masked |= service.masked;
                }
            }
        }
    }
    for (name, decision) in decisions.iter_mut().filter(|(_, decision)| !decision.by_image()) {
        match presets.verdict(name) {
            Some((verdict @ (Verdict::Enable | Verdict::Disable), true)) => {
                let enabled = verdict == Verdict::Enable;
                *decision = Decision { enabled, masked: decision.masked && !enabled, by: Owner::Image };
            }
            Some((Verdict::Disable | Verdict::Ignore, _)) if has_systemd => decision.enabled = false,
            _ => {}
        }
    }
    // A preset of the image's own speaks of units that nobody declares, too.
    for name in unit_names(context, user) {
        if let (Some((verdict, true)), false) = (presets.verdict(&name), decisions.contains_key(&name))
            && verdict != Verdict::Ignore
            && find(context, user, &name)?.is_some_and(|found| can_be_enabled(&found))
        {
            let by = Owner::Image;
            decisions.insert(name, Decision { enabled: verdict == Verdict::Enable, masked: false, by });
        }
    }
    Ok(decisions)
}

fn can_be_enabled(found: &Found) -> bool {
    let wanted = install::wanted(&found.unit, &found.name);
    !wanted.links.is_empty() || !wanted.also.is_empty()
}

fn configuration(user: bool) -> TreePath {
    fixed(if user { "etc/systemd/user" } else { "etc/systemd/system" })
}

/// Folders with units, what comes first wins: systemd.unit(5), without those of a running system.
fn folders(user: bool) -> [TreePath; 3] {
    let local = if user { "usr/local/lib/systemd/user" } else { "usr/local/lib/systemd/system" };
    [configuration(user), fixed(local), fixed(packaged_folder(user))]
}

/// The names of all units that have files of their own.
fn unit_names(context: &FinalizeContext<'_>, user: bool) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in folders(user) {
        for (name, entry) in context.directory(&folder).into_iter().flat_map(|dir| dir.entries()) {
            if matches!(entry, Entry::File(_)) && kiln_model::unit::full_name(name).as_deref() == Some(name) {
                names.insert(name.to_owned());
            }
        }
    }
    names
}

/// Finds a unit. An instance is found by its template, another name by the link that it is.
fn find(context: &FinalizeContext<'_>, user: bool, name: &str) -> Result<Option<Found>, FinalizeError> {
    let template = NameParts::of(name).filter(|parts| parts.instance.is_some_and(|instance| !instance.is_empty()));
    let template = template.map(|parts| parts.with_instance(""));
    for candidate in [Some(name), template.as_deref()].into_iter().flatten() {
        for folder in folders(user) {
            let Ok(path) = folder.join(candidate) else {
                continue;
            };
            let Some((place, file)) = context.file(&path) else {
                continue;
            };
            let bytes = context.source.read(&file.object)?;
            let own = place.file_name().unwrap_or(candidate);
            let name = if own == candidate { name } else { own };
            return Ok(Some(Found { name: name.to_owned(), unit: Unit::parse(&bytes).0, path: place }));
        }
    }
    Ok(None)
}

/// A link to `/dev/null` in the place of a unit: a package says that it is never to run.
fn masked_by_vendor(context: &FinalizeContext<'_>, user: bool, name: &str) -> Option<TreePath> {
    let paths = folders(user).into_iter().filter_map(|folder| folder.join(name).ok());
    let is_null = |entry: &Entry| matches!(entry, Entry::Symlink(link) if &*link.target == "/dev/null");
    paths.filter_map(|path| context.work.find(&path)).find(|(_, entry)| is_null(entry)).map(|(place, _)| place)
}

/// Names beside units that more than one unit wants, kept until all are known.
#[derive(Debug, Default)]
struct Aliases(BTreeMap<TreePath, Vec<(bool, String, String)>>);

impl Aliases {
    fn add(&mut self, path: TreePath, by_image: bool, unit: &str, target: String) {
        self.0.entry(path).or_default().push((!by_image, unit.to_owned(), target));
    }

    /// Gives each name to one unit: to one that the image enables, or else the first by name.
    fn link(self, context: &mut FinalizeContext<'_>) -> Result<(), FinalizeError> {
        for (path, mut claims) in self.0 {
            claims.sort();
            claims.dedup();
            let Some((_, unit, target)) = claims.first() else {
                continue;
            };
            if let Some((_, other, _)) = claims.iter().find(|(_, other, _)| other != unit) {
                let hint =
                    format!("decide it in the image: `facts: {{ services: {{ {other}: {{ enabled: false }} }} }}`");
                context.warn(format!("`{unit}` and `{other}` both want to be `{path}`: it is `{unit}`"), Some(hint));
            }
            put_link(context, &path, target)?;
        }
        Ok(())
    }
}

/// Makes a link where nothing else than a link is.
fn put_link(context: &mut FinalizeContext<'_>, path: &TreePath, target: &str) -> Result<(), FinalizeError> {
    match context.work.find(path) {
        None | Some((_, Entry::Symlink(_))) => context.link(path, target),
        Some((place, entry)) => {
            let kind = entry.kind();
            context.warn(format!("`{place}` is a {kind}: no link to `{target}` can be made there"), None);
            Ok(())
        }
    }
}

fn carry_out(
    context: &mut FinalizeContext<'_>,
    user: bool,
    name: &str,
    decision: &Decision,
    aliases: &mut Aliases,
) -> Result<(), FinalizeError> {
    let found = find(context, user, name)?;
    if decision.masked {
        return mask(context, user, name, decision, found.is_some());
    }
    let Some(found) = found else {
        if let Some(path) = masked_by_vendor(context, user, name) {
            if !decision.enabled || !decision.by_image() {
                return Ok(());
            }
            let (by, name, why) = (decision.by.clone(), name.to_owned(), "leads to `/dev/null`".to_owned());
            return Err(service(ServiceError::NotInstallable { by, name, path, why }));
        }
        let near = nearest(name, &unit_names(context, user));
        return Err(service(ServiceError::NoUnit { by: decision.by.clone(), name: name.to_owned(), near }));
    };
    if decision.enabled {
        return enable(context, user, found, &decision.by, aliases);
    }
    if decision.by_image() { disable(context, user, name) } else { Ok(()) }
}

fn service(error: ServiceError) -> FinalizeError {
    FinalizeError::Service(Box::new(error))
}

/// A name that differs by no more than what surrounds it: `ngin` and `nginx.service`.
fn nearest(name: &str, names: &BTreeSet<String>) -> Option<String> {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    names
        .iter()
        .find(|other| other.contains(stem) || stem.contains(other.rsplit_once('.').map_or("", |p| p.0)))
        .cloned()
}

fn mask(
    context: &mut FinalizeContext<'_>,
    user: bool,
    name: &str,
    decision: &Decision,
    is_there: bool,
) -> Result<(), FinalizeError> {
    if !is_there && decision.by_image() {
        let near = nearest(name, &unit_names(context, user));
        return Err(service(ServiceError::NoUnit { by: decision.by.clone(), name: name.to_owned(), near }));
    }
    let path = configuration(user).join(name).unwrap_or_default();
    if let Some((place, Entry::File(_))) = context.work.find(&path) {
        // `deb-systemd-helper` leaves a file there alone; an image that says so is to have its way or be told.
        if !decision.by_image() {
            return Ok(());
        }
        let owner = context.work.owner(&place).unwrap_or(context.owner);
        let owner = context.work.owners.name(owner).clone();
        let (by, name) = (decision.by.clone(), name.to_owned());
        return Err(service(ServiceError::MaskBlocked { by, name, path: place, owner }));
    }
    context.link(&path, "/dev/null")
}

/// Makes the links of a unit, and of those that are to be enabled with it.
fn enable(
    context: &mut FinalizeContext<'_>,
    user: bool,
    found: Found,
    by: &Owner,
    aliases: &mut Aliases,
) -> Result<(), FinalizeError> {
    let by_image = *by == Owner::Image;
    let mut seen = BTreeSet::from([found.name.clone()]);
    let mut queue = vec![found];
    while let Some(found) = queue.pop() {
        let wanted = install::wanted(&found.unit, &found.name);
        let is_first = seen.len() == 1 && queue.is_empty();
        if by_image && is_first && wanted.links.is_empty() && wanted.also.is_empty() {
            let why = wanted.faults.first().cloned();
            let why = why.unwrap_or_else(|| "has no `[Install]` section that says what starts it".to_owned());
            let (by, name, path) = (by.clone(), found.name, found.path);
            return Err(service(ServiceError::NotInstallable { by, name, path, why }));
        }
        for fault in wanted.faults {
            context.warn(format!("`{}`: {fault}", found.path), None);
        }
        let target = found.path.to_string();
        for link in wanted.links {
            let path = fixed(&format!("{}/{link}", configuration(user).as_str()));
            if link.contains('/') {
                put_link(context, &path, &target)?;
            } else {
                aliases.add(path, by_image, &found.name, target.clone());
            }
        }
        for other in wanted.also {
            if !seen.insert(other.clone()) {
                continue;
            }
            match find(context, user, &other)? {
                Some(other) => queue.push(other),
                None => {
                    let hint = "without it, the unit may do only part of its work".to_owned();
                    let message =
                        format!("`{}` is enabled together with `{other}`, which is not in the image", found.path);
                    context.warn(message, Some(hint));
                }
            }
        }
    }
    Ok(())
}

/// Links below the folder for configuration: the path, the name, and what they lead to.
fn configured_links(context: &FinalizeContext<'_>, user: bool) -> Vec<(TreePath, String, String)> {
    let top = configuration(user);
    let mut links = Vec::new();
    let mut add = |path: TreePath, name: &str, entry: &Entry| {
        if let Entry::Symlink(link) = entry {
            let target = link.target.rsplit('/').next().unwrap_or_default().to_owned();
            links.push((path, name.to_owned(), target));
        }
    };
    for (name, entry) in context.directory(&top).into_iter().flat_map(|dir| dir.entries()) {
        let path = top.join(name).unwrap_or_default();
        match entry {
            Entry::Dir(below) if [".wants", ".requires", ".upholds"].iter().any(|suffix| name.ends_with(suffix)) => {
                for (name, entry) in below.entries() {
                    add(path.join(name).unwrap_or_default(), name, entry);
                }
            }
            _ => add(path, name, entry),
        }
    }
    links
}

/// Takes the links away that enable a unit, as `systemctl disable` does. Those that the image brings itself stay.
fn disable(context: &mut FinalizeContext<'_>, user: bool, name: &str) -> Result<(), FinalizeError> {
    for (path, link, target) in configured_links(context, user) {
        if (link == name || target == name) && target != "null" && !context.is_the_images_own(&path) {
            context.work.remove(&path);
        }
    }
    Ok(())
}

/// Writes a preset that says of every unit that can be enabled whether it is.
fn write_presets(context: &mut FinalizeContext<'_>, user: bool) -> Result<(), FinalizeError> {
    let mut linked: BTreeSet<String> = BTreeSet::new();
    let mut masked: BTreeSet<String> = BTreeSet::new();
    for (_, name, target) in configured_links(context, user) {
        if target == "null" {
            masked.insert(name);
        } else {
            linked.extend([name, target]);
        }
    }
    let mut text = String::from(
        "# Every unit that can be enabled, as the image has it: `systemctl preset-all` changes nothing.\n",
    );
    let mut any = false;
    for name in unit_names(context, user) {
        let Some(found) = find(context, user, &name)? else {
            continue;
        };
        if masked.contains(&name) || !can_be_enabled(&found) && !wants_anything(&found) {
            continue;
        }
        any = true;
        let parts = NameParts::of(&name).filter(NameParts::is_template);
        let line = match parts {
            Some(parts) => {
                let instance = |linked: &String| {
                    let of = NameParts::of(linked)?;
                    let same = (of.prefix, of.kind) == (parts.prefix, parts.kind);
                    of.instance.filter(|instance| same && !instance.is_empty()).map(str::to_owned)
                };
                let instances: Vec<String> = linked.iter().filter_map(instance).collect();
                if instances.is_empty() {
                    format!("disable {name}")
                } else {
                    format!("enable {name} {}", instances.join(" "))
                }
            }
            None if linked.contains(&name) || is_enabled_by_others(context, user, &found, &linked)? => {
                format!("enable {name}")
            }
            None => format!("disable {name}"),
        };
        let _ = writeln!(text, "{line}");
    }
    if any {
        let above = if user { "usr/lib/systemd/user-preset" } else { "usr/lib/systemd/system-preset" };
        context.write(&fixed(above).join("00-kiln.preset").unwrap_or_default(), text.as_bytes())?;
    }
    Ok(())
}

/// A template without an instance of its own can still be enabled with one.
fn wants_anything(found: &Found) -> bool {
    ["WantedBy", "RequiredBy", "UpheldBy", "Alias", "Also"]
        .iter()
        .any(|key| !found.unit.words("Install", key).is_empty())
}

/// A unit without links of its own is enabled when all are that it is to be enabled with.
fn is_enabled_by_others(
    context: &FinalizeContext<'_>,
    user: bool,
    found: &Found,
    linked: &BTreeSet<String>,
) -> Result<bool, FinalizeError> {
    let wanted = install::wanted(&found.unit, &found.name);
    if !wanted.links.is_empty() || wanted.also.is_empty() {
        return Ok(false);
    }
    for other in &wanted.also {
        if !linked.contains(other) && find(context, user, other)?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Enables a unit that Kiln itself has made.
pub(super) fn enable_own(context: &mut FinalizeContext<'_>, name: &str) -> Result<(), FinalizeError> {
    let mut aliases = Aliases::default();
    if let Some(found) = find(context, false, name)? {
        enable(context, false, found, &Owner::Finalizer("first-boot"), &mut aliases)?;
    }
    aliases.link(context)
}

/// Reads a unit's file, for those who order themselves by it.
pub(super) fn read(context: &FinalizeContext<'_>, name: &str) -> Result<Option<Unit>, FinalizeError> {
    Ok(find(context, false, name)?.map(|found| found.unit))
}
