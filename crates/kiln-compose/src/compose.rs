//! Packages, overlays and the image's own files, composed to one tree.
//!
//! The steps, each a function of what came before: merged `/usr`; diversions; union of packages; what packages declare; overlays,
//! lowest priority first; the image's files; what the image declares; accounts and their numbers; permissions;
//! finalizers; layers. No step looks at an order, a clock or a disk, so equal sets give equal trees.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kiln_model::{Dir, Entry, FileEntry, ObjectSink, ObjectSource, PackageRef, TreePath};

use crate::AccountIds;
use crate::accounts::{self, Accounts, Sources};
use crate::answers;
use crate::closure::Knowledge;
use crate::diversion::{Diversions, Moved};
use crate::error::{ComposeError, Conflict, Conflicts};
use crate::facts;
use crate::finalizer::tool::{self, ToolRunner};
use crate::finalizer::{self, FinalizeContext};
use crate::hooks;
use crate::layers::{self, Layer};
use crate::owner::{Owner, OwnerId, Owners};
use crate::reading;
use crate::relation::Replaces;
use crate::request::{Member, Overlay, Request};
use crate::trigger;
use crate::union::{Clash, Precedence, unite};
use crate::usrmerge;
use crate::work::{PlaceError, Work};

/// A composed image.
#[derive(Debug, Clone)]
pub struct Composition {
    /// The whole tree, with numeric owners, modes and attributes.
    pub tree: Arc<Dir>,
    /// The tree taken apart, what changes least first.
    pub layers: Vec<Layer>,
    /// Who brings each path.
    pub owners: Owners,
    /// Every user and group.
    pub accounts: Accounts,
    /// Numbers that nothing declares: the lock keeps them.
    pub allotted: AccountIds,
    /// What the user should know, in order.
    pub warnings: Vec<Warning>,
}

/// Something the user should know of a composition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// What.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Composes an image.
///
/// `tools` runs what finalizers need a program of the image for; see [`finalizer::tool`].
///
/// # Errors
/// When the set does not fit together, or a tool fails; nothing is written but objects.
pub fn compose(
    request: &Request,
    source: &dyn ObjectSource,
    sink: &dyn ObjectSink,
    tools: &dyn ToolRunner,
) -> Result<Composition, ComposeError> {
    for name in &request.without {
        if finalizer::TABLE.iter().all(|finalizer| finalizer.name != name) {
            return Err(ComposeError::NoSuchFinalizer(name.clone()));
        }
    }
    let read = reading::read(request, source)?;
    let request = read.as_ref().unwrap_or(request);
    let triggers = trigger::account(request, source)?;
    hooks::check(request, &triggers).map_err(|faults| ComposeError::Hooks(Box::new(faults)))?;
    answers::check(request, source)?;
    let members = sorted_members(request)?;
    let mut work = Work::default();
    let members: Vec<(OwnerId, &Member)> =
        members.into_iter().map(|(reference, member)| (work.owners.id(Owner::Package(reference)), member)).collect();
    unite_members(&mut work, &members, request)?;
    let mut permissions = facts::apply_members(&mut work, &members, sink)?;
    lay_overlays(&mut work, &request.overlays)?;
    let image = work.owners.id(Owner::Image);
    let place_error = |source| ComposeError::Place { by: Owner::Image, source };
    for (path, file) in &request.files {
        let place = work.place(path).map_err(place_error)?;
        if let Some(Entry::Dir(_)) = work.tree.get(&place) {
            return Err(place_error(PlaceError::Directory(place)));
        }
        let mut entry = FileEntry::plain(file.object, file.size, false);
        entry.meta.mode = file.mode.bits();
        work.put(&place, Entry::File(entry), image).map_err(place_error)?;
        facts::image_file(&mut permissions, image, &place, &file.owner, &file.group);
    }
    facts::apply_image(&mut work, image, &request.facts, &mut permissions)?;
    facts::apply_elsewhere(&work, &members, &mut permissions);

    let mut warnings = Vec::new();
    let references = permissions.references(&work);
    let (accounts, faults) = resolve_accounts(&work, &members, request, references, source)?;
    warnings.extend(faults.into_iter().map(|message| Warning { message, hint: None }));
    facts::apply_permissions(&mut work, &permissions, &accounts)?;

    let knowledge = Knowledge::new(members.iter().map(|(_, member)| &*member.analysis), source);
    let mut pending = Vec::new();
    for finalizer in finalizer::TABLE {
        if request.without.contains(finalizer.name) {
            continue;
        }
        let owner = work.owners.id(Owner::Finalizer(finalizer.name));
        let mut context = FinalizeContext {
            work: &mut work,
            owner,
            source,
            sink,
            knowledge: &knowledge,
            accounts: &accounts,
            request,
            warnings: &mut warnings,
            pending: &mut pending,
        };
        (finalizer.run)(&mut context).map_err(|source| ComposeError::Finalizer { name: finalizer.name, source })?;
    }
    run_tools(&mut work, &pending, &accounts, tools)?;
    warnings.extend(trigger::unserved(request, &triggers));
    warnings.sort();
    warnings.dedup();
    let tree = Arc::new(work.tree);
    let layers = layers::split(&tree, &work.owners);
    let allotted = accounts.allotted.clone();
    Ok(Composition { tree, layers, owners: work.owners, accounts, allotted, warnings })
}

