//! The hardware database: `/usr/lib/udev/hwdb.bin`, as the trigger of Debian's `udev` has it made.

use super::{Tool, derive};
use crate::finalizer::Finalizer;

static TOOL: Tool = Tool {
    name: "hwdb",
    summary: "The database of hardware that udev looks properties up in, as `systemd-hwdb update --usr` writes it.",
    version: 1,
    program: "/usr/bin/systemd-hwdb",
    inputs: &["/usr/lib/udev/hwdb.d/*.hwdb"],
    runs: &[],
    support: &[],
    folders: &["/usr/lib/udev"],
    writes: &["/usr/lib/udev/hwdb.bin"],
    owner: None,
    read_only: true,
    bring: None,
    commands: |preparation| Ok(vec![preparation.command(["--usr", "update"])]),
};

pub(in super::super) const FINALIZER: Finalizer = TOOL.finalizer(|context| derive(&TOOL, context));
