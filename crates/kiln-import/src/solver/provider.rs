//! The universe as `resolvo` wants to see it.
//!
//! Its names are package names, its solvables packages. A relation becomes a union of sets, one for each package name
//! that can serve it, in order of preference: so virtual packages need no names of their own, and at most one version
//! of a name is ever chosen. What a package excludes becomes a set of what is left of the victim's name.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use resolvo::{
    Candidates, Condition, ConditionId, ConditionalRequirement, DenseIndex, Dependencies, DependencyProvider,
    HintDependenciesAvailable, Interner, KnownDependencies, LogicalOperator, NameId, Problem, Requirement, SolvableId,
    Solver, SolverCache, StringId, UnsolvableOrCancelled, VersionSetId, VersionSetUnionId,
};

use super::{PackageId, Roots, SolveError, Universe};

/// Packages of one name.
#[derive(Clone)]
struct Set {
    name: NameId,
    packages: Vec<PackageId>,
}

#[derive(Default)]
struct Interned {
    names: Vec<String>,
    by_name: BTreeMap<String, NameId>,
    sets: Vec<Set>,
    unions: Vec<Vec<VersionSetId>>,
    conditions: Vec<Condition>,
    /// The first thing that went wrong while the solver asked: it cannot take errors itself.
    fault: Option<SolveError>,
}

/// See the module.
pub(crate) struct Provider<U> {
    universe: U,
    interned: RefCell<Interned>,
}

impl<U: Universe> Provider<U> {
    pub(crate) fn new(universe: U) -> Self {
        Self { universe, interned: RefCell::default() }
    }

    pub(crate) fn universe(&self) -> &U {
        &self.universe
    }

    pub(crate) fn into_universe(self) -> U {
        self.universe
    }

    /// A solution that has a package of each root's name, and those of `soft` that can be had; none if there is none.
    pub(crate) fn solve(
        &mut self,
        roots: &Roots,
        soft: &[PackageId],
    ) -> Result<Option<BTreeSet<PackageId>>, SolveError> {
        let mut requirements = Vec::new();
        for root in roots.keys() {
            let packages = self.universe.named(root)?.to_vec();
            requirements.push(ConditionalRequirement::from(Requirement::Single(self.set(root, packages))));
        }
        let soft: Vec<_> = soft.iter().map(|&id| SolvableId::from_index(id)).collect();
        let problem = Problem::new().requirements(requirements).soft_requirements(soft);
        let found = Solver::new(&*self).solve(problem);
        if let Some(fault) = self.interned.borrow_mut().fault.take() {
            return Err(fault);
        }
        match found {
            Ok(chosen) => Ok(Some(chosen.into_iter().map(DenseIndex::to_index).collect())),
            Err(UnsolvableOrCancelled::Unsolvable(_) | UnsolvableOrCancelled::Cancelled(_)) => Ok(None),
        }
    }

    fn name(&self, name: &str) -> NameId {
        let mut interned = self.interned.borrow_mut();
        if let Some(&id) = interned.by_name.get(name) {
            return id;
        }
        let id = NameId::from_index(interned.names.len());
        interned.names.push(name.to_owned());
        interned.by_name.insert(name.to_owned(), id);
        id
    }

    fn set(&self, name: &str, packages: Vec<PackageId>) -> VersionSetId {
        let name = self.name(name);
        let mut interned = self.interned.borrow_mut();
        interned.sets.push(Set { name, packages });
        VersionSetId::from_index(interned.sets.len() - 1)
    }

    /// The sets of a list of packages, one for each name, in the order in which the names come.
    fn by_name(&self, packages: &[PackageId]) -> Vec<VersionSetId> {
        let mut groups: Vec<(String, Vec<PackageId>)> = Vec::new();
        for &id in packages {
            let name = self.universe.name(id);
            match groups.iter_mut().find(|(other, _)| *other == name) {
                Some((_, group)) => group.push(id),
                None => groups.push((name, vec![id])),
            }
        }
        groups.into_iter().map(|(name, group)| self.set(&name, group)).collect()
    }

    fn condition(&self, condition: Condition) -> ConditionId {
        let mut interned = self.interned.borrow_mut();
        interned.conditions.push(condition);
        ConditionId::from_index(interned.conditions.len() - 1)
    }

