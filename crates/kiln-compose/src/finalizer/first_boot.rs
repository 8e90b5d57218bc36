//! Work that only the machine itself can do, once: a unit for each job, as systemd.service(5) has it.
//!
//! Where systemd is not in the image nothing runs by itself, and the user is told what to run.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kiln_model::Facts;
use kiln_model::facts::FirstBoot;

use super::{FinalizeContext, FinalizeError, fixed, systemd};
use crate::declared::gather;

/// Targets that are reached before ordinary services may start: bootup(7).
const EARLY_TARGETS: &[&str] = &[
    "sysinit.target",
    "basic.target",
    "sockets.target",
    "paths.target",
    "timers.target",
    "local-fs.target",
    "swap.target",
    "cryptsetup.target",
];

pub(super) fn run(context: &mut FinalizeContext<'_>) -> Result<(), FinalizeError> {
    let jobs: BTreeMap<String, FirstBoot> = gather(
        context.request,
        "first-boot job",
        |facts: &Facts| &facts.first_boot,
        str::to_owned,
        |job| format!("`{}`", job.command.join(" ")),
    )?
    .into_iter()
    .map(|(name, said)| (name, said.value.clone()))
    .collect();
    let has_systemd = systemd::is_there(context);
    for (name, job) in jobs {
        let command = job.command.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ");
        if !has_systemd {
            let message = format!("first-boot job `{name}` ({}) does not run by itself without systemd", job.summary);
            let user = job.user.as_ref().map_or_else(String::new, |user| format!(" as `{user}`"));
            let hint = format!("unless `{}` is there, run{user}: {command}", job.creates);
            context.warn(message, Some(hint));
            continue;
        }
        let unit = format!("kiln-first-boot-{name}.service");
        let early = is_early(context, &job)?;
        let path = fixed(kiln_model::unit::packaged_folder(false)).join(&unit).unwrap_or_default();
        context.write(&path, unit_text(&job, early).as_bytes())?;
        systemd::enable_own(context, &unit)?;
    }
    Ok(())
}

/// Must it be done before ordinary services may start?
fn is_early(context: &FinalizeContext<'_>, job: &FirstBoot) -> Result<bool, FinalizeError> {
    for unit in &job.before {
        let kind = unit.rsplit_once('.').map_or("", |(_, kind)| kind);
        if EARLY_TARGETS.contains(&unit.as_str()) || matches!(kind, "socket" | "path" | "mount" | "automount" | "swap")
        {
            return Ok(true);
        }
        let own = systemd::read(context, unit)?;
        let own = own.as_ref().and_then(|unit| unit.value("Unit", "DefaultDependencies"));
        if own.is_some_and(|value| matches!(value, "no" | "false" | "off" | "0")) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn unit_text(job: &FirstBoot, early: bool) -> String {
    let mut unit = String::from("[Unit]\n");
    let creates = escape(&job.creates.to_string());
    let _ = writeln!(unit, "Description={}", escape(&job.summary));
    let _ = writeln!(unit, "ConditionPathExists=!{creates}");
    let parent = job.creates.parent().unwrap_or_default();
    let _ = writeln!(unit, "RequiresMountsFor={}", quote(&parent.to_string()));
    if early {
        unit.push_str("DefaultDependencies=no\nConflicts=shutdown.target\n");
        unit.push_str("After=local-fs.target systemd-sysusers.service systemd-tmpfiles-setup.service\n");
    }
    let mut before: Vec<&str> = job.before.iter().map(String::as_str).collect();
    if early {
        before.extend(["sysinit.target", "shutdown.target"].iter().filter(|name| !job.before.contains(**name)));
    }
    if !before.is_empty() {
        let _ = writeln!(unit, "Before={}", before.join(" "));
    }
    unit.push_str("\n[Service]\nType=oneshot\nRemainAfterExit=yes\n");
    if let Some(user) = &job.user {
        let _ = writeln!(unit, "User={user}");
    }
    let words: Vec<String> = job.command.iter().map(|word| quote(&word.replace('$', "$$"))).collect();
    let _ = writeln!(unit, "ExecStart={}", words.join(" "));
    let target = if early { "sysinit.target" } else { "multi-user.target" };
    let _ = write!(unit, "\n[Install]\nWantedBy={target}\n");
    unit
}

/// `%` begins a specifier.
fn escape(text: &str) -> String {
    text.replace('%', "%%")
}

/// A word as systemd.syntax(7) reads it.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%$".contains(c);
    let escaped = escape(word);
    if !word.is_empty() && word.chars().all(plain) {
        return escaped;
    }
    format!("\"{}\"", escaped.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A word as a shell reads it.
fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}
