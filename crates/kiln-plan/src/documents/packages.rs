//! One package of an image, as documents tell it.

use std::sync::Arc;

use kiln_build::graph::ActionError;
use kiln_build::recipe::BuildAction;
use kiln_build::source;
use kiln_model::lock::{LockedFile, LockedOrigin, LockedSource};
use kiln_model::project::{ImagePlace, Origin};
use kiln_model::{
    ArchiveKind, Digest, Dir, Entry, ObjectId, ObjectSource, OriginName, PackageName, PackageRecord, PackageRef,
    TreePath,
};
use kiln_sbom::{
    Checksums, DistroPackage, File, Licence, Location, Package, Patch, Purl, Source, SourceFile, copyright,
};

use super::{Builds, Documents, not_built};

impl Documents<'_> {
    /// Tells of a package. `tree` is what its copyright file is looked for in.
    pub(super) fn package(
        &self,
        record: ObjectId,
        package: &PackageRef,
        tree: &Arc<Dir>,
        files: Vec<File>,
        builds: &Builds,
    ) -> Result<Package, ActionError> {
        let record = self.record(record)?;
        match &record.origin {
            Some(origin) => self.imported(&record, origin, package, tree, files),
            None => self.built(&record, package, files, builds),
        }
    }

    fn imported(
        &self,
        record: &PackageRecord,
        origin: &OriginName,
        package: &PackageRef,
        tree: &Dir,
        files: Vec<File>,
    ) -> Result<Package, ActionError> {
        let locked = self.lock.find(package, self.architecture).map(|(_, locked)| locked);
        let archive = self.lock.origins.get(origin);
        let kind = archive.map_or(record.relations.syntax, |archive| archive.archive);
        let (source, version) =
            record.source.clone().unwrap_or_else(|| (record.name.to_string(), record.version.clone()));
        let source_purl =
            archive.and_then(|archive| Purl::of_source(kind, &archive.distribution, &archive.suite, &source, &version));
        // An image is built from no source package.
        let sources = (kind != ArchiveKind::Oci).then(|| Source {
            name: source,
            version: Some(version),
            purl: source_purl,
            location: None,
            commit: None,
            tree: None,
            files: Vec::new(),
        });
        let licence = if kind == ArchiveKind::Deb { self.copyright(&record.name, tree)? } else { Licence::unknown() };
        let digest = locked.map(|locked| locked.sha256);
        let purl = archive.and_then(|archive| self.purl(record, origin, archive, digest));
        Ok(Package {
            reference: package.to_string(),
            name: record.name.to_string(),
            version: record.version.clone(),
            summary: summary(record),
            supplier: archive.map_or_else(|| origin.to_string(), |archive| archive.distribution.clone()),
            purl: purl.map_or_else(|| unnamed(&record.name, &record.version), Ok)?,
            licence,
            digest,
            tree: record.tree.0,
            is_image: kind == ArchiveKind::Oci,
            is_built: false,
            sources: sources.into_iter().collect(),
            patches: Vec::new(),
            files,
        })
    }

    /// How others name a package of an archive.
    pub(super) fn purl_of(&self, record: &PackageRecord, package: &PackageRef) -> Option<Purl> {
        let origin = record.origin.as_ref()?;
        let digest = self.lock.find(package, self.architecture).map(|(_, locked)| locked.sha256);
        self.purl(record, origin, self.lock.origins.get(origin)?, digest)
    }

    fn purl(
        &self,
        record: &PackageRecord,
        origin: &OriginName,
        archive: &LockedOrigin,
        digest: Option<Digest>,
    ) -> Option<Purl> {
        if archive.archive == ArchiveKind::Oci {
            let declared = self.workspace.project.project.origins.get(origin).map(|origin| &origin.value);
            let repository = match declared {
                Some(Origin::Oci(settings)) => match &settings.place {
                    ImagePlace::Registry(address) => {
                        let address = address.split_once("://").map_or(&**address, |(_, rest)| rest);
                        Some(format!("{}/{}", address.trim_end_matches('/'), record.name))
                    }
                    ImagePlace::Layout(_) => None,
                },
                _ => None,
            };
            let architecture = record.architecture.unwrap_or(self.architecture);
            return Purl::of_image(record.name.as_str(), &digest?, architecture, repository.as_deref());
        }
        Purl::of_distribution(&DistroPackage {
            kind: archive.archive,
            distribution: &archive.distribution,
            suite: &archive.suite,
            name: record.name.as_str(),
            version: &record.version,
            architecture: record.architecture,
        })
    }

    /// The licence that a Debian package's copyright file declares.
    fn copyright(&self, name: &PackageName, tree: &Dir) -> Result<Licence, ActionError> {
        let Ok(path) = format!("usr/share/doc/{name}/copyright").parse::<TreePath>() else {
            return Ok(Licence::unknown());
        };
        // Many have a link to that of another package.
        let Some((_, Some(Entry::File(file)))) = tree.resolve(&path) else { return Ok(Licence::unknown()) };
        let text = self.services.session.read(&file.object).map_err(ActionError::new)?;
        Ok(copyright::licence(&text))
    }

    fn built(
        &self,
        record: &PackageRecord,
        package: &PackageRef,
        files: Vec<File>,
        builds: &Builds,
    ) -> Result<Package, ActionError> {
        // A part is built by its recipe.
        let name = record.source.as_ref().map_or_else(|| record.name.to_string(), |(name, _)| name.clone());
        let name: PackageName = name.parse().map_err(ActionError::new)?;
        let recipe = self.workspace.project.recipes.get(&name).ok_or_else(|| not_built(&name))?;
        let node = builds.get(&name).copied().and_then(|node| self.builds(node));
        let build = node.ok_or_else(|| not_built(&name))?;
        let sources = self.sources(build);
        let why = |path: &str| recipe.patches.iter().find(|patch| patch.path.value.as_str() == path);
        let patches = build.patches.iter().map(|patch| Patch {
            path: patch.name.clone(),
            why: why(&patch.name).map(|patch| patch.why.clone()).unwrap_or_default(),
            checksums: Checksums::of(&patch.bytes),
        });
        Ok(Package {
            reference: package.to_string(),
            name: record.name.to_string(),
            version: record.version.clone(),
            summary: Some(recipe.summary.clone()).filter(|summary| !summary.is_empty()),
            supplier: self.workspace.project.project.name.value.clone(),
            purl: generic(&record.name, &record.version, &sources)?,
            licence: Licence::declared(&recipe.license),
            digest: None,
            tree: record.tree.0,
            is_image: false,
            is_built: true,
            patches: patches.collect(),
            sources,
            files,
        })
    }

    /// What a recipe is built from, as the lock pins it, with the trees that it came to.
    pub(super) fn sources(&self, build: &BuildAction) -> Vec<Source> {
        let mut sources = Vec::new();
        for (index, planned) in (0..).zip(&build.sources) {
            let result = self.finished.result(planned.node);
            let tree = result.and_then(|result| result.trees.get(source::TREE)).map(|tree| tree.0);
            let Some(locked) = self.lock.sources.get(&(build.name.clone(), index)) else { continue };
            sources.push(self.source(build, locked, tree));
        }
        sources
    }

    fn source(&self, build: &BuildAction, locked: &LockedSource, tree: Option<Digest>) -> Source {
        let name = build.name.to_string();
        let none = Source { name, version: None, purl: None, location: None, commit: None, tree, files: Vec::new() };
        match locked {
            LockedSource::Origin { origin, package, version, files } => {
                let archive = self.lock.origins.get(origin);
                let purl = archive.and_then(|archive| {
                    let LockedOrigin { archive, distribution, suite, .. } = archive;
                    Purl::of_source(*archive, distribution, suite, package.as_str(), version)
                });
                let file = |file: &LockedFile| SourceFile { name: file.name.clone(), sha256: file.sha256 };
                let files = files.iter().map(file).collect();
                Source { name: package.to_string(), version: Some(version.clone()), purl, files, ..none }
            }
            LockedSource::Archive { url, sha256, .. } => {
                let file = url.rsplit('/').next().unwrap_or(url).to_owned();
                let from = Location::Archive { url, sha256: *sha256 };
                let purl = Purl::generic(build.name.as_str(), Some(&build.version), &from);
                // A file of this machine is nowhere for anybody else.
                let location = is_remote(url).then(|| url.clone());
                let files = vec![SourceFile { name: file, sha256: *sha256 }];
                let purl = purl.filter(|_| location.is_some());
                Source { version: Some(build.version.clone()), purl, location, files, ..none }
            }
            LockedSource::Git { url, commit, .. } => {
                let from = Location::Git { url, commit };
                let remote = is_remote(url);
                let purl = Purl::generic(build.name.as_str(), Some(&build.version), &from).filter(|_| remote);
                let location = remote.then(|| format!("git+{url}@{commit}"));
                let version = Some(build.version.clone());
                Source { version, purl, location, commit: Some(commit.clone()), ..none }
            }
            LockedSource::Path { path } => Source { name: path.clone(), ..none },
        }
    }
}

