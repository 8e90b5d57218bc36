//! The list of login shells: shells(5), as `update-shells` of debianutils writes it.

use kiln_model::{Entry, TreePath};

use super::{FinalizeContext, FinalizeError, fixed};

pub(super) fn run(context: &mut FinalizeContext<'_>) -> Result<(), FinalizeError> {
    let template = fixed("usr/share/debianutils/shells");
    let Some(text) = context.read(&template)? else {
        return Ok(());
    };
    let mut lines: Vec<String> = String::from_utf8_lossy(&text).lines().map(str::to_owned).collect();
    let mut shells: Vec<String> = Vec::new();
    let folder = fixed("usr/share/debianutils/shells.d");
    let names: Vec<TreePath> = context
        .directory(&folder)
        .into_iter()
        .flat_map(|dir| dir.entries())
        .filter(|(_, entry)| matches!(entry, Entry::File(_)))
        .filter_map(|(name, _)| folder.join(name).ok())
        .collect();
    for path in [template].iter().chain(&names) {
        let text = context.read(path)?.unwrap_or_default();
        for line in String::from_utf8_lossy(&text).lines() {
            let shell = line.split('#').next().unwrap_or_default();
            if shell.is_empty() {
                continue;
            }
            push_new(&mut shells, shell.to_owned());
            // The shell under its real folder too: `/bin/sh` is `/usr/bin/sh`.
            if let Ok(path) = TreePath::from_absolute(shell)
                && let Ok(place) = context.work.place(&path)
            {
                push_new(&mut shells, place.to_string());
            }
        }
    }
    for shell in shells {
        push_new(&mut lines, shell);
    }
    let mut text = lines.join("\n");
    text.push('\n');
    context.write(&fixed("etc/shells"), text.as_bytes())
}

fn push_new(list: &mut Vec<String>, item: String) {
    if !list.contains(&item) {
        list.push(item);
    }
}
