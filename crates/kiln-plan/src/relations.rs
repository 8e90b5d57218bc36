//! Relations between packages of a distribution, checked once everything that goes into an image is known.
//!
//! The solver has seen what the project asks for. What a built package was found to need joins later, out of its build
//! environment: [`closure`] takes it along with what it depends on there, and [`verify`] makes sure that the whole set
//! still keeps every promise of its packages.

use std::collections::{BTreeMap, BTreeSet};

use kiln_import::archive::{RelationSyntax, SyntaxError, Term, format_of};
use kiln_model::{ArchiveKind, PackageRecord};

/// Why a set of packages does not hang together.
#[derive(Debug, thiserror::Error)]
pub enum RelationsError {
    /// A package states a relation that cannot be read.
    #[error("`{package}` has a relation that cannot be read")]
    Unreadable {
        /// Which.
        package: String,
        /// Why.
        #[source]
        source: SyntaxError,
    },
    /// What a package depends on is not there.
    #[error("`{package}` needs `{needs}`, which is not in {place}")]
    Missing {
        /// Which.
        package: String,
        /// What it needs.
        needs: String,
        /// Where it should be.
        place: String,
    },
    /// Two packages cannot be together.
    #[error("`{package}` {verb} `{other}`, and both are in {place}")]
    Apart {
        /// Which.
        package: String,
        /// How it says so.
        verb: &'static str,
        /// With what.
        other: String,
        /// Where they are.
        place: String,
    },
}

impl RelationsError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unreadable { .. } => None,
            Self::Missing { needs, .. } => Some(format!(
                "if `kiln.lock` was edited or merged by hand, `kiln lock` puts it right; otherwise add `{needs}` to \
                     the recipe's `runtime` or to the image's packages"
            )),
            Self::Apart { .. } => Some("take one of the two out".to_owned()),
        }
    }
}

fn unreadable(record: &PackageRecord) -> impl Fn(SyntaxError) -> RelationsError {
    let package = record.name.to_string();
    move |source| RelationsError::Unreadable { package: package.clone(), source }
}

fn syntax(record: &PackageRecord) -> &'static dyn RelationSyntax {
    format_of(record.relations.syntax).relations()
}

/// A package that answers to another name, with the version it gives there.
type Provider<'a> = (&'a PackageRecord, Option<String>);

/// Packages by the names they answer to. Those of another kind of archive mean something else by a name.
struct Names<'a> {
    real: BTreeMap<(ArchiveKind, &'a str), &'a PackageRecord>,
    virtual_: BTreeMap<(ArchiveKind, String), Vec<Provider<'a>>>,
}

impl<'a> Names<'a> {
    fn of(records: impl Iterator<Item = &'a PackageRecord>) -> Result<Self, RelationsError> {
        let mut names = Self { real: BTreeMap::new(), virtual_: BTreeMap::new() };
        for record in records {
            let kind = record.relations.syntax;
            names.real.insert((kind, record.name.as_str()), record);
            for provided in syntax(record).provides(&record.relations).map_err(unreadable(record))? {
                names.virtual_.entry((kind, provided.name)).or_default().push((record, provided.version));
            }
        }
        Ok(names)
    }

    /// The packages that satisfy a term of a package, the real one first.
    fn satisfying(&self, of: &PackageRecord, term: &Term) -> Vec<&'a PackageRecord> {
        let (kind, syntax) = (of.relations.syntax, syntax(of));
        let admits = |version: &str| match &term.version {
            Some((operator, bound)) => syntax.admits(version, operator, bound),
            None => true,
        };
        let real = self.real.get(&(kind, term.name.as_str())).copied().filter(|record| admits(&record.version));
        let provided = self.virtual_.get(&(kind, term.name.clone())).into_iter().flatten();
        // A package that provides a name without a version satisfies no versioned relation (Debian Policy 7.5), but RPM's.
        let provided = provided.filter(|(_, version)| match version {
            Some(version) => admits(version),
            None => term.version.is_none() || syntax.unversioned_serves(),
        });
        real.into_iter().chain(provided.map(|(record, _)| *record)).collect()
    }
}

