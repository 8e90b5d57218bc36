//! Kernel parameters and the environment of sessions: sysctl.d(5), pam_env(8), environment.d(5).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use kiln_model::{Facts, Meta};

use super::{FinalizeContext, FinalizeError, fixed, systemd};
use crate::declared::{Said, gather};

/// Parameters that packages declare: after what their own files say, before the administrator's.
const PACKAGES_SYSCTL: &str = "usr/lib/sysctl.d/60-kiln-packages.conf";
/// The image's own: after every file that packages ship, the last of which begin with `99-`.
const IMAGE_SYSCTL: &str = "usr/lib/sysctl.d/99-zz-kiln-image.conf";

/// The name that the kernel's folder gives: the first separator decides which of `.` and `/` separates, sysctl.d(5).
fn parameter(name: &str) -> String {
    match name.find(['.', '/']).map(|at| name.as_bytes()[at]) {
        Some(b'/') => name.to_owned(),
        _ => name
            .chars()
            .map(|c| {
                if c == '.' {
                    '/'
                } else if c == '/' {
                    '.'
                } else {
                    c
                }
            })
            .collect(),
    }
}

pub(super) fn sysctl(context: &mut FinalizeContext<'_>) -> Result<(), FinalizeError> {
    let quoted = |value: &String| format!("`{value}`");
    let said = gather(context.request, "kernel parameter", |facts: &Facts| &facts.sysctl, parameter, quoted)?;
    let (image, packages): (BTreeMap<_, _>, BTreeMap<_, _>) = said.into_iter().partition(|(_, said)| said.by_image());
    for (path, said) in [(PACKAGES_SYSCTL, packages), (IMAGE_SYSCTL, image)] {
        if said.is_empty() {
            continue;
        }
        let mut text = String::new();
        for (name, Said { value, .. }) in said {
            let _ = writeln!(text, "{name} = {value}");
        }
        context.write(&fixed(path), text.as_bytes())?;
    }
    Ok(())
}

pub(super) fn environment(context: &mut FinalizeContext<'_>) -> Result<(), FinalizeError> {
    let quoted = |value: &String| format!("`{value}`");
    let said = gather(context.request, "variable", |facts: &Facts| &facts.environment, str::to_owned, quoted)?;
    if said.is_empty() {
        return Ok(());
    }
    let path = fixed("etc/environment");
    let own = context.is_the_images_own(&path);
    let mut unsaid: BTreeSet<&String> = said.keys().collect();
    let mut lines = Vec::new();
    let there = context.read(&path)?.unwrap_or_default();
    for line in String::from_utf8_lossy(&there).lines() {
        let text = line.trim_start();
        let text = text.strip_prefix("export ").unwrap_or(text);
        let name = text.split_once('=').map_or("", |(name, _)| name);
        match said.get(name) {
            // The image's own file is its word too.
            Some(fact) if own && fact.by_image() && line != pam_line(name, fact.value)? => {
                return Err(FinalizeError::Input {
                    path,
                    why: format!("the image's own file says `{line}`, but its facts say `{}`", fact.value),
                });
            }
            Some(_) if own => {
                unsaid.remove(&name.to_owned());
                lines.push(line.to_owned());
            }
            Some(_) => {}
            None => lines.push(line.to_owned()),
        }
    }
    for name in unsaid {
        if let Some(fact) = said.get(name) {
            lines.push(pam_line(name, fact.value)?);
        }
    }
    let meta = match context.file(&path) {
        Some((_, file)) => file.meta,
        None => Meta::root_owned(0o644),
    };
    let mut text = lines.join("\n");
    text.push('\n');
    context.write_always(&path, text.as_bytes(), meta)?;
    if !systemd::is_there(context) {
        return Ok(());
    }
    let mut text = String::new();
    for (name, fact) in &said {
        let _ = writeln!(text, "{name}=\"{}\"", environment_d(fact.value));
    }
    context.write(&fixed("usr/lib/environment.d/60-kiln.conf"), text.as_bytes())
}

/// A line of `/etc/environment`. pam_env(8) reads it without escapes: a `#` begins a comment wherever it stands, and one
/// pair of quotes around a value is taken off.
fn pam_line(name: &str, value: &str) -> Result<String, FinalizeError> {
    if value.contains('#') || value.ends_with('\\') {
        let why = format!("the value of `{name}` has a `#` or ends with a backslash, which pam_env(8) cannot read");
        return Err(FinalizeError::Input { path: fixed("etc/environment"), why });
    }
    let bare = |c: char| c.is_whitespace() || matches!(c, '"' | '\'');
    if !value.starts_with(bare) && !value.ends_with(bare) {
        return Ok(format!("{name}={value}"));
    }
    Ok(if value.starts_with('"') { format!("{name}='{value}'") } else { format!("{name}=\"{value}\"") })
}

/// A value between double quotes as environment.d(5) reads it: `$$` is a dollar.
fn environment_d(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' | '"' | '`' => text.extend(['\\', c]),
            '$' => text.push_str("$$"),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_spellings_of_one_parameter_are_one() {
        assert_eq!(parameter("net.ipv4.ip_forward"), "net/ipv4/ip_forward");
        assert_eq!(parameter("net/ipv4/conf/eth0.1/rp_filter"), parameter("net.ipv4.conf.eth0/1.rp_filter"));
    }

    #[test]
    fn values_are_quoted_only_where_they_must_be() {
        assert_eq!(pam_line("A", "b c").unwrap(), "A=b c");
        assert_eq!(pam_line("A", " b").unwrap(), "A=\" b\"");
        assert_eq!(pam_line("A", "\"b\"").unwrap(), "A='\"b\"'");
        assert!(pam_line("A", "#b").is_err());
        assert_eq!(environment_d("a$b\"c\\"), "a$$b\\\"c\\\\");
    }
}
