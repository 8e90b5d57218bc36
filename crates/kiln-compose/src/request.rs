//! What a composition is made from. A [`Request`] is a set: the order of its members and overlays never matters.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kiln_hooks::Reading;
use kiln_model::facts::Mode;
use kiln_model::name::AccountName;
use kiln_model::rule::Rule;
use kiln_model::{Architecture, Dir, Facts, ImageName, ObjectId, PackageRecord, PackageRef, TreePath};
use serde::{Deserialize, Serialize};

use crate::closure::TreeAnalysis;
use crate::hooks::Said;

/// One package of the set.
#[derive(Debug, Clone)]
pub struct Member {
    /// What is known of it.
    pub record: PackageRecord,
    /// Its files.
    pub tree: Arc<Dir>,
    /// What it declares: the record's own facts, and with them what stands for its hooks, once these are read.
    pub facts: Facts,
    /// What is known of its programs and libraries. What is missing is read from the objects.
    pub analysis: Arc<TreeAnalysis>,
    /// The rule that stands for its hooks.
    pub rule: Option<Arc<Rule>>,
    /// What its hooks come to, once they are read.
    pub reading: Reading,
    /// What the scripts of its triggers come to, by name, once they are read: RPM's alone have scripts of their own.
    pub triggers: BTreeMap<String, Reading>,
}

impl Member {
    /// A package with its own facts and nothing else.
    #[must_use]
    pub fn new(record: PackageRecord, tree: Arc<Dir>) -> Self {
        let facts = record.facts.clone();
        Self {
            record,
            tree,
            facts,
            analysis: Arc::default(),
            rule: None,
            reading: Reading::default(),
            triggers: BTreeMap::new(),
        }
    }

    /// With what is known of its programs and libraries.
    #[must_use]
    pub fn with_analysis(mut self, analysis: Arc<TreeAnalysis>) -> Self {
        self.analysis = analysis;
        self
    }

    /// The package as an image would name it.
    #[must_use]
    pub fn reference(&self) -> PackageRef {
        match &self.record.origin {
            Some(origin) => PackageRef::Origin(origin.clone(), self.record.name.clone()),
            None => PackageRef::Recipe(self.record.name.clone()),
        }
    }
}

/// One of the image's own files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFile {
    /// Its content.
    pub object: ObjectId,
    /// Its length.
    pub size: u64,
    /// Its mode.
    pub mode: Mode,
    /// Owner; `root` by default.
    pub owner: Option<AccountName>,
    /// Group; `root` by default.
    pub group: Option<AccountName>,
}

/// An answer to a question of debconf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What is answered.
    pub text: String,
    /// Where it stands, for messages: `images/web.yaml:9:5`.
    pub place: String,
}

/// A tree laid over the packages.
#[derive(Debug, Clone)]
pub struct Overlay {
    /// Its name, for messages.
    pub name: String,
    /// Its files.
    pub tree: Arc<Dir>,
    /// The higher wins; all win over packages.
    pub priority: i32,
}

/// Numbers of users and groups by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountIds {
    /// Users.
    #[serde(default)]
    pub users: BTreeMap<AccountName, u32>,
    /// Groups.
    #[serde(default)]
    pub groups: BTreeMap<AccountName, u32>,
}

/// What `os-release` says of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OsRelease {
    /// The image's name: `IMAGE_ID`.
    pub image: ImageName,
    /// The commit, with `-dirty` when there were uncommitted changes: `IMAGE_VERSION`. Without it nothing in the image
    /// depends on the commit.
    pub version: Option<String>,
}

/// Everything a composition depends on.
#[derive(Debug, Clone)]
pub struct Request {
    /// The packages.
    pub members: Vec<Member>,
    /// The image's own files.
    pub files: BTreeMap<TreePath, ImageFile>,
    /// Trees over the packages.
    pub overlays: Vec<Overlay>,
    /// The image's own facts. They win over those of packages.
    pub facts: Facts,
    /// Which package wins a path, or everything below it, that more than one brings.
    pub replace: BTreeMap<TreePath, PackageRef>,
    /// Numbers that the lock holds.
    pub locked: AccountIds,
    /// The machine that the image is for.
    pub architecture: Architecture,
    /// What to write to `os-release`; nothing for none.
    pub os_release: Option<OsRelease>,
    /// The system's language, as locale(7) names it: `de_DE.UTF-8`.
    pub locale: Option<String>,
    /// The system's time zone: a path below `/usr/share/zoneinfo`.
    pub time_zone: Option<String>,
    /// Finalizers that are switched off, by name.
    pub without: BTreeSet<String>,
    /// What is said of the hooks of packages.
    pub hooks: BTreeMap<PackageRef, Said>,
    /// Answers to the questions of packages, by package and question, each with where it stands.
    pub answers: BTreeMap<PackageRef, BTreeMap<String, Answer>>,
}

impl Request {
    /// An empty image for `architecture`.
    #[must_use]
    pub fn new(architecture: Architecture) -> Self {
        Self {
            members: Vec::new(),
            files: BTreeMap::new(),
            overlays: Vec::new(),
            facts: Facts::default(),
            replace: BTreeMap::new(),
            locked: AccountIds::default(),
            architecture,
            os_release: None,
            locale: None,
            time_zone: None,
            without: BTreeSet::new(),
            hooks: BTreeMap::new(),
            answers: BTreeMap::new(),
        }
    }
}
