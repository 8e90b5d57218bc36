//! Files that are compared by what they mean, since two correct ones need not have the same bytes.

use std::collections::BTreeMap;

use super::{keystore, linker_cache, manual_index};

/// Names of ids, from a tree's own files.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    users: BTreeMap<u32, String>,
    groups: BTreeMap<u32, String>,
}

impl Accounts {
    /// Reads `passwd` and `group`; lines that are none are of no account.
    pub fn new(passwd: &str, group: &str) -> Self {
        let read = |text: &str| {
            let mut names = BTreeMap::new();
            for line in text.lines() {
                let mut fields = line.split(':');
                let name = fields.next().unwrap_or_default();
                if let Some(id) = fields.nth(1).and_then(|id| id.parse().ok()) {
                    names.entry(id).or_insert_with(|| name.to_owned());
                }
            }
            names
        };
        Self { users: read(passwd), groups: read(group) }
    }

    /// A user's name, or `#ID`; 0 is root everywhere.
    pub fn user(&self, id: u32) -> String {
        named(&self.users, id)
    }

    /// A group's name, or `#ID`; 0 is root everywhere.
    pub fn group(&self, id: u32) -> String {
        named(&self.groups, id)
    }
}

fn named(names: &BTreeMap<u32, String>, id: u32) -> String {
    let unnamed = || if id == 0 { "root".to_owned() } else { format!("#{id}") };
    names.get(&id).cloned().unwrap_or_else(unnamed)
}

/// How a file is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Meaning {
    /// `passwd`: a set of users. Ids that are handed out as packages come (100 and up) are no part of it; groups are names.
    Passwd,
    /// `group`: a set of groups and their sets of members, ids likewise.
    Group,
    /// `shadow`: a set of users; the day of the last change is no part of it, nor which of the ways says that no password
    /// fits.
    Shadow,
    /// `gshadow`: a set of groups and their sets of members, passwords likewise.
    GroupShadow,
    /// Lines without the blanks at their ends.
    TrailingBlanks,
    /// A set of lines.
    LineSet,
    /// Python byte-code: what follows the header, which holds the source's time stamp.
    ByteCode,
    /// `ld.so.cache`: its libraries in their order.
    LinkerCache,
    /// man-db's `index.db`: what it says of each page, but for the page's time stamp.
    ManualIndex,
    /// Java's keystore: its certificates by name.
    Keystore,
    /// A cache of fontconfig, but for the time stamp of the folder that it is for.
    FontCache,
    /// Lines that are no comments.
    Uncommented,
    /// The directory of Info manuals: its sections in their order, each a set of lines.
    InfoDirectory,
}

