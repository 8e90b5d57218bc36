//! How an image runs as a container: the words of an OCI image's configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::TreePath;
use crate::diagnostic::Problem;
use crate::name::AccountName;
use crate::recipe::absolute;
use crate::template::Scope;
use crate::yaml::{Key, Node, Reader, did_you_mean};

/// How an image runs as a container.
#[derive(Debug, Clone, PartialEq, Eq, Default, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Run {
    /// The program and its arguments.
    #[schemars(default)]
    pub command: Vec<String>,
    /// A program that gets the command as arguments.
    #[schemars(default)]
    pub entrypoint: Vec<String>,
    /// Whom it runs as: `NAME`, `NAME:GROUP`, `UID` or `UID:GID`; `root` by default.
    pub user: Option<String>,
    /// Environment variables.
    #[schemars(default)]
    pub env: BTreeMap<String, String>,
    /// The folder it starts in; `/` by default.
    pub workdir: Option<TreePath>,
    /// What it listens on.
    #[schemars(default)]
    pub ports: BTreeSet<Port>,
    /// Folders that outlive the container.
    #[schemars(default)]
    pub volumes: BTreeSet<TreePath>,
    /// The signal that asks it to stop; `SIGTERM` by default.
    pub stop_signal: Option<String>,
    /// Labels of the image.
    #[schemars(default)]
    pub labels: BTreeMap<String, String>,
}

/// A port that a container listens on: `8080`, `53/udp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// The number.
    pub number: u16,
    /// The protocol.
    pub protocol: Protocol,
}

/// Protocols with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Why a text is not a port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a port of the container: a number from 1 to 65535, perhaps with `/tcp` or `/udp`")]
pub struct PortError(String);

impl FromStr for Port {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        let (number, protocol) = match text.split_once('/') {
            None | Some((_, "tcp")) => (text.strip_suffix("/tcp").unwrap_or(text), Protocol::Tcp),
            Some((number, "udp")) => (number, Protocol::Udp),
            Some(_) => ("", Protocol::Tcp),
        };
        let digits = number.bytes().all(|b| b.is_ascii_digit());
        match number.parse() {
            Ok(number @ 1..) if digits => Ok(Self { number, protocol }),
            _ => Err(PortError(text.chars().take(40).collect())),
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        write!(f, "{}/{protocol}", self.number)
    }
}

impl JsonSchema for Port {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Port".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": 1, "maximum": 65535 },
            { "type": "string", "pattern": "^[0-9]{1,5}(/(tcp|udp))?$" },
        ] })
    }
}

/// The signals that may stop a container.
const SIGNALS: &[&str] =
    &["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGKILL", "SIGWINCH", "SIGABRT", "SIGRTMIN+3"];

impl Run {
    pub(super) fn read(reader: &Reader<'_>, scope: &Scope, node: &Node) -> Option<Self> {
        let mut fields = reader.map(node, "`run`")?;
        let (command, entrypoint) = (fields.take("command"), fields.take("entrypoint"));
        let (user, env, workdir) = (fields.take("user"), fields.take("env"), fields.take("workdir"));
        let (ports, volumes) = (fields.take("ports"), fields.take("volumes"));
        let (stop_signal, labels) = (fields.take("stop-signal"), fields.take("labels"));
        fields.finish();
        let words = |node: Option<&Node>| {
            let words = node.and_then(|node| reader.each(node, |item| scope.text(reader, item))).unwrap_or_default();
            if let (Some(node), Some(first)) = (node, words.first())
                && first.is_empty()
            {
                reader.wrong(node.place, "the program's name is empty");
            }
            words
        };
        let ports = ports.and_then(|node| reader.each_as::<Port>(node)).unwrap_or_default();
        crate::project::reject_doubles(reader, &ports);
        let volumes = volumes.and_then(|node| reader.each(node, |item| absolute(reader, item))).unwrap_or_default();
        let stop_signal = stop_signal.and_then(|node| {
            let text = reader.text(node)?;
            if !SIGNALS.contains(&text) {
                let hint = did_you_mean(text, "there are", SIGNALS.iter().copied());
                reader
                    .report(Problem::new(node.place, format!("`{text}` is not a signal to stop by")).maybe_hint(hint));
            }
            Some(text.to_owned())
        });
        let env = env.and_then(|node| {
            reader.table::<String, String>(node, |key, value| {
                let sound = !key.text.is_empty()
                    && !key.text.starts_with(|c: char| c.is_ascii_digit())
                    && key.text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
                if !sound {
                    reader.wrong(key.place, format!("`{}` cannot be the name of an environment variable", key.text));
                }
                without_nul(reader, value, scope.text(reader, value)?)
            })
        });
        let labels =
            labels.and_then(|node| reader.table::<String, String>(node, |key, value| label(reader, scope, key, value)));
        Some(Self {
            command: words(command),
            entrypoint: words(entrypoint),
            user: user.and_then(|node| account(reader, node)),
            env: env.unwrap_or_default(),
            workdir: workdir.and_then(|node| absolute(reader, node)),
            ports: ports.into_iter().map(|port| port.value).collect(),
            volumes: volumes.into_iter().collect(),
            stop_signal,
            labels: labels.unwrap_or_default(),
        })
    }
}

fn without_nul(reader: &Reader<'_>, node: &Node, text: String) -> Option<String> {
    if text.contains('\0') {
        reader.wrong(node.place, "a NUL byte cannot be in here");
        return None;
    }
    Some(text)
}

fn label(reader: &Reader<'_>, scope: &Scope, key: &Key, value: &Node) -> Option<String> {
    // Kiln writes these itself, from what it knows to be true.
    if let Some(name) = key.text.strip_prefix("org.opencontainers.image.")
        && ["created", "revision", "ref.name", "base.digest", "base.name"].contains(&name)
    {
        reader.wrong(key.place, format!("the label `{}` is Kiln's own to write", key.text));
    }
    scope.text(reader, value)
}

fn account(reader: &Reader<'_>, node: &Node) -> Option<String> {
    let text = reader.text(node)?;
    let sound = |part: &str| {
        let number = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if number { part.parse::<u32>().is_ok() } else { part.parse::<AccountName>().is_ok() }
    };
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    if sound(user) && group.is_none_or(sound) {
        return Some(text.to_owned());
    }
    let problem = Problem::new(node.place, format!("`{text}` is not a user"));
    reader.report(problem.hint("`NAME`, `NAME:GROUP`, `UID` or `UID:GID`"));
    None
}
