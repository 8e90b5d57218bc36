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
    summary: "The lists of what modules of GIO and GTK 4 can do, as `gio-querymodules` writes them.",
    version: 2,
    program: "/usr/lib/{multiarch}/glib-2.0/gio-querymodules",
    inputs: &["/usr/lib/{multiarch}/gio/modules/*.so", "/usr/lib/{multiarch}/gtk-4.0/4.0.0/*/*.so"],
    runs: &[],
    support: &[],
    folders: &["/usr/lib/{multiarch}/gio/modules", "/usr/lib/{multiarch}/gtk-4.0/4.0.0/*"],
    writes: &[
        "/usr/lib/{multiarch}/gio/modules/giomodule.cache",
        "/usr/lib/{multiarch}/gtk-4.0/4.0.0/*/giomodule.cache",
    ],
    owner: None,
    read_only: false,
    bring: None,
    commands: |preparation| {
        let folders = FOLDERS.iter().map(|folder| preparation.expand(folder));
        let with_modules = folders.filter(|folder| !preparation.files(&format!("{folder}/*.so")).is_empty());
        Ok(with_modules.map(|folder| preparation.command([folder])).collect())
    },
};

/// Where modules are looked for.
const FOLDERS: [&str; 3] = [
    "/usr/lib/{multiarch}/gio/modules",
    "/usr/lib/{multiarch}/gtk-4.0/4.0.0/immodules",
    "/usr/lib/{multiarch}/gtk-4.0/4.0.0/printbackends",
];

pub(in super::super) const SCHEMAS: Finalizer = SCHEMAS_TOOL.finalizer(|context| derive(&SCHEMAS_TOOL, context));
pub(in super::super) const GIO_MODULES: Finalizer = MODULES_TOOL.finalizer(|context| derive(&MODULES_TOOL, context));
