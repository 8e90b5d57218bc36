//! Triggers of RPM's packages (rpm's `docs/manual/triggers.md`, `file_triggers.md`), in the account of all triggers.
//!
//! Unlike Debian's they have scripts of their own, which are read like any other against the image. What a script comes to
//! says what stands for it: a finalizer, or nothing that an image needs; a script that cannot be followed, or that would
//! make something else, has nothing that stands for it. A file trigger is set off by any file whose path begins as it says,
//! those of its own package too; another by a package of that name.

use kiln_hooks::{Became, Reading};
use kiln_model::{ArchiveKind, Facts};

use crate::request::{Member, Request};
use crate::trigger::Service;

/// A line of the hook `triggers`: what sets a script off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Declared {
    pub script: String,
    /// The beginning of paths, or the name of a package.
    pub name: String,
    by_files: bool,
    /// Which versions of the package.
    range: Option<(String, String)>,
}

/// Reads the hook `triggers` as the import writes it.
pub(crate) fn read(text: &str) -> Vec<Declared> {
    let line = |line: &str| {
        let mut words = line.split_ascii_whitespace().map(str::to_owned);
        let (by, script, name) = (words.next()?, words.next()?, words.next()?);
        let range = words.next().and_then(|operator| Some((operator, words.next()?)));
        matches!(&*by, "files" | "package").then(|| Declared { script, name, by_files: by == "files", range })
    };
    text.lines().filter_map(line).collect()
}

/// The scripts of a package's triggers, by name.
pub(crate) fn scripts(member: &Member) -> impl Iterator<Item = &str> {
    let is_rpm = member.record.relations.syntax == ArchiveKind::Rpm;
    let names = member.record.hooks.iter().map(|hook| &*hook.name).filter(move |_| is_rpm);
    names.filter(|name| {
        name.rsplit_once('-').is_some_and(|(kind, _)| matches!(kind, "trigger" | "filetrigger" | "transfiletrigger"))
    })
}

/// What stands for a script that was read; none when nothing does.
pub(crate) fn served(reading: &Reading) -> Option<Service> {
    let elsewhere = reading.elsewhere.is_empty() && reading.links.is_empty();
    let follows = reading.unfollowed.is_empty() && elsewhere && reading.triggers.is_empty();
    if !follows || reading.facts != Facts::default() {
        return None;
    }
    let mut why = "its script does nothing in an image";
    for outcome in &reading.outcomes {
        match &outcome.became {
            Became::Finalizer(finalizer) => return Some(Service::Finalizer(finalizer)),
            Became::Nothing(reason) => why = reason,
            _ => {}
        }
    }
    Some(Service::Nothing(why))
}

/// Who sets it off.
pub(crate) fn who(request: &Request, declared: &Declared) -> Option<String> {
    let sets_off = |member: &&Member| {
        if declared.by_files {
            return member.tree.walk().any(|(path, _)| path.to_string().starts_with(&declared.name));
        }
        let fits = || match &declared.range {
            Some((operator, version)) => in_range(&member.record.version, operator, version),
            None => true,
        };
        member.record.relations.syntax == ArchiveKind::Rpm && member.record.name.as_str() == declared.name && fits()
    };
    let mut members: Vec<_> = request.members.iter().filter(sets_off).map(Member::reference).collect();
    members.sort();
    let own = || {
        declared.by_files
            && (request.files.keys().any(|path| path.to_string().starts_with(&declared.name))
                || request
                    .overlays
                    .iter()
                    .any(|overlay| overlay.tree.walk().any(|(path, _)| path.to_string().starts_with(&declared.name))))
    };
    members.first().map(|member| format!("`{member}`")).or_else(|| own().then(|| "the image".to_owned()))
}

fn in_range(version: &str, operator: &str, bound: &str) -> bool {
    let order = kiln_model::version::rpm::compare_as_relation(version, bound);
    match operator {
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        "=" => order.is_eq(),
        ">=" => order.is_ge(),
        _ => order.is_gt(),
    }
}

#[cfg(test)]
mod tests {
    use kiln_hooks::{Outcome, Place, Unfollowed};
    use proptest::prelude::*;

    use super::*;

    fn reading(became: Became) -> Reading {
        let place = Place { script: "trigger".to_owned(), line: 2 };
        let outcome = Outcome { place, command: String::new(), became };
        Reading { outcomes: vec![outcome], ..Reading::default() }
    }

    #[test]
    fn lines_say_what_sets_a_script_off() {
        let lines = read("files filetrigger-0 /usr/lib/a\npackage trigger-1 b >= 2\nodd\nother x y\n");
        assert_eq!(lines.len(), 2);
        assert_eq!((&*lines[0].script, &*lines[0].name, lines[0].by_files), ("filetrigger-0", "/usr/lib/a", true));
        assert_eq!(lines[1].range, Some((">=".to_owned(), "2".to_owned())));
        assert!(in_range("2-1", ">=", "2") && !in_range("1-1", ">=", "2") && in_range("1-1", "<", "2"));
    }

    #[test]
    fn what_a_script_comes_to_says_what_stands_for_it() {
        assert_eq!(served(&reading(Became::Finalizer("ld.so.cache"))), Some(Service::Finalizer("ld.so.cache")));
        assert_eq!(served(&reading(Became::Nothing("why"))), Some(Service::Nothing("why")));
        let place = Place { script: "trigger".to_owned(), line: 2 };
        let odd = Unfollowed { place, text: "odd".to_owned(), why: "unknown".to_owned() };
        assert_eq!(served(&Reading { unfollowed: vec![odd], ..reading(Became::Nothing("why")) }), None);
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "(files|package|[ \n/a-z>=0-9-]){0,60}") {
            let _ = read(&text);
        }
    }
}
