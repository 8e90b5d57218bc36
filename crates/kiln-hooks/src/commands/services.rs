//! Units of systemd: deb-systemd-helper(1p), `systemctl`, and `systemd-update-helper`, which scripts of RPM's packages call.

use super::{Call, Done, Outcome, presets, stuck};
use crate::account::Became;
use crate::evaluate::Evaluator;

/// `deb-systemd-helper ACTION UNIT...`. What it remembers of earlier installations is empty on a fresh system.
pub(super) fn helper(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let user = words.contains(&"--user");
    let mut words = words.into_iter().filter(|word| !word.starts_with("--"));
    let action = words.next().unwrap_or_default();
    let units: Vec<&str> = words.collect();
    match action {
        // Nobody has disabled it, so it counts as enabled; but it is not yet installed by the package manager.
        "was-enabled" => return Done::says(true),
        "debian-installed" | "is-enabled" => return Done::says(false),
        "enable" => {
            for unit in units {
                evaluator.effect(Became::Fact("service", unit.to_owned()), |effects| {
                    let service = effects.service(unit);
                    service.enabled = true;
                    service.user = user;
                });
            }
        }
        "disable" | "mask" | "unmask" | "update-state" | "purge" | "reenable" => {
            evaluator.note(Became::Nothing("a fresh system has no earlier state of a unit to change"));
        }
        other => return stuck(format!("`deb-systemd-helper {other}` is not followed")),
    }
    Done::quietly()
}

/// `systemctl`, which can reach nothing while an image is made.
pub(super) fn systemctl(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let is_global = words.contains(&"--global");
    let mut words = words.into_iter().filter(|word| !word.starts_with('-'));
    let action = words.next().unwrap_or_default();
    let units: Vec<&str> = words.collect();
    match action {
        "preset" => apply_presets(evaluator, &units, is_global),
        "enable" | "mask" => {
            for unit in units {
                evaluator.effect(Became::Fact("service", unit.to_owned()), |effects| {
                    let service = effects.service(unit);
                    service.enabled = action == "enable";
                    service.masked = action == "mask";
                    service.user = is_global;
                });
            }
            Done::quietly()
        }
        "is-active" | "is-enabled" | "is-failed" | "is-system-running" | "show" | "list-units" => {
            evaluator.note(Became::Nothing("nothing runs while an image is made"));
            Done::says(false)
        }
        "daemon-reload"
        | "daemon-reexec"
        | "start"
        | "stop"
        | "restart"
        | "reload"
        | "try-restart"
        | "reload-or-restart"
        | "try-reload-or-restart"
        | "kill"
        | "reset-failed"
        | "set-property"
        | "unmask"
        | "disable"
        | "condrestart"
        | "set-environment" => {
            evaluator.note(Became::Nothing("nothing runs while an image is made"));
            Done::quietly()
        }
        "" | "list-unit-files" | "status" | "cat" => {
            evaluator.note(Became::Nothing("nothing runs while an image is made"));
            Done::says(false)
        }
        other => stuck(format!("`systemctl {other}` is not followed")),
    }
}

/// Enables units as the presets of the image say.
fn apply_presets(evaluator: &mut Evaluator<'_>, units: &[&str], is_global: bool) -> Outcome {
    for unit in units {
        if !presets::enables(evaluator, unit, is_global) {
            evaluator.note(Became::Nothing("the presets of the image leave it switched off"));
            continue;
        }
        evaluator.effect(Became::Fact("service", (*unit).to_owned()), |effects| {
            let service = effects.service(unit);
            service.enabled = true;
            service.user = is_global;
        });
    }
    Done::quietly()
}

/// `systemd-update-helper ACTION UNIT...`, what `%systemd_post` and its like are expanded to.
pub(super) fn update_helper(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let (action, units) = words.split_first().map_or(("", &[][..]), |(action, units)| (*action, units));
    match action {
        "install-system-units" => apply_presets(evaluator, units, false),
        "install-user-units" => apply_presets(evaluator, units, true),
        "remove-system-units"
        | "remove-user-units"
        | "mark-restart-system-units"
        | "mark-restart-user-units"
        | "mark-reload-system-units"
        | "mark-reload-user-units"
        | "system-reload-restart"
        | "system-reload"
        | "system-restart"
        | "user-reload-restart"
        | "user-reload"
        | "user-reexec"
        | "user-restart" => {
            evaluator.note(Became::Nothing("nothing runs while an image is made"));
            Done::quietly()
        }
        other => stuck(format!("`systemd-update-helper {other}` is not followed")),
    }
}
