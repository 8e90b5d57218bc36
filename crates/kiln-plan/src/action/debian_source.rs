//! Unpacking Debian source packages: `kiln-import` knows the formats, `kiln-build` how to patch, and neither the other.

use std::path::Path;

use kiln_archive::extract::Links;
use kiln_build::graph::ActionError;
use kiln_build::patch::{self, FolderFiles};
use kiln_build::source::{SourceFile, Unpacker};
use kiln_import::debsource::{self, DistributionPatches, SourceError, SourcePackage, UnpackOptions};
use kiln_model::ObjectSource;
use kiln_store::Session;

use super::hinted;

/// Unpacks the upstream tarballs of a Debian source package, with or without the distribution's own changes.
pub struct DebianUnpacker {
    /// Are the distribution's own patches applied?
    pub apply_patches: bool,
    /// Where symbolic links may lead.
    pub links: Links,
}

impl Unpacker for DebianUnpacker {
    fn identity(&self) -> String {
        format!("debian/1 patches={} links={:?} patcher={}", self.apply_patches, self.links, patch::VERSION)
    }

    fn unpack(&self, files: &[SourceFile], session: &Session, destination: &Path) -> Result<(), ActionError> {
        let description = files.iter().find(|file| file.name.ends_with(".dsc"));
        let description = description.ok_or_else(|| ActionError::message("the source package has no `.dsc` file"))?;
        let bytes = session.read(&description.object).map_err(ActionError::new)?;
        let package = SourcePackage::parse(&bytes).map_err(hinted(SourceError::hint))?;
        let patches = if self.apply_patches { DistributionPatches::Apply } else { DistributionPatches::Leave };
        let options = UnpackOptions { patches, links: self.links, ..UnpackOptions::default() };
        let mut open = |wanted: &debsource::SourceFile| {
            let found = files.iter().find(|file| file.name == wanted.name);
            let found = found.ok_or_else(|| std::io::Error::other("the signed index does not list it"))?;
            session.object_file(&found.object, found.size).map_err(std::io::Error::other)
        };
        let mut apply = |folder: &Path, name: &str, text: &[u8]| {
            patch::apply(name, text, &mut FolderFiles::new(folder)).map(drop).map_err(Into::into)
        };
        debsource::unpack(&package, &mut open, destination, &options, &mut apply).map_err(hinted(SourceError::hint))?;
        Ok(())
    }
}
