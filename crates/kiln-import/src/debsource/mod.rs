//! Debian source packages onto disk: upstream's source, and the distribution's changes to it only where they are asked
//! for (`dpkg-source(1)`).
//!
//! | format | files | the distribution's changes |
//! |---|---|---|
//! | `1.0` | `.orig.tar.*` and `.diff.gz`, or one tarball | the diff |
//! | `3.0 (native)` | one tarball | none: the distribution is upstream |
//! | `3.0 (quilt)` | `.orig.tar.*`, `.orig-PART.tar.*`, `.debian.tar.*` | `debian/`, and the patches of its series |
//!
//! Each file's sha256 is checked before it is unpacked. The destination appears whole or not at all.

mod dsc;
mod error;
mod series;

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use kiln_archive::extract::{Links, Options, Strip, extract};
use kiln_archive::{BUFFER, Compression, Limits, limits, open_file};
use kiln_model::{Hasher, TreePath};

pub use dsc::{Format, SourceFile, SourcePackage};
pub use error::SourceError;

/// A patch that is read whole is not larger than this.
const MAX_PATCH: u64 = 256 << 20;

/// What to do with the distribution's own changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DistributionPatches {
    /// Leave them out: upstream's source as it is.
    #[default]
    Leave,
    /// Add `debian/` and apply its patches, in order, with `-p1` and without fuzz.
    Apply,
}

/// How to unpack a source package.
#[derive(Debug, Clone, Default)]
pub struct UnpackOptions {
    /// How much each tarball may hold.
    pub limits: Limits,
    /// Where symbolic links may lead.
    pub links: Links,
    /// What to do with the distribution's own changes.
    pub patches: DistributionPatches,
}

/// Opens a file of the package by name.
pub type Opener<'a> = dyn FnMut(&SourceFile) -> io::Result<File> + 'a;

/// Applies a patch with `-p1` and without fuzz: the folder of the source, the patch's name, its text.
pub type Patcher<'a> = dyn FnMut(&Path, &str, &[u8]) -> Result<(), Box<dyn Error + Send + Sync>> + 'a;

/// The parts of a source package by role.
struct Parts<'a> {
    /// Upstream's main tarball, or the only one.
    main: &'a SourceFile,
    /// Upstream's further tarballs, by the folder each goes to.
    components: Vec<(&'a str, &'a SourceFile)>,
    /// The distribution's changes: a diff or a tarball.
    changes: Option<&'a SourceFile>,
}

impl SourcePackage {
    /// The files that unpacking needs, which need not be all of them.
    ///
    /// # Errors
    /// When the files are not those of the package's format.
    pub fn needed(&self, patches: DistributionPatches) -> Result<Vec<&SourceFile>, SourceError> {
        let Parts { main, components, changes } = self.parts()?;
        let changes = changes.filter(|_| patches == DistributionPatches::Apply);
        Ok([main].into_iter().chain(components.into_iter().map(|(_, file)| file)).chain(changes).collect())
    }

    fn parts(&self) -> Result<Parts<'_>, SourceError> {
        let fault = |what: &str| SourceError::Files { format: self.format.as_str(), what: what.to_owned() };
        let (mut mains, mut components, mut changes) = (Vec::new(), Vec::new(), Vec::new());
        for file in self.files.iter().filter(|file| !file.name.ends_with(".asc") && !file.name.ends_with(".sig")) {
            // `NAME_VERSION.orig-PART.tar.gz`: the version may hold dots, so the end is taken off first.
            let Some((rest, end)) = file.name.rsplit_once(".tar") else {
                if self.format == Format::V1 && file.name.ends_with(".diff.gz") {
                    changes.push(file);
                    continue;
                }
                return Err(fault(&format!("nothing like `{}`", file.name)));
            };
            if Compression::of_suffix(end).is_none() {
                return Err(fault(&format!("no tarball compressed like `{}`", file.name)));
            }
            if let Some((_, part)) = rest.rsplit_once(".orig-") {
                // It becomes a folder's name: dots could make it another place.
                if part.is_empty() || !part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
                    return Err(fault(&format!("no part named like `{}`", file.name)));
                }
                components.push((part, file));
            } else if self.format == Format::Quilt && rest.ends_with(".debian") {
                changes.push(file);
            } else {
                mains.push(file);
            }
        }
        components.sort_by_key(|(part, _)| *part);
        if components.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(fault("each part once"));
        }
        let ([main], [] | [_]) = (&mains[..], &changes[..]) else {
            return Err(fault("one main tarball and at most one file of changes"));
        };
        match self.format {
            Format::Native | Format::V1 if !components.is_empty() => Err(fault("no further tarballs")),
            Format::Quilt if !main.name.contains(".orig.tar") => Err(fault("an `.orig.tar`")),
            Format::Quilt if changes.is_empty() => Err(fault("a `.debian.tar`")),
            _ => Ok(Parts { main, components, changes: changes.first().copied() }),
        }
    }
}

