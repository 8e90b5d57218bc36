//! Fontconfig's caches of fonts: `/var/cache/fontconfig`, as the trigger of Debian's `fontconfig` has them made.
//!
//! A cache is named by the digest of its folder's path and holds the folder's modification time, which here is the one
//! time of every path. It serves as long as the machine shows the folder with that time.

use super::{Tool, derive};
use crate::finalizer::Finalizer;

static TOOL: Tool = Tool {
    name: "fontconfig",
    summary: "Fontconfig's caches, one for each folder of fonts, as `fc-cache -s` writes them.",
    version: 1,
    program: "/usr/bin/fc-cache",
    inputs: &["/usr/share/fonts/**", "/usr/local/share/fonts", "/usr/local/share/fonts/**"],
    runs: &[],
    support: &["/etc/fonts/**", "/usr/share/fontconfig/**", "/usr/share/xml/fontconfig/**"],
    folders: &["/var/cache/fontconfig"],
    writes: &["/var/cache/fontconfig/*"],
    owner: None,
    read_only: false,
    bring: None,
    commands: |preparation| Ok(vec![preparation.command(["-s", "-f"])]),
};

pub(in super::super) const FINALIZER: Finalizer = TOOL.finalizer(|context| derive(&TOOL, context));
