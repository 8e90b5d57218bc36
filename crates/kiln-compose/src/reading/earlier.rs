//! What other packages' hooks made before a package's own run: those of the packages that it depends on.
//!
//! dpkg configures what a package depends on before the package (policy 7.2). Of all others nobody can tell whether they
//! come before or after, so what they make is not there: no order of packages has a say. Two that depend on each other are
//! of those others.

use std::collections::{BTreeMap, BTreeSet};

use kiln_hooks::{Earlier, Seen};
use kiln_model::{ArchiveKind, Dir, Entry, ObjectError, ObjectSource, TreePath};

use crate::accounts;
use crate::request::Member;

/// Which packages come before each one, by their places in the list: all that it depends on, and what those depend on.
pub(super) struct Order(Vec<BTreeSet<usize>>);

impl Order {
    pub fn of(members: &[Member]) -> Self {
        let mut named: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
        for (at, member) in members.iter().enumerate() {
            if member.record.relations.syntax != ArchiveKind::Deb {
                continue;
            }
            named.entry(member.record.name.as_str()).or_default().insert(at);
            for name in member.record.relations.provides.split(',').map(bare).filter(|name| !name.is_empty()) {
                named.entry(name).or_default().insert(at);
            }
        }
        let needs = |member: &Member| -> BTreeSet<usize> {
            let groups = member.record.relations.depends.split(',');
            let groups = groups.map(|group| {
                let found = group.split('|').filter_map(|name| named.get(bare(name)));
                found.flatten().copied().collect::<BTreeSet<usize>>()
            });
            // Of several that will do, one is enough.
            groups.filter(|found| found.len() == 1).flatten().collect()
        };
        Self::closed(&members.iter().map(needs).collect::<Vec<_>>())
    }

    fn closed(needs: &[BTreeSet<usize>]) -> Self {
        let reached = |member: usize| {
            let (mut found, mut next) = (BTreeSet::new(), vec![member]);
            while let Some(at) = next.pop() {
                next.extend(needs[at].iter().copied().filter(|other| found.insert(*other)));
            }
            found
        };
        let reached: Vec<BTreeSet<usize>> = (0..needs.len()).map(reached).collect();
        let before = |at: usize| reached[at].iter().copied().filter(|other| !reached[*other].contains(&at)).collect();
        Self((0..needs.len()).map(before).collect())
    }

    /// What is there before the hooks of one run, of what each brings.
    pub fn earlier(&self, member: usize, brought: &[Earlier]) -> Earlier {
        let mut earlier = Earlier::default();
        for other in self.0[member].iter().map(|other| &brought[*other]) {
            earlier.users.extend(other.users.iter().cloned());
            earlier.groups.extend(other.groups.iter().cloned());
            earlier.made.extend(other.made.iter().map(|(path, seen)| (path.clone(), seen.clone())));
        }
        earlier
    }
}

/// What a package brings besides its files: what its hooks make, and the accounts that it declares.
pub(super) fn brought(member: &Member, source: &dyn ObjectSource) -> Result<Earlier, ObjectError> {
    let facts = &member.facts;
    let mut brought = Earlier::default();
    brought.users.extend(facts.users.keys().map(ToString::to_string));
    let own_groups = facts.users.iter().filter(|(_, user)| user.group.is_none()).map(|(name, _)| name);
    brought.groups.extend(facts.groups.keys().chain(own_groups).map(ToString::to_string));
    let folder: TreePath = "usr/lib/sysusers.d".parse().unwrap_or_default();
    for (name, entry) in member.tree.dir(&folder).into_iter().flat_map(Dir::entries) {
        if let Entry::File(file) = entry
            && name.ends_with(".conf")
        {
            let (users, groups) = accounts::declared_by_sysusers(&source.read(&file.object)?);
            brought.users.extend(users);
            brought.groups.extend(groups);
        }
    }
    let made = facts.directories.keys().map(|path| (path.clone(), Seen::Directory));
    let files = facts.files.keys().map(|path| (path.clone(), Seen::File { executable: false, size: 1 }));
    let links = facts.links.iter().map(|(path, target)| (path.clone(), Seen::Link(target.clone())));
    brought.made.extend(made.chain(files).chain(links));
    Ok(brought)
}

/// A name of a relation, without version and architecture.
fn bare(text: &str) -> &str {
    text.trim().split([' ', '(', ':', '[', '<']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(needs: &[&[usize]]) -> Order {
        Order::closed(&needs.iter().map(|needs| needs.iter().copied().collect()).collect::<Vec<_>>())
    }

    #[test]
    fn what_a_package_depends_on_comes_before_it_and_what_depends_on_it_does_not() {
        let order = order(&[&[1], &[2], &[], &[0]]);
        assert_eq!(order.0[0], BTreeSet::from([1, 2]));
        assert_eq!(order.0[2], BTreeSet::new());
    }

    #[test]
    fn of_packages_that_depend_on_each_other_none_comes_before_the_other() {
        let order = order(&[&[1], &[0, 2], &[]]);
        assert_eq!((&order.0[0], &order.0[1]), (&BTreeSet::from([2]), &BTreeSet::from([2])));
    }

    #[test]
    fn names_of_relations_are_without_versions() {
        assert_eq!([" a (>= 1)", "b:any", "c [amd64]"].map(bare), ["a", "b", "c"]);
    }
}
