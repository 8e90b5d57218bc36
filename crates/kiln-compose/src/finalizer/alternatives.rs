//! Alternatives: which program a generic name stands for. update-alternatives(1), automatic mode.

use std::collections::BTreeMap;

use kiln_model::facts::Alternative;
use kiln_model::{Entry, TreePath};

use super::{FinalizeContext, FinalizeError, fixed};

/// Candidates order by: the image's own first, then priority, then the smallest path.
type Rank = (bool, i32, std::cmp::Reverse<TreePath>);

pub(super) fn run(context: &mut FinalizeContext<'_>) -> Result<(), FinalizeError> {
    let request = context.request;
    let mut winners: BTreeMap<TreePath, (Rank, &Alternative)> = BTreeMap::new();
    let packages = request.members.iter().map(|member| (false, &member.facts));
    for (own, facts) in packages.chain([(true, &request.facts)]) {
        for (path, alternative) in &facts.alternatives {
            // A candidate whose program is not in the image is none.
            if !exists(context, &alternative.to) {
                continue;
            }
            let rank = (own, alternative.priority, std::cmp::Reverse(alternative.to.clone()));
            match winners.get(path) {
                Some((best, _)) if *best >= rank => {}
                _ => {
                    winners.insert(path.clone(), (rank, alternative));
                }
            }
        }
    }
    let mut links: BTreeMap<String, (TreePath, TreePath)> = BTreeMap::new();
    for (path, (_, alternative)) in winners {
        add(&mut links, path, alternative.name.as_deref(), alternative.to.clone())?;
        for (path, slave) in &alternative.slaves {
            if exists(context, &slave.to) {
                add(&mut links, path.clone(), slave.name.as_deref(), slave.to.clone())?;
            }
        }
    }
    for (name, (path, to)) in links {
        let middle = fixed("etc/alternatives").join(&name);
        let middle = middle.map_err(|e| FinalizeError::Input { path: path.clone(), why: e.to_string() })?;
        if context.is_the_images_own(&path) {
            continue;
        }
        if let Some((place, entry)) = context.work.find(&path)
            && !matches!(entry, Entry::Symlink(_))
        {
            let kind = entry.kind();
            let owner = context.work.owner(&place).unwrap_or(context.owner);
            let owner = context.work.owners.name(owner).clone();
            return Err(FinalizeError::InTheWay { path: place, owner, kind });
        }
        context.link(&middle, &to.to_string())?;
        context.link(&path, &middle.to_string())?;
    }
    Ok(())
}

fn exists(context: &FinalizeContext<'_>, path: &TreePath) -> bool {
    context.work.tree.resolve(path).is_some()
}

fn add(
    links: &mut BTreeMap<String, (TreePath, TreePath)>,
    path: TreePath,
    name: Option<&str>,
    to: TreePath,
) -> Result<(), FinalizeError> {
    let name = name.or(path.file_name()).unwrap_or_default().to_owned();
    match links.get(&name) {
        Some((first, _)) if *first != path => {
            Err(FinalizeError::AlternativeName { name, first: first.clone(), second: path })
        }
        _ => {
            links.insert(name, (path, to));
            Ok(())
        }
    }
}