/// A package that was built here: named by its one source, if it has one that others can reach.
fn generic(name: &PackageName, version: &str, sources: &[Source]) -> Result<Purl, ActionError> {
    let [Source { location: Some(location), commit, files, .. }] = sources else { return unnamed(name, version) };
    let from = match (commit, &files[..]) {
        (Some(commit), _) => {
            let url = location.strip_prefix("git+").unwrap_or(location);
            Location::Git { url: url.strip_suffix(&format!("@{commit}")).unwrap_or(url), commit }
        }
        (None, [file]) => Location::Archive { url: location, sha256: file.sha256 },
        _ => Location::Unknown,
    };
    Purl::generic(name.as_str(), Some(version), &from).map_or_else(|| unnamed(name, version), Ok)
}

fn unnamed(name: &PackageName, version: &str) -> Result<Purl, ActionError> {
    let missing = || ActionError::message(format!("`{name}` {version} cannot be named as a package URL"));
    Purl::generic(name.as_str(), Some(version), &Location::Unknown).ok_or_else(missing)
}

fn is_remote(url: &str) -> bool {
    ["https://", "http://", "git://", "ssh://"].iter().any(|scheme| url.starts_with(scheme))
}

/// The first line of what an archive says of a package.
fn summary(record: &PackageRecord) -> Option<String> {
    let (_, text) = record.listing.iter().find(|(field, _)| field == "Description")?;
    text.lines().next().map(str::to_owned).filter(|line| !line.is_empty())
}
