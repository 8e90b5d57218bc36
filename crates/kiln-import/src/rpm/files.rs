//! The files of a package: what its header says of each, and their contents out of the payload.
//!
//! The header is what counts: type, mode, owner, links, capabilities, digests. The payload is a sequence of contents; an
//! entry that the header does not know, or that comes twice, or one that is missing is an error. `%ghost` files are in the
//! header alone, and in no package's tree. Names of one inode follow each other in the payload, and the last one has the
//! content.

use std::collections::BTreeMap;
use std::io::Read;

use kiln_archive::cpio::{Member, Reader};
use kiln_archive::tree::{StoreError, store};
use kiln_archive::{Compression, Entry, Kind, Limits, limits};
use kiln_model::{Digest, Dir, Facts, ObjectSink, TreePath, capability};

use super::capabilities;
use super::error::RpmError;
use super::header::Header;
use super::tag;
use crate::payload::{Data, FixedAccounts, PayloadError};

/// Owners are named, so no number needs a name.
const NO_ACCOUNTS: FixedAccounts = FixedAccounts { users: &[], groups: &[] };

/// Flags of files (`rpmfiles.h`).
const CONFIGURATION: u64 = 1;
const GHOST: u64 = 1 << 6;

/// SHA-256 among the algorithms of digests (RFC 4880).
const SHA256: u64 = 8;

/// A file as the header has it.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub path: TreePath,
    flags: u64,
    mode: u32,
    user: String,
    group: String,
    size: u64,
    target: String,
    device: u64,
    /// Names of one inode have the same.
    inode: (u64, u64),
    digest: Option<Digest>,
    capabilities: Option<Box<[u8]>>,
}

impl File {
    pub fn is_ghost(&self) -> bool {
        self.flags & GHOST != 0
    }

    pub fn is_configuration(&self) -> bool {
        self.flags & CONFIGURATION != 0
    }

    fn kind(&self) -> Result<Kind, RpmError> {
        let (major, minor) = ((self.device >> 8) as u32, (self.device & 0xff) as u32);
        Ok(match self.mode & 0o170_000 {
            0o100_000 => Kind::File,
            0o040_000 => Kind::Directory,
            0o120_000 if self.target.is_empty() || self.target.contains('\0') => {
                return Err(files(format!("`{}` is a link to nothing", self.path)));
            }
            0o120_000 => Kind::Symlink(self.target.clone()),
            0o020_000 => Kind::Character { major, minor },
            0o060_000 => Kind::Block { major, minor },
            0o010_000 => Kind::Fifo,
            other => return Err(files(format!("`{}` is of type {other:o}, which is not known", self.path))),
        })
    }

    fn entry(&self, kind: Kind) -> Entry {
        let size = if kind == Kind::File { self.size } else { 0 };
        // A link's own mode means nothing.
        let mode = if matches!(kind, Kind::Symlink(_)) { 0o777 } else { (self.mode & 0o7777) as u16 };
        let mut entry = Entry { mode, size, ..Entry::new(self.path.clone(), kind) };
        (entry.user, entry.group) = (self.user.clone(), self.group.clone());
        if let Some(value) = &self.capabilities {
            entry.xattrs.insert(capability::XATTR.into(), value.clone());
        }
        entry
    }
}

fn files(why: String) -> RpmError {
    RpmError::Files(why, None)
}

