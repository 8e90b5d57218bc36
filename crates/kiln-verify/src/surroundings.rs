//! What is around a build, and how a command is started in it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kiln_sys::{Identities, Namespaces, Outcome, Plan, SpawnError};
use rustix::fs::Mode;

/// What is around a build. The default is what is around this process.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Folders between the temporary folder and what lies in it.
    pub place: String,
    /// Actions at once.
    pub jobs: Option<usize>,
    /// Cores that may be used.
    pub cores: Option<usize>,
    /// The file mode mask.
    pub mask: Option<u32>,
    /// Variables that are set.
    pub environment: BTreeMap<String, String>,
    /// Another user and group, of this number.
    pub user: Option<u32>,
    /// Do the store and the outputs lie in memory?
    pub in_memory: bool,
    /// Are host name, processes and network its own?
    pub apart: bool,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Did it do what it should?
    pub succeeded: bool,
    /// What it printed.
    pub stdout: String,
    /// What it said.
    pub stderr: String,
}

/// Why a command could not be run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The system did not do something.
    #[error("cannot {action}")]
    System {
        /// What.
        action: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The namespaces could not be had.
    #[error("cannot run it in namespaces of its own")]
    Spawn(#[from] SpawnError),
    /// A path or variable is no text.
    #[error("`{0}` is not valid UTF-8")]
    Text(String),
}

impl RunError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Spawn(error) => error.hint(),
            _ => None,
        }
    }
}

fn system(action: &'static str) -> impl Fn(io::Error) -> RunError {
    move |source| RunError::System { action, source }
}

impl Surroundings {
    /// Where file systems in memory are mounted: `file-hierarchy(7)`.
    pub const MEMORY: &'static str = "/dev/shm";

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// Runs a program to its end in the folder `directory`. `environment` is all that it would have had.
    ///
    /// # Errors
    /// When it could not be started. A program that fails is no error.
    pub fn run(
        &self,
        program: &Path,
        arguments: &[OsString],
        environment: &[(OsString, OsString)],
        directory: &Path,
    ) -> Result<Ended, RunError> {
        let (mut out, mut err) = (anonymous()?, anonymous()?);
        let copy = |file: &File| file.try_clone().map_err(system("copy a file descriptor"));
        let streams = [copy(&out)?, copy(&err)?];
        let mut variables: BTreeMap<OsString, OsString> = environment.iter().cloned().collect();
        variables.extend(self.environment.iter().map(|(name, value)| (name.into(), value.into())));
        let succeeded = self.with_mask(|| {
            // What a thread may use, the processes it starts may.
            std::thread::scope(|scope| {
                let started = scope.spawn(|| {
                    self.take_cores()?;
                    let invocation = Invocation { program, arguments, variables: &variables, directory, streams };
                    if self.apart { invocation.run_apart() } else { invocation.run_here(self.user) }
                });
                started.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
        })?;
        Ok(Ended { succeeded, stdout: text(&mut out)?, stderr: text(&mut err)? })
    }

    /// The mask is the process's, so it is another one only while a command runs.
    fn with_mask<T>(&self, work: impl FnOnce() -> T) -> T {
        let Some(mask) = self.mask else { return work() };
        let before = rustix::process::umask(Mode::from_raw_mode(mask));
        let done = work();
        rustix::process::umask(before);
        done
    }

    fn take_cores(&self) -> Result<(), RunError> {
        let Some(cores) = self.cores else { return Ok(()) };
        let failed = |errno: rustix::io::Errno| system("choose cores")(errno.into());
        let may = rustix::thread::sched_getaffinity(None).map_err(failed)?;
        let mut chosen = rustix::thread::CpuSet::new();
        let all = 0..rustix::thread::CpuSet::MAX_CPU;
        all.filter(|core| may.is_set(*core)).take(cores).for_each(|core| chosen.set(core));
        rustix::thread::sched_setaffinity(None, &chosen).map_err(failed)
    }
}

/// A command, with where what it says goes.
struct Invocation<'a> {
    program: &'a Path,
    arguments: &'a [OsString],
    variables: &'a BTreeMap<OsString, OsString>,
    directory: &'a Path,
    streams: [File; 2],
}

impl Invocation<'_> {
    /// Runs it among all that is here, as `user` if one is named.
    fn run_here(self, user: Option<u32>) -> Result<bool, RunError> {
        let [out, err] = self.streams;
        let mut command = Command::new(self.program);
        command.args(self.arguments).env_clear().envs(self.variables).current_dir(self.directory);
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        Ok(command.status().map_err(system("run it"))?.success())
    }

