//! Which units an image starts by itself, as its presets say (systemd.preset(5)).
//!
//! Files are read in the order of their names, whatever folder they are in; of two with one name, that of the folder that
//! comes first counts. The first line that fits a unit decides. A unit that no line fits is enabled.

use std::collections::BTreeMap;

use kiln_model::TreePath;

use crate::evaluate::Evaluator;
use crate::pattern;

/// The folders of presets, below those of the system's or the users' units.
const FOLDERS: [&str; 3] = ["/etc/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd"];

/// Do the presets enable a unit?
pub(super) fn enables(evaluator: &Evaluator<'_>, unit: &str, is_global: bool) -> bool {
    let kind = if is_global { "user" } else { "system" };
    let mut files: BTreeMap<String, TreePath> = BTreeMap::new();
    for folder in FOLDERS {
        let Some(folder) = crate::paths::tree(&format!("{folder}/{kind}-preset")) else { continue };
        for name in evaluator.world.names(&folder) {
            if let Some(path) = folder.join(&name).ok().filter(|_| name.ends_with(".preset")) {
                files.entry(name).or_insert(path);
            }
        }
    }
    let texts = files.values().filter_map(|path| evaluator.world.read(path));
    texts.into_iter().find_map(|text| decides(&text, unit)).unwrap_or(true)
}

/// What a file says of a unit.
fn decides(text: &str, unit: &str) -> Option<bool> {
    text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])).find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let enables = match words.next()? {
            "enable" => true,
            "disable" | "ignore" => false,
            _ => return None,
        };
        pattern::matches(words.next()?, unit).then_some(enables)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_decides() {
        let text = "# by hand\nenable a.service\ndisable a*\nignore b.service\n\nenable *\n";
        let found = ["a.service", "ab.service", "b.service", "c.service"].map(|unit| decides(text, unit));
        assert_eq!(found, [Some(true), Some(false), Some(false), Some(true)]);
        assert_eq!(decides("disable x\n", "y"), None);
    }
}
