//! The child's side of a plan: one step, one or few system calls, no memory.
//!
//! Everything here may run in a process that was forked from one with many threads, so it only calls what
//! signal-safety(7) allows, and returns plain error numbers.
//!
//! Why `unsafe`: there is no safe interface for work between fork and exec; `std::process::Command` has no namespaces and its
//! `pre_exec` is unsafe itself. The C library's thin wrappers are used where it has them.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_long};
use std::os::fd::RawFd;
use std::ptr;

use crate::plan::Step;

/// An error number.
pub(crate) type Errno = c_int;

/// What a child works from. It borrows the plan, whose memory the child has as a copy.
pub(crate) struct Prepared<'a> {
    pub prepare: &'a [Step],
    pub enter: &'a [Step],
    pub directory: &'a CStr,
    /// Null-terminated arrays over the plan's texts.
    pub arguments: &'a [*const libc::c_char],
    pub environment: &'a [*const libc::c_char],
    pub candidates: &'a [*const libc::c_char],
    pub control: RawFd,
    pub service: RawFd,
    pub streams: [RawFd; 3],
    /// Where the kernel shows this process's arguments and environment from.
    pub shown: [(usize, usize); 2],
}

/// The calling thread's last error number.
pub(crate) fn errno() -> Errno {
    // SAFETY: the location is the calling thread's own and always there.
    unsafe { *libc::__errno_location() }
}

fn check(result: c_long) -> Result<c_long, Errno> {
    if result < 0 { Err(errno()) } else { Ok(result) }
}

fn done(result: c_int) -> Result<(), Errno> {
    check(result.into()).map(|_| ())
}

/// The attributes of `mount_setattr`.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Carries one step out.
pub(crate) fn perform(step: &Step) -> Result<(), Errno> {
    // SAFETY (of every block in this function): each pointer is to a value that lives until the call returns and that is
    // of the type the call documents; texts are NUL-terminated because they are `CString`s. No call takes ownership.
    match step {
        Step::MakePrivate => {
            // SAFETY: see above.
            done(unsafe {
                let flags = libc::MS_REC | libc::MS_PRIVATE;
                libc::mount(ptr::null(), c"/".as_ptr(), ptr::null(), flags, ptr::null())
            })
        }
        Step::Mount { kind, target, attributes, options } => mount(kind, target, *attributes, options),
        Step::MountOrBind { kind, target, attributes, options, otherwise } => {
            mount(kind, target, *attributes, options).or_else(|_| bind(otherwise, target, false))
        }
        Step::Bind { from, to, recursive } => bind(from, to, *recursive),
        Step::Protect { path, recursive, attributes } => protect(path, *recursive, *attributes),
        Step::Mask { path, null } => mask(path, null),
        Step::MakeDirectory { path, mode } => {
            // SAFETY: see above.
            match done(unsafe { libc::mkdir(path.as_ptr(), *mode) }) {
                Err(libc::EEXIST) => Ok(()),
                other => other,
            }
        }
        Step::MakeSymlink { target, path } => {
            // SAFETY: see above.
            done(unsafe { libc::symlink(target.as_ptr(), path.as_ptr()) })
        }
        Step::WriteFile { path, content, mode } => write_file(path, content, *mode),
        Step::Own { path, uid, gid, mode } => own(path, *uid, *gid, *mode),
        Step::ChangeDirectory(path) => {
            // SAFETY: see above.
            done(unsafe { libc::chdir(path.as_ptr()) })
        }
        Step::PivotRoot { old } => {
            // SAFETY: see above.
            check(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), old.as_ptr()) }).map(|_| ())
        }
        Step::Detach(path) => {
            // SAFETY: see above.
            done(unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) })
        }
        Step::HostName(name) => {
            // SAFETY: see above; the length is the text's.
            done(unsafe { libc::sethostname(name.as_ptr(), name.as_bytes().len()) })
        }
        Step::LoopbackUp => loopback_up(),
        Step::NewSession => {
            // SAFETY: takes nothing.
            done(unsafe { libc::setsid() })
        }
        Step::Limit { resource, value, hard } => limit(resource.number(), *value, *hard),
        Step::FileModeMask(mask) => {
            // SAFETY: takes a number; cannot fail.
            unsafe { libc::umask(*mask) };
            Ok(())
        }
        Step::FixedAddresses => {
            // SAFETY: takes a number.
            done(unsafe { libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong) })
        }
        Step::SupplementaryGroups(groups) => {
            // SAFETY: see above; the length is the list's. The raw call, because the C library's tells other threads, of
            // which this copy of the process has none.
            check(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) }).map(|_| ())
        }
        Step::Become { uid, gid } => {
            // SAFETY: takes numbers. Raw calls for the reason above.
            unsafe {
                check(libc::syscall(libc::SYS_setresgid, *gid, *gid, *gid))?;
                check(libc::syscall(libc::SYS_setresuid, *uid, *uid, *uid)).map(|_| ())
            }
        }
        Step::KeepCapabilities(kept) => keep_capabilities(*kept),
        Step::BoundCapabilities(kept) => bound_capabilities(*kept),
        Step::HoldCapabilities(kept) => hold_capabilities(*kept),
        Step::Confine(filter) => {
            let program =
                libc::sock_fprog { len: filter.program.len() as u16, filter: filter.program.as_ptr().cast_mut() };
            // SAFETY: the kernel copies the program and does not write to it.
            done(unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program, 0, 0) })
        }
    }
}

