//! A package's tar archive of files, whatever the kind of package: its files as a tree, and what a plain tree cannot say
//! as facts.
//!
//! The tree holds directories, files, executable files and links, all root's; files that are names of one inode keep
//! that. Every other mode, owner, attribute and device becomes a fact at the same path. What is shipped below `/bin`,
//! `/sbin` or a `/lib*` directory is moved below `/usr`, where it is on every merged system; a relative link that would
//! lead elsewhere from there is made absolute.

mod accounts;
mod error;

use std::io::{self, Read};

use kiln_archive::tree::{StoreError, store};
use kiln_archive::{Kind, Limits, ReadError, tar};
use kiln_model::capability::permitted_and_effective;
use kiln_model::facts::{DeviceKind, DeviceNode, Mode, Permission};
use kiln_model::name::AccountName;
use kiln_model::{Dir, Entry, Facts, FileEntry, ObjectId, ObjectSink, SymlinkEntry, TreePath};
use sha1::{Digest as _, Sha1};

use accounts::Account;
pub(crate) use accounts::FixedAccounts;
pub(crate) use error::PayloadError;

/// Top folders that are links into `/usr` on every merged system.
const MERGED: [&str; 6] = ["bin", "lib", "lib32", "lib64", "libx32", "sbin"];

/// Is a folder of this name at the top a link into `/usr` on every merged system?
pub(crate) fn is_merged(name: &str) -> bool {
    MERGED.contains(&name)
}

/// The place of a path on a merged system.
pub(crate) fn below_usr(path: &TreePath) -> TreePath {
    match path.components().next() {
        Some(first) if MERGED.contains(&first) => {
            format!("usr/{}", path.as_str()).parse().unwrap_or_else(|_| path.clone())
        }
        _ => path.clone(),
    }
}

/// How the tar archive of a kind of package is read.
pub(crate) struct Payload {
    /// The accounts that a number alone means.
    pub(crate) accounts: FixedAccounts,
    /// Is an entry no file of the package?
    pub(crate) passed_over: fn(&TreePath) -> bool,
}

/// Reads the tar archive `member` of a package.
pub(crate) fn read(
    payload: &Payload,
    member: &str,
    reader: impl Read,
    objects: &dyn ObjectSink,
    limits: &Limits,
) -> Result<(Dir, Facts), PayloadError> {
    let fault = |source: ReadError| PayloadError::Read { part: format!("`{member}`"), source };
    let mut tar = tar::Reader::new(reader, limits);
    let mut data = Data::new(&payload.accounts);
    while let Some(entry) = tar.next_entry().map_err(fault)? {
        if (payload.passed_over)(&entry.path) {
            continue;
        }
        let content = match &entry.kind {
            Kind::File => {
                let content: &mut dyn Read = &mut tar;
                let mut content = Checked { content, sha1: entry.sha1.map(|_| Sha1::new()) };
                let object = store(&mut content, entry.size, objects).map_err(|error| match error {
                    StoreError::Read(source) => fault(source.into()),
                    StoreError::Object(source) => PayloadError::Object { what: entry.path.to_string(), source },
                })?;
                content.check(&entry.path, entry.sha1)?;
                Some(object)
            }
            Kind::Symlink(target) if entry.sha1.is_some_and(|said| said != *Sha1::digest(target)) => {
                return Err(PayloadError::Checksum { path: entry.path });
            }
            _ => None,
        };
        data.add(&entry, content)?;
    }
    data.finish()
}

/// Where a link leads that is moved from one place to another with everything else.
fn moved_target(from: &TreePath, to: &TreePath, target: &str) -> String {
    if from == to || target.starts_with('/') {
        return target.to_owned();
    }
    let meant = below_usr(&from.resolve_link(target));
    if to.resolve_link(target) == meant { target.to_owned() } else { format!("/{}", meant.as_str()) }
}

/// A content that is checked against what its archive says it is.
struct Checked<'a> {
    content: &'a mut dyn Read,
    sha1: Option<Sha1>,
}

impl Read for Checked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.content.read(buffer)?;
        if let Some(sha1) = &mut self.sha1 {
            sha1.update(&buffer[..read]);
        }
        Ok(read)
    }
}

impl Checked<'_> {
    fn check(self, path: &TreePath, said: Option<[u8; 20]>) -> Result<(), PayloadError> {
        let found: Option<[u8; 20]> = self.sha1.map(|sha1| sha1.finalize().into());
        if found == said { Ok(()) } else { Err(PayloadError::Checksum { path: path.clone() }) }
    }
}

/// The files of a package while they come, one entry after the other.
pub(crate) struct Data<'a> {
    root: Dir,
    facts: Facts,
    accounts: &'a FixedAccounts,
}

impl<'a> Data<'a> {
    /// Nothing yet.
    pub(crate) fn new(accounts: &'a FixedAccounts) -> Self {
        Self { root: Dir::default(), facts: Facts::default(), accounts }
    }

