//! Which users and groups exist in a user namespace, and who they are outside.
//!
//! Without privilege the kernel lets a process map exactly one id: its own. With `newuidmap` and `newgidmap`, which are
//! set-user-id programs of the machine, the ranges that `/etc/subuid` and `/etc/subgid` give the caller can be mapped too.
//! Root may map what it likes.
//!
//! Sources: user_namespaces(7), subuid(5), newuidmap(1).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Some ids that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first, inside.
    pub inside: u32,
    /// The first, outside.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// The ids of a user namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identities {
    users: Vec<Range>,
    groups: Vec<Range>,
    tools: Option<(PathBuf, PathBuf)>,
}

/// Where the machine's `newuidmap` and its kin are looked for. Not `PATH`: these run with privilege.
const TOOL_FOLDERS: [&str; 3] = ["/usr/bin", "/bin", "/usr/local/bin"];

impl Identities {
    /// One user and one group inside: the caller's own outside. Every file of the caller is theirs, any other file is
    /// nobody's.
    #[must_use]
    pub fn single(uid: u32, gid: u32) -> Self {
        let (caller, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Self {
            users: vec![Range { inside: uid, outside: caller, count: 1 }],
            groups: vec![Range { inside: gid, outside: group, count: 1 }],
            tools: None,
        }
    }

    /// As many users and groups as the caller may have: root's own (as many as this process sees), or for others the
    /// caller as 0 and the ranges of `/etc/subuid` and `/etc/subgid` from 1 up. `None` when there are no ranges or no
    /// tools to map them; the reason is the error's text.
    ///
    /// # Errors
    /// When only [`Identities::single`] can be had.
    pub fn ranges() -> Result<Self, String> {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        if uid == 0 {
            let own = |file: &str| fs::read_to_string(file).map(|t| own_ids(&t)).unwrap_or_default();
            let (users, groups) = (own("/proc/self/uid_map"), own("/proc/self/gid_map"));
            if !users.is_empty() && !groups.is_empty() {
                return Ok(Self { users, groups, tools: None });
            }
            return Err("this process sees no ids in `/proc/self/uid_map`".to_owned());
        }
        let find = |name: &str| TOOL_FOLDERS.iter().map(|f| Path::new(f).join(name)).find(|p| p.exists());
        let (Some(newuidmap), Some(newgidmap)) = (find("newuidmap"), find("newgidmap")) else {
            return Err("`newuidmap` and `newgidmap` are not installed".to_owned());
        };
        let name = fs::read_to_string("/etc/passwd").ok().and_then(|t| name_of(&t, uid)).unwrap_or_default();
        let subordinate = |file: &str| {
            let text = fs::read_to_string(file).unwrap_or_default();
            subordinate_range(&text, &name, uid).ok_or_else(|| format!("`{file}` gives user {uid} no range"))
        };
        let (users, groups) = (subordinate("/etc/subuid")?, subordinate("/etc/subgid")?);
        Ok(Self {
            users: vec![Range { inside: 0, outside: uid, count: 1 }, users],
            groups: vec![Range { inside: 0, outside: gid, count: 1 }, groups],
            tools: Some((newuidmap, newgidmap)),
        })
    }

    /// Is this user there, inside?
    #[must_use]
    pub fn has_user(&self, uid: u32) -> bool {
        self.users.iter().any(|r| uid >= r.inside && uid - r.inside < r.count)
    }

    /// Is this group there, inside?
    #[must_use]
    pub fn has_group(&self, gid: u32) -> bool {
        self.groups.iter().any(|r| gid >= r.inside && gid - r.inside < r.count)
    }

    /// May a process inside set its supplementary groups? The kernel forbids it where the caller could use it to get rid
    /// of a group that takes rights away.
    #[must_use]
    pub fn may_set_groups(&self) -> bool {
        let root = || rustix::process::geteuid().is_root();
        // Root of a user namespace that was made without leave to set groups has no leave to give.
        let denied = || fs::read_to_string("/proc/self/setgroups").is_ok_and(|word| word.trim() == "deny");
        self.tools.is_some() || (root() && !denied())
    }

    /// Writes the maps of a process that is in a new user namespace and has none yet.
    pub(crate) fn write(&self, pid: u32) -> io::Result<()> {
        let place = |name: &str| PathBuf::from(format!("/proc/{pid}/{name}"));
        let lines = |ranges: &[Range]| {
            ranges.iter().map(|r| format!("{} {} {}\n", r.inside, r.outside, r.count)).collect::<String>()
        };
        let Some((newuidmap, newgidmap)) = &self.tools else {
            if !self.may_set_groups() {
                fs::write(place("setgroups"), "deny")?;
            }
            fs::write(place("gid_map"), lines(&self.groups))?;
            return fs::write(place("uid_map"), lines(&self.users));
        };
        for (tool, ranges) in [(newgidmap, &self.groups), (newuidmap, &self.users)] {
            let mut command = Command::new(tool);
            command.arg(pid.to_string());
            for range in ranges {
                command.args([range.inside, range.outside, range.count].map(|n| n.to_string()));
            }
            let output = command.output()?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                return Err(io::Error::other(format!("`{}` refused: {said}", tool.display())));
            }
        }
        Ok(())
    }
}

/// The ids this process sees, each mapped to itself.
fn own_ids(map: &str) -> Vec<Range> {
    let line = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let inside = fields.next()?.parse().ok()?;
        let count: u32 = fields.nth(1)?.parse().ok()?;
        Some(Range { inside, outside: inside, count })
    };
    map.lines().filter_map(line).collect()
}

/// The name of a user id in the text of `/etc/passwd`.
fn name_of(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// The largest range that `/etc/subuid` gives a user, by name or number, as ids from 1 up.
fn subordinate_range(text: &str, name: &str, uid: u32) -> Option<Range> {
    let line = |line: &str| {
        let mut fields = line.split(':');
        let owner = fields.next()?;
        let outside: u32 = fields.next()?.trim().parse().ok()?;
        let count: u32 = fields.next()?.trim().parse().ok()?;
        let theirs = (!name.is_empty() && owner == name) || owner.parse() == Ok(uid);
        let fits = count > 0 && outside.checked_add(count).is_some();
        (theirs && fits).then_some(Range { inside: 1, outside, count })
    };
    text.lines().filter_map(line).max_by_key(|r| r.count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn finds_the_range_of_a_user_by_name_or_number() {
        let text = "alice:100000:65536\n1001:300000:10\nbob:1:0\n";
        assert_eq!(subordinate_range(text, "alice", 7), Some(Range { inside: 1, outside: 100_000, count: 65536 }));
        assert_eq!(subordinate_range(text, "carol", 1001), Some(Range { inside: 1, outside: 300_000, count: 10 }));
        assert_eq!(subordinate_range(text, "bob", 8), None, "an empty range is none");
        assert_eq!(subordinate_range(text, "", 9), None);
        assert_eq!(name_of("root:x:0:0::/:\nalice:x:7:7::/:\n", 7).as_deref(), Some("alice"));
    }

    #[test]
    fn one_identity_is_one_user_only() {
        let one = Identities::single(1000, 1000);
        assert!(one.has_user(1000) && one.has_group(1000));
        assert!(!one.has_user(0) && !one.has_user(1001));
    }

    proptest! {
        #[test]
        fn arbitrary_files_never_panic(text in ".*", name in "[a-z]*", uid: u32) {
            let _ = (subordinate_range(&text, &name, uid), name_of(&text, uid), own_ids(&text));
        }
    }
}
