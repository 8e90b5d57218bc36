//! The plan of a container: which steps make its world, in order.
//!
//! While it is made, a tmpfs of the container's own mount namespace holds `/host` (this machine's root, taken away before
//! the command starts), `/lower` (the checkout, read-only), `/upper` and `/work` (what is written), and `/new`, the overlay
//! of them that becomes the root.
//!
//! As long as `/host` is there, nothing is written through a path that the image has a say in: a link in it could lead to a
//! file of this machine. What has to be there is made in `/upper`, which hides whatever the image has in that place.
//! Owners are set after `/host` is gone.

use crate::container::PATH;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use kiln_model::TreePath;
use kiln_sys::plan::attribute::{NO_DEVICES, NO_SET_USER_ID, READ_ONLY};
use kiln_sys::{Filter, Identities, Namespaces, Plan, Step};

use crate::account::Account;
use crate::container::{Container, Network};
use crate::place::directory_mode;

/// A volume whose place is free of links and whose source is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mounted {
    pub target: TreePath,
    /// Memory when there is none.
    pub source: Option<PathBuf>,
    pub is_file: bool,
    pub read_only: bool,
}

/// What a container is made from, with every outside question answered.
#[derive(Debug)]
pub(crate) struct World<'a> {
    pub container: &'a Container,
    /// Absolute and free of links.
    pub root: PathBuf,
    pub account: Account,
    pub identities: Identities,
    /// Outer ones before those inside them.
    pub volumes: Vec<Mounted>,
    /// The terminal that the command is lent.
    pub console: Option<PathBuf>,
    /// This machine's `/etc/resolv.conf`, for a container that uses its network.
    pub resolver: Option<Vec<u8>>,
}

/// What root may do in a container: what programs need to serve as several users, and nothing that reaches a device or
/// the kernel. chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service, sys_chroot,
/// audit_write, setfcap.
const ROOT_CAPABILITIES: u64 = {
    let bits = [0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 29, 31];
    let (mut set, mut index) = (0, 0);
    while index < bits.len() {
        set |= 1 << bits[index];
        index += 1;
    }
    set
};

