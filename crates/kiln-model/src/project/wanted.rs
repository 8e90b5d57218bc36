//! What a project asks of its lock: sets of packages to be resolved together, and sources to be pinned.

use std::collections::BTreeMap;

use super::LoadedProject;
use crate::diagnostic::{Place, Spanned};
use crate::image::{Image, ImagePackage};
use crate::recipe::{Options, Recipe, Source, Switches};
use crate::{Architecture, PackageName, PackageRef};

/// A recipe with its options decided: what is built.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Variant {
    /// The recipe.
    pub recipe: PackageName,
    /// Every option.
    pub options: Options,
    /// The recipe's name, with the options that differ from its defaults: `nginx[selinux,!ipv6]`.
    pub label: String,
}

/// Packages of origins that are asked for, each with every place that asks for it.
pub type Requests = BTreeMap<PackageRef, Vec<Place>>;

/// Packages that are resolved together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WantedTarget {
    /// `environment`, `image:NAME`, `recipe:VARIANT:build` or `recipe:VARIANT:runtime`.
    pub name: String,
    /// For what.
    pub architecture: Architecture,
    /// What the project asks for.
    pub requests: Requests,
}

/// A source that is pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedSource {
    /// The recipe.
    pub recipe: PackageName,
    /// Which of its sources, counted from zero.
    pub index: u32,
    /// The source.
    pub source: Source,
}

impl Variant {
    fn new(recipe: &Recipe, options: Options) -> Self {
        let differs = |(name, on): (&crate::OptionName, &bool)| match recipe.options.get(name) {
            Some(option) if option.default != *on => Some(if *on { name.to_string() } else { format!("!{name}") }),
            _ => None,
        };
        let switched: Vec<String> = options.iter().filter_map(differs).collect();
        let label = match &switched[..] {
            [] => recipe.name.to_string(),
            _ => format!("{}[{}]", recipe.name, switched.join(",")),
        };
        Self { recipe: recipe.name.value.clone(), options, label }
    }
}

impl LoadedProject {
    /// The architectures to build for, given this machine's.
    #[must_use]
    pub fn architectures(&self, native: Architecture) -> Vec<Architecture> {
        match &self.project.architectures[..] {
            [] => vec![native],
            named => named.iter().map(|architecture| architecture.value).collect(),
        }
    }

    fn switched(&self, recipe: &Recipe, further: Option<&Switches>) -> Variant {
        let project = self.project.options.get(&recipe.name.value).map(|switches| &switches.value);
        let switches: Vec<&Switches> = project.into_iter().chain(further).collect();
        Variant::new(recipe, recipe.options(&switches))
    }

    /// A recipe as the project has it, when no image says otherwise.
    #[must_use]
    pub fn variant(&self, name: &PackageName) -> Option<Variant> {
        Some(self.switched(self.recipes.get(name)?, None))
    }

    /// A recipe as an image has it; none for a package of an origin.
    #[must_use]
    pub fn image_variant(&self, package: &ImagePackage) -> Option<Variant> {
        match &package.reference.value {
            PackageRef::Recipe(name) => Some(self.switched(self.recipes.get(name)?, Some(&package.switches))),
            PackageRef::Origin(..) | PackageRef::Essential(_) => None,
        }
    }

    /// Every variant that the project builds: each recipe as the project has it, and as any image has it.
    #[must_use]
    pub fn variants(&self) -> BTreeMap<String, Variant> {
        let own = self.recipes.keys().filter_map(|name| self.variant(name));
        let packages = self.images.values().flat_map(|image| &image.packages);
        let images = packages.filter_map(|package| self.image_variant(package));
        own.chain(images).map(|variant| (variant.label.clone(), variant)).collect()
    }

    /// The recipes that a set of packages brings along at run time, themselves included: by name, each as a variant.
    /// Of one recipe in two variants, that of `roots` is taken.
    #[must_use]
    pub fn runtime_recipes(&self, roots: Vec<Variant>) -> BTreeMap<PackageName, Variant> {
        let mut found: BTreeMap<PackageName, Variant> = BTreeMap::new();
        let mut queue: Vec<Variant> = Vec::new();
        for root in roots {
            queue.push(root.clone());
            found.insert(root.recipe.clone(), root);
        }
        while let Some(variant) = queue.pop() {
            let Some(recipe) = self.recipes.get(&variant.recipe) else { continue };
            for need in recipe.runtime_needs(&variant.options) {
                if let PackageRef::Recipe(name) = &need.value
                    && !found.contains_key(name)
                    && let Some(next) = self.variant(name)
                {
                    found.insert(name.clone(), next.clone());
                    queue.push(next);
                }
            }
        }
        found
    }

