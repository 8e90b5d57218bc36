//! What the maintainer scripts of Debian's packages come to in this image, by `kiln-hooks`.
//!
//! A script is read against the packages of the image as they were unpacked, before any hook: what another package's hook
//! would have made is not there, so no order of packages has a say. The one exception is the skeleton that `base-files`
//! declares, since every hook may count on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use kiln_hooks::{Scripts, Seen, World};
use kiln_model::{Architecture, ArchiveKind, Dir, Entry, Facts, ObjectError, ObjectSource, TreePath};

use crate::hooks::Untranslated;
use crate::owner::{Owner, OwnerId};
use crate::request::{Member, Request};
use crate::union::{Precedence, unite};
use crate::usrmerge;
use crate::work::Work;

/// Larger scripts and files are not read.
const LIMIT: u64 = 256 * 1024;

/// The package whose hook makes what every other may count on.
const SKELETON: &str = "base-files";

/// The same request, with what the hooks of its members declare. None when there is nothing to read.
///
/// # Errors
/// When a script cannot be read.
pub(crate) fn read(request: &Request, source: &dyn ObjectSource) -> Result<Option<Request>, ObjectError> {
    if !request.members.iter().any(has_scripts) {
        return Ok(None);
    }
    let tree = unpacked(&request.members);
    let packages: BTreeMap<&str, &str> = request
        .members
        .iter()
        .filter(|member| member.record.relations.syntax == ArchiveKind::Deb)
        .map(|member| (member.record.name.as_str(), member.record.version.as_str()))
        .collect();
    let mut image =
        Image { tree: &tree, source, packages: &packages, architecture: request.architecture, skeleton: None };
    let mut with = request.clone();
    let skeleton = with.members.iter().position(|member| member.record.name.as_str() == SKELETON);
    if let Some(skeleton) = skeleton {
        read_member(&image, &request.members, &mut with.members[skeleton])?;
    }
    let declared = skeleton.map(|skeleton| with.members[skeleton].facts.clone());
    image.skeleton = declared.as_ref();
    for (index, member) in with.members.iter_mut().enumerate() {
        if Some(index) != skeleton && has_scripts(member) {
            read_member(&image, &request.members, member)?;
        }
    }
    Ok(Some(with))
}

fn has_scripts(member: &Member) -> bool {
    let is_script = |name: &str| matches!(name, "preinst" | "postinst");
    member.record.relations.syntax == ArchiveKind::Deb && member.record.hooks.iter().any(|hook| is_script(&hook.name))
}

/// The packages of an image as they are unpacked. Conflicts are told later: here any of the claims will do.
fn unpacked(members: &[Member]) -> Dir {
    let merged = usrmerge::Merged::of(members.iter().map(|member| &*member.tree));
    let mut sorted: Vec<&Member> = members.iter().collect();
    sorted.sort_by_key(|member| member.reference());
    let mut work = Work::default();
    let trees: Vec<(OwnerId, Arc<Dir>)> = sorted
        .iter()
        .map(|member| (work.owners.id(Owner::Package(member.reference())), merged.relocate(&member.tree)))
        .collect();
    let borrowed: Vec<(OwnerId, &Arc<Dir>)> = trees.iter().map(|(owner, tree)| (*owner, tree)).collect();
    let union = unite(&borrowed, &Precedence { replaces: &|_, _| false, winners: &BTreeMap::new() });
    work.tree = Dir::clone(&union.tree);
    work.owners.root = union.owners;
    let owner = work.owners.id(Owner::Finalizer(usrmerge::NAME));
    // What stands in the way of the links is told when the image itself is united.
    let _ = merged.link(&mut work, owner);
    work.tree
}

fn read_member(image: &Image<'_>, others: &[Member], member: &mut Member) -> Result<(), ObjectError> {
    let text = |name: &str| -> Result<Option<String>, ObjectError> {
        let Some(hook) = member.record.hooks.iter().find(|hook| hook.name == name) else { return Ok(None) };
        if hook.size > LIMIT {
            // Too large a script is not read, and its text is not taken for an empty one.
            return Ok(Some(String::new()));
        }
        Ok(Some(String::from_utf8_lossy(&image.source.read(&hook.object)?).into_owned()))
    };
    let (preinst, postinst) = (text("preinst")?, text("postinst")?);
    let (config, templates) = (text("config")?, text("templates")?);
    let scripts = Scripts {
        package: member.record.name.as_str(),
        version: &member.record.version,
        preinst: preinst.as_deref(),
        postinst: postinst.as_deref(),
        config: config.as_deref(),
        templates: templates.as_deref(),
    };
    let before = Before { image, own: &member.tree, others };
    let reading = kiln_hooks::read(&scripts, &before, image);
    let mut declared = reading.facts;
    if member.ruled {
        // The rule stands for the hook; what the hook says of units is the same for every version.
        declared = Facts { services: declared.services, ..Facts::default() };
    } else {
        let told = |unfollowed: kiln_hooks::Unfollowed| Untranslated {
            hook: format!("{} line {}", unfollowed.place.script, unfollowed.place.line),
            line: unfollowed.text,
            why: Some(unfollowed.why),
        };
        member.untranslated = reading.unfollowed.into_iter().map(told).collect();
    }
    declared.overlay(std::mem::take(&mut member.facts));
    member.facts = declared;
    Ok(())
}

