//! Reads facts with places. Recipes, images and rules declare the same [`Facts`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;

use super::system_facts;
use crate::TreePath;
use crate::diagnostic::{Problem, Spanned};
use crate::facts::{Alternative, DeviceKind, DeviceNode, Directory, Facts, Group, Mode, Permission, Slave, User};
use crate::name::AccountName;
use crate::project::ProjectPath;
use crate::yaml::{Key, Node, Reader};

/// Who declares facts: it decides where their files are, and what cannot be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declarer {
    /// A recipe: its files are beside it.
    Recipe,
    /// An image: its files are named from the project's root.
    Image,
    /// A rule: it has no files.
    Rule,
}

/// What a `facts:` mapping says.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    /// The facts.
    pub facts: Facts,
    /// The unit files of its services, from the project's root, by the unit's full name.
    pub units: BTreeMap<String, Spanned<ProjectPath>>,
}

/// Reads a `facts:` mapping.
pub fn read_facts(reader: &Reader<'_>, node: &Node, declarer: Declarer) -> Option<Declared> {
    let mut fields = reader.map(node, "`facts`")?;
    let (users, groups) = (fields.take("users"), fields.take("groups"));
    let (directories, links) = (fields.take("directories"), fields.take("links"));
    let (alternatives, permissions) = (fields.take("alternatives"), fields.take("permissions"));
    let devices = fields.take("devices");
    if declarer == Declarer::Image
        && let Some((key, _)) = fields.entry("files")
    {
        let problem = Problem::new(key.place, "an image has its files under `files:`, not among its facts");
        reader.report(problem.hint("move them to the `files:` of the image: `/path: { content: TEXT }`"));
    }
    let (services, files, diversions) = (fields.take("services"), fields.take("files"), fields.take("diversions"));
    let (sysctl, environment) = (fields.take("sysctl"), fields.take("environment"));
    let (shells, first_boot) = (fields.take("shells"), fields.take("first-boot"));
    fields.finish();
    let mut units = BTreeMap::new();
    let services = services.and_then(|node| system_facts::services(reader, node, declarer, &mut units));
    let facts = Facts {
        users: named(reader, users, user),
        groups: named(reader, groups, group),
        directories: by_path(reader, directories, directory),
        links: by_path(reader, links, |reader, node| {
            let target = reader.line(node)?;
            Some(target)
        }),
        alternatives: by_path(reader, alternatives, alternative),
        permissions: by_path(reader, permissions, permission),
        services: services.unwrap_or_default(),
        devices: by_path(reader, devices, device),
        files: by_path(reader, files, system_facts::file),
        diversions: by_path(reader, diversions, system_facts::diversion),
        sysctl: sysctl.and_then(|node| system_facts::sysctl(reader, node)).unwrap_or_default(),
        environment: environment.and_then(|node| system_facts::environment(reader, node)).unwrap_or_default(),
        shells: shells
            .and_then(|node| reader.each(node, |node| absolute(reader, node)))
            .unwrap_or_default()
            .into_iter()
            .collect(),
        first_boot: first_boot.and_then(|node| system_facts::first_boot(reader, node)).unwrap_or_default(),
    };
    Some(Declared { facts, units })
}

