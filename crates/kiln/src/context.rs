//! What every command has at hand, and how the failures of the crates below become a command's failure.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use kiln_build::graph::GraphError;
use kiln_fetch::{FetchOptions, Proxies};
use kiln_model::diagnostic::{Diagnostics, Style};
use kiln_model::image::Image;
use kiln_model::lock::{self, LOCK_FILE, Lock};
use kiln_model::user_config::UserConfig;
use kiln_model::{Architecture, Event, Reporter};
use kiln_plan::locking::{self, LockError, Update, Wanted};
use kiln_plan::vendored::VENDOR;
use kiln_plan::{MirrorWords, Services, Settings, Workspace, WorkspaceError, pins};

use crate::cli::{GIT, Global, Target};
use crate::clone::Clones;
use crate::environment::{self, Environment};
use crate::failure::Failure;
use crate::progress::Progress;

/// So many faults of a damaged lock are told of while it is written anew.
const MOST_FAULTS: usize = 10;

/// What a command gives: its exit code.
pub type Outcome<T = u8> = Result<T, Failure>;

/// What every command has at hand.
pub struct Context {
    /// The world around.
    pub environment: Environment,
    /// The options that every command takes.
    pub global: Global,
    /// Shows what happens.
    pub progress: Arc<Progress>,
    /// Projects that are commits of Git repositories.
    pub clones: Clones,
}

impl Context {
    /// How diagnostics are rendered.
    pub fn style(&self) -> Style {
        if self.progress.colour() { Style::Colour } else { Style::Plain }
    }

    /// The folder of the store and what lies beside it.
    ///
    /// There is no place to fall back to: a folder that anybody can make first is no place for what is trusted.
    pub fn folder(&self) -> Outcome<PathBuf> {
        let named = self.global.store.clone().or_else(|| self.environment.store.clone());
        let folder = named.ok_or_else(|| {
            let hint = "set `KILN_STORE` or `HOME`, or give `--store DIR`".to_owned();
            Failure::usage("nothing says where the store is", Some(hint))
        })?;
        let shown = folder.display();
        if folder.exists() && !folder.is_dir() {
            return Err(Failure::usage(format!("`{shown}` is a file, and the store is a folder"), other_store()));
        }
        // What is not Kiln's is not mixed with what Kiln cleans away.
        let mut names: Vec<String> = std::fs::read_dir(&folder)
            .map(|entries| entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
            .unwrap_or_default();
        names.sort();
        // The root of a file system of its own may have that.
        names.retain(|name| name != "lost+found");
        let foreign = names.iter().find(|name| !OWN.contains(&name.as_str()));
        if let Some(found) = foreign.filter(|_| !names.iter().any(|name| OWN.contains(&name.as_str()))) {
            let message = format!("`{shown}` is not a folder of Kiln's: it holds `{found}`");
            return Err(Failure::usage(message, Some("choose an empty or a new folder for the store".to_owned())));
        }
        Ok(folder)
    }

    /// The folder of the store, made if need be.
    fn made_folder(&self) -> Outcome<PathBuf> {
        let folder = self.folder()?;
        if !folder.is_dir() {
            let wrap = |error: std::io::Error| {
                Failure::failed(&error, other_store())
                    .within(format!("cannot make the store's folder `{}`", folder.display()))
            };
            std::fs::create_dir_all(&folder).map_err(wrap)?;
        }
        Ok(folder)
    }

    /// A mirror of what the project has nothing of would be ignored.
    fn check_mirrors(&self, workspace: &Workspace) -> Outcome<()> {
        let origins = &workspace.project.project.origins;
        let known: BTreeSet<&str> =
            origins.iter().map(|(name, origin)| origin.value.mirror_name(name.as_str())).collect();
        for text in &self.global.mirror {
            let Some(name) = mirror_of(text).0.filter(|name| !known.contains(name)) else { continue };
            let hint = kiln_model::yaml::did_you_mean(name, "it has", known.iter().copied());
            return Err(Failure::usage(
                format!("`--mirror {text}`: nothing of the project has mirrors of the name `{name}`"),
                hint,
            ));
        }
        Ok(())
    }

    /// The user's configuration; that of one who has none says nothing.
    fn user_config(&self) -> Outcome<UserConfig> {
        let Some(path) = self.environment.config.as_ref().filter(|path| path.is_file()) else {
            return Ok(UserConfig::default());
        };
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::failed(&error, None).within(format!("cannot read `{shown}`")))?;
        kiln_model::user_config::parse(&shown, &text).map_err(|faults| self.diagnostics(&faults))
    }

