//! `kiln fsck`

use clap::Args;
use kiln_plan::services::{store_folder, store_options};
use kiln_store::{FsckError, FsckOptions, OpenError, Repair, Store};

use crate::context::{Context, Outcome, failed};
use crate::failure::exit;
use crate::output::say;
use crate::size;

/// Arguments of `kiln fsck`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kiln fsck             say what is damaged; exit code 1 if anything is\n  \
    kiln fsck --repair    mend it, or remove it so that the next build makes it again")]
pub struct Fsck {
    /// Mend what can be mended, remove the rest: it is made again when it is needed
    #[arg(long)]
    repair: bool,
    /// Wait for those who use the store
    #[arg(long)]
    wait: bool,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

impl Fsck {
    /// Checks the store.
    pub fn run(&self, context: &Context) -> Outcome {
        let options = store_options(context.environment.now).reporter(context.progress.clone());
        let store = Store::open(&store_folder(&context.folder()?), options).map_err(failed(OpenError::hint))?;
        let repair = if self.repair { Repair::Remove } else { Repair::No };
        let report = store.fsck(&FsckOptions { repair, wait: self.wait }).map_err(failed(FsckError::hint))?;
        if self.json {
            let problems: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
            say!(
                "{}",
                serde_json::json!({
                    "objects": report.objects, "bytes": report.bytes, "trees": report.trees, "actions": report.actions,
                    "checkouts": report.checkouts, "problems": problems, "sound": report.is_sound(),
                })
            );
        } else {
            report.lines().iter().for_each(|line| say!("{line}"));
            say!(
                "{} objects, {}, {} trees, {} results, {} checkouts: {}",
                report.objects,
                size(report.bytes),
                report.trees,
                report.actions,
                report.checkouts,
                match report.problems.len() {
                    0 => "sound".to_owned(),
                    1 if self.repair => "1 problem".to_owned(),
                    many if self.repair => format!("{many} problems"),
                    1 => "1 problem; `kiln fsck --repair` mends or removes it".to_owned(),
                    many => format!("{many} problems; `kiln fsck --repair` mends or removes them"),
                }
            );
        }
        Ok(if report.is_sound() || (self.repair && report.is_mended()) { exit::DONE } else { exit::FAILED })
    }
}
