//! Facts put into effect on the tree: links, directories, declared files, devices, permissions.
//!
//! Everything that packages declare is gathered first and checked for agreement, then applied in order of path, links
//! before the rest: so `/var/run -> /run` is there when something is to be made below `/var/run`. Packages never replace
//! what is there; the image may.

use std::collections::BTreeMap;

use kiln_model::facts::{DeviceKind, File, FileContent, Permission};
use kiln_model::name::AccountName;
use kiln_model::{Device, Dir, Entry, Facts, FileEntry, Meta, ObjectSink, SymlinkEntry, TreePath};

use crate::accounts::{AccountKind, Accounts, Reference};
use crate::error::{ComposeError, Conflict, Conflicts, PermissionConflict};
use crate::owner::OwnerId;
use crate::request::Member;
use crate::work::{PlaceError, Work};
use kiln_model::capability;

/// How much a permission counts. What an archive's packages merely ship yields to what somebody declares: a package
/// ships `/etc/ssl/private` for root alone, and another's rule opens it to a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Strength {
    Shipped,
    Declared,
    /// By a hook that is known to come after the one that made the path.
    Later,
    Image,
}

#[derive(Debug)]
struct Wish {
    owner: OwnerId,
    strength: Strength,
    path: TreePath,
    permission: Permission,
    /// Is a link itself meant, and not where it leads?
    of_link: bool,
}

/// Permissions by path as they are declared, each with who declares it.
#[derive(Debug, Default)]
pub(crate) struct Permissions(Vec<Wish>);

/// What is wanted at one path.
struct Wanted {
    path: TreePath,
    owner: OwnerId,
    entry: Entry,
}

impl Permissions {
    fn add(&mut self, owner: OwnerId, strength: Strength, path: &TreePath, permission: Permission) {
        if permission != Permission::default() {
            self.0.push(Wish { owner, strength, path: path.clone(), permission, of_link: false });
        }
    }

    fn add_of_link(&mut self, owner: OwnerId, path: &TreePath, permission: Permission) {
        self.0.push(Wish { owner, strength: Strength::Declared, path: path.clone(), permission, of_link: true });
    }

    /// Names that the permissions refer to.
    pub fn references(&self, work: &Work) -> Vec<Reference> {
        let mut references = Vec::new();
        for Wish { owner, path, permission, .. } in &self.0 {
            let by = work.owners.name(*owner).to_string();
            for (kind, name, role) in
                [(AccountKind::User, &permission.owner, "owner"), (AccountKind::Group, &permission.group, "group")]
            {
                if let Some(name) = name {
                    let purpose = format!("as the {role} of `{path}`");
                    references.push(Reference { kind, name: name.clone(), by: by.clone(), purpose });
                }
            }
        }
        references
    }
}

fn permission(
    owner: &Option<AccountName>,
    group: &Option<AccountName>,
    mode: Option<kiln_model::facts::Mode>,
) -> Permission {
    Permission { owner: owner.clone(), group: group.clone(), mode, ..Permission::default() }
}

fn only_directories(dir: &Dir) -> bool {
    dir.entries().all(|(_, entry)| matches!(entry, Entry::Dir(below) if only_directories(below)))
}

