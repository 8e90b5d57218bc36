//! The list of login shells: shells(5), as `update-shells` of debianutils writes it, with those that facts declare.

use kiln_model::{Entry, Meta, TreePath};

use super::{FinalizeContext, FinalizeError, fixed};
use crate::declared::declarers;
use crate::owner::Owner;

/// Programs that are a login shell to refuse a login.
const REFUSING: &[&str] = &["/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false", "/bin/sync"];

pub(super) fn run(context: &mut FinalizeContext<'_>) -> Result<(), FinalizeError> {
    warn_of_missing(context);
    let declared = declared(context)?;
    let list = fixed("etc/shells");
    if context.is_the_images_own(&list) {
        return add(context, &list, declared);
    }
    let template = fixed("usr/share/debianutils/shells");
    let Some(text) = context.read(&template)? else {
        return if declared.is_empty() { Ok(()) } else { add(context, &list, declared) };
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
    for shell in shells.into_iter().chain(declared) {
        push_new(&mut lines, shell);
    }
    let mut text = lines.join("\n");
    text.push('\n');
    context.write(&list, text.as_bytes())
}

/// The shells that facts declare and that are in the image.
fn declared(context: &FinalizeContext<'_>) -> Result<Vec<String>, FinalizeError> {
    let mut shells = Vec::new();
    for (by, facts) in declarers(context.request) {
        for path in &facts.shells {
            if context.file(path).is_some() {
                push_new(&mut shells, path.to_string());
            } else if by == Owner::Image {
                return Err(FinalizeError::NoShell(path.clone()));
            }
        }
    }
    shells.sort();
    Ok(shells)
}

/// Adds shells to the list that is there.
fn add(context: &mut FinalizeContext<'_>, list: &TreePath, shells: Vec<String>) -> Result<(), FinalizeError> {
    let there = context.read(list)?;
    let header = "# /etc/shells: valid login shells\n";
    let text = there.map_or_else(|| header.to_owned(), |bytes| String::from_utf8_lossy(&bytes).into_owned());
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let before = lines.len();
    for shell in shells {
        push_new(&mut lines, shell);
    }
    if lines.len() == before {
        return Ok(());
    }
    let meta = context.file(list).map_or_else(|| Meta::root_owned(0o644), |(_, file)| file.meta);
    let mut text = lines.join("\n");
    text.push('\n');
    context.write_always(list, text.as_bytes(), meta)
}

/// A user that is declared with a shell that is not there cannot log in.
fn warn_of_missing(context: &mut FinalizeContext<'_>) {
    let mut messages = Vec::new();
    for (by, facts) in declarers(context.request) {
        for (name, user) in &facts.users {
            let Some(shell) = &user.shell else {
                continue;
            };
            if !REFUSING.contains(&shell.to_string().as_str()) && context.file(shell).is_none() {
                messages.push(format!("{by} gives user `{name}` the login shell `{shell}`, which is not in the image"));
            }
        }
    }
    for message in messages {
        context.warn(message, Some("add the package that brings the shell, or declare another".to_owned()));
    }
}

fn push_new(list: &mut Vec<String>, item: String) {
    if !list.contains(&item) {
        list.push(item);
    }
}
