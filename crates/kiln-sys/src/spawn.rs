//! The parent's side of a plan: making the child, and what can be done with it.
//!
//! Invariants: a [`Contained`] that is dropped has killed and collected all its processes; an error leaves none.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char};
use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketFlags, SocketType,
};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};

use crate::child::Prepared;
use crate::init;
use crate::plan::{Plan, Step};
use crate::refusal::{Facts, Refusal};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It ended itself, with this code.
    Exited(i32),
    /// A signal ended it.
    Signaled(i32),
}

impl Outcome {
    /// The exit code that a shell would give it: a signal is 128 and its number.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled(signal) => 128 + signal,
        }
    }
}

/// Why a command could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// A path or text cannot be given to the kernel.
    #[error("`{}` has a NUL byte", .0.escape_default())]
    Text(String),
    /// There is nothing to run.
    #[error("there is no command to run")]
    NoCommand,
    /// The kernel refuses the namespaces.
    #[error("the kernel refuses the namespaces of the sandbox ({errno})")]
    Namespaces {
        /// What the kernel said.
        errno: io::Error,
        /// What that means here.
        #[source]
        why: Refusal,
    },
    /// The user and group ids could not be mapped.
    #[error("cannot map user and group ids into the sandbox")]
    Identities(#[source] io::Error),
    /// A step of the preparation failed.
    #[error("cannot {step}")]
    Step {
        /// Which, for people.
        step: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
        /// What may be in the way.
        refusal: Option<Refusal>,
    },
    /// The program could not be started.
    #[error("cannot start `{program}`")]
    Start {
        /// The program, as it was asked for.
        program: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// It was killed before it had begun.
    #[error("the sandbox was killed before its command began")]
    Killed,
    /// Something that nearly never fails did.
    #[error("cannot {action}")]
    System {
        /// What.
        action: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl SpawnError {
    /// Was it an overlay that could not be mounted?
    #[must_use]
    pub fn is_of_overlay(&self) -> bool {
        matches!(self, Self::Step { step, .. } if step.starts_with("mount a new overlay"))
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Namespaces { why, .. } => why.hint(),
            Self::Step { refusal: Some(refusal), .. } => refusal.hint(),
            Self::Step { step, source, .. } if is_denied(source) && step.contains("new proc") => Some(
                "the `/proc` of this machine is covered in part, as in a container: run there with an uncovered one \
                 (for example `--security-opt systempaths=unconfined`)"
                    .to_owned(),
            ),
            Self::Step { step, source, .. } if is_denied(source) && step.starts_with("give ") => Some(
                "run Kiln as the user whom its store belongs to: the files of others cannot be given away".to_owned(),
            ),
            Self::Step { step, source, .. } if is_denied(source) => Some(format!(
                "either this user may not reach what is needed to {step}, or a security policy of this machine or \
                 container (AppArmor, SELinux) forbids it in a user namespace"
            )),
            Self::Identities(_) => Some("look at `/etc/subuid` and `/etc/subgid`".to_owned()),
            Self::Start { program, source } if source.kind() == io::ErrorKind::NotFound => Some(format!(
                "neither `{program}` itself nor the interpreter or loader it names may be missing from the root"
            )),
            _ => None,
        }
    }
}

fn system(action: &'static str) -> impl Fn(rustix::io::Errno) -> SpawnError {
    move |errno| SpawnError::System { action, source: errno.into() }
}

/// A running command and everything it has started.
#[derive(Debug)]
pub struct Contained {
    pid: Pid,
    process: OwnedFd,
    control: OwnedFd,
    service: Mutex<OwnedFd>,
    outcome: Mutex<Option<Outcome>>,
    groups: Vec<crate::Group>,
}

impl Plan {
    /// Carries the plan out, up to and including the start of the command.
    ///
    /// # Errors
    /// When any step fails. Nothing is left then.
    pub fn spawn(self) -> Result<Contained, SpawnError> {
        if let Some(text) = self.fault {
            return Err(SpawnError::Text(text));
        }
        if self.arguments.is_empty() || self.candidates.is_empty() {
            return Err(SpawnError::NoCommand);
        }
        let pair = || {
            let flags = SocketFlags::CLOEXEC;
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
                .map_err(system("make a socket"))
        };
        let (control, child_control) = pair()?;
        let (service, child_service) = pair()?;
        let texts = |list: &[CString]| list.iter().map(|t| t.as_ptr()).collect::<Vec<_>>();
        let terminated =
            |list: &[CString]| texts(list).into_iter().chain([ptr::null()]).collect::<Vec<*const c_char>>();
        let (arguments, environment) = (terminated(&self.arguments), terminated(&self.environment));
        let candidates = texts(&self.candidates);
        let own = [io::stdin().as_raw_fd(), io::stdout().as_raw_fd(), io::stderr().as_raw_fd()];
        let stream = |n: usize| self.streams[n].as_ref().map_or(own[n], AsRawFd::as_raw_fd);
        let prepared = Prepared {
            prepare: &self.prepare,
            enter: &self.enter,
            directory: &self.directory,
            arguments: &arguments,
            environment: &environment,
            candidates: &candidates,
            control: child_control.as_raw_fd(),
            service: child_service.as_raw_fd(),
            streams: [0, 1, 2].map(stream),
            shown: shown_areas(),
        };
        let network = if self.namespaces.network { libc::CLONE_NEWNET } else { 0 };
        let flags =
            libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
        let child = fork_with(flags | network, &prepared).map_err(|errno| {
            let why = Refusal::find(&Facts::read());
            SpawnError::Namespaces { errno, why }
        })?;
        drop((child_control, child_service));
        let pid = Pid::from_raw(child).ok_or(SpawnError::Killed)?;
        let process = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => process,
            Err(errno) => {
                // It waits for a message and ends when the socket closes.
                drop(control);
                let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
                return Err(system("watch a process")(errno));
            }
        };
        // From here on dropping it kills and collects the child.
        let contained = Contained {
            pid,
            process,
            control,
            service: Mutex::new(service),
            outcome: Mutex::new(None),
            groups: self.groups,
        };
        let number = pid.as_raw_nonzero().get().cast_unsigned();
        for group in &contained.groups {
            group.add(number).map_err(|source| SpawnError::System { action: "use a control group", source })?;
        }
        self.identities.write(number).map_err(SpawnError::Identities)?;
        contained.send(0).map_err(|_| SpawnError::Killed)?;
        match contained.receive().map_err(system("talk to a process"))? {
            Some([init::STARTED, ..]) => Ok(contained),
            Some([init::FAILED, phase, detail]) => {
                let step = |steps: &[Step]| steps.get((detail >> 16) as usize).map(ToString::to_string);
                let source = io::Error::from_raw_os_error((detail & 0xffff).cast_signed());
                let program = || self.arguments[0].to_string_lossy().into_owned();
                let directory = || format!("change to the directory `{}`", self.directory.to_string_lossy());
                let step = match phase {
                    0 => step(&self.prepare).unwrap_or_else(|| "make a cgroup namespace".to_owned()),
                    1 => step(&self.enter).unwrap_or_else(|| "start a process".to_owned()),
                    2 => directory(),
                    _ => return Err(SpawnError::Start { program: program(), source }),
                };
                Err(step_error(step, source, phase == 0))
            }
            _ => Err(SpawnError::Killed),
        }
    }
}

fn is_denied(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES))
}

