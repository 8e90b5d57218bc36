//! Copying what a container writes to where it is to go.
//!
//! The pipes are made here and open to every user: a program that has given up root opens `/dev/stdout`, which is the
//! pipe itself, and finds that it may. Where two outputs go to one file, as with `2>&1`, they share a pipe, which keeps
//! their order.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rustix::fs::{Mode, fchmod};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::error::{RunError, system};

/// Pipes that nobody reads yet.
#[derive(Debug, Default)]
pub(crate) struct Relays(Vec<Waiting>);

#[derive(Debug)]
struct Waiting {
    from: File,
    /// The other end of it, for a second output to the same file.
    writer: OwnedFd,
    to: File,
    /// Which file that is.
    file: (u64, u64),
}

impl Relays {
    /// A pipe whose content goes to `to`: its end for writing.
    pub fn add(&mut self, to: &File) -> Result<OwnedFd, RunError> {
        let pipe = |error: rustix::io::Errno| system("make a pipe")(error.into());
        let meta = to.metadata().map_err(system("look at the output's file"))?;
        let file = (meta.dev(), meta.ino());
        if let Some(same) = self.0.iter().find(|waiting| waiting.file == file) {
            return same.writer.try_clone().map_err(system("copy a pipe"));
        }
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(pipe)?;
        fchmod(&writer, Mode::from_raw_mode(0o666)).map_err(pipe)?;
        let given = writer.try_clone().map_err(system("copy a pipe"))?;
        let to = to.try_clone().map_err(system("copy the output's file"))?;
        self.0.push(Waiting { from: File::from(reader), writer, to, file });
        Ok(given)
    }

    /// Begins to copy. The writing ends have to be with the container by now, and nowhere else.
    pub fn start(self) -> Vec<Relay> {
        let start = |Waiting { mut from, writer, to, .. }: Waiting| {
            drop(writer);
            Relay(Mutex::new(Some(thread::spawn(move || {
                // Where the output is gone, as with `| head`, the pipe goes too: the command learns of it as it would without
                // a container.
                let _ = copy(&mut from, &to);
            }))))
        };
        self.0.into_iter().map(start).collect()
    }
}

/// Copies with plain writes. [`io::copy`] moves a pipe's content to a file with splice(2), which does not hold the
/// file's position: of two who write through one, as with `> FILE 2>&1`, one then writes over the other.
fn copy(from: &mut File, mut to: &File) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => to.write_all(&buffer[..n])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A running copy.
#[derive(Debug)]
pub(crate) struct Relay(Mutex<Option<JoinHandle<()>>>);

impl Relay {
    /// Waits for the end of the pipe.
    pub fn finish(&self) {
        if let Some(thread) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}
