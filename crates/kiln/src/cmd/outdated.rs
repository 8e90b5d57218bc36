//! `kiln outdated`

use clap::Args;
use kiln_plan::locking::Update;

use crate::cli::Target;
use crate::cmd::lock::changes;
use crate::context::{Context, Outcome};
use crate::failure::exit;
use crate::output::say;

/// Arguments of `kiln outdated`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kiln outdated            what `kiln lock --update` would change\n  \
    kiln outdated --check    with exit code 1 if there is anything")]
pub struct Outdated {
    /// The project's folder
    #[arg(default_value = ".", value_name = "PROJECT")]
    project: Target,
    /// End with exit code 1 when something is outdated
    #[arg(long)]
    check: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Outdated {
    /// Says what has moved on. Nothing is written.
    pub fn run(&self, context: &Context) -> Outcome {
        let workspace = context.workspace(&self.project)?;
        let services = context.services(&workspace)?;
        let lock = context.lock(&workspace, &services, false)?;
        let new = context.resolve(&workspace, &services, Some(&lock), &Update::Everything)?;
        let changes = changes(&lock, &new);
        if self.json {
            say!("{}", serde_json::json!(changes));
        } else {
            changes.iter().for_each(|change| say!("{change}"));
        }
        Ok(if self.check && !changes.is_empty() { exit::FAILED } else { exit::DONE })
    }
}
