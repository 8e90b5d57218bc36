//! How much memory a process and everything below it take, as `/proc` tells. For where the kernel keeps no limit for a
//! whole tree of processes.
//!
//! Processes of a namespace whose first one is known are all found below it: who loses its parent becomes the first
//! one's child. What starts or ends while it is looked for may be missed; whoever looks again soon finds it.
//!
//! Sources: proc_pid_status(5), proc_pid_smaps(5), proc_tid_children(5).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Bytes of memory of `root` and all below it. Pages that several of them share count once, but that takes the kernel a
/// while to tell: while the plain sum, which counts them often, is no more than `enough`, that is given.
pub(crate) fn of_tree(root: u32, enough: u64) -> u64 {
    let processes = tree(root);
    let resident = |pid: &u32| read(*pid, "status").and_then(|text| bytes(&text, "VmRSS:")).unwrap_or(0);
    let sum: u64 = processes.iter().map(resident).sum();
    if sum <= enough {
        return sum;
    }
    // There each page is divided by the number of those who share it.
    let share = |pid: &u32| read(*pid, "smaps_rollup").and_then(|text| bytes(&text, "Pss:"));
    processes.iter().map(|pid| share(pid).unwrap_or_else(|| resident(pid))).sum()
}

fn read(pid: u32, file: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/{file}")).ok()
}

/// What a line `NAME: N kB` tells.
fn bytes(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(value.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.saturating_mul(1024))
}

/// The parent's number in `stat`. The name before it may have any character, brackets too.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// `root` and all below it.
fn tree(root: u32) -> BTreeSet<u32> {
    // Not every kernel has the files `children`; a table of all processes costs more.
    let told = fs::metadata("/proc/thread-self/children").is_ok();
    let table = if told { BTreeMap::new() } else { table() };
    let mut found = BTreeSet::from([root]);
    let mut todo = vec![root];
    while let Some(pid) = todo.pop() {
        let children = if told { children(pid) } else { table.get(&pid).cloned().unwrap_or_default() };
        todo.extend(children.into_iter().filter(|child| found.insert(*child)));
    }
    found
}

/// The children of every thread of a process.
fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_ascii_whitespace().filter_map(|n| n.parse().ok()).collect::<Vec<_>>()).collect()
}

/// Everybody's children.
fn table() -> BTreeMap<u32, Vec<u32>> {
    let mut table: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(pid) = pid
            && let Some(parent) = read(pid, "stat").and_then(|stat| parent(&stat))
        {
            table.entry(parent).or_default().push(pid);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_child_is_found_either_way_and_takes_memory() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let own = std::process::id();
        assert!(table()[&own].contains(&child.id()));
        assert!(tree(own).contains(&child.id()));
        let (alone, both) = (of_tree(child.id(), u64::MAX), of_tree(own, u64::MAX));
        assert!(alone > 0 && both > alone, "{alone} {both}");
        assert!(of_tree(own, 0) <= both.max(of_tree(own, u64::MAX)), "what is shared counts once");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(of_tree(child.id(), 0), 0, "who is gone takes none");
    }

    #[test]
    fn the_files_of_the_kernel_are_read() {
        assert_eq!(bytes("Name:\tsh\nVmHWM:\t 20 kB\nVmRSS:\t    10 kB\nRssAnon: 1 kB\n", "VmRSS:"), Some(10_240));
        let rollup = "55d-7ff ---p 0 0 0 [rollup]\nRss:   900 kB\nPss_Dirty: 7 kB\nPss:   120 kB\n";
        assert_eq!((bytes(rollup, "Pss:"), bytes(rollup, "VmRSS:")), (Some(122_880), None));
        assert_eq!(parent("12 (a) S 7) R 345 12 12 0"), Some(345));
    }

    proptest! {
        #[test]
        fn arbitrary_texts_never_panic(text in "(?s).*") {
            let _ = (bytes(&text, "Pss:"), parent(&text));
        }
    }
}
