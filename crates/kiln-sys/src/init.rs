//! Process 1 of the pid namespace. It prepares the world, starts the command as process 2, and then waits: it collects
//! what ends, passes signals on, hands out sockets of its network, and ends when the command does. When process 1 ends the
//! kernel kills every process of the namespace, so nothing can stay behind.
//!
//! It must end when Kiln dies, however that happens. The parent's end of the control socket is held by Kiln alone, so its
//! closing says so; `PR_SET_PDEATHSIG` would not do, as it fires when the *thread* that made the process ends.
//!
//! Messages: to init, 4 bytes: 0 to begin, else a signal for the command. From init, three words of 4 bytes: what, and two
//! details. On the service socket: to init the address family of a socket, back the error number and the socket.
//!
//! It never runs a program of its own, so it remains a copy of Kiln: its arguments, environment, handlers and open files
//! are taken away first, and it is made undumpable so that nobody inside may look into its memory.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::os::fd::RawFd;
use std::ptr;

use crate::child::{Errno, Prepared, become_command, errno, perform};

/// A step of the phase `a` failed (see [`become_command`]; 0: the preparation): `b` is step << 16 | errno.
pub(crate) const FAILED: u32 = 1;
/// The command runs.
pub(crate) const STARTED: u32 = 2;
/// The command ended: `a` is its wait status.
pub(crate) const ENDED: u32 = 3;

const CONTROL: RawFd = 3;
const SERVICE: RawFd = 4;
const FIRST_FREE: RawFd = 10;

/// Runs process 1. Called in the child right after the fork, with all signals blocked.
pub(crate) fn run(prepared: &Prepared) -> ! {
    // SAFETY: these calls take numbers and pointers to values on this stack; see `arrange_files` and `forget` for theirs.
    unsafe {
        // Handlers are code of Kiln, which must not run here.
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        libc::umask(0);
        if arrange_files(prepared).is_err() {
            libc::_exit(125);
        }
        for (start, end) in prepared.shown {
            forget(start, end);
        }
        libc::prctl(libc::PR_SET_NAME, c"init".as_ptr(), 0, 0, 0);
        let mut word = 0_u32;
        if libc::recv(CONTROL, (&raw mut word).cast(), 4, 0) != 4 {
            libc::_exit(125);
        }
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
        // Only now: the namespace's root is the group that Kiln has put this process into.
        if libc::unshare(libc::CLONE_NEWCGROUP) != 0 {
            fail(0, 0xffff, errno());
        }
        for (index, step) in prepared.prepare.iter().enumerate() {
            if let Err(errno) = perform(step) {
                fail(0, index as u32, errno);
            }
        }
        let command = start(prepared);
        send([STARTED, 0, 0]);
        wait(command)
    }
}

/// Puts the files this process needs where it expects them and closes all others.
///
/// # Safety
/// The descriptors of `prepared` must be open.
unsafe fn arrange_files(prepared: &Prepared) -> Result<(), Errno> {
    let [input, output, error] = prepared.streams;
    let wanted = [input, output, error, prepared.control, prepared.service];
    let mut kept = [-1; 5];
    // SAFETY: these calls take numbers. First away from the low numbers, so that none is overwritten before it is moved.
    unsafe {
        for (place, file) in kept.iter_mut().zip(wanted) {
            *place = libc::fcntl(file, libc::F_DUPFD_CLOEXEC, FIRST_FREE);
            if *place < 0 {
                return Err(errno());
            }
        }
        for (place, file) in kept.into_iter().enumerate() {
            let flags = if place < 3 { 0 } else { libc::O_CLOEXEC };
            if libc::dup3(file, place as c_int, flags) < 0 {
                return Err(errno());
            }
        }
        if libc::syscall(libc::SYS_close_range, SERVICE + 1, u32::MAX, 0) != 0 {
            return Err(errno());
        }
    }
    Ok(())
}

/// Overwrites what the kernel shows of the process in `/proc/1/cmdline` or `environ`.
///
/// # Safety
/// The range must be this process's argument or environment area, as its `/proc/self/stat` tells, or empty. Nothing in
/// this copy of the process reads it any more.
unsafe fn forget(start: usize, end: usize) {
    for (offset, address) in (start..end).enumerate() {
        let byte = b"init".get(offset).copied().unwrap_or(0);
        // SAFETY: inside the area that the kernel set up on this process's stack, which is writable.
        unsafe { ptr::with_exposed_provenance_mut::<u8>(address).write_volatile(byte) };
    }
}

