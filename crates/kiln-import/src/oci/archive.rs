//! The images of one origin: find one under its name and tag, pin it, follow it to its manifest.
//!
//! A registry is asked as the distribution specification has it, below `/v2/`; a folder in the image layout is read the
//! same way, by addresses of files. What is under a tag is believed once, when it is locked; from there on digests lead.
//!
//! What is kept is a cache in one folder:
//!
//! ```text
//! SHA256.oci-document    an index, manifest or configuration, named by its digest
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;

use kiln_fetch::{Expect, FetchError, Request};
use kiln_model::lock::{LockedFile, LockedIndex, LockedOrigin, LockedPackage};
use kiln_model::project::{ImagePlace, OciOrigin};
use kiln_model::{Architecture, ArchiveKind, Digest, OriginName};

use super::document::{Config, Descriptor, Document, Manifest};
use super::error::{ImageError, IndexError};
use super::{DOCUMENT_LIMIT, architecture_name};
use crate::archive::Means;
use crate::mirror::Mirror;
use crate::reach;

/// An index may name another one, as layouts do, and no more than this.
const DEPTH: usize = 4;

/// The images of an origin.
#[derive(Debug)]
pub struct Archive {
    origin: OriginName,
    settings: OciOrigin,
    mirrors: Vec<Mirror>,
    /// What the lock has under each name.
    locked: BTreeMap<String, LockedIndex>,
    /// What was found under each name that was asked for.
    found: RefCell<BTreeMap<String, LockedIndex>>,
}

/// One image for one architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The digest of its manifest.
    pub digest: Digest,
    /// The length of its manifest.
    pub size: u64,
    /// Its manifest.
    pub manifest: Manifest,
}

impl Archive {
    /// The images that are at `mirrors`; those that a lock names are what it says.
    #[must_use]
    pub fn new(origin: &OriginName, settings: &OciOrigin, mirrors: &[Mirror], locked: Option<&LockedOrigin>) -> Self {
        let serves = |locked: &&LockedOrigin| {
            locked.archive == ArchiveKind::Oci
                && locked.distribution == settings.place.as_str()
                && locked.suite == settings.tag
        };
        let locked = locked.filter(serves).into_iter().flat_map(|locked| &locked.indexes);
        Self {
            origin: origin.clone(),
            settings: settings.clone(),
            mirrors: mirrors.to_vec(),
            locked: locked.map(|index| (index.path.clone(), index.clone())).collect(),
            found: RefCell::default(),
        }
    }

    /// What was found under the names that were asked for, for the lock.
    #[must_use]
    pub fn state(&self) -> LockedOrigin {
        LockedOrigin {
            archive: ArchiveKind::Oci,
            distribution: self.settings.place.as_str().to_owned(),
            suite: self.settings.tag.clone(),
            components: Vec::new(),
            release: None,
            date: String::new(),
            indexes: self.found.borrow().values().cloned().collect(),
        }
    }

    /// The image of a name; none when there is none.
    ///
    /// # Errors
    /// When it cannot be reached, is not an image, or is there for other architectures only.
    pub fn image(
        &self,
        name: &str,
        architecture: Architecture,
        means: &Means<'_>,
    ) -> Result<Option<Image>, IndexError> {
        let Some(top) = self.top(name, means)? else { return Ok(None) };
        let mut there = Vec::new();
        let found = self.manifest(name, &top, architecture, means, DEPTH, &mut there)?;
        match found {
            Some(image) => Ok(Some(image)),
            None => {
                there.sort();
                there.dedup();
                let (origin, image) = (self.origin.clone(), name.to_owned());
                Err(IndexError::Architecture { origin, image, architecture, there })
            }
        }
    }

