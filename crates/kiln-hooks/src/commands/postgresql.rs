//! `pg_updatedicts`: dictionaries of hunspell and myspell, in UTF-8, where PostgreSQL's text search looks for them.

use super::files::{copied, directories, link};
use super::{Call, Done, Outcome, stuck};
use crate::evaluate::Evaluator;
use crate::value::Value;
use crate::world::Seen;

const SOURCES: [&str; 2] = ["/usr/share/hunspell", "/usr/share/myspell/dicts"];
const CACHE: &str = "/var/cache/postgresql/dicts";
const SHARE: &str = "/usr/share/postgresql";

pub(super) fn update_dictionaries(evaluator: &mut Evaluator<'_>, _: &Call<'_>) -> Outcome {
    directories(evaluator, CACHE)?;
    let installed = evaluator.names("/usr/lib/postgresql");
    let folders: Vec<String> = installed.iter().map(|version| format!("{SHARE}/{version}/tsearch_data")).collect();
    for source in SOURCES {
        for name in evaluator.names(source) {
            let Some(locale) = name.strip_suffix(".aff") else { continue };
            let (affixes, words) = (format!("{source}/{name}"), format!("{source}/{locale}.dic"));
            let is_file = |path: &str| matches!(evaluator.seen(path, false), Some(Seen::File { .. }));
            if !is_file(&affixes) || !is_file(&words) {
                continue;
            }
            let Value::Known(text) = evaluator.content(&Value::from(affixes.as_str())) else {
                return stuck(format!("in which encoding `{affixes}` is is not known"));
            };
            match text.lines().find_map(|line| line.strip_prefix("SET ")).map(str::trim) {
                // It is told of and passed over.
                None => continue,
                Some("UTF-8") => {}
                Some(other) => return stuck(format!("`{affixes}` is in {other}, and no text is converted here")),
            }
            let locale = locale.to_ascii_lowercase();
            for (from, suffix) in [(&affixes, "affix"), (&words, "dict")] {
                let to = format!("{CACHE}/{locale}.{suffix}");
                copied(evaluator, from, &to)?;
                for folder in &folders {
                    let at = format!("{folder}/{locale}.{suffix}");
                    if evaluator.seen(folder, true) == Some(Seen::Directory) && evaluator.seen(&at, false).is_none() {
                        link(evaluator, &to, &at)?;
                    }
                }
            }
        }
    }
    Done::quietly()
}