fn bind(from: &CStr, to: &CStr, recursive: bool) -> Result<(), Errno> {
    let flags = libc::MS_BIND | if recursive { libc::MS_REC } else { 0 };
    // SAFETY: both texts live until the call returns; a bind has no type and no options.
    done(unsafe { libc::mount(from.as_ptr(), to.as_ptr(), ptr::null(), flags, ptr::null()) })
}

fn protect(path: &CStr, recursive: bool, attributes: u64) -> Result<(), Errno> {
    let change = MountAttributes { set: attributes, clear: 0, propagation: 0, user_namespace: 0 };
    let flags = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the structure has the size that is given with it and lives until the call returns.
    check(unsafe {
        let size = size_of::<MountAttributes>();
        libc::syscall(libc::SYS_mount_setattr, libc::AT_FDCWD, path.as_ptr(), flags, &raw const change, size)
    })
    .map(|_| ())
}

fn mount(kind: &CStr, target: &CStr, attributes: u64, options: &CStr) -> Result<(), Errno> {
    // SAFETY: the texts live until the call returns.
    done(unsafe { libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), attributes, options.as_ptr().cast()) })
}

fn mask(path: &CStr, null: &CStr) -> Result<(), Errno> {
    // SAFETY: all zero is a value of this structure, and the call fills it.
    let mut found: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the text is terminated and the structure is writable.
    match done(unsafe { libc::stat(path.as_ptr(), &raw mut found) }) {
        Err(libc::ENOENT) => return Ok(()),
        other => other?,
    }
    if found.st_mode & libc::S_IFMT != libc::S_IFDIR {
        return bind(null, path, false);
    }
    let flags = libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    // SAFETY: the texts live until the call returns.
    done(unsafe {
        libc::mount(c"tmpfs".as_ptr(), path.as_ptr(), c"tmpfs".as_ptr(), flags, c"size=0,mode=555".as_ptr().cast())
    })
}

fn own(path: &CStr, uid: u32, gid: u32, mode: u32) -> Result<(), Errno> {
    // SAFETY: all zero is a value of this structure; the text is terminated and lives until each call returns.
    unsafe {
        done(libc::lchown(path.as_ptr(), uid, gid))?;
        let mut found: libc::stat = std::mem::zeroed();
        done(libc::lstat(path.as_ptr(), &raw mut found))?;
        if found.st_mode & libc::S_IFMT == libc::S_IFLNK {
            return Ok(());
        }
        done(libc::chmod(path.as_ptr(), mode))
    }
}

