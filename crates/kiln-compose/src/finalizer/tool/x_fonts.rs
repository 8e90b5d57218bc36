//! Indexes of fonts for X11: `fonts.dir`, `fonts.scale`, `fonts.alias`, as the blocks that `dh_installxfonts` writes into
//! hooks have them made by xfonts-utils. What they call is what is run, for the folders they name.

use super::{Preparation, Tool, derive};
use crate::finalizer::{FinalizeError, Finalizer};

static TOOL: Tool = Tool {
    name: "x-fonts",
    summary: "Indexes of fonts for X11 in the folders that packages name, as `update-fonts-dir`, `update-fonts-scale` and \
              `update-fonts-alias` write them.",
    version: 1,
    program: "/usr/sbin/update-fonts-dir",
    inputs: &["/usr/share/fonts/X11/**"],
    runs: &[
        "/usr/sbin/update-fonts-*",
        "/usr/bin/mkfont*",
        "/usr/bin/sh",
        "/usr/bin/awk",
        "/usr/bin/basename",
        "/usr/bin/cat",
        "/usr/bin/chmod",
        "/usr/bin/cmp",
        "/usr/bin/cp",
        "/usr/bin/cut",
        "/usr/bin/dirname",
        "/usr/bin/expr",
        "/usr/bin/find",
        "/usr/bin/fmt",
        "/usr/bin/*grep",
        "/usr/bin/head",
        "/usr/bin/ls",
        "/usr/bin/mktemp",
        "/usr/bin/mv",
        "/usr/bin/rm",
        "/usr/bin/sed",
        "/usr/bin/sort",
        "/usr/bin/stty",
        "/usr/bin/tail",
        "/usr/bin/tr",
        "/usr/bin/uniq",
        "/usr/bin/wc",
    ],
    support: &["/etc/X11/fonts/**", "/usr/share/fonts/*/**", "/usr/share/X11/**"],
    folders: &["/usr/share/fonts/X11"],
    writes: &["/usr/share/fonts/X11/*/fonts.*", "/usr/share/fonts/X11/*/encodings.dir"],
    owner: None,
    read_only: false,
    bring: None,
    commands,
};

pub(in super::super) const FINALIZER: Finalizer = TOOL.finalizer(|context| derive(&TOOL, context));

fn commands(preparation: &mut Preparation<'_, '_>) -> Result<Vec<Vec<String>>, FinalizeError> {
    let mut lines: Vec<String> = Vec::new();
    for (_, hook) in preparation.context.hooks("postinst")? {
        for call in hook.lines().flat_map(calls) {
            if !lines.contains(&call) {
                lines.push(call);
            }
        }
    }
    // Scales before the lists that take them in, aliases last.
    let rank = |line: &str| ["update-fonts-scale", "update-fonts-dir"].iter().position(|name| line.starts_with(name));
    lines.sort_by_key(|line| (rank(line).unwrap_or(2), line.clone()));
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![["/usr/bin/sh", "-e", "-c", &lines.join("\n")].map(str::to_owned).to_vec()])
}

/// The calls in a line whose words stand for themselves.
fn calls(line: &str) -> impl Iterator<Item = String> {
    let plain = |word: &str| word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+=".contains(c));
    let is_call = move |call: &&str| {
        ["update-fonts-dir ", "update-fonts-scale ", "update-fonts-alias "].iter().any(|name| call.starts_with(name))
            && call.split_ascii_whitespace().all(plain)
    };
    line.split(';').map(str::trim).filter(is_call).map(str::to_owned).collect::<Vec<_>>().into_iter()
}
