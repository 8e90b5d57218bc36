//! Dictionaries of aspell and ispell, compiled, and the lists of dictionaries that editors read, as the triggers of
//! dictionaries-common have them made by `aspell-autobuildhash`, `ispell-autobuildhash` and `update-dictcommon-hunspell`.
//!
//! A package whose dictionaries are to be compiled brings a file `LANGUAGE.compat`, empty, which says afterwards for which
//! format they were; `LANGUAGE.remove` names what was made.

use kiln_model::TreePath;

use super::{Preparation, Tool, derive};
use crate::finalizer::{FinalizeContext, FinalizeError, Finalizer, fixed};

static ASPELL_TOOL: Tool = Tool {
    name: "aspell-dictionaries",
    summary: "Dictionaries of aspell that packages bring as word lists, compiled as `aspell-autobuildhash` does it where \
              dictionaries-common is.",
    version: 1,
    program: "/usr/bin/aspell",
    inputs: &["/var/lib/aspell/*", "/usr/share/aspell/*", "/usr/lib/aspell/**"],
    runs: &["/usr/bin/sh", "/usr/bin/gzip", "/usr/bin/prezip-bin", "/usr/bin/cp"],
    support: &["/etc/aspell.conf", "/usr/lib/{multiarch}/aspell*/**"],
    folders: &["/var/lib/aspell"],
    writes: &["/var/lib/aspell", "/var/lib/aspell/*.rws", "/var/lib/aspell/*.compat", "/var/lib/aspell/*.remove"],
    owner: None,
    read_only: false,
    bring: None,
    commands: |preparation| commands(preparation, "aspell", aspell),
};

static ISPELL_TOOL: Tool = Tool {
    name: "ispell-dictionaries",
    summary: "Dictionaries of ispell that packages bring as word lists, compiled as `ispell-autobuildhash` does it where \
              dictionaries-common is.",
    version: 1,
    program: "/usr/bin/buildhash",
    inputs: &["/var/lib/ispell/*", "/usr/share/ispell/*", "/usr/lib/ispell/*"],
    runs: &["/usr/bin/sh", "/usr/bin/gzip", "/usr/bin/cp", "/usr/bin/sort", "/usr/bin/cat", "/usr/bin/rm"],
    support: &[],
    folders: &["/var/lib/ispell"],
    writes: &["/var/lib/ispell", "/var/lib/ispell/*.hash", "/var/lib/ispell/*.compat", "/var/lib/ispell/*.remove"],
    owner: None,
    read_only: false,
    bring: None,
    commands: |preparation| commands(preparation, "ispell", ispell),
};

static LISTS_TOOL: Tool = Tool {
    name: "dictionary-lists",
    summary: "The lists of dictionaries that Emacs, jed and SquirrelMail read, and the database of hunspell's, as the \
              library of dictionaries-common writes them.",
    version: 1,
    program: "/usr/bin/perl",
    inputs: &["/usr/share/perl5/Debian/DictionariesCommon.pm", "/var/cache/dictionaries-common/*.db"],
    runs: &[],
    support: &[
        "/var/lib/dictionaries-common/**",
        "/usr/share/hunspell/*",
        "/usr/share/myspell/**",
        "/usr/share/perl5/**",
        "/usr/lib/{multiarch}/perl5/**",
        "/usr/share/perl/**",
        "/usr/lib/{multiarch}/perl/**",
        "/usr/lib/{multiarch}/perl-base/**",
        "/usr/lib/{multiarch}/gconv/**",
    ],
    folders: &["/var/cache/dictionaries-common"],
    writes: &["/var/cache/dictionaries-common/*"],
    owner: None,
    read_only: false,
    bring: None,
    commands: |preparation| {
        if !exists(preparation.context, &fixed("usr/sbin/update-dictcommon-hunspell")) {
            return Ok(Vec::new());
        }
        Ok(vec![preparation.command(["-MDebian::DictionariesCommon=:all", "-e", LISTS_SCRIPT])])
    },
};

/// What `update-dictcommon-hunspell` and `update-dictcommon-aspell` do.
const LISTS_SCRIPT: &str =
    "updatedb('hunspell'); build_emacsen_support(); build_squirrelmail_support(); build_jed_support();";

pub(in super::super) const ASPELL: Finalizer = ASPELL_TOOL.finalizer(|context| derive(&ASPELL_TOOL, context));
pub(in super::super) const ISPELL: Finalizer = ISPELL_TOOL.finalizer(|context| derive(&ISPELL_TOOL, context));
pub(in super::super) const LISTS: Finalizer = LISTS_TOOL.finalizer(|context| derive(&LISTS_TOOL, context));