fn send(message: [u32; 3]) {
    // SAFETY: the range is that of the array. When it cannot be sent Kiln is gone and the loop below ends this process.
    unsafe { libc::send(CONTROL, message.as_ptr().cast(), 12, libc::MSG_NOSIGNAL) };
}

fn fail(phase: u32, step: u32, errno: Errno) -> ! {
    send([FAILED, phase, step << 16 | errno as u32]);
    // SAFETY: ends this process.
    unsafe { libc::_exit(125) }
}

/// Starts the command and returns its process when it has become the program.
///
/// # Safety
/// As for [`run`].
unsafe fn start(prepared: &Prepared) -> libc::pid_t {
    let mut ends = [-1; 2];
    // SAFETY: the array is writable; the raw `clone` with no stack is `fork` without the C library's handlers, which may
    // take locks that no longer have an owner here.
    unsafe {
        if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
            fail(1, 0xffff, errno());
        }
        let child = libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0);
        if child < 0 {
            fail(1, 0xffff, errno());
        }
        if child == 0 {
            let (phase, step, errno) = become_command(prepared);
            let report = [phase, step << 16 | errno as u32];
            libc::write(ends[1], report.as_ptr().cast(), 8);
            libc::_exit(127);
        }
        // So that only the command and what it starts hold the output open.
        for file in [0, 1, 2, ends[1]] {
            libc::close(file);
        }
        let mut report = [0_u32; 2];
        if libc::read(ends[0], report.as_mut_ptr().cast(), 8) == 8 {
            fail(report[0], report[1] >> 16, (report[1] & 0xffff) as Errno);
        }
        libc::close(ends[0]);
        child as libc::pid_t
    }
}

/// Serves until the command ends or Kiln does.
///
/// # Safety
/// As for [`run`].
unsafe fn wait(command: libc::pid_t) -> ! {
    // SAFETY: all zero is a value of these structures; every pointer is to a value on this stack that outlives its call.
    unsafe {
        let mut children: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&raw mut children, libc::SIGCHLD);
        let ended = libc::signalfd(-1, &raw const children, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        let watch = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let mut watched = [watch(ended), watch(CONTROL), watch(SERVICE)];
        loop {
            // One may have ended before there was somebody to tell.
            let mut status = 0;
            loop {
                let process = libc::waitpid(-1, &raw mut status, libc::WNOHANG);
                if process == command {
                    send([ENDED, status as u32, 0]);
                    libc::_exit(0);
                }
                if process <= 0 {
                    break;
                }
            }
            if libc::poll(watched.as_mut_ptr(), 3, -1) < 0 {
                continue;
            }
            if watched[0].revents != 0 {
                let mut record: libc::signalfd_siginfo = std::mem::zeroed();
                libc::read(ended, (&raw mut record).cast(), size_of::<libc::signalfd_siginfo>());
            }
            if watched[1].revents != 0 {
                let mut signal = 0_u32;
                if libc::recv(CONTROL, (&raw mut signal).cast(), 4, 0) != 4 {
                    libc::_exit(125);
                }
                libc::kill(command, signal as c_int);
            }
            if watched[2].revents != 0 {
                serve();
            }
        }
    }
}

/// Answers one request for a socket of this network namespace.
///
/// # Safety
/// As for [`run`].
unsafe fn serve() {
    #[repr(C)]
    struct Rights {
        header: libc::cmsghdr,
        file: c_int,
        padding: c_int,
    }
    // SAFETY: all zero is a value of these structures; the message's parts live until `sendmsg` returns, and the control
    // part has the layout that cmsg(3) gives one descriptor.
    unsafe {
        let mut family = 0_u32;
        if libc::recv(SERVICE, (&raw mut family).cast(), 4, 0) != 4 {
            libc::_exit(125);
        }
        let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        let socket = libc::socket(family as c_int, kind, 0);
        let mut fault = if socket < 0 { errno() as u32 } else { 0 };
        let mut part = libc::iovec { iov_base: (&raw mut fault).cast(), iov_len: 4 };
        let mut rights: Rights = std::mem::zeroed();
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        if socket >= 0 {
            rights.header.cmsg_level = libc::SOL_SOCKET;
            rights.header.cmsg_type = libc::SCM_RIGHTS;
            rights.header.cmsg_len = (size_of::<libc::cmsghdr>() + size_of::<c_int>()) as _;
            rights.file = socket;
            message.msg_control = (&raw mut rights).cast();
            message.msg_controllen = size_of::<Rights>() as _;
        }
        libc::sendmsg(SERVICE, &raw const message, libc::MSG_NOSIGNAL);
        if socket >= 0 {
            libc::close(socket);
        }
    }
}
