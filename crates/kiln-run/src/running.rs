//! A running container: waiting for it, talking to it, ending it.
//!
//! Invariant: when a [`Running`] is dropped, no process, mount, folder or connection of it is left.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use kiln_model::{Event, Reporter};
use kiln_sys::{Contained, Identities, Lent, Outcome, SpawnError};
use rustix::event::{PollFd, PollFlags};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{SigId, low_level};

use crate::RunError;
use crate::account::Account;
use crate::container::{Container, Network, VolumeSource};
use crate::error::system;
use crate::forward::{self, Forwarder};
use crate::place::resolve;
use crate::relay::{Relay, Relays};
use crate::world::{Mounted, World};

/// How often a port is tried until something listens.
const TRY_EVERY: Duration = Duration::from_millis(20);

/// A container that runs.
#[derive(Debug)]
pub struct Running {
    contained: Arc<Contained>,
    forwarder: Forwarder,
    stop_signal: i32,
    grace: Duration,
    terminal: bool,
    relays: Vec<Relay>,
}

impl Running {
    pub(crate) fn start(container: &Container, reporter: &dyn Reporter) -> Result<Self, RunError> {
        if container.network == Network::Host && !container.ports.is_empty() {
            return Err(RunError::PortOnHost);
        }
        let root = existing(&container.root)?;
        let account = Account::of_image(&root, container.user.as_deref())?;
        let volumes = volumes(container, &root)?;
        let resolver = match container.network {
            Network::Host => fs::read("/etc/resolv.conf").ok(),
            Network::Isolated => None,
        };
        let listening = forward::listen(&container.ports)?;
        let one = Identities::single(account.uid, account.gid);
        let all = Identities::ranges();
        let known = |ids: &Identities| ids.has_user(account.uid) && ids.has_group(account.gid);
        let (identities, lacking) = match all {
            Ok(ids) if known(&ids) => (ids, None),
            Ok(_) => (one.clone(), Some(format!("user {} is in no range of this user's ids", account.uid))),
            Err(why) => (one.clone(), Some(why)),
        };
        if account.uid == 0
            && let Some(why) = lacking
        {
            warn_of_one_user(reporter, &why);
        }
        let console = container.terminal.then(kiln_sys::terminal_device).flatten();
        let mut world = World { container, root, account, identities, volumes, console, resolver };
        let mut relays = Relays::default();
        let contained = match Self::spawn(&world, &mut relays) {
            // The tools that map ranges may be there and yet not work, as in a container without privilege.
            Err(RunError::Spawn(SpawnError::Identities(error))) if world.identities != one => {
                warn_of_one_user(reporter, &error.to_string());
                world.identities = one;
                Self::spawn(&world, &mut relays)?
            }
            other => other?,
        };
        let contained = Arc::new(contained);
        // Its threads hold the container too, so dropping it here would not be its end.
        let forwarder = Forwarder::start(listening, &contained).inspect_err(|_| contained.kill())?;
        Ok(Self {
            contained,
            forwarder,
            stop_signal: container.stop_signal,
            grace: container.grace,
            terminal: container.terminal,
            relays: relays.start(),
        })
    }

    fn spawn(world: &World, relays: &mut Relays) -> Result<Contained, RunError> {
        let mut plan = world.plan();
        if let Some((output, error)) = &world.container.relay {
            *relays = Relays::default();
            plan.stream(1, relays.add(output)?);
            plan.stream(2, relays.add(error)?);
        }
        if let Some(file) = &world.container.output {
            let copy = || file.try_clone().map(OwnedFd::from).map_err(system("copy the output's file"));
            plan.stream(0, File::open("/dev/null").map_err(system("open `/dev/null`"))?.into());
            plan.stream(1, copy()?);
            plan.stream(2, copy()?);
        }
        Ok(plan.spawn()?)
    }

