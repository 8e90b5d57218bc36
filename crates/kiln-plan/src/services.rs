//! What every command that builds uses: the store, the network, the folders to work in, the rules.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kiln_build::graph::Cancel;
use kiln_build::source::Git;
use kiln_build::work::{WorkError, Workplace};
use kiln_fetch::{FetchOptions, Fetcher};
use kiln_import::archive::format_of;
use kiln_import::mirror::{self, Mirror, MirrorError};
use kiln_model::diagnostic::Diagnostics;
use kiln_model::project::{ImagePlace, OciOrigin, Origin};
use kiln_model::{Architecture, ArchiveKind, Reporter};
use kiln_store::{OpenError, OpenOptions, Session, SessionError, Store};

use crate::records::Records;
use crate::rules::Rules;
use crate::tools::ToolPlace;
use crate::workspace::Workspace;

/// What the world around Kiln says, as values.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder that holds the store and everything beside it.
    pub folder: PathBuf,
    /// How to fetch.
    pub fetch: FetchOptions,
    /// Who names mirrors.
    pub mirrors: MirrorWords,
    /// The machine's keyrings of archives: name and content, read when needed.
    pub keyring_folders: Vec<PathBuf>,
    /// Actions at once.
    pub jobs: NonZeroUsize,
    /// What this machine is.
    pub native: Architecture,
    /// Seconds since the epoch.
    pub now: u64,
    /// The environment, of which Git gets what it needs to reach a network.
    pub environment: Vec<(OsString, OsString)>,
}

/// Who names mirrors, the most important first; by distribution, or for all of them.
#[derive(Debug, Clone, Default)]
pub struct MirrorWords {
    /// From the command line: by distribution; the empty name is for all.
    pub flag: BTreeMap<String, String>,
    /// From the environment: by the variable's name.
    pub environment: BTreeMap<String, String>,
    /// From the user's configuration: by distribution.
    pub user: BTreeMap<String, String>,
    /// The machine's apt configuration: files and their texts.
    pub apt: Vec<(String, String)>,
}

impl MirrorWords {
    /// The places that have what an origin has, the best first.
    ///
    /// # Errors
    /// When nobody names one.
    pub fn places(&self, name: &str, origin: &Origin, project: &Path) -> Result<Vec<Mirror>, MirrorError> {
        let Origin::Oci(OciOrigin { place, .. }) = origin else {
            return self.choose(origin.kind(), name, origin.distribution());
        };
        match place {
            ImagePlace::Layout(folder) => mirror::of_layout(&project.join(folder.value.as_str())),
            // A registry that stands in for the project's has the same repositories.
            ImagePlace::Registry(address) => {
                self.choose(ArchiveKind::Oci, name, origin.mirror_name(name)).or_else(|error| match error {
                    MirrorError::None { .. } => mirror::of_registry(address),
                    wrong => Err(wrong),
                })
            }
        }
    }

    /// The mirrors of a distribution.
    ///
    /// # Errors
    /// When nobody names one.
    fn choose(&self, kind: ArchiveKind, origin: &str, distribution: &str) -> Result<Vec<Mirror>, MirrorError> {
        let format = format_of(kind);
        let named = mirror::Named {
            flag: self.flag.get(distribution).or_else(|| self.flag.get("")).map(String::as_str),
            environment: self.environment.get(&mirror::variable(distribution)).map(String::as_str),
            user: self.user.get(distribution).map(String::as_str),
            apt: if format.is_apts() { &self.apt } else { &[] },
        };
        mirror::choose(origin, distribution, format.mirror_holds(), &named, &|path: &Path| {
            std::fs::read_to_string(path).ok()
        })
    }
}

/// Why the services cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ServicesError {
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The store is busy with something that cannot be shared.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A folder to work in cannot be made.
    #[error(transparent)]
    Work(#[from] WorkError),
    /// A rule that came with Kiln is wrong.
    #[error("a rule that came with Kiln is wrong: {}", .0.render(kiln_model::diagnostic::Style::Plain))]
    Rules(Box<Diagnostics>),
}

impl ServicesError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::Session(error) => error.hint(),
            Self::Work(error) => error.hint(),
            Self::Rules(_) => Some("this is a bug in Kiln".to_owned()),
        }
    }
}

/// The services of one command.
pub struct Services {
    /// What was asked for.
    pub settings: Settings,
    /// The store.
    pub store: Store,
    /// This command's use of the store.
    pub session: Arc<Session>,
    /// The records of packages in the store.
    pub records: Arc<Records>,
    /// The network.
    pub fetcher: Arc<Fetcher>,
    /// Folders to work in.
    pub work: Workplace,
    /// Git, for sources.
    pub git: Arc<Git>,
    /// The rules that stand for hooks.
    pub rules: Arc<Rules>,
    /// Says when to stop.
    pub cancel: Cancel,
}

/// The folder of the store itself.
#[must_use]
pub fn store_folder(folder: &Path) -> PathBuf {
    folder.join("store")
}

/// The folder that building works in, beside the store.
#[must_use]
pub fn work_folder(folder: &Path) -> PathBuf {
    folder.join("work")
}

/// The options that the store is opened with.
#[must_use]
pub fn store_options(now: u64) -> OpenOptions {
    OpenOptions::new(SystemTime::UNIX_EPOCH + Duration::from_secs(now))
}

impl Services {
    /// Opens everything.
    ///
    /// # Errors
    /// When the store or a folder cannot be used.
    pub fn open(settings: Settings, reporter: Arc<dyn Reporter>) -> Result<Self, ServicesError> {
        let options = store_options(settings.now).threads(settings.jobs).reporter(reporter);
        let store = Store::open(&store_folder(&settings.folder), options)?;
        let session = Arc::new(store.session()?);
        let work = Workplace::open(&work_folder(&settings.folder))?;
        let rules = Arc::new(Rules::shipped().map_err(|faults| ServicesError::Rules(Box::new(faults)))?);
        let fetcher = Arc::new(Fetcher::new(settings.fetch.clone()));
        let git = Arc::new(Git::new(settings.environment.clone()));
        let records = Arc::new(Records::new(Arc::clone(&session)));
        Ok(Self { settings, store, session, records, fetcher, work, git, rules, cancel: Cancel::new() })
    }

    /// The rules for a project: its own go first.
    #[must_use]
    pub fn rules_of(&self, workspace: &Workspace) -> Arc<Rules> {
        let own = &workspace.project.rules;
        if own.is_empty() { Arc::clone(&self.rules) } else { Arc::new(self.rules.with(own)) }
    }

    /// What finalizers run their tools with.
    #[must_use]
    pub fn tools(&self) -> ToolPlace {
        let Settings { native, jobs, .. } = self.settings;
        ToolPlace { work: self.work.clone(), native, jobs, cancel: self.cancel.clone() }
    }

    /// Where the indexes of archives are kept.
    #[must_use]
    pub fn archives(&self) -> PathBuf {
        self.settings.folder.join("archives")
    }
}
