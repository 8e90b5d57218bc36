//! Lending the terminal to a command.
//!
//! A command that shares the terminal gets what is typed, and so does this process: Ctrl-C would end it and take the
//! command along. A shell that manages jobs also makes itself the terminal's foreground group. So while the terminal is
//! lent, this process is deaf to what is typed, and afterwards it takes the foreground back.
#![allow(unsafe_code)]

use std::io::IsTerminal;
use std::path::PathBuf;

/// The device of this process's terminal, if standard input is one.
#[must_use]
pub fn device() -> Option<PathBuf> {
    let name = rustix::termios::ttyname(std::io::stdin(), Vec::new()).ok()?;
    Some(PathBuf::from(name.into_string().ok()?)).filter(|path| path.starts_with("/dev"))
}

/// Signals that a terminal sends for what is typed, and for a background process that writes to it.
const TYPED: [libc::c_int; 3] = [libc::SIGINT, libc::SIGQUIT, libc::SIGTTOU];

/// The terminal while it is lent; dropping this takes it back. Dispositions of signals belong to the whole process, so
/// there can be one of these at a time in a program that cares.
#[derive(Debug)]
pub struct Lent {
    before: [libc::sighandler_t; TYPED.len()],
}

impl Lent {
    /// Lends it.
    #[must_use]
    pub fn new() -> Self {
        // SAFETY: ignoring a signal runs no code. There is no safe interface to a signal's disposition.
        Self { before: TYPED.map(|signal| unsafe { libc::signal(signal, libc::SIG_IGN) }) }
    }
}

impl Default for Lent {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let input = std::io::stdin();
        if input.is_terminal() {
            let _ = rustix::termios::tcsetpgrp(&input, rustix::process::getpgrp());
        }
        for (signal, before) in TYPED.into_iter().zip(self.before) {
            if before != libc::SIG_ERR {
                // SAFETY: the disposition is the one that the same call gave above.
                unsafe { libc::signal(signal, before) };
            }
        }
    }
}
