//! `kiln lock`

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use kiln_model::PackageRef;
use kiln_model::lock::{LOCK_FILE, Lock as LockFile, PackageKey};
use kiln_plan::locking::Update;

use crate::cli::Target;
use crate::context::{Context, Outcome};
use crate::failure::exit;
use crate::output::say;

/// Arguments of `kiln lock`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kiln lock                    pin what is new, move nothing else\n  \
    kiln lock --update           move everything to what its origin has now\n  \
    kiln lock --update debian    move one origin, recipe, or a package with its origin")]
pub struct Lock {
    /// The project's folder
    #[arg(default_value = ".", value_name = "PROJECT")]
    project: Target,
    /// Move these, or everything
    #[arg(long, value_name = "NAME", num_args = 0..)]
    update: Option<Vec<String>>,
    /// Print what changed as JSON
    #[arg(long)]
    json: bool,
}

impl Lock {
    /// Resolves and pins.
    pub fn run(&self, context: &Context) -> Outcome {
        let workspace = context.workspace_to_change(&self.project)?;
        let old = context.salvage_lock(&workspace)?;
        let services = context.services(&workspace)?;
        let update = match &self.update {
            None => Update::Nothing,
            Some(names) if names.is_empty() => Update::Everything,
            Some(names) => Update::Only(names.iter().cloned().collect()),
        };
        let new = context.resolve(&workspace, &services, old.as_ref(), &update)?;
        context.write_lock(&workspace, &new)?;
        let changes = changes(old.as_ref().unwrap_or(&LockFile::default()), &new);
        if self.json {
            say!("{}", serde_json::json!(changes));
        } else {
            changes.iter().for_each(|change| say!("{change}"));
        }
        let summary = match changes.len() {
            0 if workspace.lock_text.as_deref().is_some_and(|old| old != new.to_string()) => {
                format!("{LOCK_FILE} says what it said, in order again")
            }
            0 => format!("{LOCK_FILE} says what the project asks"),
            1 => "1 change".to_owned(),
            many => format!("{many} changes"),
        };
        context.progress.step("Locked", &summary);
        Ok(exit::DONE)
    }
}

/// What changed between two locks, a line each.
pub fn changes(old: &LockFile, new: &LockFile) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, origin) in &new.origins {
        match old.origins.get(name) {
            None => lines.push(format!("+ origin {name}: {} of {}", origin.suite, origin.date)),
            Some(was) if was.date == origin.date && was != origin => {
                lines.push(format!("~ origin {name}: what is pinned of {}", origin.date));
            }
            Some(was) if was != origin => lines.push(format!("~ origin {name}: {} → {}", was.date, origin.date)),
            Some(_) => {}
        }
    }
    lines.extend(
        old.origins.keys().filter(|name| !new.origins.contains_key(*name)).map(|name| format!("- origin {name}")),
    );
    let shown = |key: &PackageKey| match key.architecture {
        Some(architecture) => format!("{}:{} ({architecture})", key.origin, key.name),
        None => format!("{}:{}", key.origin, key.name),
    };
    let keys: BTreeSet<&PackageKey> = old.packages.keys().chain(new.packages.keys()).collect();
    for key in keys {
        match (old.packages.get(key), new.packages.get(key)) {
            (None, Some(now)) => lines.push(format!("+ {} {}", shown(key), now.version)),
            (Some(was), None) => lines.push(format!("- {} {}", shown(key), was.version)),
            (Some(was), Some(now)) if was.version != now.version => {
                lines.push(format!("~ {} {} → {}", shown(key), was.version, now.version));
            }
            (Some(was), Some(now)) if was.sha256 != now.sha256 => {
                lines.push(format!("~ {} {}: other bytes under the same version", shown(key), now.version));
            }
            (Some(was), Some(now)) if was != now => {
                lines.push(format!("~ {} {}: its path, size or source", shown(key), now.version));
            }
            _ => {}
        }
    }
    for (key, target) in &new.targets {
        let Some(was) = old.targets.get(key).filter(|was| was.requests == target.requests) else { continue };
        let name = format!("{} ({})", key.name, key.architecture);
        // What came into or left the lock altogether has a line of its own.
        let both = |package: &&PackageRef| [old, new].iter().all(|lock| lock.find(package, key.architecture).is_some());
        let come = target.packages.difference(&was.packages).filter(both);
        lines.extend(come.map(|package| format!("~ {name}: with {package}")));
        let gone = was.packages.difference(&target.packages).filter(both);
        lines.extend(gone.map(|package| format!("~ {name}: without {package}")));
    }
    let text = |lock: &LockFile| -> BTreeMap<(String, u32), String> {
        lock.sources
            .iter()
            .map(|((recipe, index), source)| ((recipe.to_string(), *index), source.to_string()))
            .collect()
    };
    let (was, now) = (text(old), text(new));
    for (key, source) in &now {
        match was.get(key) {
            None => lines.push(format!("+ source {} of {}: {source}", key.1 + 1, key.0)),
            Some(before) if before != source => {
                lines.push(format!("~ source {} of {}: {before} → {source}", key.1 + 1, key.0))
            }
            Some(_) if old.sources != new.sources && changed(old, new, key) => {
                lines.push(format!("~ source {} of {}: {source} moved", key.1 + 1, key.0));
            }
            Some(_) => {}
        }
    }
    lines.extend(
        was.iter()
            .filter(|(key, _)| !now.contains_key(*key))
            .map(|(key, source)| format!("- source {} of {}: {source}", key.1 + 1, key.0)),
    );
    lines
}

fn changed(old: &LockFile, new: &LockFile, key: &(String, u32)) -> bool {
    let find = |lock: &LockFile| {
        lock.sources
            .iter()
            .find(|((recipe, index), _)| recipe.as_str() == key.0 && *index == key.1)
            .map(|(_, s)| s.clone())
    };
    find(old) != find(new)
}
