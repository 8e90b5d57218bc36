//! Why the kernel refuses a user namespace, and which knob to turn.
//!
//! Kiln does not go on without its walls. What it can do is name what stands in the way, which the bare `EPERM` or `ENOSPC`
//! does not. [`Refusal::find`] is pure over [`Facts`], which [`Facts::read`] collects.

use std::fs;

/// What this machine says about user namespaces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// `/proc/sys/kernel/unprivileged_userns_clone`, a knob of Debian and its kin.
    pub unprivileged_clone: Option<u64>,
    /// `/proc/sys/kernel/apparmor_restrict_unprivileged_userns`, a knob of Ubuntu.
    pub apparmor_restricts: Option<u64>,
    /// `/proc/sys/user/max_user_namespaces`; `None` when the kernel has no user namespaces at all.
    pub maximum: Option<u64>,
    /// The limits beside it that are zero.
    pub other_zero_limits: Vec<String>,
    /// Is a system call filter on this process already, as in a container?
    pub filtered: bool,
    /// Is this root?
    pub root: bool,
}

/// What stands in the way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The kernel was built without them.
    #[error("this kernel has no user namespaces")]
    NotInKernel,
    /// The number of them is limited to zero, or the limit is reached.
    #[error("the kernel allows no more namespaces: `{knob}` is {value}")]
    Limit {
        /// The knob.
        knob: String,
        /// What it is set to.
        value: u64,
    },
    /// Only root may make them.
    #[error("the kernel lets only root make user namespaces: `{knob}` is {value}")]
    Knob {
        /// The knob.
        knob: &'static str,
        /// What it is set to.
        value: u64,
        /// What it should be.
        wanted: u64,
    },
    /// A filter of the surroundings forbids it.
    #[error("a system call filter of the container that this runs in forbids user namespaces")]
    Container,
    /// Nothing that is known.
    #[error("the kernel refuses a user namespace, and no known setting says why")]
    Unknown,
}

impl Facts {
    /// Asks this machine.
    #[must_use]
    pub fn read() -> Self {
        let number = |path: &str| fs::read_to_string(path).ok().and_then(|t| t.trim().parse().ok());
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let others = ["mnt", "pid", "net", "ipc", "uts", "cgroup"].map(|kind| format!("user.max_{kind}_namespaces"));
        let zero = |name: &String| number(&format!("/proc/sys/{}", name.replacen('.', "/", 1))) == Some(0);
        Self {
            unprivileged_clone: number("/proc/sys/kernel/unprivileged_userns_clone"),
            apparmor_restricts: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            maximum: number("/proc/sys/user/max_user_namespaces"),
            other_zero_limits: others.into_iter().filter(zero).collect(),
            filtered: status.lines().any(|l| l.strip_prefix("Seccomp:").is_some_and(|v| v.trim() != "0")),
            root: rustix::process::geteuid().is_root(),
        }
    }
}

impl Refusal {
    /// What stands in the way on a machine with these facts.
    #[must_use]
    pub fn find(facts: &Facts) -> Self {
        match facts {
            Facts { maximum: None, .. } => Self::NotInKernel,
            Facts { maximum: Some(0), .. } => Self::Limit { knob: "user.max_user_namespaces".to_owned(), value: 0 },
            Facts { other_zero_limits, .. } if !other_zero_limits.is_empty() => {
                Self::Limit { knob: other_zero_limits[0].clone(), value: 0 }
            }
            Facts { unprivileged_clone: Some(0), root: false, .. } => {
                Self::Knob { knob: "kernel.unprivileged_userns_clone", value: 0, wanted: 1 }
            }
            Facts { apparmor_restricts: Some(value @ 1..), root: false, .. } => {
                Self::Knob { knob: "kernel.apparmor_restrict_unprivileged_userns", value: *value, wanted: 0 }
            }
            Facts { filtered: true, .. } => Self::Container,
            _ => Self::Unknown,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotInKernel => "use a kernel with CONFIG_USER_NS=y".to_owned(),
            Self::Limit { knob, .. } => format!("as root: `sysctl -w {knob}=10000`"),
            Self::Knob { knob, wanted, .. } => {
                format!("as root: `sysctl -w {knob}={wanted}`, and the same in a file in `/etc/sysctl.d/` to keep it")
            }
            Self::Container => "start the container with a filter that allows `clone`, `unshare` and `mount` \
                                (for example `--security-opt seccomp=unconfined`)"
                .to_owned(),
            Self::Unknown => "try `unshare --user --map-root-user true`: it fails the same way".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fine() -> Facts {
        Facts { maximum: Some(1000), ..Facts::default() }
    }

    #[test]
    fn names_the_knob_that_is_in_the_way() {
        let cases = [
            (Facts::default(), "CONFIG_USER_NS"),
            (Facts { maximum: Some(0), ..fine() }, "user.max_user_namespaces=10000"),
            (
                Facts { other_zero_limits: vec!["user.max_net_namespaces".into()], ..fine() },
                "user.max_net_namespaces=10000",
            ),
            (Facts { unprivileged_clone: Some(0), ..fine() }, "kernel.unprivileged_userns_clone=1"),
            (Facts { apparmor_restricts: Some(1), ..fine() }, "kernel.apparmor_restrict_unprivileged_userns=0"),
            (Facts { filtered: true, ..fine() }, "seccomp=unconfined"),
            (fine(), "unshare --user"),
        ];
        for (facts, knob) in cases {
            let refusal = Refusal::find(&facts);
            assert!(refusal.hint().is_some_and(|h| h.contains(knob)), "{facts:?}: {refusal:?}");
        }
    }

    #[test]
    fn knobs_that_bind_only_ordinary_users_are_not_blamed_on_root() {
        let facts = Facts { unprivileged_clone: Some(0), apparmor_restricts: Some(1), root: true, ..fine() };
        assert_eq!(Refusal::find(&facts), Refusal::Unknown);
    }

    #[test]
    fn reads_this_machine() {
        assert!(Facts::read().maximum.is_some(), "these tests need a kernel with user namespaces");
    }
}