/// Unpacks `package` into `destination`, which must not be there yet, and gives the names of the patches that were
/// applied. Modes and times are those of [`kiln_archive::extract`], but for what `patcher` writes.
///
/// # Errors
/// When a file is missing, is not the one that the package names, cannot be unpacked, or a patch does not apply. Nothing
/// is then left.
pub fn unpack(
    package: &SourcePackage,
    open: &mut Opener<'_>,
    destination: &Path,
    options: &UnpackOptions,
    patcher: &mut Patcher<'_>,
) -> Result<Vec<String>, SourceError> {
    let parts = package.parts()?;
    let parent = destination.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = |path: &Path| {
        let path = path.display().to_string();
        move |source| SourceError::Write { path, source }
    };
    let aside = tempfile::Builder::new().prefix(".source-").tempdir_in(parent).map_err(write(parent))?;
    let root = aside.path().join("source");
    let mut work = Work { open, options };
    work.tarball(parts.main, &root, Strip::SingleFolder)?;
    for (part, file) in parts.components {
        let at = aside.path().join("component");
        work.tarball(file, &at, Strip::SingleFolder)?;
        replace(&at, &root.join(part)).map_err(write(&root.join(part)))?;
    }
    let mut applied = Vec::new();
    if let Some(changes) = parts.changes.filter(|_| options.patches == DistributionPatches::Apply) {
        if package.format == Format::V1 {
            let patch = work.diff(changes)?;
            apply(patcher, &root, &changes.name, &patch)?;
            // A diff of this format cannot carry modes, and this one file is a program by definition.
            let rules = root.join("debian/rules");
            if read_below(&root, &TreePath::root(), "debian/rules")?.is_some() {
                fs::set_permissions(&rules, fs::Permissions::from_mode(0o755)).map_err(write(&rules))?;
            }
            applied.push(changes.name.clone());
        } else {
            let at = aside.path().join("changes");
            work.tarball(changes, &at, Strip::Nothing)?;
            only_debian(&at, &changes.name)?;
            replace(&at.join("debian"), &root.join("debian")).map_err(write(&root.join("debian")))?;
            applied = quilt(&root, patcher)?;
        }
    }
    fs::rename(&root, destination).map_err(write(destination))?;
    Ok(applied)
}

struct Work<'a, 'b> {
    open: &'a mut Opener<'b>,
    options: &'a UnpackOptions,
}

impl Work<'_, '_> {
    /// Opens a file and checks that it is the one that was named.
    fn verified(&mut self, file: &SourceFile) -> Result<File, SourceError> {
        let fault = |source| SourceError::Read { file: file.name.clone(), source };
        let mut opened = (self.open)(file).map_err(fault)?;
        let mut hasher = Hasher::new();
        let mut buffer = vec![0; BUFFER];
        loop {
            let read = opened.read(&mut buffer).map_err(fault)?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
        }
        let found = hasher.finish();
        if found != file.sha256 {
            let (found, expected) = (found.to_hex(), file.sha256.to_hex());
            return Err(SourceError::Digest { file: file.name.clone(), found, expected });
        }
        opened.seek(SeekFrom::Start(0)).map_err(fault)?;
        Ok(opened)
    }

