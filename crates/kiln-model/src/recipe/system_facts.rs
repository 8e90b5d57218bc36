//! Reads the facts of a running system: services, files, diversions, kernel parameters, environment, first boot.

use std::collections::BTreeMap;

use super::facts::{absolute, mode, parsed, set};
use crate::diagnostic::Problem;
use crate::facts::{Diversion, File, FileContent, FirstBoot, Service};
use crate::yaml::{Key, Node, Reader};

/// Kinds of units that can be enabled by name: systemd.unit(5).
const UNITS: &[&str] = &["service", "socket", "target", "timer", "path", "mount", "automount", "swap", "slice"];

/// A unit's full name: `nginx` is `nginx.service`.
fn unit_name(reader: &Reader<'_>, key: &Key) -> Option<String> {
    let text = &*key.text;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_' | '.' | '\\' | '@');
    if text.is_empty() || text.len() > 255 || !text.chars().all(plain) || text.starts_with('.') {
        let problem = Problem::new(key.place, format!("`{text}` is not a unit's name"));
        reader.report(problem.hint("as in `nginx`, `nginx.service` or `ssh.socket`"));
        return None;
    }
    let has_kind = text.rsplit_once('.').is_some_and(|(stem, kind)| !stem.is_empty() && UNITS.contains(&kind));
    Some(if has_kind { text.to_owned() } else { format!("{text}.service") })
}

pub(super) fn services(reader: &Reader<'_>, node: &Node) -> Option<BTreeMap<String, Service>> {
    let mut services = BTreeMap::new();
    for (key, node) in reader.entries(node)? {
        let (name, service) = (unit_name(reader, key), service(reader, node));
        if let (Some(name), Some(service)) = (name, service)
            && services.insert(name, service).is_some()
        {
            reader.wrong(key.place, format!("`{}` is given twice", key.text));
        }
    }
    Some(services)
}

fn service(reader: &Reader<'_>, node: &Node) -> Option<Service> {
    let mut fields = reader.map(node, "a service")?;
    let (unit, enabled) = (fields.take("unit"), fields.take("enabled"));
    let (masked, user) = (fields.take("masked"), fields.take("user"));
    let place = fields.place();
    fields.finish();
    let flag = |node: Option<&Node>| node.and_then(|node| reader.flag(node)).unwrap_or_default();
    let unit = unit.and_then(|node| reader.parse::<crate::project::ProjectPath>(node));
    let service = Service {
        unit: unit.map(|path| path.value.to_string()),
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
    Some(service)
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
