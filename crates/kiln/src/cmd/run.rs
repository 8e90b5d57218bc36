//! `kiln run`

use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::time::Duration;

use clap::Args;
use kiln_build::graph::ActionError;
use kiln_model::image::{Image, Protocol};
use kiln_model::{Dir, Entry};
use kiln_plan::{Plan, PlanError};
use kiln_run::{Container, Network, Outcome as Ended, Owned, Port, RunError, Running, Volume, VolumeSource};

use crate::cli::Target;
use crate::context::{Context, Outcome, failed, graph_failed, image_of};
use crate::failure::Failure;

/// Arguments of `kiln run`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kiln run web\n  kiln run examples/nginx-prod\n  \
    kiln run web --publish 9000:8080 --volume ./data:/var/lib/web\n  kiln run web -- /usr/bin/nginx -V")]
pub struct Run {
    /// The image: NAME, PROJECT or PROJECT#NAME
    #[arg(value_name = "IMAGE", default_value = ".")]
    target: Target,
    /// A port to reach on 127.0.0.1: HOST:CONTAINER; 0 takes any [default: the image's own]
    #[arg(short, long, value_name = "PORT")]
    publish: Vec<Port>,
    /// A folder to see inside: HOST:CONTAINER, HOST:CONTAINER:ro, or CONTAINER for one that goes with it
    #[arg(long, value_name = "VOLUME")]
    volume: Vec<Volume>,
    /// An environment variable: NAME=VALUE
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// The user to run as, instead of the image's
    #[arg(short, long)]
    user: Option<String>,
    /// The network: its own, or the host's
    #[arg(long, value_enum, default_value_t = NetworkChoice::Isolated)]
    network: NetworkChoice,
    /// Nothing but /tmp, /run and volumes can be written to
    #[arg(long)]
    read_only: bool,
    /// Changes nothing, for those used to it: what a container writes outside of volumes always goes when it ends
    #[arg(long)]
    rm: bool,
    /// Bring `kiln.lock` up to date first
    #[arg(long)]
    lock: bool,
    /// A command, instead of the image's
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Which network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum NetworkChoice {
    /// A loopback interface of its own, and the published ports
    Isolated,
    /// The host's
    Host,
}

impl Run {
    /// Builds the image and runs it.
    pub fn run(&self, context: &Context) -> Outcome {
        let workspace = context.workspace(&self.target)?;
        let image = image_of(&workspace, self.target.name.as_deref())?;
        let (checkout, tree) = {
            let services = context.services(&workspace)?;
            let lock = if self.lock {
                context.lock(&workspace, &services, true)?
            } else {
                context.lock_or_make(&workspace, &services)?
            };
            let mut plan = Plan::new(&workspace, &lock, &services, services.settings.native);
            let nodes = plan.image(image).map_err(failed(PlanError::hint))?;
            let finished = plan.run(&[nodes.compose], false, &*context.progress).map_err(graph_failed)?;
            super::build::keep(context, &workspace, &services, services.settings.native, &finished)?;
            let composed = plan.composed(&finished, nodes).map_err(failed(ActionError::hint))?;
            context.keep_ids(&workspace, &lock, &composed.allotted)?;
            for note in &composed.notes {
                context.warn(note.message.clone(), note.hint.clone());
            }
            let tree = services.session.tree(composed.tree).map_err(failed(kiln_store::TreeError::hint))?;
            let checkout = services.session.checkout(composed.tree).map_err(failed(kiln_store::CheckoutError::hint))?;
            // The session ends here: a container that runs for days must not keep `kiln gc` waiting. What it runs
            // from is kept by the checkout.
            (checkout, tree)
        };
        let container = self.container(image, checkout.path(), &tree)?;
        let started = |running: &Running| {
            for (address, port) in running.addresses() {
                let scheme = if matches!(port, 80 | 3000 | 8000 | 8080) { "http://" } else { "" };
                context.progress.step("Running", &format!("{} at {scheme}{address} (Ctrl-C stops it)", image.name));
            }
            if running.addresses().is_empty() {
                context.progress.step("Running", image.name.as_str());
            }
        };
        match container.run_and(&*context.progress, started).map_err(failed(RunError::hint))? {
            Ended::Exited(code) => Ok(u8::try_from(code).unwrap_or(u8::MAX)),
            Ended::Signaled(signal) => Ok(u8::try_from(128 + signal).unwrap_or(u8::MAX)),
        }
    }

