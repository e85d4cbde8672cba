//! The line in which the waiters of one host stand, one behind the other.
//!
//! The first of them, the *leader*, waits for the lock; the others, its *followers*, wait for the
//! lead. So one process wakes up when the lock is released and not all of them, they are served in
//! the order they came, and whoever wants the lock again stands in line behind them.
//!
//! The line is a listening socket (unix(7)) with a name in the abstract namespace, made from the
//! lock file's identity. Whoever finds nobody listening listens, and leads; whoever connects
//! follows, and the kernel keeps them in order. A leader that gives up or is done accepts
//! the first connection and passes the socket itself through it: that process leads now, with the
//! rest of the line behind it. If a leader dies, the line breaks, its followers notice at once and
//! form a new one. Each user has lines of its own. Who holds the lock exclusively keeps the lead until the release, and passing it
//! on is what wakes the next; a shared holder passes it on at once, as the next may share.
//!
//! The line decides about turns and never about the lock: no one has to stand in it, and those
//! who do look at the lock now and then themselves. So nothing worse than a late or an unfair turn
//! can come of a process that is stopped, lies, or cannot see the others (another network
//! namespace).

use std::fmt;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::task::{Context, Poll, ready};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, SocketAddrUnix, SocketFlags, SocketType,
    accept_with, bind, connect, listen, recvmsg, sendmsg, shutdown, socket_with, sockopt,
};
use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::ForkGeneration;
use crate::reactor::reactor;

/// The longest line; the kernel may allow less (net.core.somaxconn).
const LONGEST: i32 = 4096;

/// How often to try again when others form the line at the same moment.
const ROUNDS: u32 = 16;

/// A place in line.
#[derive(Debug)]
pub(crate) enum Place {
    /// At its head; with nothing to pass on if there is no line to be had.
    Leads(Option<Leader>),
    /// Somewhere behind it.
    Follows(Follower),
}

/// The end of a follower's wait.
#[derive(Debug)]
pub(crate) enum Turn {
    /// It leads.
    Leads(Leader),
    /// There is no line any more.
    Broken,
}

/// The name of a line.
#[derive(Clone, Debug)]
pub(crate) struct Line(SocketAddrUnix);

impl Line {
    /// The line of this user's processes that wait for `what`.
    pub(crate) fn of(what: fmt::Arguments<'_>) -> Option<Self> {
        let user = rustix::process::geteuid();
        let name = format!("touchfile/1/{user}/{what}");
        SocketAddrUnix::new_abstract_name(name.as_bytes())
            .ok()
            .map(Self)
    }

    /// Takes the next place in line, at its head if there is none.
    pub(crate) fn enter(&self) -> Place {
        for _ in 0..ROUNDS {
            match self.follow() {
                Ok(follower) => return Place::Follows(follower),
                Err(Errno::CONNREFUSED) => {}
                Err(_) => return Place::Leads(None),
            }
            match self.lead() {
                Ok(leader) => return Place::Leads(Some(leader)),
                // Somebody else does, and will listen in a moment.
                Err(Errno::ADDRINUSE) => std::thread::yield_now(),
                Err(_) => return Place::Leads(None),
            }
        }
        Place::Leads(None)
    }

    /// Takes the next place in line if there is one.
    pub(crate) fn join(&self) -> Option<Follower> {
        self.follow().ok()
    }

    fn lead(&self) -> Result<Leader, Errno> {
        let socket = new_socket()?;
        bind(&socket, &self.0)?;
        listen(&socket, LONGEST)?;
        Ok(Leader::new(socket))
    }

    fn follow(&self) -> Result<Follower, Errno> {
        let socket = new_socket()?;
        // Never blocks: EAGAIN if the line is too long.
        retry_on_intr(|| connect(&socket, &self.0))?;
        if !is_friend(&socket) {
            return Err(Errno::PERM);
        }
        Ok(Follower {
            connection: Connection::Idle(socket),
            process: ForkGeneration::current(),
        })
    }
}

/// Whether the other end is of this user, or root's. Whoever else takes our name, or a place in
/// our line, is not waited for: it need not even be able to open the lock file.
fn is_friend(socket: &OwnedFd) -> bool {
    sockopt::socket_peercred(socket)
        .is_ok_and(|peer| peer.uid.is_root() || peer.uid == rustix::process::geteuid())
}

fn new_socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// The head of the line. Dropping it passes the lead on.
#[derive(Debug)]
pub(crate) struct Leader {
    /// Missing once it was passed on.
    socket: Option<OwnedFd>,
    process: ForkGeneration,
}

impl Leader {
    fn new(socket: OwnedFd) -> Self {
        Self {
            socket: Some(socket),
            process: ForkGeneration::current(),
        }
    }