fn step_error(step: String, source: io::Error, preparing: bool) -> SpawnError {
    // A namespace that has no rights inside is how AppArmor refuses: the first privileged step fails.
    let refusal =
        (preparing && is_denied(&source)).then(|| Refusal::find(&Facts::read())).filter(|r| *r != Refusal::Unknown);
    SpawnError::Step { step, source, refusal }
}

/// Where the kernel shows this process's arguments and environment from: fields 48 to 51 of its `stat`.
fn shown_areas() -> [(usize, usize); 2] {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<usize> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_ascii_whitespace().skip(45).take(4).filter_map(|f| f.parse().ok()).collect())
        .unwrap_or_default();
    match fields[..] {
        [a, b, c, d] if a != 0 && a < b && b <= c && c <= d => [(a, b), (c, d)],
        _ => [(0, 0); 2],
    }
}

/// Forks into new namespaces; the child never returns.
fn fork_with(flags: libc::c_int, prepared: &Prepared) -> io::Result<libc::pid_t> {
    // SAFETY: all zero is a value of a signal set, and both are writable. Blocking every signal around the fork keeps
    // this program's handlers from running in the child before it has reset them. `clone` with no stack of its own goes on
    // in the child on a copy of this one, as `fork` does; the child only runs `init::run`, which keeps the rules of
    // signal-safety(7) and never returns.
    unsafe {
        let (mut all, mut before): (libc::sigset_t, libc::sigset_t) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        let child = libc::syscall(libc::SYS_clone, flags | libc::SIGCHLD, 0, 0, 0, 0);
        if child == 0 {
            init::run(prepared);
        }
        let result = if child < 0 { Err(io::Error::last_os_error()) } else { Ok(child as libc::pid_t) };
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut());
        result
    }
}

impl Contained {
    fn send(&self, word: u32) -> rustix::io::Result<()> {
        rustix::net::send(&self.control, &word.to_ne_bytes(), SendFlags::NOSIGNAL).map(|_| ())
    }