    /// Where each published port of the container can be reached on this machine.
    #[must_use]
    pub fn addresses(&self) -> &[(SocketAddr, u16)] {
        self.forwarder.addresses()
    }

    /// Waits for the end, at most for `timeout`.
    ///
    /// # Errors
    /// When the kernel fails to tell.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<Option<Outcome>, RunError> {
        self.contained.wait(timeout).map_err(system("wait for the container"))
    }

    /// Waits until something listens on a port of the container.
    ///
    /// # Errors
    /// When the command ends first, or the time does.
    pub fn wait_port(&self, port: u16, timeout: Duration) -> Result<(), RunError> {
        let until = Instant::now() + timeout;
        loop {
            if self.wait(Some(Duration::ZERO))?.is_some() {
                return Err(RunError::EndedBeforeListening(port));
            }
            if forward::connect(&self.contained, port).is_ok() {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(RunError::NotListening { port, seconds: timeout.as_secs() });
            }
            thread::sleep(TRY_EVERY);
        }
    }

    /// Sends a signal to the command.
    pub fn signal(&self, signal: i32) {
        self.contained.signal(signal);
    }

    /// Asks the command to end, and kills it when it has not after its time of grace.
    ///
    /// # Errors
    /// When the kernel fails to tell.
    pub fn stop(&self) -> Result<Outcome, RunError> {
        self.signal(self.stop_signal);
        if let Some(outcome) = self.wait(Some(self.grace))? {
            return Ok(outcome);
        }
        self.kill()
    }

    /// Kills the command and all that it started.
    ///
    /// # Errors
    /// When the kernel fails to tell.
    pub fn kill(&self) -> Result<Outcome, RunError> {
        self.contained.kill();
        Ok(self.wait(None)?.unwrap_or(Outcome::Signaled(9)))
    }

    /// Waits for the end; a signal to this process stops the container in order, a second one kills it. A command at a
    /// terminal gets Ctrl-C itself, so only SIGTERM and SIGHUP stop it from here.
    ///
    /// # Errors
    /// When the signals cannot be listened for or the kernel fails to tell.
    pub fn wait_or_stop(&self) -> Result<Outcome, RunError> {
        self.wait_listening(&Signals::listen(self.terminal)?)
    }

    /// Starts a container and waits for its end. Signals are listened for before it starts: one that comes the moment it
    /// runs stops it in order too.
    pub(crate) fn run(
        container: &Container,
        reporter: &dyn Reporter,
        started: impl FnOnce(&Self),
    ) -> Result<Outcome, RunError> {
        let signals = Signals::listen(container.terminal)?;
        let running = Self::start(container, reporter)?;
        started(&running);
        running.wait_listening(&signals)
    }

    fn wait_listening(&self, signals: &Signals) -> Result<Outcome, RunError> {
        let outcome = self.wait_for_signals(signals);
        // Everything in the container is gone now, so its pipes end: what is still in them is not lost.
        for relay in &self.relays {
            relay.finish();
        }
        outcome
    }

    fn wait_for_signals(&self, signals: &Signals) -> Result<Outcome, RunError> {
        if !self.ends_before(signals, None)? {
            self.signal(self.stop_signal);
            if !self.ends_before(signals, Some(self.grace))? {
                return self.kill();
            }
        }
        Ok(self.wait(None)?.unwrap_or(Outcome::Signaled(9)))
    }

    /// Waits for the end (true), a signal or the time (false).
    fn ends_before(&self, signals: &Signals, time: Option<Duration>) -> Result<bool, RunError> {
        let until = time.map(|t| Instant::now() + t);
        loop {
            let left = until.map(|u| u.saturating_duration_since(Instant::now()));
            let limit = left.map(|l| rustix::event::Timespec {
                tv_sec: l.as_secs().cast_signed(),
                tv_nsec: l.subsec_nanos().into(),
            });
            let mut watched = [
                PollFd::from_borrowed_fd(self.contained.ended(), PollFlags::IN),
                PollFd::from_borrowed_fd(signals.pipe.as_fd(), PollFlags::IN),
            ];
            match rustix::event::poll(&mut watched, limit.as_ref()) {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(errno) => return Err(system("wait for the container")(errno.into())),
            }
            if !watched[0].revents().is_empty() {
                return Ok(true);
            }
            signals.take_one();
            return Ok(false);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.kill();
        self.forwarder.stop();
    }
}

