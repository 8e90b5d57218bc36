//! Running a command and measuring it.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::process::Outcome;

/// One line of the table.
pub struct Row {
    pub what: String,
    pub seconds: f64,
    pub memory: Option<u64>,
    pub beside: String,
    /// What was promised of it, and whether that holds.
    pub promise: Option<(String, bool)>,
}

impl Row {
    /// A line with nothing to compare with.
    pub fn new(what: impl Into<String>, seconds: f64, memory: Option<u64>) -> Self {
        Self { what: what.into(), seconds, memory, beside: String::new(), promise: None }
    }

    /// With a promise in words, and whether it holds.
    pub fn promised(mut self, text: impl Into<String>, holds: bool) -> Self {
        self.promise = Some((text.into(), holds));
        self
    }

    /// With what it is to be read beside.
    pub fn beside(mut self, text: impl Into<String>) -> Self {
        self.beside = text.into();
        self
    }
}

/// How long a command took, and how much memory it held at most.
#[derive(Clone, Copy)]
pub struct Measured {
    pub seconds: f64,
    pub memory: u64,
}

/// Runs a command to its end. The peak of its memory is read while it runs (`VmHWM`, proc(5)), which only grows.
pub fn measure(command: &mut Command) -> Outcome<Measured> {
    let shown = format!("{command:?}");
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot run {shown}: {error}"))?;
    let status = format!("/proc/{}/status", child.id());
    // What it says is read aside, so that it never waits for a reader.
    let stderr = child.stderr.take();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        if let Some(mut stderr) = stderr {
            let _ = std::io::Read::read_to_string(&mut stderr, &mut text);
        }
        text
    });
    let mut memory = 0;
    let (ended, seconds) = loop {
        if let Some(ended) = child.try_wait().map_err(|error| error.to_string())? {
            break (ended, start.elapsed().as_secs_f64());
        }
        memory = memory.max(peak(&status));
        std::thread::sleep(Duration::from_micros(500));
    };
    let said = reader.join().unwrap_or_default();
    if ended.success() { Ok(Measured { seconds, memory }) } else { Err(format!("{shown} failed: {ended}\n{said}")) }
}

fn peak(status: &str) -> u64 {
    let text = std::fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() << 10
}

/// The middle of several runs; the memory is the most that any held.
pub fn median(times: usize, mut once: impl FnMut(usize) -> Outcome<Measured>) -> Outcome<Measured> {
    let runs = (0..times).map(&mut once).collect::<Outcome<Vec<_>>>()?;
    Ok(middle(runs))
}

/// The middle of several measurements; the memory is the most that any held.
pub fn middle(mut runs: Vec<Measured>) -> Measured {
    runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let memory = runs.iter().map(|run| run.memory).max().unwrap_or_default();
    Measured { seconds: runs[runs.len() / 2].seconds, memory }
}
