//! What an image is besides its files: its name, how it runs, where it came from. Values in, checked once by
//! [`ImageSpec::check`]; nothing here is read from anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use kiln_model::{Architecture, ImageName, TreePath};

/// An image but for its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSpec {
    /// Its name: also the tag inside an image layout, and the stem of every output's file name.
    pub name: ImageName,
    /// What it runs on.
    pub architecture: Architecture,
    /// How it runs.
    pub config: ImageConfig,
    /// Where it came from.
    pub source: SourceLabel,
}

/// How an image runs as a container, in the terms of the OCI image configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// The program and its first arguments; what a user gives on the command line comes after them.
    pub entrypoint: Vec<String>,
    /// The program, or the default arguments to the entrypoint.
    pub command: Vec<String>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// `user`, `user:group`, `uid` or `uid:gid`; root when absent.
    pub user: Option<String>,
    /// The working directory; the root when absent.
    pub workdir: Option<TreePath>,
    /// Ports that it listens on.
    pub ports: BTreeSet<Port>,
    /// Directories that hold data to outlive the container.
    pub volumes: BTreeSet<TreePath>,
    /// The signal that stops it in order; `SIGTERM` when absent.
    pub stop_signal: Option<String>,
    /// Labels, which win over those made from [`SourceLabel`].
    pub labels: BTreeMap<String, String>,
}

/// Where an image came from. It goes into labels and annotations, never into a layer: another commit with the same
/// files has the same layers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceLabel {
    /// The commit, with `-dirty` when the work tree differs from it.
    pub revision: Option<String>,
    /// Where the repository is.
    pub url: Option<String>,
    /// The version people know the image by.
    pub version: Option<String>,
    /// One line about the image.
    pub title: Option<String>,
}

impl SourceLabel {
    /// The annotations of the OCI image specification that say the same.
    #[must_use]
    pub fn annotations(&self) -> BTreeMap<String, String> {
        [
            ("org.opencontainers.image.revision", &self.revision),
            ("org.opencontainers.image.source", &self.url),
            ("org.opencontainers.image.title", &self.title),
            ("org.opencontainers.image.version", &self.version),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)))
        .collect()
    }
}

/// A port that an image listens on, written `8080` or `53/udp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// 1 to 65535.
    pub number: u16,
    /// Over what.
    pub protocol: Protocol,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// The default.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Port {
    /// A TCP port.
    #[must_use]
    pub const fn tcp(number: u16) -> Self {
        Self { number, protocol: Protocol::Tcp }
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

impl FromStr for Port {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let wrong = || SpecError::new("port", text, "is not a port: write `8080`, `8080/tcp` or `53/udp`");
        let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return Err(wrong()),
        };
        match number.parse::<u16>() {
            Ok(number) if number > 0 && !text.starts_with('+') => Ok(Self { number, protocol }),
            _ => Err(wrong()),
        }
    }
}

/// A value of the image's configuration that no container program would understand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} `{}` {why}", .value.escape_debug())]
pub struct SpecError {
    field: &'static str,
    value: String,
    why: &'static str,
}

impl SpecError {
    fn new(field: &'static str, value: &str, why: &'static str) -> Self {
        Self { field, value: value.chars().take(80).collect(), why }
    }
}

fn is_signal(text: &str) -> bool {
    match text.strip_prefix("SIG") {
        Some(name) => {
            name.starts_with(|c: char| c.is_ascii_uppercase())
                && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'+' | b'-'))
        }
        None => text.parse::<u8>().is_ok_and(|number| (1..=64).contains(&number)),
    }
}

impl ImageSpec {
    /// Checks what the types do not: names of variables, words without NUL, the signal, the user.
    ///
    /// # Errors
    /// At the first value that cannot be meant.
    pub fn check(&self) -> Result<(), SpecError> {
        let config = &self.config;
        for (name, value) in &config.env {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(SpecError::new("variable", name, "is no name of an environment variable"));
            }
            if value.contains('\0') {
                return Err(SpecError::new("value", value, "has a NUL character"));
            }
        }
        for word in config.entrypoint.iter().chain(&config.command) {
            if word.contains('\0') {
                return Err(SpecError::new("argument", word, "has a NUL character"));
            }
        }
        for words in [&config.entrypoint, &config.command] {
            if words.first().is_some_and(String::is_empty) {
                return Err(SpecError::new("command", "", "is empty: name a program"));
            }
        }
        if let Some(signal) = config.stop_signal.as_deref().filter(|signal| !is_signal(signal)) {
            return Err(SpecError::new("stop signal", signal, "is not a signal: write `SIGTERM` or a number"));
        }
        if let Some(user) = &config.user {
            let mut parts = user.split(':');
            let named = |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c == '\0');
            if !parts.by_ref().take(2).all(named) || parts.next().is_some() {
                return Err(SpecError::new("user", user, "is not a user: write `NAME`, `NAME:GROUP` or numbers"));
            }
        }
        for label in config.labels.keys() {
            if label.is_empty() {
                return Err(SpecError::new("label", label, "has no name"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(change: impl FnOnce(&mut ImageConfig)) -> Result<(), SpecError> {
        let mut config = ImageConfig::default();
        change(&mut config);
        let name = "web".parse().unwrap();
        ImageSpec { name, architecture: Architecture::Amd64, config, source: SourceLabel::default() }.check()
    }

    #[test]
    fn ports_are_read_and_shown() {
        assert_eq!("8080".parse::<Port>().unwrap().to_string(), "8080/tcp");
        assert_eq!("53/udp".parse::<Port>().unwrap().to_string(), "53/udp");
        for bad in ["", "0", "65536", "+80", "80/sctp", "http", "80/"] {
            assert!(bad.parse::<Port>().is_err(), "{bad}");
        }
    }

    #[test]
    fn refuses_values_that_no_runtime_understands() {
        assert!(spec(|_| ()).is_ok());
        assert!(spec(|c| c.user = Some("www-data:www-data".into())).is_ok());
        assert!(spec(|c| c.stop_signal = Some("SIGRTMIN+3".into())).is_ok());
        assert!(spec(|c| c.stop_signal = Some("quit".into())).is_err());
        assert!(spec(|c| c.stop_signal = Some("65".into())).is_err());
        assert!(spec(|c| c.user = Some("a:b:c".into())).is_err());
        assert!(spec(|c| c.user = Some(":b".into())).is_err());
        assert!(spec(|c| c.command = vec![String::new()]).is_err());
        assert!(spec(|c| c.command = vec!["a\0b".into()]).is_err());
        let error = spec(|c| drop(c.env.insert("A=B".into(), String::new()))).unwrap_err();
        assert_eq!(error.to_string(), "variable `A=B` is no name of an environment variable");
    }
}
