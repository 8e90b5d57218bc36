//! Why requests cannot all be had, in the archive's terms.
//!
//! The solver's proof speaks of clauses. This walks the same relations again the way a person would: take what is
//! asked for, then what that needs without a choice, and so on; where there is a choice, the first alternative that is
//! not excluded yet. The first need that nothing can serve any more is the explanation, with the way from the requests
//! to every package in it. It is a function of the set of requests.

use std::collections::{BTreeMap, BTreeSet};

use super::{Group, PackageId, Roots, SolveError, Universe, Way};

/// Why a package is taken.
#[derive(Clone)]
enum Because {
    Asked,
    Needed(PackageId, String),
}

/// A contradiction, and how each of the packages in it came in.
type Told = (String, Vec<Way>);

struct Story<'u, U> {
    universe: &'u U,
    roots: &'u Roots,
    taken: BTreeMap<PackageId, Because>,
    order: Vec<PackageId>,
    /// Who excludes a package, and how: the verb, and what it says it of.
    excluded: BTreeMap<PackageId, (PackageId, (String, String))>,
}

/// Why the roots cannot all be had; or why that cannot be told.
pub(crate) fn unsatisfiable<U: Universe>(universe: &U, roots: &Roots) -> SolveError {
    match explain(universe, roots) {
        Ok((why, ways)) => SolveError::Unsatisfiable { why, ways },
        Err(error) => error,
    }
}

fn explain<U: Universe>(universe: &U, roots: &Roots) -> Result<Told, SolveError> {
    let mut story = Story { universe, roots, taken: BTreeMap::new(), order: Vec::new(), excluded: BTreeMap::new() };
    for root in roots.keys() {
        for &id in universe.named(root)?.iter().take(1) {
            if let Some(told) = story.take(id, Because::Asked)? {
                return Ok(told);
            }
        }
    }
    loop {
        if let Some(told) = story.settle()? {
            return Ok(told);
        }
        match story.first_choice()? {
            Some((by, text, id)) => {
                if let Some(told) = story.take(id, Because::Needed(by, text))? {
                    return Ok(told);
                }
            }
            None => {
                let names = roots.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                let way = |asked: &BTreeSet<_>| Way { asked: asked.clone(), steps: Vec::new() };
                let why = format!("every choice among their needs ends in a conflict ({names})");
                return Ok((why, roots.values().map(way).collect()));
            }
        }
    }
}

