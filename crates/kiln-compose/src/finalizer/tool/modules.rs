//! Indexes of kernel modules: `modules.dep` and its like, as the kernel packages' postinst has `depmod` make them.

use super::{Tool, derive};
use crate::finalizer::Finalizer;

static TOOL: Tool = Tool {
    name: "depmod",
    summary: "The indexes that `modprobe` finds modules by, as `depmod` writes them, for each kernel in the image.",
    version: 1,
    program: "/usr/sbin/depmod",
    inputs: &[
        "/usr/lib/modules/*/**/*.ko",
        "/usr/lib/modules/*/**/*.ko.xz",
        "/usr/lib/modules/*/**/*.ko.zst",
        "/usr/lib/modules/*/**/*.ko.gz",
    ],
    runs: &[],
    support: &[
        "/usr/lib/modules/*/modules.order",
        "/usr/lib/modules/*/modules.builtin",
        "/usr/lib/modules/*/modules.builtin.modinfo",
        "/usr/lib/depmod.d/*.conf",
        "/etc/depmod.d/*.conf",
        // Loaded when a module is compressed. Without them `depmod` ends well, with indexes that know nothing.
        "/usr/lib/{multiarch}/liblzma.so.5",
        "/usr/lib/{multiarch}/libzstd.so.1",
        "/usr/lib/{multiarch}/libz.so.1",
        "/usr/lib/{multiarch}/libcrypto.so.3",
    ],
    folders: &["/usr/lib/modules/*"],
    writes: &["/usr/lib/modules/*/modules.*"],
    owner: None,
    read_only: false,
    bring: Some("debian:kmod"),
    commands: |preparation| {
        let kernels = preparation.directories("/usr/lib/modules/*");
        let kernels = kernels.iter().filter_map(|path| path.file_name());
        Ok(kernels.map(|kernel| preparation.command(["-a", kernel])).collect())
    },
};

pub(in super::super) const FINALIZER: Finalizer = TOOL.finalizer(|context| derive(&TOOL, context));
