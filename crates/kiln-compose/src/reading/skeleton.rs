//! What hooks of Essential packages make: every other hook may count on it (policy 3.8), and may change a file of it.
//!
//! Such a file stays its maker's; what it says is what the last hook leaves that changes it. No order of packages has a say:
//! where several hooks change one file, or one reads what another changes, all orders are gone through, and where they do
//! not come to the same that is told, and the file stays as its maker has it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use kiln_hooks::{Became, Place, Seen, Unfollowed};
use kiln_model::facts::{File, FileContent};
use kiln_model::{Facts, ObjectError, TreePath};

use crate::request::Member;

/// The package whose hook makes what those of the others that are Essential may count on.
const FIRST: &str = "base-files";

/// So many packages may have to do with one file; the orders of more are not gone through.
const MOST_TOGETHER: usize = 4;

/// The places of the first package, and of the others that are Essential.
pub(super) fn makers(members: &[Member]) -> (Option<usize>, Vec<usize>) {
    let is_essential =
        |member: &Member| member.record.listing.iter().any(|(name, value)| name == "Essential" && value == "yes");
    let first = members.iter().position(|member| member.record.name.as_str() == FIRST);
    let others = members.iter().enumerate().filter(|(at, member)| Some(*at) != first && is_essential(member));
    (first, others.map(|(at, _)| at).collect())
}

/// What some packages declare, as others see it.
#[derive(Debug, Clone, Default)]
pub(super) struct Skeleton {
    links: BTreeMap<TreePath, String>,
    directories: BTreeSet<TreePath>,
    /// Each with its maker.
    files: BTreeMap<TreePath, (usize, FileContent)>,
    /// The files whose content was asked for.
    asked: RefCell<BTreeSet<TreePath>>,
}

impl Skeleton {
    pub fn of(members: &[Member], makers: impl IntoIterator<Item = usize>) -> Self {
        let mut skeleton = Self::default();
        for maker in makers {
            let Facts { links, directories, files, .. } = &members[maker].facts;
            skeleton.links.extend(links.clone());
            skeleton.directories.extend(directories.keys().cloned());
            skeleton.files.extend(files.iter().map(|(path, file)| (path.clone(), (maker, file.content.clone()))));
        }
        skeleton
    }

    /// What is at a path; `size` knows how large files are that packages ship.
    pub fn seen(&self, path: &TreePath, size: impl Fn(&TreePath) -> u64) -> Option<Seen> {
        if let Some(target) = self.links.get(path) {
            return Some(Seen::Link(target.clone()));
        }
        if let Some((_, content)) = self.files.get(path) {
            let size = match content {
                FileContent::Content(text) => text.len() as u64,
                FileContent::Copy(from) => size(from),
            };
            return Some(Seen::File { executable: false, size });
        }
        self.directories.iter().any(|declared| declared.starts_with(path)).then_some(Seen::Directory)
    }

    pub fn has_file(&self, path: &TreePath) -> bool {
        self.files.contains_key(path)
    }

    pub fn content(&self, path: &TreePath) -> Option<FileContent> {
        let (_, content) = self.files.get(path)?;
        self.asked.borrow_mut().insert(path.clone());
        Some(content.clone())
    }

    /// The files whose content was asked for since the last time.
    pub fn take_asked(&self) -> BTreeSet<TreePath> {
        self.asked.take()
    }

    /// The same with another content of a file.
    fn with(&self, path: &TreePath, content: &FileContent) -> Self {
        let mut changed = self.clone();
        if let Some((_, old)) = changed.files.get_mut(path) {
            old.clone_from(content);
        }
        changed
    }
}

/// Reads a member anew, against what the given function makes of the skeleton that it counts on.
pub(super) type ReadAnew<'a> = &'a dyn Fn(usize, &dyn Fn(&Skeleton) -> Skeleton) -> Result<Member, ObjectError>;

/// What comes of a file when the hooks of some members go one after the other.
#[derive(PartialEq)]
struct End {
    content: FileContent,
    /// What each of them declares besides.
    others: BTreeMap<usize, Facts>,
}