/// The line that compiles one dictionary, of a language; none where its word list is not there.
type Line = fn(&FinalizeContext<'_>, &str, &str) -> Option<(String, String)>;

/// One command for each language that is to be compiled.
fn commands(preparation: &Preparation<'_, '_>, program: &str, line: Line) -> Result<Vec<Vec<String>>, FinalizeError> {
    let context = preparation.context;
    if !exists(context, &fixed(&format!("usr/sbin/{program}-autobuildhash"))) {
        return Ok(Vec::new());
    }
    let mut commands = Vec::new();
    for name in context.names(&fixed(&format!("var/lib/{program}"))) {
        let Some(language) = name.strip_suffix(".compat").filter(|language| is_plain(language)) else { continue };
        let mut lines = Vec::new();
        let mut made = Vec::new();
        for dictionary in dictionaries(context, program, language)? {
            let Some((command, hash)) = line(context, language, &dictionary) else { continue };
            lines.push(command);
            let link = format!("/usr/lib/{program}/{hash}");
            if TreePath::from_absolute(&link).is_ok_and(|link| context.work.tree.get(&link).is_some()) {
                made.push(link);
            }
            made.push(format!("/var/lib/{program}/{hash}"));
        }
        if lines.is_empty() {
            continue;
        }
        made.sort();
        lines.push(format!("cp /usr/share/{program}/{program}.compat /var/lib/{program}/{name}"));
        lines.push(format!("printf '%s\\n' {} > /var/lib/{program}/{language}.remove", made.join(" ")));
        commands.push(["/usr/bin/sh", "-e", "-c", &lines.join("\n")].map(str::to_owned).to_vec());
    }
    Ok(commands)
}

/// The dictionaries of a language: those that its list of contents names, or the one of its name.
fn dictionaries(context: &FinalizeContext<'_>, program: &str, language: &str) -> Result<Vec<String>, FinalizeError> {
    let contents = fixed(&format!("usr/share/{program}")).join(&format!("{language}.contents"));
    let text = match contents {
        Ok(path) => context.read(&path)?,
        Err(_) => None,
    };
    let Some(text) = text else { return Ok(vec![language.to_owned()]) };
    let text = String::from_utf8_lossy(&text).into_owned();
    let names = text.lines().map(str::trim).filter(|line| !line.starts_with('#') && is_plain(line));
    Ok(names.map(str::to_owned).collect())
}

fn exists(context: &FinalizeContext<'_>, path: &TreePath) -> bool {
    context.file(path).is_some()
}

/// May a name stand in a line of the shell as it is?
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-+".contains(c))
}

fn aspell(context: &FinalizeContext<'_>, language: &str, dictionary: &str) -> Option<(String, String)> {
    let list = |end: &str| {
        let path = format!("usr/share/aspell/{dictionary}.{end}.gz");
        exists(context, &path.parse().ok()?).then_some(path)
    };
    // Step by step: of a pipeline only how its last command ends is looked at.
    let words = if let Some(path) = list("mwl").or_else(|| list("wl")) {
        format!("gzip -dc /{path} > /tmp/words")
    } else {
        format!("gzip -dc /{} > /tmp/prefixed\nprezip-bin -d < /tmp/prefixed > /tmp/words", list("cwl")?)
    };
    let hash = format!("{dictionary}.rws");
    let options = "--per-conf=/dev/null --dont-validate-affixes --local-data-dir=/usr/lib/aspell";
    let create = format!("aspell {options} --lang={language} create master /var/lib/aspell/{hash} < /tmp/words");
    Some((format!("{words}\n{create}"), hash))
}

fn ispell(context: &FinalizeContext<'_>, _: &str, dictionary: &str) -> Option<(String, String)> {
    let there = |path: String| path.parse().is_ok_and(|path| exists(context, &path));
    if !there(format!("usr/lib/ispell/{dictionary}.aff")) || !there(format!("usr/share/ispell/{dictionary}.mwl.gz")) {
        return None;
    }
    let (words, hash) = (format!("/tmp/{dictionary}.mwl"), format!("{dictionary}.hash"));
    let unpack = format!("gzip -dc /usr/share/ispell/{dictionary}.mwl.gz > {words}");
    Some((format!("{unpack}\nbuildhash -s {words} /usr/lib/ispell/{dictionary}.aff /var/lib/ispell/{hash}"), hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_a_shell_would_read_otherwise_is_no_dictionary() {
        assert!(is_plain("en_GB-ise-w_accents-only") && is_plain("gl-minimos"));
        for name in ["", "a b", "a;b", "$(a)", "../a'"] {
            assert!(!is_plain(name), "{name}");
        }
    }
}
