//! What the scripts of packages come to in this image, by `kiln-hooks`.
//!
//! A script is read against the packages of the image as they were unpacked, before any hook: what another package's hook
//! would have made is not there, so no order of packages has a say. Two things are: the [`skeleton`] that the hooks of
//! Essential packages make, since every hook may count on it, and may even change a file of it; and, for who asks for
//! accounts or goes through a folder, what the hooks of those packages made that it depends on ([`earlier`]).

mod earlier;
mod skeleton;
mod undeclared;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kiln_hooks::{Earlier, Place, Reading, Scriptlet, Scripts, Seen, Unfollowed, World};
use kiln_model::facts::FileContent;
use kiln_model::{Architecture, ArchiveKind, Dir, Entry, Facts, HooksWord, ObjectError, ObjectSource, TreePath};

use self::earlier::Order;
use self::skeleton::Skeleton;
use self::undeclared::Declared;
use crate::hooks;
use crate::owner::{Owner, OwnerId};
use crate::request::{Member, Request};
use crate::rpm_trigger;
use crate::union::{Precedence, unite};
use crate::usrmerge;
use crate::work::Work;

/// Larger scripts and files are not read.
const LIMIT: u64 = 256 * 1024;

/// The same request, with what stands for the hooks of its members. None when there is nothing to read.
///
/// # Errors
/// When a script cannot be read.
pub(crate) fn read(request: &Request, source: &dyn ObjectSource) -> Result<Option<Request>, ObjectError> {
    let says_nothing = |member: &Member| {
        member.rule.is_none() && hooks::of(member).next().is_none() && rpm_trigger::scripts(member).next().is_none()
    };
    if request.members.iter().all(says_nothing) {
        return Ok(None);
    }
    let tree = unpacked(&request.members);
    let packages: BTreeMap<&str, &str> = request
        .members
        .iter()
        .filter(|member| member.record.relations.syntax == ArchiveKind::Deb)
        .map(|member| (member.record.name.as_str(), member.record.version.as_str()))
        .collect();
    // There is one database of answers: packages ask each other's questions.
    let answers = request.answers.values().flatten().map(|(question, answer)| (&**question, &*answer.text)).collect();
    let questions = std::cell::OnceCell::new();
    let mut image = Image {
        tree: &tree,
        source,
        packages: &packages,
        members: &request.members,
        answers: &answers,
        architecture: request.architecture,
        skeleton: None,
        earlier: None,
        questions: &questions,
    };
    let mut with = request.clone();
    // The first counts on nothing, others that are Essential on the first alone, the rest on all of these.
    let (first, essential) = skeleton::makers(&with.members);
    if let Some(first) = first {
        read_member(&image, request, &mut with.members[first])?;
    }
    let of_first = Skeleton::of(&with.members, first);
    let mut asked: BTreeMap<usize, BTreeSet<TreePath>> = BTreeMap::new();
    for index in &essential {
        read_member(&Image { skeleton: Some(&of_first), ..image }, request, &mut with.members[*index])?;
        asked.entry(*index).or_default().extend(of_first.take_asked());
    }
    let all = Skeleton::of(&with.members, first.into_iter().chain(essential.iter().copied()));
    let skeleton_of = |index: usize| match first {
        Some(first) if index == first => None,
        _ if essential.contains(&index) => Some(&of_first),
        _ => Some(&all),
    };
    for (index, member) in with.members.iter_mut().enumerate() {
        if Some(index) != first && !essential.contains(&index) {
            read_member(&Image { skeleton: Some(&all), ..image }, request, member)?;
            asked.entry(index).or_default().extend(all.take_asked());
        }
    }
    // Those that ask for what others made before are read once more, now that it is known.
    let order = Order::of(&request.members);
    let brings = brought(&with.members, source)?;
    let asking = (0..with.members.len()).filter(|at| with.members[*at].reading.asks_earlier);
    let earlier =
        asking.map(|at| (at, order.earlier(at, &brings))).filter(|(_, earlier)| *earlier != Earlier::default());
    let earlier: BTreeMap<usize, Earlier> = earlier.collect();
    let read_anew = |index: usize, skeleton: Option<&Skeleton>| {
        let mut member = request.members[index].clone();
        read_member(&Image { earlier: earlier.get(&index), skeleton, ..image }, request, &mut member)?;
        Ok(member)
    };
    for index in earlier.keys().copied() {
        let skeleton = skeleton_of(index);
        with.members[index] = read_anew(index, skeleton)?;
        asked.entry(index).or_default().extend(skeleton.map(Skeleton::take_asked).unwrap_or_default());
    }
    skeleton::change(&mut with.members, &all, &asked, &|index, changed| {
        read_anew(index, skeleton_of(index).map(changed).as_ref())
    })?;
    image.skeleton = Some(&all);
    let tables = ["/etc/passwd", "/etc/group"].map(|path| image.read(&TreePath::from_absolute(path).ok()?));
    let declared = Declared::of(request, &brought(&with.members, source)?, tables);
    with.members.iter_mut().for_each(|member| declared.leave_out_others(member));
    Ok(Some(with))
}

