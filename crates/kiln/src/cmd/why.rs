//! `kiln why`

use clap::Args;
use kiln_build::graph::ActionError;
use kiln_model::{Entry, TreePath};
use kiln_plan::{Plan, PlanError};

use crate::cli::Target;
use crate::context::{Context, Outcome, failed, graph_failed, image_of};
use crate::failure::{Failure, exit};
use crate::output::say;

/// Arguments of `kiln why`.
#[derive(Debug, Args)]
#[command(after_help = "Example: kiln why web /etc/passwd")]
pub struct Why {
    /// The image: NAME, PROJECT or PROJECT#NAME
    #[arg(value_name = "IMAGE")]
    target: Target,
    /// A path in it
    #[arg(value_name = "PATH")]
    path: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Why {
    /// Says who brings a path.
    pub fn run(&self, context: &Context) -> Outcome {
        let path = TreePath::from_absolute(&self.path).map_err(|error| Failure::usage(error.to_string(), None))?;
        let workspace = context.workspace(&self.target)?;
        let image = image_of(&workspace, self.target.name.as_deref())?;
        let services = context.services(&workspace)?;
        let lock = context.lock(&workspace, &services, false)?;
        let mut plan = Plan::new(&workspace, &lock, &services, services.settings.native);
        let nodes = plan.image(image).map_err(failed(PlanError::hint))?;
        let finished = plan.run(&[nodes.compose], false, &*context.progress).map_err(graph_failed)?;
        let composition = plan.compose_again(&finished, nodes).map_err(failed(ActionError::hint))?;
        let Some(entry) = composition.tree.get(&path) else {
            let through = composition.tree.resolve(&path).map(|(real, _)| format!("it is a link's way to `{real}`"));
            return Err(Failure::usage(format!("`{path}` is not in the image `{}`", image.name), through));
        };
        let owners: Vec<String> = composition.owners.all(&path).into_iter().map(ToString::to_string).collect();
        let diverted = composition.owners.diverted(&path);
        if self.json {
            let diverted = diverted.map(|moved| serde_json::json!({ "from": moved.from, "by": moved.by.to_string() }));
            let answer =
                serde_json::json!({ "path": path, "kind": entry.kind(), "owners": owners, "diverted": diverted });
            say!("{answer}");
        } else {
            let target = match entry {
                Entry::Symlink(link) => format!(" to `{}`", link.target),
                _ => String::new(),
            };
            let moved = diverted.map(|moved| format!(", moved from `{}` by {}", moved.from, moved.by));
            say!("{path}: a {}{target} by {}{}", entry.kind(), owners.join(", "), moved.unwrap_or_default());
        }
        Ok(exit::DONE)
    }
}
