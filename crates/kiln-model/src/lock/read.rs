//! Reads a lock, and checks that it holds together. What can be kept of one that does not is in [`super::salvage`].

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;

use super::raw::{Header, Platform, Raw, RawFile, RawId, RawIndex, RawKind, RawRecipes, RawSource, RawTarget};
use super::{
    IdKind, LOCK_FILE, Lock, LockedFile, LockedIndex, LockedOrigin, LockedPackage, LockedRecipes, LockedSource,
    LockedTarget, PackageKey, TargetKey, VERSION,
};
use crate::diagnostic::{Diagnostics, FileId, Place, Problem, Sources};
use crate::name::AccountName;
use crate::{Architecture, ArchiveKind, OriginName};

/// The longest lock, in bytes. A thousand times what a distribution's worth of packages takes.
const LONGEST: usize = 64 << 20;

/// What to do about a lock that cannot be read.
const AGAIN: &str = "`kiln lock` writes it anew; take the committed one from Git to keep what it pins";

/// A lock that is being read.
pub(super) struct Reading<'t> {
    pub(super) text: &'t str,
    /// Where each line begins.
    pub(super) lines: Vec<usize>,
    file: FileId,
    pub(super) problems: Vec<Problem>,
    /// Packages whose block says something that cannot be.
    pub(super) unsound: BTreeSet<PackageKey>,
}

impl<'t> Reading<'t> {
    pub(super) fn new(sources: &mut Sources, text: &'t str) -> Self {
        let file = sources.add(LOCK_FILE, text);
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, lines, file, problems: Vec::new(), unsound: BTreeSet::new() }
    }
}

impl Reading<'_> {
    fn place(&self, span: Range<usize>) -> Place {
        let line = self.lines.partition_point(|start| *start <= span.start).max(1);
        let begin = self.lines[line - 1];
        let rest = &self.text[begin..];
        let end_of_line = begin + rest.find('\n').unwrap_or(rest.len());
        let count = |range: Range<usize>| self.text.get(range).map_or(1, |text| text.chars().count());
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Place {
            file: self.file,
            line: number(line),
            column: number(count(begin..span.start) + 1),
            length: number(count(span.start..span.end.min(end_of_line)).max(1)),
        }
    }

    pub(super) fn problem(&mut self, span: Range<usize>, message: String) -> &mut Problem {
        let problem = Problem::new(self.place(span), message).hint(AGAIN);
        self.problems.push(problem);
        let last = self.problems.len() - 1;
        &mut self.problems[last]
    }

    fn insert<K: Ord, V>(&mut self, map: &mut BTreeMap<K, V>, key: K, value: V, span: Range<usize>, what: String) {
        match map.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(value);
            }
            Entry::Occupied(_) => {
                self.problem(span, format!("{what} is in the lock twice")).hint =
                    Some("after a merge, keep one of them, or let `kiln lock` settle it".to_owned());
            }
        }
    }
}

/// Reads a lock.
///
/// # Errors
/// When it is not a lock, or does not hold together.
pub fn parse(text: &str) -> Result<Lock, Diagnostics> {
    let mut sources = Sources::new();
    let mut reading = Reading::new(&mut sources, text);
    let lock = reading.lock();
    match lock {
        Some(lock) if reading.problems.is_empty() => Ok(lock),
        _ => Err(sources.diagnostics(reading.problems)),
    }
}

