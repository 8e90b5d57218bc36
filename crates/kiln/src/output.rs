//! Data for standard output. Where nobody reads it any more the command ends as programs do; where it cannot be written
//! the command fails: half a list must not look like a whole one.

use std::fmt::Arguments;
use std::io::{self, Write};

use crate::failure::exit;

/// What a shell reports of a program that SIGPIPE ended.
const BROKEN_PIPE: i32 = 141;

/// Writes one line.
pub fn line(text: Arguments<'_>) {
    if let Err(error) = writeln!(io::stdout().lock(), "{text}") {
        if error.kind() == io::ErrorKind::BrokenPipe {
            std::process::exit(BROKEN_PIPE);
        }
        let _ = writeln!(io::stderr(), "error: cannot write to standard output\n  caused by: {error}");
        std::process::exit(i32::from(exit::FAILED));
    }
}

/// Writes one line of data to standard output, formatted as by `println!`.
macro_rules! say {
    ($($text:tt)*) => { $crate::output::line(format_args!($($text)*)) };
}
pub(crate) use say;
