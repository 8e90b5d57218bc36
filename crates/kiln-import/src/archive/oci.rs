//! Container images behind the seam.

use kiln_archive::Limits;
use kiln_model::lock::{LockedOrigin, LockedPackage, PackageKey};
use kiln_model::package::Relations;
use kiln_model::project::Origin;
use kiln_model::{Architecture, ArchiveKind, ObjectSink, OriginName};

use super::relations::{Provided, RelationSyntax, SyntaxError, Term, Wish};
use super::{
    ArchiveFormat, ImportError, Imported, Means, Offer, OpenArchive, OriginError, OriginRequest, PackageFile, of_type,
};
use crate::oci;
use crate::solver::{SolveError, SolveRequest};

/// Images.
pub(super) struct Oci;

impl OpenArchive for oci::Archive {
    fn state(&self) -> LockedOrigin {
        self.state()
    }

    fn offers(&self, package: &PackageKey, means: &Means<'_>) -> Result<Vec<Offer>, OriginError> {
        let name = package.name.as_str();
        let Some(architecture) = package.architecture else { return Ok(Vec::new()) };
        let image = self.image(name, architecture, means)?;
        let offer = |image: oci::Image| {
            let LockedPackage { version, path, sha256, size, .. } = self.pin(name, &image);
            Offer { version, path, sha256: Some(sha256), size }
        };
        Ok(image.map(offer).into_iter().collect())
    }
}

impl ArchiveFormat for Oci {
    fn kind(&self) -> ArchiveKind {
        ArchiveKind::Oci
    }

    fn mirror_holds(&self) -> &'static str {
        "the repositories, below `/v2/`"
    }

    fn open(&self, request: &OriginRequest<'_>, _: &Means<'_>) -> Result<Box<dyn OpenArchive>, OriginError> {
        let Origin::Oci(settings) = request.origin else { unreachable!("an origin is opened by its own kind") };
        Ok(Box::new(oci::Archive::new(request.name, settings, request.mirrors, request.locked)))
    }

    fn unknown(
        &self,
        archives: &[(&OriginName, &dyn OpenArchive)],
        requests: &[SolveRequest],
        architecture: Architecture,
        means: &Means<'_>,
    ) -> Result<Vec<(SolveRequest, SolveError)>, OriginError> {
        let archives = of_type::<oci::Archive>(archives);
        let mut found = Vec::new();
        for request in requests {
            let SolveRequest::Package { origin, name, .. } = request else { continue };
            let Some((_, archive)) = archives.iter().find(|(of, _)| *of == origin) else { continue };
            if archive.image(name.as_str(), architecture, means)?.is_none() {
                let (origin, name) = (origin.clone(), name.clone());
                found.push((request.clone(), SolveError::UnknownPackage { origin, name, similar: Vec::new() }));
            }
        }
        Ok(found)
    }

    fn resolve(
        &self,
        archives: &[(&OriginName, &dyn OpenArchive)],
        requests: &[SolveRequest],
        architecture: Architecture,
        means: &Means<'_>,
    ) -> Result<Vec<(PackageKey, LockedPackage)>, OriginError> {
        let archives = of_type::<oci::Archive>(archives);
        let mut locked = Vec::new();
        for request in requests {
            let SolveRequest::Package { origin, name, .. } = request else { continue };
            let archive = archives.iter().find(|(of, _)| *of == origin);
            let (_, archive) = archive.ok_or_else(|| SolveError::UnknownOrigin(origin.clone()))?;
            let image = archive.image(name.as_str(), architecture, means)?;
            let unknown =
                || SolveError::UnknownPackage { origin: origin.clone(), name: name.clone(), similar: Vec::new() };
            let package = archive.pin(name.as_str(), &image.ok_or_else(unknown)?);
            let key = PackageKey { origin: origin.clone(), name: name.clone(), architecture: Some(architecture) };
            locked.push((key, package));
        }
        Ok(locked)
    }

    fn importer(&self) -> &'static str {
        "import.oci/1"
    }

    fn is_named_by_the_lock(&self) -> bool {
        true
    }

    fn import(
        &self,
        package: PackageFile<'_>,
        origin: OriginName,
        objects: &dyn ObjectSink,
        limits: &Limits,
    ) -> Result<Imported, ImportError> {
        let part = |(digest, file)| oci::Part { digest, file };
        let named = oci::Named { origin: &origin, name: package.name, version: package.version };
        let parts = package.parts.into_iter().map(part).collect();
        Ok(oci::import(package.file, parts, &named, objects, limits)?)
    }

    fn relations(&self) -> &dyn RelationSyntax {
        self
    }
}

/// An image is whole: it needs nothing, is against nothing and answers to its own name only.
impl RelationSyntax for Oci {
    fn needs(&self, _: &Relations) -> Result<Vec<Wish>, SyntaxError> {
        Ok(Vec::new())
    }

    fn against(&self, _: &Relations) -> Result<Vec<(&'static str, Term)>, SyntaxError> {
        Ok(Vec::new())
    }

    fn provides(&self, _: &Relations) -> Result<Vec<Provided>, SyntaxError> {
        Ok(Vec::new())
    }

    fn admits(&self, version: &str, _: &str, bound: &str) -> bool {
        version == bound
    }
}
