//! The nodes that bring a distribution's packages: one fetch and one import for each, whoever wants it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kiln_build::graph::{Graph, NodeId};
use kiln_build::source::{FetchAction, Pinned, PlaceOfPin};
use kiln_fetch::{Expect, Request, Url};
use kiln_import::archive::format_of;
use kiln_import::mirror::MirrorError;
use kiln_model::lock::{EntryRef, LOCK_FILE, Lock, LockedFile, LockedPackage, PackageKey, TargetKey};
use kiln_model::{Architecture, ArchiveKind, Digest, ObjectId, OriginName, PackageName, PackageRef};

use crate::action::{ImportAction, MemberNode};
use crate::services::Services;
use crate::workspace::Workspace;

/// Why a package cannot be brought.
#[derive(Debug, thiserror::Error)]
pub enum ImportsError {
    /// Nobody names a mirror, and the package is not in the store.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// The lock has no such target.
    #[error("`kiln.lock` does not have `{0}`")]
    NoTarget(String),
    /// A path in the lock cannot be part of an address.
    #[error("`{path}` in `kiln.lock` is not a path in an archive")]
    Path {
        /// The path.
        path: String,
    },
}

impl ImportsError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Mirror(error) => error.hint(),
            Self::NoTarget(_) | Self::Path { .. } => Some("run `kiln lock`".to_owned()),
        }
    }
}

/// What of a lock pins a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinnedBy {
    /// A package.
    Package(PackageKey),
    /// A source of a recipe.
    Source(PackageName, u32),
}

impl PinnedBy {
    /// `kiln.lock` and the line, as far as it is known.
    pub(crate) fn place(&self, text: Option<&str>, field: Option<&str>) -> String {
        let entry = match self {
            Self::Package(key) => EntryRef::Package(key),
            Self::Source(recipe, index) => EntryRef::Source(recipe, *index),
        };
        let line = text.and_then(|text| entry.line(text, field));
        line.map_or_else(|| LOCK_FILE.to_owned(), |line| format!("{LOCK_FILE}:{line}"))
    }
}

/// Adds import nodes to a graph.
pub struct Imports<'a> {
    workspace: &'a Workspace,
    services: &'a Services,
    lock: &'a Lock,
    /// The lock's text, for the lines of its entries.
    text: Option<Arc<str>>,
    nodes: BTreeMap<PackageKey, NodeId>,
    /// The members of each set of packages that targets of the lock share, by where the set lies: the lock outlives this.
    sets: BTreeMap<(*const BTreeSet<PackageRef>, Architecture), Arc<[MemberNode]>>,
    urls: BTreeMap<OriginName, Vec<Url>>,
}

impl<'a> Imports<'a> {
    /// For the packages of a project's lock.
    #[must_use]
    pub fn new(workspace: &'a Workspace, services: &'a Services, lock: &'a Lock) -> Self {
        let text = workspace.lock_text.clone();
        let (nodes, sets, urls) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { workspace, services, lock, text, nodes, sets, urls }
    }

    /// The packages of a target.
    ///
    /// # Errors
    /// When the lock does not have it, or a package that is not in the store cannot be asked for.
    pub fn target(
        &mut self,
        graph: &mut Graph,
        name: &str,
        architecture: Architecture,
    ) -> Result<Arc<[MemberNode]>, ImportsError> {
        let lock = self.lock;
        let key = TargetKey { name: name.to_owned(), architecture };
        let Some(target) = lock.targets.get(&key) else { return Err(ImportsError::NoTarget(key.name)) };
        let set = (Arc::as_ptr(&target.packages), architecture);
        if let Some(members) = self.sets.get(&set) {
            return Ok(Arc::clone(members));
        }
        let packages = lock.packages_of(target, architecture);
        let mut members = Vec::with_capacity(packages.len());
        for (key, package) in packages {
            let node = self.package(graph, key, package)?;
            members.push(MemberNode { origin: key.origin.clone(), name: key.name.clone(), node });
        }
        let members: Arc<[MemberNode]> = members.into();
        self.sets.insert(set, Arc::clone(&members));
        Ok(members)
    }

    fn package(
        &mut self,
        graph: &mut Graph,
        key: &PackageKey,
        package: &LockedPackage,
    ) -> Result<NodeId, ImportsError> {
        if let Some(node) = self.nodes.get(key) {
            return Ok(*node);
        }
        let subject = format!("{} {}", key.name, package.version);
        let (file, parts) = self.files(graph, key, package)?;
        let text = self.text.clone();
        let by = PinnedBy::Package(key.clone());
        let node = graph.add(ImportAction {
            name: subject,
            kind: self.kind(&key.origin),
            origin: key.origin.clone(),
            file,
            size: package.size + package.parts.iter().map(|part| part.size).sum::<u64>(),
            parts,
            package: (key.name.clone(), package.version.clone(), key.architecture),
            place: Arc::new(move |field| by.place(text.as_deref(), Some(field))),
        });
        self.nodes.insert(key.clone(), node);
        Ok(node)
    }

