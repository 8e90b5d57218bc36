//! A plan: everything a contained command needs, as data that is complete before any process is made.
//!
//! Invariants: every text is a `CString` already, every path is the one the child will use at that moment (before the
//! first `pivot_root` the host's, after it the staging area's), and no step needs memory to be carried out. A path with
//! a NUL byte cannot be one: it is kept as the plan's fault and [`Plan::spawn`] refuses it.

use std::ffi::{CString, OsStr};
use std::fmt;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use crate::{Filter, Identities};

/// Which namespaces the command gets of its own, beside the user, mount and pid namespace that every plan has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Namespaces {
    /// A network with nothing but a loopback interface. Without it, the command uses this machine's network.
    pub network: bool,
}

/// Attributes of a mount, for [`Plan::mount`] and [`Plan::protect`].
pub mod attribute {
    /// Nothing can be written through it.
    pub const READ_ONLY: u64 = 1;
    /// Set-user-id bits and file capabilities have no effect. Every new mount has it.
    pub const NO_SET_USER_ID: u64 = 2;
    /// Device nodes cannot be opened.
    pub const NO_DEVICES: u64 = 4;
    /// Nothing can be executed.
    pub const NO_PROGRAMS: u64 = 8;
}

/// What a limit is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Bytes of writable memory of its own of each process (since Linux 4.7 what it maps counts too).
    Data,
    /// Processes and threads of this user in the command's user namespace (since Linux 5.14; of the whole machine before).
    /// It does not bind the machine's root.
    Processes,
    /// Bytes of a core dump.
    CoreDump,
    /// Bytes of the first thread's stack; it also decides how the address space is laid out.
    Stack,
    /// Open files of each process.
    OpenFiles,
}

impl Resource {
    pub(crate) fn number(self) -> libc::c_uint {
        let number = match self {
            Self::Data => libc::RLIMIT_DATA,
            Self::Processes => libc::RLIMIT_NPROC,
            Self::CoreDump => libc::RLIMIT_CORE,
            Self::Stack => libc::RLIMIT_STACK,
            Self::OpenFiles => libc::RLIMIT_NOFILE,
        };
        number as libc::c_uint
    }
}