    fn mirrors(&self, user: BTreeMap<String, String>) -> MirrorWords {
        let mut words = MirrorWords {
            environment: self.environment.mirrors.clone(),
            apt: environment::apt_sources(),
            user,
            ..MirrorWords::default()
        };
        for text in &self.global.mirror {
            let (name, url) = mirror_of(text);
            let list = words.flag.entry(name.unwrap_or_default().to_owned()).or_default();
            list.push(' ');
            list.push_str(url);
        }
        words
    }

    /// Opens what building a project takes.
    pub fn services(&self, workspace: &Workspace) -> Outcome<Services> {
        let cores = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let proxies = &self.environment.proxies;
        let user = self.user_config()?;
        let standard = FetchOptions::default();
        let settings = Settings {
            folder: self.made_folder()?,
            fetch: FetchOptions {
                offline: self.global.offline,
                proxies: Proxies {
                    http: proxies.http.clone(),
                    https: proxies.https.clone(),
                    except: proxies.except.clone(),
                },
                vendored: Some(workspace.folder.join(VENDOR)),
                size_limit: user.largest_download.unwrap_or(standard.size_limit),
                ..standard
            },
            mirrors: self.mirrors(user.mirrors),
            keyring_folders: environment::KEYRING_FOLDERS.iter().map(PathBuf::from).collect(),
            jobs: self.global.jobs.unwrap_or(cores),
            native: Architecture::native(),
            now: self.environment.now,
            environment: environment::all(),
        };
        let reporter: Arc<dyn Reporter> = self.progress.clone();
        Services::open(settings, reporter).map_err(|error| Failure::failed(&error, error.hint()))
    }

    /// Reads a project.
    pub fn workspace(&self, target: &Target) -> Outcome<Workspace> {
        let named = &target.project;
        let remote = named.to_str().is_some_and(|text| text.starts_with(GIT));
        let folder = if remote { self.clones.folder(named, self.global.offline)? } else { named.clone() };
        let workspace = Workspace::read(&folder).map_err(|error| match error {
            WorkspaceError::Project(faults) => self.diagnostics(&faults),
            // A word that is no folder was meant as a name in the project here, and there is none.
            WorkspaceError::NoProject(folder) if target.name.is_some() && folder == *"." => {
                let name = target.name.as_deref().unwrap_or_default();
                let message = format!("`{name}` is neither a project nor in one: there is no `kiln.yaml` here");
                Failure::usage(message, Some(format!("name the project too: `PROJECT#{name}`, or `./{name}`")))
            }
            other => {
                let hint = other.hint();
                Failure::failed(&other, hint).with_code(crate::failure::exit::USAGE)
            }
        })?;
        self.check_mirrors(&workspace)?;
        Ok(workspace)
    }

    /// Reads a project that is to be written to.
    pub fn workspace_to_change(&self, target: &Target) -> Outcome<Workspace> {
        if target.project.to_str().is_some_and(|text| text.starts_with(GIT)) {
            let hint = "clone the repository, and change it there".to_owned();
            let message = format!("`{}` is a commit, which does not change", target.project.display());
            return Err(Failure::usage(message, Some(hint)));
        }
        self.workspace(target)
    }

    /// Where what is built of a project is written: beside it, or here if it is a clone.
    pub fn out_folder(&self, workspace: &Workspace) -> PathBuf {
        let is_clone = self.clones.name_of(&workspace.folder).is_some();
        if is_clone { PathBuf::from("out") } else { workspace.folder.join("out") }
    }

    /// Diagnostics of the project's files.
    pub fn diagnostics(&self, faults: &Diagnostics) -> Failure {
        Failure::project(faults.render(self.style()))
    }

