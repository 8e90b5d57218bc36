//! The log of what runs in the sandbox.

use std::fs::File;
use std::io::{self, Write};

use crate::graph::Cancel;

/// A log that refuses to go on once the user has said stop, which ends the command that writes.
#[derive(Debug)]
pub struct Log<'a> {
    file: File,
    cancel: &'a Cancel,
}

impl<'a> Log<'a> {
    /// Writes to `file`.
    #[must_use]
    pub fn new(file: File, cancel: &'a Cancel) -> Self {
        Self { file, cancel }
    }

    /// Says what begins.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn heading(&mut self, step: &str) -> io::Result<()> {
        writeln!(self.file, "==> {step}")
    }
}

impl Write for Log<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other("stopped"));
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