    /// The nodes that bring the files of a package: its first one, and the others that it consists of.
    pub(crate) fn files(
        &mut self,
        graph: &mut Graph,
        key: &PackageKey,
        package: &LockedPackage,
    ) -> Result<(NodeId, Vec<NodeId>), ImportsError> {
        let pinned = LockedFile {
            name: format!("{} {}", key.name, package.version),
            path: package.path.clone(),
            sha256: package.sha256,
            size: package.size,
        };
        let file = self.file(graph, &key.origin, &pinned, &PinnedBy::Package(key.clone()))?;
        let mut parts = Vec::with_capacity(package.parts.len());
        for part in &package.parts {
            let part = LockedFile { name: format!("{} ({})", key.name, part.name), ..part.clone() };
            parts.push(self.file(graph, &key.origin, &part, &PinnedBy::Package(key.clone()))?);
        }
        Ok((file, parts))
    }

    /// The node that brings a file of a source package.
    pub(crate) fn source_file(
        &mut self,
        graph: &mut Graph,
        origin: &OriginName,
        (package, version): (&PackageName, &str),
        file: &LockedFile,
        by: &PinnedBy,
    ) -> Result<NodeId, ImportsError> {
        let pinned = LockedFile { name: format!("{package} {version}: {}", file.name), ..file.clone() };
        self.file(graph, origin, &pinned, by)
    }

    /// The node that brings a file by its address. `place` says where it is pinned.
    pub(crate) fn address(
        &self,
        graph: &mut Graph,
        address: Url,
        (sha256, size): (Digest, Option<u64>),
        place: PlaceOfPin,
    ) -> NodeId {
        let name =
            address.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or(address.as_str()).to_owned();
        let request = Request { urls: vec![address], expect: Expect::Digest { sha256, size }, subject: name };
        let (fetcher, work) = (Arc::clone(&self.services.fetcher), self.services.work.clone());
        graph.add(FetchAction { request, fetcher, pinned: Some(Pinned { place, gone: None, other: None }), work })
    }

    /// A node that brings a file of an archive.
    ///
    /// # Errors
    /// When it is not in the store and there is nobody to ask for it.
    pub fn file(
        &mut self,
        graph: &mut Graph,
        origin: &OriginName,
        pinned: &LockedFile,
        by: &PinnedBy,
    ) -> Result<NodeId, ImportsError> {
        let LockedFile { name, path, sha256, size } = pinned;
        let wrong = || ImportsError::Path { path: path.to_owned() };
        // What is in the store or the project needs no mirror: a machine without one still builds.
        let there = self.services.session.has_object(&ObjectId(*sha256)) || self.services.fetcher.has_vendored(sha256);
        let mut urls = Vec::new();
        match self.mirrors(origin) {
            Ok(mirrors) => {
                for mirror in mirrors {
                    urls.push(mirror.join(path).map_err(|_| wrong())?);
                }
            }
            Err(_) if there => {}
            Err(error) => return Err(error.into()),
        }
        let expect = Expect::Digest { sha256: *sha256, size: Some(*size) };
        let request = Request { urls, expect, subject: name.clone() };
        let (fetcher, work) = (Arc::clone(&self.services.fetcher), self.services.work.clone());
        let (by, text) = (by.clone(), self.text.clone());
        let pinned = Pinned {
            place: Arc::new(move || by.place(text.as_deref(), None)),
            gone: Some(format!("the archive has moved on: `kiln lock --update {origin}` takes what it has now")),
            other: Some(format!(
                "if the lock was edited or merged by hand, `kiln lock` puts it right; otherwise the mirror has another \
                 file: ask another one, or take what the archive has now with `kiln lock --update {origin}`"
            )),
        };
        Ok(graph.add(FetchAction { request, fetcher, pinned: Some(pinned), work }))
    }

    fn kind(&self, origin: &OriginName) -> ArchiveKind {
        self.lock.origins.get(origin).map(|locked| locked.archive).unwrap_or_default()
    }

    fn mirrors(&mut self, origin: &OriginName) -> Result<&[Url], MirrorError> {
        if !self.urls.contains_key(origin) {
            // A lock that is used has the origins that the project has.
            let none = || MirrorError::None {
                origin: origin.to_string(),
                distribution: origin.to_string(),
                holds: format_of(self.kind(origin)).mirror_holds(),
            };
            let declared = self.workspace.project.project.origins.get(origin).ok_or_else(none)?;
            let mirrors = &self.services.settings.mirrors;
            let places = mirrors.places(origin.as_str(), &declared.value, &self.workspace.folder)?;
            let urls = places.into_iter().map(|mirror| mirror.url).collect();
            self.urls.insert(origin.clone(), urls);
        }
        Ok(self.urls.get(origin).map_or(&[], Vec::as_slice))
    }
}

/// As an image names a member.
#[must_use]
pub fn reference(member: &MemberNode) -> PackageRef {
    PackageRef::Origin(member.origin.clone(), member.name.clone())
}
