//! Why an archive cannot be used, and what to do about it.

use kiln_fetch::FetchError;
use kiln_model::OriginName;

use crate::debian::index::IndexError;
use crate::debian::release::ReleaseError;
use crate::reach::ReachError;

/// Why an archive cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A suite or component that cannot be part of a path.
    #[error("`{0}` is no name of a suite or component")]
    Name(String),
    /// There is no mirror to ask.
    #[error("the origin `{0}` has no mirror")]
    NoMirror(OriginName),
    /// A mirror cannot be read.
    #[error("`{mirror}` cannot be read as the archive of the origin `{origin}`")]
    Unreachable {
        /// The origin.
        origin: OriginName,
        /// The mirror.
        mirror: String,
        /// Why.
        #[source]
        source: Box<FetchError>,
    },
    /// What a mirror has is not believed.
    #[error("`{mirror}` is not believed as the archive of the origin `{origin}`")]
    NotBelieved {
        /// The origin.
        origin: OriginName,
        /// The mirror.
        mirror: String,
        /// Why.
        #[source]
        source: Box<ReleaseError>,
    },
    /// No mirror serves.
    #[error("no mirror serves the origin `{origin}`:{}", lines(.attempts))]
    EveryMirror {
        /// The origin.
        origin: OriginName,
        /// What is wrong with each.
        attempts: Vec<ArchiveError>,
    },
    /// The release has not what the project asks for.
    #[error("the origin `{origin}` cannot be used")]
    Release {
        /// The origin.
        origin: OriginName,
        /// Why.
        #[source]
        source: Box<ReleaseError>,
    },
    /// The index of a state is kept nowhere any more, or nowhere as the signed release has it.
    #[error("no mirror of the origin `{origin}` has the index `{path}` as its signed release names it")]
    IndexGone {
        /// The origin.
        origin: OriginName,
        /// The index.
        path: String,
    },
    /// Locked packages are kept nowhere any more.
    #[error("gone from the mirrors of the origin `{origin}`: {}", .packages.join(", "))]
    PackagesGone {
        /// The origin.
        origin: OriginName,
        /// Names and versions.
        packages: Vec<String>,
        /// The names alone.
        names: Vec<String>,
    },
    /// Something cannot be fetched.
    #[error("cannot fetch from the origin `{origin}`")]
    Fetch {
        /// The origin.
        origin: OriginName,
        /// Why.
        #[source]
        source: Box<FetchError>,
    },
    /// An index cannot be read.
    #[error("cannot read `{path}` of the origin `{origin}`")]
    Index {
        /// The origin.
        origin: OriginName,
        /// The index.
        path: String,
        /// Why.
        #[source]
        source: Box<IndexError>,
    },
    /// The folder of what is kept cannot be used.
    #[error(transparent)]
    Kept(#[from] ReachError),
}

fn lines(errors: &[ArchiveError]) -> String {
    let line = |error: &ArchiveError| {
        let mut text = format!("\n  {error}");
        let mut next = std::error::Error::source(error);
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    };
    errors.iter().map(line).collect()
}

impl ArchiveError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Name(_) => Some("names have letters, digits and `- . _ + /`".to_owned()),
            Self::NoMirror(_) => Some("give `--mirror URL`".to_owned()),
            Self::Unreachable { source, .. } if source.is_gone() => {
                Some("check the mirror's URL, which is the folder that holds `dists`, and the suite".to_owned())
            }
            Self::Unreachable { source, .. } | Self::Fetch { source, .. } => source.hint(),
            Self::NotBelieved { source, .. } | Self::Release { source, .. } => source.hint(),
            Self::EveryMirror { attempts, .. } => attempts.iter().find_map(Self::hint),
            Self::IndexGone { .. } => Some(
                "of a locked state, the archive has moved on: `kiln lock --update` takes its present one, and what a store has already \
                 stays usable; of the present one, the mirror is being updated, or altered it: try later, or another one"
                    .to_owned(),
            ),
            Self::PackagesGone { names, .. } => Some(format!(
                "the archive has moved on: `kiln lock --update {}` takes what it has now; what a store has already stays usable",
                names.join(" ")
            )),
            Self::Index { source, .. } => source.hint(),
            Self::Kept(error) => error.hint(),
        }
    }
}
