//! `kiln show`

use clap::Args;
use kiln_build::graph::ActionError;
use kiln_plan::{Plan, PlanError};

use crate::cli::Target;
use crate::context::{Context, Outcome, failed, graph_failed, image_of};
use crate::failure::exit;
use crate::output::say;

/// Arguments of `kiln show`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kiln show web\n  kiln show web --files\n  kiln show web --json")]
pub struct Show {
    /// The image: NAME, PROJECT or PROJECT#NAME
    #[arg(value_name = "IMAGE", default_value = ".")]
    target: Target,
    /// Its files instead of its packages
    #[arg(long)]
    files: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Show {
    /// Shows an image.
    pub fn run(&self, context: &Context) -> Outcome {
        let workspace = context.workspace(&self.target)?;
        let image = image_of(&workspace, self.target.name.as_deref())?;
        let services = context.services(&workspace)?;
        let lock = context.lock(&workspace, &services, false)?;
        let mut plan = Plan::new(&workspace, &lock, &services, services.settings.native);
        let nodes = plan.image(image).map_err(failed(PlanError::hint))?;
        let finished = plan.run(&[nodes.compose], false, &*context.progress).map_err(graph_failed)?;
        let composed = plan.composed(&finished, nodes).map_err(failed(ActionError::hint))?;
        if self.files {
            let tree = services.session.tree(composed.tree).map_err(failed(kiln_store::TreeError::hint))?;
            let mut list = Vec::new();
            for (path, entry) in tree.walk() {
                let meta = entry.meta();
                if self.json {
                    list.push(serde_json::json!({
                        "path": path, "kind": entry.kind(), "mode": format!("{:04o}", meta.mode),
                        "uid": meta.uid, "gid": meta.gid,
                    }));
                } else {
                    say!("{:04o} {:>5} {:>5} {:9} {path}", meta.mode, meta.uid, meta.gid, entry.kind());
                }
            }
            if self.json {
                say!("{}", serde_json::Value::Array(list));
            }
            return Ok(exit::DONE);
        }
        if self.json {
            say!(
                "{}",
                serde_json::json!({
                    "image": image.name.as_str(), "tree": composed.tree.to_string(),
                    "commit": workspace.git.version(),
                    "packages": composed.packages.iter().map(|package| serde_json::json!({
                        "package": package.package.to_string(), "version": package.version,
                        "record": package.record.to_string(), "tree": package.tree.to_string(),
                    })).collect::<Vec<_>>(),
                    "layers": composed.layers.iter().map(|layer| serde_json::json!({
                        "name": layer.name.to_string(), "tree": layer.tree.to_string(),
                    })).collect::<Vec<_>>(),
                })
            );
        } else {
            say!("{} {} of {}", image.name, composed.tree, workspace.git.version());
            for package in &composed.packages {
                say!("{} {} {}", package.package, package.version, package.record.0.short());
            }
        }
        Ok(exit::DONE)
    }
}