/// Puts what hooks make of files of the skeleton where it belongs. `asked` are those that each member read.
pub(super) fn change(
    members: &mut [Member],
    skeleton: &Skeleton,
    asked: &BTreeMap<usize, BTreeSet<TreePath>>,
    read_anew: ReadAnew<'_>,
) -> Result<(), ObjectError> {
    for (path, (maker, content)) in &skeleton.files {
        let changes = |member: &Member| {
            let changed = member.reading.facts.files.get(path);
            changed.is_some() && changed == member.facts.files.get(path)
        };
        let changing: Vec<usize> = (0..members.len()).filter(|at| at != maker && changes(&members[*at])).collect();
        let Some(last) = changing.last() else { continue };
        let reads = |at: &usize| at != maker && asked.get(at).is_some_and(|asked| asked.contains(path));
        let concerned: Vec<usize> = (0..members.len()).filter(|at| changing.contains(at) || reads(at)).collect();
        let mut changed = members[*last].facts.files[path].clone();
        if concerned.len() > 1 {
            let Some(end) = agreed(&concerned, path, content, read_anew)? else {
                concerned.iter().for_each(|at| tell(&mut members[*at], path));
                continue;
            };
            changed.content = end;
        }
        for at in changing {
            members[at].facts.files.remove(path);
        }
        let File { content, mode, owner, group } = changed;
        if let Some(file) = members[*maker].facts.files.get_mut(path) {
            file.content = content;
            file.mode = mode.or(file.mode);
            file.owner = owner.or(file.owner.take());
            file.group = group.or(file.group.take());
        }
    }
    Ok(())
}

/// What comes of a file in every order; none where that is not the same.
fn agreed(
    concerned: &[usize],
    path: &TreePath,
    content: &FileContent,
    read_anew: ReadAnew<'_>,
) -> Result<Option<FileContent>, ObjectError> {
    if concerned.len() > MOST_TOGETHER {
        return Ok(None);
    }
    let mut found: Option<End> = None;
    for order in orders(concerned) {
        let mut end = End { content: content.clone(), others: BTreeMap::new() };
        for at in order {
            let member = read_anew(at, &|skeleton| skeleton.with(path, &end.content))?;
            let mut facts = member.facts;
            if let Some(file) = facts.files.remove(path) {
                end.content = file.content;
            }
            end.others.insert(at, facts);
        }
        match &found {
            Some(found) if *found != end => return Ok(None),
            _ => found = Some(end),
        }
    }
    Ok(found.map(|end| end.content))
}

fn orders(of: &[usize]) -> Vec<Vec<usize>> {
    let Some((first, rest)) = of.split_first() else { return vec![Vec::new()] };
    let mut all = Vec::new();
    for order in orders(rest) {
        for at in 0..=order.len() {
            let mut order = order.clone();
            order.insert(at, *first);
            all.push(order);
        }
    }
    all
}

/// Tells that what a member makes of a file, or finds in it, is not known.
fn tell(member: &mut Member, path: &TreePath) {
    let about = path.to_string();
    member.facts.files.remove(path);
    let reading = &mut member.reading;
    let mut place = None;
    for outcome in &mut reading.outcomes {
        if matches!(&outcome.became, Became::Fact("file", named) if *named == about) {
            place = Some(outcome.place.clone());
            outcome.became = Became::Nothing("what is left there in the end is not known");
        }
    }
    let place = place.unwrap_or_else(|| Place { script: "postinst".to_owned(), line: 1 });
    let why = format!("hooks of other packages change `{path}` too, and it depends on their order what is in it");
    reading.unfollowed.push(Unfollowed { place, text: about, why });
    reading.unfollowed.sort();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_is_gone_through_once() {
        let all = orders(&[1, 2, 3]);
        assert_eq!((all.len(), all.iter().collect::<BTreeSet<_>>().len()), (6, 6));
    }
}