    /// The image as the lock pins it.
    #[must_use]
    pub fn pin(&self, name: &str, image: &Image) -> LockedPackage {
        let layer = |(index, descriptor): (usize, &Descriptor)| LockedFile {
            name: if index == 0 { "configuration".to_owned() } else { format!("layer {index}") },
            path: self.path(name, "blobs", descriptor.digest),
            sha256: descriptor.digest,
            size: descriptor.size,
        };
        LockedPackage {
            version: format!("{}+{}", self.settings.tag, &image.digest.to_hex()[..12]),
            path: self.path(name, "manifests", image.digest),
            sha256: image.digest,
            size: image.size,
            source: None,
            parts: image.manifest.parts().enumerate().map(layer).collect(),
        }
    }

    /// The path of what a digest names.
    fn path(&self, name: &str, what: &str, digest: Digest) -> String {
        match self.settings.place {
            ImagePlace::Registry(_) => format!("{name}/{what}/{digest}"),
            ImagePlace::Layout(_) => format!("blobs/sha256/{}", digest.to_hex()),
        }
    }

    /// What a name means: what it meant before, or what the lock says, or what is there now.
    fn top(&self, name: &str, means: &Means<'_>) -> Result<Option<LockedIndex>, IndexError> {
        if let Some(found) = self.found.borrow().get(name) {
            return Ok(Some(found.clone()));
        }
        let found = match (self.locked.get(name), &self.settings.place) {
            (Some(locked), _) => Some(locked.clone()),
            (None, ImagePlace::Registry(_)) => {
                let path = format!("{name}/manifests/{}", self.settings.tag);
                let bytes = self.fetch(name, &path, Expect::AtMost(DOCUMENT_LIMIT), means)?;
                match bytes {
                    Some(bytes) => {
                        let sha256 = Digest::of(&bytes);
                        reach::keep(means.folder, &kept_name(sha256), &bytes)?;
                        Some(LockedIndex { path: name.to_owned(), sha256, size: bytes.len() as u64 })
                    }
                    None => None,
                }
            }
            (None, ImagePlace::Layout(_)) => self.in_layout(name, means)?,
        };
        if let Some(found) = &found {
            self.found.borrow_mut().insert(name.to_owned(), found.clone());
        }
        Ok(found)
    }

    /// What the index of a layout has under a name: `NAME:TAG`, or `NAME`, or its only image.
    fn in_layout(&self, name: &str, means: &Means<'_>) -> Result<Option<LockedIndex>, IndexError> {
        let index = self.fetch(name, "index.json", Expect::AtMost(DOCUMENT_LIMIT), means)?;
        let Some(index) = index else { return Ok(None) };
        let list = match Document::parse(&index).map_err(|source| self.fault(name, source))? {
            Document::Index(list) => list,
            Document::Manifest(_) => {
                let why = "the layout's `index.json` is none".to_owned();
                return Err(self.fault(name, ImageError::Document { what: "index", why }));
            }
        };
        let tagged = format!("{name}:{}", self.settings.tag);
        let ends = |descriptor: &Descriptor, wanted: &str| {
            let of = descriptor.name.as_deref().unwrap_or_default();
            of == wanted || of.strip_suffix(wanted).is_some_and(|rest| rest.ends_with('/'))
        };
        let named = |wanted: &str| list.iter().filter(|descriptor| ends(descriptor, wanted)).collect::<Vec<_>>();
        let mut found = named(&tagged);
        if found.is_empty() {
            found = named(name);
        }
        if found.is_empty() && list.len() == 1 {
            found = list.iter().collect();
        }
        match found[..] {
            [] => Ok(None),
            [one] => Ok(Some(LockedIndex { path: name.to_owned(), sha256: one.digest, size: one.size })),
            _ => Err(IndexError::Twice { origin: self.origin.clone(), image: name.to_owned() }),
        }
    }