/// What each package brings besides its files.
fn brought(members: &[Member], source: &dyn ObjectSource) -> Result<Vec<Earlier>, ObjectError> {
    members.iter().map(|member| earlier::brought(member, source)).collect()
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

fn read_member(image: &Image<'_>, request: &Request, member: &mut Member) -> Result<(), ObjectError> {
    if hooks::of(member).next().is_some() {
        member.reading = match member.record.relations.syntax {
            ArchiveKind::Deb => read_deb(image, &request.members, member)?,
            // An image has no hooks: what its steps did is in its layers.
            ArchiveKind::Oci => Reading::default(),
            ArchiveKind::Rpm | ArchiveKind::Apk => read_scripts(image, &request.members, member)?,
        };
    }
    let triggers: Vec<String> = rpm_trigger::scripts(member).map(str::to_owned).collect();
    for script in triggers {
        let reading = read_trigger(image, member, &script)?;
        member.triggers.insert(script, reading);
    }
    let own = std::mem::take(&mut member.facts);
    let replaced = request.hooks.get(&member.reference()).map(|said| &said.word);
    let read = &mut member.reading;
    member.facts = match (replaced, &member.rule) {
        (Some(HooksWord::Replace { facts, .. }), _) => {
            (read.elsewhere, read.links) = Default::default();
            let mut declared = own;
            declared.overlay((**facts).clone());
            declared
        }
        (_, Some(rule)) if rule.adds => {
            let mut declared = hooked(&read.facts, own);
            declared.overlay(rule.facts.clone());
            declared
        }
        (_, Some(rule)) => {
            (read.elsewhere, read.links) = Default::default();
            let mut declared = hooks::left(rule, member.record.relations.syntax, &read.facts);
            declared.overlay(own);
            declared.overlay(rule.facts.clone());
            declared
        }
        _ => hooked(&read.facts, own),
    };
    Ok(())
}

/// What a package is with what its hooks declare. Of one path they may change the owner and leave the mode that the package
/// ships.
fn hooked(read: &Facts, own: Facts) -> Facts {
    let mut declared = read.clone();
    declared.overlay(own);
    for (path, changed) in &read.permissions {
        let permission = declared.permissions.entry(path.clone()).or_default();
        for (ours, theirs) in [(&mut permission.owner, &changed.owner), (&mut permission.group, &changed.group)] {
            if theirs.is_some() {
                ours.clone_from(theirs);
            }
        }
        permission.mode = changed.mode.or(permission.mode);
        if !changed.capabilities.is_empty() {
            permission.capabilities.clone_from(&changed.capabilities);
        }
        permission.xattrs.extend(changed.xattrs.clone());
    }
    declared
}

fn text(image: &Image<'_>, member: &Member, name: &str) -> Result<Option<String>, ObjectError> {
    let Some(hook) = member.record.hooks.iter().find(|hook| hook.name == name) else { return Ok(None) };
    Ok(Some(String::from_utf8_lossy(&image.source.read(&hook.object)?).into_owned()))
}

fn read_deb(image: &Image<'_>, others: &[Member], member: &Member) -> Result<Reading, ObjectError> {
    // One that is not read is not taken for an empty one: everything that follows from it would be guessed.
    let read = ["preinst", "postinst", "config", "templates"];
    let stands_for_config = member.rule.as_ref().is_some_and(|rule| !rule.answers.is_empty());
    let is_read = |name: &str| read.contains(&name) && !(stands_for_config && name == "config");
    if let Some(large) = member.record.hooks.iter().find(|h| is_read(&h.name) && h.size > hooks::LARGEST) {
        return Ok(Reading { unfollowed: vec![unread(&large.name, hooks::LARGEST)], ..Reading::default() });
    }
    let (preinst, postinst) = (text(image, member, "preinst")?, text(image, member, "postinst")?);
    let (config, templates) = (text(image, member, "config")?, text(image, member, "templates")?);
    let answers = member.rule.iter().flat_map(|rule| &rule.answers);
    let answers: Vec<(&str, &str)> = answers.map(|(question, answer)| (&**question, &**answer)).collect();
    let scripts = Scripts {
        answers: &answers,
        package: member.record.name.as_str(),
        version: &member.record.version,
        preinst: preinst.as_deref(),
        postinst: postinst.as_deref(),
        config: config.as_deref(),
        templates: templates.as_deref(),
    };
    let before = Before { image, own: &member.tree, others };
    Ok(kiln_hooks::read(&scripts, &before, image))
}

fn unread(script: &str, limit: u64) -> Unfollowed {
    let why = format!("it is larger than {} kB", limit / 1024);
    Unfollowed { place: Place { script: script.to_owned(), line: 1 }, text: String::new(), why }
}

/// Reads the scripts of a package of RPM's or Alpine's. One that is not read is not taken for an empty one.
fn read_scripts(image: &Image<'_>, others: &[Member], member: &Member) -> Result<Reading, ObjectError> {
    let names: Vec<&'static str> = hooks::of(member).collect();
    let is_large =
        |name: &&&'static str| member.record.hooks.iter().any(|hook| hook.name == **name && hook.size > hooks::LARGEST);
    if let Some(large) = names.iter().find(is_large) {
        return Ok(Reading { unfollowed: vec![unread(large, hooks::LARGEST)], ..Reading::default() });
    }
    let mut texts = Vec::with_capacity(names.len());
    for name in names {
        texts.push((name, text(image, member, name)?.unwrap_or_default()));
    }
    let is_before = |name: &str| matches!(name, "pretrans" | "pre" | ".pre-install");
    let scriptlets: Vec<Scriptlet<'_>> =
        texts.iter().map(|(name, text)| Scriptlet { name, text, is_before: is_before(name) }).collect();
    let (before, package) = (Before { image, own: &member.tree, others }, member.record.name.as_str());
    Ok(match member.record.relations.syntax {
        ArchiveKind::Apk => kiln_hooks::read_apk_scripts(package, &member.record.version, &scriptlets, &before, image),
        _ => kiln_hooks::read_scriptlets(package, &scriptlets, &before, image),
    })
}

/// Reads the script of a trigger, which runs once all files are there.
fn read_trigger(image: &Image<'_>, member: &Member, script: &str) -> Result<Reading, ObjectError> {
    let hook = member.record.hooks.iter().find(|hook| hook.name == script);
    if hook.is_none_or(|hook| hook.size > LIMIT) {
        return Ok(Reading { unfollowed: vec![unread(script, LIMIT)], ..Reading::default() });
    }
    let text = text(image, member, script)?.unwrap_or_default();
    let scriptlet = Scriptlet { name: "trigger", text: &text, is_before: false };
    Ok(kiln_hooks::read_scriptlets(member.record.name.as_str(), &[scriptlet], image, image))
}

/// The image as hooks may ask about it.
#[derive(Clone, Copy)]
struct Image<'a> {
    tree: &'a Dir,
    source: &'a dyn ObjectSource,
    packages: &'a BTreeMap<&'a str, &'a str>,
    members: &'a [Member],
    answers: &'a BTreeMap<&'a str, &'a str>,
    architecture: Architecture,
    skeleton: Option<&'a Skeleton>,
    earlier: Option<&'a Earlier>,
    /// All questions, once somebody asks for another package's.
    questions: &'a std::cell::OnceCell<BTreeMap<String, Asked>>,
}

