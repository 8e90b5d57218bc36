//! The accounts of `base-passwd`'s tables, which every Debian system has.

use crate::payload::FixedAccounts;

pub(super) const FIXED: FixedAccounts = FixedAccounts { users: USERS, groups: GROUPS };

const USERS: &[(u32, &str)] = &[
    (0, "root"),
    (1, "daemon"),
    (2, "bin"),
    (3, "sys"),
    (4, "sync"),
    (5, "games"),
    (6, "man"),
    (7, "lp"),
    (8, "mail"),
    (9, "news"),
    (10, "uucp"),
    (13, "proxy"),
    (33, "www-data"),
    (34, "backup"),
    (38, "list"),
    (39, "irc"),
    (42, "_apt"),
    (65534, "nobody"),
];

const GROUPS: &[(u32, &str)] = &[
    (0, "root"),
    (1, "daemon"),
    (2, "bin"),
    (3, "sys"),
    (4, "adm"),
    (5, "tty"),
    (6, "disk"),
    (7, "lp"),
    (8, "mail"),
    (9, "news"),
    (10, "uucp"),
    (12, "man"),
    (13, "proxy"),
    (15, "kmem"),
    (20, "dialout"),
    (21, "fax"),
    (22, "voice"),
    (24, "cdrom"),
    (25, "floppy"),
    (26, "tape"),
    (27, "sudo"),
    (29, "audio"),
    (30, "dip"),
    (33, "www-data"),
    (34, "backup"),
    (37, "operator"),
    (38, "list"),
    (39, "irc"),
    (40, "src"),
    (42, "shadow"),
    (43, "utmp"),
    (44, "video"),
    (45, "sasl"),
    (46, "plugdev"),
    (50, "staff"),
    (60, "games"),
    (100, "users"),
    (65534, "nogroup"),
];

#[cfg(test)]
mod tests {
    #[test]
    fn every_name_is_one_and_numbers_are_in_order() {
        assert!(super::FIXED.is_sound());
    }
}
