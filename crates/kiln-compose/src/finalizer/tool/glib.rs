//! What GLib's triggers derive: compiled settings schemas, and the cache of GIO modules.

use super::{Tool, derive};
use crate::finalizer::Finalizer;

static SCHEMAS_TOOL: Tool = Tool {
    name: "glib-schemas",
    summary: "The compiled schemas of settings, as `glib-compile-schemas` writes them. Programs with a schema stop \
              without them.",
    version: 1,
    program: "/usr/lib/{multiarch}/glib-2.0/glib-compile-schemas",
    inputs: &["/usr/share/glib-2.0/schemas/*.xml", "/usr/share/glib-2.0/schemas/*.override"],
    runs: &[],
    support: &[],
    folders: &["/usr/share/glib-2.0/schemas"],
    writes: &["/usr/share/glib-2.0/schemas/gschemas.compiled"],
    owner: None,
    read_only: false,
    bring: Some("debian:libglib2.0-0t64"),
    commands: |preparation| Ok(vec![preparation.command(["/usr/share/glib-2.0/schemas"])]),
};

static MODULES_TOOL: Tool = Tool {
    name: "gio-modules",
    summary: "The list of what GIO's modules can do, as `gio-querymodules` writes it.",
    version: 1,
    program: "/usr/lib/{multiarch}/glib-2.0/gio-querymodules",
    inputs: &["/usr/lib/{multiarch}/gio/modules/*.so"],
    runs: &[],
    support: &[],
    folders: &["/usr/lib/{multiarch}/gio/modules"],
    writes: &["/usr/lib/{multiarch}/gio/modules/giomodule.cache"],
    owner: None,
    read_only: false,
    bring: None,
    commands: |preparation| {
        let folder = preparation.expand("/usr/lib/{multiarch}/gio/modules");
        Ok(vec![preparation.command([folder])])
    },
};

pub(in super::super) const SCHEMAS: Finalizer = SCHEMAS_TOOL.finalizer(|context| derive(&SCHEMAS_TOOL, context));
pub(in super::super) const GIO_MODULES: Finalizer = MODULES_TOOL.finalizer(|context| derive(&MODULES_TOOL, context));
