//! Walking a tree without recursion.

use std::collections::btree_map;

use super::{Dir, Entry};
use crate::TreePath;

/// See [`Dir::walk`].
#[derive(Debug)]
pub struct Walk<'a> {
    stack: Vec<(TreePath, btree_map::Iter<'a, Box<str>, Entry>)>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(dir: &'a Dir) -> Self {
        Self { stack: vec![(TreePath::root(), dir.entries.iter())] }
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = (TreePath, &'a Entry);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (parent, entries) = self.stack.last_mut()?;
            let Some((name, entry)) = entries.next() else {
                self.stack.pop();
                continue;
            };
            // Every name was checked when it was set, so joining cannot fail; a path past 4096 bytes still walks.
            let path = parent.join(name).unwrap_or_default();
            if let Entry::Dir(dir) = entry {
                self.stack.push((path.clone(), dir.entries.iter()));
            }
            return Some((path, entry));
        }
    }
}
