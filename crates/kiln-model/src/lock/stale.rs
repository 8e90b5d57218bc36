//! Does a lock still say what the project asks? If not, what changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Lock, LockedSource, TargetKey};
use crate::diagnostic::Spanned;
use crate::project::{Origin, WantedSource, WantedTarget};
use crate::recipe::SourceKind;
use crate::{Architecture, OriginName, PackageName, PackageRef};

/// One way in which a lock does not say what the project asks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Staleness {
    /// The project has an origin that the lock does not have.
    NewOrigin(OriginName),
    /// The lock has an origin that the project does not have.
    GoneOrigin(OriginName),
    /// An origin means something else now.
    MovedOrigin {
        /// The origin.
        origin: OriginName,
        /// Which of its settings.
        setting: &'static str,
        /// What the lock has.
        was: String,
        /// What the project has.
        is: String,
    },
    /// The project has a target that the lock does not have.
    NewTarget(String, Architecture),
    /// The lock has a target that the project does not have.
    GoneTarget(String, Architecture),
    /// A target asks for one more package.
    NewRequest(String, PackageRef),
    /// A target asks for one package less.
    GoneRequest(String, PackageRef),
    /// A recipe has a source that the lock does not have.
    NewSource(PackageName, u32),
    /// The lock has a source that no recipe has.
    GoneSource(PackageName, u32),
    /// A source is another one now.
    MovedSource {
        /// The recipe.
        recipe: PackageName,
        /// Which of its sources.
        index: u32,
        /// What the lock has.
        was: String,
        /// What the recipe has.
        is: String,
    },
}

impl fmt::Display for Staleness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewOrigin(origin) => write!(f, "the origin `{origin}` is new"),
            Self::GoneOrigin(origin) => write!(f, "the origin `{origin}` is gone from the project"),
            Self::MovedOrigin { origin, setting, was, is } => {
                write!(f, "the {setting} of the origin `{origin}` is `{is}` and was `{was}`")
            }
            Self::NewTarget(name, architecture) => write!(f, "`{name}` for {architecture} is new"),
            Self::GoneTarget(name, architecture) => write!(f, "`{name}` for {architecture} is gone from the project"),
            Self::NewRequest(target, package) => write!(f, "`{target}` now asks for `{package}`"),
            Self::GoneRequest(target, package) => write!(f, "`{target}` no longer asks for `{package}`"),
            Self::NewSource(recipe, index) => write!(f, "source {} of `{recipe}` is new", index + 1),
            Self::GoneSource(recipe, index) => write!(f, "source {} of `{recipe}` is gone from the project", index + 1),
            Self::MovedSource { recipe, index, was, is } => {
                write!(f, "source {} of `{recipe}` is `{is}` and was `{was}`", index + 1)
            }
        }
    }
}

impl Lock {
    /// Everything in which the lock does not say what the project asks, sorted; nothing when it is up to date. Targets
    /// of architectures that `targets` does not speak of are left alone: another machine locked them.
    #[must_use]
    pub fn stale(
        &self,
        origins: &BTreeMap<OriginName, Spanned<Origin>>,
        targets: &[WantedTarget],
        sources: &[WantedSource],
    ) -> Vec<Staleness> {
        let mut stale = Vec::new();
        self.stale_origins(origins, &mut stale);
        self.stale_targets(targets, &mut stale);
        self.stale_sources(sources, &mut stale);
        stale.sort();
        stale.dedup();
        stale
    }

    fn stale_origins(&self, origins: &BTreeMap<OriginName, Spanned<Origin>>, stale: &mut Vec<Staleness>) {
        for (name, Spanned { value: origin, .. }) in origins {
            let Some(locked) = self.origins.get(name) else {
                stale.push(Staleness::NewOrigin(name.clone()));
                continue;
            };
            let (was, is) = (locked.components.join(" "), origin.components().join(" "));
            for (setting, was, is) in [
                ("archive", locked.archive.as_str(), origin.kind().as_str()),
                ("distribution", &locked.distribution, origin.distribution()),
                ("suite", &locked.suite, origin.suite()),
                ("components", &was, &is),
            ] {
                if was != is {
                    let (origin, was, is) = (name.clone(), was.to_owned(), is.to_owned());
                    stale.push(Staleness::MovedOrigin { origin, setting, was, is });
                }
            }
        }
        let gone = self.origins.keys().filter(|name| !origins.contains_key(*name));
        stale.extend(gone.cloned().map(Staleness::GoneOrigin));
    }

