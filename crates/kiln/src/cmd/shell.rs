//! `kiln shell`

use clap::Args;
use kiln_build::graph::ActionError;
use kiln_build::recipe::{BuildAction, FailedBuild, Sandboxed};
use kiln_build::sandbox::Exit;
use kiln_build::work::WorkError;
use kiln_model::PackageName;
use kiln_plan::{Plan, PlanError};

use crate::cli::Target;
use crate::context::{Context, Outcome, failed, graph_failed};
use crate::failure::{Failure, exit};

/// Arguments of `kiln shell`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kiln shell nginx             the sources, patched, in the build sandbox\n  \
    kiln shell nginx --failed    where the last build of it stopped")]
pub struct Shell {
    /// The package: NAME or PROJECT#NAME
    #[arg(value_name = "PACKAGE")]
    target: Target,
    /// Where the last build stopped, as it was left
    #[arg(long)]
    failed: bool,
}

impl Shell {
    /// Opens a shell.
    pub fn run(&self, context: &Context) -> Outcome {
        let workspace = context.workspace(&self.target)?;
        let name =
            self.target.name.as_deref().ok_or_else(|| {
                Failure::usage("no package is named", Some("`kiln shell PROJECT#PACKAGE`".to_owned()))
            })?;
        let package: PackageName =
            name.parse().map_err(|error: kiln_model::name::NameError| Failure::usage(error.to_string(), None))?;
        let variant = workspace.project.variant(&package).ok_or_else(|| {
            let known: Vec<&str> = workspace.project.recipes.keys().map(PackageName::as_str).collect();
            Failure::usage(
                format!("the project has no recipe `{package}`"),
                Some(format!("it has {}", known.join(", "))),
            )
        })?;
        let services = context.services(&workspace)?;
        let exit = if self.failed {
            let build = FailedBuild::find(&services.work, &package).map_err(failed(WorkError::hint))?;
            let build = build.ok_or_else(|| {
                let hint = "only a build that failed leaves something to look into".to_owned();
                Failure::usage(format!("no build of `{package}` has failed"), Some(hint))
            })?;
            if let Some(step) = build.step() {
                context.progress.step("Stopped", &format!("in step `{step}`"));
            }
            build.enter(&services.session, &Sandboxed).map_err(failed(ActionError::hint))?
        } else {
            let lock = context.lock_or_make(&workspace, &services)?;
            let mut plan = Plan::new(&workspace, &lock, &services, services.settings.native);
            let nodes = plan.recipe(&variant).map_err(failed(PlanError::hint))?;
            let action = plan.graph().action(nodes.build);
            let needs = action.map(kiln_build::graph::Action::dependencies).unwrap_or_default();
            let finished = plan.run(&needs, false, &*context.progress).map_err(graph_failed)?;
            let action = plan.builds(nodes.build).ok_or_else(|| Failure::usage("nothing to build", None))?;
            let inputs = finished.inputs(action).ok_or_else(|| Failure::usage("nothing to build", None))?;
            let enter = |action: &BuildAction| action.shell(&services.session, &inputs, services.settings.jobs);
            enter(action).map_err(failed(ActionError::hint))?
        };
        Ok(match exit {
            Exit::Code(code) => u8::try_from(code).unwrap_or(u8::MAX),
            _ => exit::FAILED,
        })
    }
}