    /// Runs it among no other processes, with nothing but loopback for a network, on a host of another name.
    fn run_apart(self) -> Result<bool, RunError> {
        let string = |value: &OsString| {
            value.clone().into_string().map_err(|value| RunError::Text(value.to_string_lossy().into_owned()))
        };
        let mut command = vec![string(&self.program.as_os_str().to_owned())?];
        for argument in self.arguments {
            command.push(string(argument)?);
        }
        let mut environment = Vec::new();
        for (name, value) in self.variables {
            environment.push((string(name)?, string(value)?));
        }
        let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let mut plan = Plan::new(Namespaces { network: true }, Identities::single(user, group));
        plan.make_private();
        plan.mount("proc", "/proc", 0, "");
        plan.host_name("elsewhere");
        plan.loopback_up();
        plan.directory(self.directory);
        plan.command(&command, &environment);
        let null: OwnedFd = File::open("/dev/null").map_err(system("open `/dev/null`"))?.into();
        let [out, err] = self.streams;
        for (number, file) in [(0, null), (1, out.into()), (2, err.into())] {
            plan.stream(number, file);
        }
        let ended = plan.spawn()?.wait(None).map_err(system("wait for a process"))?;
        Ok(ended == Some(Outcome::Exited(0)))
    }
}

/// A file without a name, which no pipe's size limits.
fn anonymous() -> Result<File, RunError> {
    let name = std::ffi::CString::new("kiln-verify").unwrap_or_default();
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    rustix::fs::memfd_create(&name, flags)
        .map(Into::into)
        .map_err(|errno| system("make a file in memory")(errno.into()))
}

fn text(file: &mut File) -> Result<String, RunError> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut bytes)).map_err(system("read what it said"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

impl Surroundings {
    /// The folder that temporary ones are made in, below `usual` unless they lie in memory.
    #[must_use]
    pub fn below(&self, usual: &Path) -> PathBuf {
        if self.in_memory { PathBuf::from(Self::MEMORY) } else { usual.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(surroundings: &Surroundings, script: &str) -> String {
        let arguments = ["-c", script].map(OsString::from);
        let environment = [("PATH", "/usr/bin:/bin:/usr/sbin:/sbin"), ("KEPT", "kept"), ("LANG", "C")]
            .map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let ended = surroundings.run(Path::new("/bin/sh"), &arguments, &environment, Path::new("/")).unwrap();
        assert!(ended.succeeded, "{ended:?}");
        ended.stdout.trim().to_owned()
    }

    #[test]
    fn the_default_is_what_is_around_already() {
        assert_eq!(says(&Surroundings::default(), "echo $KEPT $LANG; pwd"), "kept C\n/");
    }

    #[test]
    fn each_change_is_seen_by_the_command_and_by_nobody_afterwards() {
        let mut changed = Surroundings { mask: Some(0o077), cores: Some(1), ..Surroundings::default() };
        changed.set("LANG", "tr_TR.UTF-8");
        let before = says(&Surroundings::default(), "umask; nproc");
        assert_eq!(says(&changed, "umask; nproc; echo $LANG"), "0077\n1\ntr_TR.UTF-8");
        assert_eq!(says(&Surroundings::default(), "umask; nproc"), before);
    }

    #[test]
    fn in_memory_is_a_file_system_in_memory_and_another_user_is_another_user() {
        let memory = Surroundings { in_memory: true, ..Surroundings::default() };
        let usual = Path::new("/usual");
        assert_eq!((memory.below(usual), Surroundings::default().below(usual)), ("/dev/shm".into(), usual.to_owned()));
        if rustix::process::geteuid().is_root() {
            let other = Surroundings { user: Some(64_999), ..Surroundings::default() };
            assert_eq!(says(&other, "id -u; id -g"), "64999\n64999");
        }
    }

    #[test]
    fn apart_there_is_another_host_name_and_no_other_process() {
        let apart = Surroundings { apart: true, ..Surroundings::default() };
        let said =
            says(&apart, "uname -n; ls /proc | grep -c '^[0-9]'; id -u; ls /sys/class/net 2> /dev/null | head -1");
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[0], "elsewhere");
        assert!(lines[1].parse::<u32>().unwrap() < 8, "{said}");
        assert_eq!(lines[2], rustix::process::geteuid().as_raw().to_string());
    }

    #[test]
    fn a_command_that_fails_is_told_apart_from_one_that_cannot_be_run() {
        let arguments = ["-c", "echo no >&2; exit 3"].map(OsString::from);
        for apart in [false, true] {
            let surroundings = Surroundings { apart, ..Surroundings::default() };
            let ended = surroundings.run(Path::new("/bin/sh"), &arguments, &[], Path::new("/")).unwrap();
            assert!(!ended.succeeded);
            assert_eq!(ended.stderr.trim(), "no");
            assert!(surroundings.run(Path::new("/no/such"), &[], &[], Path::new("/")).is_err());
        }
    }
}