/// One thing the child does, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Cuts this mount namespace off from the one it was copied from, both ways.
    MakePrivate,
    /// Mounts a new file system.
    Mount {
        /// Its type.
        kind: CString,
        /// Where.
        target: CString,
        /// Of [`attribute`]; mount(2) gives these the same bits as mount_setattr(2).
        attributes: u64,
        /// Options, as the file system takes them.
        options: CString,
    },
    /// Mounts a new file system, or shows an existing directory there where the kernel refuses the mount.
    MountOrBind {
        /// Its type.
        kind: CString,
        /// Where.
        target: CString,
        /// As in [`Step::Mount`].
        attributes: u64,
        /// As in [`Step::Mount`].
        options: CString,
        /// What is shown otherwise.
        otherwise: CString,
    },
    /// Shows an existing file or directory in another place.
    Bind {
        /// What.
        from: CString,
        /// Where.
        to: CString,
        /// With the mounts below it?
        recursive: bool,
    },
    /// Adds attributes to a mount, and to all below it when `recursive`; it never takes one away.
    Protect {
        /// The mount.
        path: CString,
        /// With the mounts below it?
        recursive: bool,
        /// Of [`attribute`].
        attributes: u64,
    },
    /// Puts nothing over a file (`null`, a device that is empty) or directory (an empty one); a path that is not there is
    /// left alone.
    Mask {
        /// The file or directory.
        path: CString,
        /// Where the null device is at this moment.
        null: CString,
    },
    /// Makes a directory with exactly this mode. One that is there keeps its own mode.
    MakeDirectory {
        /// Where.
        path: CString,
        /// Its mode.
        mode: u32,
    },
    /// Makes a symbolic link.
    MakeSymlink {
        /// Where it leads.
        target: CString,
        /// Where it is.
        path: CString,
    },
    /// Writes a whole file, new or not.
    WriteFile {
        /// Where.
        path: CString,
        /// Its bytes.
        content: Vec<u8>,
        /// Its mode when it is new.
        mode: u32,
    },
    /// Gives a file or directory an owner, then its mode.
    Own {
        /// Which.
        path: CString,
        /// User id, inside.
        uid: u32,
        /// Group id, inside.
        gid: u32,
        /// Its mode, set after the owner, because changing the owner clears special bits. A symbolic link has none.
        mode: u32,
    },
    /// Changes the working directory.
    ChangeDirectory(CString),
    /// Makes the working directory the root, and the old root a directory below it.
    PivotRoot {
        /// Where the old root goes, from the working directory.
        old: CString,
    },
    /// Takes a mount and all below it away.
    Detach(CString),
    /// Sets the host name.
    HostName(CString),
    /// Brings the loopback interface up.
    LoopbackUp,
    /// Begins a session of its own, without a terminal.
    NewSession,
    /// Sets a limit; one that is lower already stays.
    Limit {
        /// On what.
        resource: Resource,
        /// How much.
        value: u64,
        /// For good? Otherwise a process may raise it again, up to what this machine allows.
        hard: bool,
    },
    /// Sets the mask of new files' modes.
    FileModeMask(u32),
    /// Loads every program to the same addresses, so that output which depends on them is the same too.
    FixedAddresses,
    /// Sets the supplementary groups.
    SupplementaryGroups(Vec<u32>),
    /// Becomes this group and user, for good.
    Become {
        /// User id, inside.
        uid: u32,
        /// Group id, inside.
        gid: u32,
    },
    /// Keeps only the capabilities of this bit set, for good, and never gains one from a file.
    KeepCapabilities(u64),
    /// Takes the others out of what this process and its children may ever gain from a file, for good. What it has stays.
    BoundCapabilities(u64),
    /// Keeps only these now. A program with set-user-id, or capabilities of its own, may gain what the bound leaves.
    HoldCapabilities(u64),
    /// Installs a system call filter, for good. Without [`Step::KeepCapabilities`] before it, it needs `CAP_SYS_ADMIN`.
    Confine(Filter),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |c: &CString| c.to_string_lossy().into_owned();
        match self {
            Self::MakePrivate => write!(f, "make the mounts private"),
            Self::Mount { kind, target, .. } | Self::MountOrBind { kind, target, .. } => {
                write!(f, "mount a new {} on `{}`", text(kind), text(target))
            }
            Self::Bind { from, to, .. } => write!(f, "bind `{}` to `{}`", text(from), text(to)),
            Self::Protect { path, .. } => write!(f, "restrict the mount `{}`", text(path)),
            Self::Mask { path, .. } => write!(f, "mask `{}`", text(path)),
            Self::MakeDirectory { path, .. } => write!(f, "make the directory `{}`", text(path)),
            Self::MakeSymlink { path, .. } => write!(f, "make the link `{}`", text(path)),
            Self::WriteFile { path, .. } => write!(f, "write `{}`", text(path)),
            Self::Own { path, uid, gid, .. } => write!(f, "give `{}` to {uid}:{gid}", text(path)),
            Self::ChangeDirectory(path) => write!(f, "change to the directory `{}`", text(path)),
            Self::PivotRoot { .. } => write!(f, "change the root"),
            Self::Detach(path) => write!(f, "take the mount `{}` away", text(path)),
            Self::HostName(name) => write!(f, "set the host name `{}`", text(name)),
            Self::LoopbackUp => write!(f, "bring the loopback interface up"),
            Self::NewSession => write!(f, "begin a session"),
            Self::Limit { resource, value, .. } => write!(f, "limit {resource:?} to {value}"),
            Self::FileModeMask(mask) => write!(f, "set the file mode mask {mask:03o}"),
            Self::FixedAddresses => write!(f, "fix the address layout"),
            Self::SupplementaryGroups(_) => write!(f, "set the supplementary groups"),
            Self::Become { uid, gid } => write!(f, "become user {uid} and group {gid}"),
            Self::KeepCapabilities(_) | Self::BoundCapabilities(_) | Self::HoldCapabilities(_) => {
                write!(f, "drop capabilities")
            }
            Self::Confine(_) => write!(f, "install the system call filter"),
        }
    }
}

/// A command and the world it gets.
#[derive(Debug)]
pub struct Plan {
    pub(crate) namespaces: Namespaces,
    pub(crate) identities: Identities,
    /// Done by process 1 of the pid namespace, with all capabilities in the user namespace.
    pub(crate) prepare: Vec<Step>,
    /// Done by the command's process right before it becomes the command.
    pub(crate) enter: Vec<Step>,
    pub(crate) directory: CString,
    pub(crate) arguments: Vec<CString>,
    pub(crate) environment: Vec<CString>,
    /// Files to try, in order, as the shell would.
    pub(crate) candidates: Vec<CString>,
    pub(crate) streams: [Option<OwnedFd>; 3],
    pub(crate) groups: Vec<crate::Group>,
    pub(crate) fault: Option<String>,
}