/// Runs the tools that finalizers asked for, and puts what they wrote in its place.
fn run_tools(
    work: &mut Work,
    pending: &[tool::Pending],
    accounts: &Accounts,
    tools: &dyn ToolRunner,
) -> Result<(), ComposeError> {
    if pending.is_empty() {
        return Ok(());
    }
    let requests: Vec<_> = pending.iter().map(|pending| pending.request().clone()).collect();
    for (pending, answer) in pending.iter().zip(tools.run(&requests)) {
        let failed = |source| ComposeError::Finalizer { name: pending.name(), source };
        let written = answer.map_err(|error| failed(error.into()))?;
        tool::settle(pending, &written, work, accounts).map_err(failed)?;
    }
    Ok(())
}

/// The members in order of name, each once.
fn sorted_members(request: &Request) -> Result<BTreeMap<PackageRef, &Member>, ComposeError> {
    let mut members: BTreeMap<PackageRef, &Member> = BTreeMap::new();
    for member in &request.members {
        let reference = member.reference();
        if let Some(other) = members.get(&reference)
            && (other.record != member.record || other.tree.id() != member.tree.id())
        {
            let mut versions = [other, &member].map(|m| {
                let architecture = m.record.architecture.map_or("all", |a| a.as_str());
                format!("{} ({architecture})", m.record.version)
            });
            versions.sort();
            let [first, second] = versions;
            return Err(ComposeError::Twice { package: reference, first, second });
        }
        members.insert(reference, member);
    }
    Ok(members)
}

fn conflicts(clashes: Vec<Clash>, owners: &Owners) -> ComposeError {
    let conflict = |clash: Clash| Conflict {
        path: clash.path,
        claims: clash
            .claims
            .into_iter()
            .map(|(owner, claim)| (owners.name(owner).clone(), format!("{} ({})", claim.kind, claim.detail)))
            .collect(),
    };
    ComposeError::Conflicts(Conflicts(clashes.into_iter().map(conflict).collect()))
}

fn unite_members(work: &mut Work, members: &[(OwnerId, &Member)], request: &Request) -> Result<(), ComposeError> {
    let merged = usrmerge::Merged::of(members.iter().map(|(_, member)| &*member.tree));
    let diversions = Diversions::of(members, request, &merged).map_err(ComposeError::Diversion)?;
    let mut moved = Moved::default();
    let trees: Vec<(OwnerId, Arc<Dir>)> = members
        .iter()
        .map(|(owner, member)| (*owner, diversions.apply(*owner, merged.relocate(&member.tree), &mut moved)))
        .collect();
    diversions.check(&moved).map_err(ComposeError::Diversion)?;
    work.owners.moved = moved;
    let mut winners = BTreeMap::new();
    for (path, package) in &request.replace {
        let winner = members.iter().find(|(_, member)| member.reference() == *package);
        let why = "the package is not in the image";
        let idle = || ComposeError::IdleReplace { path: path.clone(), package: package.clone(), why };
        winners.insert(merged.path(path), winner.ok_or_else(idle)?.0);
    }
    let replaces = Replaces::of(members);
    let precedence = Precedence { replaces: &|a, b| replaces.holds(a, b), winners: &winners };
    let borrowed: Vec<(OwnerId, &Arc<Dir>)> = trees.iter().map(|(owner, tree)| (*owner, tree)).collect();
    let union = unite(&borrowed, &precedence);
    if !union.clashes.is_empty() {
        return Err(conflicts(union.clashes, &work.owners));
    }
    for (path, package) in &request.replace {
        if !union.used_winners.contains(&merged.path(path)) {
            let why = "no two packages claim the path with different content";
            return Err(ComposeError::IdleReplace { path: path.clone(), package: package.clone(), why });
        }
    }
    work.tree = Dir::clone(&union.tree);
    work.owners.root = union.owners;
    let owner = work.owners.id(Owner::Finalizer(usrmerge::NAME));
    merged.link(work, owner).map_err(|source| ComposeError::Place { by: Owner::Finalizer(usrmerge::NAME), source })
}