impl World<'_> {
    /// The whole plan.
    pub(crate) fn plan(&self) -> Plan {
        let container = self.container;
        let isolated = container.network == Network::Isolated;
        let mut plan = Plan::new(Namespaces { network: isolated }, self.identities.clone());
        plan.make_private();
        plan.mount("tmpfs", &self.root, NO_DEVICES, "mode=755");
        plan.make_directory(self.root.join("host"), 0o755);
        plan.pivot(&self.root, Some("host"));
        self.lay_out_root(&mut plan);
        plan.mount_processes("/new", "/host");
        if isolated {
            // So that a service may listen on 80 without being root; the network is its own.
            plan.write_file("/new/proc/sys/net/ipv4/ip_unprivileged_port_start", "0", 0o644);
        }
        plan.bind("/new/proc/sys", "/new/proc/sys");
        plan.protect("/new/proc/sys", READ_ONLY);
        plan.mount_devices("/new", "/host", self.console.as_deref());
        if container.read_only {
            self.mount_memory(&mut plan);
        }
        for volume in &self.volumes {
            self.mount_volume(&mut plan, volume);
        }
        plan.detach("/host");
        plan.pivot("/new", None);
        plan.host_name(&container.host_name);
        if isolated {
            plan.loopback_up();
        }
        self.give_to_owners(&mut plan);
        if container.read_only {
            plan.protect_only("/", READ_ONLY);
        }
        self.restrict(&mut plan);
        plan.directory(&container.directory);
        plan.command(&container.command, &self.environment());
        plan
    }

    fn lay_out_root(&self, plan: &mut Plan) {
        for folder in ["/lower", "/work", "/new"] {
            plan.make_directory(folder, 0o755);
        }
        plan.make_directory("/upper", directory_mode(&self.root, &TreePath::root()));
        plan.bind_all(on_host(&self.root), "/lower");
        plan.protect("/lower", READ_ONLY | NO_SET_USER_ID | NO_DEVICES);
        let mut made = BTreeSet::new();
        for (name, mode) in [("tmp", 0o1777), ("proc", 0o555), ("dev", 0o755)] {
            plan.make_directory(format!("/upper/{name}"), mode);
            made.extend(name.parse::<TreePath>());
        }
        let etc: Vec<TreePath> = ["etc", "run"].iter().filter_map(|name| name.parse().ok()).collect();
        for path in &etc {
            self.make_upper(plan, &mut made, path);
        }
        for (name, content) in self.etc_files() {
            plan.write_file(format!("/upper/etc/{name}"), content, 0o644);
        }
        for volume in &self.volumes {
            if self.outer(volume).is_some() || (self.container.read_only && is_in_memory(&volume.target)) {
                continue;
            }
            if volume.is_file {
                self.make_upper(plan, &mut made, &volume.target.parent().unwrap_or_default());
                plan.write_file(format!("/upper{}", volume.target), "", 0o644);
            } else {
                self.make_upper(plan, &mut made, &volume.target);
            }
        }
        let layers = "lowerdir=lower,upperdir=upper,workdir=work,userxattr";
        plan.mount_overlay_with_set_user_id("/new", NO_DEVICES, layers);
    }

    /// Makes a directory and those above it in the upper side, with the modes that they have in the image.
    fn make_upper(&self, plan: &mut Plan, made: &mut BTreeSet<TreePath>, path: &TreePath) {
        if path.is_root() || made.contains(path) {
            return;
        }
        self.make_upper(plan, made, &path.parent().unwrap_or_default());
        plan.make_directory(format!("/upper{path}"), directory_mode(&self.root, path));
        made.insert(path.clone());
    }

    fn etc_files(&self) -> Vec<(&'static str, Vec<u8>)> {
        let name = &self.container.host_name;
        let mut files = vec![
            ("hosts", format!("127.0.0.1 localhost {name}\n::1 localhost {name}\n").into_bytes()),
            ("hostname", format!("{name}\n").into_bytes()),
        ];
        files.extend(self.resolver.clone().map(|content| ("resolv.conf", content)));
        files
    }

    /// The volume that a volume is inside, the innermost of them.
    fn outer(&self, volume: &Mounted) -> Option<&Mounted> {
        self.volumes.iter().rfind(|other| other.target != volume.target && volume.target.starts_with(&other.target))
    }

    /// `/tmp` and `/run` in memory, with the directories that the image has there.
    fn mount_memory(&self, plan: &mut Plan) {
        for (name, mode) in [("tmp", 0o1777), ("run", 0o755)] {
            plan.mount("tmpfs", format!("/new/{name}"), NO_DEVICES, &format!("mode={mode:o}"));
            let Ok(top) = name.parse() else { continue };
            let mut left = vec![top];
            while let Some(path) = left.pop() {
                for child in directories(&self.root, &path) {
                    plan.make_directory(format!("/new{child}"), directory_mode(&self.root, &child));
                    left.push(child);
                }
            }
        }
        for volume in self.volumes.iter().filter(|v| is_in_memory(&v.target) && self.outer(v).is_none()) {
            make_place(plan, volume, 1);
        }
    }

    fn mount_volume(&self, plan: &mut Plan, volume: &Mounted) {
        let target = format!("/new{}", volume.target);
        if let Some(Mounted { source: None, target: outer, .. }) = self.outer(volume) {
            make_place(plan, volume, outer.components().count());
        }
        match &volume.source {
            None => {
                let (uid, gid) = (self.account.uid, self.account.gid);
                plan.mount("tmpfs", &target, NO_DEVICES, &format!("mode=755,uid={uid},gid={gid}"));
            }
            Some(source) => {
                plan.bind_all(on_host(source), &target);
                let read_only = if volume.read_only { READ_ONLY } else { 0 };
                plan.protect(&target, NO_SET_USER_ID | NO_DEVICES | read_only);
            }
        }
    }

    fn give_to_owners(&self, plan: &mut Plan) {
        for owned in &self.container.owned {
            let other_content = self.volumes.iter().any(|v| owned.path.starts_with(&v.target));
            // Of `/tmp` and `/run` in memory only the directories were made again.
            let gone = self.container.read_only
                && is_in_memory(&owned.path)
                && !fs::symlink_metadata(self.root.join(owned.path.as_str())).is_ok_and(|m| m.is_dir());
            if other_content || gone {
                continue;
            }
            // With one id, everything belongs to it already, and there is nobody else to give it to.
            let known = self.identities.has_user(owned.uid) && self.identities.has_group(owned.gid);
            let (uid, gid) = if known { (owned.uid, owned.gid) } else { (self.account.uid, self.account.gid) };
            plan.own(owned.path.to_string(), uid, gid, owned.mode);
        }
    }

    fn restrict(&self, plan: &mut Plan) {
        if !self.container.terminal {
            plan.on_entry(Step::NewSession);
        }
        plan.on_entry(Step::FileModeMask(0o022));
        // No `no_new_privs`: `su`, and every service that checks passwords with a set-user-id helper, is of use in a
        // container. What such a program gains is bounded, and is inside the container's user namespace. The filter comes
        // while there is the privilege to install it.
        plan.on_entry(Step::BoundCapabilities(ROOT_CAPABILITIES));
        plan.on_entry(Step::Confine(Filter::confined()));
        if self.identities.may_set_groups() {
            let groups = self.account.groups.iter().copied().filter(|g| self.identities.has_group(*g)).collect();
            plan.on_entry(Step::SupplementaryGroups(groups));
        }
        let capabilities = if self.account.uid == 0 { ROOT_CAPABILITIES } else { 0 };
        plan.on_entry(Step::Become { uid: self.account.uid, gid: self.account.gid });
        plan.on_entry(Step::HoldCapabilities(capabilities));
    }

    fn environment(&self) -> Vec<(String, String)> {
        let mut all: BTreeMap<String, String> = BTreeMap::new();
        all.insert("PATH".to_owned(), PATH.to_owned());
        all.insert("HOME".to_owned(), self.account.home.clone());
        all.insert("HOSTNAME".to_owned(), self.container.host_name.clone());
        if self.container.terminal {
            all.insert("TERM".to_owned(), "xterm".to_owned());
        }
        all.extend(self.container.environment.clone());
        all.into_iter().collect()
    }
}