    /// Takes an entry; `content` is the object of a file.
    pub(crate) fn add(&mut self, entry: &kiln_archive::Entry, content: Option<ObjectId>) -> Result<(), PayloadError> {
        // The links of base-files themselves stay where they are.
        let top_link = matches!(entry.kind, Kind::Symlink(_)) && entry.path.components().count() == 1;
        let path = if top_link { entry.path.clone() } else { below_usr(&entry.path) };
        match &entry.kind {
            Kind::File => {
                let object = content.ok_or_else(|| Self::conflict(&path, "it is a file without a content"))?;
                let file = FileEntry::plain(object, entry.size, entry.mode & 0o100 != 0);
                let plain = file.meta.mode;
                self.place(&path, Entry::File(file))?;
                self.permission(&path, entry, plain)
            }
            Kind::Directory => {
                self.directory(&path)?;
                self.permission(&path, entry, 0o755)
            }
            Kind::Symlink(target) => {
                if path != entry.path && path.resolve_link(target) == path && self.root.get(&path).is_some() {
                    // `/bin/x -> /usr/bin/x` beside the program itself: on a merged system they are one.
                    return Ok(());
                }
                let target = moved_target(&entry.path, &path, target);
                self.place(&path, Entry::Symlink(SymlinkEntry::plain(target)))?;
                self.permission(&path, entry, entry.mode)
            }
            Kind::Hardlink(target) => self.hardlink(&path, &below_usr(target)),
            Kind::Character { major, minor } => self.device(&path, entry, DeviceKind::Character, *major, *minor),
            Kind::Block { major, minor } => self.device(&path, entry, DeviceKind::Block, *major, *minor),
            Kind::Fifo => self.device(&path, entry, DeviceKind::Fifo, 0, 0),
        }
    }

    /// The tree, and what it cannot say.
    pub(crate) fn finish(self) -> Result<(Dir, Facts), PayloadError> {
        // Devices are not in the tree, so what else is at their places shows only now.
        match self.facts.devices.keys().find(|path| path.is_root() || self.root.get(path).is_some()) {
            Some(path) => Err(Self::conflict(path, "it is a device and something else")),
            None => Ok((self.root, self.facts)),
        }
    }

    fn conflict(path: &TreePath, why: impl Into<String>) -> PayloadError {
        PayloadError::Conflict { path: path.clone(), why: why.into() }
    }

    /// Puts a file or link. A path that comes twice must come with the same content, or the later one would silently
    /// win: after the move below `/usr` two different files may meet.
    fn place(&mut self, path: &TreePath, entry: Entry) -> Result<(), PayloadError> {
        match (self.root.get(path), &entry) {
            (None, _) => {}
            (Some(Entry::Symlink(old)), Entry::File(_)) if path.resolve_link(&old.target) == *path => {}
            (Some(old), new) if old == new => {}
            (Some(old), _) => {
                return Err(Self::conflict(path, format!("it is a {} and again a {}", old.kind(), entry.kind())));
            }
        }
        self.root.insert(path, entry).map_err(|error| Self::conflict(path, error.to_string()))?;
        Ok(())
    }

    fn directory(&mut self, path: &TreePath) -> Result<(), PayloadError> {
        self.root.dir_mut(path).map_err(|error| Self::conflict(path, error.to_string()))?;
        Ok(())
    }

    /// One more name of a file, which both of them then know to be shared.
    fn hardlink(&mut self, path: &TreePath, target: &TreePath) -> Result<(), PayloadError> {
        let Some(Entry::File(file)) = self.root.get(target) else {
            return Err(Self::conflict(path, format!("it is a hard link to `{target}`, which is no file before it")));
        };
        if path == target {
            return Ok(());
        }
        let mut file = file.clone();
        if !file.hardlinked {
            file.hardlinked = true;
            let entry = Entry::File(file.clone());
            self.root.insert(target, entry).map_err(|error| Self::conflict(target, error.to_string()))?;
        }
        self.place(path, Entry::File(file))?;
        if let Some(permission) = self.facts.permissions.get(target).cloned() {
            self.facts.permissions.insert(path.clone(), permission);
        }
        Ok(())
    }

    /// Keeps owner, mode and attributes where they differ from a plain tree's: root's, `plain`, none.
    fn permission(&mut self, path: &TreePath, entry: &kiln_archive::Entry, plain: u16) -> Result<(), PayloadError> {
        let mut permission = Permission {
            owner: self.owner(path, &entry.user, entry.uid, Account::User)?,
            group: self.owner(path, &entry.group, entry.gid, Account::Group)?,
            mode: (entry.mode != plain).then(|| Mode::new(entry.mode)),
            ..Permission::default()
        };
        for (name, value) in &entry.xattrs {
            match permitted_and_effective(value).filter(|_| &**name == "security.capability") {
                Some(capabilities) => permission.capabilities = capabilities,
                None => {
                    permission.xattrs.insert(name.to_string(), hex::encode(value));
                }
            }
        }
        // A second entry for a directory replaces what the first one said, as unpacking it would.
        if permission == Permission::default() {
            self.facts.permissions.remove(path);
        } else {
            self.facts.permissions.insert(path.clone(), permission);
        }
        Ok(())
    }

    fn device(
        &mut self,
        path: &TreePath,
        entry: &kiln_archive::Entry,
        kind: DeviceKind,
        major: u32,
        minor: u32,
    ) -> Result<(), PayloadError> {
        if !entry.xattrs.is_empty() {
            return Err(Self::conflict(path, "it is a device with extended attributes"));
        }
        let node = DeviceNode {
            kind,
            major,
            minor,
            owner: self.owner(path, &entry.user, entry.uid, Account::User)?,
            group: self.owner(path, &entry.group, entry.gid, Account::Group)?,
            mode: Some(Mode::new(entry.mode)),
        };
        // The directory that holds it is the package's too.
        self.directory(&path.parent().unwrap_or_default())?;
        self.facts.devices.insert(path.clone(), node);
        Ok(())
    }

    /// The name of an owner other than root.
    fn owner(
        &self,
        path: &TreePath,
        name: &str,
        number: u32,
        account: Account,
    ) -> Result<Option<AccountName>, PayloadError> {
        match (name, number) {
            ("root", _) | ("", 0) => Ok(None),
            ("", number) => match self.accounts.name(account, number) {
                Some(name) => Ok(Some(name)),
                None => Err(PayloadError::Owner { path: path.clone(), what: account.word(), number }),
            },
            (name, _) => name.parse().map(Some).map_err(PayloadError::Name),
        }
    }
}
