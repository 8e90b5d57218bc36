//! What something was made of, every input by its digest, down to the packages that recipes were built with.

use std::collections::BTreeSet;

use kiln_build::graph::{ActionError, NodeId};
use kiln_build::package::{RECORD, TREE};
use kiln_model::{Digest, PackageRef};
use kiln_sbom::{Input, InputKind};

use super::Documents;
use crate::action::{Composed, ComposedPackage};

/// Collects inputs.
pub(super) struct Inputs<'a> {
    documents: &'a Documents<'a>,
    found: Vec<Input>,
    /// Recipes and environments that were looked at, or are to be.
    seen: BTreeSet<NodeId>,
    queue: Vec<NodeId>,
}

impl<'a> Inputs<'a> {
    pub(super) const fn new(documents: &'a Documents<'a>) -> Self {
        Self { documents, found: Vec::new(), seen: BTreeSet::new(), queue: Vec::new() }
    }

    /// Everything that went into a composed image.
    pub(super) fn image(&mut self, compose: NodeId) -> Result<(), ActionError> {
        self.composition(compose, None)?;
        let Some(action) = self.documents.plan.composes(compose) else { return Ok(()) };
        for (path, file) in &action.content.files {
            self.add(InputKind::File, path.to_string(), None, file.object.0, None);
        }
        for overlay in &action.content.overlays {
            self.add(InputKind::Overlay, overlay.name.clone(), None, overlay.tree.id().0, None);
        }
        Ok(())
    }

    /// Everything that went into a recipe's build, later.
    pub(super) fn recipe(&mut self, build: NodeId) {
        if self.seen.insert(build) {
            self.queue.push(build);
        }
    }

    /// All of it.
    pub(super) fn finish(mut self) -> Result<Vec<Input>, ActionError> {
        while let Some(node) = self.queue.pop() {
            self.build(node)?;
        }
        Ok(self.found)
    }

    fn add(&mut self, kind: InputKind, name: String, uri: Option<String>, digest: Digest, of: Option<&str>) {
        let digest = Input::sha256(&digest);
        self.found.push(Input { kind, name, uri, digest, of: of.map(str::to_owned) });
    }

    fn composition(&mut self, compose: NodeId, of: Option<&str>) -> Result<(), ActionError> {
        let missing = || ActionError::message("a composition has not been made");
        let result = self.documents.finished.result(compose).ok_or_else(missing)?;
        let composed = Composed::read(&self.documents.services.session, result)?;
        for package in &composed.packages {
            self.package(package, of)?;
        }
        for node in self.documents.builds_of(compose).into_values() {
            // What was planned in case something needs it, and nothing did, was no input.
            let built = self.documents.finished.result(node).and_then(|result| result.objects.get(RECORD));
            if built.is_some_and(|(record, _)| composed.packages.iter().any(|package| package.record == *record)) {
                self.recipe(node);
            }
        }
        Ok(())
    }

    fn package(&mut self, package: &ComposedPackage, of: Option<&str>) -> Result<(), ActionError> {
        let documents = self.documents;
        let name = format!("{} {}", package.package, package.version);
        if matches!(package.package, PackageRef::Recipe(_)) {
            self.add(InputKind::Built, name, None, package.tree.0, of);
            return Ok(());
        }
        let missing = || ActionError::message(format!("`{}` is not locked", package.package));
        let (_, locked) = documents.lock.find(&package.package, documents.architecture).ok_or_else(missing)?;
        let uri = documents.purl_of(&documents.record(package.record)?, &package.package);
        self.add(InputKind::Package, name, uri.map(|purl| purl.to_string()), locked.sha256, of);
        Ok(())
    }

    fn build(&mut self, node: NodeId) -> Result<(), ActionError> {
        let documents = self.documents;
        let Some(build) = documents.builds(node) else { return Ok(()) };
        let of = format!("{} {}", build.name, build.version);
        for source in documents.sources(build) {
            let uri = source.location.or_else(|| source.purl.map(|purl| purl.to_string()));
            let name = match &source.version {
                Some(version) => format!("{} {version}", source.name),
                None => source.name.clone(),
            };
            for file in &source.files {
                self.add(InputKind::Source, file.name.clone(), uri.clone(), file.sha256, Some(&of));
            }
            if let Some(commit) = source.commit {
                let digest = ("gitCommit", commit);
                let (name, uri, of) = (name.clone(), uri.clone(), Some(of.clone()));
                self.found.push(Input { kind: InputKind::Source, name, uri, digest, of });
            } else if let (Some(tree), []) = (source.tree, &source.files[..]) {
                self.add(InputKind::Source, name, uri, tree, Some(&of));
            }
        }
        for patch in &build.patches {
            self.add(InputKind::Patch, patch.name.clone(), None, Digest::of(&patch.bytes), Some(&of));
        }
        for (path, bytes) in &build.added {
            self.add(InputKind::File, path.to_string(), None, Digest::of(bytes), Some(&of));
        }
        let root = build.environment.root;
        let missing = || ActionError::message(format!("the environment of `{}` has not been made", build.name));
        let result = documents.finished.result(root).ok_or_else(missing)?;
        let tree = result.trees.get(TREE).ok_or_else(missing)?.0;
        let environment = format!("environment {}", tree.short());
        self.add(InputKind::Environment, environment.clone(), None, tree, Some(&of));
        if self.seen.insert(root) {
            self.composition(root, Some(&environment))?;
        }
        Ok(())
    }
}
