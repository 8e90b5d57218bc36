//! Paths as a hook writes them, and what is there.

use kiln_model::TreePath;

use crate::state::{Effects, MadeKind};
use crate::world::{Seen, World};

/// A path from the root, without `.`, `..` and doubled slashes.
pub(crate) fn absolute(directory: &str, path: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{directory}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// An absolute path as a path of the image.
pub(crate) fn tree(path: &str) -> Option<TreePath> {
    TreePath::from_absolute(&absolute("/", path)).ok()
}

/// Where links end that the hook made. Those that packages ship are followed where the image is put together.
pub(crate) fn end_of_links(effects: &Effects, mut path: TreePath) -> TreePath {
    for _ in 0..MOST_LINKS {
        let Some(MadeKind::Link(target)) = effects.made.get(&path).map(|made| &made.kind) else { break };
        let folder = path.parent().map(|folder| folder.to_string()).unwrap_or_default();
        let Some(end) = tree(&absolute(&folder, target)) else { break };
        path = end;
    }
    path
}

/// Links are followed this often.
const MOST_LINKS: usize = 20;

/// What is at an absolute path.
pub(crate) fn seen(world: &dyn World, effects: &Effects, path: &str, follow: bool) -> Option<Seen> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let at = tree(&path)?;
        if let Some(made) = effects.made.get(&at) {
            return match &made.kind {
                MadeKind::Directory => Some(Seen::Directory),
                MadeKind::Link(target) if follow => {
                    let folder = at.parent().map(|folder| folder.to_string()).unwrap_or_default();
                    path = absolute(&folder, target);
                    continue;
                }
                MadeKind::Link(target) => Some(Seen::Link(target.clone())),
                MadeKind::Text(text) => Some(Seen::File { executable: false, size: text.len() as u64 }),
                MadeKind::Copy(from) => match world.entry(from, true) {
                    Some(file @ Seen::File { .. }) => Some(file),
                    _ => Some(Seen::File { executable: false, size: 1 }),
                },
                MadeKind::Unknown(_) | MadeKind::OfMachine(_) => Some(Seen::File { executable: false, size: 1 }),
            };
        }
        if effects.removed.contains(&at) {
            return None;
        }
        if let Some(found) = world.entry(&at, follow) {
            return Some(found);
        }
        // A generic name that the hook made an alternative of leads to the candidate.
        let (generic, alternative) = effects.facts.alternatives.iter().find(|(generic, _)| at.starts_with(generic))?;
        if at == *generic && !follow {
            let name = alternative.name.as_deref().or(generic.file_name()).unwrap_or_default();
            return Some(Seen::Link(format!("/etc/alternatives/{name}")));
        }
        path = format!("{}{}", alternative.to, &at.to_string()[generic.to_string().len()..]);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_from_the_root_without_detours() {
        assert_eq!(absolute("/etc", "x/./y//z"), "/etc/x/y/z");
        assert_eq!(absolute("/etc", "/a/../../b"), "/b");
        assert_eq!(absolute("/", "a"), "/a");
    }
}
