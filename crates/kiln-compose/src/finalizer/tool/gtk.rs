//! What GTK's triggers derive: caches of image loaders, of input methods, and of icon themes.

use super::{Tool, derive};
use crate::finalizer::Finalizer;

static LOADERS_TOOL: Tool = Tool {
    name: "gdk-pixbuf-loaders",
    summary: "The list of image formats that gdk-pixbuf's loaders read, as `gdk-pixbuf-query-loaders` writes it.",
    version: 1,
    program: "/usr/lib/{multiarch}/gdk-pixbuf-2.0/gdk-pixbuf-query-loaders",
    inputs: &["/usr/lib/{multiarch}/gdk-pixbuf-2.0/2.10.0/loaders/*.so"],
    // It tells types of files by the MIME database, which is not needed to list the loaders.
    runs: &[],
    support: &[],
    folders: &["/usr/lib/{multiarch}/gdk-pixbuf-2.0/2.10.0"],
    writes: &["/usr/lib/{multiarch}/gdk-pixbuf-2.0/2.10.0/loaders.cache"],
    owner: None,
    read_only: false,
    bring: None,
    commands: |preparation| {
        // In order of name, as Debian's trigger gives them.
        let loaders = preparation.files("/usr/lib/{multiarch}/gdk-pixbuf-2.0/2.10.0/loaders/*.so");
        let loaders = loaders.iter().map(ToString::to_string);
        Ok(vec![preparation.command(std::iter::once("--update-cache".to_owned()).chain(loaders))])
    },
};

static IMMODULES_TOOL: Tool = Tool {
    name: "gtk-immodules",
    summary: "The list of input methods of GTK 3, as `gtk-query-immodules-3.0` writes it.",
    version: 1,
    program: "/usr/lib/{multiarch}/libgtk-3-0t64/gtk-query-immodules-3.0",
    inputs: &["/usr/lib/{multiarch}/gtk-3.0/3.0.0/immodules/*.so"],
    runs: &[],
    support: &[],
    folders: &["/usr/lib/{multiarch}/gtk-3.0/3.0.0"],
    writes: &["/usr/lib/{multiarch}/gtk-3.0/3.0.0/immodules.cache"],
    owner: None,
    read_only: false,
    bring: None,
    commands: |preparation| Ok(vec![preparation.command(["--update-cache"])]),
};

static IMMODULES_2_TOOL: Tool = Tool {
    name: "gtk2-immodules",
    summary: "The list of input methods of GTK 2, as `gtk-query-immodules-2.0` writes it.",
    version: 1,
    program: "/usr/lib/{multiarch}/libgtk2.0-0t64/gtk-query-immodules-2.0",
    inputs: &["/usr/lib/{multiarch}/gtk-2.0/2.10.0/immodules/*.so"],
    runs: &[],
    support: &[],
    folders: &["/usr/lib/{multiarch}/gtk-2.0/2.10.0"],
    writes: &["/usr/lib/{multiarch}/gtk-2.0/2.10.0/immodules.cache"],
    owner: None,
    read_only: false,
    bring: None,
    commands: |preparation| {
        // It writes down where it looks for more, the home of who runs it among it.
        preparation.environment.insert("HOME".to_owned(), "/root".to_owned());
        Ok(vec![preparation.command(["--update-cache"])])
    },
};

static ICONS_TOOL: Tool = Tool {
    name: "icon-cache",
    summary: "The cache of each icon theme, as `gtk-update-icon-cache` writes it for the themes that have an index.",
    version: 1,
    program: "/usr/bin/gtk-update-icon-cache",
    inputs: &["/usr/share/icons/*/**"],
    runs: &[],
    support: &[],
    folders: &["/usr/share/icons/*"],
    writes: &["/usr/share/icons/*/icon-theme.cache"],
    owner: None,
    read_only: false,
    bring: None,
    commands: |preparation| {
        let themes = preparation.files("/usr/share/icons/*/index.theme");
        let folders = themes.iter().filter_map(|index| index.parent());
        Ok(folders
            .map(|folder| preparation.command(["--force".to_owned(), "--quiet".to_owned(), folder.to_string()]))
            .collect())
    },
};

pub(in super::super) const PIXBUF_LOADERS: Finalizer = LOADERS_TOOL.finalizer(|context| derive(&LOADERS_TOOL, context));
pub(in super::super) const IMMODULES: Finalizer = IMMODULES_TOOL.finalizer(|context| derive(&IMMODULES_TOOL, context));
pub(in super::super) const IMMODULES_2: Finalizer =
    IMMODULES_2_TOOL.finalizer(|context| derive(&IMMODULES_2_TOOL, context));
pub(in super::super) const ICONS: Finalizer = ICONS_TOOL.finalizer(|context| derive(&ICONS_TOOL, context));
