//! What a relation comes to among the packages that there are: clauses, all of which have to hold. A clause is "one of
//! these, where of each of those sets one is there".

use std::collections::BTreeSet;

use super::relation::{Relation, Simple};
use crate::solver::PackageId;

/// A relation does not come to more.
const MOST: usize = 64;

/// One of these, where of each of those sets one is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Clause {
    pub any_of: Vec<PackageId>,
    pub when: Vec<Vec<PackageId>>,
    /// The names that were looked for.
    pub names: Vec<String>,
}

/// Who satisfies a name, best first.
pub(super) type Serving<'a> = dyn Fn(&Simple<'_>) -> Vec<PackageId> + 'a;

/// The clauses of something that is needed.
///
/// # Errors
/// What of it is not understood.
pub(super) fn clauses(relation: &Relation<'_>, serving: &Serving<'_>) -> Result<Vec<Clause>, &'static str> {
    let found = match relation {
        Relation::Simple(simple) => {
            let names = vec![simple.name.to_owned()];
            vec![Clause { any_of: serving(simple), names, ..Clause::default() }]
        }
        Relation::And(all) => {
            let mut list = Vec::new();
            for part in all {
                list.extend(clauses(part, serving)?);
            }
            list
        }
        Relation::Or(any) => {
            let mut list = vec![Clause::default()];
            for part in any {
                list = either(&list, &clauses(part, serving)?)?;
            }
            list
        }
        Relation::If(then, condition, otherwise) => {
            let mut list = where_it_holds(&clauses(then, serving)?, &cases(condition, serving)?);
            if let Some(otherwise) = otherwise {
                list.extend(either(&clauses(otherwise, serving)?, &clauses(condition, serving)?)?);
            }
            list
        }
        Relation::Unless(then, condition, otherwise) => {
            let mut list = either(&clauses(then, serving)?, &clauses(condition, serving)?)?;
            if let Some(otherwise) = otherwise {
                list.extend(where_it_holds(&clauses(otherwise, serving)?, &cases(condition, serving)?));
            }
            list
        }
        Relation::With(_) | Relation::Without(..) => {
            vec![Clause { any_of: one(relation, serving)?, names: Vec::new(), ..Clause::default() }]
        }
    };
    if found.len() > MOST { Err("it comes to too much") } else { Ok(found) }
}

/// One clause or the other, for each two of them.
fn either(a: &[Clause], b: &[Clause]) -> Result<Vec<Clause>, &'static str> {
    if a.len() * b.len() > MOST {
        return Err("it comes to too much");
    }
    let both = |a: &Clause, b: &Clause| Clause {
        any_of: a.any_of.iter().chain(b.any_of.iter().filter(|id| !a.any_of.contains(id))).copied().collect(),
        when: [&*a.when, &b.when].concat(),
        names: [&*a.names, &b.names].concat(),
    };
    Ok(a.iter().flat_map(|a| b.iter().map(move |b| both(a, b))).collect())
}

/// Clauses that count in some cases. A case in which something has to be there that nothing can be never comes.
fn where_it_holds(then: &[Clause], cases: &[Vec<Vec<PackageId>>]) -> Vec<Clause> {
    let possible = cases.iter().filter(|case| case.iter().all(|set| !set.is_empty()));
    let clause = |clause: &Clause, case: &[Vec<PackageId>]| Clause {
        when: clause.when.iter().chain(case).cloned().collect(),
        ..clause.clone()
    };
    possible.flat_map(|case| then.iter().map(move |then| clause(then, case))).collect()
}