    /// The packages of origins that variants ask for at run time, directly or by other recipes.
    #[must_use]
    pub fn runtime_requests(&self, roots: Vec<Variant>) -> Requests {
        let mut requests = Requests::new();
        self.add_runtime_requests(roots, &mut requests);
        requests
    }

    fn add_runtime_requests(&self, roots: Vec<Variant>, requests: &mut Requests) {
        for variant in self.runtime_recipes(roots).values() {
            let Some(recipe) = self.recipes.get(&variant.recipe) else { continue };
            let needs = recipe.runtime_needs(&variant.options);
            needs.filter(|need| need.origin().is_some()).for_each(|need| add(requests, need));
        }
    }

    /// The packages of origins in a variant's build environment: the project's `environment`, what the recipe needs, and
    /// what recipes that it needs take to run.
    #[must_use]
    pub fn build_requests(&self, variant: &Variant) -> Requests {
        let mut requests = self.environment_requests();
        let Some(recipe) = self.recipes.get(&variant.recipe) else { return requests };
        let mut roots = Vec::new();
        for need in recipe.build_needs(&variant.options) {
            match &need.value {
                PackageRef::Recipe(name) => roots.extend(self.variant(name)),
                PackageRef::Origin(..) | PackageRef::Essential(_) => add(&mut requests, need),
            }
        }
        self.add_runtime_requests(roots, &mut requests);
        with_essential(requests)
    }

    fn environment_requests(&self) -> Requests {
        let mut requests = Requests::new();
        self.project.environment.iter().for_each(|package| add(&mut requests, package));
        requests
    }

    /// The packages of origins that an image asks for, directly or by recipes.
    #[must_use]
    pub fn image_requests(&self, image: &Image) -> Requests {
        let roots = image.packages.iter().filter_map(|package| self.image_variant(package)).collect();
        let mut requests = self.runtime_requests(roots);
        let own = image.packages.iter().map(|package| &package.reference);
        own.filter(|reference| reference.origin().is_some()).for_each(|reference| add(&mut requests, reference));
        requests
    }

    /// Everything that has to be resolved for an architecture, by name.
    #[must_use]
    pub fn wanted_targets(&self, architecture: Architecture) -> Vec<WantedTarget> {
        let target = |name: String, requests| WantedTarget { name, architecture, requests };
        let mut targets = Vec::new();
        if !self.recipes.is_empty() {
            targets.push(target("environment".to_owned(), with_essential(self.environment_requests())));
        }
        for (label, variant) in self.variants() {
            targets.push(target(format!("recipe:{label}:build"), self.build_requests(&variant)));
            targets.push(target(format!("recipe:{label}:runtime"), self.runtime_requests(vec![variant])));
        }
        for (name, image) in &self.images {
            targets.push(target(format!("image:{name}"), self.image_requests(image)));
        }
        targets.sort();
        targets
    }

    /// Every source of every recipe.
    #[must_use]
    pub fn wanted_sources(&self) -> Vec<WantedSource> {
        let of = |recipe: &Recipe| -> Vec<WantedSource> {
            let wanted = |(index, source): (u32, &Source)| WantedSource {
                recipe: recipe.name.value.clone(),
                index,
                source: source.clone(),
            };
            (0..).zip(&recipe.sources).map(wanted).collect()
        };
        self.recipes.values().flat_map(of).collect()
    }
}

fn add(requests: &mut Requests, request: &Spanned<PackageRef>) {
    match requests.get_mut(&request.value) {
        Some(places) => places.push(request.place),
        None => drop(requests.insert(request.value.clone(), vec![request.place])),
    }
}

/// What packages are built with rests on the Essential set of its distribution without saying so: Debian Policy 4.2. The
/// first request of a distribution counts as what asks for it.
fn with_essential(mut requests: Requests) -> Requests {
    let mut essential = Requests::new();
    for (request, places) in &requests {
        if let Some(origin) = request.origin() {
            essential.entry(PackageRef::Essential(origin.clone())).or_insert_with(|| places.clone());
        }
    }
    // Who asks for the set by its name has places of their own.
    for (request, places) in essential {
        requests.entry(request).or_insert(places);
    }
    requests
}
