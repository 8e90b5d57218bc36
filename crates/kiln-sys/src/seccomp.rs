//! A filter of system calls, as a program for the kernel's packet filter machine.
//!
//! It is a deny list over what no build and no service needs: changing mounts and namespaces, loading code into the
//! kernel, reading its tables, keyrings (they are not in a namespace), and sockets that lead out of the network namespace
//! (`AF_VSOCK` reaches the hypervisor, `AF_PACKET` and `AF_ALG` kernel code that is rarely used). Such calls answer
//! `EPERM`; those that a program is expected to do without (`clone3`, whose flags cannot be seen from here, and io_uring,
//! which does its work past every filter) answer `ENOSYS`, so that the C library and programs take the older way. A call
//! in another architecture's convention (i386, x32) kills the process: its numbers mean other things.
//!
//! Sources: seccomp(2), the kernel's `Documentation/userspace-api/seccomp_filter.rst`, `linux/bpf_common.h`.

use std::fmt;

/// One instruction: code, jump if true, jump if false, operand.
type Instruction = libc::sock_filter;

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
#[cfg(target_arch = "x86_64")]
const IF_AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const IF_ANY_BIT: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

const ALLOW: u32 = 0x7fff_0000;
const KILL: u32 = 0x8000_0000;
const FAIL: u32 = 0x0005_0000;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const fn argument(index: u32) -> u32 {
    // The low half: both supported architectures are little-endian.
    16 + 8 * index
}

#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xc000_00b7;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("the system call filter knows amd64 and arm64 only: add the audit number of this architecture");

/// Calls of the x32 convention have this bit.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

const NEW_NAMESPACE: i32 = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

#[cfg(target_arch = "x86_64")]
const KEXEC_FILE_LOAD: libc::c_long = libc::SYS_kexec_file_load;
/// Some C libraries have no name for it.
#[cfg(target_arch = "aarch64")]
const KEXEC_FILE_LOAD: libc::c_long = 294;

/// Refused with `EPERM`.
const FORBIDDEN: &[libc::c_long] = &[
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_mount_setattr,
    467, // open_tree_attr, the same number everywhere
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_kexec_load,
    KEXEC_FILE_LOAD,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_userfaultfd,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_kcmp,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS__sysctl,
];

/// Answered as if the kernel had never heard of them.
const UNKNOWN: &[libc::c_long] =
    &[libc::SYS_clone3, libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];

/// Calls that wait until something is on the disk.
const FLUSHES: &[libc::c_long] = &[
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync,
    libc::SYS_syncfs,
    libc::SYS_sync_file_range,
    libc::SYS_msync,
];

const SOCKET_FAMILIES: [i32; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// A filter, ready for the kernel.
#[derive(Clone)]
pub struct Filter {
    pub(crate) program: Vec<Instruction>,
}

impl Filter {
    /// The filter of builds and of containers.
    #[must_use]
    pub fn confined() -> Self {
        Self::with(&[(FORBIDDEN, libc::EPERM), (UNKNOWN, libc::ENOSYS)])
    }

    /// The same, where a call that waits for the disk succeeds at once, also on what is no open file. For commands whose
    /// files are read when they are done, and nothing of which has to outlive a crash.
    #[must_use]
    pub fn confined_without_flushes() -> Self {
        Self::with(&[(FORBIDDEN, libc::EPERM), (UNKNOWN, libc::ENOSYS), (FLUSHES, 0)])
    }

    fn with(answers: &[(&[libc::c_long], i32)]) -> Self {
        let mut program = vec![
            instruction(LOAD, 0, 0, ARCHITECTURE),
            instruction(IF_EQUAL, 1, 0, NATIVE),
            instruction(RETURN, 0, 0, KILL),
            instruction(LOAD, 0, 0, NUMBER),
        ];
        #[cfg(target_arch = "x86_64")]
        program.extend([instruction(IF_AT_LEAST, 0, 1, X32), instruction(RETURN, 0, 0, KILL)]);
        for &(calls, errno) in answers {
            for &call in calls {
                program.extend([instruction(IF_EQUAL, 0, 1, number(call)), instruction(RETURN, 0, 0, fail(errno))]);
            }
        }
        // A process may make others, but no namespaces.
        program.extend([
            instruction(IF_EQUAL, 0, 4, number(libc::SYS_clone)),
            instruction(LOAD, 0, 0, argument(0)),
            instruction(IF_ANY_BIT, 0, 1, NEW_NAMESPACE as u32),
            instruction(RETURN, 0, 0, fail(libc::EPERM)),
            instruction(RETURN, 0, 0, ALLOW),
        ]);
        // Typing into the terminal that an interactive command shares with the user's shell.
        program.extend([
            instruction(IF_EQUAL, 0, 5, number(libc::SYS_ioctl)),
            instruction(LOAD, 0, 0, argument(1)),
            instruction(IF_EQUAL, 1, 0, libc::TIOCSTI as u32),
            instruction(IF_EQUAL, 0, 1, libc::TIOCLINUX as u32),
            instruction(RETURN, 0, 0, fail(libc::EPERM)),
            instruction(RETURN, 0, 0, ALLOW),
        ]);
        for call in [libc::SYS_socket, libc::SYS_socketpair] {
            let families = SOCKET_FAMILIES.len() as u8;
            program
                .extend([instruction(IF_EQUAL, 0, families + 3, number(call)), instruction(LOAD, 0, 0, argument(0))]);
            for (index, family) in SOCKET_FAMILIES.into_iter().enumerate() {
                program.push(instruction(IF_EQUAL, families - index as u8, 0, family as u32));
            }
            program.extend([instruction(RETURN, 0, 0, fail(libc::EAFNOSUPPORT)), instruction(RETURN, 0, 0, ALLOW)]);
        }
        program.push(instruction(RETURN, 0, 0, ALLOW));
        Self { program }
    }
}

const fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> Instruction {
    Instruction { code, jt, jf, k }
}

const fn fail(errno: i32) -> u32 {
    FAIL | errno as u32
}

const fn number(call: libc::c_long) -> u32 {
    call as u32
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter({} instructions)", self.program.len())
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        let key = |i: &Instruction| (i.code, i.jt, i.jf, i.k);
        self.program.iter().map(key).eq(other.program.iter().map(key))
    }
}