/// Lays overlays over the packages, lowest priority first. Those of one priority must not differ.
fn lay_overlays(work: &mut Work, overlays: &[Overlay]) -> Result<(), ComposeError> {
    let mut names = BTreeSet::new();
    let mut by_priority: BTreeMap<i32, Vec<&Overlay>> = BTreeMap::new();
    for overlay in overlays {
        if !names.insert(&overlay.name) {
            return Err(ComposeError::OverlayTwice(overlay.name.clone()));
        }
        by_priority.entry(overlay.priority).or_default().push(overlay);
    }
    for mut group in by_priority.into_values() {
        group.sort_by(|a, b| a.name.cmp(&b.name));
        let trees: Vec<(OwnerId, &Arc<Dir>)> =
            group.iter().map(|overlay| (work.owners.id(Owner::Overlay(overlay.name.clone())), &overlay.tree)).collect();
        let union = unite(&trees, &Precedence { replaces: &|_, _| false, winners: &BTreeMap::new() });
        if !union.clashes.is_empty() {
            return Err(conflicts(union.clashes, &work.owners));
        }
        for (path, entry) in union.tree.walk() {
            let owner = union.owners.get(&path).unwrap_or_default();
            lay(work, &path, entry, owner)
                .map_err(|source| ComposeError::Place { by: work.owners.name(owner).clone(), source })?;
        }
    }
    Ok(())
}

fn lay(work: &mut Work, path: &TreePath, entry: &Entry, owner: OwnerId) -> Result<(), PlaceError> {
    let place = work.place(path)?;
    let there = work.tree.get(&place);
    let Entry::Dir(dir) = entry else {
        return match there {
            Some(Entry::Dir(_)) => Err(PlaceError::Directory(place)),
            _ => work.put(&place, entry.clone(), owner).map(drop),
        };
    };
    let place = match there {
        // A link to a directory is followed: `/bin` of an overlay goes where the image's `/bin` leads.
        Some(Entry::Symlink(_)) => match work.tree.resolve(&place) {
            Some((resolved, Some(Entry::Dir(_)))) => resolved,
            _ => return work.put(&place, Entry::Dir(Arc::new(Dir::new(dir.meta().clone()))), owner).map(drop),
        },
        None | Some(Entry::Dir(_)) => place,
        Some(_) => return work.put(&place, Entry::Dir(Arc::new(Dir::new(dir.meta().clone()))), owner).map(drop),
    };
    work.make_dir(&place, owner)?;
    if !dir.meta().is_default(0o755) {
        work.set_meta(&place, dir.meta().clone());
    }
    Ok(())
}

fn resolve_accounts(
    work: &Work,
    members: &[(OwnerId, &Member)],
    request: &Request,
    references: Vec<accounts::Reference>,
    source: &dyn ObjectSource,
) -> Result<(Accounts, Vec<String>), ComposeError> {
    let read = |candidates: [&str; 2]| -> Result<Option<(TreePath, Vec<u8>)>, ComposeError> {
        for candidate in candidates {
            let path: TreePath = candidate.parse().unwrap_or_default();
            if let Some((place, Some(Entry::File(file)))) = work.tree.resolve(&path) {
                return Ok(Some((place, source.read(&file.object)?)));
            }
        }
        Ok(None)
    };
    let mut sysusers: BTreeMap<String, (TreePath, Vec<u8>)> = BTreeMap::new();
    // A file of one name in `/etc` replaces the one in `/usr/lib`: sysusers.d(5).
    for folder in ["usr/lib/sysusers.d", "etc/sysusers.d"] {
        let folder: TreePath = folder.parse().unwrap_or_default();
        for (name, entry) in work.tree.dir(&folder).into_iter().flat_map(Dir::entries) {
            if let Entry::File(file) = entry
                && name.ends_with(".conf")
            {
                let path = folder.join(name).unwrap_or_default();
                sysusers.insert(name.to_owned(), (path, source.read(&file.object)?));
            }
        }
    }
    let exists = |path: &str| {
        let path = path.parse().unwrap_or_default();
        matches!(work.tree.resolve(&path), Some((_, Some(Entry::File(_)))))
    };
    let root_shell = ["/bin/bash", "/bin/sh"].into_iter().find(|shell| exists(&shell[1..]));
    let sources = Sources {
        facts: members.iter().map(|(owner, member)| (work.owners.name(*owner).to_string(), &member.facts)).collect(),
        image: Some(&request.facts),
        passwd: read(["etc/passwd", "usr/share/base-passwd/passwd.master"])?,
        group: read(["etc/group", "usr/share/base-passwd/group.master"])?,
        sysusers: sysusers.into_values().collect(),
        references,
        locked: request.locked.clone(),
        root_shell: root_shell.unwrap_or("/usr/sbin/nologin").to_owned(),
    };
    Ok(accounts::resolve(&sources)?)
}