impl Plan {
    /// A plan that runs nothing yet.
    #[must_use]
    pub fn new(namespaces: Namespaces, identities: Identities) -> Self {
        Self {
            namespaces,
            identities,
            prepare: Vec::new(),
            enter: Vec::new(),
            directory: c"/".to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            candidates: Vec::new(),
            streams: [None, None, None],
            groups: Vec::new(),
            fault: None,
        }
    }

    /// The steps of the preparation, to look at.
    #[must_use]
    pub fn preparation(&self) -> &[Step] {
        &self.prepare
    }

    /// The steps of the command's process, to look at.
    #[must_use]
    pub fn entry(&self) -> &[Step] {
        &self.enter
    }

    fn text(&mut self, text: impl AsRef<OsStr>) -> CString {
        let text = text.as_ref();
        CString::new(text.as_bytes()).unwrap_or_else(|_| {
            self.fault.get_or_insert_with(|| text.to_string_lossy().into_owned());
            CString::default()
        })
    }

    /// Cuts the mounts off from this machine's.
    pub fn make_private(&mut self) {
        self.prepare.push(Step::MakePrivate);
    }

    /// Mounts an overlay whose set-user-id programs have effect, within what [`Step::BoundCapabilities`] leaves and, as
    /// everywhere here, inside this user namespace.
    pub fn mount_overlay_with_set_user_id(&mut self, target: impl AsRef<OsStr>, attributes: u64, options: &str) {
        let (kind, target, options) = (self.text("overlay"), self.text(target), self.text(options));
        self.prepare.push(Step::Mount { kind, target, attributes, options });
    }

    /// Mounts a new file system, always without set-user-id programs.
    pub fn mount(&mut self, kind: &str, target: impl AsRef<OsStr>, attributes: u64, options: &str) {
        let (kind, target, options) = (self.text(kind), self.text(target), self.text(options));
        let attributes = attributes | attribute::NO_SET_USER_ID;
        self.prepare.push(Step::Mount { kind, target, attributes, options });
    }

    /// Mounts a new file system as [`Plan::mount`] does, or shows the directory `otherwise` there.
    pub fn mount_or_bind(
        &mut self,
        kind: &str,
        target: impl AsRef<OsStr>,
        attributes: u64,
        options: &str,
        otherwise: impl AsRef<OsStr>,
    ) {
        let (kind, target, options) = (self.text(kind), self.text(target), self.text(options));
        let (attributes, otherwise) = (attributes | attribute::NO_SET_USER_ID, self.text(otherwise));
        self.prepare.push(Step::MountOrBind { kind, target, attributes, options, otherwise });
    }

    /// Shows one file or directory in another place, without the mounts below it.
    pub fn bind(&mut self, from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) {
        let (from, to) = (self.text(from), self.text(to));
        self.prepare.push(Step::Bind { from, to, recursive: false });
    }

    /// Shows a directory in another place, with the mounts below it.
    pub fn bind_all(&mut self, from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) {
        let (from, to) = (self.text(from), self.text(to));
        self.prepare.push(Step::Bind { from, to, recursive: true });
    }

    /// Adds attributes to a mount and all below it.
    pub fn protect(&mut self, path: impl AsRef<OsStr>, attributes: u64) {
        let path = self.text(path);
        self.prepare.push(Step::Protect { path, recursive: true, attributes });
    }

    /// Adds attributes to one mount and none below it.
    pub fn protect_only(&mut self, path: impl AsRef<OsStr>, attributes: u64) {
        let path = self.text(path);
        self.prepare.push(Step::Protect { path, recursive: false, attributes });
    }

    /// Puts nothing over a file or directory, if it is there.
    pub fn mask(&mut self, path: impl AsRef<OsStr>, null: impl AsRef<OsStr>) {
        let (path, null) = (self.text(path), self.text(null));
        self.prepare.push(Step::Mask { path, null });
    }

    /// Makes a directory.
    pub fn make_directory(&mut self, path: impl AsRef<OsStr>, mode: u32) {
        let path = self.text(path);
        self.prepare.push(Step::MakeDirectory { path, mode });
    }

