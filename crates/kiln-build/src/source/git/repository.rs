//! The repositories that commits are fetched into: bare, one for each address, filled only with what was asked for.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use kiln_model::Digest;

use super::{Git, GitError, GitLocation};
use crate::graph::Cancel;
use crate::work::{WorkError, Workplace};

/// Is this the full name of a commit?
pub(super) fn check_commit(text: &str) -> Result<(), GitError> {
    let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if digits && matches!(text.len(), 40 | 64) { Ok(()) } else { Err(GitError::Rev(text.to_owned())) }
}

pub(super) struct Repository {
    path: PathBuf,
    config: PathBuf,
    location: GitLocation,
    /// Two processes do not fetch into one repository at once.
    _lock: File,
}

impl Repository {
    /// The repository for `location`, made if need be.
    pub fn open(git: &Git, work: &Workplace, location: &GitLocation) -> Result<Self, GitError> {
        let address = match location {
            GitLocation::Remote(address) => address.clone().into_bytes(),
            GitLocation::Local(path) => path.as_os_str().as_encoded_bytes().to_vec(),
        };
        let name = Digest::of(&address).to_hex();
        let root = work.git();
        let lock_path = root.join(format!("{name}.lock"));
        let locking = |source| WorkError::new("lock", &lock_path, source);
        let lock = File::create(&lock_path).map_err(locking)?;
        lock.lock().map_err(locking)?;
        let config = root.join("config");
        // The other side of a local fetch gets no settings from the command line, only from a file.
        let aside = root.join(format!("{name}.config"));
        let text = "[safe]\n\tdirectory = *\n[core]\n\thooksPath = /dev/null\n\tfsmonitor = false\n[uploadpack]\n\tallowAnySHA1InWant = true\n";
        fs::write(&aside, text)
            .and_then(|()| fs::rename(&aside, &config))
            .map_err(|e| WorkError::new("write", &config, e))?;
        let path = root.join(format!("{name}.git"));
        if !path.join("kiln-ready").exists() {
            // Half-made by a process that was killed.
            crate::work::remove_all(&path).map_err(|e| WorkError::new("remove", &path, e))?;
            let place = path.to_string_lossy().into_owned();
            git.output(None, &["init", "--quiet", "--bare", "--template=", &place])?;
            let ready = path.join("kiln-ready");
            fs::write(&ready, "").map_err(|e| WorkError::new("write", &ready, e))?;
        }
        Ok(Self { path, config, location: location.clone(), _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What kind of object `name` is; none when it is not here.
    fn kind(&self, git: &Git, name: &str) -> Option<String> {
        let kind = git.output(Some(&self.path), &["cat-file", "-t", name]).ok()?;
        Some(String::from_utf8_lossy(&kind).trim().to_owned())
    }

    /// Brings `commit` here, unless it is.
    pub fn fetch(&self, git: &Git, commit: &str, offline: bool, cancel: &Cancel) -> Result<(), GitError> {
        check_commit(commit)?;
        // The reference is made when all that the commit needs has come, so it tells more than the commit's presence.
        let name = format!("refs/kiln/{commit}");
        if self.kind(git, &name).is_some() {
            return self.check_kind(git, commit);
        }
        if offline && matches!(self.location, GitLocation::Remote(_)) {
            let (location, commit) = (self.location.to_string(), commit.to_owned());
            return Err(GitError::Offline { location, commit });
        }
        let one = format!("+{commit}:{name}");
        let fetched = self.fetch_refs(git, &["--depth=1"], &[&one], cancel);
        match fetched {
            Ok(()) => {}
            Err(GitError::Cancelled) => return Err(GitError::Cancelled),
            // An old server gives commits only by way of its branches and tags.
            Err(_) => {
                self.fetch_refs(
                    git,
                    &[],
                    &["+refs/heads/*:refs/remote/heads/*", "+refs/tags/*:refs/remote/tags/*"],
                    cancel,
                )
                .map_err(|error| unreachable(&self.location, error))?;
                if self.kind(git, commit).is_none() {
                    let (location, commit) = (self.location.to_string(), commit.to_owned());
                    return Err(GitError::Missing { location, commit });
                }
                self.check_kind(git, commit)?;
                git.output(Some(&self.path), &["update-ref", &name, commit])?;
            }
        }
        self.check_kind(git, commit)
    }

    /// Makes a bare repository of one commit, without its history, at `into`; there at once or not at all.
    pub fn copy_commit(&self, git: &Git, commit: &str, into: &Path, cancel: &Cancel) -> Result<(), GitError> {
        let aside = into.with_extension("new");
        let failed = |doing, place: &Path| {
            let place = place.to_owned();
            move |error| WorkError::new(doing, &place, error)
        };
        crate::work::remove_all(&aside).map_err(failed("remove", &aside))?;
        let place = aside.to_string_lossy().into_owned();
        git.output(None, &["init", "--quiet", "--bare", "--template=", "--initial-branch=kiln", &place])?;
        // One pack: loose files of a large commit would be tens of thousands.
        let one = format!("+{commit}:refs/heads/kiln");
        let arguments = [
            "fetch",
            "--quiet",
            "--depth=1",
            "--keep",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--",
        ];
        let mut arguments: Vec<&OsStr> = arguments.map(OsStr::new).to_vec();
        arguments.extend([self.path.as_os_str(), OsStr::new(&one)]);
        git.long(&aside, &self.config, &arguments, cancel)?;
        let packs = aside.join("objects/pack");
        for entry in fs::read_dir(&packs).map_err(failed("read", &packs))?.flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "keep") {
                fs::remove_file(entry.path()).map_err(failed("remove", &entry.path()))?;
            }
        }
        crate::work::remove_all(into).map_err(failed("remove", into))?;
        fs::rename(&aside, into).map_err(failed("rename", into))?;
        Ok(())
    }

    fn check_kind(&self, git: &Git, commit: &str) -> Result<(), GitError> {
        match self.kind(git, commit) {
            Some(kind) if kind == "commit" => Ok(()),
            kind => {
                Err(GitError::Kind { commit: commit.to_owned(), kind: kind.unwrap_or_else(|| "damaged object".into()) })
            }
        }
    }

    fn fetch_refs(&self, git: &Git, options: &[&str], refs: &[&str], cancel: &Cancel) -> Result<(), GitError> {
        let mut arguments: Vec<&OsStr> = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--no-auto-maintenance",
        ]
        .map(OsStr::new)
        .to_vec();
        arguments.extend(options.iter().map(OsStr::new));
        arguments.push(OsStr::new("--"));
        arguments.push(match &self.location {
            GitLocation::Remote(address) => OsStr::new(address),
            GitLocation::Local(path) => path.as_os_str(),
        });
        arguments.extend(refs.iter().map(OsStr::new));
        git.long(&self.path, &self.config, &arguments, cancel).map(|_| ())
    }
}

