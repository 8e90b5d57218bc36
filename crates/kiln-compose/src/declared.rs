//! What packages and the image say of things by name, brought together: the image's word stands, packages must agree.

use std::collections::BTreeMap;

use kiln_model::Facts;

use crate::owner::Owner;
use crate::request::Request;

/// Two packages that say different things of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{name}` is {first} by {first_owner}, but {second} by {second_owner}")]
pub struct Contradiction {
    /// What kind of thing.
    pub what: &'static str,
    /// Its name.
    pub name: String,
    /// One word.
    pub first: String,
    /// Who says so.
    pub first_owner: Owner,
    /// The other.
    pub second: String,
    /// Who says so.
    pub second_owner: Owner,
}

impl Contradiction {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        format!("say it under `facts:` of the image, whose word wins: {} `{}`", self.what, self.name)
    }
}

/// What is said, and by whom.
#[derive(Debug, Clone)]
pub(crate) struct Said<'a, V> {
    pub value: &'a V,
    pub by: Owner,
}

impl<V> Said<'_, V> {
    /// Is it the image that says so?
    pub fn by_image(&self) -> bool {
        self.by == Owner::Image
    }
}

/// Everyone who declares something, the image first, then packages by name.
pub(crate) fn declarers(request: &Request) -> impl Iterator<Item = (Owner, &Facts)> {
    let packages: BTreeMap<_, _> = request.members.iter().map(|member| (member.reference(), &member.facts)).collect();
    let packages = packages.into_iter().map(|(reference, facts)| (Owner::Package(reference), facts));
    std::iter::once((Owner::Image, &request.facts)).chain(packages)
}

/// One word for each name: the image's, or that on which packages agree.
pub(crate) fn gather<'a, V: PartialEq>(
    request: &'a Request,
    what: &'static str,
    of: impl Fn(&'a Facts) -> &'a BTreeMap<String, V>,
    name: impl Fn(&str) -> String,
    show: impl Fn(&V) -> String,
) -> Result<BTreeMap<String, Said<'a, V>>, Box<Contradiction>> {
    let mut said: BTreeMap<String, Said<'a, V>> = BTreeMap::new();
    for (by, facts) in declarers(request) {
        for (key, value) in of(facts) {
            let key = name(key);
            match said.get(&key) {
                None => {
                    said.insert(key, Said { value, by: by.clone() });
                }
                Some(first) if first.value != value && (!first.by_image() || by == Owner::Image) => {
                    return Err(Box::new(Contradiction {
                        what,
                        name: key,
                        first: show(first.value),
                        first_owner: first.by.clone(),
                        second: show(value),
                        second_owner: by,
                    }));
                }
                Some(_) => {}
            }
        }
    }
    Ok(said)
}
