//! Sources of a recipe: what is pinned, fetched and laid into the build folder.

use std::fmt;

use super::read::RecipeReader;
use crate::diagnostic::{Place, Problem, Spanned};
use crate::project::ProjectPath;
use crate::yaml::Node;
use crate::{Digest, OriginName, PackageName, TreePath};

/// One source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What it is.
    pub kind: SourceKind,
    /// The folder below the build folder that it is laid into; the build folder itself by default.
    pub into: Option<TreePath>,
    /// Where it is written.
    pub place: Place,
}

/// Kinds of sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceKind {
    /// A source package of a distribution archive.
    Origin {
        /// The origin.
        origin: Spanned<OriginName>,
        /// The source package.
        package: Spanned<PackageName>,
        /// Its version; what the archive has, if none.
        version: Option<String>,
        /// Are the distribution's own patches applied?
        apply_patches: bool,
        /// May symbolic links of its archives lead out of them?
        links: OutwardLinks,
    },
    /// An archive from the web, or from a file of this machine.
    Archive {
        /// Where it is.
        url: Spanned<String>,
        /// What it has to be.
        sha256: Digest,
        /// How many leading folders to strip; by default one, when everything is in it.
        strip: Option<u32>,
        /// May its symbolic links lead out of it?
        links: OutwardLinks,
    },
    /// A Git commit.
    Git {
        /// The repository.
        location: GitLocation,
        /// A branch, a tag or a commit; the lock holds the commit.
        rev: Spanned<String>,
    },
    /// A folder of the project.
    Path {
        /// The folder.
        path: Spanned<ProjectPath>,
    },
}

/// What to do with an archive whose symbolic links lead out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutwardLinks {
    /// Refuse it.
    #[default]
    Refuse,
    /// Keep them as they are. Nothing here follows them, and the sandbox has nothing of this machine.
    Keep,
}

/// The words for it.
const OUTWARD_LINKS: [(&str, OutwardLinks); 2] = [("refuse", OutwardLinks::Refuse), ("keep", OutwardLinks::Keep)];

/// Where a Git repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GitLocation {
    /// Elsewhere.
    Url(Spanned<String>),
    /// A submodule or folder of the project.
    Path(Spanned<ProjectPath>),
}

impl fmt::Display for GitLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => url.fmt(f),
            Self::Path(path) => path.fmt(f),
        }
    }
}

/// What a key of a source belongs to, for the message when it is in the wrong kind.
const KINDS: [(&str, &[&str]); 3] = [("url", &["sha256", "strip", "outward-links"]), ("git", &["rev"]), ("path", &[])];

impl Source {
    pub(super) fn read(recipe: &RecipeReader<'_, '_>, node: &Node) -> Option<Self> {
        let reader = recipe.reader;
        let mut fields = reader.map(node, "a source")?;
        let url = fields.entry("url");
        let git = fields.entry("git");
        let path = fields.entry("path");
        let into = fields.take("into");
        let given: Vec<_> = [url, git, path].into_iter().flatten().collect();
        if let [first, second, ..] = &given[..] {
            let problem = Problem::new(second.0.place, "a source is of one kind").label("and this is another");
            reader.report(problem.related(first.0.place, "this is one").hint("make it two sources"));
            return None;
        }
        let kind =
            match given.first() {
                Some((key, value)) => {
                    let (_, own) = KINDS.iter().find(|(kind, _)| **kind == *key.text)?;
                    let kind = match &*key.text {
                        "url" => {
                            let (sha256, strip) = (fields.require("sha256"), fields.take("strip"));
                            let links = fields.take("outward-links");
                            archive(recipe, value, sha256, strip, links)
                        }
                        "git" => {
                            let rev = fields.require("rev");
                            git_source(recipe, value, rev)
                        }
                        _ => recipe.path(value).map(|path| SourceKind::Path { path }),
                    };
                    debug_assert!(own.len() <= 3);
                    fields.finish();
                    kind
                }
                None => {
                    let (version, patches) = (fields.take("version"), fields.take("patches"));
                    let links = fields.take("outward-links");
                    let entries = reader.entries(node)?;
                    let elsewhere = ["version", "patches", "into", "outward-links"];
                    let origins: Vec<_> = entries.iter().filter(|(key, _)| !elsewhere.contains(&&*key.text)).collect();
                    let Some((key, value)) = origins.first() else {
                        let problem = Problem::new(node.place, "this source says nothing of where it is");
                        reader.report(problem.hint(
                            "give `url`, `git`, `path`, or an origin's name and a source package: `debian: nginx`",
                        ));
                        return None;
                    };
                    fields.finish_except(&[&key.text]);
                    let origin = reader.key::<OriginName>(key).map(|name| Spanned::new(name, key.place));
                    let package = reader.parse::<PackageName>(value);
                    let version = version.and_then(|node| recipe.known_text(node));
                    let words = [("apply", true), ("leave", false)];
                    let patches = patches.and_then(|node| reader.word(node, "what to do with patches", &words));
                    let words = &OUTWARD_LINKS;
                    let links = links.and_then(|node| reader.word(node, "what to do with links that lead out", words));
                    Some(SourceKind::Origin {
                        origin: origin?,
                        package: package?,
                        version,
                        apply_patches: patches.unwrap_or(false),
                        links: links.unwrap_or_default(),
                    })
                }
            };
        let into = match into {
            Some(node) => Some(reader.parse::<TreePath>(node)?.value),
            None => None,
        };
        Some(Self { kind: kind?, into, place: node.place })
    }

