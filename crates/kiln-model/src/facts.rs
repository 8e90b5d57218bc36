//! Facts: declared statements that replace hooks. One vocabulary for recipes, images and imported packages.
//!
//! Facts name owners by name; numbers are given only when the image is composed. Their canonical form is the JSON that
//! [`Facts::canonical`] writes: keys sorted, absent fields left out.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::TreePath;
use crate::name::AccountName;

/// Permission bits as people write them: a string of octal digits, `"0755"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mode(u16);

impl Mode {
    /// From bits; those outside 0o7777 are dropped.
    #[must_use]
    pub const fn new(bits: u16) -> Self {
        Self(bits & 0o7777)
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }
}

impl std::str::FromStr for Mode {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<Self, ModeError> {
        let octal = (3..=5).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'0'..=b'7'));
        match u16::from_str_radix(text, 8) {
            Ok(bits) if octal && bits <= 0o7777 => Ok(Self(bits)),
            _ => Err(ModeError(text.chars().take(40).collect())),
        }
    }
}

/// Why a text is not a mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a mode: octal digits in quotes, for example \"0755\"")]
pub struct ModeError(String);

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl Serialize for Mode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Mode {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Mode".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-7]{3,5}$", "description": "Octal permission bits, \"0755\"" })
    }
}

/// A user of the image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Numeric id; one is allotted and locked when none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u32>,
    /// Primary group; by default a group of the same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<AccountName>,
    /// Further groups.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<AccountName>,
    /// Home directory; `/nonexistent` by default. Not created: declare it under `directories`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<TreePath>,
    /// Login shell; `/usr/sbin/nologin` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<TreePath>,
    /// What the user is for: the GECOS field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

/// A group of the image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Numeric id; one is allotted and locked when none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u32>,
    /// Users that belong to it besides those who say so themselves.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub members: BTreeSet<AccountName>,
}

/// A directory to exist, whether or not a package ships it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// Owner; `root` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<AccountName>,
    /// Group; `root` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<AccountName>,
    /// Mode; `"0755"` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
}

/// Owner, mode and capabilities of a path that a package ships.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Permission {
    /// Owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<AccountName>,
    /// Group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<AccountName>,
    /// Mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// File capabilities, permitted and effective: `cap_net_bind_service`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub capabilities: BTreeSet<String>,
    /// Other extended attributes: full name to hexadecimal value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub xattrs: BTreeMap<String, String>,
}

/// One candidate for a generic name, as `update-alternatives` knows it. Of several, the highest priority wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alternative {
    /// The program behind the generic name.
    pub to: TreePath,
    /// The highest wins.
    pub priority: i32,
    /// The name in `/etc/alternatives`; by default the last component of the generic path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Links that move together with this one, by generic path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub slaves: BTreeMap<TreePath, Slave>,
}

/// A link that follows an alternative.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slave {
    /// Where it leads when the alternative wins.
    pub to: TreePath,
    /// The name in `/etc/alternatives`; by default the last component of the generic path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A service of the image: a unit of systemd, by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The unit file, relative to the recipe or the project; none when a package ships it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Start it at boot?
    #[serde(default)]
    pub enabled: bool,
    /// Can nothing start it?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub masked: bool,
    /// A unit that every user's own manager runs, not the system's?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub user: bool,
}

/// A file to exist, made where none is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct File {
    /// Its content.
    #[serde(flatten)]
    pub content: FileContent,
    /// Mode; by default that of the file it is a copy of, or `"0644"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Owner; `root` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<AccountName>,
    /// Group; `root` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<AccountName>,
}

/// Where the content of a declared file comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileContent {
    /// This text.
    Content(String),
    /// The file at this path of the image.
    Copy(TreePath),
}

/// A file of other packages that is moved aside, so that the one who declares this can have its path: dpkg-divert(1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Diversion {
    /// Where the others' file goes.
    pub to: TreePath,
}

/// What can only be made on the machine itself, once: a key, a database cluster, an identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FirstBoot {
    /// What it makes, in a line.
    pub summary: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// What is there once it is done: it does not run again then.
    pub creates: TreePath,
    /// The user that it runs as; `root` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<AccountName>,
    /// Units that it must be done before.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub before: BTreeSet<String>,
}