/// A question of debconf in the database of the image.
struct Asked {
    /// The answer that nobody gave.
    default: String,
    /// The packages that bring it.
    owners: Vec<String>,
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

    fn all_questions(&self) -> BTreeMap<String, Asked> {
        let mut all: BTreeMap<String, Asked> = BTreeMap::new();
        for member in self.members.iter().filter(|member| member.record.relations.syntax == ArchiveKind::Deb) {
            // One that cannot be read is told where its own package is read.
            let templates = text(self, member, "templates").ok().flatten();
            let questions = templates.as_deref().map(kiln_hooks::templates).unwrap_or_default();
            for (name, question) in questions {
                let asked = all.entry(name).or_insert_with(|| Asked { default: question.default, owners: Vec::new() });
                asked.owners.push(member.record.name.as_str().to_owned());
            }
        }
        all
    }

    fn declared(&self, path: &TreePath) -> Option<Seen> {
        let size = |from: &TreePath| match self.at(from, true) {
            Some(Entry::File(file)) => file.size,
            _ => 1,
        };
        self.skeleton?.seen(path, size)
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

fn is_deb(member: &Member, name: &str) -> bool {
    member.record.relations.syntax == ArchiveKind::Deb && member.record.name.as_str() == name
}

impl World for Image<'_> {
    fn entry(&self, path: &TreePath, follow: bool) -> Option<Seen> {
        self.at(path, follow).map(seen).or_else(|| self.declared(path))
    }

    fn mode(&self, path: &TreePath) -> Option<u16> {
        let in_tree = self.at(path, true)?.meta().mode;
        // A tree has the usual modes alone; what else a package ships is a fact of it.
        let shipped = |member: &Member| member.record.facts.permissions.get(path)?.mode;
        Some(self.members.iter().find_map(shipped).map_or(in_tree, kiln_model::facts::Mode::bits))
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
            Some(_) => None,
            None => match self.skeleton?.content(path)? {
                FileContent::Content(text) => Some(text),
                FileContent::Copy(from) if self.at(&from, true).is_some() => self.read(&from),
                FileContent::Copy(_) => None,
            },
        }
    }

