//! `extends:`: from the files of `images/` to whole images.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::{Place, Problem};
use crate::yaml::{Node, Reader, Scalars, Value, did_you_mean, merge};

/// The longest way from an image to what it extends.
const DEEPEST: usize = 32;

/// A file of `images/`, parsed.
#[derive(Debug, Clone)]
pub struct ImageFile {
    /// Its name below `images/`: `web.yaml`.
    pub name: String,
    /// What it says.
    pub node: Node,
}

/// Lays every image on what it extends. Gives the images, those files that have a `name`, by file; notes cycles, files
/// that are missing, and files that are no image and that no image extends.
#[must_use]
pub fn flatten<'f>(reader: &Reader<'_>, files: &'f [ImageFile]) -> Vec<(&'f ImageFile, Node)> {
    let by_name: BTreeMap<&str, &ImageFile> = files.iter().map(|file| (&*file.name, file)).collect();
    let mut reached = BTreeSet::new();
    let mut images = Vec::new();
    for file in files {
        if file.node.get("name").is_none() {
            continue;
        }
        let mut walk = Walk { reader, files: &by_name, order: Vec::new(), done: BTreeSet::new(), path: Vec::new() };
        // What is wrong besides in a file that extends what it cannot is told all the same.
        if !walk.visit(file) && walk.order.last().is_none_or(|last| last.name != file.name) {
            walk.order.push(file);
        }
        let (last, under) = walk.order.split_last().expect("the image itself was visited");
        reached.extend(under.iter().map(|file| &*file.name));
        let mut problems = Vec::new();
        let mut node: Option<Node> = None;
        for layer in under {
            node = Some(lay(node, layer.node.clone(), &mut problems));
        }
        let node = lay(node, last.node.clone(), &mut problems);
        problems.into_iter().for_each(|problem| reader.report(problem));
        images.push((file, node));
    }
    for file in files.iter().filter(|file| file.node.get("name").is_none()) {
        if matches!(file.node.value, Value::Map(_)) && !reached.contains(&*file.name) && reader.count() == 0 {
            let problem = Problem::new(file.node.place, "no image extends this file, and it has no `name` to be one");
            reader.report(problem.hint("add `name:`, extend it, or remove it"));
        }
    }
    images
}

fn lay(under: Option<Node>, mut over: Node, problems: &mut Vec<Problem>) -> Node {
    // What a file extends is its own matter, and has been followed.
    if let Value::Map(entries) = &mut over.value {
        entries.retain(|(key, _)| &*key.text != "extends");
    }
    match under {
        Some(under) => merge(under, over, Scalars::MarkReplaced, problems),
        None => over,
    }
}

struct Walk<'w, 's, 'f> {
    reader: &'w Reader<'s>,
    files: &'w BTreeMap<&'f str, &'f ImageFile>,
    /// What is extended, before what extends it.
    order: Vec<&'f ImageFile>,
    done: BTreeSet<&'f str>,
    path: Vec<(&'f str, Place)>,
}

impl<'f> Walk<'_, '_, 'f> {
    /// Follows what a file extends; false when it cannot be followed.
    fn visit(&mut self, file: &'f ImageFile) -> bool {
        if self.done.contains(&*file.name) {
            return true;
        }
        let mut sound = true;
        let list = file.node.get("extends").and_then(|list| self.reader.list(list)).unwrap_or_default();
        for item in list {
            let Some(name) = self.reader.text(item) else {
                sound = false;
                continue;
            };
            let cycle = self.path.iter().map(|(name, _)| *name).chain([&*file.name]).position(|seen| seen == name);
            if let Some(start) = cycle {
                let mut names: Vec<&str> = self.path.iter().skip(start).map(|(name, _)| *name).collect();
                names.extend([&*file.name, name]);
                let message = format!("these files extend each other: {}", quoted(&names, " → "));
                self.reader.report(Problem::new(item.place, message));
                return false;
            }
            let Some(next) = self.files.get(name).copied() else {
                let hint = did_you_mean(name, "there are", self.files.keys().copied());
                let problem = Problem::new(item.place, format!("there is no `images/{name}`"));
                self.reader.report(problem.maybe_hint(hint));
                sound = false;
                continue;
            };
            if self.path.len() >= DEEPEST {
                let message = format!("this is extended through more than {DEEPEST} files");
                self.reader.report(Problem::new(item.place, message));
                return false;
            }
            self.path.push((&file.name, item.place));
            sound &= self.visit(next);
            self.path.pop();
        }
        self.done.insert(&file.name);
        self.order.push(file);
        sound
    }
}

fn quoted(names: &[&str], between: &str) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(between)
}