    /// What there is of a lock to write a new one from. What does not stand of it is told of.
    pub fn salvage_lock(&self, workspace: &Workspace) -> Outcome<Option<Lock>> {
        let Some(text) = &workspace.lock_text else { return Ok(None) };
        let saved = lock::salvage(text).map_err(|faults| self.diagnostics(&faults))?;
        for fault in saved.faults.iter().take(MOST_FAULTS) {
            self.warn(format!("{fault}; this is written anew"), None);
        }
        if let Some(more) = saved.faults.len().checked_sub(MOST_FAULTS).filter(|more| *more > 0) {
            self.warn(format!("`{LOCK_FILE}` has {more} more faults, which are mended too"), None);
        }
        Ok(Some(saved.lock))
    }

    /// The lock, which has to say what the project asks. With `refresh` it is made to.
    pub fn lock(&self, workspace: &Workspace, services: &Services, refresh: bool) -> Outcome<Arc<Lock>> {
        let strict = workspace.lock.as_ref().zip(workspace.lock_text.as_ref());
        let Some((parsed, text)) = strict.filter(|(parsed, _)| !refresh || parsed.is_ok()) else {
            if refresh {
                return self.refresh_lock(workspace, services);
            }
            let hint = "run `kiln lock` and commit what it writes, or build with `--lock`";
            return Err(Failure::usage(format!("the project has no `{LOCK_FILE}`"), Some(hint.to_owned())));
        };
        let lock = parsed.as_ref().map_err(|faults| self.diagnostics(faults))?;
        let stale = Wanted::of(workspace, services).stale(workspace, lock);
        if stale.is_empty() {
            if let Some(faults) = kiln_plan::hooks::without_effect(workspace, lock) {
                return Err(self.diagnostics(&faults));
            }
            return match pins::check(workspace, services, lock, text) {
                Ok(()) => Ok(Arc::clone(lock)),
                Err(_) if refresh => self.refresh_lock(workspace, services),
                Err(faults) => Err(self.diagnostics(&faults)),
            };
        }
        if refresh {
            return self.refresh_lock(workspace, services);
        }
        let mut lines: Vec<String> = stale.iter().take(10).map(|fault| format!("\n  {fault}")).collect();
        if stale.len() > lines.len() {
            lines.push(format!("\n  and {} more", stale.len() - lines.len()));
        }
        let message = format!("`{LOCK_FILE}` does not say what the project asks:{}", lines.concat());
        Err(Failure::usage(message, Some("run `kiln lock`, or build with `--lock`".to_owned())))
    }

    fn refresh_lock(&self, workspace: &Workspace, services: &Services) -> Outcome<Arc<Lock>> {
        let old = self.salvage_lock(workspace)?;
        let new = self.resolve(workspace, services, old.as_ref(), &Update::Nothing)?;
        self.write_lock(workspace, &new)?;
        self.progress.step("Locked", &format!("{}: commit it", workspace.folder.join(LOCK_FILE).display()));
        Ok(Arc::new(new))
    }

    /// Resolves what the project names.
    pub fn resolve(
        &self,
        workspace: &Workspace,
        services: &Services,
        old: Option<&Lock>,
        update: &Update,
    ) -> Outcome<Lock> {
        locking::lock(workspace, services, old, update, &*self.progress).map_err(|error| match error {
            LockError::Asked(faults) => self.diagnostics(&faults),
            error => {
                let hint = error.hint();
                Failure::failed(&error, hint)
            }
        })
    }

