//! A composed tree taken apart again into layers: what each package, the image and the finalizers bring.
//!
//! Each file, link and device is in exactly one layer. A directory is in the layer of everyone who brings it or
//! something below it, always with its final metadata. So the layers may be laid over each other in any order, and their
//! union is the composed tree. A subtree with one owner is shared with the composed tree, not copied.

use std::collections::BTreeMap;
use std::sync::Arc;

use kiln_model::{Dir, Entry};

use crate::owner::{LayerName, OwnerNode, Owners};

/// One layer.
#[derive(Debug, Clone)]
pub struct Layer {
    /// What it comes from.
    pub name: LayerName,
    /// Its files.
    pub tree: Arc<Dir>,
}

type Parts = BTreeMap<u32, Arc<Dir>>;

/// Takes `tree` apart.
pub(crate) fn split(tree: &Arc<Dir>, owners: &Owners) -> Vec<Layer> {
    // Owners share layers: all finalizers write into one, all overlays into one.
    let mut names: Vec<LayerName> = owners.list.iter().map(|owner| owner.layer()).collect();
    names.sort();
    names.dedup();
    let layer_of: Vec<u32> = owners
        .list
        .iter()
        .map(|owner| names.binary_search(&owner.layer()).map_or(u32::MAX, |place| place as u32))
        .collect();
    directory(tree, &owners.root, &layer_of)
        .into_iter()
        .filter_map(|(place, tree)| Some(Layer { name: names.get(place as usize)?.clone(), tree }))
        .collect()
}

fn directory(dir: &Arc<Dir>, node: &OwnerNode, layer_of: &[u32]) -> Parts {
    let layer = |owner: u32| layer_of[owner as usize];
    let mut parts: BTreeMap<u32, Dir> = BTreeMap::new();
    let empty = || Dir::new(dir.meta().clone());
    for holder in node.holders() {
        parts.entry(layer(holder)).or_insert_with(empty);
    }
    let mut add = |layer: u32, name: &str, entry: Entry| {
        // The name came out of a directory, where it was checked.
        let _ = parts.entry(layer).or_insert_with(empty).set_entry(name, entry);
    };
    // Only one layer brings anything here: nothing need be taken apart.
    if node.children.is_empty() && node.also.iter().all(|other| Some(layer(*other)) == node.default.map(layer)) {
        return node.default.map(|owner| (layer(owner), Arc::clone(dir))).into_iter().collect();
    }
    for (name, entry) in dir.entries() {
        let (child, default) = match node.children.get(name) {
            Some(child) => (Some(child), child.default),
            None => (None, node.default),
        };
        match (entry, child) {
            (Entry::Dir(below), Some(child)) => {
                for (layer, part) in directory(below, child, layer_of) {
                    add(layer, name, Entry::Dir(part));
                }
            }
            _ => {
                if let Some(owner) = default {
                    add(layer(owner), name, entry.clone());
                }
            }
        }
    }
    let alone = parts.len() == 1;
    parts
        .into_iter()
        .map(|(layer, part)| (layer, if alone && part == **dir { Arc::clone(dir) } else { Arc::new(part) }))
        .collect()
}
