//! Modules, settings and sites of Apache: `a2enmod`, `a2enconf`, `a2ensite`. Each is a link, and what it depends on is enabled
//! with it, as a comment in its file says.

use super::files::link;
use super::options::Options;
use super::{Call, Done, Outcome, Stuck, stuck};
use crate::evaluate::Evaluator;
use crate::value::{Status, Value};

const CONFIGURATION: &str = "/etc/apache2";

pub(super) fn enable(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let words = call.arguments.known()?;
    let known = ["-q", "-m", "-f", "--quiet", "--maintmode", "--force"];
    let options = Options::read(&words, &known)?;
    let (kind, suffix) = match call.name {
        "a2enmod" => ("mods", "load"),
        "a2enconf" => ("conf", "conf"),
        _ => ("sites", "conf"),
    };
    let mut all = true;
    for name in options.operands {
        if name.contains(['*', '?', '[', '/']) {
            return stuck("a pattern of modules is not followed");
        }
        let name = name.strip_suffix(suffix).and_then(|name| name.strip_suffix('.')).unwrap_or(name);
        all &= one(evaluator, kind, suffix, name, 0)?;
    }
    Ok(Done { status: Status::of(all), output: Value::empty() })
}

/// Enables one. Gives whether it is there.
fn one(evaluator: &mut Evaluator<'_>, kind: &str, suffix: &str, name: &str, depth: usize) -> Result<bool, Stuck> {
    let available = |suffix: &str| format!("{CONFIGURATION}/{kind}-available/{name}.{suffix}");
    if name == "cgi" && kind == "mods" {
        return stuck("which of two modules this is follows from the others");
    }
    if evaluator.seen(&available(suffix), true).is_none() {
        return Ok(false);
    }
    if depth > 16 {
        return stuck("modules depend on each other in a circle");
    }
    let Value::Known(text) = evaluator.content(&Value::from(available(suffix))) else {
        return stuck(format!("what `{name}` depends on is not known"));
    };
    if kind == "mods" {
        for dependency in said(&text, "Depends:") {
            if !one(evaluator, kind, suffix, dependency, depth + 1)? {
                return Ok(false);
            }
        }
        let enabled =
            |other: &&str| evaluator.seen(&format!("{CONFIGURATION}/mods-enabled/{other}.load"), false).is_some();
        if said(&text, "Conflicts:").any(|other| enabled(&other)) {
            return Ok(false);
        }
    }
    let mut suffixes = vec![suffix];
    if kind == "mods" && evaluator.seen(&available("conf"), true).is_some() {
        suffixes.push("conf");
    }
    for suffix in suffixes {
        let at = format!("{CONFIGURATION}/{kind}-enabled/{name}.{suffix}");
        if evaluator.seen(&at, false).is_none() {
            link(evaluator, &format!("../{kind}-available/{name}.{suffix}"), &at)?;
        }
    }
    Ok(true)
}

/// The words of a comment: `# Depends: mime`.
fn said<'a>(text: &'a str, what: &'a str) -> impl Iterator<Item = &'a str> {
    let comments = text.lines().filter_map(|line| line.strip_prefix('#'));
    comments.filter_map(move |line| line.trim_start().strip_prefix(what)).flat_map(str::split_ascii_whitespace)
}