    /// Makes a symbolic link.
    pub fn make_symlink(&mut self, target: impl AsRef<OsStr>, path: impl AsRef<OsStr>) {
        let (target, path) = (self.text(target), self.text(path));
        self.prepare.push(Step::MakeSymlink { target, path });
    }

    /// Writes a file.
    pub fn write_file(&mut self, path: impl AsRef<OsStr>, content: impl Into<Vec<u8>>, mode: u32) {
        let path = self.text(path);
        self.prepare.push(Step::WriteFile { path, content: content.into(), mode });
    }

    /// Gives a file or directory an owner and a mode.
    pub fn own(&mut self, path: impl AsRef<OsStr>, uid: u32, gid: u32, mode: u32) {
        let path = self.text(path);
        self.prepare.push(Step::Own { path, uid, gid, mode });
    }

    /// Makes `path` the root; what was the root is then at `old`, a path relative to the new root, or gone when `None`.
    pub fn pivot(&mut self, path: impl AsRef<OsStr>, old: Option<&str>) {
        let path = self.text(path);
        self.prepare.push(Step::ChangeDirectory(path));
        let place = self.text(old.unwrap_or("."));
        self.prepare.push(Step::PivotRoot { old: place });
        if old.is_none() {
            // The old root is stacked on the new one now; `.` is the upper of the two.
            self.prepare.push(Step::Detach(c".".to_owned()));
        }
        self.prepare.push(Step::ChangeDirectory(c"/".to_owned()));
    }

    /// Takes a mount and all below it away.
    pub fn detach(&mut self, path: impl AsRef<OsStr>) {
        let path = self.text(path);
        self.prepare.push(Step::Detach(path));
    }

    /// Sets the host name.
    pub fn host_name(&mut self, name: &str) {
        let name = self.text(name);
        self.prepare.push(Step::HostName(name));
    }

    /// Brings the loopback interface up.
    pub fn loopback_up(&mut self) {
        self.prepare.push(Step::LoopbackUp);
    }

    /// Adds a step of the command's own process.
    pub fn on_entry(&mut self, step: Step) {
        self.enter.push(step);
    }

    /// Sets standard input, output and error; one that is not set is this process's own.
    pub fn stream(&mut self, number: usize, file: OwnedFd) {
        self.streams[number] = Some(file);
    }

    /// Puts the command and all it starts under the limits of a control group.
    pub fn control(&mut self, group: crate::Group) {
        self.groups.push(group);
    }

    /// Sets the working directory of the command.
    pub fn directory(&mut self, path: impl AsRef<OsStr>) {
        self.directory = self.text(path);
    }

    /// Sets the command. A name without a slash is looked for in the `PATH` of `environment`.
    pub fn command(&mut self, arguments: &[String], environment: &[(String, String)]) {
        self.arguments = arguments.iter().map(|a| self.text(a)).collect();
        self.environment = environment.iter().map(|(name, value)| self.text(format!("{name}={value}"))).collect();
        let program = arguments.first().map(String::as_str).unwrap_or_default();
        self.candidates = if program.contains('/') {
            vec![self.text(program)]
        } else {
            let path = environment.iter().find(|(name, _)| name == "PATH").map_or("/usr/bin:/bin", |(_, value)| value);
            path.split(':').filter(|d| d.starts_with('/')).map(|d| self.text(format!("{d}/{program}"))).collect()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan::new(Namespaces { network: true }, Identities::single(1000, 1000))
    }

    #[test]
    fn looks_for_a_bare_name_in_the_path_of_the_command() {
        let mut plan = plan();
        let path = [("PATH".to_owned(), "/usr/bin::relative:/bin".to_owned())];
        plan.command(&["make".to_owned()], &path);
        assert_eq!(plan.candidates, [c"/usr/bin/make".to_owned(), c"/bin/make".to_owned()]);
        plan.command(&["./configure".to_owned()], &path);
        assert_eq!(plan.candidates, [c"./configure".to_owned()]);
    }

    #[test]
    fn a_path_with_a_nul_byte_is_a_fault_of_the_plan() {
        let mut plan = plan();
        plan.bind("/a\0b", "/c");
        assert_eq!(plan.fault.as_deref(), Some("/a\0b"));
    }

    #[test]
    fn a_mount_refuses_set_user_id_programs() {
        let mut plan = plan();
        plan.mount("tmpfs", "/tmp", 0, "");
        assert!(matches!(plan.preparation(), [Step::Mount { attributes, .. }] if attributes & libc::MS_NOSUID != 0));
    }
}