/// The image as hooks may ask about it.
struct Image<'a> {
    tree: &'a Dir,
    source: &'a dyn ObjectSource,
    packages: &'a BTreeMap<&'a str, &'a str>,
    architecture: Architecture,
    skeleton: Option<&'a Facts>,
}

impl Image<'_> {
    fn at(&self, path: &TreePath, follow: bool) -> Option<&Entry> {
        if follow {
            return self.tree.resolve(path).and_then(|(_, entry)| entry);
        }
        let (parent, name) = (path.parent()?, path.file_name()?);
        match self.tree.resolve(&parent) {
            _ if parent.is_root() => self.tree.entry(name),
            Some((_, Some(Entry::Dir(folder)))) => folder.entry(name),
            _ => None,
        }
    }

    fn declared(&self, path: &TreePath) -> Option<Seen> {
        let skeleton = self.skeleton?;
        let below = |declared: &TreePath| declared.starts_with(path);
        if let Some(target) = skeleton.links.get(path) {
            return Some(Seen::Link(target.clone()));
        }
        if skeleton.files.contains_key(path) {
            return Some(Seen::File { executable: false, size: 1 });
        }
        skeleton.directories.keys().any(below).then_some(Seen::Directory)
    }
}

fn seen(entry: &Entry) -> Seen {
    match entry {
        Entry::Dir(_) => Seen::Directory,
        Entry::File(file) => Seen::File { executable: file.meta.mode & 0o111 != 0, size: file.size },
        Entry::Symlink(link) => Seen::Link(link.target.to_string()),
        Entry::Device(..) => Seen::Other,
    }
}

impl World for Image<'_> {
    fn entry(&self, path: &TreePath, follow: bool) -> Option<Seen> {
        self.at(path, follow).map(seen).or_else(|| self.declared(path))
    }

    fn mode(&self, path: &TreePath) -> Option<u16> {
        self.at(path, true).map(|entry| entry.meta().mode)
    }

    fn names(&self, path: &TreePath) -> Vec<String> {
        match self.at(path, true) {
            Some(Entry::Dir(folder)) => folder.entries().map(|(name, _)| name.to_owned()).collect(),
            _ => Vec::new(),
        }
    }

    fn read(&self, path: &TreePath) -> Option<String> {
        match self.at(path, true) {
            Some(Entry::File(file)) if file.size <= LIMIT => {
                String::from_utf8(self.source.read(&file.object).ok()?).ok()
            }
            _ => None,
        }
    }

    fn package(&self, name: &str) -> Option<String> {
        self.packages.get(name).map(|version| (*version).to_owned())
    }

    fn answer(&self, _: &str) -> Option<String> {
        None
    }

    fn architecture(&self) -> &str {
        self.architecture.as_str()
    }
}

/// The image before a package is unpacked: without what it alone ships.
struct Before<'a> {
    image: &'a Image<'a>,
    own: &'a Dir,
    others: &'a [Member],
}

impl Before<'_> {
    fn is_own_alone(&self, path: &TreePath) -> bool {
        let elsewhere = |member: &&Member| !std::ptr::eq(&*member.tree, self.own) && member.tree.get(path).is_some();
        self.own.get(path).is_some() && !self.others.iter().any(|member| elsewhere(&member))
    }
}

impl World for Before<'_> {
    fn entry(&self, path: &TreePath, follow: bool) -> Option<Seen> {
        if self.is_own_alone(path) { None } else { self.image.entry(path, follow) }
    }

    fn mode(&self, path: &TreePath) -> Option<u16> {
        if self.is_own_alone(path) { None } else { self.image.mode(path) }
    }

    fn names(&self, path: &TreePath) -> Vec<String> {
        let mut names = self.image.names(path);
        names.retain(|name| path.join(name).is_ok_and(|path| !self.is_own_alone(&path)));
        names
    }

    fn read(&self, path: &TreePath) -> Option<String> {
        if self.is_own_alone(path) { None } else { self.image.read(path) }
    }

    fn package(&self, name: &str) -> Option<String> {
        self.image.package(name)
    }

    fn answer(&self, question: &str) -> Option<String> {
        self.image.answer(question)
    }

    fn architecture(&self) -> &str {
        self.image.architecture()
    }
}
