//! The journal's catalog of messages: `/var/lib/systemd/catalog/database`, as Debian's `systemd` has it made.

use super::{Tool, derive};
use crate::finalizer::Finalizer;

static TOOL: Tool = Tool {
    name: "journal-catalog",
    summary: "The database of explanations that `journalctl -x` shows, as `journalctl --update-catalog` writes it.",
    version: 1,
    program: "/usr/bin/journalctl",
    inputs: &["/usr/lib/systemd/catalog/*.catalog"],
    runs: &[],
    support: &[],
    folders: &["/var/lib/systemd/catalog"],
    writes: &["/var/lib/systemd/catalog/database"],
    owner: None,
    read_only: false,
    bring: None,
    commands: |preparation| Ok(vec![preparation.command(["--update-catalog"])]),
};

pub(in super::super) const FINALIZER: Finalizer = TOOL.finalizer(|context| derive(&TOOL, context));