/// A device node or named pipe.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceNode {
    /// Which kind.
    pub kind: DeviceKind,
    /// Major number; 0 for a pipe.
    #[serde(default)]
    pub major: u32,
    /// Minor number; 0 for a pipe.
    #[serde(default)]
    pub minor: u32,
    /// Owner; `root` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<AccountName>,
    /// Group; `root` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<AccountName>,
    /// Mode; `"0600"` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
}

/// Kinds of device nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// A character device.
    Character,
    /// A block device.
    Block,
    /// A named pipe.
    Fifo,
}

/// Everything a package or an image declares.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// Users by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub users: BTreeMap<AccountName, User>,
    /// Groups by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<AccountName, Group>,
    /// Directories by path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub directories: BTreeMap<TreePath, Directory>,
    /// Symbolic links: path to target as written.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<TreePath, String>,
    /// Alternatives by generic path. More than one candidate for a path comes from more than one package.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub alternatives: BTreeMap<TreePath, Alternative>,
    /// Owner, mode, capabilities by path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub permissions: BTreeMap<TreePath, Permission>,
    /// Services by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<String, Service>,
    /// Device nodes by path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub devices: BTreeMap<TreePath, DeviceNode>,
    /// Files by path, made where nothing is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<TreePath, File>,
    /// Files of others that are moved aside, by path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub diversions: BTreeMap<TreePath, Diversion>,
    /// Kernel parameters by name: sysctl.d(5).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctl: BTreeMap<String, String>,
    /// Variables of every session: pam_env(8), environment.d(5).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Programs that a user may have as login shell: shells(5).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub shells: BTreeSet<TreePath>,
    /// What is made on the machine, at its first boot, by name.
    #[serde(default, rename = "first-boot", skip_serializing_if = "BTreeMap::is_empty")]
    pub first_boot: BTreeMap<String, FirstBoot>,
}

impl Facts {
    /// Adds what `stronger` says. Where both speak of one thing, its word stands.
    pub fn overlay(&mut self, stronger: Self) {
        let Self {
            users,
            groups,
            directories,
            links,
            alternatives,
            permissions,
            services,
            devices,
            files,
            diversions,
            sysctl,
            environment,
            shells,
            first_boot,
        } = stronger;
        self.users.extend(users);
        self.groups.extend(groups);
        self.directories.extend(directories);
        self.links.extend(links);
        self.alternatives.extend(alternatives);
        self.permissions.extend(permissions);
        self.services.extend(services);
        self.devices.extend(devices);
        self.files.extend(files);
        self.diversions.extend(diversions);
        self.sysctl.extend(sysctl);
        self.environment.extend(environment);
        self.shells.extend(shells);
        self.first_boot.extend(first_boot);
    }

    /// Says nothing?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The canonical bytes.
    ///
    /// # Panics
    /// Never: every field is a map with text keys.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("facts are maps of texts and numbers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_bytes_read_back() {
        let mut facts = Facts::default();
        let path = |t: &str| t.parse::<TreePath>().unwrap();
        facts.users.insert("nginx".parse().unwrap(), User { home: Some(path("var/lib/nginx")), ..User::default() });
        facts.permissions.insert(
            path("usr/bin/wall"),
            Permission { group: Some("tty".parse().unwrap()), mode: Some(Mode::new(0o2755)), ..Permission::default() },
        );
        let bytes = facts.canonical();
        assert_eq!(serde_json::from_slice::<Facts>(&bytes).unwrap(), facts);
        assert!(String::from_utf8(bytes).unwrap().contains("\"2755\""));
    }

    #[test]
    fn a_mode_is_octal_text() {
        assert_eq!("0755".parse::<Mode>().unwrap().bits(), 0o755);
        assert_eq!("4755".parse::<Mode>().unwrap().to_string(), "4755");
        for bad in ["", "9", "0x1ff", "77777", "7", "+755"] {
            assert!(bad.parse::<Mode>().is_err(), "{bad}");
        }
    }
}