impl Meaning {
    /// By the name that the table of exceptions uses.
    pub fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "passwd" => Self::Passwd,
            "group" => Self::Group,
            "shadow" => Self::Shadow,
            "gshadow" => Self::GroupShadow,
            "trailing blanks" => Self::TrailingBlanks,
            "line set" => Self::LineSet,
            "byte-code" => Self::ByteCode,
            "linker cache" => Self::LinkerCache,
            "manual index" => Self::ManualIndex,
            "keystore" => Self::Keystore,
            "font cache" => Self::FontCache,
            "no comments" => Self::Uncommented,
            "info directory" => Self::InfoDirectory,
            _ => return None,
        })
    }

    /// What the bytes mean, in a form in which equal things are equal bytes.
    pub fn of(self, bytes: &[u8], accounts: &Accounts) -> Vec<u8> {
        if self == Self::ByteCode {
            // Magic number, flags, then a time stamp and a length or the source's hash: PEP 552.
            let code = bytes.get(16..).map(|code| [&bytes[..4], code].concat());
            return code.unwrap_or_else(|| bytes.to_vec());
        }
        // What cannot be read has no meaning but its bytes.
        let or_bytes = |read: Option<String>| read.map_or_else(|| bytes.to_vec(), String::into_bytes);
        match self {
            Self::LinkerCache => return or_bytes(linker_cache::libraries(bytes)),
            Self::ManualIndex => return or_bytes(manual_index::pages(bytes)),
            Self::Keystore => return or_bytes(keystore::certificates(bytes)),
            Self::FontCache => return without_time(bytes),
            _ => {}
        }
        let Ok(text) = std::str::from_utf8(bytes) else { return bytes.to_vec() };
        let mut lines: Vec<String> = text.lines().map(|line| self.line(line, accounts)).collect();
        match self {
            Self::TrailingBlanks => {
                lines.truncate(lines.iter().rposition(|line| !line.is_empty()).map_or(0, |at| at + 1))
            }
            Self::InfoDirectory => {
                lines.split_mut(String::is_empty).for_each(<[String]>::sort);
            }
            Self::Uncommented => lines.retain(|line| !line.starts_with('#')),
            _ => lines.sort(),
        }
        lines.join("\n").into_bytes()
    }

    fn line(self, line: &str, accounts: &Accounts) -> String {
        let mut fields: Vec<String> = line.split(':').map(str::to_owned).collect();
        let id = |text: &str, name: &dyn Fn(u32) -> String| match text.parse() {
            Ok(id) if is_handed_out(id) => name(id),
            _ => text.to_owned(),
        };
        match (self, fields.len()) {
            (Self::Passwd, 7..) => {
                fields[2] = id(&fields[2], &|_| "-".to_owned());
                fields[3] = id(&fields[3], &|group| accounts.group(group));
                // `/home/a/` names the same directory as `/home/a`.
                if fields[5].len() > 1 {
                    let length = fields[5].trim_end_matches('/').len().max(1);
                    fields[5].truncate(length);
                }
            }
            (Self::Group, 4..) => {
                fields[2] = id(&fields[2], &|_| "-".to_owned());
                fields[3] = sorted(&fields[3]);
            }
            (Self::Shadow, 3..) => {
                fields[1] = password(&fields[1]);
                fields[2] = "day".to_owned();
                if fields.get(3..6).is_some_and(|age| age == ["0", "99999", "7"]) {
                    fields[3..6].fill(String::new());
                }
            }
            (Self::GroupShadow, 4..) => {
                fields[1] = password(&fields[1]);
                fields[2] = sorted(&fields[2]);
                fields[3] = sorted(&fields[3]);
            }
            (Self::TrailingBlanks | Self::LineSet, _) => return line.trim_end().to_owned(),
            _ => return line.to_owned(),
        }
        fields.join(":")
    }
}

/// Ids below 100 are fixed by the distribution, as is `nogroup`'s; those of people begin at 1000.
fn is_handed_out(id: u32) -> bool {
    (100..65534).contains(&id)
}

/// A password, all those that no password fits being one: adduser, systemd-sysusers and base-passwd each write another.
fn password(field: &str) -> String {
    if matches!(field, "*" | "!" | "!*" | "!!") { "*".to_owned() } else { field.to_owned() }
}

/// The head of a cache of fontconfig (`fcint.h`) ends with the seconds and nanoseconds of its folder's time stamp.
fn without_time(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if let Some(time) = bytes.get_mut(48..64) {
        time.fill(0);
    }
    bytes
}

