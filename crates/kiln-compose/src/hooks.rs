//! What the hooks of packages come to, without running any.
//!
//! Only what a fresh installation runs counts: `preinst install` and `postinst configure`. A hook is understood when a
//! rule stands for it, or when nothing is left of it but what debhelper generated and the skeleton around it. Of the
//! generated blocks, those that restart, reload or convert do nothing on a fresh tree; what others derive, a finalizer
//! derives; alternatives become facts. Anything else is named to the user, never guessed.

use std::collections::BTreeMap;
use std::sync::Arc;

use kiln_model::facts::{Alternative, Slave};
use kiln_model::{ArchiveKind, Dir, ObjectError, ObjectSource, PackageRecord, TreePath};

use crate::request::Member;
use crate::rules::RuleSet;

/// A hook that nothing translates.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Untranslated {
    /// `preinst` or `postinst`.
    pub hook: String,
    /// The first line that is not understood.
    pub line: String,
    /// Why not, where that can be said.
    pub why: Option<String>,
}

/// A hook's text is small; more is not read.
const LIMIT: u64 = 1024 * 1024;

/// Prepares a package for composition: its own facts, those of the rule that applies, and those read from its hooks.
///
/// # Errors
/// When a hook's text cannot be read.
pub fn prepare(
    record: PackageRecord,
    tree: Arc<Dir>,
    rules: &RuleSet,
    source: &dyn ObjectSource,
) -> Result<Member, ObjectError> {
    let mut member = Member::new(record, tree);
    let kind = member.record.relations.syntax;
    let rule = rules.find(kind, member.record.name.as_str(), &member.record.version);
    for hook in &member.record.hooks {
        if !at_installation(kind).contains(&hook.name.as_str()) {
            continue;
        }
        let text = if hook.size > LIMIT { Vec::new() } else { source.read(&hook.object)? };
        let text = String::from_utf8_lossy(&text);
        let meaning = match kind {
            ArchiveKind::Deb => read(&text),
            ArchiveKind::Apk => {
                let (accounts, unknown) = crate::alpine_hooks::read(&text);
                member.facts.users.extend(accounts.users);
                member.facts.groups.extend(accounts.groups);
                member.facts.directories.extend(accounts.directories);
                Meaning { unknown, ..Meaning::default() }
            }
        };
        member.facts.alternatives.extend(meaning.alternatives);
        member.facts.links.extend(meaning.links);
        let rest = if hook.size > LIMIT { Some("it is larger than 1 MiB".to_owned()) } else { meaning.unknown };
        if let Some(line) = rest
            && rule.is_none()
        {
            member.untranslated.push(Untranslated { hook: hook.name.clone(), line, why: None });
        }
    }
    if let Some(rule) = rule {
        member.ruled = true;
        // A rule's word goes before the package's own.
        member.facts.overlay(rule.facts.clone());
    }
    Ok(member)
}

/// The hooks that a fresh installation runs. A trigger of Alpine's is one: its own package's files set it off.
const fn at_installation(kind: ArchiveKind) -> &'static [&'static str] {
    match kind {
        ArchiveKind::Deb => &["preinst", "postinst"],
        ArchiveKind::Apk => &[".pre-install", ".post-install", ".trigger"],
    }
}

/// What a hook comes to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Meaning {
    alternatives: BTreeMap<TreePath, Alternative>,
    links: BTreeMap<TreePath, String>,
    /// The first line that is not understood.
    unknown: Option<String>,
}

/// Generators whose blocks do nothing on a fresh tree, or whose work a finalizer does.
const DERIVED: &[&str] = &[
    "dh_apparmor",
    "dh_icons",
    "dh_installdeb",
    "dh_installdebconf",
    "dh_installinit",
    "dh_installinitramfs",
    "dh_installmenu",
    "dh_installmodules",
    "dh_installsystemd",
    "dh_installsystemduser",
    "dh_installsysusers",
    "dh_installudev",
    "dh_makeshlibs",
    "dh_movetousr",
    "dh_pypy",
    "dh_python2",
    "dh_python3",
    "dh_systemd_enable",
    "dh_systemd_start",
];

fn read(text: &str) -> Meaning {
    let mut meaning = Meaning::default();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let line = line.trim();
        if let Some(generator) = line.strip_prefix("# Automatically added by ") {
            let name = generator.split('/').next().unwrap_or(generator).trim();
            let block: Vec<&str> = lines
                .by_ref()
                .take_while(|line| !line.trim().starts_with("# End automatically added section"))
                .collect();
            let understood = match name {
                "dh_installalternatives" => alternatives(&block, &mut meaning.alternatives),
                "dh_nginx" => nginx_modules(&block, &mut meaning.links),
                name => DERIVED.contains(&name),
            };
            if !understood {
                meaning.unknown.get_or_insert_with(|| format!("a block by {name}"));
            }
            continue;
        }
        if !is_skeleton(line) {
            meaning.unknown.get_or_insert_with(|| line.to_owned());
        }
    }
    meaning
}

/// Lines that do nothing.
fn is_skeleton(line: &str) -> bool {
    line.is_empty()
        || line.starts_with('#')
        || matches!(line, "set -e" | "set -eu" | "set -u" | "set -ue" | "exit 0" | ":" | "true" | "exit")
}

