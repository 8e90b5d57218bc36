//! A lock's entries as TOML has them, before anything about them is checked.

use serde::Deserialize;
use toml::Spanned;

use super::IdKind;
use crate::name::AccountName;
use crate::{Architecture, ArchiveKind, Digest, OriginName, PackageName, PackageRef, TreeId};

/// A lock's text as TOML has it, or a part of one.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) version: Option<Spanned<u32>>,
    #[serde(default)]
    pub(super) origin: Vec<Spanned<RawOrigin>>,
    #[serde(default)]
    pub(super) target: Vec<Spanned<RawTarget>>,
    #[serde(default)]
    pub(super) package: Vec<Spanned<RawPackage>>,
    #[serde(default)]
    pub(super) source: Vec<Spanned<RawSource>>,
    #[serde(default)]
    pub(super) id: Vec<Spanned<RawId>>,
    #[serde(default)]
    pub(super) recipes: Vec<Spanned<RawRecipes>>,
}

impl Raw {
    /// Takes in what a later part of the text has, which begins at `start`.
    pub(super) fn append(&mut self, part: Self, start: usize) {
        fn at<T>(start: usize, entry: Spanned<T>) -> Spanned<T> {
            let span = entry.span();
            Spanned::new(span.start + start..span.end + start, entry.into_inner())
        }
        let target = |entry: Spanned<RawTarget>| {
            let mut entry = at(start, entry);
            let target = entry.get_mut();
            for list in [&mut target.packages, &mut target.without] {
                *list = std::mem::take(list).into_iter().map(|package| at(start, package)).collect();
            }
            entry
        };
        self.version = self.version.take().or(part.version);
        self.origin.extend(part.origin.into_iter().map(|entry| at(start, entry)));
        self.target.extend(part.target.into_iter().map(target));
        self.package.extend(part.package.into_iter().map(|entry| at(start, entry)));
        self.source.extend(part.source.into_iter().map(|entry| at(start, entry)));
        self.id.extend(part.id.into_iter().map(|entry| at(start, entry)));
        self.recipes.extend(part.recipes.into_iter().map(|entry| at(start, entry)));
    }
}

#[derive(Deserialize)]
pub(super) struct Header {
    pub(super) version: Spanned<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOrigin {
    pub(super) name: OriginName,
    #[serde(default)]
    pub(super) archive: ArchiveKind,
    pub(super) distribution: String,
    pub(super) suite: String,
    pub(super) components: Vec<String>,
    pub(super) release: Option<Digest>,
    pub(super) date: String,
    pub(super) indexes: Vec<RawIndex>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIndex {
    pub(super) path: String,
    pub(super) sha256: Digest,
    pub(super) size: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTarget {
    pub(super) name: String,
    pub(super) architecture: Architecture,
    pub(super) requests: Vec<PackageRef>,
    pub(super) base: Option<String>,
    pub(super) packages: Vec<Spanned<PackageRef>>,
    #[serde(default)]
    pub(super) without: Vec<Spanned<PackageRef>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPackage {
    pub(super) origin: OriginName,
    pub(super) name: PackageName,
    pub(super) version: String,
    pub(super) architecture: Platform,
    pub(super) path: String,
    pub(super) sha256: Digest,
    pub(super) size: u64,
    pub(super) source: Option<RawSourcePackage>,
    #[serde(default)]
    pub(super) parts: Vec<RawFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Platform {
    All,
    Amd64,
    Arm64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSourcePackage {
    pub(super) name: String,
    pub(super) version: String,
}

/// Flat, because the kind decides which fields belong to it, and a tagged enumeration would lose the places.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSource {
    pub(super) recipe: PackageName,
    pub(super) index: u32,
    pub(super) kind: RawKind,
    pub(super) origin: Option<OriginName>,
    pub(super) package: Option<PackageName>,
    pub(super) version: Option<String>,
    pub(super) files: Option<Vec<RawFile>>,
    pub(super) url: Option<String>,
    pub(super) sha256: Option<Digest>,
    pub(super) size: Option<u64>,
    pub(super) rev: Option<String>,
    pub(super) commit: Option<String>,
    pub(super) tree: Option<TreeId>,
    pub(super) path: Option<String>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawKind {
    Origin,
    Archive,
    Git,
    Path,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFile {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) sha256: Digest,
    pub(super) size: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawId {
    pub(super) kind: IdKind,
    pub(super) name: AccountName,
    pub(super) id: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRecipes {
    pub(super) origin: OriginName,
    pub(super) url: String,
    pub(super) commit: String,
}