fn sorted(members: &str) -> String {
    let mut members: Vec<&str> = members.split(',').collect();
    members.sort_unstable();
    members.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(meaning: Meaning, a: (&str, &str), b: (&str, &str)) -> bool {
        let of = |(text, group): (&str, &str)| meaning.of(text.as_bytes(), &Accounts::new("", group));
        of(a) == of(b)
    }

    #[test]
    fn users_are_the_same_whatever_ids_they_were_handed() {
        let one = ("a:x:101:105::/a:/bin/sh\nb:x:102:33::/b:/bin/sh\n", "grp:x:105:\n");
        let two = ("b:x:999:33::/b:/bin/sh\na:x:998:998::/a:/bin/sh\n", "grp:x:998:\n");
        assert!(same(Meaning::Passwd, one, two));
    }

    #[test]
    fn users_differ_by_shell_home_group_and_fixed_id() {
        let base = ("a:x:101:105::/a:/bin/sh", "grp:x:105:\n");
        for other in ["a:x:101:105::/a:/bin/false", "a:x:101:105::/b:/bin/sh", "a:x:33:105::/a:/bin/sh"] {
            assert!(!same(Meaning::Passwd, base, (other, "grp:x:105:\n")), "{other}");
        }
        assert!(!same(Meaning::Passwd, base, ("a:x:101:106::/a:/bin/sh", "grp:x:105:\nother:x:106:\n")));
    }

    #[test]
    fn members_are_a_set() {
        assert!(same(Meaning::Group, ("g:x:101:a,b", ""), ("g:x:900:b,a", "")));
        assert!(!same(Meaning::Group, ("g:x:101:a,b", ""), ("g:x:101:a", "")));
        assert!(same(Meaning::GroupShadow, ("g:!:x,y:a,b", ""), ("g:!:y,x:b,a", "")));
    }

    #[test]
    fn of_shadow_the_day_and_the_way_to_fit_no_password_are_left_out() {
        assert!(same(Meaning::Shadow, ("a:!:20000::::::", ""), ("a:!*:3652::::::", "")));
        for fits in ["", "$y$j9T$salt$hash", "!$y$j9T$salt$hash"] {
            assert!(!same(Meaning::Shadow, ("a:!:20000::::::", ""), (&format!("a:{fits}:20000::::::"), "")), "{fits}");
        }
        assert!(same(Meaning::Shadow, ("a:!:20000::::::", ""), ("a:!:20000:0:99999:7:::", "")), "neither ages");
        for ages in ["a:!:20000:0:90:7:::", "a:!:20000:0:99999:7::1:", "a:!:20000:1:99999:7:::"] {
            assert!(!same(Meaning::Shadow, ("a:!:20000::::::", ""), (ages, "")), "{ages}");
        }
    }

    #[test]
    fn order_of_pam_lines_counts_and_blanks_at_their_ends_do_not() {
        assert!(same(Meaning::TrailingBlanks, ("auth x \nauth y\n", ""), ("auth x\nauth y\t\n", "")));
        assert!(!same(Meaning::TrailingBlanks, ("auth x\nauth y", ""), ("auth y\nauth x", "")));
        assert!(same(Meaning::LineSet, ("x\ny", ""), ("y\nx\n", "")));
        assert!(same(Meaning::TrailingBlanks, ("x\n\ny\n", ""), ("x\n\ny\n\n", "")));
        assert!(!same(Meaning::TrailingBlanks, ("x\n\ny\n", ""), ("x\ny\n", "")));
        assert!(same(Meaning::Uncommented, ("# one\nx\ny", ""), ("# two\n# three\nx\ny\n", "")));
        assert!(!same(Meaning::Uncommented, ("x\ny", ""), ("y\nx", "")));
    }

    #[test]
    fn entries_of_an_info_directory_stay_in_their_section() {
        assert!(same(
            Meaning::InfoDirectory,
            ("A\n* x: x.\n* y: y.\n\nB\n* z: z.", ""),
            ("A\n* y: y.\n* x: x.\n\nB\n* z: z.", "")
        ));
        assert!(!same(Meaning::InfoDirectory, ("A\n* x: x.\n\nB\n* z: z.", ""), ("A\n* z: z.\n\nB\n* x: x.", "")));
    }

    #[test]
    fn the_home_of_a_user_is_the_same_with_a_slash_at_its_end() {
        let line = |home: &str| format!("a:x:1:1::{home}:/bin/sh");
        assert!(same(Meaning::Passwd, (&line("/var/lib/a/"), ""), (&line("/var/lib/a"), "")));
        assert!(!same(Meaning::Passwd, (&line("/"), ""), (&line("/var"), "")));
        assert!(same(Meaning::Passwd, (&line("/"), ""), (&line("/"), "")));
    }

    #[test]
    fn of_a_font_cache_only_the_time_stamp_in_its_head_is_left_out() {
        let accounts = Accounts::default();
        let with = |at: usize| {
            let mut bytes = [0; 80];
            bytes[at] = 1;
            Meaning::FontCache.of(&bytes, &accounts)
        };
        assert_eq!(with(48), with(63));
        assert_ne!(with(47), with(48));
        assert_ne!(with(64), with(48));
    }

    #[test]
    fn byte_code_is_what_follows_the_time_stamp() {
        let accounts = Accounts::default();
        let of = |bytes: &[u8]| Meaning::ByteCode.of(bytes, &accounts);
        assert_eq!(of(b"\xf3\r\r\nAAAAtimesizecode"), of(b"\xf3\r\r\nBBBBhashhashcode"));
        assert_ne!(of(b"\xf3\r\r\nAAAAtimesizecode"), of(b"\xf3\r\r\nAAAAtimesizeCODE"));
        assert_ne!(of(b"\xf3\r\r\nAAAAtimesizecode"), of(b"\xcb\r\r\nAAAAtimesizecode"));
        assert_ne!(of(b"\xf3"), of(b"\xcb"));
    }
}