/// Makes the place of a volume in memory that is mounted already, below so many components that are there.
fn make_place(plan: &mut Plan, volume: &Mounted, there: usize) {
    let mut path = "/new".to_owned();
    let parts: Vec<&str> = volume.target.components().collect();
    for (index, part) in parts.iter().enumerate() {
        path = format!("{path}/{part}");
        if index < there {
            continue;
        }
        if volume.is_file && index + 1 == parts.len() {
            plan.write_file(&path, "", 0o644);
        } else {
            plan.make_directory(&path, 0o755);
        }
    }
}

fn on_host(path: &Path) -> OsString {
    let mut text = OsString::from("/host");
    text.push(path);
    text
}

/// Is it below `/tmp` or `/run`?
fn is_in_memory(path: &TreePath) -> bool {
    matches!(path.components().next(), Some("tmp" | "run"))
}

/// The directories in a directory of the checkout, in order.
fn directories(root: &Path, path: &TreePath) -> Vec<TreePath> {
    let entries = fs::read_dir(root.join(path.as_str())).into_iter().flatten().flatten();
    let is_directory = |e: &fs::DirEntry| e.file_type().is_ok_and(|t| t.is_dir());
    let mut found: Vec<TreePath> =
        entries.filter(is_directory).filter_map(|e| path.join(e.file_name().to_str()?).ok()).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(container: &Container, volumes: Vec<Mounted>) -> Vec<Step> {
        let account = Account { uid: 33, gid: 33, groups: vec![], home: "/".to_owned() };
        let identities = Identities::single(33, 33);
        let root = container.root.clone();
        let world = World { container, root, account, identities, volumes, console: None, resolver: None };
        world.plan().preparation().to_vec()
    }

    #[test]
    fn while_the_host_is_there_files_are_written_only_where_the_image_has_no_say() {
        let mut container = Container::new("/checkout", vec!["x".to_owned()]);
        container.read_only = true;
        let target = |t: &str| TreePath::from_absolute(t).unwrap();
        let volume = |t| Mounted { target: target(t), source: Some("/data".into()), is_file: true, read_only: false };
        let steps = steps(&container, vec![volume("/etc/app/conf"), volume("/run/app/conf")]);
        let gone = steps.iter().position(|s| *s == Step::Detach(c"/host".to_owned())).unwrap();
        for step in &steps[..gone] {
            if let Step::WriteFile { path, .. } | Step::MakeDirectory { path, .. } | Step::Own { path, .. } = step {
                let path = path.to_str().unwrap();
                let own = [
                    "/checkout/host",
                    "/upper",
                    "/lower",
                    "/work",
                    "/new/dev/",
                    "/new/proc/",
                    "/new/run/",
                    "/new/tmp/",
                ];
                assert!(path == "/new" || own.iter().any(|p| path.starts_with(p)), "{path}");
            }
        }
        assert!(steps.len() > gone);
    }

    #[test]
    fn the_content_of_a_volume_is_never_given_away() {
        let mut container = Container::new("/checkout", vec!["x".to_owned()]);
        let owned =
            |path: &str| crate::Owned { path: TreePath::from_absolute(path).unwrap(), uid: 1, gid: 1, mode: 0o700 };
        container.owned = vec![owned("/data"), owned("/data/deep"), owned("/database")];
        let volume = Mounted {
            target: TreePath::from_absolute("/data").unwrap(),
            source: Some("/home/alice".into()),
            is_file: false,
            read_only: false,
        };
        let given: Vec<Step> =
            steps(&container, vec![volume]).into_iter().filter(|s| matches!(s, Step::Own { .. })).collect();
        assert!(matches!(&given[..], [Step::Own { path, .. }] if path.to_str() == Ok("/database")), "{given:?}");
    }
}
