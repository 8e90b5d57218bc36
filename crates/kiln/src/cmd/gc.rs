//! `kiln gc`

use std::time::{Duration, SystemTime};

use clap::Args;
use kiln_build::work::clean::CleanOptions;
use kiln_build::work::{WorkError, Workplace};
use kiln_plan::services::{store_folder, store_options, work_folder};
use kiln_store::{GcError, GcOptions, OpenError, Store};

use crate::context::{Context, Outcome, failed};
use crate::failure::exit;
use crate::output::say;
use crate::size;

/// Arguments of `kiln gc`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kiln gc                 keep the last build of each project, and what was used in the last 30 days\n  \
    kiln gc --days 0        keep only the last build of each project"
)]
pub struct Gc {
    /// Keep what was used in so many days
    #[arg(long, value_name = "N", default_value_t = 30)]
    days: u32,
    /// Of that, keep no more than so many megabytes
    #[arg(long, value_name = "MB")]
    most: Option<u64>,
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
    /// Wait for those who use the store
    #[arg(long)]
    wait: bool,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

impl Gc {
    /// Removes what nothing needs.
    pub fn run(&self, context: &Context) -> Outcome {
        let now = context.environment.now;
        let options = store_options(now).reporter(context.progress.clone());
        let store = Store::open(&store_folder(&context.folder()?), options).map_err(failed(OpenError::hint))?;
        let since = now.saturating_sub(u64::from(self.days) * 86_400);
        let keep_since = (self.days > 0).then(|| SystemTime::UNIX_EPOCH + Duration::from_secs(since));
        let report = store
            .gc(&GcOptions {
                keep_since,
                max_bytes: self.most.map(|megabytes| megabytes << 20),
                dry_run: self.dry_run,
                wait: self.wait,
            })
            .map_err(failed(GcError::hint))?;
        let work = Workplace::open(&work_folder(&context.folder()?)).map_err(failed(WorkError::hint))?;
        let cleaned = store
            .while_alone(self.wait, || {
                work.clean(&CleanOptions {
                    keep_since,
                    now: SystemTime::UNIX_EPOCH + Duration::from_secs(now),
                    dry_run: self.dry_run,
                })
            })
            .map_err(failed(GcError::hint))?
            .map_err(failed(WorkError::hint))?;
        if self.json {
            say!(
                "{}",
                serde_json::json!({
                    "actions": report.actions, "checkouts": report.checkouts, "trees": report.trees,
                    "objects": report.objects, "work": cleaned.entries, "freed": report.freed + cleaned.freed, "kept_actions": report.kept_actions,
                    "kept_objects": report.kept_objects, "kept": report.kept,
                })
            );
        } else {
            let verb = if self.dry_run { "would free" } else { "freed" };
            say!("{verb} {}, kept {}", size(report.freed + cleaned.freed), size(report.kept));
        }
        Ok(exit::DONE)
    }
}
