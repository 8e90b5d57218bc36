//! Copying what a container writes to where it is to go.
//!
//! The pipes are made here and open to every user: a program that has given up root opens `/dev/stdout`, which is the
//! pipe itself, and finds that it may.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rustix::fs::{Mode, fchmod};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::error::{RunError, system};

/// Pipes that nobody reads yet.
#[derive(Debug, Default)]
pub(crate) struct Relays(Vec<(File, File)>);

impl Relays {
    /// A pipe whose content goes to `to`: its end for writing.
    pub fn add(&mut self, to: &File) -> Result<OwnedFd, RunError> {
        let pipe = |error: rustix::io::Errno| system("make a pipe")(error.into());
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(pipe)?;
        fchmod(&writer, Mode::from_raw_mode(0o666)).map_err(pipe)?;
        let to = to.try_clone().map_err(system("copy the output's file"))?;
        self.0.push((File::from(reader), to));
        Ok(writer)
    }

    /// Begins to copy. The writing ends have to be with the container by now, and nowhere else.
    pub fn start(self) -> Vec<Relay> {
        let start = |(mut from, mut to): (File, File)| {
            Relay(Mutex::new(Some(thread::spawn(move || {
                // Where the output is gone, as with a pager that was left, the container goes on without it.
                let _ = io::copy(&mut from, &mut to).or_else(|_| io::copy(&mut from, &mut io::sink()));
            }))))
        };
        self.0.into_iter().map(start).collect()
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
