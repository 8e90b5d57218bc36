//! What a project and its images say of the hooks of packages, with the places where they say it.

use std::collections::BTreeMap;

use kiln_compose::{Answer, Said, Sayer};
use kiln_model::diagnostic::{Diagnostics, Place, Spanned};
use kiln_model::hooks::HooksWords;
use kiln_model::image::Image;
use kiln_model::lock::Lock;
use kiln_model::{HooksWord, PackageRef};

use crate::workspace::Workspace;

/// What is said of hooks, by package.
pub type SaidOfHooks = BTreeMap<PackageRef, Said>;

/// A place as people write it: `images/web.yaml:7:3`.
fn shown(workspace: &Workspace, place: Place) -> String {
    format!("{}:{}:{}", workspace.project.sources.path(place.file), place.line, place.column)
}

fn said(workspace: &Workspace, words: &HooksWords, by: Sayer) -> SaidOfHooks {
    let said = |(package, word): (&PackageRef, &Spanned<HooksWord>)| {
        (package.clone(), Said { word: word.value.clone(), by, place: shown(workspace, word.place) })
    };
    words.iter().map(said).collect()
}

/// What the project says of every image and build environment.
#[must_use]
pub fn of_project(workspace: &Workspace) -> SaidOfHooks {
    said(workspace, &workspace.project.project.hooks, Sayer::Project)
}

/// What counts in an image: its own words, and those of the project where it has none.
#[must_use]
pub fn of_image(workspace: &Workspace, image: &Image) -> SaidOfHooks {
    let mut all = of_project(workspace);
    all.extend(said(workspace, &image.hooks, Sayer::Image));
    all
}

/// The answers of an image.
#[must_use]
pub fn answers(workspace: &Workspace, image: &Image) -> BTreeMap<PackageRef, BTreeMap<String, Answer>> {
    let answers = image.answers.iter().map(|(package, list)| {
        let answer =
            |answer: &Spanned<String>| Answer { text: answer.value.clone(), place: shown(workspace, answer.place) };
        (package.clone(), list.iter().map(|(name, text)| (name.clone(), answer(text))).collect())
    });
    answers.collect()
}

/// What the project says of the hooks of packages that nothing here has: it has no effect anywhere.
#[must_use]
pub fn without_effect(workspace: &Workspace, lock: &Lock) -> Option<Diagnostics> {
    let is_locked = |package: &PackageRef| match package {
        PackageRef::Origin(origin, name) => lock.packages.keys().any(|key| key.origin == *origin && key.name == *name),
        PackageRef::Recipe(_) | PackageRef::Essential(_) => true,
    };
    let words = workspace.project.project.hooks.iter().filter(|(package, _)| !is_locked(package));
    let faults: Vec<_> = words
        .map(|(package, word)| {
            let message = format!("nothing here has the package `{package}`, so this has no effect");
            workspace.project.error_at(word.place, message)
        })
        .collect();
    (!faults.is_empty()).then_some(Diagnostics(faults))
}
