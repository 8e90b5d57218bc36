//! What every command has at hand, and how the failures of the crates below become a command's failure.

use std::collections::BTreeMap;
use std::error::Error;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use kiln_build::graph::GraphError;
use kiln_fetch::{FetchOptions, Proxies};
use kiln_model::diagnostic::{Diagnostics, Style};
use kiln_model::lock::{self, Lock};
use kiln_model::user_config::UserConfig;
use kiln_model::{Architecture, Event, Reporter};
use kiln_plan::locking::{self, Update, Wanted};
use kiln_plan::{LOCK_FILE, MirrorWords, Services, Settings, Workspace, WorkspaceError};

use crate::cli::{Global, Target};
use crate::environment::{self, Environment};
use crate::failure::Failure;
use crate::progress::Progress;

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
        named.ok_or_else(|| {
            let hint = "set `KILN_STORE` or `HOME`, or give `--store DIR`".to_owned();
            Failure::usage("nothing says where the store is", Some(hint))
        })
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
            // A URL has its `=` only behind its `:`.
            let (name, url) = match text.split_once('=') {
                Some((name, url)) if !name.contains(':') => (name, url),
                _ => ("", text.as_str()),
            };
            let list = words.flag.entry(name.to_owned()).or_default();
            list.push(' ');
            list.push_str(url);
        }
        words
    }

    /// Opens what building takes.
    pub fn services(&self) -> Outcome<Services> {
        let cores = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let proxies = &self.environment.proxies;
        let user = self.user_config()?;
        let standard = FetchOptions::default();
        let settings = Settings {
            folder: self.folder()?,
            fetch: FetchOptions {
                offline: self.global.offline,
                proxies: Proxies {
                    http: proxies.http.clone(),
                    https: proxies.https.clone(),
                    except: proxies.except.clone(),
                },
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
        Workspace::read(&target.project).map_err(|error| match error {
            WorkspaceError::Project(faults) => self.diagnostics(&faults),
            other => {
                let hint = other.hint();
                Failure::failed(&other, hint).with_code(crate::failure::exit::USAGE)
            }
        })
    }

    /// Diagnostics of the project's files.
    pub fn diagnostics(&self, faults: &Diagnostics) -> Failure {
        Failure::project(faults.render(self.style()))
    }

    /// The lock as it is on disk.
    pub fn read_lock(&self, workspace: &Workspace) -> Outcome<Option<Lock>> {
        match &workspace.lock_text {
            None => Ok(None),
            Some(text) => lock::parse(text).map(Some).map_err(|faults| self.diagnostics(&faults)),
        }
    }

    /// The lock, which has to say what the project asks. With `refresh` it is made to.
    pub fn lock(&self, workspace: &Workspace, services: &Services, refresh: bool) -> Outcome<Lock> {
        let lock = self.read_lock(workspace)?;
        if refresh {
            let new = self.resolve(workspace, services, lock.as_ref(), &Update::Nothing)?;
            self.write_lock(workspace, lock.as_ref(), &new)?;
            return Ok(new);
        }
        let Some(lock) = lock else {
            let hint = "run `kiln lock` and commit what it writes, or build with `--lock`";
            return Err(Failure::usage(format!("the project has no `{LOCK_FILE}`"), Some(hint.to_owned())));
        };
        let stale = Wanted::of(workspace, services).stale(workspace, &lock);
        if stale.is_empty() {
            return Ok(lock);
        }
        let mut lines: Vec<String> = stale.iter().take(10).map(|fault| format!("\n  {fault}")).collect();
        if stale.len() > lines.len() {
            lines.push(format!("\n  and {} more", stale.len() - lines.len()));
        }
        let message = format!("`{LOCK_FILE}` does not say what the project asks:{}", lines.concat());
        Err(Failure::usage(message, Some("run `kiln lock`, or build with `--lock`".to_owned())))
    }

    /// Resolves what the project names.
    pub fn resolve(
        &self,
        workspace: &Workspace,
        services: &Services,
        old: Option<&Lock>,
        update: &Update,
    ) -> Outcome<Lock> {
        locking::lock(workspace, services, old, update, &*self.progress).map_err(|error| {
            let hint = error.hint();
            Failure::failed(&error, hint)
        })
    }

    /// Writes a lock, if it is another one. Old or new, never between.
    pub fn write_lock(&self, workspace: &Workspace, old: Option<&Lock>, new: &Lock) -> Outcome<()> {
        if old == Some(new) {
            return Ok(());
        }
        let path = workspace.folder.join(LOCK_FILE);
        let write = || -> std::io::Result<()> {
            let mut file = tempfile::NamedTempFile::with_prefix_in(".kiln.lock.", &workspace.folder)?;
            std::io::Write::write_all(&mut file, new.to_string().as_bytes())?;
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            file.as_file().set_permissions(mode)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(|error| Failure::failed(&error, None).within(format!("cannot write `{}`", path.display())))
    }

    /// Keeps ids that a build allotted: they must not move from now on.
    pub fn keep_ids(&self, workspace: &Workspace, lock: &Lock, allotted: &kiln_compose::AccountIds) -> Outcome<()> {
        use kiln_model::lock::IdKind::{Group, User};
        let mut new = lock.clone();
        for (kind, list) in [(User, &allotted.users), (Group, &allotted.groups)] {
            for (name, id) in list {
                new.ids.entry((kind, name.clone())).or_insert(*id);
            }
        }
        let added: BTreeMap<_, _> = new.ids.iter().filter(|(key, _)| !lock.ids.contains_key(*key)).collect();
        if added.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = added
            .iter()
            .map(|((kind, name), id)| format!("{} {name} = {id}", if *kind == User { "user" } else { "group" }))
            .collect();
        self.write_lock(workspace, Some(lock), &new)?;
        self.progress.step("Kept", &format!("{} in `{LOCK_FILE}`: commit it", names.join(", ")));
        Ok(())
    }

    /// A warning.
    pub fn warn(&self, message: impl Into<String>, hint: Option<String>) {
        self.progress.report(Event::Warning { message: message.into(), hint });
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