    /// Of each of these, one is there. None where nothing has to be.
    fn when(&self, sets: &[Vec<PackageId>]) -> Option<ConditionId> {
        let one_of = |packages: &Vec<PackageId>| {
            let sets = self.by_name(packages).into_iter();
            let any = sets.map(|set| self.condition(Condition::Requirement(set)));
            any.reduce(|a, b| self.condition(Condition::Binary(LogicalOperator::Or, a, b)))
        };
        sets.iter().filter_map(one_of).reduce(|a, b| self.condition(Condition::Binary(LogicalOperator::And, a, b)))
    }

    fn dependencies(&self, id: PackageId) -> Result<KnownDependencies, SolveError> {
        let mut known = KnownDependencies::default();
        for group in self.universe.needs(id)?.iter() {
            let mut sets = self.by_name(&group.candidates);
            let requirement = match sets.len() {
                // Nothing serves it: a set of nothing, of a name that is none.
                0 => Requirement::Single(self.set("", Vec::new())),
                1 => Requirement::Single(sets.remove(0)),
                _ => {
                    let mut interned = self.interned.borrow_mut();
                    interned.unions.push(sets);
                    Requirement::Union(VersionSetUnionId::from_index(interned.unions.len() - 1))
                }
            };
            known.requirements.push(ConditionalRequirement { condition: self.when(&group.when), requirement });
        }
        let mut victims: BTreeMap<String, BTreeSet<PackageId>> = BTreeMap::new();
        for victim in self.universe.excludes(id)?.iter().flat_map(|exclusion| &exclusion.victims) {
            let name = self.universe.name(*victim);
            victims.entry(name).or_default().insert(*victim);
        }
        for (name, victims) in victims {
            let left = self.universe.named(&name)?.iter().copied().filter(|id| !victims.contains(id)).collect();
            known.constrains.push(self.set(&name, left));
        }
        Ok(known)
    }

    fn kept<T: Default>(&self, result: Result<T, SolveError>) -> T {
        result.unwrap_or_else(|error| {
            self.interned.borrow_mut().fault.get_or_insert(error);
            T::default()
        })
    }
}

impl<U: Universe> Interner for &Provider<U> {
    type NameId = NameId;
    type SolvableId = SolvableId;

    fn display_solvable(&self, solvable: SolvableId) -> impl Display + '_ {
        let id = solvable.to_index();
        format!("{} {}", self.universe.name(id), self.universe.version(id))
    }

    fn display_name(&self, name: NameId) -> impl Display + '_ {
        self.interned.borrow().names[name.to_index()].clone()
    }

    fn display_version_set(&self, set: VersionSetId) -> impl Display + '_ {
        let packages = self.interned.borrow().sets[set.to_index()].packages.clone();
        let versions: Vec<_> = packages.into_iter().map(|id| self.universe.version(id)).collect();
        versions.join(" or ")
    }

    fn display_string(&self, _: StringId) -> impl Display + '_ {
        ""
    }

    fn version_set_name(&self, set: VersionSetId) -> NameId {
        self.interned.borrow().sets[set.to_index()].name
    }

    fn solvable_name(&self, solvable: SolvableId) -> NameId {
        let name = self.universe.name(solvable.to_index());
        self.name(&name)
    }

    fn version_sets_in_union(&self, union: VersionSetUnionId) -> impl Iterator<Item = VersionSetId> {
        self.interned.borrow().unions[union.to_index()].clone().into_iter()
    }

    fn resolve_condition(&self, condition: ConditionId) -> Condition {
        self.interned.borrow().conditions[condition.to_index()].clone()
    }
}

impl<U: Universe> DependencyProvider for &Provider<U> {
    async fn filter_candidates(&self, candidates: &[SolvableId], set: VersionSetId, inverse: bool) -> Vec<SolvableId> {
        let interned = self.interned.borrow();
        let packages = &interned.sets[set.to_index()].packages;
        candidates.iter().copied().filter(|c| packages.contains(&c.to_index()) != inverse).collect()
    }

    async fn get_candidates(&self, name: NameId) -> Option<Candidates> {
        let name = self.interned.borrow().names[name.to_index()].clone();
        let found = self.kept(self.universe.named(&name).map(|found| found.to_vec()));
        if found.is_empty() {
            return None;
        }
        Some(Candidates {
            candidates: found.into_iter().map(SolvableId::from_index).collect(),
            hint_dependencies_available: HintDependenciesAvailable::None,
            ..Candidates::default()
        })
    }

    async fn sort_candidates(&self, _: &SolverCache<Self>, solvables: &mut [SolvableId]) {
        // Candidates of one name were numbered highest version first.
        solvables.sort();
    }

    async fn get_dependencies(&self, solvable: SolvableId) -> Dependencies {
        Dependencies::Known(self.kept(self.dependencies(solvable.to_index())))
    }
}
