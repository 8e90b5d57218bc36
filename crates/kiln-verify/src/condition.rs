//! The table of conditions.

use crate::surroundings::Surroundings;

/// One way in which the surroundings of a build can be other than they were.
#[derive(Debug)]
pub struct Condition {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it changes, in a line.
    pub summary: &'static str,
    /// Must the project lie elsewhere, as a clone of its commit?
    pub elsewhere: bool,
    /// Changes the surroundings.
    pub change: fn(&mut Surroundings),
    /// Why it cannot be had on this machine or by this user, if so.
    pub obstacle: fn() -> Option<&'static str>,
}

/// A user that owns nothing on any machine. The number is one that no distribution hands out.
const STRANGER: u32 = 64_999;

fn none() -> Option<&'static str> {
    None
}

fn row(name: &'static str, summary: &'static str, change: fn(&mut Surroundings)) -> Condition {
    Condition { name, summary, elsewhere: false, change, obstacle: none }
}

/// All conditions, in the order in which they are tried.
pub static CONDITIONS: std::sync::LazyLock<Vec<Condition>> = std::sync::LazyLock::new(|| {
    vec![
        row("again", "an empty store, and nothing else", |_| {}),
        Condition {
            elsewhere: true,
            ..row("path", "the project and the store at other paths, long and with blanks", |surroundings| {
                surroundings.place = "another place/ünder a rather long name, so that no padding hides it/x".to_owned();
            })
        },
        row("one-job", "one action at a time", |surroundings| surroundings.jobs = Some(1)),
        row("many-jobs", "seven actions at a time", |surroundings| surroundings.jobs = Some(7)),
        Condition {
            obstacle: || {
                let cores = std::thread::available_parallelism().map_or(1, usize::from);
                (cores < 2).then_some("this machine has one core only")
            },
            ..row("one-core", "one core of this machine", |surroundings| surroundings.cores = Some(1))
        },
        row("umask", "a file mode mask that takes everything from others", |surroundings| {
            surroundings.mask = Some(0o077)
        }),
        row("locale", "Turkish, where `i` has no dot, and the time zone that is first to see a day", |surroundings| {
            surroundings.set("LANG", "tr_TR.UTF-8");
            surroundings.set("LC_ALL", "tr_TR.UTF-8");
            surroundings.set("LANGUAGE", "tr");
            surroundings.set("TZ", "Pacific/Kiritimati");
        }),
        row("environment", "variables that builds listen to", |surroundings| {
            for (name, value) in [
                ("USER", "somebody"),
                ("LOGNAME", "somebody"),
                ("HOSTNAME", "elsewhere"),
                ("SHELL", "/bin/false"),
                ("CFLAGS", "-O0 -DVERIFY"),
                ("LDFLAGS", "-Wl,--verify"),
                ("CC", "no-such-compiler"),
                ("MAKEFLAGS", "-j13"),
                ("SOURCE_DATE_EPOCH", "1"),
                ("DESTDIR", "/verify"),
                ("PYTHONHASHSEED", "13"),
                ("PERL_HASH_SEED", "13"),
                ("TERM", "vt100"),
                ("COLUMNS", "13"),
            ] {
                surroundings.set(name, value);
            }
        }),
        Condition {
            elsewhere: true,
            obstacle: || (!rustix::process::geteuid().is_root()).then_some("only root can be another user"),
            ..row("user", "another user, who owns nothing", |surroundings| surroundings.user = Some(STRANGER))
        },
        Condition {
            obstacle: || {
                let found = std::fs::metadata(Surroundings::MEMORY).is_ok_and(|found| found.is_dir());
                (!found).then_some("this machine has no file system in memory at `/dev/shm`")
            },
            ..row("file-system", "a file system in memory, which lists directories in another order", |surroundings| {
                surroundings.in_memory = true;
            })
        },
        row("machine", "another host name, no other process, no network but loopback", |surroundings| {
            surroundings.apart = true;
        }),
    ]
});

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_condition_but_the_first_changes_something_and_has_a_name_of_its_own() {
        let plain = format!("{:?}", Surroundings::default());
        let mut names = BTreeSet::new();
        for (index, condition) in CONDITIONS.iter().enumerate() {
            let mut surroundings = Surroundings::default();
            (condition.change)(&mut surroundings);
            assert_eq!(format!("{surroundings:?}") == plain, index == 0, "{}", condition.name);
            assert!(names.insert(condition.name));
        }
    }
}