impl<U: Universe> Story<'_, U> {
    fn name(&self, id: PackageId) -> String {
        format!("`{}`", self.universe.name(id))
    }

    /// Takes a package; what is told if that contradicts one that is taken already.
    fn take(&mut self, id: PackageId, because: Because) -> Result<Option<Told>, SolveError> {
        if self.taken.contains_key(&id) {
            return Ok(None);
        }
        self.taken.insert(id, because);
        self.order.push(id);
        if let Some((by, how)) = self.excluded.get(&id).cloned() {
            return Ok(Some(self.clash(by, &how, id)));
        }
        for exclusion in self.universe.excludes(id)?.iter() {
            let how = (exclusion.verb.to_owned(), exclusion.text.clone());
            for &victim in &exclusion.victims {
                self.excluded.entry(victim).or_insert_with(|| (id, how.clone()));
                if self.taken.contains_key(&victim) {
                    return Ok(Some(self.clash(id, &how, victim)));
                }
            }
        }
        Ok(None)
    }

    /// What a package says of another: `conflicts with X`, and, where X is not that one's name, that it provides it.
    fn against(&self, (verb, text): &(String, String), victim: PackageId) -> String {
        let name = self.universe.name(victim);
        let meant = text.split([' ', ':', '<', '>', '=', '~']).next().unwrap_or_default();
        if meant == name {
            return format!("{verb} `{text}`");
        }
        format!("{verb} `{text}` (which `{name}` provides)")
    }

    fn clash(&self, id: PackageId, how: &(String, String), victim: PackageId) -> Told {
        let because = self.taken.get(&victim);
        let how = self.against(how, victim);
        let first = match because {
            Some(Because::Needed(by, text)) => {
                format!("{} needs `{text}`, but {} {how}", self.name(*by), self.name(id))
            }
            _ => format!("{} {how}, and {} is asked for", self.name(id), self.name(victim)),
        };
        self.told(first, &[id, victim])
    }

    /// Is what it depends on there, as far as is known?
    fn counts(&self, group: &Group) -> bool {
        group.when.iter().all(|set| set.iter().any(|package| self.taken.contains_key(package)))
    }

    /// Takes everything that is needed without a choice.
    fn settle(&mut self) -> Result<Option<Told>, SolveError> {
        let mut at = 0;
        let mut again = false;
        loop {
            while at < self.order.len() {
                let by = self.order[at];
                at += 1;
                for group in self.universe.needs(by)?.iter() {
                    if !self.counts(group)
                        || group.candidates.iter().any(|candidate| self.taken.contains_key(candidate))
                    {
                        continue;
                    }
                    let mut left = group.candidates.iter().filter(|candidate| !self.excluded.contains_key(candidate));
                    match (left.next(), left.next()) {
                        (None, _) => return Ok(Some(self.unserved(by, group)?)),
                        (Some(&only), None) => {
                            again = true;
                            if let Some(told) = self.take(only, Because::Needed(by, group.text.clone()))? {
                                return Ok(Some(told));
                            }
                        }
                        (Some(_), Some(_)) => {}
                    }
                }
            }
            // What was taken may have excluded the other choices of those before it.
            if !again {
                return Ok(None);
            }
            (at, again) = (0, false);
        }
    }

    /// The first need with a choice that is open still.
    fn first_choice(&self) -> Result<Option<(PackageId, String, PackageId)>, SolveError> {
        for &by in &self.order {
            for group in self.universe.needs(by)?.iter().filter(|group| self.counts(group)) {
                if group.candidates.iter().any(|candidate| self.taken.contains_key(candidate)) {
                    continue;
                }
                if let Some(&id) = group.candidates.iter().find(|candidate| !self.excluded.contains_key(candidate)) {
                    return Ok(Some((by, group.text.clone(), id)));
                }
            }
        }
        Ok(None)
    }

    fn unserved(&self, by: PackageId, group: &Group) -> Result<Told, SolveError> {
        let mut involved = vec![by];
        let mut reasons = Vec::new();
        for &candidate in &group.candidates {
            if let Some((who, how)) = self.excluded.get(&candidate) {
                if group.candidates.len() == 1 {
                    reasons.push(format!("{} in this image {}", self.name(*who), self.against(how, candidate)));
                } else {
                    let how = self.against(how, candidate);
                    reasons.push(format!("{} {how} (so not {})", self.name(*who), self.name(candidate)));
                }
                involved.push(*who);
            }
        }
        if group.candidates.is_empty() {
            for name in &group.names {
                let versions = self.universe.versions(name)?;
                let providers = self.universe.provider_names(name)?;
                reasons.push(match (versions.is_empty(), providers.is_empty()) {
                    (false, _) => format!("the archive has `{name}` only in version {}", versions.join(", ")),
                    (true, false) => format!("none of those that provide `{name}` fits: {}", providers.join(", ")),
                    (true, true) => format!("the archive has no `{name}`"),
                });
            }
        }
        let first = format!("{} needs `{}`, but {}", self.name(by), group.text, reasons.join(", and "));
        Ok(self.told(first, &involved))
    }

    /// The contradiction, and how each of the packages in it came in.
    fn told(&self, why: String, involved: &[PackageId]) -> Told {
        let mut ways: Vec<Way> = Vec::new();
        for &id in involved {
            let (mut id, mut steps) = (id, Vec::new());
            // A way is no longer than there are packages.
            while let Some(Because::Needed(by, text)) = self.taken.get(&id).filter(|_| steps.len() < self.order.len()) {
                steps.push(format!("{} is here because {} needs `{text}`", self.name(id), self.name(*by)));
                id = *by;
            }
            // What was only a candidate is no part of it.
            let asked = self.roots.get(&self.universe.name(id)).filter(|_| self.taken.contains_key(&id));
            let Some(asked) = asked.cloned() else { continue };
            let way = Way { asked, steps };
            if !ways.contains(&way) {
                ways.push(way);
            }
        }
        (why, ways)
    }
}
