//! Running `git`, cut off from everything that this machine or its user says about Git.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use super::GitError;
use crate::graph::Cancel;

/// How often a running `git` is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// The same, once it has closed its output and is about to end.
const SOON: Duration = Duration::from_millis(1);

/// Settings that hold whatever a repository's own configuration says.
const SETTINGS: [&str; 12] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.excludesFile=/dev/null",
    "core.attributesFile=/dev/null",
    "core.quotePath=false",
    "credential.helper=",
    "gc.auto=0",
    "maintenance.auto=false",
    "fetch.fsckObjects=true",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=30",
    // The project may belong to another user, as in a container. Nothing of it is run.
    "safe.directory=*",
];

/// How to run `git`.
#[derive(Debug, Clone)]
pub struct Git {
    program: OsString,
    environment: Vec<(OsString, OsString)>,
}

impl Git {
    /// The `git` that `PATH` in `environment` leads to. It gets those variables of `environment` that say how to reach
    /// a network (proxies, certificates, the SSH agent) and where programs are, and no others.
    #[must_use]
    pub fn new(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        const PASSED: [&str; 13] = [
            "PATH",
            "HOME",
            "SSH_AUTH_SOCK",
            "SSH_AGENT_PID",
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
            "http_proxy",
            "https_proxy",
            "HTTPS_PROXY",
            "all_proxy",
            "ALL_PROXY",
            "no_proxy",
            "NO_PROXY",
        ];
        let passed = |name: &OsString| PASSED.iter().any(|passed| OsStr::new(passed) == name);
        let environment = environment.into_iter().filter(|(name, _)| passed(name)).collect();
        Self { program: "git".into(), environment }
    }

    fn command(&self, folder: Option<&Path>, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear().envs(self.environment.iter().cloned());
        for (name, value) in [
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_ALLOW_PROTOCOL", "file:https:ssh"),
            ("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=15 -o ServerAliveInterval=15"),
            ("LC_ALL", "C"),
        ] {
            command.env(name, value);
        }
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        if let Some(folder) = folder {
            command.arg("-C").arg(folder);
        }
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command that ends by itself and soon.
    pub(crate) fn output(&self, folder: Option<&Path>, arguments: &[&str]) -> Result<Vec<u8>, GitError> {
        let output = self.command(folder, arguments).output().map_err(GitError::Program)?;
        if output.status.success() { Ok(output.stdout) } else { Err(failure(arguments, &output.stderr)) }
    }

    /// Which of these files of a work tree are ignored, each ended by a NUL byte.
    pub(crate) fn check_ignore(&self, folder: &Path, names: &[&OsStr]) -> Result<Vec<u8>, GitError> {
        let arguments = ["check-ignore", "-z", "--stdin"];
        let mut command = self.command(Some(folder), &arguments);
        let mut child = command.stdin(Stdio::piped()).spawn().map_err(GitError::Program)?;
        let text: Vec<u8> = names.iter().flat_map(|name| [name.as_encoded_bytes(), b"\0"].concat()).collect();
        let input = child.stdin.take();
        let output = std::thread::scope(|scope| {
            // While its output is read, or both would wait. If it ends early its exit code says why.
            scope.spawn(move || input.map(|mut input| input.write_all(&text)));
            child.wait_with_output().map_err(GitError::Program)
        })?;
        // 1 says that none is.
        match output.status.code() {
            Some(0 | 1) => Ok(output.stdout),
            _ => Err(failure(&arguments, &output.stderr)),
        }
    }

    /// Runs a command that may take long; `config`, if there is one, is all the configuration there is, also for the
    /// other side of a local fetch.
    pub(super) fn long(
        &self,
        folder: &Path,
        config: &Path,
        arguments: &[&OsStr],
        cancel: &Cancel,
    ) -> Result<Vec<u8>, GitError> {
        let mut command = self.command(Some(folder), &[]);
        command.env("GIT_CONFIG_GLOBAL", config).args(arguments);
        let shown: Vec<String> = arguments.iter().map(|a| a.to_string_lossy().into_owned()).collect();
        let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
        self.output_with(command, &shown, cancel)
    }

    fn output_with(&self, mut command: Command, shown: &[&str], cancel: &Cancel) -> Result<Vec<u8>, GitError> {
        let mut child = command.spawn().map_err(GitError::Program)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        std::thread::scope(|scope| {
            let output = scope.spawn(|| read_all(stdout));
            let messages = scope.spawn(|| read_all(stderr));
            let status = loop {
                if let Some(status) = child.try_wait().map_err(GitError::Program)? {
                    break status;
                }
                if cancel.is_cancelled() {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(GitError::Cancelled);
                }
                std::thread::sleep(if output.is_finished() { SOON } else { LOOK });
            };
            let output = output.join().unwrap_or_default();
            let messages = messages.join().unwrap_or_default();
            if status.success() { Ok(output) } else { Err(failure(shown, &messages)) }
        })
    }

    /// Starts `git cat-file --batch` for many objects.
    pub(super) fn objects(&self, repository: &Path) -> Result<Batch, GitError> {
        let mut command = self.command(Some(repository), &["cat-file", "--batch", "--buffer"]);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().map_err(GitError::Program)?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        match (input, output) {
            (Some(input), Some(output)) => Ok(Batch { child, input: Some(Box::new(input)), output: Some(output) }),
            _ => Err(GitError::Program(std::io::ErrorKind::BrokenPipe.into())),
        }
    }
}

fn read_all(stream: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        // What was read before an error is still worth showing.
        let _ = stream.read_to_end(&mut bytes);
    }
    bytes
}

fn failure(arguments: &[&str], messages: &[u8]) -> GitError {
    let text = String::from_utf8_lossy(messages);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let told = lines.iter().rev().find(|l| l.starts_with("fatal:") || l.starts_with("error:")).or(lines.last());
    let message = told.map_or("it says nothing", |line| line.trim_start_matches("fatal: "));
    GitError::Failed {
        command: arguments.first().copied().unwrap_or_default().to_owned(),
        message: message.chars().take(300).collect(),
    }
}

/// A running `git cat-file --batch`. Dropped, it is ended.
pub(super) struct Batch {
    child: Child,
    pub input: Option<Box<dyn Write + Send>>,
    pub output: Option<ChildStdout>,
}

impl Batch {
    /// Ends it, whatever it is doing.
    pub fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.end();
    }
}