/// The files that the header names.
pub(super) fn of_header(header: &Header) -> Result<Vec<File>, RpmError> {
    let names = header.texts(tag::BASE_NAMES)?;
    if names.is_empty() && header.has(tag::OLD_NAMES) {
        return Err(tag::OLD_NAMES.fault("names of files in the form of rpm before version 4 are not read"));
    }
    let folders = header.texts(tag::FOLDER_NAMES)?;
    let indexes = header.numbers(tag::FOLDER_INDEXES)?;
    let sizes = if header.has(tag::LONG_FILE_SIZES) { tag::LONG_FILE_SIZES } else { tag::FILE_SIZES };
    let (modes, sizes_of) = (header.numbers(tag::FILE_MODES)?, header.numbers(sizes)?);
    let (devices, targets) = (header.numbers(tag::FILE_DEVICES)?, header.texts(tag::FILE_LINKS)?);
    let (users, groups) = (header.texts(tag::FILE_USERS)?, header.texts(tag::FILE_GROUPS)?);
    let (systems, inodes) = (header.numbers(tag::FILE_FILESYSTEMS)?, header.numbers(tag::FILE_INODES)?);
    let (flags, digests) = (header.numbers(tag::FILE_FLAGS)?, header.texts(tag::FILE_DIGESTS)?);
    let held = header.texts(tag::FILE_CAPABILITIES)?;
    let count = names.len();
    let lengths = [
        (tag::FOLDER_INDEXES, indexes.len()),
        (tag::FILE_MODES, modes.len()),
        (sizes, sizes_of.len()),
        (tag::FILE_DEVICES, devices.len()),
        (tag::FILE_LINKS, targets.len()),
        (tag::FILE_USERS, users.len()),
        (tag::FILE_GROUPS, groups.len()),
        (tag::FILE_FILESYSTEMS, systems.len()),
        (tag::FILE_INODES, inodes.len()),
        (tag::FILE_FLAGS, flags.len()),
        (tag::FILE_DIGESTS, digests.len()),
    ];
    for (tag, length) in lengths {
        if length != count {
            return Err(tag.fault(format!("there are {length}, for {count} files")));
        }
    }
    if !held.is_empty() && held.len() != count {
        return Err(tag::FILE_CAPABILITIES.fault(format!("there are {}, for {count} files", held.len())));
    }
    let is_sha256 = header.numbers(tag::FILE_DIGEST_ALGORITHM)?.first() == Some(&SHA256);
    let mut list = Vec::with_capacity(count);
    for at in 0..count {
        let folder = usize::try_from(indexes[at]).ok().and_then(|index| folders.get(index));
        let folder = folder.ok_or_else(|| tag::FOLDER_INDEXES.fault("there is no folder of this number"))?;
        let path = format!("{folder}{}", names[at]);
        // A directory is written with no slash at its end, but for the root.
        let path = TreePath::from_absolute(&path).map_err(RpmError::Path)?;
        let digest = match digests[at] {
            hex if is_sha256 && !hex.is_empty() => {
                let digest = hex.parse().map_err(|_| tag::FILE_DIGESTS.fault(format!("that of `{path}` is none")))?;
                Some(digest)
            }
            _ => None,
        };
        let capabilities = match held.get(at) {
            Some(text) => capabilities::attribute(text)
                .map_err(|why| tag::FILE_CAPABILITIES.fault(format!("those of `{path}`: {why}")))?,
            None => None,
        };
        list.push(File {
            flags: flags[at],
            mode: modes[at] as u32,
            user: users[at].to_owned(),
            group: groups[at].to_owned(),
            size: sizes_of[at],
            target: targets[at].to_owned(),
            device: devices[at],
            inode: (systems[at], inodes[at]),
            digest,
            capabilities,
            path,
        });
    }
    Ok(list)
}

/// How the payload is compressed.
pub(super) fn compression(header: &Header) -> Result<Compression, RpmError> {
    match header.text(tag::PAYLOAD_FORMAT)? {
        None | Some("cpio") => {}
        Some(other) => return Err(tag::PAYLOAD_FORMAT.fault(format!("`{other}` is not known"))),
    }
    match header.text(tag::PAYLOAD_COMPRESSOR)? {
        None | Some("gzip") => Ok(Compression::Gzip),
        Some("xz") => Ok(Compression::Xz),
        Some("zstd") => Ok(Compression::Zstd),
        Some("bzip2") => Ok(Compression::Bzip2),
        Some("lzma") => Ok(Compression::Lzma),
        Some("none" | "identity" | "") => Ok(Compression::None),
        Some(other) => Err(tag::PAYLOAD_COMPRESSOR.fault(format!("`{other}` is not known"))),
    }
}

/// Reads the payload into a tree, and facts of what the tree cannot say.
pub(super) fn read(
    list: &[File],
    compression: Compression,
    reader: impl Read + Send,
    objects: &dyn ObjectSink,
    limits: &Limits,
) -> Result<(Dir, Facts), RpmError> {
    let fault = |source| RpmError::Read { part: "payload", source };
    let decoded = limits::open(compression, reader, limits).map_err(|error| fault(error.into()))?;
    let mut cpio = Reader::new(decoded, limits);
    let mut payload = Payload::new(list);
    while let Some(member) = cpio.next_member().map_err(fault)? {
        let at = payload.expect(&member)?;
        let file = &list[at];
        let size = match member {
            Member::Named { size, .. } => size,
            Member::Numbered(_) => {
                let size = payload.numbered_size(at);
                cpio.content(size);
                size
            }
        };
        match file.kind()? {
            Kind::File => {
                if payload.link_or_wait(at, size)? {
                    continue;
                }
                if size != file.size {
                    return Err(files(format!("`{}` has {size} bytes, and {} in the header", file.path, file.size)));
                }
                let object = store(&mut cpio, size, objects).map_err(|error| match error {
                    StoreError::Read(source) => fault(source.into()),
                    StoreError::Object(source) => RpmError::Object { what: file.path.to_string(), source },
                })?;
                if file.digest.is_some_and(|digest| digest != object.0) {
                    return Err(PayloadError::Checksum { path: file.path.clone() }.into());
                }
                payload.data.add(&file.entry(Kind::File), Some(object))?;
                payload.link_those_that_wait(at)?;
            }
            Kind::Symlink(target) => {
                let mut content = Vec::new();
                cpio.by_ref().take(8192).read_to_end(&mut content).map_err(|error| fault(error.into()))?;
                if content != target.as_bytes() {
                    return Err(files(format!("`{}` leads elsewhere than the header says", file.path)));
                }
                payload.data.add(&file.entry(Kind::Symlink(target)), None)?;
            }
            kind => payload.data.add(&file.entry(kind), None)?,
        }
    }
    payload.finish()
}

