//! Which application opens which type: `mimeinfo.cache`, as the trigger of Debian's `desktop-file-utils` has it made.

use super::{Tool, derive};
use crate::finalizer::Finalizer;

static TOOL: Tool = Tool {
    name: "desktop-database",
    summary: "The list of applications by the MIME types they open, as `update-desktop-database` writes it.",
    version: 1,
    program: "/usr/bin/update-desktop-database",
    inputs: &["/usr/share/applications/**"],
    runs: &[],
    support: &[],
    folders: &["/usr/share/applications"],
    writes: &["/usr/share/applications/mimeinfo.cache"],
    owner: None,
    read_only: false,
    bring: None,
    commands: |preparation| Ok(vec![preparation.command(["-q", "/usr/share/applications"])]),
};

pub(in super::super) const FINALIZER: Finalizer = TOOL.finalizer(|context| derive(&TOOL, context));
