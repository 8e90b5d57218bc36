//! Does a lock say of its packages what the archives' pinned states say? Building asks, without any network.
//!
//! What is fetched is checked against its digest whatever the lock says besides, so nothing here makes a build sound.
//! It tells who edited or merged a lock by hand so at once, at the line, where otherwise a wrong version would be
//! believed, or a download fail for a reason that nobody understands.
//!
//! A lock that was found right is not looked at again: a file beside the archives' indexes holds its digest, one for
//! each project. Where indexes are not kept there is nothing to ask, and nothing is said.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use kiln_fetch::{FetchOptions, Fetcher};
use kiln_import::archive::{Means, Offer, OpenArchive, OriginRequest, format_of};
use kiln_import::reach;
use kiln_model::diagnostic::{Diagnostic, Diagnostics};
use kiln_model::lock::{EntryRef, Lock, LockedOrigin, LockedPackage, LockedSource, PackageKey, TargetKey};
use kiln_model::project::Origin;
use kiln_model::{Digest, OriginName, Silent};

use crate::locking::Wanted;
use crate::services::Services;
use crate::workspace::Workspace;

/// What to do about an entry that is not what its index says.
const MEND: &str =
    "`kiln lock` takes what the archive's index says; `git checkout kiln.lock` takes back what was committed";

/// Raise it when more is looked at than before.
const VERSION: u32 = 2;

/// What a project's lock that was found right is remembered under.
fn memory(workspace: &Workspace) -> String {
    let folder = workspace.folder.canonicalize().unwrap_or_else(|_| workspace.folder.clone());
    format!("{}.lock-checked", Digest::of(folder.as_os_str().as_encoded_bytes()).to_hex())
}

fn remembered(text: &str) -> String {
    format!("{VERSION} {}\n", Digest::of(text.as_bytes()).to_hex())
}

/// Remembers that this text of a lock is right. When it cannot be written it is found out again.
pub fn remember(workspace: &Workspace, services: &Services, text: &str) {
    drop(reach::keep(&services.archives(), &memory(workspace), remembered(text).as_bytes()));
}

/// Checks a lock, whose text is `text`, against the archives' indexes that are kept.
///
/// # Errors
/// Every entry that is not what its index says.
pub fn check(workspace: &Workspace, services: &Services, lock: &Lock, text: &str) -> Result<(), Diagnostics> {
    if fs::read_to_string(services.archives().join(memory(workspace))).is_ok_and(|kept| kept == remembered(text)) {
        return Ok(());
    }
    let wanted = Wanted::of(workspace, services);
    let architectures = wanted.architectures();
    let fetcher = Fetcher::new(FetchOptions { offline: true, ..services.settings.fetch.clone() });
    let folder = services.archives();
    let means = Means { fetcher: &fetcher, folder: &folder, session: &services.session, reporter: &Silent };
    let (mut faults, mut all_asked) = (Vec::new(), true);
    for (name, origin) in &workspace.project.project.origins {
        let Some(locked) = lock.origins.get(name) else { continue };
        let request = OriginRequest {
            name,
            origin: &origin.value,
            project: &workspace.folder,
            keyrings: &[],
            mirrors: &[],
            architectures: &architectures,
            sources: wanted.sources_of(name),
            locked: Some(locked),
            floor: None,
            now: services.settings.now,
        };
        let Some(archive) = open(&origin.value, &request, locked, &means, text, &mut faults) else {
            all_asked = false;
            continue;
        };
        // An index that cannot be read is made anew by whoever may fetch it.
        all_asked &= packages(name, lock, &wanted, &*archive, &means, text, &mut faults).is_some();
        all_asked &= sources(name, lock, &*archive, text, &mut faults).is_some();
    }
    if !faults.is_empty() {
        return Err(Diagnostics(faults));
    }
    if all_asked {
        remember(workspace, services, text);
    }
    Ok(())
}

/// Opens the pinned state of an archive from what is kept, and tells where the lock does not say what it is.
fn open(
    origin: &Origin,
    request: &OriginRequest<'_>,
    locked: &LockedOrigin,
    means: &Means<'_>,
    text: &str,
    faults: &mut Vec<Diagnostic>,
) -> Option<Box<dyn OpenArchive>> {
    let format = format_of(origin.kind());
    let entry = EntryRef::Origin(request.name);
    let state = format.kept_state(request, locked, means);
    let opened = if means.folder.is_dir() {
        let locked = state.as_ref().or(Some(locked));
        format.open(&OriginRequest { locked, ..*request }, means).ok()
    } else {
        None
    };
    let pinned = format!("the pinned state of `{}`", request.name);
    let mut fault = |field: &str, message: String| faults.push(entry.fault(text, Some(field), message).hint(MEND));
    if let Some(is) = opened.as_ref().map(|opened| opened.state()).or(state) {
        for said in &locked.indexes {
            match is.indexes.iter().find(|is| is.path == said.path) {
                Some(is) if said.sha256 != is.sha256 => {
                    fault(&said.path, format!("`{}` of {pinned} is {}", is.path, is.sha256));
                }
                Some(is) if said.size != is.size => {
                    fault(&said.path, format!("`{}` of {pinned} is {} bytes long", is.path, is.size));
                }
                _ => {}
            }
        }
        if is.date != locked.date {
            fault("date", format!("{pinned} is of {}", is.date));
        }
        match is.release {
            same if same == locked.release => {}
            Some(release) => fault("release", format!("the signed statement of {pinned} is {release}")),
            None => fault("release", format!("{pinned} has no signed statement that stands for all of it")),
        }
    }
    opened
}

