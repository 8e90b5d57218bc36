//! Triggers: what a package would do when others bring something (deb-triggers(5)). No hook runs, so no trigger does;
//! [`TABLE`] says what stands for each that is known: a finalizer, or nothing, and why nothing.
//!
//! A package waits for a trigger by a line `interest` in its file `triggers`. A file trigger, whose name is a path, counts
//! when another package or the image brings something there; another when a package activates it, by a line `activate` or
//! in a script by `dpkg-trigger`, as the script was read: also by a way of which it is not known whether it is gone. One
//! that counts and that the table does not know is told to the user, with the package, unless the image accepts the
//! package's hooks. Triggers of RPM's packages are in `rpm_trigger`.

use std::collections::{BTreeMap, BTreeSet};

use kiln_model::{ArchiveKind, ObjectError, ObjectSource, PackageRef, TreePath};
use serde::Serialize;

use crate::compose::Warning;
use crate::finalizer;
use crate::request::{Member, Request};
use crate::rpm_trigger;

/// What stands for a trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// The finalizer of this name.
    Finalizer(&'static str),
    /// Nothing is to be done in an image, for this reason.
    Nothing(&'static str),
}

/// A trigger that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// The package that waits; `*` at the end stands for any rest.
    pub package: &'static str,
    /// The trigger; a `*` between slashes stands for any one name.
    pub trigger: &'static str,
    /// What stands for it.
    pub service: Service,
}

const fn by(package: &'static str, trigger: &'static str, finalizer: &'static str) -> Served {
    Served { package, trigger, service: Service::Finalizer(finalizer) }
}

const fn nothing(package: &'static str, trigger: &'static str, why: &'static str) -> Served {
    Served { package, trigger, service: Service::Nothing(why) }
}

const RUNNING: &str = "tells a running service that its configuration changed";
const UPGRADE: &str = "restarts a service after an upgrade";
const CONFIGURED: &str = "the hook that is read makes the same of all dictionaries of the image";