fn write_file(path: &CStr, content: &[u8], mode: u32) -> Result<(), Errno> {
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    // SAFETY: the text is terminated.
    let file = unsafe { libc::open(path.as_ptr(), flags, mode) };
    done(file)?;
    let mut rest = content;
    while !rest.is_empty() {
        // SAFETY: the range is that of the slice.
        match check(unsafe { libc::write(file, rest.as_ptr().cast(), rest.len()) } as c_long) {
            Ok(0) => return Err(libc::EIO),
            Ok(written) => rest = &rest[written as usize..],
            Err(libc::EINTR) => {}
            Err(other) => return Err(other),
        }
    }
    // SAFETY: the descriptor was opened above and is not used again.
    done(unsafe { libc::close(file) })
}

fn loopback_up() -> Result<(), Errno> {
    // SAFETY: all zero is a value of this structure. The socket is closed below; when a call fails the process ends soon.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        done(socket)?;
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        done(libc::ioctl(socket, libc::SIOCSIFFLAGS as _, &raw const request))?;
        done(libc::close(socket))
    }
}

fn limit(resource: libc::c_uint, value: u64, hard: bool) -> Result<(), Errno> {
    let mut now = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is writable and of the call's type; process 0 is this one.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, ptr::null::<libc::rlimit64>(), &raw mut now) })?;
    let value = value.min(now.rlim_max);
    let new = libc::rlimit64 { rlim_cur: value, rlim_max: if hard { value } else { now.rlim_max } };
    // SAFETY: as above.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, &raw const new, ptr::null::<libc::rlimit64>()) })
        .map(|_| ())
}

/// `struct __user_cap_header_struct` and its data, version 3.
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    process: c_int,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct CapabilityData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// Takes away what a program may ever gain from a file.
fn bound_capabilities(kept: u64) -> Result<(), Errno> {
    for capability in 0..64 {
        if kept & (1 << capability) == 0 {
            // SAFETY: takes numbers.
            match done(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) }) {
                // Past the last one that this kernel knows.
                Err(libc::EINVAL) => break,
                other => other?,
            }
        }
    }
    Ok(())
}

/// Takes away what this process has now.
fn hold_capabilities(kept: u64) -> Result<(), Errno> {
    // SAFETY: the calls take structures of the documented layout that live until they return.
    unsafe {
        let header = CapabilityHeader { version: CAPABILITY_VERSION, process: 0 };
        let mut data = [CapabilityData { effective: 0, permitted: 0, inheritable: 0 }; 2];
        check(libc::syscall(libc::SYS_capget, &raw const header, data.as_mut_ptr()))?;
        for (half, word) in data.iter_mut().zip([kept as u32, (kept >> 32) as u32]) {
            half.permitted &= word;
            half.effective = half.permitted;
            half.inheritable = 0;
        }
        check(libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr())).map(|_| ())
    }
}

fn keep_capabilities(kept: u64) -> Result<(), Errno> {
    match bound_capabilities(kept) {
        // There is no privilege left to take it away with: the sets and no-new-privileges hold then.
        Err(libc::EPERM) => {}
        other => other?,
    }
    hold_capabilities(kept)?;
    // SAFETY: takes numbers.
    done(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })
}

/// Becomes the command. Returns only when that failed: the phase (1: a step, 2: directory, 3: program), the step and why.
pub(crate) fn become_command(prepared: &Prepared) -> (u32, u32, Errno) {
    for (index, step) in prepared.enter.iter().enumerate() {
        if let Err(errno) = perform(step) {
            return (1, index as u32, errno);
        }
    }
    // SAFETY: the texts and arrays are NUL- and null-terminated and live as long as this process image.
    unsafe {
        if let Err(errno) = done(libc::chdir(prepared.directory.as_ptr())) {
            return (2, 0, errno);
        }
        let mut nothing: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut nothing);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const nothing, ptr::null_mut());
        let mut fault = libc::ENOENT;
        for candidate in prepared.candidates {
            libc::execve(*candidate, prepared.arguments.as_ptr(), prepared.environment.as_ptr());
            match errno() {
                libc::ENOENT | libc::ENOTDIR => {}
                other => fault = other,
            }
        }
        (3, 0, fault)
    }
}
