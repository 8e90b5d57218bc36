//! Mounts that builds and containers have in common: a minimal `/dev` and a `/proc` of their own.
//!
//! Both are made while this machine's root is still at `host`: device nodes are taken from it, because nobody may make one
//! in a user namespace, and the kernel allows a new `/proc` only where one is seen already.

use std::path::Path;

use crate::Plan;
use crate::plan::attribute::{NO_DEVICES, NO_PROGRAMS, READ_ONLY};

/// Device nodes that say nothing and do nothing.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Parts of `/proc` that tell of this machine or act on it.
const MASKED: [&str; 25] = [
    "acpi",
    "asound",
    "bus",
    "cmdline",
    "config.gz",
    "diskstats",
    "driver",
    "fs",
    "interrupts",
    "iomem",
    "ioports",
    "irq",
    "kallsyms",
    "kcore",
    "key-users",
    "keys",
    "kmsg",
    "latency_stats",
    "modules",
    "partitions",
    "sched_debug",
    "scsi",
    "swaps",
    "sysrq-trigger",
    "timer_list",
];

impl Plan {
    /// Mounts a `/dev` at `root`/dev, which must be a directory. Only `shm` and `pts` in it can be written to.
    ///
    /// A terminal of this machine that the command is lent becomes `console`: a program that asks for its terminal's name
    /// (`tty`, a shell's prompt, `gpg`) must find it in the `/dev` that it sees.
    pub fn mount_devices(&mut self, root: &str, host: &str, terminal: Option<&Path>) {
        let dev = format!("{root}/dev");
        self.mount("tmpfs", &dev, NO_PROGRAMS, "size=64k,mode=755");
        let devices = DEVICES.map(|name| (format!("/dev/{name}"), name));
        let console = terminal.map(|path| (path.display().to_string(), "console"));
        for (from, name) in devices.into_iter().chain(console) {
            self.write_file(format!("{dev}/{name}"), "", 0o666);
            self.bind(format!("{host}{from}"), format!("{dev}/{name}"));
        }
        let links = [
            ("/proc/self/fd", "fd"),
            ("/proc/self/fd/0", "stdin"),
            ("/proc/self/fd/1", "stdout"),
            ("/proc/self/fd/2", "stderr"),
            ("pts/ptmx", "ptmx"),
        ];
        for (target, name) in links {
            self.make_symlink(target, format!("{dev}/{name}"));
        }
        self.make_directory(format!("{dev}/shm"), 0o755);
        self.make_directory(format!("{dev}/pts"), 0o755);
        self.protect(&dev, READ_ONLY);
        self.mount("tmpfs", format!("{dev}/shm"), NO_DEVICES, "mode=1777");
        self.mount("devpts", format!("{dev}/pts"), NO_PROGRAMS, "newinstance,ptmxmode=0666,mode=620");
    }

    /// Mounts a `/proc` at `root`/proc, which must be a directory. The caller makes of it what it wants read-only.
    pub fn mount_processes(&mut self, root: &str, host: &str) {
        self.mount("proc", format!("{root}/proc"), NO_DEVICES | NO_PROGRAMS, "");
        for name in MASKED {
            self.mask(format!("{root}/proc/{name}"), format!("{host}/dev/null"));
        }
    }
}