/// Every trigger that is known, by package.
pub const TABLE: &[Served] = &[
    by("ca-certificates", "update-ca-certificates", "ca-certificates"),
    by("ca-certificates", "update-ca-certificates-fresh", "ca-certificates"),
    by("ca-certificates-java", "update-ca-certificates-java", "java-keystore"),
    by("ca-certificates-java", "update-ca-certificates-java-fresh", "java-keystore"),
    nothing(
        "cups",
        "/usr/share/cups/ppd-updaters",
        "brings the descriptions of printers that are set up up to date; a fresh system has none",
    ),
    nothing("dbus", "/etc/dbus-1/system.d", RUNNING),
    nothing("dbus", "/usr/share/dbus-1/system-services", RUNNING),
    nothing("dbus", "/usr/share/dbus-1/system.d", RUNNING),
    by("debianutils", "/usr/share/debianutils/shells.d", "shells"),
    by("desktop-file-utils", "/usr/share/applications", "desktop-database"),
    by("dictionaries-common", "/usr/share/hunspell", "dictionary-lists"),
    by("dictionaries-common", "aspell-autobuildhash", "aspell-dictionaries"),
    by("dictionaries-common", "ispell-autobuildhash", "ispell-dictionaries"),
    by("dictionaries-common", "update-default-ispell", "dictionary-lists"),
    by("dictionaries-common", "update-default-wordlist", "dictionaries"),
    nothing("dovecot-core", "/usr/lib/dovecot/modules", RUNNING),
    nothing("dovecot-core", "register-dovecot-plugin", RUNNING),
    nothing("firewalld", "/usr/lib/firewalld/services", RUNNING),
    nothing("firewalld", "/usr/lib/firewalld/zones", RUNNING),
    by("fontconfig", "/usr/share/fonts", "fontconfig"),
    by("fontconfig", "/usr/share/ghostscript/fonts", "fontconfig"),
    by("fontconfig", "/usr/share/texmf/fonts", "fontconfig"),
    by("hicolor-icon-theme", "/usr/share/icons/hicolor", "icon-cache"),
    by("install-info", "/usr/share/info", "info-directory"),
    by("libc-bin", "ldconfig", "ld.so.cache"),
    by("libgdk-pixbuf*", "/usr/lib/gdk-pixbuf-2.0/2.10.0/loaders", "gdk-pixbuf-loaders"),
    by("libgdk-pixbuf*", "/usr/lib/*/gdk-pixbuf-2.0/2.10.0/loaders", "gdk-pixbuf-loaders"),
    by("libglib2.0-0*", "/usr/lib/*/gio/modules", "gio-modules"),
    by("libglib2.0-0*", "/usr/share/glib-2.0/schemas", "glib-schemas"),
    by("libgtk-3-0*", "/usr/lib/*/gtk-3.0/3.0.0/immodules", "gtk-immodules"),
    by("libgtk-4-1", "/usr/lib/*/gtk-4.0/4.0.0/immodules", "gio-modules"),
    by("libgtk-4-1", "/usr/lib/*/gtk-4.0/4.0.0/printbackends", "gio-modules"),
    by("libgtk2.0-0*", "/usr/lib/*/gtk-2.0/2.10.0/immodules", "gtk2-immodules"),
    by("libgtk2.0-0*", "/usr/lib/gtk-2.0/2.10.0/immodules", "gtk2-immodules"),
    by("man-db", "/usr/local/man", "man-db"),
    by("man-db", "/usr/local/share/man", "man-db"),
    by("man-db", "/usr/share/man", "man-db"),
    nothing("mariadb-server", "/etc/mysql", RUNNING),
    nothing("mariadb-server", "/etc/systemd/system/mariadb.service.d", RUNNING),
    nothing("munin-node", "perl-major-upgrade", UPGRADE),
    nothing("nginx", "nginx-reload", RUNNING),
    nothing("php*", "/etc/php/*/*/conf.d", RUNNING),
    nothing("postfix", "/usr/lib/postfix", RUNNING),
    nothing("postfix", "/var/spool/postfix", RUNNING),
    nothing(
        "postgresql-common",
        "/usr/share/postgresql",
        "looks for dictionaries of hunspell, whose folders it waits for too",
    ),
    nothing("postgresql-common", "/usr/share/hunspell", CONFIGURED),
    nothing("postgresql-common", "/usr/share/myspell/dicts", CONFIGURED),
    nothing("procps", "/usr/lib/sysctl.d", "the machine reads the settings when it boots"),
    nothing("rsyslog", "/etc/rsyslog.d", RUNNING),
    by("sgml-base", "/etc/sgml", "sgml-catalogs"),
    by("sgml-base", "/usr/share/sgml", "sgml-catalogs"),
    by("sgml-base", "/usr/share/xml", "sgml-catalogs"),
    by("sgml-base", "update-sgmlcatalog", "sgml-catalogs"),
    by("shared-mime-info", "/usr/share/mime/packages", "mime-database"),
    nothing("systemd", "/usr/lib/binfmt.d", "the machine registers the formats when it boots"),
    by("systemd", "/usr/lib/systemd/catalog", "journal-catalog"),
    nothing("systemd", "/usr/lib/sysctl.d", "the machine reads the settings when it boots"),
    nothing("systemd", "libc-upgrade", UPGRADE),
    by("tex-common", "/usr/share/doc/texlive-doc", "tex"),
    by("tex-common", "/usr/share/texlive/texmf-dist", "tex"),
    by("tex-common", "/usr/share/texmf", "tex"),
    by("tex-common", "texmf-format", "tex"),
    by("tex-common", "texmf-hyphen", "tex"),
    by("tex-common", "texmf-map", "tex"),
    by("udev", "/lib/udev/hwdb.d", "hwdb"),
    by("udev", "/usr/lib/udev/hwdb.d", "hwdb"),
];

/// A file `triggers` is a few lines; more is not read.
const LIMIT: u64 = 64 * 1024;

/// A trigger that a package waits for, or sets off.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Line {
    Interest(String),
    Activate(String),
}

/// Reads a file `triggers`: one directive a line, after `#` a comment.
fn read(text: &str) -> Vec<Line> {
    let line = |line: &str| {
        let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
        let (directive, name) = (words.next()?, words.next()?.to_owned());
        match directive {
            "interest" | "interest-await" | "interest-noawait" => Some(Line::Interest(name)),
            "activate" | "activate-await" | "activate-noawait" => Some(Line::Activate(name)),
            _ => None,
        }
    };
    text.lines().filter_map(line).collect()
}