    fn tarball(&mut self, file: &SourceFile, to: &Path, strip: Strip) -> Result<(), SourceError> {
        let opened = self.verified(file)?;
        let options = Options { limits: self.options.limits.clone(), strip, links: self.options.links };
        let result = open_file(opened, &options.limits)
            .map_err(Into::into)
            .and_then(|mut archive| extract(&mut *archive, to, &options));
        result.map_err(|source| SourceError::Unpack { file: file.name.clone(), source })
    }

    fn diff(&mut self, file: &SourceFile) -> Result<Vec<u8>, SourceError> {
        let opened = self.verified(file)?;
        let fault = |source| SourceError::Read { file: file.name.clone(), source };
        let mut patch = Vec::new();
        let mut reader =
            limits::open(Compression::Gzip, opened, &self.options.limits).map_err(fault)?.take(MAX_PATCH + 1);
        reader.read_to_end(&mut patch).map_err(fault)?;
        if patch.len() as u64 > MAX_PATCH {
            return Err(fault(io::Error::new(io::ErrorKind::FileTooLarge, "the diff is too large")));
        }
        Ok(patch)
    }
}

fn apply(patcher: &mut Patcher<'_>, root: &Path, name: &str, patch: &[u8]) -> Result<(), SourceError> {
    patcher(root, name, patch).map_err(|source| SourceError::Patch { patch: name.to_owned(), source })
}

/// Moves a folder to where something else may be. Links are removed, never followed.
fn replace(from: &Path, to: &Path) -> io::Result<()> {
    match to.symlink_metadata() {
        Ok(there) if there.is_dir() => fs::remove_dir_all(to)?,
        Ok(_) => fs::remove_file(to)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    fs::rename(from, to)
}

/// The tarball of changes holds the folder `debian` and nothing else.
fn only_debian(folder: &Path, file: &str) -> Result<(), SourceError> {
    let fault = |source| SourceError::Read { file: file.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        names.push((entry.file_name(), entry.file_type().map_err(fault)?.is_dir()));
    }
    match &names[..] {
        [(name, true)] if name == "debian" => Ok(()),
        _ => Err(SourceError::Files {
            format: Format::Quilt.as_str(),
            what: format!("the folder `debian` and nothing else in `{file}`"),
        }),
    }
}

/// Applies the patches of the series: Debian's own list where there is one, else the list for everybody.
fn quilt(root: &Path, patcher: &mut Patcher<'_>) -> Result<Vec<String>, SourceError> {
    let folder = "debian/patches".parse().unwrap_or_default();
    for list in ["debian.series", "series"] {
        let Some(bytes) = read_below(root, &folder, list)? else { continue };
        let patches = series::parse(list, &bytes)?;
        let mut applied = Vec::new();
        for path in patches {
            let name = path.as_str();
            let missing = || SourceError::Files {
                format: Format::Quilt.as_str(),
                what: format!("the patch `debian/patches/{name}`, which its `{list}` names"),
            };
            let patch = read_below(root, &folder, name)?.ok_or_else(missing)?;
            apply(patcher, root, name, &patch)?;
            applied.push(name.to_owned());
        }
        return Ok(applied);
    }
    Ok(Vec::new())
}

/// Reads a file below a folder of the source, never by way of a link: the source could lead anywhere.
fn read_below(root: &Path, folder: &TreePath, name: &str) -> Result<Option<Vec<u8>>, SourceError> {
    let mut at = root.to_owned();
    let fault = |source| SourceError::Read { file: format!("{}/{name}", folder.as_str()), source };
    for part in folder.components().chain(name.split('/')) {
        at.push(part);
        match at.symlink_metadata() {
            Ok(there) if there.is_symlink() => {
                return Err(fault(io::Error::new(io::ErrorKind::InvalidInput, "it is a symbolic link")));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fault(error)),
        }
    }
    let mut bytes = Vec::new();
    File::open(&at).and_then(|file| file.take(MAX_PATCH).read_to_end(&mut bytes)).map_err(fault)?;
    Ok(Some(bytes))
}
