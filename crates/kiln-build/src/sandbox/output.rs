//! What a command writes: streamed to the log, with its end kept for the error message.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use kiln_sys::Contained;
use rustix::event::{PollFd, PollFlags, Timespec};

use super::memory::Watch;
use super::{SandboxError, system};

/// How many lines of a command's output are kept.
pub const TAIL_LINES: usize = 40;

/// How many bytes of one line are kept.
const LINE_BYTES: usize = 4096;

/// The last lines of a stream, in bounded memory.
#[derive(Debug, Default)]
pub(super) struct Tail {
    lines: VecDeque<Vec<u8>>,
    current: Vec<u8>,
}

impl Tail {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        for (index, part) in bytes.split(|b| *b == b'\n').enumerate() {
            if index > 0 {
                self.end_line();
            }
            let room = LINE_BYTES - self.current.len();
            self.current.extend_from_slice(&part[..part.len().min(room)]);
        }
    }

    fn end_line(&mut self) {
        if self.lines.len() == TAIL_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(std::mem::take(&mut self.current));
    }

    pub(super) fn into_lines(mut self) -> Vec<String> {
        if !self.current.is_empty() {
            self.end_line();
        }
        self.lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    }
}

/// Why Kiln killed a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped {
    OutOfTime,
    OutOfMemory,
}

/// Copies what comes through the pipe until the command ends, and kills it at the end of its time or memory. Did it?
///
/// The pipe's end is not waited for: a process that the command left behind may hold it open, and is killed with it.
pub(super) fn follow(
    contained: &Contained,
    pipe: OwnedFd,
    time: Duration,
    mut watch: Watch,
    log: &mut (dyn Write + Send),
    tail: &mut Tail,
) -> Result<Option<Stopped>, SandboxError> {
    rustix::io::ioctl_fionbio(&pipe, true).map_err(|e| system("set up a pipe")(e.into()))?;
    let mut pipe = std::fs::File::from(pipe);
    let until = Instant::now() + time;
    let mut stopped = None;
    let mut open = true;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if stopped.is_none() {
            stopped = if left.is_zero() {
                Some(Stopped::OutOfTime)
            } else {
                watch.is_over(contained).then_some(Stopped::OutOfMemory)
            };
            if stopped.is_some() {
                contained.kill();
            }
        }
        let left = watch.pause().map_or(left, |pause| pause.min(left));
        let limit = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        let ended = PollFd::from_borrowed_fd(contained.ended(), PollFlags::IN);
        let mut watched = vec![ended];
        if open {
            watched.push(PollFd::new(&pipe, PollFlags::IN));
        }
        match rustix::event::poll(&mut watched, stopped.is_none().then_some(&limit)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(system("wait for a process")(errno.into())),
        }
        let over = !watched[0].revents().is_empty();
        drop(watched);
        if over {
            // Process 1 has ended, so every writer is dead and all that was written is in the pipe.
            contained.wait(None).map_err(system("wait for a process"))?;
        }
        if open {
            // A command that writes without end must not keep its time from running out.
            let rounds = if over { usize::MAX } else { 16 };
            open = drain(&mut pipe, rounds, log, tail)?;
        }
        if over {
            return log.flush().map(|()| stopped).map_err(SandboxError::Log);
        }
    }
}

/// Copies what is in the pipe now, in at most so many reads. Is it still open?
fn drain(
    pipe: &mut std::fs::File,
    rounds: usize,
    log: &mut (dyn Write + Send),
    tail: &mut Tail,
) -> Result<bool, SandboxError> {
    let mut buffer = [0_u8; 64 * 1024];
    for _ in 0..rounds {
        match pipe.read(&mut buffer) {
            Ok(0) => return Ok(false),
            Ok(count) => {
                tail.push(&buffer[..count]);
                log.write_all(&buffer[..count]).map_err(SandboxError::Log)?;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(source) => return Err(system("read the command's output")(source)),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keeps_the_last_lines_whole() {
        let mut tail = Tail::default();
        for n in 0..100 {
            tail.push(format!("line {n}\n").as_bytes());
        }
        tail.push(b"no end");
        let lines = tail.into_lines();
        assert_eq!(lines.len(), TAIL_LINES);
        assert_eq!((lines[0].as_str(), lines[39].as_str()), ("line 61", "no end"));
    }

    proptest! {
        #[test]
        fn is_the_same_however_the_stream_is_cut(text in "[a-c\n]{0,200}", cut in 0usize..200) {
            let cut = cut.min(text.len());
            let (mut whole, mut parts) = (Tail::default(), Tail::default());
            whole.push(text.as_bytes());
            parts.push(&text.as_bytes()[..cut]);
            parts.push(&text.as_bytes()[cut..]);
            prop_assert_eq!(whole.into_lines(), parts.into_lines());
        }

        #[test]
        fn takes_bounded_memory(chunks in proptest::collection::vec("[x\n]{0,3000}", 0..20)) {
            let mut tail = Tail::default();
            for chunk in &chunks {
                tail.push(chunk.as_bytes());
            }
            let lines = tail.into_lines();
            prop_assert!(lines.len() <= TAIL_LINES && lines.iter().all(|l| l.len() <= LINE_BYTES));
        }
    }
}
