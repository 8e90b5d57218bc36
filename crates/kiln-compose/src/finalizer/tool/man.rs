//! The index of manual pages: `/var/cache/man`, as the trigger of Debian's `man-db` has it made.

use super::{Tool, derive};
use crate::finalizer::Finalizer;

static TOOL: Tool = Tool {
    name: "man-db",
    summary: "The index of manual pages that `man -k` and `whatis` search, as `mandb -c` writes it.",
    version: 1,
    program: "/usr/bin/mandb",
    inputs: &["/usr/share/man/**", "/usr/local/share/man/**", "/usr/local/man/**"],
    runs: &[],
    support: &["/etc/manpath.config", "/usr/lib/{multiarch}/gconv/**", "/usr/libexec/man-db/*"],
    folders: &["/var/cache/man"],
    writes: &["/var/cache/man", "/var/cache/man/**"],
    owner: Some("man"),
    read_only: false,
    bring: None,
    commands: |preparation| Ok(vec![preparation.command(["-c", "-q"])]),
};

pub(in super::super) const FINALIZER: Finalizer = TOOL.finalizer(|context| derive(&TOOL, context));