fn named<V>(
    reader: &Reader<'_>,
    node: Option<&Node>,
    read: impl Fn(&Reader<'_>, &Node) -> Option<V>,
) -> BTreeMap<AccountName, V> {
    node.and_then(|node| reader.table(node, |_, value| read(reader, value))).unwrap_or_default()
}

fn by_path<V>(
    reader: &Reader<'_>,
    node: Option<&Node>,
    read: impl Fn(&Reader<'_>, &Node) -> Option<V>,
) -> BTreeMap<TreePath, V> {
    node.and_then(|node| read_by_path(reader, node, |_, value| read(reader, value))).unwrap_or_default()
}

/// Reads a mapping whose keys are absolute paths in the image. Two spellings of one path are an error.
pub(crate) fn read_by_path<V>(
    reader: &Reader<'_>,
    node: &Node,
    mut read: impl FnMut(&Key, &Node) -> Option<V>,
) -> Option<BTreeMap<TreePath, V>> {
    let mut table = BTreeMap::new();
    for (key, value) in reader.entries(node)? {
        let value = read(key, value);
        let path = match TreePath::from_absolute(key.text.trim_end_matches('/')) {
            Ok(path) if !path.is_root() => path,
            Ok(_) => {
                reader.wrong(key.place, "this is the root of the image itself");
                continue;
            }
            Err(error) => {
                reader.wrong(key.place, error.to_string());
                continue;
            }
        };
        if let Some(value) = value
            && table.insert(path, value).is_some()
        {
            reader.wrong(key.place, format!("`{}` is given twice", key.text));
        }
    }
    Some(table)
}

pub(crate) fn absolute(reader: &Reader<'_>, node: &Node) -> Option<TreePath> {
    let text = reader.text(node)?;
    match TreePath::from_absolute(text) {
        Ok(path) => Some(path),
        Err(error) => {
            reader.wrong(node.place, error.to_string());
            None
        }
    }
}

pub(super) fn parsed<T: FromStr<Err: Display>>(reader: &Reader<'_>, node: Option<&Node>) -> Option<T> {
    node.and_then(|node| reader.parse::<T>(node)).map(|value| value.value)
}

pub(crate) fn mode(reader: &Reader<'_>, node: Option<&Node>) -> Option<Mode> {
    parsed(reader, node)
}

pub(super) fn set<T: FromStr<Err: Display> + Ord>(reader: &Reader<'_>, node: Option<&Node>) -> BTreeSet<T> {
    let items = node.and_then(|node| reader.each_as::<T>(node)).unwrap_or_default();
    let mut set = BTreeSet::new();
    for item in items {
        let place = item.place;
        if !set.insert(item.value) {
            reader.wrong(place, "this is given twice");
        }
    }
    set
}

fn user(reader: &Reader<'_>, node: &Node) -> Option<User> {
    let mut fields = reader.map(node, "a user")?;
    let (id, group, groups) = (fields.take("id"), fields.take("group"), fields.take("groups"));
    let (home, shell, summary) = (fields.take("home"), fields.take("shell"), fields.take("summary"));
    fields.finish();
    let summary = summary.and_then(|node| {
        let text = reader.line(node)?;
        // The field ends at a colon in /etc/passwd, and a comma begins the next subfield.
        if text.contains([':', ',']) {
            reader.wrong(node.place, "a user's summary cannot contain `:` or `,`");
        }
        Some(text)
    });
    Some(User {
        id: id.and_then(|node| account_id(reader, node)),
        group: parsed(reader, group),
        groups: set(reader, groups),
        home: home.and_then(|node| absolute(reader, node)),
        shell: shell.and_then(|node| absolute(reader, node)),
        summary,
    })
}

fn account_id(reader: &Reader<'_>, node: &Node) -> Option<u32> {
    let id = reader.number::<u32>(node)?;
    // 65535 is -1 for programs with 16-bit ids, 4294967295 for all: neither names an account.
    if matches!(id, 65_535 | u32::MAX) {
        reader.wrong(node.place, format!("{id} is reserved and names no account"));
        return None;
    }
    Some(id)
}

fn group(reader: &Reader<'_>, node: &Node) -> Option<Group> {
    let mut fields = reader.map(node, "a group")?;
    let (id, members) = (fields.take("id"), fields.take("members"));
    fields.finish();
    Some(Group { id: id.and_then(|node| account_id(reader, node)), members: set(reader, members) })
}

fn directory(reader: &Reader<'_>, node: &Node) -> Option<Directory> {
    let mut fields = reader.map(node, "a directory")?;
    let (owner, group, bits) = (fields.take("owner"), fields.take("group"), fields.take("mode"));
    fields.finish();
    Some(Directory { owner: parsed(reader, owner), group: parsed(reader, group), mode: mode(reader, bits) })
}

fn permission(reader: &Reader<'_>, node: &Node) -> Option<Permission> {
    let mut fields = reader.map(node, "a permission")?;
    let (owner, group, bits) = (fields.take("owner"), fields.take("group"), fields.take("mode"));
    let (capabilities, xattrs) = (fields.take("capabilities"), fields.take("xattrs"));
    fields.finish();
    let capabilities = capabilities.and_then(|node| {
        reader.each(node, |item| {
            let text = reader.text(item)?;
            let rest = text.strip_prefix("cap_").unwrap_or_default();
            if rest.is_empty() || !rest.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
                let problem = Problem::new(item.place, format!("`{text}` is not a capability"));
                reader.report(problem.hint("as in `cap_net_bind_service`"));
                return None;
            }
            Some(text.to_owned())
        })
    });
    let xattrs = xattrs.and_then(|node| {
        reader.table::<String, String>(node, |key, value| {
            if !key.text.contains('.') {
                let problem = Problem::new(key.place, format!("`{}` is not an attribute's full name", key.text));
                reader.report(problem.hint("as in `user.note`"));
            }
            let text = reader.text(value)?;
            if hex::decode(text).is_err() {
                reader.wrong(value.place, "an attribute's value is written in hexadecimal digits");
                return None;
            }
            Some(text.to_ascii_lowercase())
        })
    });
    Some(Permission {
        owner: parsed(reader, owner),
        group: parsed(reader, group),
        mode: mode(reader, bits),
        capabilities: capabilities.unwrap_or_default().into_iter().collect(),
        xattrs: xattrs.unwrap_or_default(),
    })
}

fn alternative(reader: &Reader<'_>, node: &Node) -> Option<Alternative> {
    let mut fields = reader.map(node, "an alternative")?;
    let (to, priority) = (fields.require("to"), fields.require("priority"));
    let (name, slaves) = (fields.take("name"), fields.take("slaves"));
    fields.finish();
    let to = to.and_then(|node| absolute(reader, node));
    let priority = priority.and_then(|node| reader.number::<i32>(node));
    let name = name.and_then(|node| component(reader, node));
    let slaves = by_path(reader, slaves, |reader, node| {
        let mut fields = reader.map(node, "an alternative's follower")?;
        let (to, name) = (fields.require("to"), fields.take("name"));
        fields.finish();
        Some(Slave { to: absolute(reader, to?)?, name: name.and_then(|node| component(reader, node)) })
    });
    Some(Alternative { to: to?, priority: priority?, name, slaves })
}

fn component(reader: &Reader<'_>, node: &Node) -> Option<String> {
    let text = reader.line(node)?;
    match TreePath::root().join(&text) {
        Ok(_) => Some(text),
        Err(error) => {
            reader.wrong(node.place, error.to_string());
            None
        }
    }
}

fn device(reader: &Reader<'_>, node: &Node) -> Option<DeviceNode> {
    let mut fields = reader.map(node, "a device")?;
    let kind = fields.require("kind");
    let (major, minor) = (fields.take("major"), fields.take("minor"));
    let (owner, group, bits) = (fields.take("owner"), fields.take("group"), fields.take("mode"));
    fields.finish();
    let kinds = [("character", DeviceKind::Character), ("block", DeviceKind::Block), ("fifo", DeviceKind::Fifo)];
    let kind = kind.and_then(|node| reader.word(node, "a kind of device", &kinds))?;
    for (name, number) in [("major", major), ("minor", minor)] {
        match (kind, number) {
            (DeviceKind::Fifo, Some(node)) => reader.wrong(node.place, "a pipe has no numbers"),
            (DeviceKind::Character | DeviceKind::Block, None) => {
                reader.wrong(node.place, format!("`{name}` is missing from a device"));
            }
            _ => {}
        }
    }
    let number = |node: Option<&Node>| node.and_then(|node| reader.number::<u32>(node)).unwrap_or_default();
    Some(DeviceNode {
        kind,
        major: number(major),
        minor: number(minor),
        owner: parsed(reader, owner),
        group: parsed(reader, group),
        mode: mode(reader, bits),
    })
}