    fn stale_targets(&self, targets: &[WantedTarget], stale: &mut Vec<Staleness>) {
        for target in targets {
            let key = TargetKey { name: target.name.clone(), architecture: target.architecture };
            let Some(locked) = self.targets.get(&key) else {
                stale.push(Staleness::NewTarget(key.name, key.architecture));
                continue;
            };
            let new = target.requests.keys().filter(|package| !locked.requests.contains(package));
            stale.extend(new.map(|package| Staleness::NewRequest(key.name.clone(), package.clone())));
            let gone = locked.requests.iter().filter(|package| !target.requests.contains_key(package));
            stale.extend(gone.map(|package| Staleness::GoneRequest(key.name.clone(), package.clone())));
        }
        let wanted: BTreeSet<(&str, Architecture)> = targets.iter().map(|t| (&*t.name, t.architecture)).collect();
        let spoken_of: BTreeSet<Architecture> = targets.iter().map(|target| target.architecture).collect();
        for key in self.targets.keys().filter(|key| spoken_of.contains(&key.architecture)) {
            if !wanted.contains(&(&*key.name, key.architecture)) {
                stale.push(Staleness::GoneTarget(key.name.clone(), key.architecture));
            }
        }
    }

    fn stale_sources(&self, sources: &[WantedSource], stale: &mut Vec<Staleness>) {
        let mut wanted = BTreeSet::new();
        for source in sources {
            let key = (source.recipe.clone(), source.index);
            match self.sources.get(&key) {
                None => stale.push(Staleness::NewSource(source.recipe.clone(), source.index)),
                Some(locked) if !locked.is(&source.source.kind) => stale.push(Staleness::MovedSource {
                    recipe: source.recipe.clone(),
                    index: source.index,
                    was: locked.to_string(),
                    is: source.source.kind.to_string(),
                }),
                Some(_) => {}
            }
            wanted.insert(key);
        }
        let gone = self.sources.keys().filter(|key| !wanted.contains(*key));
        stale.extend(gone.map(|(recipe, index)| Staleness::GoneSource(recipe.clone(), *index)));
    }
}

impl LockedSource {
    /// Does it pin what a recipe names?
    #[must_use]
    pub fn is(&self, wanted: &SourceKind) -> bool {
        match (self, wanted) {
            (
                Self::Origin { origin, package, version, .. },
                SourceKind::Origin { origin: o, package: p, version: v, .. },
            ) => *origin == o.value && *package == p.value && v.as_ref().is_none_or(|v| v == version),
            (Self::Archive { url, sha256, .. }, SourceKind::Archive { url: u, sha256: s, .. }) => {
                *url == u.value && sha256 == s
            }
            (Self::Git { url, rev, .. }, SourceKind::Git { location, rev: r }) => {
                *url == location.to_string() && *rev == r.value
            }
            (Self::Path { path }, SourceKind::Path { path: p }) => *path == p.to_string(),
            _ => false,
        }
    }
}

impl fmt::Display for LockedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Origin { origin, package, version, .. } => write!(f, "{origin}:{package} {version}"),
            Self::Archive { url, sha256, .. } => write!(f, "{url} ({})", sha256.short()),
            Self::Git { url, rev, .. } => write!(f, "{url} at {rev}"),
            Self::Path { path } => f.write_str(path),
        }
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Origin { origin, package, version: None, .. } => write!(f, "{origin}:{package}"),
            Self::Origin { origin, package, version: Some(version), .. } => write!(f, "{origin}:{package} {version}"),
            Self::Archive { url, sha256, .. } => write!(f, "{url} ({})", sha256.short()),
            Self::Git { location, rev } => write!(f, "{location} at {rev}"),
            Self::Path { path } => path.fmt(f),
        }
    }
}
