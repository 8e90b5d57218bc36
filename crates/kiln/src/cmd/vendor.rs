//! `kiln vendor`

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use kiln_build::source::{GitError, missing_commits, vendor_commit};
use kiln_fetch::vendored_path;
use kiln_model::{Digest, ObjectId};
use kiln_plan::vendored::{Everything, PinnedCommit, VENDOR, VENDORED_COMMITS};
use kiln_plan::{Plan, PlanError, Services, Workspace};

use crate::cli::Target;
use crate::clone::{git, git_output};
use crate::context::{Context, Outcome, failed, graph_failed};
use crate::failure::{Failure, exit};
use crate::output::say;
use crate::size;

/// Git must neither change a byte of what is vendored nor show it in a diff.
const ATTRIBUTES: &str = "sha256/** binary\ngit/** binary\n";

/// What the names of files begin with that are being written.
const UNFINISHED: &str = ".kiln-";
/// Who writes a file is done with it by then, in seconds; one that is older was left by a process that was killed.
const LONG: u64 = 3600;

/// Arguments of `kiln vendor`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kiln vendor                bring every pinned byte into the folder `vendor`, to be committed\n  \
    kiln vendor --submodules   Git sources as submodules instead\n  \
    kiln vendor --check        is all of it there, and whole?"
)]
pub struct Vendor {
    /// The project's folder
    #[arg(default_value = ".", value_name = "PROJECT")]
    project: Target,
    /// Bring the Git repositories of sources as submodules `sources/RECIPE` instead of files
    #[arg(long)]
    submodules: bool,
    /// Change nothing: say what is missing or damaged
    #[arg(long, conflicts_with = "submodules")]
    check: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn io_failed(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> Failure {
    Failure::io(doing, path, None)
}

impl Vendor {
    /// Vendors.
    pub fn run(&self, context: &Context) -> Outcome {
        let workspace = context.workspace_to_change(&self.project)?;
        let services = context.services(&workspace)?;
        let lock = context.lock(&workspace, &services, false)?;
        let mut plan = Plan::new(&workspace, &lock, &services, services.settings.native);
        let mut everything = plan.everything().map_err(failed(PlanError::hint))?;
        everything.files.sort();
        everything.files.dedup_by_key(|(digest, _)| *digest);
        let folder = workspace.folder.join(VENDOR);
        let mut missing = Vec::new();
        for (digest, node) in &everything.files {
            if !is_whole(&vendored_path(&folder, digest), digest)? {
                missing.push((*digest, *node));
            }
        }
        if self.check {
            return self.check(&workspace, &services, &everything, &missing);
        }
        refuse_if_ignored(&workspace.folder)?;
        let nodes: Vec<_> = missing.iter().map(|(_, node)| *node).collect();
        plan.run(&nodes, false, &*context.progress).map_err(graph_failed)?;
        for (digest, _) in &missing {
            put(&services, &folder, digest)?;
        }
        let mut commits = BTreeSet::new();
        for pinned in &everything.commits {
            context.progress.step("Vendoring", &format!("{} {}", pinned.url, pinned.commit));
            if self.submodules {
                add_submodule(&workspace, pinned)?;
            } else {
                let into = folder.join(VENDORED_COMMITS);
                fs::create_dir_all(&into).map_err(io_failed("make", &into))?;
                let place = (&pinned.location, pinned.commit.as_str());
                let offline = services.settings.fetch.offline;
                commits.extend(
                    vendor_commit(&services.git, &services.work, place, &into, offline, &services.cancel)
                        .map_err(failed(GitError::hint))?,
                );
            }
        }
        let files: BTreeSet<Digest> = everything.files.iter().map(|(digest, _)| *digest).collect();
        let removed = prune(&folder, &files, &commits, context.environment.now)?;
        let total = self.attributes(&folder)?;
        let (files, commits) = (files.len(), everything.commits.len());
        if self.json {
            say!(
                "{}",
                serde_json::json!({ "folder": folder, "files": files, "commits": commits, "new": missing.len(),
                                    "removed": removed, "bytes": total })
            );
        } else {
            say!("{files} files, {commits} commits, {} in {}", size(total), folder.display());
        }
        if !missing.is_empty() || removed > 0 {
            let what = format!("{} new, {removed} no longer pinned; commit `{VENDOR}`", missing.len());
            context.progress.step("Vendored", &what);
        }
        Ok(exit::DONE)
    }

    /// Says what is not there.
    fn check(
        &self,
        workspace: &Workspace,
        services: &Services,
        everything: &Everything,
        missing: &[(Digest, kiln_build::graph::NodeId)],
    ) -> Outcome {
        let folder = workspace.folder.join(VENDOR);
        let mut absent: Vec<String> = missing
            .iter()
            .map(|(digest, _)| {
                let path = vendored_path(&folder, digest);
                let what = if path.exists() { "damaged" } else { "missing" };
                format!("{what} {}", path.display())
            })
            .collect();
        for pinned in &everything.commits {
            if workspace.folder.join(&pinned.submodule).join(".git").exists() {
                continue;
            }
            let commits = folder.join(VENDORED_COMMITS);
            for commit in missing_commits(&services.git, &commits, &pinned.commit) {
                let place = commits.join(commit);
                let what = if place.exists() { "damaged" } else { "missing" };
                absent.push(format!("{what} {} of {}", place.display(), pinned.url));
            }
        }
        if self.json {
            say!("{}", serde_json::json!(absent));
        } else {
            absent.iter().for_each(|line| say!("{line}"));
        }
        Ok(if absent.is_empty() { exit::DONE } else { exit::FAILED })
    }

    /// Writes the attributes; gives the bytes of all that is vendored.
    fn attributes(&self, folder: &Path) -> Outcome<u64> {
        let path = folder.join(".gitattributes");
        if fs::read_to_string(&path).ok().as_deref() != Some(ATTRIBUTES) {
            fs::create_dir_all(folder).map_err(io_failed("make", folder))?;
            fs::write(&path, ATTRIBUTES).map_err(io_failed("write", &path))?;
        }
        let (mut total, mut todo) = (0, vec![folder.to_owned()]);
        while let Some(at) = todo.pop() {
            for entry in fs::read_dir(&at).map_err(io_failed("read", &at))? {
                let entry = entry.map_err(io_failed("read", &at))?;
                let found = entry.metadata().map_err(io_failed("look at", &entry.path()))?;
                if found.is_dir() {
                    todo.push(entry.path());
                } else {
                    total += found.len();
                }
            }
        }
        Ok(total)
    }
}

/// Is the file there, with all its bytes?
fn is_whole(path: &Path, digest: &Digest) -> Outcome<bool> {
    let mut file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(io_failed("read", path)(error)),
    };
    let mut hasher = kiln_model::Hasher::new();
    io::copy(&mut file, &mut hasher).map_err(io_failed("read", path))?;
    Ok(hasher.finish() == *digest)
}

/// Copies an object of the store; there at once or not at all.
fn put(services: &Services, folder: &Path, digest: &Digest) -> Outcome<()> {
    let path = vendored_path(folder, digest);
    let parent = path.parent().unwrap_or(folder);
    fs::create_dir_all(parent).map_err(io_failed("make", parent))?;
    // Opening an object of the store checks its bytes.
    let mut object = kiln_model::ObjectSource::open(&*services.session, &ObjectId(*digest))
        .map_err(failed(kiln_model::ObjectError::hint))?;
    let mut file =
        tempfile::NamedTempFile::with_prefix_in(UNFINISHED, parent).map_err(io_failed("write to", parent))?;
    io::copy(&mut object, &mut file).map_err(io_failed("write", &path))?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(mode).map_err(io_failed("write", &path))?;
    file.persist(&path).map_err(|error| io_failed("write", &path)(error.error))?;
    Ok(())
}

/// Removes what is vendored and no longer pinned. Nothing else in the folder is touched.
fn prune(folder: &Path, files: &BTreeSet<Digest>, commits: &BTreeSet<String>, now: u64) -> Outcome<usize> {
    let names = |at: &Path| -> Outcome<BTreeMap<String, PathBuf>> {
        let entries = match fs::read_dir(at) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(io_failed("read", at)(error)),
        };
        let named = entries.filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().into_string().ok()?, entry.path()))
        });
        Ok(named.collect())
    };
    let mut removed = 0;
    for (first, below) in names(&folder.join("sha256"))? {
        if !below.is_dir() {
            continue;
        }
        for (rest, path) in names(&below)? {
            let written = || fs::metadata(&path).map_or(now, |found| found.mtime().cast_unsigned());
            if rest.starts_with(UNFINISHED) && written() + LONG < now {
                fs::remove_file(&path).map_err(io_failed("remove", &path))?;
            }
            let digest = format!("{first}{rest}").parse::<Digest>();
            if digest.is_ok_and(|digest| !files.contains(&digest)) {
                fs::remove_file(&path).map_err(io_failed("remove", &path))?;
                removed += 1;
            }
        }
        // Only where nothing is left in it.
        let _ = fs::remove_dir(&below);
    }
    for (commit, path) in names(&folder.join(VENDORED_COMMITS))? {
        let is_commit = matches!(commit.len(), 40 | 64) && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_commit && !commits.contains(&commit) {
            fs::remove_dir_all(&path).map_err(io_failed("remove", &path))?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// What Git leaves out of the repository would not be in a clone.
fn refuse_if_ignored(project: &Path) -> Outcome<()> {
    let probe = Path::new(VENDOR).join("sha256");
    let arguments = ["check-ignore".as_ref(), "--quiet".as_ref(), probe.as_os_str()];
    if git_output(project, &arguments)?.status.success() {
        let hint = format!("take `{VENDOR}` out of `.gitignore`, or add a line `!/{VENDOR}/`");
        return Err(Failure::usage(
            format!("Git ignores `{VENDOR}`: what is vendored would not be committed"),
            Some(hint),
        ));
    }
    Ok(())
}

/// Makes the project have a recipe's repository as a submodule, at the pinned commit.
fn add_submodule(workspace: &Workspace, pinned: &PinnedCommit) -> Outcome<()> {
    let place = &pinned.submodule;
    let doing = format!("cannot make `{}` a submodule of `{}`", place.display(), pinned.url);
    let run = |folder: &Path, arguments: &[&OsStr]| git(folder, arguments, &doing).map(drop);
    let inside = workspace.folder.join(place);
    if !inside.join(".git").exists() {
        // The address is the project's own word, also one of this machine.
        let allow = OsStr::new("protocol.file.allow=always");
        let add = ["submodule", "add", "--quiet", "--force", "--"].map(OsStr::new);
        let mut arguments: Vec<&OsStr> = vec!["-c".as_ref(), allow];
        arguments.extend(add);
        arguments.extend([OsStr::new(&pinned.url), place.as_os_str()]);
        run(&workspace.folder, &arguments)?;
    }
    let has = git_output(&inside, &["cat-file".as_ref(), "-e".as_ref(), pinned.commit.as_ref()])?;
    if !has.status.success() {
        run(&inside, &["fetch".as_ref(), "--quiet".as_ref(), "origin".as_ref(), pinned.commit.as_ref()])?;
    }
    run(&inside, &["checkout".as_ref(), "--quiet".as_ref(), "--detach".as_ref(), pinned.commit.as_ref()])?;
    run(&workspace.folder, &["add".as_ref(), "--".as_ref(), place.as_os_str()])
}