    fn container(&self, image: &Image, root: &std::path::Path, tree: &Dir) -> Outcome<Container> {
        let run = &image.run;
        let command = if self.command.is_empty() {
            run.entrypoint.iter().chain(&run.command).cloned().collect()
        } else if run.entrypoint.is_empty() {
            self.command.clone()
        } else {
            run.entrypoint.iter().chain(&self.command).cloned().collect::<Vec<_>>()
        };
        if command.is_empty() {
            let hint = "give one: `run: { command: [...] }` in the image, or `kiln run IMAGE -- COMMAND`".to_owned();
            return Err(Failure::usage(format!("the image `{}` has no command", image.name), Some(hint)));
        }
        let mut container = Container::new(root, command);
        container.environment = run.env.clone();
        for variable in &self.env {
            let (name, value) = variable
                .split_once('=')
                .filter(|(name, _)| !name.is_empty())
                .ok_or_else(|| Failure::usage(format!("`{variable}` is not NAME=VALUE"), None))?;
            container.environment.insert(name.to_owned(), value.to_owned());
        }
        container.user = self.user.clone().or_else(|| run.user.clone());
        if let Some(folder) = &run.workdir {
            container.directory = folder.to_string();
        }
        container.volumes = self.volume.clone();
        for target in &run.volumes {
            if !container.volumes.iter().any(|volume| volume.target == *target) {
                let source = VolumeSource::Temporary;
                container.volumes.push(Volume { source, target: target.clone(), read_only: false });
            }
        }
        container.network = match self.network {
            NetworkChoice::Isolated => Network::Isolated,
            NetworkChoice::Host => Network::Host,
        };
        if self.network == NetworkChoice::Isolated {
            container.ports = if self.publish.is_empty() {
                let tcp = run.ports.iter().filter(|port| port.protocol == Protocol::Tcp);
                tcp.map(|port| Port { host: unprivileged(port.number), container: port.number }).collect()
            } else {
                self.publish.clone()
            };
        } else if !self.publish.is_empty() {
            let hint = "leave out `--publish`: what the command listens on is reachable as it is".to_owned();
            return Err(Failure::usage("the host's network needs no published ports", Some(hint)));
        }
        if let Some(signal) = &run.stop_signal {
            container.stop_signal = signal_number(signal)
                .ok_or_else(|| Failure::usage(format!("`{signal}` is not a signal that Kiln can send"), None))?;
        }
        container.read_only = self.read_only;
        container.host_name = image.name.to_string();
        container.owned = owned(tree);
        // A command of one's own at a terminal is a conversation; a service is not.
        container.terminal =
            !self.command.is_empty() && std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        if !container.terminal {
            let copy = |stream: std::os::fd::BorrowedFd<'_>| stream.try_clone_to_owned().map(std::fs::File::from);
            let streams = copy(std::io::stdout().as_fd()).and_then(|out| Ok((out, copy(std::io::stderr().as_fd())?)));
            let wrap =
                |error: std::io::Error| Failure::failed(&error, None).within("cannot copy the output".to_owned());
            container.relay = Some(streams.map_err(wrap)?);
        }
        container.grace = Duration::from_secs(10);
        Ok(container)
    }
}

/// The number of a signal that stops containers: those that the image format knows (signal(7)).
fn signal_number(name: &str) -> Option<i32> {
    Some(match name {
        "SIGHUP" => 1,
        "SIGINT" => 2,
        "SIGQUIT" => 3,
        "SIGABRT" => 6,
        "SIGKILL" => 9,
        "SIGUSR1" => 10,
        "SIGUSR2" => 12,
        "SIGTERM" => 15,
        "SIGWINCH" => 28,
        // What systemd takes for "power off": the C library keeps 32 and 33 to itself.
        "SIGRTMIN+3" => 37,
        _ => return None,
    })
}

/// A port that an ordinary user may listen on.
const fn unprivileged(port: u16) -> u16 {
    if port < 1024 { port + 8000 } else { port }
}

/// What of a tree is not root's, or has a mode that a checkout does not carry.
fn owned(tree: &Dir) -> Vec<Owned> {
    let special = |entry: &Entry| match entry {
        Entry::Symlink(_) => false,
        Entry::Dir(dir) => !dir.meta().is_default(0o755),
        Entry::File(file) => !file.meta.is_default(0o644) && !file.meta.is_default(0o755),
        Entry::Device(..) => false,
    };
    tree.walk()
        .filter(|(_, entry)| special(entry))
        .map(|(path, entry)| {
            let meta = entry.meta();
            Owned { path, uid: meta.uid, gid: meta.gid, mode: u32::from(meta.mode) }
        })
        .collect()
}
