//! What a container is told: plain data, and how people write it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use kiln_model::{Reporter, TreePath};

use crate::{Outcome, RunError, Running};

/// Where a command without a slash is looked for, where the image does not say.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A port of the container that this machine can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    /// The port of this machine, on 127.0.0.1 only. 0 takes any that is free.
    pub host: u16,
    /// The port that the command listens on.
    pub container: u16,
}

/// Where the content of a volume is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeSource {
    /// A folder or file of this machine.
    Path(PathBuf),
    /// Memory, empty at first and gone with the container.
    Temporary,
}

/// A place in the container whose content is not the image's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Where its content is.
    pub source: VolumeSource,
    /// Where the container sees it.
    pub target: TreePath,
    /// May the container only read it?
    pub read_only: bool,
}

/// Which network the command has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// A loopback interface of its own, and the published ports.
    #[default]
    Isolated,
    /// This machine's, all of it. Ports are not published then: what the command listens on is there.
    Host,
}

/// A file or directory of the tree that does not belong to root, or has a mode that a checkout does not carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// Which.
    pub path: TreePath,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its mode.
    pub mode: u32,
}

/// A container to run.
#[derive(Debug)]
pub struct Container {
    /// A checkout of the composed tree. It is only read.
    pub root: PathBuf,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Added to `PATH`, `HOME`, `HOSTNAME` and `TERM`, and stronger than them.
    pub environment: BTreeMap<String, String>,
    /// `NAME`, `UID`, `NAME:GROUP` or `UID:GID`, in the image's own `/etc/passwd` and `/etc/group`. None is root.
    pub user: Option<String>,
    /// Where the command starts.
    pub directory: String,
    /// Ports that this machine can reach.
    pub ports: Vec<Port>,
    /// Places whose content is not the image's.
    pub volumes: Vec<Volume>,
    /// The signal that asks the command to end.
    pub stop_signal: i32,
    /// How long it may take to end before it is killed.
    pub grace: Duration,
    /// May nothing but `/tmp`, `/run` and the volumes be written to?
    pub read_only: bool,
    /// The host name inside.
    pub host_name: String,
    /// Which network it has.
    pub network: Network,
    /// What of the tree is not root's.
    pub owned: Vec<Owned>,
    /// Does the command talk to a person? Then it stays in this process's session, and gets what is typed, Ctrl-C too.
    pub terminal: bool,
    /// Takes standard output and error; this process's own otherwise.
    pub output: Option<File>,
    /// Take standard output and standard error, each copied from a pipe that everyone in the container may open again:
    /// programs that write to `/dev/stdout` after giving up root need that, and a file of this machine does not let
    /// them.
    pub relay: Option<(File, File)>,
}

impl Container {
    /// A container with nothing special about it.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>, command: Vec<String>) -> Self {
        Self {
            root: root.into(),
            command,
            environment: BTreeMap::new(),
            user: None,
            directory: "/".to_owned(),
            ports: Vec::new(),
            volumes: Vec::new(),
            stop_signal: 15,
            grace: Duration::from_secs(10),
            read_only: false,
            host_name: "kiln".to_owned(),
            network: Network::Isolated,
            owned: Vec::new(),
            terminal: false,
            output: None,
            relay: None,
        }
    }

    /// Starts it. Dropping what comes back kills it.
    ///
    /// # Errors
    /// When it cannot be started. Nothing is left then.
    pub fn start(&self, reporter: &dyn Reporter) -> Result<Running, RunError> {
        Running::start(self, reporter)
    }

    /// Starts it, and waits for its end. Meanwhile SIGINT, SIGTERM and SIGHUP to this process stop it in order; a second
    /// one kills it.
    ///
    /// # Errors
    /// When it cannot be started or waited for.
    pub fn run(&self, reporter: &dyn Reporter) -> Result<Outcome, RunError> {
        self.run_and(reporter, |_| ())
    }

    /// As [`Container::run`]; `started` is told once it runs.
    ///
    /// # Errors
    /// When it cannot be started or waited for.
    pub fn run_and(&self, reporter: &dyn Reporter, started: impl FnOnce(&Running)) -> Result<Outcome, RunError> {
        Running::run(self, reporter, started)
    }
}

impl FromStr for Port {
    type Err = RunError;

    fn from_str(text: &str) -> Result<Self, RunError> {
        let wrong = || RunError::Text { text: text.to_owned(), wanted: "a port, or `HOST:CONTAINER`" };
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            if digits { text.parse::<u16>().map_err(|_| wrong()) } else { Err(wrong()) }
        };
        let (host, container) = text.split_once(':').unwrap_or((text, text));
        let port = Self { host: number(host)?, container: number(container)? };
        if port.container == 0 { Err(wrong()) } else { Ok(port) }
    }
}

impl FromStr for Volume {
    type Err = RunError;

    fn from_str(text: &str) -> Result<Self, RunError> {
        let wrong =
            || RunError::Text { text: text.to_owned(), wanted: "`HOST:CONTAINER`, `HOST:CONTAINER:ro` or `CONTAINER`" };
        let (rest, read_only) = match text.strip_suffix(":ro") {
            Some(rest) => (rest, true),
            None => (text.strip_suffix(":rw").unwrap_or(text), false),
        };
        let (source, target) = match rest.rsplit_once(':') {
            Some(("", _)) => return Err(wrong()),
            Some((source, target)) => (VolumeSource::Path(source.into()), target),
            None => (VolumeSource::Temporary, rest),
        };
        let target = TreePath::from_absolute(target.strip_suffix('/').unwrap_or(target)).map_err(|_| wrong())?;
        if target.is_root() || (read_only && source == VolumeSource::Temporary) {
            return Err(wrong());
        }
        Ok(Self { source, target, read_only })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_ports() {
        assert_eq!("8080:80".parse::<Port>().unwrap(), Port { host: 8080, container: 80 });
        assert_eq!("80".parse::<Port>().unwrap(), Port { host: 80, container: 80 });
        assert_eq!("0:80".parse::<Port>().unwrap(), Port { host: 0, container: 80 });
        for bad in ["", ":", "80:", ":80", "+80", "80:0", "65536", "a", "1:2:3", "127.0.0.1:80:80"] {
            assert!(bad.parse::<Port>().is_err(), "{bad}");
        }
    }

    #[test]
    fn reads_volumes() {
        let volume = |text: &str| text.parse::<Volume>();
        let data = volume("./data:/var/lib/x:ro").unwrap();
        assert_eq!((data.source, data.read_only), (VolumeSource::Path("./data".into()), true));
        assert_eq!(data.target.to_string(), "/var/lib/x");
        assert_eq!(volume("a:b:/c/").unwrap().source, VolumeSource::Path("a:b".into()));
        assert_eq!(volume("/cache").unwrap().source, VolumeSource::Temporary);
        for bad in ["", "x", "a:b", ":/c", "a:/", "/", "/cache:ro", "a:/../c", "a:/c//d"] {
            assert!(volume(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in ".*") {
            let _ = (text.parse::<Port>(), text.parse::<Volume>());
        }
    }
}