/// Reads the calls of `update-alternatives --install` in a generated block. Gives whether the whole block was understood.
fn alternatives(block: &[&str], found: &mut BTreeMap<TreePath, Alternative>) -> bool {
    let joined = block.join("\n").replace("\\\n", " ");
    for line in joined.lines().map(str::trim) {
        // The condition around the calls: true when a package is configured.
        if line.is_empty()
            || line == "fi"
            || (line.starts_with("if [ \"$1\" = \"configure\" ]") && line.ends_with("then"))
        {
            continue;
        }
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let Some((path, alternative)) = alternative(&words) else {
            return false;
        };
        found.insert(path, alternative);
    }
    true
}

/// Reads the pairs of a block that enables modules of nginx. Gives whether the block was understood.
fn nginx_modules(block: &[&str], found: &mut BTreeMap<TreePath, String>) -> bool {
    let pairs = block.iter().find_map(|line| line.trim().strip_prefix("for confpair in ")?.split(';').next());
    let Some(pairs) = pairs else {
        return false;
    };
    for pair in pairs.split_ascii_whitespace() {
        let plain = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
        let Some((from, to)) = pair.split_once(':').filter(|(from, to)| plain(from) && plain(to)) else {
            return false;
        };
        let Ok(path) = format!("etc/nginx/modules-enabled/{to}").parse() else {
            return false;
        };
        found.insert(path, format!("/usr/share/nginx/modules-available/{from}"));
    }
    true
}

fn alternative(words: &[&str]) -> Option<(TreePath, Alternative)> {
    let (["update-alternatives", "--install", path, name, to, priority], mut rest) = words.split_at_checked(6)? else {
        return None;
    };
    let literal = |text: &&str| !text.contains(['$', '`', '\'', '*', '?', ';', '|', '&', '"']);
    if !words.iter().all(literal) {
        return None;
    }
    let mut slaves = BTreeMap::new();
    while let ["--slave", path, name, to, more @ ..] = rest {
        let slave = Slave { to: TreePath::from_absolute(to).ok()?, name: Some((*name).to_owned()) };
        slaves.insert(TreePath::from_absolute(path).ok()?, slave);
        rest = more;
    }
    let alternative = Alternative {
        to: TreePath::from_absolute(to).ok()?,
        priority: priority.parse().ok()?,
        name: Some((*name).to_owned()),
        slaves,
    };
    rest.is_empty().then_some((TreePath::from_absolute(path).ok()?, alternative))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn generated_blocks_and_the_skeleton_are_understood() {
        let text = "#!/bin/sh\nset -e\n# Automatically added by dh_installdeb/13.24.2\ndpkg-maintscript-helper rm_conffile /etc/x 1 -- \"$@\"\n# End automatically added section\n\nexit 0\n";
        assert_eq!(read(text), Meaning::default());
    }

    #[test]
    fn the_first_line_that_is_not_understood_is_told() {
        let meaning = read("#!/bin/sh\nset -e\nmkdir -p /var/lib/x\nchown x /var/lib/x\n");
        assert_eq!(meaning.unknown.as_deref(), Some("mkdir -p /var/lib/x"));
        let block = "# Automatically added by dh_new/1\nsomething\n# End automatically added section\n";
        assert_eq!(read(block).unknown.as_deref(), Some("a block by dh_new"));
    }

    #[test]
    fn generated_alternatives_become_facts() {
        let text = "#!/bin/sh\n# Automatically added by dh_installalternatives/13.24.2\nif [ \"$1\" = \"configure\" ] || [ \"$1\" = \"abort-upgrade\" ] ; then\n\tupdate-alternatives --install /usr/bin/awk awk /usr/bin/mawk 5 \\\n\t    --slave /usr/bin/nawk nawk /usr/bin/mawk\nfi\n# End automatically added section\n";
        let meaning = read(text);
        assert_eq!(meaning.unknown, None);
        let awk = &meaning.alternatives[&"usr/bin/awk".parse::<TreePath>().unwrap()];
        assert_eq!((awk.priority, awk.to.as_str(), awk.slaves.len()), (5, "usr/bin/mawk", 1));
        let computed = text.replace("/usr/bin/mawk 5", "$program 5");
        assert!(read(&computed).unknown.is_some(), "what is computed is not followed");
    }

    #[test]
    fn generated_links_of_nginx_modules_become_facts() {
        let text = "# Automatically added by dh_nginx/1\nfor confpair in mod-echo.conf:50-mod-echo.conf  ; do\n\tx\ndone\n# End automatically added section\n";
        let meaning = read(text);
        assert_eq!(meaning.unknown, None);
        let link = &meaning.links[&"etc/nginx/modules-enabled/50-mod-echo.conf".parse::<TreePath>().unwrap()];
        assert_eq!(link, "/usr/share/nginx/modules-available/mod-echo.conf");
        assert!(read(&text.replace("mod-echo.conf:", "$x:")).unknown.is_some());
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "(# Automatically added by dh_installalternatives/1\n)?[ -~\n\\\\]{0,300}") {
            let _ = read(&text);
        }
    }
}
