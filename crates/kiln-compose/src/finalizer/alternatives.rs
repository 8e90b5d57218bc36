//! Alternatives: which program a generic name stands for. update-alternatives(1), automatic mode.

use std::collections::BTreeMap;

use kiln_model::facts::Alternative;
use kiln_model::{Entry, TreePath};

use super::{FinalizeContext, FinalizeError, fixed};

/// Candidates order by: the image's own first, then priority, then the smallest path.
type Rank = (bool, i32, std::cmp::Reverse<TreePath>);

/// A link may lead through another alternative, so what is found behind the links that were made counts in the next round.
const MOST_ROUNDS: usize = 8;

pub(super) fn run(context: &mut FinalizeContext<'_>) -> Result<(), FinalizeError> {
    let mut warnings = Vec::new();
    let mut before = BTreeMap::new();
    for _ in 0..MOST_ROUNDS {
        warnings.clear();
        let links = links(context, &mut warnings);
        if links == before {
            break;
        }
        make(context, &links)?;
        before = links;
    }
    warnings.into_iter().for_each(|(message, hint)| context.warn(message, Some(hint)));
    Ok(())
}

/// Generic names and what they lead to, by their names in `/etc/alternatives`.
type Links = BTreeMap<String, (TreePath, TreePath)>;

fn links(context: &FinalizeContext<'_>, warnings: &mut Vec<(String, String)>) -> Links {
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
    let mut links = Links::new();
    // One name is one alternative, whose generic name update-alternatives(1) moves to what was last installed. No order has
    // a say here: the best candidate's generic name it is.
    let mut winners: Vec<(TreePath, (Rank, &Alternative))> = winners.into_iter().collect();
    winners.sort_by(|(_, (one, _)), (_, (other, _))| other.cmp(one));
    for (path, (_, alternative)) in winners {
        if !add(&mut links, path, alternative.name.as_deref(), alternative.to.clone(), warnings) {
            continue;
        }
        for (path, slave) in &alternative.slaves {
            if exists(context, &slave.to) {
                add(&mut links, path.clone(), slave.name.as_deref(), slave.to.clone(), warnings);
            }
        }
    }
    links
}

fn make(context: &mut FinalizeContext<'_>, links: &Links) -> Result<(), FinalizeError> {
    for (name, (path, to)) in links {
        let middle = fixed("etc/alternatives").join(name);
        let middle = middle.map_err(|e| FinalizeError::Input { path: path.clone(), why: e.to_string() })?;
        if context.is_the_images_own(path) {
            continue;
        }
        if let Some((place, entry)) = context.work.find(path)
            && !matches!(entry, Entry::Symlink(_))
        {
            let kind = entry.kind();
            let owner = context.work.owner(&place).unwrap_or(context.owner);
            let owner = context.work.owners.name(owner).clone();
            return Err(FinalizeError::InTheWay { path: place, owner, kind });
        }
        context.link(&middle, &to.to_string())?;
        context.link(path, &middle.to_string())?;
    }
    Ok(())
}

fn exists(context: &FinalizeContext<'_>, path: &TreePath) -> bool {
    context.work.tree.resolve(path).is_some()
}

/// Adds a link, unless its name is that of another: that is told.
fn add(
    links: &mut Links,
    path: TreePath,
    name: Option<&str>,
    to: TreePath,
    warnings: &mut Vec<(String, String)>,
) -> bool {
    let name = name.or(path.file_name()).unwrap_or_default().to_owned();
    match links.get(&name) {
        Some((first, _)) if *first != path => {
            let message = format!("alternatives `{first}` and `{path}` are both named `{name}`: `{path}` is left out");
            let hint = "give one of them another `name`, or link it by `facts: { links: ... }`".to_owned();
            warnings.push((message, hint));
            false
        }
        _ => {
            links.insert(name, (path, to));
            true
        }
    }
}