/// Applies what packages declare, and gathers their permissions.
pub(crate) fn apply_members(
    work: &mut Work,
    members: &[(OwnerId, &Member)],
    sink: &dyn ObjectSink,
) -> Result<Permissions, ComposeError> {
    let mut permissions = Permissions::default();
    let mut links = Vec::new();
    for (owner, member) in members {
        for (path, target) in &member.facts.links {
            let entry = Entry::Symlink(SymlinkEntry::plain(target.as_str()));
            links.push(Wanted { path: path.clone(), owner: *owner, entry });
        }
    }
    put_agreed(work, links, false)?;
    let mut directories = Vec::new();
    for (owner, member) in members {
        for (path, directory) in &member.facts.directories {
            directories.push((path, *owner));
            permissions.add(
                *owner,
                Strength::Declared,
                path,
                permission(&directory.owner, &directory.group, directory.mode),
            );
        }
    }
    directories.sort();
    for (path, owner) in directories {
        make_directory(work, path, owner)?;
    }
    let mut others = Vec::new();
    for (owner, member) in members {
        for (path, file) in &member.facts.files {
            let Some(entry) = declared_file(work, *owner, path, file, sink)? else {
                continue;
            };
            others.push(Wanted { path: path.clone(), owner: *owner, entry });
            permissions.add(*owner, Strength::Declared, path, permission(&file.owner, &file.group, file.mode));
        }
        for (path, entry, wanted) in devices(&member.facts) {
            others.push(Wanted { path: path.clone(), owner: *owner, entry });
            permissions.add(*owner, Strength::Declared, path, wanted);
        }
    }
    put_agreed(work, others, false)?;
    for (owner, member) in members {
        let shipped = member.record.origin.as_ref().map(|_| &member.record.facts.permissions);
        for (path, wanted) in &member.facts.permissions {
            let same = shipped.is_some_and(|shipped| shipped.get(path) == Some(wanted));
            let strength = if same { Strength::Shipped } else { Strength::Declared };
            // What speaks of a file that was moved aside goes with it.
            let path = work.owners.place_of(*owner, path).unwrap_or(path).clone();
            permissions.add(*owner, strength, &path, wanted.clone());
        }
    }
    Ok(permissions)
}

/// Adds the permissions that hooks give to paths that no package ships, where something else brought the path, and to
/// links. The image's own files are there by now.
pub(crate) fn apply_elsewhere(work: &Work, members: &[(OwnerId, &Member)], permissions: &mut Permissions) {
    for (owner, member) in members {
        for (path, wanted) in &member.reading.elsewhere {
            if resolve(work, path).is_some() {
                let is_later = member.reading.later.contains(path);
                let strength = if is_later { Strength::Later } else { Strength::Declared };
                permissions.add(*owner, strength, path, wanted.clone());
            }
        }
        for (path, wanted) in &member.reading.links {
            if matches!(work.find(path), Some((_, Entry::Symlink(_)))) {
                permissions.add_of_link(*owner, path, wanted.clone());
            }
        }
    }
}

/// Applies what the image declares, over everything else.
pub(crate) fn apply_image(
    work: &mut Work,
    owner: OwnerId,
    facts: &Facts,
    permissions: &mut Permissions,
) -> Result<(), ComposeError> {
    if let Some(path) = facts.files.keys().next() {
        return Err(ComposeError::FileOfImage(path.clone()));
    }
    let links = facts.links.iter().map(|(path, target)| {
        let entry = Entry::Symlink(SymlinkEntry::plain(target.as_str()));
        Wanted { path: path.clone(), owner, entry }
    });
    put_agreed(work, links.collect(), true)?;
    for (path, directory) in &facts.directories {
        make_directory(work, path, owner)?;
        permissions.add(owner, Strength::Image, path, permission(&directory.owner, &directory.group, directory.mode));
    }
    let mut others = Vec::new();
    for (path, entry, wanted) in devices(facts) {
        others.push(Wanted { path: path.clone(), owner, entry });
        permissions.add(owner, Strength::Image, path, wanted);
    }
    put_agreed(work, others, true)?;
    for (path, wanted) in &facts.permissions {
        permissions.add(owner, Strength::Image, path, wanted.clone());
    }
    Ok(())
}

/// Adds the owner and group of one of the image's files.
pub(crate) fn image_file(
    permissions: &mut Permissions,
    owner: OwnerId,
    path: &TreePath,
    user: &Option<AccountName>,
    group: &Option<AccountName>,
) {
    permissions.add(owner, Strength::Image, path, permission(user, group, None));
}

fn place_error(work: &Work, owner: OwnerId) -> impl Fn(PlaceError) -> ComposeError + use<> {
    let by = work.owners.name(owner).clone();
    move |source| ComposeError::Place { by: by.clone(), source }
}

fn make_directory(work: &mut Work, path: &TreePath, owner: OwnerId) -> Result<(), ComposeError> {
    let error = place_error(work, owner);
    let mut place = work.place(path).map_err(&error)?;
    // A link to a directory is as good as the directory.
    if let Some(Entry::Symlink(_)) = work.tree.get(&place)
        && let Some((resolved, Some(Entry::Dir(_)))) = work.tree.resolve(&place)
    {
        place = resolved;
    }
    work.make_dir(&place, owner).map(drop).map_err(error)
}

