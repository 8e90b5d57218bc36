//! The locales of an image with the package `locales`: those that `/etc/locale.gen` switches on, compiled as `locale-gen`
//! has them compiled by `localedef`, one after the other into one archive.

use super::{Tool, derive};
use crate::finalizer::{Finalizer, fixed};
use crate::request::Member;

static TOOL: Tool = Tool {
    name: "compiled-locales",
    summary: "The archive of locales that `/etc/locale.gen` asks for, compiled by `localedef` as `locale-gen` does it.",
    version: 1,
    program: "/usr/bin/localedef",
    inputs: &["/etc/locale.gen"],
    runs: &["/usr/bin/gzip"],
    support: &[
        "/usr/share/i18n/**",
        "/usr/local/share/i18n/**",
        "/usr/share/locale/locale.alias",
        "/usr/lib/{multiarch}/gconv/**",
    ],
    folders: &["/usr/lib/locale"],
    writes: &["/usr/lib/locale/locale-archive"],
    owner: None,
    read_only: false,
    bring: None,
    commands: |preparation| {
        let context = preparation.context;
        let brings_all = |member: &Member| member.record.name.as_str() == "locales-all";
        if context.file(&fixed("usr/sbin/locale-gen")).is_none() || context.request.members.iter().any(brings_all) {
            return Ok(Vec::new());
        }
        let list = context.read(&fixed("etc/locale.gen"))?.unwrap_or_default();
        let sources: Vec<String> = context.names(&fixed("usr/share/i18n/locales"));
        let wanted = wanted(&String::from_utf8_lossy(&list), &|name| sources.iter().any(|source| source == name));
        let command = |(source, charset, locale): &(String, String, String)| {
            let words = ["-i", source, "-c", "-f", charset, "-A", "/usr/share/locale/locale.alias", locale];
            preparation.command(words)
        };
        Ok(wanted.iter().map(command).collect())
    },
};

/// What a list switches on: the source, the character set and the name of each locale. One without a source is left out, as
/// `locale-gen` goes on after it.
fn wanted(list: &str, is_source: &dyn Fn(&str) -> bool) -> Vec<(String, String, String)> {
    let mut wanted = Vec::new();
    for line in list.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let Some((locale, charset)) = line.split_once(char::is_whitespace) else { continue };
        let base = locale.split(['.', '@']).next().unwrap_or_default();
        let modifier = locale.split_once('@').map_or_else(String::new, |(_, modifier)| format!("@{modifier}"));
        let source = if is_source(locale) { locale.to_owned() } else { format!("{base}{modifier}") };
        if is_source(&source) {
            wanted.push((source, charset.trim().to_owned(), locale.to_owned()));
        }
    }
    wanted
}

pub(in super::super) const FINALIZER: Finalizer = TOOL.finalizer(|context| derive(&TOOL, context));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_sources_character_sets_and_locales() {
        let sources = ["de_DE", "de_DE@euro", "C"];
        let list =
            "# en_US.UTF-8 UTF-8\nde_DE.UTF-8 UTF-8\n\n de_DE@euro ISO-8859-15 \nxx_XX UTF-8\nde_DE ISO-8859-1\n";
        let found = wanted(list, &|name| sources.contains(&name));
        let found: Vec<(&str, &str, &str)> = found.iter().map(|(s, c, l)| (&**s, &**c, &**l)).collect();
        assert_eq!(
            found,
            [
                ("de_DE", "UTF-8", "de_DE.UTF-8"),
                ("de_DE@euro", "ISO-8859-15", "de_DE@euro"),
                ("de_DE", "ISO-8859-1", "de_DE"),
            ]
        );
    }
}
