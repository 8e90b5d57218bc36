//! Icinga's own switch for its features: each is a link, as `icinga2 feature enable` makes it.

use super::files::link;
use super::{Call, Done, Outcome, stuck};
use crate::evaluate::Evaluator;
use crate::paths;
use crate::value::{Status, Value};

/// Whom it becomes before it does anything: the user that Debian builds it for.
const USER: &str = "nagios";

const CONFIGURATION: &str = "/etc/icinga2";

pub(super) fn icinga2(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let ["feature", "enable", features @ ..] = &words[..] else {
        return stuck(format!("what `icinga2 {}` does is not followed", words.join(" ")));
    };
    let mut all = true;
    for feature in features {
        if feature.contains('/') || feature.starts_with('-') {
            return stuck(format!("`{feature}` is no feature"));
        }
        if evaluator.seen(&format!("{CONFIGURATION}/features-available/{feature}.conf"), true).is_none() {
            all = false;
            continue;
        }
        let at = format!("{CONFIGURATION}/features-enabled/{feature}.conf");
        if evaluator.seen(&at, false).is_none() {
            link(evaluator, &format!("../features-available/{feature}.conf"), &at)?;
            let made = paths::tree(&at).and_then(|at| evaluator.state.effects.made.get_mut(&at));
            if let Some(made) = made {
                (made.owner, made.group) = (USER.parse().ok(), USER.parse().ok());
            }
        }
    }
    Ok(Done { status: Status::of(all), output: Value::empty() })
}
