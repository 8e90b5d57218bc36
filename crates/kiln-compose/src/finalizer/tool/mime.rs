//! The database of MIME types: `/usr/share/mime`, as the trigger of Debian's `shared-mime-info` has it made.

use super::{Tool, derive};
use crate::finalizer::Finalizer;

static TOOL: Tool = Tool {
    name: "mime-database",
    summary: "The database of MIME types, as `update-mime-database` writes it.",
    version: 1,
    program: "/usr/bin/update-mime-database",
    inputs: &["/usr/share/mime/packages/*.xml"],
    runs: &[],
    support: &[],
    folders: &["/usr/share/mime"],
    writes: &["/usr/share/mime/**"],
    owner: None,
    read_only: false,
    bring: None,
    commands: |preparation| Ok(vec![preparation.command(["/usr/share/mime"])]),
};

pub(in super::super) const FINALIZER: Finalizer = TOOL.finalizer(|context| derive(&TOOL, context));
