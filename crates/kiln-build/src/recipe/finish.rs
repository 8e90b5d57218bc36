//! From what a build installed to stored packages.

use std::collections::{BTreeMap, BTreeSet};

use kiln_model::package::Relations;
use kiln_model::{
    Dir, Entry, Event, Facts, FileEntry, ObjectSink, PackageName, PackageRecord, PartName, TreePath, unit,
};
use kiln_store::ActionResult;

use super::BuildAction;
use super::error::OutputError;
use super::sandboxed::Room;
use crate::disk::{Whose, ingest};
use crate::graph::Context;
use crate::needs::{self, Built, EnvironmentPackage};
use crate::output::{Forbidden, split};
use crate::package::{name_of, put_package};

/// Checks, splits and stores what is in `/out`.
pub(super) fn package(
    build: &BuildAction,
    context: &Context<'_>,
    room: &Room,
    environment: &[EnvironmentPackage],
) -> Result<ActionResult, OutputError> {
    let out = room.folders.out();
    let here = room.scratch.path().to_string_lossy().into_owned();
    let mut forbidden =
        vec![Forbidden::inside("/build"), Forbidden::for_links("/out"), Forbidden::of_this_machine(&here)];
    // What the project's own files say can come to be in the package, and so can what a tool was given.
    let project = [std::path::absolute(&build.project).ok(), build.project.canonicalize().ok()];
    let folders = project.iter().flatten().map(std::path::PathBuf::as_path).chain(build.work.root().parent());
    forbidden.extend(folders.filter_map(Forbidden::folder_here));
    let mut installed = ingest(&out, context.session, context.jobs, Whose::Kiln(&forbidden))?;
    if installed.tree.is_empty() {
        return Err(OutputError::Empty);
    }
    add_files(build, context, &mut installed.tree)?;
    warn_of_modes(build, context, &installed.special_modes);
    let claims = build.parts.iter().map(|(part, claims)| (part.as_str().to_owned(), claims.clone())).collect();
    let split = split(&installed.tree, &claims)?;
    let mut pieces = vec![Piece { part: None, name: build.name.clone(), tree: split.main }];
    let mut parts = split.parts;
    for part in build.parts.keys() {
        let name = name_of(&build.name, Some(part))?;
        let tree = parts.remove(part.as_str()).unwrap_or_default();
        pieces.push(Piece { part: Some(part.clone()), name, tree });
    }
    let built: Vec<Built<'_>> = pieces.iter().map(|piece| Built { name: &piece.name, tree: &piece.tree }).collect();
    let needs = needs::find(&built, environment, build.architecture, context.session)?;
    let mut facts = share_facts(&build.facts, &pieces);
    let mut result = ActionResult::default();
    for (index, (piece, needs)) in pieces.iter().zip(needs).enumerate() {
        let record = PackageRecord {
            name: piece.name.clone(),
            version: build.version.clone(),
            origin: None,
            architecture: Some(build.architecture),
            source: Some((build.name.to_string(), build.version.clone())),
            tree: piece.tree.id(),
            facts: facts.remove(&index).unwrap_or_default(),
            relations: Relations::default(),
            conffiles: BTreeSet::new(),
            hooks: Vec::new(),
            listing: Vec::new(),
            runtime: needs.packages.into_iter().collect(),
        };
        put_package(context.session, &mut result, piece.part.as_ref(), &record, &piece.tree, &needs.recipes)?;
    }
    Ok(result)
}

/// Adds the files that the recipe itself brings.
fn add_files(build: &BuildAction, context: &Context<'_>, tree: &mut Dir) -> Result<(), OutputError> {
    for (path, bytes) in &build.added {
        let object = context.session.put(bytes).map_err(crate::package::PackageError::from)?;
        let entry = Entry::File(FileEntry::plain(object, bytes.len() as u64, false));
        if tree.get(path).is_some_and(|there| *there != entry) || tree.insert(path, entry).is_err() {
            return Err(OutputError::AddedTwice(path.clone()));
        }
    }
    Ok(())
}

struct Piece {
    part: Option<PartName>,
    name: PackageName,
    tree: Dir,
}

fn warn_of_modes(build: &BuildAction, context: &Context<'_>, paths: &[TreePath]) {
    let declared = |path: &TreePath| build.facts.permissions.get(path).is_some_and(|p| p.mode.is_some());
    for path in paths.iter().filter(|path| !declared(path)) {
        context.reporter.report(Event::Warning {
            message: format!("{}: `{path}` was installed with a special mode, which is not kept", build.name),
            hint: Some(format!(
                "if it is needed, declare it: `facts: {{ permissions: {{ {path}: {{ mode: \"4755\" }} }} }}`"
            )),
        });
    }
}

/// Gives each piece the facts about its own files, and the package itself all others.
fn share_facts(facts: &Facts, pieces: &[Piece]) -> BTreeMap<usize, Facts> {
    let owner = |path: &TreePath| pieces.iter().position(|piece| piece.tree.get(path).is_some()).unwrap_or(0);
    let mut shared: BTreeMap<usize, Facts> = BTreeMap::new();
    let mut rest = facts.clone();
    for (path, permission) in std::mem::take(&mut rest.permissions) {
        shared.entry(owner(&path)).or_default().permissions.insert(path, permission);
    }
    for (path, alternative) in std::mem::take(&mut rest.alternatives) {
        shared.entry(owner(&alternative.to)).or_default().alternatives.insert(path, alternative);
    }
    for (name, service) in std::mem::take(&mut rest.services) {
        let path = unit::packaged_path(&name, service.user);
        let piece = path.map_or(0, |path| owner(&path));
        shared.entry(piece).or_default().services.insert(name, service);
    }
    let own = shared.entry(0).or_default();
    rest.services = std::mem::take(&mut own.services);
    rest.permissions = std::mem::take(&mut own.permissions);
    rest.alternatives = std::mem::take(&mut own.alternatives);
    *own = rest;
    shared
}