fn packages(
    origin: &OriginName,
    lock: &Lock,
    wanted: &Wanted,
    archive: &dyn OpenArchive,
    means: &Means<'_>,
    text: &str,
    faults: &mut Vec<Diagnostic>,
) -> Option<()> {
    let mut packages: BTreeMap<&PackageKey, &LockedPackage> = BTreeMap::new();
    for target in &wanted.targets {
        let key = TargetKey { name: target.name.clone(), architecture: target.architecture };
        let Some(locked) = lock.targets.get(&key) else { continue };
        packages
            .extend(lock.packages_of(locked, key.architecture).into_iter().filter(|(key, _)| key.origin == *origin));
    }
    for (key, package) in packages {
        let offers = archive.offers(key, means).ok()?;
        if let Some((field, message)) = difference(key, package, &offers) {
            faults.push(EntryRef::Package(key).fault(text, Some(field), message).hint(MEND));
        }
    }
    Some(())
}

/// What a lock says of a package and the index does not.
fn difference(key: &PackageKey, package: &LockedPackage, offers: &[Offer]) -> Option<(&'static str, String)> {
    let reference = key.reference();
    let index = format!("the pinned index of `{}`", key.origin);
    let Some(offer) = offers.iter().find(|offer| offer.version == package.version) else {
        let there: Vec<&str> = offers.iter().map(|offer| offer.version.as_str()).collect();
        return Some(match &there[..] {
            [] => ("name", format!("{index} has no `{reference}`")),
            there => ("version", format!("{index} has `{reference}` in version {}", there.join(", "))),
        });
    };
    let of = format!("`{reference}` {}", package.version);
    if offer.path.trim_start_matches("./") != package.path.trim_start_matches("./") {
        return Some(("path", format!("{index} has {of} at `{}`", offer.path)));
    }
    if offer.size != package.size {
        return Some(("size", format!("{index} says that {of} has {} bytes", offer.size)));
    }
    match offer.sha256 {
        Some(sha256) if sha256 != package.sha256 => {
            Some(("sha256", format!("{index} says that {of} has the sha256 {}", sha256.to_hex())))
        }
        _ => None,
    }
}

fn sources(
    origin: &OriginName,
    lock: &Lock,
    archive: &dyn OpenArchive,
    text: &str,
    faults: &mut Vec<Diagnostic>,
) -> Option<()> {
    for ((recipe, index), source) in &lock.sources {
        let LockedSource::Origin { origin: of, package, version, files } = source else { continue };
        if of != origin {
            continue;
        }
        let entry = EntryRef::Source(recipe, *index);
        let pinned = format!("the pinned index of `{origin}`");
        let records = archive.sources(package.as_str()).ok()?;
        let Some(record) = records.iter().find(|record| record.version == *version) else {
            let there: Vec<&str> = records.iter().map(|record| record.version.as_str()).collect();
            let message = match &there[..] {
                [] => format!("{pinned} has no source package `{package}`"),
                there => format!("{pinned} has the source package `{package}` in version {}", there.join(", ")),
            };
            let key = if there.is_empty() { "package" } else { "version" };
            faults.push(entry.fault(text, Some(key), message).hint(MEND));
            continue;
        };
        for file in files {
            let is = record.files.iter().find(|is| is.name == file.name);
            let path = Path::new(&record.directory).join(&file.name);
            let message = match is {
                None => format!("{pinned} has no file `{}` of `{package}` {version}", file.name),
                Some(is) if is.sha256 != file.sha256 => {
                    format!("{pinned} says that `{}` has the sha256 {}", file.name, is.sha256.to_hex())
                }
                Some(is) if is.size != file.size => {
                    format!("{pinned} says that `{}` has {} bytes", file.name, is.size)
                }
                Some(_) if Path::new(&file.path) != path => {
                    format!("{pinned} has `{}` at `{}`", file.name, path.display())
                }
                Some(_) => continue,
            };
            faults.push(entry.fault(text, Some(&file.name), message).hint(MEND));
        }
    }
    Some(())
}