/// The packages of `available` that `roots` need, themselves included.
///
/// # Errors
/// When something they depend on is not available.
pub fn closure<'a>(
    roots: impl IntoIterator<Item = &'a PackageRecord>,
    available: &[&'a PackageRecord],
    place: &str,
) -> Result<BTreeSet<&'a str>, RelationsError> {
    let names = Names::of(available.iter().copied())?;
    let mut found: BTreeSet<&str> = BTreeSet::new();
    let mut queue: Vec<&PackageRecord> = roots.into_iter().collect();
    while let Some(record) = queue.pop() {
        if !found.insert(record.name.as_str()) {
            continue;
        }
        for wish in syntax(record).needs(&record.relations).map_err(unreadable(record))? {
            let chosen = wish.any_of.iter().find_map(|term| names.satisfying(record, term).first().copied());
            let missing = || RelationsError::Missing {
                package: record.name.to_string(),
                needs: wish.text.clone(),
                place: place.to_owned(),
            };
            queue.push(chosen.ok_or_else(missing)?);
        }
    }
    Ok(found)
}

/// Makes sure that every package of a set finds what it depends on there, and nothing it conflicts with.
///
/// # Errors
/// At the first relation that does not hold.
pub fn verify(records: &[&PackageRecord], place: &str) -> Result<(), RelationsError> {
    let names = Names::of(records.iter().copied())?;
    for record in records {
        let package = || record.name.to_string();
        for wish in syntax(record).needs(&record.relations).map_err(unreadable(record))? {
            if wish.any_of.iter().all(|term| names.satisfying(record, term).is_empty()) {
                let needs = wish.text;
                return Err(RelationsError::Missing { package: package(), needs, place: place.to_owned() });
            }
        }
        for (verb, term) in syntax(record).against(&record.relations).map_err(unreadable(record))? {
            // A package may conflict with a name it provides itself: it then replaces all others.
            let others = names.satisfying(record, &term);
            if let Some(other) = others.into_iter().find(|other| other.name != record.name) {
                let (package, other) = (package(), other.name.to_string());
                return Err(RelationsError::Apart { package, verb, other, place: place.to_owned() });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use kiln_model::package::Relations;
    use kiln_model::{Digest, Facts, TreeId};

    use super::*;

    fn record(name: &str, version: &str, change: impl FnOnce(&mut Relations)) -> PackageRecord {
        let mut relations = Relations::default();
        change(&mut relations);
        PackageRecord {
            name: name.parse().unwrap(),
            version: version.to_owned(),
            origin: Some("debian".parse().unwrap()),
            architecture: None,
            source: None,
            tree: TreeId(Digest::EMPTY),
            facts: Facts::default(),
            relations,
            conffiles: BTreeSet::new(),
            hooks: Vec::new(),
            listing: Vec::new(),
            runtime: Vec::new(),
        }
    }

    #[test]
    fn the_closure_follows_alternatives_and_versioned_provides() {
        let a = record("a", "1", |r| r.depends = "missing | b (>= 2), v (= 3)".into());
        let b = record("b", "2", |_| ());
        let c = record("c", "1", |r| r.provides = "v (= 3)".into());
        let d = record("d", "1", |_| ());
        let found = closure([&a], &[&a, &b, &c, &d], "the environment").unwrap();
        assert_eq!(found, BTreeSet::from(["a", "b", "c"]));
        let error = closure([&a], &[&a, &c], "the environment").unwrap_err();
        assert_eq!(error.to_string(), "`a` needs `missing | b (>= 2)`, which is not in the environment");
    }

    #[test]
    fn a_set_that_breaks_a_promise_is_refused() {
        let a = record("a", "1", |r| r.breaks = "b (<< 2)".into());
        let old = record("b", "1", |_| ());
        let new = record("b", "2", |_| ());
        verify(&[&a, &new], "the image").unwrap();
        let error = verify(&[&a, &old], "the image").unwrap_err();
        assert_eq!(error.to_string(), "`a` breaks `b`, and both are in the image");
        let selfish = record("s", "1", |r| {
            r.provides = "mta".into();
            r.conflicts = "mta".into();
        });
        verify(&[&selfish], "the image").unwrap();
        let other = record("t", "1", |r| r.provides = "mta".into());
        assert!(verify(&[&selfish, &other], "the image").is_err());
    }

    #[test]
    fn an_unversioned_provide_satisfies_no_versioned_relation() {
        let a = record("a", "1", |r| r.depends = "v (>= 1)".into());
        let b = record("b", "1", |r| r.provides = "v".into());
        assert!(verify(&[&a, &b], "the image").is_err());
    }
}
