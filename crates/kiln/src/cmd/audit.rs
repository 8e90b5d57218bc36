//! `kiln audit`

use std::collections::BTreeMap;

use clap::Args;
use kiln_build::graph::ActionError;
use kiln_compose::audit::{Audit as Account, FIRST_BOOT, Fate, Package, Standing, Stands, Totals};
use kiln_compose::trigger;
use kiln_plan::{AuditError, Plan, PlanError};

use crate::cli::Target;
use crate::context::{Context, Outcome, failed, graph_failed, image_of};
use crate::failure::exit;
use crate::output::say;

/// Arguments of `kiln audit`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kiln audit web\n  kiln audit web --json\n\n\
    No hook is run, here or ever: this says what each would have done, and what became of it.")]
pub struct Audit {
    /// The image: NAME, PROJECT or PROJECT#NAME
    #[arg(value_name = "IMAGE", default_value = ".")]
    target: Target,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Audit {
    /// Gives the account of the hooks of an image.
    pub fn run(&self, context: &Context) -> Outcome {
        let workspace = context.workspace(&self.target)?;
        let image = image_of(&workspace, self.target.name.as_deref())?;
        let services = context.services(&workspace)?;
        let lock = context.lock(&workspace, &services, false)?;
        let mut plan = Plan::new(&workspace, &lock, &services, services.settings.native);
        let nodes = plan.image(image).map_err(failed(PlanError::hint))?;
        let account = plan.audit(nodes, &*context.progress).map_err(|error| match error {
            AuditError::Graph(error) => graph_failed(error),
            AuditError::Action(error) => failed(ActionError::hint)(error),
        })?;
        if self.json {
            let Account { packages, totals } = &account;
            say!("{}", serde_json::json!({ "image": image.name.as_str(), "packages": packages, "totals": totals }));
        } else {
            account.packages.iter().for_each(package);
            totals(image.name.as_str(), &account.totals);
        }
        Ok(exit::DONE)
    }
}

/// A line: where, what became of it, and about what. What is equal on one line of a script is told once.
fn lines(package: &Package) -> Vec<(String, String)> {
    let mut lines: Vec<(String, String)> = Vec::new();
    for command in &package.commands {
        let line = (format!("{}:{}", command.script, command.line), fate(&command.fate, &command.command));
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    let stand_alone = package.stands.as_ref().is_none_or(|stands| is_accepted(stands.by));
    if stand_alone {
        for script in &package.scripts {
            if !package.commands.iter().any(|command| command.script == *script) {
                lines.push((script.clone(), "nothing      no command of it runs on a fresh system".to_owned()));
            }
        }
    }
    lines
}

const fn is_accepted(by: Standing) -> bool {
    matches!(by, Standing::RuleAdds | Standing::AcceptedByImage | Standing::AcceptedByProject)
}

fn fate(fate: &Fate, command: &str) -> String {
    match fate {
        Fate::Fact { kind: FIRST_BOOT, about } => format!("first boot   {about}"),
        Fate::Fact { kind, about } => format!("fact         {kind} {about}"),
        Fate::Elsewhere { path } => format!("fact         permission {path}, where another package brings it"),
        Fate::Tied { about, with } => {
            format!("fact         alternative {about}, as strong as that of {with}: the smaller path is taken")
        }
        Fate::Finalizer { finalizer, switched_off } => finalized(finalizer, *switched_off),
        Fate::Trigger { trigger, served } => match served {
            Some(fate) => format!("trigger      {trigger}: {}", of_trigger(fate)),
            None => format!("trigger      {trigger}: no package waits for it"),
        },
        Fate::Nothing { why } => format!("nothing      {why}"),
        Fate::Accepted { why } => format!("accepted     `{command}`: {why}"),
        Fate::NotFollowed { why } => format!("not followed `{command}`: {why}"),
    }
}

fn finalized(finalizer: &str, switched_off: bool) -> String {
    let off = if switched_off { ", which the image switches off" } else { "" };
    format!("finalizer    {finalizer}{off}")
}

fn of_trigger(fate: &trigger::Fate) -> String {
    match fate {
        trigger::Fate::Finalizer { finalizer, switched_off: false } => format!("finalizer {finalizer}"),
        trigger::Fate::Finalizer { finalizer, switched_off: true } => {
            format!("finalizer {finalizer}, which the image switches off")
        }
        trigger::Fate::Nothing { why } => format!("nothing, {why}"),
        trigger::Fate::Unheard => "no package waits for it".to_owned(),
        trigger::Fate::Still => "nothing sets it off".to_owned(),
        trigger::Fate::Unserved { by } => format!("set off by {by}, and nothing stands for it"),
    }
}

fn package(package: &Package) {
    say!("{} {}", package.package, package.version);
    if let Some(stands) = &package.stands {
        standing(stands, &package.scripts);
    }
    let mut lines = lines(package);
    for told in &package.triggers {
        let relation = match told.relation {
            trigger::Relation::Activates => "activates",
            trigger::Relation::WaitsFor => "waits for",
        };
        let line = format!("trigger      {relation} {}: {}", told.trigger, of_trigger(&told.fate));
        lines.push(("triggers".to_owned(), line));
    }
    let width = lines.iter().map(|(place, _)| place.len()).max().unwrap_or_default();
    for (place, text) in lines {
        say!("  {place:width$}  {text}");
    }
}

fn standing(stands: &Stands, scripts: &[String]) {
    let (scripts, Stands { place, reason, .. }) = (scripts.join(", "), stands);
    let scripts = if scripts.is_empty() { "triggers".to_owned() } else { scripts };
    match stands.by {
        Standing::RuleAdds => say!("  rule, added to what is read ({place}): {reason}"),
        Standing::Rule => say!("  {scripts}: rule ({place}): {reason}"),
        Standing::ReplacedByImage | Standing::ReplacedByProject => say!("  {scripts}: replaced ({place}): {reason}"),
        Standing::AcceptedByImage | Standing::AcceptedByProject => say!("  accepted ({place}): {reason}"),
    }
    let mut by_kind: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for declared in &stands.declares {
        by_kind.entry(declared.kind).or_default().push(&declared.about);
    }
    for (kind, names) in by_kind {
        let kind = if kind == FIRST_BOOT { "first boot" } else { kind };
        names.iter().for_each(|name| say!("    {kind} {name}"));
    }
}

fn totals(image: &str, totals: &Totals) {
    say!("{image}: {} of {} packages have hooks", totals.with_hooks, totals.packages);
    let counts = [
        (totals.facts, "commands became facts"),
        (totals.elsewhere, "became permissions of paths that other packages may bring"),
        (totals.finalizers, "are done by finalizers"),
        (totals.triggers, "set off triggers"),
        (totals.nothing, "do nothing in an image"),
        (totals.first_boot, "things are made at the first boot"),
        (totals.rules, "packages have a rule"),
        (totals.replaced, "packages have facts in place of their hooks"),
        (totals.accepted, "commands are accepted without being followed"),
        (totals.not_followed, "commands are not followed: the image does not build"),
        (totals.triggers_without_service, "triggers have nothing that stands for them"),
    ];
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        say!("  {count:>5} {what}");
    }
}