/// The cases in which a condition holds: in each, of every set one is there.
fn cases(condition: &Relation<'_>, serving: &Serving<'_>) -> Result<Vec<Vec<Vec<PackageId>>>, &'static str> {
    let found = match condition {
        Relation::And(all) => {
            let mut list = vec![Vec::new()];
            for part in all {
                let part = cases(part, serving)?;
                let joined =
                    |case: &Vec<Vec<PackageId>>| part.iter().map(|more| [&**case, more].concat()).collect::<Vec<_>>();
                list = list.iter().flat_map(joined).collect();
            }
            list
        }
        Relation::Or(any) => {
            let mut list = Vec::new();
            for part in any {
                list.extend(cases(part, serving)?);
            }
            list
        }
        Relation::If(..) | Relation::Unless(..) => return Err("a condition within a condition is not understood"),
        other => vec![vec![one(other, serving)?]],
    };
    if found.len() > MOST { Err("it comes to too much") } else { Ok(found) }
}

/// The packages any one of which satisfies it.
///
/// # Errors
/// When it takes more than one package.
pub(super) fn one(relation: &Relation<'_>, serving: &Serving<'_>) -> Result<Vec<PackageId>, &'static str> {
    match relation {
        Relation::Simple(simple) => Ok(serving(simple)),
        Relation::Or(any) => {
            let mut list: Vec<PackageId> = Vec::new();
            for part in any {
                let more = one(part, serving)?;
                list.extend(more.into_iter().filter(|id| !list.contains(id)).collect::<Vec<_>>());
            }
            Ok(list)
        }
        Relation::With(all) => {
            let (first, rest) = all.split_first().ok_or("it is empty")?;
            let mut list = one(first, serving)?;
            for part in rest {
                let other: BTreeSet<PackageId> = one(part, serving)?.into_iter().collect();
                list.retain(|id| other.contains(id));
            }
            Ok(list)
        }
        Relation::Without(first, second) => {
            let without: BTreeSet<PackageId> = one(second, serving)?.into_iter().collect();
            Ok(one(first, serving)?.into_iter().filter(|id| !without.contains(id)).collect())
        }
        Relation::And(_) | Relation::If(..) | Relation::Unless(..) => {
            Err("`and`, `if` and `unless` are not understood here, where one package is meant")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packages are letters, and each provides its own name: `a` is 0.
    fn serving(simple: &Simple<'_>) -> Vec<PackageId> {
        match simple.name {
            "none" => Vec::new(),
            "vowel" => vec![0, 4],
            name => vec![usize::from(name.as_bytes()[0] - b'a')],
        }
    }

    type Told = Vec<(Vec<PackageId>, Vec<Vec<PackageId>>)>;

    fn told(text: &str) -> Result<Told, &'static str> {
        let found = clauses(&Relation::parse(text).unwrap(), &serving)?;
        Ok(found.into_iter().map(|clause| (clause.any_of, clause.when)).collect())
    }

    #[test]
    fn relations_come_to_clauses() {
        for (text, expected) in [
            ("a", vec![(vec![0], vec![])]),
            ("(a or b)", vec![(vec![0, 1], vec![])]),
            ("(a and b)", vec![(vec![0], vec![]), (vec![1], vec![])]),
            ("(a or (b and c))", vec![(vec![0, 1], vec![]), (vec![0, 2], vec![])]),
            ("(a if b)", vec![(vec![0], vec![vec![1]])]),
            ("(a if none)", vec![]),
            ("(a if (b and c))", vec![(vec![0], vec![vec![1], vec![2]])]),
            ("(a if (b or c))", vec![(vec![0], vec![vec![1]]), (vec![0], vec![vec![2]])]),
            ("(a if b else c)", vec![(vec![0], vec![vec![1]]), (vec![2, 1], vec![])]),
            ("(a unless b)", vec![(vec![0, 1], vec![])]),
            ("(a unless b else c)", vec![(vec![0, 1], vec![]), (vec![2], vec![vec![1]])]),
            ("(vowel with e)", vec![(vec![4], vec![])]),
            ("(vowel without e)", vec![(vec![0], vec![])]),
        ] {
            assert_eq!(told(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_told() {
        assert!(told("(a if (b if c))").is_err() && told("(a with (b and c))").is_err());
        let product = ["(a and b and c and d)"; 4].join(" or ");
        assert!(told(&format!("({product})")).unwrap_err().contains("too much"));
    }
}