fn devices(facts: &Facts) -> impl Iterator<Item = (&TreePath, Entry, Permission)> {
    facts.devices.iter().map(|(path, node)| {
        let device = match node.kind {
            DeviceKind::Character => Device::Character { major: node.major, minor: node.minor },
            DeviceKind::Block => Device::Block { major: node.major, minor: node.minor },
            DeviceKind::Fifo => Device::Fifo,
        };
        let mode = node.mode.map_or(0o600, |mode| mode.bits());
        (path, Entry::Device(device, Meta::root_owned(mode)), permission(&node.owner, &node.group, None))
    })
}

/// What a declared file would be; nothing when something is there already, as hooks have it.
fn declared_file(
    work: &Work,
    owner: OwnerId,
    path: &TreePath,
    file: &File,
    sink: &dyn ObjectSink,
) -> Result<Option<Entry>, ComposeError> {
    let place = work.place(path).map_err(place_error(work, owner))?;
    if work.tree.get(&place).is_some() {
        return Ok(None);
    }
    match &file.content {
        FileContent::Content(text) => {
            let object = sink.put(text.as_bytes())?;
            Ok(Some(Entry::File(FileEntry::plain(object, text.len() as u64, false))))
        }
        FileContent::Copy(template) => match work.tree.resolve(template) {
            Some((_, Some(Entry::File(found)))) => {
                Ok(Some(Entry::File(FileEntry { hardlinked: false, ..found.clone() })))
            }
            _ => Err(ComposeError::Template {
                by: work.owners.name(owner).clone(),
                path: path.clone(),
                template: template.clone(),
            }),
        },
    }
}

/// Puts what is wanted, in order of path. Two that want different things, or one that wants to replace what is there,
/// conflict, unless `may_replace`.
fn put_agreed(work: &mut Work, mut wanted: Vec<Wanted>, may_replace: bool) -> Result<(), ComposeError> {
    wanted.sort_by(|a, b| (&a.path, a.owner).cmp(&(&b.path, b.owner)));
    let mut conflicts = Vec::new();
    let mut put: BTreeMap<TreePath, OwnerId> = BTreeMap::new();
    for Wanted { path, owner, entry } in wanted {
        let error = place_error(work, owner);
        let place = work.place(&path).map_err(&error)?;
        let there = work.tree.get(&place);
        let free = match there {
            None => true,
            Some(Entry::Dir(dir)) => matches!(entry, Entry::Symlink(_)) && only_directories(dir),
            Some(_) => may_replace,
        };
        if there == Some(&entry) {
            // Somebody else brings the very same.
            continue;
        }
        if !free {
            let holder = put.get(&place).copied().or_else(|| work.owner(&place)).unwrap_or(owner);
            let show = |entry: &Entry| match entry {
                Entry::Symlink(link) => format!("link -> {}", link.target),
                other => other.kind().to_owned(),
            };
            let claims = vec![
                (work.owners.name(holder).clone(), there.map(show).unwrap_or_default()),
                (work.owners.name(owner).clone(), show(&entry)),
            ];
            conflicts.push(Conflict { path: place, claims });
            continue;
        }
        put.insert(place.clone(), owner);
        work.put(&place, entry, owner).map_err(error)?;
    }
    if conflicts.is_empty() { Ok(()) } else { Err(ComposeError::Conflicts(Conflicts(conflicts))) }
}

/// One field of the permissions of one path, with who says so and how much that counts.
type Said<T> = Option<(T, OwnerId, Strength)>;

#[derive(Default)]
struct Agreed {
    owner: Said<AccountName>,
    group: Said<AccountName>,
    mode: Said<kiln_model::facts::Mode>,
    attributes: BTreeMap<String, Said<Attribute>>,
}