    /// The folder below the build folder, empty for the build folder itself.
    #[must_use]
    pub fn folder(&self) -> TreePath {
        self.into.clone().unwrap_or_default()
    }
}

fn archive(
    recipe: &RecipeReader<'_, '_>,
    url: &Node,
    sha256: Option<&Node>,
    strip: Option<&Node>,
    links: Option<&Node>,
) -> Option<SourceKind> {
    let reader = recipe.reader;
    let text = recipe.known_text(url);
    if let Some(text) = &text
        && !["https://", "http://", "file:///"].iter().any(|scheme| text.starts_with(scheme))
    {
        let problem = Problem::new(url.place, format!("`{text}` is not an address that Kiln can fetch"));
        reader.report(problem.hint("it begins with `https://`, `http://` or `file:///`"));
    }
    let sha256 = sha256.and_then(|node| reader.parse::<Digest>(node));
    let strip = match strip {
        Some(node) => match reader.number::<u32>(node)? {
            number @ 0..=20 => Some(number),
            number => {
                reader.wrong(node.place, format!("{number} folders are more than any archive has"));
                None
            }
        },
        None => None,
    };
    let links = links.and_then(|node| reader.word(node, "what to do with links that lead out", &OUTWARD_LINKS));
    let links = links.unwrap_or_default();
    Some(SourceKind::Archive { url: Spanned::new(text?, url.place), sha256: sha256?.value, strip, links })
}

fn git_source(recipe: &RecipeReader<'_, '_>, git: &Node, rev: Option<&Node>) -> Option<SourceKind> {
    let reader = recipe.reader;
    let location = recipe.known_text(git).and_then(|text| {
        let place = git.place;
        let remote = text.contains("://") || text.split_once(':').is_some_and(|(host, _)| !host.contains('/'));
        if !remote {
            return recipe.root_path(&text, place).map(GitLocation::Path);
        }
        // Anything else that Git takes for an address, `ext::` above all, can run programs.
        // Nothing vouches for what comes over `http://` and `git://`, and a branch is pinned to what comes first.
        let schemes = ["https://", "ssh://", "file:///"];
        let scp = !text.contains("://") && !text.contains("::") && !text.starts_with('-');
        if scp || schemes.iter().any(|scheme| text.starts_with(scheme) && !text[scheme.len()..].starts_with('-')) {
            return Some(GitLocation::Url(Spanned::new(text, place)));
        }
        let problem = Problem::new(place, format!("`{text}` is not an address that Kiln takes Git commits from"));
        reader.report(problem.hint("use `https://`, `ssh://`, `user@host:path`, `file:///` or a path in the project"));
        None
    });
    let rev = rev.and_then(|node| {
        let text = recipe.known_text(node)?;
        let sound = !text.is_empty() && !text.starts_with('-') && !text.contains("..");
        if sound && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-+./@".contains(&b)) {
            return Some(Spanned::new(text, node.place));
        }
        reader.wrong(node.place, format!("`{text}` is not a branch, a tag or a commit"));
        None
    });
    Some(SourceKind::Git { location: location?, rev: rev? })
}