    /// Writes a lock, if it is another one. Old or new, never between.
    pub fn write_lock(&self, workspace: &Workspace, new: &Lock) -> Outcome<()> {
        let text = new.to_string();
        if workspace.lock_text.as_deref() == Some(&*text) {
            return Ok(());
        }
        let path = workspace.folder.join(LOCK_FILE);
        let write = || -> std::io::Result<()> {
            let mut file = tempfile::NamedTempFile::with_prefix_in(".kiln.lock.", &workspace.folder)?;
            std::io::Write::write_all(&mut file, text.as_bytes())?;
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            file.as_file().set_permissions(mode)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(|error| Failure::failed(&error, None).within(format!("cannot write `{}`", path.display())))
    }

    /// The lock of a command that builds, made where there is none yet. One that is there is taken as it is, or refused.
    pub fn lock_or_make(&self, workspace: &Workspace, services: &Services) -> Outcome<Arc<Lock>> {
        self.lock(workspace, services, workspace.lock_text.is_none())
    }

    /// Keeps ids that a build allotted: they must not move from now on. Gives the lock that it wrote, if any are new.
    pub fn keep_ids(
        &self,
        workspace: &Workspace,
        lock: &Lock,
        allotted: &kiln_compose::AccountIds,
    ) -> Outcome<Option<Lock>> {
        use kiln_model::lock::IdKind::{Group, User};
        let mut added = BTreeMap::new();
        for (kind, list) in [(User, &allotted.users), (Group, &allotted.groups)] {
            for (name, id) in list {
                let key = (kind, name.clone());
                if !lock.ids.contains_key(&key) {
                    added.insert(key, *id);
                }
            }
        }
        if added.is_empty() {
            return Ok(None);
        }
        let names: Vec<String> = added
            .iter()
            .map(|((kind, name), id)| format!("{} {name} = {id}", if *kind == User { "user" } else { "group" }))
            .collect();
        let mut new = lock.clone();
        new.ids.extend(added);
        self.write_lock(workspace, &new)?;
        self.progress.step("Kept", &format!("{} in `{LOCK_FILE}`: commit it", names.join(", ")));
        Ok(Some(new))
    }

    /// A warning.
    pub fn warn(&self, message: impl Into<String>, hint: Option<String>) {
        self.progress.report(Event::Warning { message: message.into(), hint });
    }
}

/// The image that a name stands for, or the only one.
pub fn image_of<'a>(workspace: &'a Workspace, name: Option<&str>) -> Outcome<&'a Image> {
    let images = &workspace.project.images;
    let names = || images.keys().map(kiln_model::ImageName::as_str).collect::<Vec<_>>().join(", ");
    match (name, images.len()) {
        (_, 0) => Err(Failure::usage("the project has no image", Some("write one: `images/NAME.yaml`".to_owned()))),
        (Some(name), _) => images.values().find(|image| image.name.as_str() == name).ok_or_else(|| {
            Failure::usage(format!("the project has no image `{name}`"), Some(format!("it has {}", names())))
        }),
        (None, 1) => images.values().next().ok_or_else(|| Failure::usage("the project has no image", None)),
        (None, _) => {
            let hint = format!("name one: `PROJECT#NAME`; it has {}", names());
            Err(Failure::usage("the project has several images", Some(hint)))
        }
    }
}

/// What Kiln has in the folder of the store.
const OWN: [&str; 3] = ["store", "work", "archives"];

fn other_store() -> Option<String> {
    Some("name another folder: `--store DIR`, or `KILN_STORE`".to_owned())
}

/// The distribution, if one is named, and the address. A URL has its `=` only behind its `:`.
fn mirror_of(text: &str) -> (Option<&str>, &str) {
    match text.split_once('=') {
        Some((name, url)) if !name.contains(':') => (Some(name), url),
        _ => (None, text),
    }
}

/// Fails with an error and its hint.
pub fn failed<E: Error>(hint: impl FnOnce(&E) -> Option<String>) -> impl FnOnce(E) -> Failure {
    move |error| {
        let hint = hint(&error);
        Failure::failed(&error, hint)
    }
}

/// A graph that failed: each failure with its causes, its way out and the end of its log.
pub fn graph_failed(error: GraphError) -> Failure {
    let GraphError::Failed { failures, .. } = &error else {
        let of_store = |inner: &(dyn Error + Send + Sync + 'static)| {
            let file = inner.downcast_ref::<kiln_store::FileError>().and_then(kiln_store::FileError::hint);
            file.or_else(|| inner.downcast_ref::<kiln_store::WriteError>().and_then(kiln_store::WriteError::hint))
        };
        let hint = match &error {
            GraphError::Store(inner) => of_store(&**inner),
            other => other.hint(),
        };
        return Failure::failed(&error, hint);
    };
    let mut blocks = Vec::new();
    for failure in failures {
        let mut one = Failure::failed(failure, failure.error.hint());
        if let Some(log) = failure.error.log() {
            one = one.with_log(&log.tail, &log.path);
        }
        blocks.push(one);
    }
    Failure::several(blocks, error.hint())
}