/// Gives every path its owner, group, mode and attributes. Who counts more wins; those who count the same must agree.
pub(crate) fn apply_permissions(
    work: &mut Work,
    permissions: &Permissions,
    accounts: &Accounts,
) -> Result<(), ComposeError> {
    let mut agreed: BTreeMap<TreePath, Agreed> = BTreeMap::new();
    let mut wishes: Vec<&Wish> = permissions.0.iter().collect();
    wishes.sort_by_key(|wish| std::cmp::Reverse(wish.strength));
    for wish in wishes {
        let Wish { owner, path, permission: wanted, .. } = wish;
        let place = if wish.of_link { work.find(path).map(|(place, _)| place) } else { resolve(work, path) };
        let place = place
            .ok_or_else(|| ComposeError::NoSuchPath { by: work.owners.name(*owner).clone(), path: path.clone() })?;
        let at = agreed.entry(place.clone()).or_default();
        let attributes = attributes(work, *owner, path, wanted)?;
        let mut differ = |field: &'static str, first: String, first_owner: OwnerId, second: String| {
            Err(ComposeError::Permissions(Box::new(PermissionConflict {
                path: place.clone(),
                field,
                first,
                first_owner: work.owners.name(first_owner).clone(),
                second,
                second_owner: work.owners.name(*owner).clone(),
            })))
        };
        agree(&mut at.owner, wanted.owner.as_ref(), wish, "owner", &mut differ)?;
        agree(&mut at.group, wanted.group.as_ref(), wish, "group", &mut differ)?;
        agree(&mut at.mode, wanted.mode.as_ref(), wish, "mode", &mut differ)?;
        for (name, value) in attributes {
            agree(at.attributes.entry(name).or_default(), Some(&value), wish, "an extended attribute", &mut differ)?;
        }
    }
    for (place, agreed) in agreed {
        let old = if place.is_root() { Some(work.tree.meta()) } else { work.tree.get(&place).map(Entry::meta) };
        let Some(mut meta) = old.cloned() else {
            continue;
        };
        if let Some(user) = agreed.owner.and_then(|(name, ..)| accounts.users.get(&name)) {
            meta.uid = user.uid;
        }
        if let Some(group) = agreed.group.and_then(|(name, ..)| accounts.groups.get(&name)) {
            meta.gid = group.gid;
        }
        if let Some((mode, ..)) = agreed.mode {
            meta.mode = mode.bits();
        }
        for (name, value) in agreed.attributes {
            meta.xattrs.extend(value.map(|(value, ..)| (name.into(), value.0)));
        }
        work.set_meta(&place, meta);
    }
    Ok(())
}

/// What a permission means: the end of the links, as `chmod` has it.
fn resolve(work: &Work, path: &TreePath) -> Option<TreePath> {
    if path.is_root() {
        return Some(TreePath::root());
    }
    let (place, entry) = work.find(path)?;
    match entry {
        Entry::Symlink(_) => work.tree.resolve(&place).map(|(place, _)| place),
        _ => Some(place),
    }
}

fn agree<T: Clone + PartialEq + std::fmt::Display>(
    first: &mut Said<T>,
    second: Option<&T>,
    wish: &Wish,
    field: &'static str,
    differ: &mut impl FnMut(&'static str, String, OwnerId, String) -> Result<(), ComposeError>,
) -> Result<(), ComposeError> {
    let Some(second) = second else {
        return Ok(());
    };
    match first {
        None => {
            *first = Some((second.clone(), wish.owner, wish.strength));
            Ok(())
        }
        Some((value, by, strength)) if value != second && *strength == wish.strength => {
            differ(field, value.to_string(), *by, second.to_string())
        }
        Some(_) => Ok(()),
    }
}

/// The value of an extended attribute; shown in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Attribute(Box<[u8]>);

impl std::fmt::Display for Attribute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

fn attributes(
    work: &Work,
    owner: OwnerId,
    path: &TreePath,
    wanted: &Permission,
) -> Result<BTreeMap<String, Attribute>, ComposeError> {
    let error = |what, text: &str| ComposeError::Attribute {
        by: work.owners.name(owner).clone(),
        path: path.clone(),
        what,
        text: text.to_owned(),
    };
    let mut list = BTreeMap::new();
    if !wanted.capabilities.is_empty() {
        let value = capability::encode(wanted.capabilities.iter().map(String::as_str));
        list.insert(capability::XATTR.to_owned(), Attribute(value.map_err(|name| error("capability", name))?));
    }
    for (name, value) in &wanted.xattrs {
        if !name.contains('.') || name.contains(['\0', '=']) {
            return Err(error("extended attribute", name));
        }
        let value = hex::decode(value).map_err(|_| error("attribute value", value))?;
        list.insert(name.clone(), Attribute(value.into_boxed_slice()));
    }
    Ok(list)
}