/// What has come of the payload so far.
struct Payload<'a> {
    list: &'a [File],
    by_path: BTreeMap<&'a TreePath, usize>,
    /// The names of inodes that have several, in the header's order.
    shared: BTreeMap<(u64, u64), Vec<usize>>,
    /// The name of each such inode that brought its content.
    brought: BTreeMap<(u64, u64), usize>,
    seen: Vec<bool>,
    data: Data<'a>,
}

impl<'a> Payload<'a> {
    fn new(list: &'a [File]) -> Self {
        let present = || list.iter().enumerate().filter(|(_, file)| !file.is_ghost());
        let mut shared: BTreeMap<(u64, u64), Vec<usize>> = BTreeMap::new();
        for (at, file) in present().filter(|(_, file)| file.mode & 0o170_000 == 0o100_000) {
            shared.entry(file.inode).or_default().push(at);
        }
        shared.retain(|_, names| names.len() > 1);
        Self {
            list,
            by_path: present().map(|(at, file)| (&file.path, at)).collect(),
            shared,
            brought: BTreeMap::new(),
            seen: vec![false; list.len()],
            data: Data::new(&NO_ACCOUNTS),
        }
    }

    /// The file that an entry is of.
    fn expect(&mut self, member: &Member) -> Result<usize, RpmError> {
        let at = match member {
            Member::Named { name, mode, .. } => {
                let path = TreePath::from_archive(name).map_err(RpmError::Path)?;
                let at = self.by_path.get(&path).copied();
                let at = at.ok_or_else(|| files(format!("`{path}` is in the payload and not in the header")))?;
                if mode & 0o170_000 != self.list[at].mode & 0o170_000 {
                    return Err(files(format!("`{path}` is of another type than the header says")));
                }
                at
            }
            Member::Numbered(number) => {
                let at = usize::try_from(*number).ok().filter(|at| *at < self.list.len());
                at.ok_or_else(|| files(format!("file {number} is in the payload and not in the header")))?
            }
        };
        if std::mem::replace(&mut self.seen[at], true) {
            return Err(files(format!("`{}` is twice in the payload", self.list[at].path)));
        }
        Ok(at)
    }

    fn names(&self, at: usize) -> &[usize] {
        self.shared.get(&self.list[at].inode).map_or(&[], Vec::as_slice)
    }

    /// How long the content of a numbered entry is: of the names of an inode only the last has any.
    fn numbered_size(&self, at: usize) -> u64 {
        match self.list[at].mode & 0o170_000 {
            0o100_000 if self.names(at).iter().any(|name| !self.seen[*name]) => 0,
            0o100_000 => self.list[at].size,
            0o120_000 => self.list[at].target.len() as u64,
            _ => 0,
        }
    }

    /// Deals with a name of an inode whose content came, or comes, with another name. False when it brings the content.
    fn link_or_wait(&mut self, at: usize, size: u64) -> Result<bool, RpmError> {
        let file = &self.list[at];
        if self.names(at).is_empty() || size != 0 {
            return Ok(false);
        }
        if let Some(first) = self.brought.get(&file.inode).copied() {
            self.link(at, first)?;
            return Ok(true);
        }
        // The last name brings it, be it empty.
        Ok(file.size != 0 && self.names(at).iter().any(|name| !self.seen[*name]))
    }

    /// Gives a file, which just came with its content, the other names that came before it.
    fn link_those_that_wait(&mut self, first: usize) -> Result<(), RpmError> {
        let names = self.names(first).to_vec();
        if names.is_empty() {
            return Ok(());
        }
        if self.brought.insert(self.list[first].inode, first).is_some() {
            return Err(files(format!("`{}` brings the content of an inode a second time", self.list[first].path)));
        }
        for name in names {
            if name != first && self.seen[name] {
                self.link(name, first)?;
            }
        }
        Ok(())
    }

    fn link(&mut self, name: usize, first: usize) -> Result<(), RpmError> {
        let (file, other) = (&self.list[first], &self.list[name]);
        if other.size != file.size || other.digest != file.digest {
            return Err(files(format!("`{}` and `{}` are one file with two contents", file.path, other.path)));
        }
        Ok(self.data.add(&other.entry(Kind::Hardlink(file.path.clone())), None)?)
    }

    fn finish(self) -> Result<(Dir, Facts), RpmError> {
        let lacks = |at: &usize| {
            let has_content = self.names(*at).is_empty() || self.brought.contains_key(&self.list[*at].inode);
            !self.seen[*at] || !has_content
        };
        let missing = self.by_path.values().find(|at| lacks(at));
        match missing {
            Some(at) => Err(files(format!("`{}` is in the header and not in the payload", self.list[*at].path))),
            None => Ok(self.data.finish()?),
        }
    }
}
