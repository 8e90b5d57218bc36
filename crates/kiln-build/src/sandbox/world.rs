//! The plan of a sandbox: which steps make its world, in order. Pure but for the ids and the terminal of the caller.

use kiln_sys::plan::attribute::{NO_DEVICES, NO_SET_USER_ID, READ_ONLY};
use kiln_sys::{Filter, Identities, Namespaces, Plan, Resource, Step};

use super::folders::{CHANGES, FILES, Folders, NOTHING, OVERLAY, WORLD};
use super::{Sandbox, etc};

/// The user and group of every build.
const USER: u32 = 1000;

/// Places that are mounts of the sandbox itself.
const TAKEN: [&str; 5] = ["build", "out", "tmp", "dev", "proc"];

/// May a folder be shown here?
pub(super) fn is_free_place(path: &str) -> bool {
    match path.strip_prefix('/').map(|p| p.parse::<kiln_model::TreePath>()) {
        Some(Ok(path)) => path.components().next().is_some_and(|first| !TAKEN.contains(&first)),
        _ => false,
    }
}

/// The fixed environment of every command.
fn environment(sandbox: &Sandbox, terminal: bool) -> Vec<(String, String)> {
    let mut all: std::collections::BTreeMap<String, String> = [
        ("HOME", "/build"),
        ("USER", "build"),
        ("LOGNAME", "build"),
        ("SHELL", "/bin/sh"),
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("LANG", "C.UTF-8"),
        ("LC_ALL", "C.UTF-8"),
        ("TZ", "UTC"),
        ("TMPDIR", "/tmp"),
        ("TERM", if terminal { "xterm" } else { "dumb" }),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    all.insert("SOURCE_DATE_EPOCH".to_owned(), sandbox.source_date_epoch.to_string());
    all.extend(sandbox.environment.clone());
    all.into_iter().collect()
}

/// The whole plan. The paths of `sandbox` must be absolute and free of symbolic links.
pub(super) fn plan(sandbox: &Sandbox, terminal: bool, memory_is_controlled: bool) -> Plan {
    let identities = Identities::single(USER, USER);
    let may_set_groups = identities.may_set_groups();
    let mut plan = Plan::new(Namespaces { network: true }, identities);

    // Any folder serves to mount on: after the pivot it is as it was.
    plan.make_private();
    plan.mount("tmpfs", &sandbox.root, NO_DEVICES, "size=4m,mode=755");
    plan.make_directory(sandbox.root.join("host"), 0o755);
    plan.pivot(&sandbox.root, Some("host"));
    lay_out_root(&mut plan, sandbox);
    lay_out_world(&mut plan, &sandbox.folders);
    plan.mount_processes("/new", "/host");
    // All of it: run by root, the command owns the machine's knobs in /proc/sys as far as the kernel looks at owners.
    plan.protect("/new/proc", READ_ONLY);
    let console = terminal.then(kiln_sys::terminal_device).flatten();
    plan.mount_devices("/new", "/host", console.as_deref());
    let size = sandbox.limits.memory.map(|bytes| format!(",size={bytes}")).unwrap_or_default();
    plan.mount("tmpfs", "/new/tmp", NO_DEVICES, &format!("mode=1777{size}"));
    for (from, to) in [("/world/build", "/new/build"), ("/world/out", "/new/out")] {
        plan.bind(from, to);
        plan.protect(to, NO_SET_USER_ID | NO_DEVICES);
    }
    for (place, name) in &sandbox.writable {
        let to = format!("/new{place}");
        plan.bind(format!("/world/{name}"), &to);
        plan.protect(to, NO_SET_USER_ID | NO_DEVICES);
    }
    show_changed(&mut plan, sandbox);
    plan.detach("/host");
    plan.pivot("/new", None);
    plan.host_name("kiln");
    plan.loopback_up();

    restrict(&mut plan, sandbox, terminal, may_set_groups, memory_is_controlled);
    plan.directory(&sandbox.directory);
    plan.command(&sandbox.command, &environment(sandbox, terminal));
    plan
}

fn bind_from(plan: &mut Plan, from: &std::path::Path, to: &str) {
    let mut path = std::ffi::OsString::from("/host");
    path.push(from);
    plan.bind_all(path, to);
}

fn lay_out_root(plan: &mut Plan, sandbox: &Sandbox) {
    for folder in ["/lower", "/upper", "/upper/etc", "/new"] {
        plan.make_directory(folder, 0o755);
    }
    bind_from(plan, &sandbox.root, "/lower");
    plan.protect("/lower", READ_ONLY | NO_SET_USER_ID | NO_DEVICES);
    for folder in TAKEN {
        plan.make_directory(format!("/upper/{folder}"), 0o755);
    }
    for (name, content) in etc::FILES {
        let content = match (&sandbox.alias, name) {
            (Some(alias), "passwd") => format!("{content}{alias}:x:{USER}:{USER}:{alias}:/build:/bin/sh\n"),
            (Some(alias), "group") => format!("{content}{alias}:x:{USER}:\n"),
            _ => content.to_owned(),
        };
        plan.write_file(format!("/upper/etc/{name}"), content, 0o644);
    }
    // Relative names, because /proc/self/mountinfo shows them as they are given here.
    plan.mount("overlay", "/new", NO_DEVICES, "lowerdir=upper:lower");
}

/// The folders that are written to, at `/world`.
fn lay_out_world(plan: &mut Plan, folders: &Folders) {
    for folder in ["/room", "/world"] {
        plan.make_directory(folder, 0o755);
    }
    bind_from(plan, folders.room(), "/room");
    let layers = format!("lowerdir=room/{NOTHING},upperdir=room/{WORLD},workdir=room/{OVERLAY},userxattr");
    plan.mount_or_bind("overlay", "/world", NO_DEVICES, &layers, format!("/room/{WORLD}"));
}

/// Folders of the root under an overlay of their own.
fn show_changed(plan: &mut Plan, sandbox: &Sandbox) {
    plan.make_directory("/before", 0o755);
    for (index, (place, name)) in sandbox.changed.iter().enumerate() {
        // Bound to a name of its own first: one with a comma or a colon in it would end an option.
        let before = format!("before/{index}");
        plan.make_directory(format!("/{before}"), 0o755);
        plan.bind(format!("/lower{place}"), format!("/{before}"));
        let changes = format!("room/{CHANGES}/{name}");
        let layers = format!("lowerdir={before},upperdir={changes}/{FILES},workdir={changes}/{OVERLAY},userxattr");
        plan.mount("overlay", format!("/new{place}"), NO_DEVICES, &layers);
    }
}

fn restrict(plan: &mut Plan, sandbox: &Sandbox, terminal: bool, may_set_groups: bool, memory_is_controlled: bool) {
    if !terminal {
        plan.on_entry(Step::NewSession);
    }
    plan.on_entry(Step::FileModeMask(0o022));
    let mut limit = |resource, value, hard| plan.on_entry(Step::Limit { resource, value, hard });
    limit(Resource::CoreDump, 0, true);
    limit(Resource::Stack, 8 << 20, false);
    limit(Resource::OpenFiles, 4096, true);
    limit(Resource::Processes, sandbox.limits.processes, true);
    if let Some(bytes) = sandbox.limits.memory
        && !memory_is_controlled
    {
        // Kiln looks at what all processes take together; this stops one that takes much between two looks.
        limit(Resource::Data, bytes.saturating_mul(2), true);
    }
    plan.on_entry(Step::FixedAddresses);
    if may_set_groups {
        plan.on_entry(Step::SupplementaryGroups(Vec::new()));
    }
    plan.on_entry(Step::KeepCapabilities(0));
    let filter = if sandbox.without_flushes { Filter::confined_without_flushes() } else { Filter::confined() };
    plan.on_entry(Step::Confine(filter));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writable_folders_cannot_cover_the_sandboxs_own_mounts() {
        for bad in ["/", "", "relative", "/build", "/out/x", "/proc/self", "/dev", "/tmp/x", "/a/../out", "//out"] {
            assert!(!is_free_place(bad), "{bad}");
        }
        for good in ["/src", "/usr/share/kiln", "/builders"] {
            assert!(is_free_place(good), "{good}");
        }
    }

    #[test]
    fn the_filter_is_the_last_step_and_the_host_is_gone_before_the_command() {
        let sandbox = Sandbox::new("/r", Folders::at("/f"), vec!["true".to_owned()]);
        let plan = plan(&sandbox, false, false);
        assert!(matches!(plan.entry(), [.., Step::KeepCapabilities(0), Step::Confine(_)]));
        let gone = plan.preparation().iter().position(|s| *s == Step::Detach(c"/host".to_owned())).unwrap();
        let after = format!("{:?}", &plan.preparation()[gone + 1..]);
        assert!(!after.contains("/host"), "{after}");
    }

    #[test]
    fn the_environment_holds_nothing_but_what_is_fixed_or_asked_for() {
        let mut sandbox = Sandbox::new("/r", Folders::at("/f"), vec![]);
        sandbox.environment.insert("CFLAGS".to_owned(), "-O2".to_owned());
        sandbox.environment.insert("HOME".to_owned(), "/tmp".to_owned());
        let names: Vec<_> = environment(&sandbox, false).into_iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(
            names.join(" "),
            "CFLAGS=-O2 HOME=/tmp LANG=C.UTF-8 LC_ALL=C.UTF-8 LOGNAME=build \
             PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin SHELL=/bin/sh \
             SOURCE_DATE_EPOCH=315532800 TERM=dumb TMPDIR=/tmp TZ=UTC USER=build"
        );
    }
}
