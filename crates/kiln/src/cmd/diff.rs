//! `kiln diff`

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use kiln_build::graph::ActionError;
use kiln_model::{Architecture, Dir, Entry, ObjectError};
use kiln_plan::action::Composed;
use kiln_plan::{Plan, PlanError};
use kiln_store::Session;
use kiln_verify::{Change, Difference, Side, differences};
use serde_json::{Value, json};

use crate::cli::Target;
use crate::clone::{clone_at, commit_of};
use crate::context::{Context, Outcome, failed, graph_failed};
use crate::failure::{Failure, exit};
use crate::output::say;
use crate::room::Room;
use crate::size;

/// Arguments of `kiln diff`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kiln diff HEAD~1                  every image: what this commit changed\n  \
    kiln diff v1.0 v1.1 --of web      one image, between two tags\n  \
    kiln diff main --files            file by file")]
pub struct Diff {
    /// The commit, branch or tag to compare with
    #[arg(value_name = "OLD")]
    old: String,
    /// The one that is compared
    #[arg(value_name = "NEW", default_value = "HEAD")]
    new: String,
    /// The project or the image: NAME, PROJECT or PROJECT#NAME
    #[arg(long, value_name = "IMAGE", default_value = ".")]
    of: Target,
    /// Name every file
    #[arg(long)]
    files: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// An image at a commit.
struct At {
    tree: Arc<Dir>,
    /// Versions by package.
    packages: BTreeMap<String, String>,
    size: u64,
}

impl Diff {
    /// Compares.
    pub fn run(&self, context: &Context) -> Outcome {
        let project = &self.of.project;
        let folder = Room::new("kiln-diff-", &std::env::temp_dir())
            .map_err(|error| Failure::failed(&error, None).within("cannot make a temporary folder".to_owned()))?;
        let mut sides = Vec::new();
        for (name, rev) in [("old", &self.old), ("new", &self.new)] {
            let commit = commit_of(project, rev)?;
            let place = clone_at(project, &commit, &folder.path().join(name))?;
            sides.push((commit, self.images(context, &place)?));
        }
        let [(old_commit, (old, session)), (new_commit, (new, _))] = &sides[..] else { return Ok(exit::BUG) };
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        if names.is_empty() {
            let name = self.of.name.as_deref().unwrap_or_default();
            return Err(Failure::usage(format!("neither commit has an image `{name}`"), None));
        }
        let mut all = Vec::new();
        for name in names {
            let told = match (old.get(name), new.get(name)) {
                (Some(before), Some(after)) => self.image(name, before, after, session)?,
                (None, Some(after)) => only(name, "new", after),
                (Some(before), None) => only(name, "gone", before),
                (None, None) => continue,
            };
            all.push(told);
        }
        if self.json {
            say!("{}", json!({ "old": old_commit, "new": new_commit, "images": all }));
        } else {
            all.iter().for_each(|told| self.say(told));
        }
        Ok(exit::DONE)
    }

    /// The images of a project at a commit, composed.
    fn images(&self, context: &Context, project: &Path) -> Outcome<(BTreeMap<String, At>, Arc<Session>)> {
        let workspace = context.workspace(&Target { project: project.to_owned(), name: self.of.name.clone() })?;
        let services = context.services(&workspace)?;
        let lock = context.lock(&workspace, &services, false)?;
        let architecture: Architecture = services.settings.native;
        let mut plan = Plan::new(&workspace, &lock, &services, architecture);
        let mut nodes = Vec::new();
        for image in workspace.project.images.values() {
            if self.of.name.as_ref().is_none_or(|name| image.name.as_str() == name) {
                nodes.push((image.name.to_string(), plan.image(image).map_err(failed(PlanError::hint))?));
            }
        }
        let wanted: Vec<_> = nodes.iter().map(|(_, nodes)| nodes.compose).collect();
        let finished = plan.run(&wanted, false, &*context.progress).map_err(graph_failed)?;
        let mut images = BTreeMap::new();
        for (name, nodes) in nodes {
            let composed: Composed = plan.composed(&finished, nodes).map_err(failed(ActionError::hint))?;
            let tree = services.session.tree(composed.tree).map_err(failed(kiln_store::TreeError::hint))?;
            let packages = composed.packages.iter().map(|one| (one.package.to_string(), one.version.clone())).collect();
            let sizes = tree.walk().map(|(_, entry)| if let Entry::File(file) = entry { file.size } else { 0 });
            images.insert(name, At { size: sizes.sum(), packages, tree: Arc::clone(&tree) });
        }
        Ok((images, Arc::clone(&services.session)))
    }

    fn image(&self, name: &str, before: &At, after: &At, session: &Session) -> Outcome<Value> {
        let list = differences((&before.tree, session), (&after.tree, session)).map_err(failed(ObjectError::hint))?;
        let mut packages = Vec::new();
        let names: BTreeSet<&String> = before.packages.keys().chain(after.packages.keys()).collect();
        for package in names {
            let (was, now) = (before.packages.get(package), after.packages.get(package));
            if was != now {
                packages.push(json!({ "package": package, "old": was, "new": now }));
            }
        }
        let count = |test: fn(&Difference) -> bool| list.iter().filter(|one| test(one)).count();
        let added = count(|one| one.change == Change::Only(Side::Second));
        let removed = count(|one| one.change == Change::Only(Side::First));
        let files: Vec<Value> = list.iter().map(|one| json!({ "path": one.path, "what": what(&one.change) })).collect();
        Ok(json!({
            "image": name, "packages": packages, "old-size": before.size, "new-size": after.size,
            "added": added, "removed": removed, "changed": list.len() - added - removed, "files": files,
        }))
    }

    fn say(&self, told: &Value) {
        let word = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let number = |key: &str| told[key].as_u64().unwrap_or_default();
        let name = word(told, "image");
        if let Some(only) = told["only"].as_str() {
            say!("{name}: {only}, {}", size(number("size")));
            return;
        }
        let files = ["added", "removed", "changed"].map(|what| format!("{} {what}", number(what)));
        say!("{name}: {} → {}; paths: {}", size(number("old-size")), size(number("new-size")), files.join(", "));
        for package in told["packages"].as_array().into_iter().flatten() {
            let name = word(package, "package");
            match (package["old"].as_str(), package["new"].as_str()) {
                (Some(old), Some(new)) => say!("  ~ {name} {old} → {new}"),
                (None, Some(new)) => say!("  + {name} {new}"),
                (Some(old), None) => say!("  - {name} {old}"),
                (None, None) => {}
            }
        }
        for file in told["files"].as_array().into_iter().flatten().filter(|_| self.files) {
            say!("  /{} {}", word(file, "path").trim_start_matches('/'), word(file, "what"));
        }
    }
}

/// An image that only one commit has.
fn only(name: &str, side: &str, at: &At) -> Value {
    json!({ "image": name, "only": side, "size": at.size, "packages": at.packages })
}

/// A change, said of two commits.
fn what(change: &Change) -> String {
    match change {
        Change::Only(Side::First) => "is gone".to_owned(),
        Change::Only(Side::Second) => "is new".to_owned(),
        other => other.to_string(),
    }
}
