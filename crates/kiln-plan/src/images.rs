//! The nodes of images: composition and layers, and what an image adds to its packages.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kiln_build::disk::{IngestError, Whose, ingest};
use kiln_compose::{AccountIds, ImageFile, OsRelease, Overlay};
use kiln_image::{ImageConfig, ImageSpec, SourceLabel};
use kiln_model::facts::Mode;
use kiln_model::image::{FileContent, Image};
use kiln_model::lock::{IdKind, Lock};
use kiln_model::{Architecture, ObjectError, ObjectId, ObjectSink};

use crate::action::Content;
use crate::git::GitState;
use crate::services::Services;
use crate::units::{self, UnitError};
use crate::workspace::Workspace;

/// Larger files are streamed into the store, not held in memory.
const HELD: u64 = 1 << 20;

/// Why what an image adds cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// A file of the project cannot be read.
    #[error("cannot read `{}`", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file leads out of the project.
    #[error("`{}` leads out of the project", .0.display())]
    Outside(PathBuf),
    /// A unit file cannot be had.
    #[error(transparent)]
    Unit(Box<UnitError>),
    /// The store cannot take it.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// An overlay's folder cannot be read.
    #[error("cannot read the overlay `{}`", .path.display())]
    Overlay {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<IngestError>,
    },
}

impl ContentError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Outside(_) => {
                Some("everything an image is made of is in its repository: copy the file there".to_owned())
            }
            Self::Unit(error) => error.hint(),
            Self::Overlay { source, .. } => source.hint(),
            _ => None,
        }
    }
}

/// Reads what an image adds to its packages into the store.
///
/// # Errors
/// When a file or folder cannot be read.
pub fn content(image: &Image, workspace: &Workspace, services: &Services) -> Result<Content, ContentError> {
    let folder = &*workspace.folder;
    let session = &*services.session;
    let mut files = BTreeMap::new();
    for (path, spec) in &image.files {
        let (object, size) = match &spec.content {
            FileContent::Content(text) => (session.put(text.as_bytes())?, text.len() as u64),
            FileContent::Source(source) => store_file(&inside(folder, source.as_str())?, session)?,
        };
        let mode = spec.mode.unwrap_or(Mode::new(0o644));
        let file = ImageFile { object, size, mode, owner: spec.owner.clone(), group: spec.group.clone() };
        files.insert(path.clone(), file);
    }
    let (facts, units) = units::of_image(image, folder).map_err(|error| ContentError::Unit(Box::new(error)))?;
    for (path, bytes) in units {
        let object = session.put(&bytes)?;
        let file = ImageFile { object, size: bytes.len() as u64, mode: Mode::new(0o644), owner: None, group: None };
        files.insert(path, file);
    }
    let mut overlays = Vec::new();
    for overlay in &image.overlays {
        let path = inside(folder, overlay.tree.as_str())?;
        let ingested = ingest(&path, session, services.settings.jobs, Whose::User)
            .map_err(|source| ContentError::Overlay { path: path.clone(), source: Box::new(source) })?;
        overlays.push(Overlay {
            name: overlay.tree.to_string(),
            tree: Arc::new(ingested.tree),
            priority: overlay.priority,
        });
    }
    Ok(Content {
        files,
        overlays,
        facts,
        replace: image.replace.iter().map(|(path, package)| (path.clone(), package.value.clone())).collect(),
        hooks: crate::hooks::of_image(workspace, image),
        answers: crate::hooks::answers(workspace, image),
        locale: image.locale.as_ref().map(ToString::to_string),
        time_zone: image.time_zone.as_ref().map(ToString::to_string),
        without: image.finalizers.iter().filter(|(_, on)| !**on).map(|(name, _)| name.as_str().to_owned()).collect(),
        os_release: Some(OsRelease { image: image.name.value.clone(), version: Some(workspace.git.version()) }),
    })
}

/// A path of the project, its links followed; it may not leave the project.
pub(crate) fn inside(folder: &Path, path: &str) -> Result<PathBuf, ContentError> {
    let wanted = folder.join(path);
    let wrap = |source| ContentError::Read { path: wanted.clone(), source };
    let real = wanted.canonicalize().map_err(wrap)?;
    let root = folder.canonicalize().map_err(wrap)?;
    if real.starts_with(&root) { Ok(real) } else { Err(ContentError::Outside(wanted)) }
}

fn store_file(path: &Path, sink: &dyn ObjectSink) -> Result<(ObjectId, u64), ContentError> {
    let wrap = |source| ContentError::Read { path: path.to_owned(), source };
    let mut file = std::fs::File::open(path).map_err(wrap)?;
    if file.metadata().map_err(wrap)?.len() <= HELD {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut file, &mut bytes).map_err(wrap)?;
        return Ok((sink.put(&bytes)?, bytes.len() as u64));
    }
    let mut writer = sink.writer()?;
    std::io::copy(&mut file, &mut writer).map_err(wrap)?;
    Ok(writer.finish()?)
}

/// The numbers that a lock holds.
#[must_use]
pub fn locked_ids(lock: &Lock) -> AccountIds {
    let mut ids = AccountIds::default();
    for ((kind, name), id) in &lock.ids {
        let list = match kind {
            IdKind::User => &mut ids.users,
            IdKind::Group => &mut ids.groups,
        };
        list.insert(name.clone(), *id);
    }
    ids
}

/// What an image is besides its files.
#[must_use]
pub fn spec(image: &Image, architecture: Architecture, git: &GitState) -> ImageSpec {
    let run = &image.run;
    let port = |port: &kiln_model::image::Port| kiln_image::Port {
        number: port.number,
        protocol: match port.protocol {
            kiln_model::image::Protocol::Tcp => kiln_image::Protocol::Tcp,
            kiln_model::image::Protocol::Udp => kiln_image::Protocol::Udp,
        },
    };
    ImageSpec {
        name: image.name.value.clone(),
        architecture,
        config: ImageConfig {
            entrypoint: run.entrypoint.clone(),
            command: run.command.clone(),
            env: run.env.clone(),
            user: run.user.clone(),
            workdir: run.workdir.clone(),
            ports: run.ports.iter().map(port).collect(),
            volumes: run.volumes.clone(),
            stop_signal: run.stop_signal.clone(),
            labels: run.labels.clone(),
        },
        source: SourceLabel { revision: Some(git.version()), url: None, version: None, title: None },
    }
}

/// How many layers an image has at most.
#[must_use]
pub const fn layer_budget() -> NonZeroUsize {
    kiln_image::plan::DEFAULT_BUDGET
}