/// What failed at a repository is told with its address.
fn unreachable(location: &GitLocation, error: GitError) -> GitError {
    match error {
        GitError::Failed { message, .. } => GitError::Unreachable { location: location.to_string(), message },
        other => other,
    }
}

/// The commit that a branch, a tag or a commit's name stands for now: what the lock pins.
///
/// # Errors
/// When the repository cannot be reached or has no such name.
pub fn resolve_rev(
    git: &Git,
    work: &Workplace,
    location: &GitLocation,
    rev: &str,
    cancel: &Cancel,
) -> Result<String, GitError> {
    if check_commit(rev).is_ok() {
        return Ok(rev.to_owned());
    }
    let missing = || GitError::NoSuchRev { location: location.to_string(), rev: rev.to_owned() };
    if rev.is_empty() || rev.starts_with('-') || rev.contains(['*', '?', '[', ' ', '\n', '\0']) {
        return Err(missing());
    }
    let repository = Repository::open(git, work, location)?;
    let place = match location {
        GitLocation::Remote(address) => OsStr::new(address),
        GitLocation::Local(path) => path.as_os_str(),
    };
    let arguments = [OsStr::new("ls-remote"), OsStr::new("--quiet"), OsStr::new("--"), place];
    let listed = git.long(&repository.path, &repository.config, &arguments, cancel);
    let listed = listed.map_err(|error| unreachable(location, error))?;
    let listed = String::from_utf8_lossy(&listed).into_owned();
    let find = |name: &str| {
        let line = listed.lines().filter_map(|line| line.split_once('\t')).find(|(_, found)| *found == name);
        line.map(|(commit, _)| commit.to_owned())
    };
    // An annotated tag stands for its commit, which is listed with `^{}`.
    let names =
        [format!("refs/tags/{rev}^{{}}"), format!("refs/tags/{rev}"), format!("refs/heads/{rev}"), rev.to_owned()];
    let commit = names.iter().find_map(|name| find(name)).ok_or_else(missing)?;
    check_commit(&commit)?;
    Ok(commit)
}