    fn may_change(&self, path: &TreePath) -> bool {
        self.at(path, false).is_none() && self.skeleton.is_some_and(|skeleton| skeleton.has_file(path))
    }

    fn package(&self, name: &str) -> Option<String> {
        self.packages.get(name).map(|version| (*version).to_owned())
    }

    fn packages(&self) -> Option<Vec<String>> {
        Some(self.packages.keys().map(|name| (*name).to_owned()).collect())
    }

    fn files(&self, package: &str) -> Option<Vec<TreePath>> {
        let member = self.members.iter().find(|member| is_deb(member, package))?;
        Some(member.tree.walk().map(|(path, _)| path).collect())
    }

    fn answer(&self, question: &str) -> Option<String> {
        self.answers.get(question).map(|answer| (*answer).to_owned())
    }

    fn default_answer(&self, question: &str) -> Option<String> {
        self.questions.get_or_init(|| self.all_questions()).get(question).map(|asked| asked.default.clone())
    }

    fn owners(&self, question: &str) -> Vec<String> {
        let asked = self.questions.get_or_init(|| self.all_questions()).get(question);
        let mut owners = asked.map(|asked| asked.owners.clone()).unwrap_or_default();
        owners.sort();
        owners
    }

    fn architecture(&self) -> &str {
        self.architecture.as_str()
    }

    fn earlier(&self) -> Option<&Earlier> {
        self.earlier
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

    fn may_change(&self, path: &TreePath) -> bool {
        !self.is_own_alone(path) && self.image.may_change(path)
    }

    fn package(&self, name: &str) -> Option<String> {
        self.image.package(name)
    }

    fn packages(&self) -> Option<Vec<String>> {
        self.image.packages()
    }

    fn files(&self, package: &str) -> Option<Vec<TreePath>> {
        let own = self.others.iter().any(|member| std::ptr::eq(&*member.tree, self.own) && is_deb(member, package));
        if own { None } else { self.image.files(package) }
    }

    fn answer(&self, question: &str) -> Option<String> {
        self.image.answer(question)
    }

    fn default_answer(&self, question: &str) -> Option<String> {
        self.image.default_answer(question)
    }

    fn owners(&self, question: &str) -> Vec<String> {
        self.image.owners(question)
    }

    fn architecture(&self) -> &str {
        self.image.architecture()
    }

    fn earlier(&self) -> Option<&Earlier> {
        self.image.earlier
    }
}