impl Eq for Filter {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn verdict(architecture: u32, call: u32, arguments: [u32; 2]) -> u32 {
        run(&Filter::confined(), architecture, call, arguments)
    }

    /// The kernel's machine, as far as the filter uses it.
    fn run(filter: &Filter, architecture: u32, call: u32, arguments: [u32; 2]) -> u32 {
        let program = &filter.program;
        let (mut at, mut value) = (0, 0);
        loop {
            let Instruction { code, jt, jf, k } = program[at];
            at += 1;
            let jump = |taken: bool| usize::from(if taken { jt } else { jf });
            match code {
                LOAD => {
                    value = match k {
                        NUMBER => call,
                        ARCHITECTURE => architecture,
                        _ => arguments[(k as usize - 16) / 8],
                    }
                }
                IF_EQUAL => at += jump(value == k),
                0x35 => at += jump(value >= k),
                IF_ANY_BIT => at += jump(value & k != 0),
                RETURN => return k,
                other => panic!("no such instruction: {other}"),
            }
        }
    }

    fn native(call: libc::c_long, arguments: [u32; 2]) -> u32 {
        verdict(NATIVE, call as u32, arguments)
    }

    #[test]
    fn refuses_what_changes_mounts_namespaces_and_the_kernel() {
        for call in [libc::SYS_mount, libc::SYS_unshare, libc::SYS_setns, libc::SYS_bpf, libc::SYS_keyctl, 467] {
            assert_eq!(native(call, [0, 0]), fail(libc::EPERM), "{call}");
        }
        for call in [libc::SYS_clone3, libc::SYS_io_uring_setup] {
            assert_eq!(native(call, [0, 0]), fail(libc::ENOSYS), "{call}");
        }
    }

    #[test]
    fn waiting_for_the_disk_can_be_left_out() {
        let without = Filter::confined_without_flushes();
        for &call in FLUSHES {
            assert_eq!(native(call, [0, 0]), ALLOW, "{call}");
            assert_eq!(run(&without, NATIVE, call as u32, [0, 0]), fail(0), "{call}");
        }
        assert_eq!(run(&without, NATIVE, libc::SYS_mount as u32, [0, 0]), fail(libc::EPERM));
        assert_eq!(run(&without, NATIVE, libc::SYS_write as u32, [0, 0]), ALLOW);
    }

    #[test]
    fn allows_ordinary_work() {
        for call in [libc::SYS_read, libc::SYS_openat, libc::SYS_execve, libc::SYS_wait4, libc::SYS_ptrace] {
            assert_eq!(native(call, [0, 0]), ALLOW, "{call}");
        }
        assert_eq!(native(libc::SYS_clone, [libc::SIGCHLD as u32, 0]), ALLOW);
        assert_eq!(native(libc::SYS_clone, [(libc::CLONE_VM | libc::CLONE_THREAD) as u32, 0]), ALLOW);
    }

    #[test]
    fn looks_into_the_arguments_of_clone_ioctl_and_socket() {
        assert_eq!(native(libc::SYS_clone, [libc::CLONE_NEWUSER as u32, 0]), fail(libc::EPERM));
        assert_eq!(native(libc::SYS_ioctl, [0, libc::TIOCSTI as u32]), fail(libc::EPERM));
        assert_eq!(native(libc::SYS_ioctl, [0, libc::TCGETS as u32]), ALLOW);
        for family in SOCKET_FAMILIES {
            assert_eq!(native(libc::SYS_socket, [family as u32, 0]), ALLOW, "{family}");
            assert_eq!(native(libc::SYS_socketpair, [family as u32, 0]), ALLOW, "{family}");
        }
        for family in [libc::AF_VSOCK, libc::AF_PACKET, libc::AF_ALG, libc::AF_BLUETOOTH] {
            assert_eq!(native(libc::SYS_socket, [family as u32, 0]), fail(libc::EAFNOSUPPORT), "{family}");
        }
    }

    #[test]
    fn another_architectures_calls_kill() {
        assert_eq!(verdict(0x4000_0003, 1, [0, 0]), KILL, "i386");
        #[cfg(target_arch = "x86_64")]
        assert_eq!(native((X32 + 1).into(), [0, 0]), KILL, "x32");
    }

    proptest! {
        #[test]
        fn every_call_gets_a_verdict(architecture in prop_oneof![Just(NATIVE), any::<u32>()], call: u32, a: u32, b: u32) {
            let verdict = verdict(architecture, call, [a, b]);
            prop_assert!(verdict == ALLOW || verdict == KILL || verdict & 0xffff_0000 == FAIL);
        }
    }
}
