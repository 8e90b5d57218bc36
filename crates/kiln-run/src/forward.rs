//! Published ports: Kiln listens on this machine and passes each connection on into the container's network.
//!
//! The socket that reaches the container is made by the container's process 1 and handed out, because a socket belongs to
//! the network it was made in. Threads carry the bytes; there are at most [`CONNECTIONS`] connections at a time, and more
//! are closed at once. Everything ends with the container.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use kiln_sys::Contained;
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::error::system;
use crate::{Port, RunError};

/// How many connections are passed on at a time.
const CONNECTIONS: usize = 512;

/// The threads only copy bytes.
const STACK: usize = 128 * 1024;

/// The published ports of a running container.
#[derive(Debug)]
pub(crate) struct Forwarder {
    addresses: Vec<(SocketAddr, u16)>,
    listeners: Vec<JoinHandle<()>>,
    open: Arc<Connections>,
}

#[derive(Debug, Default)]
struct Connections {
    next: AtomicU64,
    streams: Mutex<BTreeMap<u64, (TcpStream, TcpStream)>>,
}

/// Begins to listen, so that a port that is taken is known before anything is started.
pub(crate) fn listen(ports: &[Port]) -> Result<Vec<(TcpListener, u16)>, RunError> {
    let one = |port: &Port| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.host))
            .and_then(|l| l.set_nonblocking(true).map(|()| l))
            .map_err(|source| RunError::Port { port: port.host, container: port.container, source })?;
        Ok((listener, port.container))
    };
    ports.iter().map(one).collect()
}

impl Forwarder {
    /// Begins to pass connections on.
    pub(crate) fn start(listening: Vec<(TcpListener, u16)>, contained: &Arc<Contained>) -> Result<Self, RunError> {
        let mut forwarder = Self { addresses: Vec::new(), listeners: Vec::new(), open: Arc::default() };
        for (listener, port) in listening {
            let address = listener.local_addr().map_err(system("look at a socket"))?;
            forwarder.addresses.push((address, port));
            let (contained, open) = (Arc::clone(contained), Arc::clone(&forwarder.open));
            let thread = spawn(move || accept(&listener, port, &contained, &open)).map_err(system("start a thread"))?;
            forwarder.listeners.push(thread);
        }
        Ok(forwarder)
    }

    /// Where each port of the container can be reached.
    pub(crate) fn addresses(&self) -> &[(SocketAddr, u16)] {
        &self.addresses
    }

    /// Ends every connection. The container must have ended.
    pub(crate) fn stop(&mut self) {
        for thread in self.listeners.drain(..) {
            let _ = thread.join();
        }
        for (outer, inner) in self.open.streams.lock().unwrap_or_else(PoisonError::into_inner).values() {
            let _ = (outer.shutdown(Shutdown::Both), inner.shutdown(Shutdown::Both));
        }
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("port".to_owned()).stack_size(STACK).spawn(work)
}

/// Takes connections until the container ends.
fn accept(listener: &TcpListener, port: u16, contained: &Arc<Contained>, open: &Arc<Connections>) {
    loop {
        let mut watched =
            [PollFd::new(listener, PollFlags::IN), PollFd::from_borrowed_fd(contained.ended(), PollFlags::IN)];
        match rustix::event::poll(&mut watched, None) {
            Ok(_) if !watched[1].revents().is_empty() => return,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
        let Ok((outer, _)) = listener.accept() else {
            // Out of descriptors, most likely: not a reason to spin.
            if !watched[0].revents().is_empty() {
                thread::sleep(Duration::from_millis(10));
            }
            continue;
        };
        if open.streams.lock().unwrap_or_else(PoisonError::into_inner).len() >= CONNECTIONS {
            continue;
        }
        let (contained, open) = (Arc::clone(contained), Arc::clone(open));
        // When there can be no thread, the connection is closed by being dropped.
        let _ = spawn(move || {
            if let Ok(inner) = connect(&contained, port) {
                drop(contained);
                let _ = carry(outer, inner, &open);
            }
        });
    }
}

/// Connects to what listens on a port of the container, on either version of the protocol.
pub(crate) fn connect(contained: &Contained, port: u16) -> io::Result<TcpStream> {
    let to_4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let to_6 = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), port);
    connect_to(contained.socket(false)?, to_4).or_else(|_| connect_to(contained.socket(true)?, to_6))
}

fn connect_to(socket: TcpStream, address: SocketAddr) -> io::Result<TcpStream> {
    match rustix::net::connect(&socket, &address) {
        Ok(()) => {}
        Err(rustix::io::Errno::INPROGRESS) => {
            let mut watched = [PollFd::new(&socket, PollFlags::OUT)];
            // A listener whose queue is full does not answer.
            let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
            if rustix::io::retry_on_intr(|| rustix::event::poll(&mut watched, Some(&limit)))? == 0 {
                return Err(io::ErrorKind::TimedOut.into());
            }
            if let Some(error) = socket.take_error()? {
                return Err(error);
            }
        }
        Err(errno) => return Err(errno.into()),
    }
    socket.set_nonblocking(false)?;
    Ok(socket)
}

/// Carries bytes both ways until both sides have ended.
fn carry(outer: TcpStream, inner: TcpStream, open: &Arc<Connections>) -> io::Result<()> {
    outer.set_nonblocking(false)?;
    let _ = (outer.set_nodelay(true), inner.set_nodelay(true));
    let number = open.next.fetch_add(1, Ordering::Relaxed);
    let kept = (outer.try_clone()?, inner.try_clone()?);
    let (mut outer_in, mut inner_out) = (outer.try_clone()?, inner.try_clone()?);
    open.streams.lock().unwrap_or_else(PoisonError::into_inner).insert(number, kept);
    let inward = spawn(move || copy(&mut outer_in, &mut inner_out));
    if let Ok(inward) = inward {
        let (mut inner, mut outer) = (inner, outer);
        copy(&mut inner, &mut outer);
        let _ = inward.join();
    }
    open.streams.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
    Ok(())
}

/// Copies until the end, and says so to the other side; a side that fails ends the other way too.
fn copy(from: &mut TcpStream, to: &mut TcpStream) {
    let ended_well = io::copy(from, to).is_ok();
    let _ = to.shutdown(if ended_well { Shutdown::Write } else { Shutdown::Both });
    if !ended_well {
        let _ = from.shutdown(Shutdown::Both);
    }
}
