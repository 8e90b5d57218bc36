//! Reads the facts of a running system: services, files, diversions, kernel parameters, environment, first boot.

use std::collections::BTreeMap;

use super::facts::{Declarer, absolute, mode, parsed, set};
use crate::diagnostic::{Problem, Spanned};
use crate::facts::{Diversion, File, FileContent, FirstBoot, Service};
use crate::project::ProjectPath;
use crate::unit;
use crate::yaml::{Key, Node, Reader};

/// A unit's full name: `nginx` is `nginx.service`.
fn unit_name(reader: &Reader<'_>, key: &Key) -> Option<String> {
    let name = unit::full_name(&key.text);
    if name.is_none() {
        let problem = Problem::new(key.place, format!("`{}` is not a unit's name", key.text));
        reader.report(problem.hint("as in `nginx`, `nginx.service` or `ssh.socket`"));
    }
    name
}

/// Reads services, and where their unit files are.
pub(super) fn services(
    reader: &Reader<'_>,
    node: &Node,
    declarer: Declarer,
    units: &mut BTreeMap<String, Spanned<ProjectPath>>,
) -> Option<BTreeMap<String, Service>> {
    let mut services = BTreeMap::new();
    for (key, node) in reader.entries(node)? {
        let name = unit_name(reader, key);
        let service = service(reader, node, declarer, |path| {
            units.extend(name.clone().map(|name| (name, path)));
        });
        if let (Some(name), Some(service)) = (name, service)
            && services.insert(name, service).is_some()
        {
            reader.wrong(key.place, format!("`{}` is given twice", key.text));
        }
    }
    Some(services)
}

fn service(
    reader: &Reader<'_>,
    node: &Node,
    declarer: Declarer,
    note_unit: impl FnOnce(Spanned<ProjectPath>),
) -> Option<Service> {
    let mut fields = reader.map(node, "a service")?;
    let (unit, enabled) = (fields.take("unit"), fields.take("enabled"));
    let (masked, user) = (fields.take("masked"), fields.take("user"));
    let place = fields.place();
    fields.finish();
    let flag = |node: Option<&Node>| node.and_then(|node| reader.flag(node)).unwrap_or_default();
    let unit = unit.and_then(|node| unit_path(reader, node, declarer));
    let service = Service {
        unit: unit.as_ref().map(|path| path.value.to_string()),
        enabled: flag(enabled),
        masked: flag(masked),
        user: flag(user),
    };
    if service.enabled && service.masked {
        reader.wrong(place, "a service cannot be both `enabled` and `masked`");
    }
    if service.masked && service.unit.is_some() {
        reader.wrong(place, "a masked service needs no `unit`");
    }
    if let Some(unit) = unit {
        note_unit(unit);
    }
    Some(service)
}

/// Where a unit file is: beside a recipe's own file, which need not be the one that inherits it, or from the root.
fn unit_path(reader: &Reader<'_>, node: &Node, declarer: Declarer) -> Option<Spanned<ProjectPath>> {
    let folder = match declarer {
        Declarer::Recipe => reader.sources().path(node.place.file).parse::<ProjectPath>().unwrap_or_default().folder(),
        Declarer::Image => ProjectPath::default(),
        Declarer::Rule => {
            let problem = Problem::new(node.place, "a rule has no files of its own, and so no `unit`");
            reader.report(problem.hint("the unit is in the package already: say `enabled: true`"));
            return None;
        }
    };
    let text = reader.line(node)?;
    match folder.join(&text) {
        Ok(path) => Some(Spanned::new(path, node.place)),
        Err(error) => {
            let problem = Problem::new(node.place, error.to_string());
            reader.report(problem.hint("a path in the project is relative, and does not leave its folder"));
            None
        }
    }
}

/// Reads a file that a rule or recipe declares.
pub(crate) fn file(reader: &Reader<'_>, node: &Node) -> Option<File> {
    let mut fields = reader.map(node, "a declared file")?;
    let copy = fields.take("copy").and_then(|node| absolute(reader, node));
    let content = fields.take("content").and_then(|node| reader.text(node));
    let (owner, group) = (parsed(reader, fields.take("owner")), parsed(reader, fields.take("group")));
    let mode = mode(reader, fields.take("mode"));
    let place = fields.place();
    fields.finish();
    let content = match (copy, content) {
        (Some(template), None) => FileContent::Copy(template),
        (None, Some(text)) => FileContent::Content(text.to_owned()),
        _ => {
            let problem = Problem::new(place, "a declared file has either `copy` or `content`");
            reader.report(problem);
            return None;
        }
    };
    Some(File { content, mode, owner, group })
}

pub(super) fn diversion(reader: &Reader<'_>, node: &Node) -> Option<Diversion> {
    let mut fields = reader.map(node, "a diversion")?;
    let to = fields.require("to");
    fields.finish();
    Some(Diversion { to: absolute(reader, to?)? })
}

pub(super) fn sysctl(reader: &Reader<'_>, node: &Node) -> Option<BTreeMap<String, String>> {
    assignments(reader, node, "a kernel parameter's name", "net.ipv4.ip_forward", |name| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '-' | '_');
        name.chars().all(plain) && name.contains(['.', '/']) && !name.starts_with(['.', '/', '-'])
    })
}

pub(super) fn environment(reader: &Reader<'_>, node: &Node) -> Option<BTreeMap<String, String>> {
    assignments(reader, node, "a variable's name", "LANG", |name| {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit())
    })
}

/// A mapping of names of a certain form to texts of one line.
fn assignments(
    reader: &Reader<'_>,
    node: &Node,
    what: &str,
    example: &str,
    is_name: impl Fn(&str) -> bool,
) -> Option<BTreeMap<String, String>> {
    let mut table = BTreeMap::new();
    for (key, node) in reader.entries(node)? {
        if key.text.is_empty() || !is_name(&key.text) {
            let problem = Problem::new(key.place, format!("`{}` is not {what}", key.text));
            reader.report(problem.hint(format!("as in `{example}`")));
            continue;
        }
        if let Some(value) = reader.line(node) {
            table.insert(key.text.to_string(), value);
        }
    }
    Some(table)
}

pub(super) fn first_boot(reader: &Reader<'_>, node: &Node) -> Option<BTreeMap<String, FirstBoot>> {
    let mut table = BTreeMap::new();
    for (key, node) in reader.entries(node)? {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if key.text.is_empty() || !key.text.chars().all(plain) {
            reader.wrong(key.place, format!("`{}` is not a name of letters, digits, `-` and `_`", key.text));
        }
        if let Some(job) = first_boot_job(reader, node) {
            table.insert(key.text.to_string(), job);
        }
    }
    Some(table)
}

fn first_boot_job(reader: &Reader<'_>, node: &Node) -> Option<FirstBoot> {
    let mut fields = reader.map(node, "what is made at the first boot")?;
    let (summary, command) = (fields.require("summary"), fields.require("command"));
    let (creates, user, before) = (fields.require("creates"), fields.take("user"), fields.take("before"));
    fields.finish();
    let words = command.and_then(|node| {
        let words = reader.each(node, |node| reader.line(node))?;
        if words.first().is_none_or(|program| !program.starts_with('/')) {
            reader.wrong(node.place, "a command begins with the absolute path of its program");
            return None;
        }
        Some(words)
    });
    let summary = summary.and_then(|node| reader.line(node));
    let creates = creates.and_then(|node| absolute(reader, node));
    let (user, before) = (parsed(reader, user), set::<String>(reader, before));
    Some(FirstBoot { summary: summary?, command: words?, creates: creates?, user, before })
}