/// What the table says of a trigger that a package waits for.
#[must_use]
pub fn served(package: &str, trigger: &str) -> Option<Service> {
    let of_package = |pattern: &str| match pattern.strip_suffix('*') {
        Some(start) => package.starts_with(start),
        None => package == pattern,
    };
    let names = |pattern: &str| {
        let (pattern, trigger): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), trigger.split('/').collect());
        pattern.len() == trigger.len()
            && pattern.iter().zip(&trigger).all(|(pattern, name)| matches!(*pattern, "*") || pattern == name)
    };
    TABLE.iter().find(|row| of_package(row.package) && names(row.trigger)).map(|row| row.service)
}

/// What a package has to do with a trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// It sets the trigger off when it is installed.
    Activates,
    /// It would run a hook when another package or the image sets the trigger off.
    WaitsFor,
}

/// What becomes of a trigger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "became", rename_all = "kebab-case")]
pub enum Fate {
    /// A finalizer derives what the hook would have made, unless the image switches it off.
    Finalizer {
        /// Which.
        finalizer: &'static str,
        /// Does the image switch it off?
        #[serde(rename = "switched-off")]
        switched_off: bool,
    },
    /// Nothing is to be done in an image.
    Nothing {
        /// Why.
        why: &'static str,
    },
    /// No package of the image waits for it.
    Unheard,
    /// Nothing in the image sets it off.
    Still,
    /// It would run a hook, and nothing stands for that.
    Unserved {
        /// Who sets it off.
        by: String,
    },
}

/// A trigger in the account of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Its name.
    pub trigger: String,
    /// What the package has to do with it.
    pub relation: Relation,
    /// What becomes of it.
    #[serde(flatten)]
    pub fate: Fate,
}

/// Every trigger that has to do with the packages of an image, by package, and what becomes of it. The members have been
/// read.
pub(crate) fn account(
    request: &Request,
    source: &dyn ObjectSource,
) -> Result<BTreeMap<PackageRef, Vec<Told>>, ObjectError> {
    let texts = |member: &Member, names: &[&str], limit: u64| -> Result<Vec<String>, ObjectError> {
        let hooks = member.record.hooks.iter().filter(|hook| names.contains(&&*hook.name) && hook.size <= limit);
        hooks.map(|hook| Ok(String::from_utf8_lossy(&source.read(&hook.object)?).into_owned())).collect()
    };
    let fate = |service: Service| match service {
        Service::Nothing(why) => Some(Fate::Nothing { why }),
        Service::Finalizer(finalizer) if finalizer::TABLE.iter().any(|row| row.name == finalizer) => {
            Some(Fate::Finalizer { finalizer, switched_off: request.without.contains(finalizer) })
        }
        Service::Finalizer(_) => None,
    };
    let mut interests: BTreeMap<(PackageRef, String), Option<Fate>> = BTreeMap::new();
    let mut activated: BTreeMap<String, BTreeSet<PackageRef>> = BTreeMap::new();
    let of_kind = |kind| request.members.iter().filter(move |member: &&Member| member.record.relations.syntax == kind);
    for member in of_kind(ArchiveKind::Deb) {
        for line in texts(member, &["triggers"], LIMIT)?.iter().flat_map(|text| read(text)) {
            match line {
                Line::Activate(name) => drop(activated.entry(name).or_default().insert(member.reference())),
                Line::Interest(name) => {
                    let served = served(member.record.name.as_str(), &name).and_then(fate);
                    interests.insert((member.reference(), name), served);
                }
            }
        }
    }
    let mut told: BTreeMap<PackageRef, Vec<Told>> = BTreeMap::new();
    for member in of_kind(ArchiveKind::Rpm) {
        for declared in texts(member, &["triggers"], LIMIT)?.iter().flat_map(|text| rpm_trigger::read(text)) {
            let served = member.triggers.get(&declared.script).and_then(rpm_trigger::served).and_then(fate);
            let by = || rpm_trigger::who(request, &declared).map_or(Fate::Still, |by| Fate::Unserved { by });
            let fate = served.unwrap_or_else(by);
            let list = told.entry(member.reference()).or_default();
            list.push(Told { trigger: declared.name, relation: Relation::WaitsFor, fate });
        }
    }
    // What is set off by a script stands in the account of its command; here are the declarations.
    let declared: Vec<(String, PackageRef)> =
        activated.iter().flat_map(|(name, by)| by.iter().map(|by| (name.clone(), by.clone()))).collect();
    for member in &request.members {
        for name in member.reading.triggers.iter().chain(&member.reading.perhaps) {
            activated.entry(name.clone()).or_default().insert(member.reference());
        }
    }
    for ((package, name), served) in &mut interests {
        if served.is_none() {
            let by = who(request, &activated, package, name);
            *served = Some(by.map_or(Fate::Still, |by| Fate::Unserved { by }));
        }
    }
    for (trigger, package) in declared {
        let heard = interests.iter().find(|((_, name), _)| *name == trigger);
        let fate = heard.and_then(|(_, fate)| fate.clone()).unwrap_or(Fate::Unheard);
        told.entry(package).or_default().push(Told { trigger, relation: Relation::Activates, fate });
    }
    for ((package, trigger), fate) in interests {
        let fate = fate.unwrap_or(Fate::Still);
        told.entry(package).or_default().push(Told { trigger, relation: Relation::WaitsFor, fate });
    }
    Ok(told)
}

