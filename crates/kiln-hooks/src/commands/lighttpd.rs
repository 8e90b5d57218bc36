//! Modules of lighttpd: `lighty-enable-mod`. Each is a link, and what a comment in its file says that it depends on is
//! enabled with it.

use super::files::link;
use super::{Call, Done, Outcome, stuck};
use crate::evaluate::Evaluator;
use crate::value::{Status, Value};

const CONFIGURATION: &str = "/etc/lighttpd";

/// It ends with 2 where it does not know a module.
const UNKNOWN: Status = Status::Known(2);

pub(super) fn enable(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Outcome {
    let mut todo: Vec<String> = call.arguments.known()?.into_iter().map(str::to_owned).collect();
    if todo.is_empty() {
        return stuck("which module is enabled is not said");
    }
    let (available, enabled) = (format!("{CONFIGURATION}/conf-available"), format!("{CONFIGURATION}/conf-enabled"));
    let file_of = |evaluator: &Evaluator<'_>, folder: &str, module: &str| {
        let is_it = |name: &String| {
            let numbered = name.strip_suffix(".conf").and_then(|name| name.split_once('-'));
            numbered.is_some_and(|(number, name)| name == module && number.bytes().all(|b| b.is_ascii_digit()))
        };
        evaluator.names(folder).into_iter().rfind(is_it)
    };
    let (mut status, mut at) = (Status::SUCCESS, 0);
    while let Some(module) = todo.get(at).cloned() {
        at += 1;
        let Some(file) = file_of(evaluator, &available, &module) else {
            status = UNKNOWN;
            continue;
        };
        let target = format!("{enabled}/{file}");
        if evaluator.seen(&target, true).is_some() {
            status = UNKNOWN;
            continue;
        }
        let Value::Known(text) = evaluator.content(&Value::from(format!("{available}/{file}"))) else {
            return stuck(format!("what the module `{module}` depends on is not known"));
        };
        for dependency in depends(&text) {
            if file_of(evaluator, &available, dependency).is_none() {
                return Ok(Done { status: Status::FAILURE, output: Value::empty() });
            }
            if file_of(evaluator, &enabled, dependency).is_none() && !todo.iter().any(|other| other == dependency) {
                todo.push(dependency.to_owned());
            }
        }
        link(evaluator, &format!("../conf-available/{file}"), &target)?;
    }
    Ok(Done { status, output: Value::empty() })
}

/// The modules that a comment names: `# -*- depends: fastcgi -*-`.
fn depends(text: &str) -> impl Iterator<Item = &str> {
    let said = text.lines().filter_map(|line| line.split_once("# -*- depends: ")?.1.split_once(" -*-"));
    said.flat_map(|(names, _)| names.split(',')).map(str::trim).filter(|name| !name.is_empty())
}