/// The signals that end this process, as something to wait for.
struct Signals {
    pipe: UnixStream,
    registered: Vec<SigId>,
    /// What is typed at the terminal is for the command, and must not end this process.
    _lent: Option<Lent>,
}

impl Signals {
    fn listen(terminal: bool) -> Result<Self, RunError> {
        let wrong = system("listen for signals");
        let (pipe, write) = UnixStream::pair().map_err(&wrong)?;
        let lent = terminal.then(Lent::new);
        let mut signals = Self { pipe, registered: Vec::new(), _lent: lent };
        let stopping: &[i32] = if terminal { &[SIGTERM, SIGHUP] } else { &[SIGINT, SIGTERM, SIGHUP] };
        for signal in stopping {
            let end = write.try_clone().map_err(&wrong)?;
            signals.registered.push(low_level::pipe::register(*signal, end).map_err(&wrong)?);
        }
        Ok(signals)
    }

    fn take_one(&self) {
        let _ = std::io::Read::read(&mut &self.pipe, &mut [0_u8]);
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.registered.drain(..) {
            low_level::unregister(id);
        }
    }
}

fn warn_of_one_user(reporter: &dyn Reporter, why: &str) {
    reporter.report(Event::Warning {
        message: format!("the container has one user only: {why}"),
        hint: Some(
            "a command that changes its user will fail; install `uidmap` and give this user a range in `/etc/subuid` and \
             `/etc/subgid`, or set `user:`"
                .to_owned(),
        ),
    });
}

fn existing(path: &Path) -> Result<PathBuf, RunError> {
    path.canonicalize().map_err(|source| RunError::Path { path: path.to_owned(), source })
}

/// The volumes with their places resolved, outer ones first.
fn volumes(container: &Container, root: &Path) -> Result<Vec<Mounted>, RunError> {
    let mut mounted = Vec::new();
    for volume in &container.volumes {
        let refused = |why| RunError::Target { target: volume.target.clone(), why };
        let target = resolve(root, &volume.target).ok_or_else(|| refused("it leads through too many links"))?;
        if target.is_root() || matches!(target.components().next(), Some("proc" | "dev")) {
            return Err(refused("the container has its own there"));
        }
        if mounted.iter().any(|m: &Mounted| m.target == target) {
            return Err(refused("another one is there"));
        }
        let source = match &volume.source {
            VolumeSource::Path(path) => Some(existing(path).map_err(|error| match error {
                RunError::Path { path, source } if source.kind() == std::io::ErrorKind::NotFound => {
                    RunError::Missing { path, target: volume.target.clone() }
                }
                other => other,
            })?),
            VolumeSource::Temporary => None,
        };
        let is_file = source.as_ref().is_some_and(|s| !s.is_dir());
        mounted.push(Mounted { target, source, is_file, read_only: volume.read_only });
    }
    mounted.sort_by(|a, b| a.target.cmp(&b.target));
    for (index, volume) in mounted.iter().enumerate() {
        let outer = mounted[..index].iter().rfind(|outer| volume.target.starts_with(&outer.target));
        if let Some(Mounted { target, source: Some(source), .. }) = outer {
            let inside = volume.target.components().skip(target.components().count()).collect::<PathBuf>();
            // Kiln makes nothing in the user's own folders.
            if !source.join(inside).exists() {
                let why = "it is inside another one, whose folder has nothing there to put it on";
                return Err(RunError::Target { target: volume.target.clone(), why });
            }
        }
    }
    Ok(mounted)
}
