//! Why a container does not run.

use std::io;
use std::path::PathBuf;

use kiln_model::TreePath;
use kiln_sys::SpawnError;

/// Why a container could not be started or waited for.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A text is not what it should be.
    #[error("`{}` is not {wanted}", text.escape_default())]
    Text {
        /// What was written.
        text: String,
        /// What should have been.
        wanted: &'static str,
    },
    /// The image does not know this user or group.
    #[error("the image has no {kind} `{}`", name.escape_default())]
    Account {
        /// `user` or `group`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The root or the source of a volume cannot be used.
    #[error("cannot use `{}` in the container", path.display())]
    Path {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What a volume is to show is not there.
    #[error("`{}` is not there, so it cannot be seen in the container as `{target}`", path.display())]
    Missing {
        /// Which, as it was given.
        path: PathBuf,
        /// Where it should be seen.
        target: TreePath,
    },
    /// A volume cannot be there.
    #[error("a volume cannot be at `{target}`: {why}")]
    Target {
        /// Where it should be.
        target: TreePath,
        /// Why not.
        why: &'static str,
    },
    /// A port of this machine cannot be listened on.
    #[error("cannot listen on port {port} of 127.0.0.1")]
    Port {
        /// Which.
        port: u16,
        /// The port of the container behind it.
        container: u16,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Ports were to be published on this machine's own network.
    #[error("a container that uses this machine's network has no ports to publish")]
    PortOnHost,
    /// The container could not be made or its command not started.
    #[error("cannot start the container")]
    Spawn(#[from] SpawnError),
    /// The command ended before it listened.
    #[error("the command ended before it listened on port {0}")]
    EndedBeforeListening(u16),
    /// The command did not listen in time.
    #[error("nothing listens on port {port} of the container after {seconds} s")]
    NotListening {
        /// Which.
        port: u16,
        /// How long it was given.
        seconds: u64,
    },
    /// Something that nearly never fails did.
    #[error("cannot {action}")]
    System {
        /// What.
        action: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl RunError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Spawn(error) if error.is_of_overlay() => Some(
                "this needs a kernel with overlayfs in user namespaces: Linux 5.11 or later, with CONFIG_OVERLAY_FS"
                    .to_owned(),
            ),
            Self::Spawn(error) => error.hint(),
            Self::Port { source, container, .. } => match source.kind() {
                io::ErrorKind::AddrInUse => Some(format!(
                    "something listens there already; publish another one, as in `--publish 0:{container}`"
                )),
                io::ErrorKind::PermissionDenied => Some(format!(
                    "only root may listen below 1024; publish a higher one, as in `--publish 8080:{container}`"
                )),
                _ => None,
            },
            Self::Missing { path, target } => Some(format!(
                "make it first (`mkdir {}`); a folder that goes with the container is `--volume {target}`",
                path.display()
            )),
            Self::Path { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("this user may not read it".to_owned())
            }
            Self::PortOnHost => Some("leave out either the ports or the host network".to_owned()),
            Self::Account { kind, .. } => Some(format!("declare the {kind} in the image's facts, or give its number")),
            _ => None,
        }
    }
}

/// Wraps an I/O error.
pub(crate) fn system(action: &'static str) -> impl Fn(io::Error) -> RunError {
    move |source| RunError::System { action, source }
}
