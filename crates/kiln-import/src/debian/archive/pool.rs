//! Files of an archive's pool: where to ask for them, and what it means when nobody has them any more.

use std::path::PathBuf;

use kiln_fetch::{Expect, Fetched, Fetcher, Job, Request};
use kiln_model::{Digest, OriginName, Reporter};

use super::ArchiveError;
use crate::debian::index::{SourceFile, SourceRecord};
use crate::debian::mirror::Mirror;
use crate::debian::solver::Selected;

/// A file of an archive's pool, as the lock has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolFile {
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The path below the mirror's folder.
    pub path: String,
    /// The digest.
    pub sha256: Digest,
    /// The size.
    pub size: u64,
}

impl From<&Selected> for PoolFile {
    fn from(selected: &Selected) -> Self {
        Self {
            name: selected.name.to_string(),
            version: selected.version.clone(),
            path: selected.path.clone(),
            sha256: selected.sha256,
            size: selected.size,
        }
    }
}

impl PoolFile {
    /// The files of a source package.
    #[must_use]
    pub fn of_source(source: &SourceRecord) -> Vec<Self> {
        let file = |file: &SourceFile| Self {
            name: source.name.clone(),
            version: source.version.clone(),
            path: format!("{}/{}", source.directory, file.name),
            sha256: file.sha256,
            size: file.size,
        };
        source.files.iter().map(file).collect()
    }

    /// What to ask the mirrors for.
    #[must_use]
    pub fn request(&self, mirrors: &[Mirror]) -> Request {
        let path = self.path.strip_prefix("./").unwrap_or(&self.path);
        Request {
            urls: mirrors.iter().map(|mirror| mirror.below(path)).collect(),
            expect: Expect::Digest { sha256: self.sha256, size: Some(self.size) },
            subject: format!("{} {}", self.name, self.version),
        }
    }
}

/// What to ask the mirrors for, for each package of a solution.
#[must_use]
pub fn package_requests(mirrors: &[Mirror], selected: &[Selected]) -> Vec<Request> {
    selected.iter().map(|package| PoolFile::from(package).request(mirrors)).collect()
}

/// Fetches files of an archive's pool, each to its place.
///
/// # Errors
/// When one cannot be had. Those that no mirror has any more are named together.
pub fn fetch_pool(
    origin: &OriginName,
    files: &[(PoolFile, PathBuf)],
    mirrors: &[Mirror],
    fetcher: &Fetcher,
    parallelism: usize,
    reporter: &dyn Reporter,
) -> Result<Vec<Fetched>, ArchiveError> {
    let jobs: Vec<Job> =
        files.iter().map(|(file, dest)| Job { request: file.request(mirrors), dest: dest.clone() }).collect();
    fetcher.fetch_all(&jobs, parallelism, reporter).map_err(|source| {
        let missing: Vec<&PoolFile> = files.iter().filter(|(_, dest)| !dest.exists()).map(|(file, _)| file).collect();
        if !source.is_gone() || missing.is_empty() {
            return ArchiveError::Fetch { origin: origin.clone(), source: Box::new(source) };
        }
        let mut packages: Vec<_> = missing.iter().map(|file| format!("`{}` {}", file.name, file.version)).collect();
        let mut names: Vec<_> = missing.iter().map(|file| file.name.clone()).collect();
        packages.dedup();
        names.dedup();
        ArchiveError::PackagesGone { origin: origin.clone(), packages, names }
    })
}