    fn receive(&self) -> rustix::io::Result<Option<[u32; 3]>> {
        let mut bytes = [0_u8; 12];
        let count = rustix::io::retry_on_intr(|| rustix::net::recv(&self.control, &mut bytes, RecvFlags::empty()));
        match count {
            Ok((12, _)) => {}
            Ok(_) | Err(rustix::io::Errno::CONNRESET) => return Ok(None),
            Err(errno) => return Err(errno),
        }
        let word = |n: usize| u32::from_ne_bytes([bytes[n], bytes[n + 1], bytes[n + 2], bytes[n + 3]]);
        Ok(Some([word(0), word(4), word(8)]))
    }

    /// Sends a signal to the command. One that has ended is no error.
    pub fn signal(&self, signal: i32) {
        if let Ok(signal @ 1..=64) = u32::try_from(signal) {
            let _ = self.send(signal);
        }
    }

    /// Kills the command and everything it has started.
    pub fn kill(&self) {
        let _ = rustix::process::pidfd_send_signal(&self.process, Signal::KILL);
    }

    /// The limits it is under.
    #[must_use]
    pub fn groups(&self) -> &[crate::Group] {
        &self.groups
    }

    /// Bytes of memory that the command and everything it has started take now. While that is no more than `enough` it
    /// may count what they share more than once, which is quicker.
    #[must_use]
    pub fn memory(&self, enough: u64) -> u64 {
        let ended = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if ended { 0 } else { crate::memory::of_tree(self.pid.as_raw_nonzero().get().cast_unsigned(), enough) }
    }

    /// Becomes readable when the command ends.
    #[must_use]
    pub fn ended(&self) -> BorrowedFd<'_> {
        self.process.as_fd()
    }

    /// Waits for the command to end, at most for `timeout`. When it has, no process of it is left.
    ///
    /// # Errors
    /// When the kernel fails to tell.
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<Option<Outcome>> {
        let until = timeout.map(|t| Instant::now() + t);
        loop {
            if let Some(outcome) = *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) {
                return Ok(Some(outcome));
            }
            let left = until.map(|u| u.saturating_duration_since(Instant::now()));
            let limit = left.map(|l| Timespec { tv_sec: l.as_secs().cast_signed(), tv_nsec: l.subsec_nanos().into() });
            let mut watched = [PollFd::new(&self.process, PollFlags::IN)];
            match rustix::event::poll(&mut watched, limit.as_ref()) {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            }
            self.collect()?;
        }
    }

    /// Collects process 1, which has ended, and learns how the command did.
    fn collect(&self) -> io::Result<()> {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        if outcome.is_some() {
            return Ok(());
        }
        let mut told = None;
        while let Some([what, detail, _]) = self.receive()? {
            if what == init::ENDED {
                told = Some(detail.cast_signed());
            }
        }
        let status = rustix::io::retry_on_intr(|| rustix::process::waitpid(Some(self.pid), WaitOptions::empty()))?;
        let own = status.map_or(0, |(_, status)| status.as_raw());
        let status = told.unwrap_or(own);
        *outcome = Some(if libc::WIFSIGNALED(status) {
            Outcome::Signaled(libc::WTERMSIG(status))
        } else {
            Outcome::Exited(libc::WEXITSTATUS(status))
        });
        Ok(())
    }

    /// A new, unconnected, non-blocking TCP socket of the command's network, through which this process can reach what
    /// listens there.
    ///
    /// # Errors
    /// When the command has ended or the kernel refuses.
    pub fn socket(&self, version_6: bool) -> io::Result<TcpStream> {
        let family = if version_6 { libc::AF_INET6 } else { libc::AF_INET };
        let service = self.service.lock().unwrap_or_else(PoisonError::into_inner);
        rustix::net::send(&*service, &family.to_ne_bytes(), SendFlags::NOSIGNAL)?;
        let mut fault = [0_u8; 4];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut rights = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [io::IoSliceMut::new(&mut fault)];
        let received = rustix::io::retry_on_intr(|| {
            rustix::net::recvmsg(&*service, &mut parts, &mut rights, RecvFlags::CMSG_CLOEXEC)
        })?;
        let file = rights.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut files) => files.next(),
            _ => None,
        });
        match (received.bytes, file, i32::from_ne_bytes(fault)) {
            (4, Some(file), 0) => Ok(file.into()),
            (4, None, errno @ 1..) => Err(io::Error::from_raw_os_error(errno)),
            _ => Err(io::Error::from(io::ErrorKind::BrokenPipe)),
        }
    }
}

impl Drop for Contained {
    fn drop(&mut self) {
        let ended = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if !ended {
            self.kill();
            let _ = self.collect();
        }
    }
}