/// Does nothing stand for a trigger that this package waits for and that is set off?
pub(crate) fn is_unserved(told: &Told) -> bool {
    told.relation == Relation::WaitsFor && matches!(told.fate, Fate::Unserved { .. })
}

/// Every trigger that would run and that nothing stands for, but for those of packages whose hooks are spoken of.
pub(crate) fn unserved(request: &Request, told: &BTreeMap<PackageRef, Vec<Told>>) -> Vec<Warning> {
    let silent = told.iter().filter(|(package, _)| !request.hooks.contains_key(package));
    let warning = |package: &PackageRef, told: &Told| {
        let (Relation::WaitsFor, Fate::Unserved { by }) = (told.relation, &told.fate) else { return None };
        Some(Warning {
            message: format!(
                "`{package}` waits for the trigger `{}`, which {by} sets off, and nothing stands for it",
                told.trigger
            ),
            hint: Some(format!(
                "bring what it makes, by `files:` or `facts:`, or accept that it is not made: \
                 `hooks: {{ {package}: {{ accept: \"why\" }} }}`"
            )),
        })
    };
    silent.flat_map(|(package, list)| list.iter().filter_map(move |told| warning(package, told))).collect()
}

/// Who sets a trigger off, other than the package that waits for it: its own script has it in mind.
fn who(
    request: &Request,
    activated: &BTreeMap<String, BTreeSet<PackageRef>>,
    waiting: &PackageRef,
    name: &str,
) -> Option<String> {
    let package = |package: &PackageRef| format!("`{package}`");
    if let Some(first) = activated.get(name).into_iter().flatten().find(|other| *other != waiting) {
        return Some(package(first));
    }
    let path = TreePath::from_absolute(name).ok()?;
    let mut others: Vec<PackageRef> = request
        .members
        .iter()
        .filter(|member| member.reference() != *waiting && member.tree.resolve(&path).is_some())
        .map(Member::reference)
        .collect();
    others.sort();
    let below = |file: &TreePath| *file == path || file.to_string().starts_with(&format!("{path}/"));
    let own =
        request.files.keys().any(below) || request.overlays.iter().any(|overlay| overlay.tree.resolve(&path).is_some());
    others.first().map(package).or_else(|| own.then(|| "the image".to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn directives_are_read_with_and_without_their_manner() {
        let lines = read("# by hand\ninterest-noawait /usr/share/a # why\n\nactivate b\nunknown c\ninterest\n");
        assert_eq!(lines, [Line::Interest("/usr/share/a".into()), Line::Activate("b".into())]);
    }

    #[test]
    fn a_trigger_is_known_by_the_package_that_waits_for_it() {
        assert_eq!(served("libc-bin", "ldconfig"), Some(Service::Finalizer("ld.so.cache")));
        assert_eq!(
            served("libglib2.0-0t64", "/usr/lib/x86_64-linux-gnu/gio/modules"),
            Some(Service::Finalizer("gio-modules"))
        );
        assert_eq!(served("libglib2.0-0t64", "/usr/lib/gio/modules"), None);
        assert_eq!(served("mailcap", "/usr/share/applications"), None, "it makes something else of the same files");
    }

    #[test]
    fn every_finalizer_that_a_trigger_names_has_a_name() {
        for row in TABLE {
            if let Service::Finalizer(name) = row.service {
                assert!(kiln_model::image::FinalizerName::find(name).is_some(), "{name}");
            }
        }
        assert!(TABLE.is_sorted_by_key(|row| row.package), "by package");
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "(interest|activate-await|[ \t\n#/a-z$\"-]){0,80}") {
            let _ = read(&text);
        }
    }
}