    /// Passes the lead to the next in line, if there is one.
    pub(crate) fn pass_on(&mut self) {
        // In a forked child this is a copy, and its parent leads.
        if !self.process.is_current() {
            return;
        }
        // Accepting makes a socket before it finds that there is nobody: look first.
        while let Some(socket) = &self.socket
            && has_follower(socket)
        {
            match accept_with(socket, SocketFlags::CLOEXEC) {
                Ok(follower) if is_friend(&follower) && pass(socket, &follower).is_ok() => {
                    self.socket = None;
                }
                // That one has left, or is none of ours, or we were interrupted.
                Ok(_) | Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(_) => return,
            }
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.pass_on();
        if let Some(socket) = &self.socket
            && self.process.is_current()
        {
            // Nobody follows. A child that was just forked may have a copy of the socket, which
            // nobody is to wait for. Who came this very moment sees the line broken.
            shutdown(socket, Shutdown::Both).ok();
        }
    }
}

fn has_follower(socket: &OwnedFd) -> bool {
    let mut sockets = [PollFd::new(socket, PollFlags::IN)];
    retry_on_intr(|| poll(&mut sockets, Some(&Timespec::default()))).is_ok_and(|ready| ready > 0)
}

fn pass(socket: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
    let sockets = [socket.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&sockets));
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    retry_on_intr(|| sendmsg(to, &[IoSlice::new(b"!")], &mut control, flags)).map(drop)
}

/// A place behind the head of the line. Dropping it leaves the line.
#[derive(Debug)]
pub(crate) struct Follower {
    connection: Connection,
    process: ForkGeneration,
}

#[derive(Debug)]
enum Connection {
    Idle(OwnedFd),
    /// In a runtime's reactor.
    Watched(UnixStream),
    /// Looked at now and then: there is no reactor to be had.
    Unwatched(OwnedFd),
    Closed,
}

impl Follower {
    /// Whether the end of this wait is told by a reactor, and not only found by asking.
    pub(crate) fn is_watched(&self) -> bool {
        matches!(self.connection, Connection::Watched(_))
    }

    /// The end of this wait; pending if there is no reactor that would tell, until asked again.
    pub(crate) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        if let Connection::Idle(_) = self.connection {
            self.watch();
        }
        let turn = loop {
            match &self.connection {
                Connection::Watched(stream) => {
                    if ready!(stream.poll_read_ready(cx)).is_err() {
                        break Turn::Broken; // the runtime is gone
                    }
                    let received = stream.try_io(Interest::READABLE, || Ok(receive(stream)?));
                    match received {
                        Ok(turn) => break turn,
                        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                        Err(_) => break Turn::Broken,
                    }
                }
                Connection::Unwatched(socket) => match receive(socket) {
                    Ok(turn) => break turn,
                    Err(Errno::AGAIN) => return Poll::Pending,
                    Err(_) => break Turn::Broken,
                },
                Connection::Idle(_) | Connection::Closed => break Turn::Broken,
            }
        };
        self.connection = Connection::Closed;
        Poll::Ready(turn)
    }

    fn watch(&mut self) {
        let Connection::Idle(socket) = std::mem::replace(&mut self.connection, Connection::Closed)
        else {
            return;
        };
        let watched = reactor().and_then(|reactor| {
            let _entered = reactor.enter();
            UnixStream::from_std(StdStream::from(socket.try_clone().ok()?)).ok()
        });
        self.connection = match watched {
            Some(stream) => Connection::Watched(stream),
            None => Connection::Unwatched(socket),
        };
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if !self.process.is_current() {
            // A forked child's copy: taking it out of the reactor would take the parent's out.
            std::mem::forget(std::mem::replace(&mut self.connection, Connection::Closed));
        }
        // A child that was forked meanwhile may have a copy: to leave the line is more than to
        // close ours. After that nothing can come any more, and what has come is still there.
        let received = match &self.connection {
            Connection::Idle(socket) | Connection::Unwatched(socket) => leave(socket),
            Connection::Watched(stream) => leave(stream),
            Connection::Closed => return,
        };
        // The lead, if it has just come, goes on to the next in line.
        drop(received);
    }
}

fn leave(line: impl AsFd) -> Result<Turn, Errno> {
    shutdown(&line, Shutdown::Both)?;
    receive(line)
}

/// What the leader has passed on; `EAGAIN` if nothing yet.
fn receive(from: impl AsFd) -> Result<Turn, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    retry_on_intr(|| {
        recvmsg(
            &from,
            &mut [IoSliceMut::new(&mut byte)],
            &mut control,
            flags,
        )
    })?;
    let socket = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
        _ => None,
    });
    Ok(socket.map_or(Turn::Broken, |socket| Turn::Leads(Leader::new(socket))))
}