impl Reading<'_> {
    fn lock(&mut self) -> Option<Lock> {
        let text = self.text;
        if !self.is_text() {
            return None;
        }
        if let Some(span) = conflict(text, &self.lines) {
            self.problem(span, "Git left a merge conflict in the lock".to_owned()).hint = Some(
                "run `kiln lock`: it keeps the first side (`git checkout --ours` does too) and pins the rest anew"
                    .to_owned(),
            );
            return None;
        }
        let raw: Raw = match toml::from_str(text) {
            Ok(raw) => raw,
            Err(error) => {
                if !self.is_of_another_version() {
                    self.problem(error.span().unwrap_or(0..1), format!("the lock cannot be read: {}", error.message()));
                }
                return None;
            }
        };
        match &raw.version {
            None => {
                self.no_version();
                None
            }
            Some(version) if *version.get_ref() != VERSION => {
                self.is_of_another_version();
                None
            }
            Some(_) => Some(self.assemble(raw)),
        }
    }

    /// Could it be a lock at all? Notes it when not.
    pub(super) fn is_text(&mut self) -> bool {
        if self.text.len() > LONGEST {
            self.problem(0..1, "the lock is longer than any that Kiln writes".to_owned());
            return false;
        }
        // What reads the file puts this for bytes that are no UTF-8; Kiln writes it nowhere.
        if let Some(at) = self.text.find(char::REPLACEMENT_CHARACTER) {
            self.problem(at..at + 1, "the lock is not text: there are bytes that are not UTF-8".to_owned());
            return false;
        }
        true
    }

    pub(super) fn no_version(&mut self) {
        self.problem(0..1, "the lock cannot be read: it does not say its `version`".to_owned());
    }

    /// Notes that the lock is of another version, if that is what is wrong with it.
    pub(super) fn is_of_another_version(&mut self) -> bool {
        let Ok(header) = toml::from_str::<Header>(self.text) else { return false };
        if *header.version.get_ref() == VERSION {
            return false;
        }
        let way = if *header.version.get_ref() > VERSION {
            "a newer one wrote it: use that, or take the lock of your own version from Git"
        } else {
            "an older one wrote it: delete it, and `kiln lock` writes it anew"
        };
        let message = format!("this lock is of version {}", header.version.get_ref());
        self.problem(header.version.span(), message).hint =
            Some(format!("this version of Kiln reads version {VERSION}; {way}"));
        true
    }

    /// Puts the entries together. Everything that is wrong with them is noted; of two with one name the first counts.
    pub(super) fn assemble(&mut self, raw: Raw) -> Lock {
        let mut lock = Lock::default();
        for entry in raw.origin {
            let (span, origin) = (entry.span(), entry.into_inner());
            let what = format!("the origin `{}`", origin.name);
            let mut indexes = Vec::with_capacity(origin.indexes.len());
            for RawIndex { path, sha256, size } in origin.indexes {
                if self.path(&path, span.clone()) {
                    indexes.push(LockedIndex { path, sha256, size });
                }
            }
            indexes.sort();
            if origin.release.is_none() && origin.archive == ArchiveKind::Deb {
                self.problem(span.clone(), format!("{what} has no `release`"));
                continue;
            }
            let value = LockedOrigin {
                archive: origin.archive,
                distribution: origin.distribution,
                suite: origin.suite,
                components: origin.components,
                release: origin.release,
                date: origin.date,
                indexes,
            };
            self.insert(&mut lock.origins, origin.name, value, span, what);
        }
        let mut package_spans = BTreeMap::new();
        for entry in raw.package {
            let (span, package) = (entry.span(), entry.into_inner());
            let architecture = match package.architecture {
                Platform::All => None,
                Platform::Amd64 => Some(Architecture::Amd64),
                Platform::Arm64 => Some(Architecture::Arm64),
            };
            let key = PackageKey { origin: package.origin, name: package.name, architecture };
            let part = |f: RawFile| LockedFile { name: f.name, path: f.path, sha256: f.sha256, size: f.size };
            let value = LockedPackage {
                version: package.version,
                path: package.path,
                sha256: package.sha256,
                size: package.size,
                source: package.source.map(|source| (source.name, source.version)),
                parts: package.parts.into_iter().map(part).collect(),
            };
            let told = self.problems.len();
            self.known_origin(&lock, &key.origin, span.clone());
            self.path(&value.path, span.clone());
            for part in &value.parts {
                self.path(&part.path, span.clone());
                self.size(part.size, span.clone());
            }
            self.version(&value.version, span.clone());
            self.size(value.size, span.clone());
            if self.problems.len() > told {
                self.unsound.insert(key.clone());
            }
            package_spans.insert(key.clone(), span.clone());
            let what = format!("the package `{}`", key.reference());
            self.insert(&mut lock.packages, key, value, span, what);
        }
        let used = self.targets(&mut lock, raw.target);
        // With a target missing, all of its packages would be told of too.
        if self.problems.is_empty() {
            for (key, span) in package_spans.into_iter().filter(|(key, _)| !used.contains(key)) {
                self.problem(span, format!("nothing in the lock needs the package `{}`", key.reference()));
            }
        }
        for entry in raw.source {
            let (span, source) = (entry.span(), entry.into_inner());
            let key = (source.recipe.clone(), source.index);
            let what = format!("source {} of `{}`", source.index, source.recipe);
            let told = self.problems.len();
            let Some(value) = self.source(source, span.clone()) else { continue };
            if let LockedSource::Origin { origin, version, files, .. } = &value {
                self.known_origin(&lock, origin, span.clone());
                self.version(version, span.clone());
                for file in files {
                    self.path(&file.path, span.clone());
                    self.size(file.size, span.clone());
                }
            }
            if self.problems.len() == told {
                self.insert(&mut lock.sources, key, value, span, what);
            }
        }
        self.ids_and_recipes(&mut lock, raw.id, raw.recipes);
        lock
    }

    /// Reads targets: first those that stand alone, then those written as a difference to one of them. Gives the
    /// packages that any of them names.
    fn targets(&mut self, lock: &mut Lock, raw: Vec<Spanned<RawTarget>>) -> BTreeSet<PackageKey> {
        let mut used = BTreeSet::new();
        let (differences, whole): (Vec<_>, Vec<_>) = raw.into_iter().partition(|t| t.get_ref().base.is_some());
        for entry in whole.into_iter().chain(differences) {
            let (span, target) = (entry.span(), entry.into_inner());
            let mut packages = Arc::default();
            if let Some(base) = &target.base {
                let key = TargetKey { name: base.clone(), architecture: target.architecture };
                match lock.targets.get(&key) {
                    Some(base) => packages = Arc::clone(&base.packages),
                    None => {
                        self.problem(
                            span.clone(),
                            format!("`{}` builds on `{base}`, which the lock lacks", target.name),
                        );
                    }
                }
            }
            for package in target.without {
                let (span, package) = (package.span(), package.into_inner());
                if !Arc::make_mut(&mut packages).remove(&package) {
                    self.problem(span, format!("`{package}` is taken out of `{}`, but not in it", target.name));
                }
            }
            for package in target.packages {
                let (span, package) = (package.span(), package.into_inner());
                match lock.find(&package, target.architecture) {
                    Some((key, _)) => {
                        used.insert(key.clone());
                    }
                    None => {
                        self.problem(span, format!("`{package}` is in `{}`, but not in the lock", target.name));
                    }
                }
                Arc::make_mut(&mut packages).insert(package);
            }
            let key = TargetKey { name: target.name, architecture: target.architecture };
            let what = format!("the target `{}` for {}", key.name, key.architecture);
            let value = LockedTarget { requests: target.requests.into_iter().collect(), packages };
            self.insert(&mut lock.targets, key, value, span, what);
        }
        used
    }

    fn ids_and_recipes(&mut self, lock: &mut Lock, ids: Vec<Spanned<RawId>>, recipes: Vec<Spanned<RawRecipes>>) {
        let mut taken: BTreeMap<(IdKind, u32), AccountName> = BTreeMap::new();
        for entry in ids {
            let (span, id) = (entry.span(), entry.into_inner());
            if id.id == 0 && id.name.as_str() != "root" {
                self.problem(span, format!("the id 0 is root's, and not `{}`'s", id.name));
                continue;
            }
            if let Some(other) = taken.insert((id.kind, id.id), id.name.clone())
                && other != id.name
            {
                self.problem(span, format!("the id {} is both `{other}`'s and `{}`'s", id.id, id.name));
                continue;
            }
            let what = format!("the id of `{}`", id.name);
            self.insert(&mut lock.ids, (id.kind, id.name), id.id, span, what);
        }
        for entry in recipes {
            let (span, recipes) = (entry.span(), entry.into_inner());
            if !is_commit(&recipes.commit) {
                self.problem(span.clone(), format!("`{}` is not a commit in full", recipes.commit));
                continue;
            }
            let what = format!("the repository `{}`", recipes.origin);
            let value = LockedRecipes { url: recipes.url, commit: recipes.commit };
            self.insert(&mut lock.recipes, recipes.origin, value, span, what);
        }
    }

    /// Is it a path below an archive's folder, as becomes part of an address? Notes it when not.
    fn path(&mut self, path: &str, span: Range<usize>) -> bool {
        let odd = |c: char| c.is_control() || matches!(c, '\\' | '?' | '#');
        let below = path.strip_prefix("./").unwrap_or(path);
        let parts = below.split('/').all(|part| !matches!(part, "" | "." | ".."));
        let sound = parts && !path.contains("://") && !path.contains(odd);
        if !sound {
            let span = self.of_field(span, "path", path);
            self.problem(span, format!("`{path}` is not a path in an archive"));
        }
        sound
    }

    fn version(&mut self, version: &str, span: Range<usize>) {
        let sound = |b: u8| b.is_ascii_alphanumeric() || b"+-.:_~".contains(&b);
        if version.is_empty() || !version.bytes().all(sound) {
            let span = self.of_field(span, "version", version);
            self.problem(span, format!("`{version}` is not a version"));
        }
    }

    fn size(&mut self, size: u64, span: Range<usize>) {
        if size == 0 {
            let span = self.of_field(span, "size", "0");
            self.problem(span, "no file of an archive is empty".to_owned());
        }
    }

    /// Where a block says `FIELD = VALUE`; the whole block where it says so in another way.
    fn of_field(&self, block: Range<usize>, field: &str, value: &str) -> Range<usize> {
        // A block's span is that of its header.
        let text = self.text.get(block.start..).unwrap_or_default();
        let text = &text[..text.find("\n[[").unwrap_or(text.len())];
        let starts = text.match_indices(field).map(|(at, _)| at);
        let found = starts.filter_map(|at| {
            let rest = text[at + field.len()..].strip_prefix(" = ")?;
            let rest = rest.strip_prefix('"').unwrap_or(rest);
            rest.starts_with(value).then(|| block.start + at)
        });
        let line = |at: usize| at..at + self.text[at..].find('\n').unwrap_or(self.text.len() - at);
        found.map(line).next().unwrap_or(block)
    }

    fn known_origin(&mut self, lock: &Lock, origin: &OriginName, span: Range<usize>) {
        if !lock.origins.contains_key(origin) {
            self.problem(span, format!("the lock has no origin `{origin}`"));
        }
    }

    fn source(&mut self, raw: RawSource, span: Range<usize>) -> Option<LockedSource> {
        let given = [
            ("origin", raw.origin.is_some()),
            ("package", raw.package.is_some()),
            ("version", raw.version.is_some()),
            ("files", raw.files.is_some()),
            ("url", raw.url.is_some()),
            ("sha256", raw.sha256.is_some()),
            ("size", raw.size.is_some()),
            ("rev", raw.rev.is_some()),
            ("commit", raw.commit.is_some()),
            ("tree", raw.tree.is_some()),
            ("path", raw.path.is_some()),
        ];
        let (required, optional): (&[&str], &[&str]) = match raw.kind {
            RawKind::Origin => (&["origin", "package", "version", "files"], &[]),
            RawKind::Archive => (&["url", "sha256"], &["size"]),
            RawKind::Git => (&["url", "rev", "commit"], &["tree"]),
            RawKind::Path => (&["path"], &[]),
        };
        for (field, there) in given {
            if there && !required.contains(&field) && !optional.contains(&field) {
                self.problem(span.clone(), format!("a source of this kind has no `{field}`"));
            } else if !there && required.contains(&field) {
                self.problem(span.clone(), format!("`{field}` is missing from this source"));
            }
        }
        Some(match raw.kind {
            RawKind::Origin => {
                let file = |f: RawFile| LockedFile { name: f.name, path: f.path, sha256: f.sha256, size: f.size };
                let mut files: Vec<LockedFile> = raw.files?.into_iter().map(file).collect();
                files.sort();
                LockedSource::Origin { origin: raw.origin?, package: raw.package?, version: raw.version?, files }
            }
            RawKind::Archive => LockedSource::Archive { url: raw.url?, sha256: raw.sha256?, size: raw.size },
            RawKind::Git => {
                let commit = raw.commit?;
                if !is_commit(&commit) {
                    self.problem(span, format!("`{commit}` is not a commit in full"));
                }
                LockedSource::Git { url: raw.url?, rev: raw.rev?, commit, tree: raw.tree }
            }
            RawKind::Path => LockedSource::Path { path: raw.path? },
        })
    }
}

/// A whole object name: SHA-1, or SHA-256 in a repository of that kind.
fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// What Git begins the lines with that it puts around the sides of a conflict.
pub(super) const MARKS: [&str; 4] = ["<<<<<<<", "|||||||", "=======", ">>>>>>>"];

pub(super) fn conflict(text: &str, lines: &[usize]) -> Option<Range<usize>> {
    let marked = |start: &&usize| MARKS.iter().any(|mark| text[**start..].starts_with(mark));
    lines.iter().find(marked).map(|start| *start..*start + 7)
}
