//! Units of systemd: deb-systemd-helper(1p), `systemctl`, and `systemd-update-helper`, which scripts of RPM's packages call.

use super::{Call, Done, Outcome, presets, stuck};
use crate::account::Became;
use crate::evaluate::Evaluator;

/// `deb-systemd-helper ACTION UNIT...`. What it remembers of earlier installations is empty on a fresh system; what the hook
/// itself has it remember counts.
pub(super) fn helper(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let user = words.contains(&"--user");
    let mut words = words.into_iter().filter(|word| !word.starts_with("--"));
    let action = words.next().unwrap_or_default();
    let units: Vec<&str> = words.collect();
    match action {
        // Of a unit that it does not know it says that nobody has disabled it.
        "was-enabled" => {
            let was = |unit: &&str| evaluator.state.units.get(*unit).copied().unwrap_or(true);
            return Done::says(units.iter().any(was));
        }
        "debian-installed" => {
            return Done::says(units.iter().any(|unit| evaluator.state.units.contains_key(*unit)));
        }
        "is-enabled" => {
            let services = &evaluator.state.effects.facts.services;
            return Done::says(units.iter().any(|unit| services.get(*unit).is_some_and(|service| service.enabled)));
        }
        "enable" => {
            for unit in units {
                evaluator.state.units.insert(unit.to_owned(), true);
                evaluator.effect(Became::Fact("service", unit.to_owned()), |effects| {
                    let service = effects.service(unit);
                    service.enabled = true;
                    service.user = user;
                });
            }
        }
        "update-state" => {
            for unit in units {
                // From here on the unit is known: where its links are not there, it was not enabled.
                let has_links = is_enabled(evaluator, unit) || !is_installable(evaluator, unit);
                evaluator.state.units.entry(unit.to_owned()).or_insert(has_links);
            }
            evaluator.note(Became::Nothing("a fresh system has no earlier state of a unit to change"));
        }
        "disable" => {
            for unit in units {
                let is_known = evaluator.state.units.contains_key(unit);
                if is_known && evaluator.state.effects.facts.services.contains_key(unit) {
                    evaluator.change(|effects| drop(effects.facts.services.remove(unit)));
                    evaluator.state.units.insert(unit.to_owned(), false);
                }
            }
            evaluator.note(Became::Nothing("only what the hook itself enabled can be disabled on a fresh system"));
        }
        "mask" => {
            for unit in units {
                evaluator.effect(Became::Fact("service", unit.to_owned()), |effects| {
                    effects.service(unit).masked = true;
                });
            }
        }
        "unmask" | "purge" | "reenable" => {
            evaluator.note(Became::Nothing("a fresh system has no earlier state of a unit to change"));
        }
        other => return stuck(format!("`deb-systemd-helper {other}` is not followed")),
    }
    Done::quietly()
}

/// `update-rc.d NAME ACTION`: links for an init that no image has; to switch a service on or off is systemd's matter too.
pub(super) fn update_rc(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known().unwrap_or_default();
    let mut words = words.into_iter().filter(|word| !word.starts_with('-'));
    if let (Some(name), Some(action @ ("enable" | "disable"))) = (words.next(), words.next()) {
        let unit = format!("{name}.service");
        if action == "enable" && !text_of(evaluator, &unit).is_empty() {
            evaluator.effect(Became::Fact("service", unit.clone()), |effects| effects.service(&unit).enabled = true);
            return Done::quietly();
        }
        if action == "disable" && evaluator.state.effects.facts.services.get(&unit).is_some_and(|said| said.enabled) {
            evaluator.change(|effects| drop(effects.facts.services.remove(&unit)));
            return Done::quietly();
        }
    }
    evaluator.note(Became::Nothing("links for an init that no image has"));
    Done::quietly()
}

/// The text of a unit that a package ships.
fn text_of(evaluator: &Evaluator<'_>, unit: &str) -> String {
    let folders = ["/etc/systemd/system", "/usr/lib/systemd/system", "/usr/lib/systemd/user"];
    let path = folders.iter().filter_map(|folder| crate::paths::tree(&format!("{folder}/{unit}")));
    path.filter_map(|path| evaluator.world.read(&path)).next().unwrap_or_default()
}

/// The values of a setting in the section that says how a unit is enabled.
fn said<'t>(text: &'t str, setting: &'t str) -> impl Iterator<Item = &'t str> {
    let values = text.lines().filter_map(move |line| line.trim().strip_prefix(setting)?.trim_start().strip_prefix('='));
    values.flat_map(str::split_ascii_whitespace)
}

/// Would enabling it make any link?
fn is_installable(evaluator: &Evaluator<'_>, unit: &str) -> bool {
    let text = text_of(evaluator, unit);
    ["WantedBy", "RequiredBy", "UpheldBy", "Alias", "Also"].iter().any(|setting| said(&text, setting).next().is_some())
}

/// Has the hook enabled it, by itself or with another unit?
fn is_enabled(evaluator: &Evaluator<'_>, unit: &str) -> bool {
    let services = evaluator.state.effects.facts.services.iter().filter(|(_, service)| service.enabled);
    services
        .map(|(name, _)| name)
        .any(|name| name == unit || said(&text_of(evaluator, name), "Also").any(|also| also == unit))
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
