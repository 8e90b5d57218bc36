//! Who the command is: the user of the configuration, looked up in the image's own files.

use std::fs;
use std::path::Path;

use crate::RunError;

/// A user, as the image knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
    /// The groups beside it, ascending.
    pub groups: Vec<u32>,
    /// The home directory.
    pub home: String,
}

/// Files of the image larger than this are not user data bases.
const LIMIT: u64 = 16 << 20;

impl Account {
    /// Looks a user up in the checkout of an image. See [`Account::find`] for the form.
    ///
    /// # Errors
    /// When the image has no such user or group.
    pub fn of_image(root: &Path, user: Option<&str>) -> Result<Self, RunError> {
        // A link could lead out of the checkout, so it is no user data base.
        let read = |name: &str| {
            let path = root.join("etc").join(name);
            let plain = fs::symlink_metadata(&path).is_ok_and(|m| m.is_file() && m.len() <= LIMIT)
                && fs::symlink_metadata(root.join("etc")).is_ok_and(|m| m.is_dir());
            if plain {
                fs::read(&path).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default()
            } else {
                String::new()
            }
        };
        Self::find(&read("passwd"), &read("group"), user.unwrap_or("0"))
    }

    /// Looks up `NAME`, `UID`, `NAME:GROUP` or `UID:GID` in the texts of `/etc/passwd` and `/etc/group`.
    ///
    /// # Errors
    /// When a name is not there. A number need not be.
    pub fn find(passwd: &str, group: &str, user: &str) -> Result<Self, RunError> {
        let (name, group_name) = user.split_once(':').map_or((user, None), |(name, group)| (name, Some(group)));
        let rows =
            |text: &str| text.lines().map(|l| l.split(':').map(str::to_owned).collect::<Vec<_>>()).collect::<Vec<_>>();
        let (users, groups) = (rows(passwd), rows(group));
        let number = |row: &[String], field: usize| row.get(field).and_then(|f| f.parse::<u32>().ok());
        let row = users.iter().find(|r| r[0] == name).or_else(|| {
            let uid = name.parse::<u32>().ok()?;
            users.iter().find(|r| number(r, 2) == Some(uid))
        });
        let uid = row.map_or_else(|| name.parse().ok(), |r| number(r, 2));
        let uid = uid.ok_or_else(|| RunError::Account { kind: "user", name: name.to_owned() })?;
        let gid = match group_name {
            None => row.and_then(|r| number(r, 3)).unwrap_or(0),
            Some(wanted) => groups
                .iter()
                .find(|r| r[0] == wanted)
                .and_then(|r| number(r, 2))
                .or_else(|| wanted.parse().ok())
                .ok_or_else(|| RunError::Account { kind: "group", name: wanted.to_owned() })?,
        };
        let login = row.map(|r| r[0].as_str());
        let is_member = |r: &&Vec<String>| r.get(3).is_some_and(|m| m.split(',').any(|m| Some(m) == login));
        let mut others: Vec<u32> =
            groups.iter().filter(is_member).filter_map(|r| number(r, 2)).filter(|g| *g != gid).collect();
        others.sort_unstable();
        others.dedup();
        let home = row.and_then(|r| r.get(5)).filter(|h| h.starts_with('/')).cloned().unwrap_or_else(|| "/".to_owned());
        Ok(Self { uid, gid, groups: others, home })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\npostgres:x:105:110:db:/var/lib/postgresql:/bin/bash\n";
    const GROUP: &str = "root:x:0:\npostgres:x:110:\nssl-cert:x:109:postgres,nginx\nmail:x:8:postgres\n";

    #[test]
    fn finds_users_by_name_and_number() {
        let postgres = Account { uid: 105, gid: 110, groups: vec![8, 109], home: "/var/lib/postgresql".to_owned() };
        assert_eq!(Account::find(PASSWD, GROUP, "postgres").unwrap(), postgres);
        assert_eq!(Account::find(PASSWD, GROUP, "105").unwrap(), postgres);
        assert_eq!(Account::find(PASSWD, GROUP, "postgres:mail").unwrap().gid, 8);
        assert_eq!(
            Account::find(PASSWD, GROUP, "7:9").unwrap(),
            Account { uid: 7, gid: 9, groups: vec![], home: "/".to_owned() }
        );
        assert_eq!(Account::find("", "", "0").unwrap().uid, 0);
    }

    #[test]
    fn names_what_the_image_lacks() {
        assert!(Account::find(PASSWD, GROUP, "nginx").unwrap_err().to_string().contains("user `nginx`"));
        assert!(Account::find(PASSWD, GROUP, "root:nope").unwrap_err().to_string().contains("group `nope`"));
        assert!(Account::find(PASSWD, GROUP, "").is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_files_never_panic(passwd in ".*", group in ".*", user in ".*") {
            let _ = Account::find(&passwd, &group, &user);
        }
    }
}
