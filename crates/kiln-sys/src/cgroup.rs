//! Limits that the kernel keeps for a whole tree of processes: control groups, version 2 or 1.
//!
//! A group is a directory `kiln-PID-N` in the caller's own group, in one above it, or at the top of the hierarchy,
//! whichever comes first that the caller may write to and that hands the limit down. An ordinary user may only where the
//! system has delegated one, as systemd does for what runs in a user's own services and scopes: their own group has
//! processes, so it hands nothing down, but the slice above it does. Elsewhere [`Group::create`] gives `None`, and the
//! caller has to look after the limit itself. A group whose Kiln was killed is removed by the next one.
//!
//! Source: the kernel's `Documentation/admin-guide/cgroup-v2.rst` and `cgroup-v1/`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a group limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Bytes of memory of all its processes, swapped or not.
    Memory(u64),
    /// Processes and threads.
    Processes(u64),
}

impl Control {
    fn controller(self) -> &'static str {
        match self {
            Self::Memory(_) => "memory",
            Self::Processes(_) => "pids",
        }
    }

    /// Files and values: the first must be written, the others where they are there.
    fn settings(self, unified: bool) -> Vec<(&'static str, String)> {
        match (self, unified) {
            (Self::Memory(bytes), true) => vec![
                ("memory.max", bytes.to_string()),
                ("memory.swap.max", "0".to_owned()),
                ("memory.oom.group", "1".to_owned()),
            ],
            (Self::Memory(bytes), false) => {
                vec![("memory.limit_in_bytes", bytes.to_string()), ("memory.memsw.limit_in_bytes", bytes.to_string())]
            }
            (Self::Processes(count), _) => vec![("pids.max", count.to_string())],
        }
    }
}

/// A control group, removed when dropped.
#[derive(Debug)]
pub struct Group {
    path: PathBuf,
    control: Control,
}

/// One hierarchy as this process sees it.
#[derive(Debug, PartialEq, Eq)]
struct Hierarchy {
    unified: bool,
    mount: PathBuf,
    own: PathBuf,
}

impl Group {
    /// Makes a group with one limit, or `None` where the caller may not.
    #[must_use]
    pub fn create(control: Control) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let hierarchies = hierarchies(&mounts, &own, control.controller());
        hierarchies.iter().find_map(|h| {
            let above = h.own.ancestors().take_while(|folder| folder.starts_with(&h.mount) && **folder != h.mount);
            above.chain([h.mount.as_path()]).find_map(|folder| Self::create_in(folder, h.unified, control))
        })
    }

    fn create_in(folder: &Path, unified: bool, control: Control) -> Option<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        remove_left_behind(folder);
        if unified {
            // A process moves only within what its user may write to: this folder is above where it comes from.
            fs::OpenOptions::new().write(true).open(folder.join("cgroup.procs")).ok()?;
            // Fails in a group that has processes, except the topmost; then the limit's file below is not there.
            let _ = fs::write(folder.join("cgroup.subtree_control"), format!("+{}", control.controller()));
        }
        let name = format!("kiln-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = folder.join(name);
        fs::create_dir(&path).ok()?;
        let group = Self { path, control };
        let settings = control.settings(unified);
        for (index, (file, value)) in settings.iter().enumerate() {
            let file = group.path.join(file);
            if index == 0 {
                write_existing(&file, value).ok()?;
            } else {
                let _ = write_existing(&file, value);
            }
        }
        Some(group)
    }

    /// Puts a process, and all it will start, into the group.
    pub(crate) fn add(&self, pid: u32) -> io::Result<()> {
        write_existing(&self.path.join("cgroup.procs"), &pid.to_string())
    }

    /// What it limits.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control
    }

    /// Did the kernel enforce the limit?
    #[must_use]
    pub fn was_exceeded(&self) -> bool {
        let files = match self.control {
            Control::Memory(_) => ["memory.events", "memory.oom_control"],
            Control::Processes(_) => ["pids.events", "pids.events"],
        };
        let word = match self.control {
            Control::Memory(_) => "oom_kill ",
            Control::Processes(_) => "max ",
        };
        files.iter().filter_map(|f| fs::read_to_string(self.path.join(f)).ok()).any(|text| {
            text.lines().filter_map(|l| l.strip_prefix(word)).any(|n| n.trim().parse::<u64>().is_ok_and(|n| n > 0))
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.path);
    }
}

fn write_existing(path: &Path, value: &str) -> io::Result<()> {
    io::Write::write_all(&mut fs::OpenOptions::new().write(true).open(path)?, value.as_bytes())
}

/// Removes the groups of Kilns that are gone. The kernel refuses to remove one that has processes.
fn remove_left_behind(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|n| n.strip_prefix("kiln-")).and_then(|n| n.split_once('-'));
        if let Some((pid, _)) = owner
            && pid.parse::<u32>().is_ok()
            && !Path::new("/proc").join(pid).exists()
        {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// The hierarchies that may have a controller: that of version 2 first.
fn hierarchies(mounts: &str, own: &str, controller: &str) -> Vec<Hierarchy> {
    let mut found = Vec::new();
    for line in mounts.lines() {
        let Some((place, kind)) = line.split_once(" - ") else { continue };
        let mut place = place.split(' ').skip(3);
        let (Some(root), Some(mount)) = (place.next(), place.next()) else { continue };
        let mut kind = kind.split(' ');
        let unified = match kind.next() {
            Some("cgroup2") => true,
            Some("cgroup") if kind.nth(1).is_some_and(|o| o.split(',').any(|o| o == controller)) => false,
            _ => continue,
        };
        let path = own.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (names, path) = (fields.next()?, fields.next()?);
            let this = if unified { names.is_empty() } else { names.split(',').any(|n| n == controller) };
            this.then_some(path)
        });
        let below = path.and_then(|p| Path::new(p).strip_prefix(root).ok()).unwrap_or(Path::new(""));
        found.push(Hierarchy { unified, mount: mount.into(), own: Path::new(mount).join(below) });
    }
    found.sort_by_key(|h| !h.unified);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn finds_the_own_group_in_both_versions() {
        let mounts = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                      39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n\
                      41 31 0:38 /base /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let own = "4:memory:/a/b\n8:pids:/\n0::/base/user\n";
        let found = hierarchies(mounts, own, "memory");
        let paths: Vec<_> = found.iter().map(|h| (h.unified, h.own.to_str().unwrap())).collect();
        assert_eq!(paths, [(true, "/sys/fs/cgroup/unified/user"), (false, "/sys/fs/cgroup/memory/a/b")]);
    }

    #[test]
    fn removes_the_groups_of_killed_processes_only() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join(format!("kiln-{}-0", process::id()));
        let gone = folder.path().join("kiln-4194999-0");
        let other = folder.path().join("system.slice");
        for path in [&own, &gone, &other] {
            fs::create_dir(path).unwrap();
        }
        remove_left_behind(folder.path());
        assert!(own.exists() && other.exists() && !gone.exists());
    }

    proptest! {
        #[test]
        fn arbitrary_tables_never_panic(mounts in ".*", own in ".*") {
            let _ = hierarchies(&mounts, &own, "pids");
        }
    }
}
