//! Databases of dconf, from the keyfiles that packages bring in `/etc/dconf/db/NAME.d`, as `dconf update` compiles them.

use super::{Tool, derive};
use crate::finalizer::Finalizer;

static TOOL: Tool = Tool {
    name: "dconf",
    summary: "The system's databases of settings, as `dconf update` compiles them where a package's hook has it run.",
    version: 1,
    program: "/usr/bin/dconf",
    inputs: &["/etc/dconf/db/*.d/**"],
    runs: &[],
    support: &[],
    folders: &["/etc/dconf/db"],
    writes: &["/etc/dconf/db/*"],
    owner: None,
    read_only: false,
    bring: None,
    commands: |preparation| {
        let asked = preparation.context.hooks("postinst")?.iter().any(|(_, text)| text.contains("dconf update"));
        Ok(if asked { vec![preparation.command(["update"])] } else { Vec::new() })
    },
};

pub(in super::super) const FINALIZER: Finalizer = TOOL.finalizer(|context| derive(&TOOL, context));