    /// Follows a document to the manifest of an architecture, and notes which others there are.
    fn manifest(
        &self,
        name: &str,
        pin: &LockedIndex,
        architecture: Architecture,
        means: &Means<'_>,
        depth: usize,
        there: &mut Vec<String>,
    ) -> Result<Option<Image>, IndexError> {
        let bytes = self.document(name, "manifests", pin.sha256, pin.size, means)?;
        let list = match Document::parse(&bytes).map_err(|source| self.fault(name, source))? {
            Document::Manifest(manifest) => {
                let Descriptor { digest, size, .. } = manifest.config;
                let config = self.document(name, "blobs", digest, size, means)?;
                let config = match Config::parse(&config) {
                    Ok(config) => config,
                    Err(ImageError::Platform(platform)) => {
                        there.push(platform);
                        return Ok(None);
                    }
                    Err(source) => return Err(self.fault(name, source)),
                };
                if config.architecture != architecture {
                    there.push(format!("linux/{}", architecture_name(config.architecture)));
                    return Ok(None);
                }
                return Ok(Some(Image { digest: pin.sha256, size: pin.size, manifest }));
            }
            Document::Index(list) => list,
        };
        there.extend(
            list.iter().filter_map(|descriptor| descriptor.platform.as_ref()).map(|(os, of)| format!("{os}/{of}")),
        );
        if depth == 0 {
            let why = format!("indexes lead to indexes, more than {DEPTH} times");
            return Err(self.fault(name, ImageError::Document { what: "index", why }));
        }
        for next in list.iter().filter(|descriptor| descriptor.may_serve(architecture)) {
            let next = LockedIndex { path: name.to_owned(), sha256: next.digest, size: next.size };
            if let Some(image) = self.manifest(name, &next, architecture, means, depth - 1, there)? {
                return Ok(Some(image));
            }
        }
        Ok(None)
    }

    /// A document by its digest, kept or fetched.
    fn document(
        &self,
        name: &str,
        what: &str,
        sha256: Digest,
        size: u64,
        means: &Means<'_>,
    ) -> Result<Vec<u8>, IndexError> {
        if size > DOCUMENT_LIMIT {
            let why = format!("it would be {size} bytes long, which is more than {DOCUMENT_LIMIT}");
            return Err(self.fault(name, ImageError::Document { what: "manifest", why }));
        }
        if let Some(bytes) = reach::kept(means.folder, &kept_name(sha256), &sha256) {
            return Ok(bytes);
        }
        let expect = Expect::Digest { sha256, size: Some(size) };
        let request = self.request(name, &self.path(name, what, sha256), expect);
        let (bytes, _) = means.fetcher.fetch_bytes(&request, means.reporter).map_err(|error| {
            let (origin, image, gone) = (self.origin.clone(), name.to_owned(), error.is_gone());
            let source = Box::new(error);
            if gone { IndexError::Gone { origin, image, source } } else { IndexError::Fetch { origin, image, source } }
        })?;
        reach::keep(means.folder, &kept_name(sha256), &bytes)?;
        Ok(bytes)
    }

    fn request(&self, name: &str, path: &str, expect: Expect) -> Request {
        let urls = self.mirrors.iter().map(|mirror| mirror.below(path)).collect();
        Request { urls, expect, subject: format!("{}:{name}", self.origin) }
    }

    /// What is at a path now; none when nothing is.
    fn fetch(&self, name: &str, path: &str, expect: Expect, means: &Means<'_>) -> Result<Option<Vec<u8>>, IndexError> {
        match means.fetcher.fetch_bytes(&self.request(name, path, expect), means.reporter) {
            Ok((bytes, _)) => Ok(Some(bytes)),
            // A layout without an index is none, and not one without this image.
            Err(error) if error.is_gone() && matches!(self.settings.place, ImagePlace::Registry(_)) => Ok(None),
            Err(error) => {
                let (origin, image) = (self.origin.clone(), name.to_owned());
                Err(IndexError::Fetch { origin, image, source: Box::<FetchError>::new(error) })
            }
        }
    }

    fn fault(&self, name: &str, source: ImageError) -> IndexError {
        IndexError::Image { origin: self.origin.clone(), image: name.to_owned(), source }
    }
}

fn kept_name(sha256: Digest) -> String {
    format!("{}.oci-document", sha256.to_hex())
}
