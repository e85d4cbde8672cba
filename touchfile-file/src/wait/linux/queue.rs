//! The queue in which the waiters of one host stand, one behind the other.
//!
//! The *head* of the queue waits for the lock; its *followers* wait to become the head. So one process
//! wakes up when the lock is released and not all of them, they are served in the order in which they
//! came, and whoever wants the lock again stands behind them.
//!
//! A queue is a listening socket (unix(7)) with a name in the abstract namespace, made from the lock
//! file's identity. Whoever finds nobody listening listens, and is the head; whoever connects follows,
//! and the kernel keeps the connections in order. A head that gives up or is done accepts the first
//! connection and passes the socket itself through it: that process is the head now, with the rest of
//! the queue behind it. If a head dies, the queue breaks, its followers notice at once and form a new
//! one. Whoever holds the lock exclusively stays the head until the release, and handing over is what
//! wakes the next; a shared holder hands over at once, as the next may share.
//!
//! The queue decides about turns and never about the lock: no process has to stand in it, and those
//! that do try the lock now and then themselves. So nothing worse than a late or an unfair turn can come
//! of a process that is stopped, lies, or cannot see the others (another network namespace).
//!
//! # Strangers
//!
//! Each user has queues of its own, and root may stand in all of them. Others need not even be able to
//! open the lock file. Who they are is told by SO_PEERCRED, and they are not waited for. But anybody on
//! the host can take an abstract name, and connect to it:
//!
//! - If a stranger has the name, this user's processes use a socket in a directory instead, which only
//!   this user can write: `/run/user/UID`, `/run` for root. It is not used first, because not every
//!   process of a user has that directory; and all of them see the stranger. Where there is no such
//!   directory, they wait without a queue, and the log says so once.
//! - A head accepts a limited number of connections when it hands over. If these are all strangers', it
//!   breaks the queue, which its followers notice.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, SocketAddrUnix, SocketFlags, SocketType,
    accept_with, bind, connect, listen, recvmsg, sendmsg, shutdown, socket_with, sockopt,
};
use rustix::process::Uid;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tracing::warn;

use crate::ForkGeneration;
use crate::reactor::reactor;
use crate::wait::system::{Follower, Place, QueueHead, Turn};

/// A queue, by its name.
#[derive(Debug)]
pub(super) struct Queue<'a> {
    user: Uid,
    key: &'a str,
    address: SocketAddrUnix,
}

/// Why a queue cannot be entered at an address.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    /// Nobody listens there.
    Empty,
    /// Another user's process does.
    Stranger(Uid),
    /// The system refuses it.
    System,
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::CONNREFUSED | Errno::NOENT => Self::Empty,
            _ => Self::System,
        }
    }
}

impl<'a> Queue<'a> {
    /// The queue of this user's processes that is called `key`.
    pub(super) fn named(key: &'a str) -> Option<Self> {
        let user = rustix::process::geteuid();
        let name = format!("touchfile/1/{user}/{key}");
        let address = SocketAddrUnix::new_abstract_name(name.as_bytes()).ok()?;
        Some(Self { user, key, address })
    }

    /// Takes the last place in the queue, which is its head if nobody stands in it.
    pub(super) fn enter(&self) -> Place {
        for _ in 0..MAX_ROUNDS {
            match self.follow(&self.address) {
                Ok(follower) => return Place::Behind(Box::new(follower)),
                Err(Refusal::Empty) => {}
                Err(Refusal::Stranger(stranger)) => {
                    return self.enter_in_directory().unwrap_or_else(|| {
                        log_stranger(stranger);
                        Place::Head(None)
                    });
                }
                Err(Refusal::System) => return Place::Head(None),
            }
            match self.lead(&self.address) {
                Ok(head) => return Place::Head(Some(Box::new(head))),
                // Somebody else does, and will listen in a moment.
                Err(Errno::ADDRINUSE) => std::thread::yield_now(),
                Err(_) => return Place::Head(None),
            }
        }
        Place::Head(None)
    }

    /// Takes the last place in the queue if somebody stands in it.
    pub(super) fn join(&self) -> Option<Following> {
        match self.follow(&self.address) {
            Err(Refusal::Stranger(_)) => {
                let address = SocketAddrUnix::new(self.directory()?.join(self.file_name())).ok()?;
                self.follow(&address).ok()
            }
            joined => joined.ok(),
        }
    }

    fn lead(&self, address: &SocketAddrUnix) -> Result<Head, Errno> {
        let socket = new_socket()?;
        bind(&socket, address)?;
        listen(&socket, LONGEST_QUEUE)?;
        Ok(Head::new(socket, self.user))
    }

    fn follow(&self, address: &SocketAddrUnix) -> Result<Following, Refusal> {
        let socket = new_socket()?;
        // Never blocks: EAGAIN if the queue is too long.
        retry_on_intr(|| connect(&socket, address))?;
        let peer = sockopt::socket_peercred(&socket)?.uid;
        if !is_friend(peer, self.user) {
            return Err(Refusal::Stranger(peer));
        }
        Ok(Following {
            connection: Connection::Idle(socket),
            user: self.user,
            process: ForkGeneration::current(),
        })
    }

    /// Enters the queue whose socket is in a directory; `None` if there is no such directory.
    fn enter_in_directory(&self) -> Option<Place> {
        let directory = self.directory()?;
        let path = directory.join(self.file_name());
        let address = SocketAddrUnix::new(&path).ok()?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(&directory, flags, Mode::empty()).ok()?;
        for _ in 0..MAX_ROUNDS {
            match self.follow(&address) {
                Ok(follower) => return Some(Place::Behind(Box::new(follower))),
                Err(Refusal::Empty) => {}
                Err(_) => return None,
            }
            // One at a time, so that nobody removes the socket that another has just made. The lock
            // goes with the open directory.
            if rustix::fs::flock(&opened, FlockOperation::NonBlockingLockExclusive).is_err() {
                std::thread::yield_now();
                continue;
            }
            if let Ok(follower) = self.follow(&address) {
                return Some(Place::Behind(Box::new(follower)));
            }
            // A socket that nobody listens at any more; a dead head has left it behind.
            rustix::fs::unlink(&path).ok();
            let head = self.lead(&address).ok()?;
            return Some(Place::Head(Some(Box::new(head))));
        }
        None
    }

    /// A directory that only this user can write; it is made if it is missing.
    fn directory(&self) -> Option<PathBuf> {
        let run = if self.user.is_root() {
            PathBuf::from("/run")
        } else {
            PathBuf::from(format!("/run/user/{}", self.user))
        };
        let directory = run.join("touchfile");
        // It may be there already.
        rustix::fs::mkdir(&directory, Mode::RWXU).ok();
        // Whoever can write what is above could put another one in its place.
        [&run, &directory]
            .iter()
            .all(|directory| is_only_ours(directory, self.user))
            .then_some(directory)
    }

    fn file_name(&self) -> String {
        self.key.replace('/', "-")
    }
}

/// Whether this is a directory that nobody but `user` and root can write.
fn is_only_ours(directory: &std::path::Path, user: Uid) -> bool {
    rustix::fs::lstat(directory).is_ok_and(|stat| {
        let others = Mode::WGRP | Mode::WOTH;
        let is_directory = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir();
        let owner = Uid::from_raw(stat.st_uid);
        is_directory
            && is_friend(owner, user)
            && !Mode::from_raw_mode(stat.st_mode).intersects(others)
    })
}

/// Whether a process of `peer` may stand in the queues of `user`: one of the same user, or root's.
fn is_friend(peer: Uid, user: Uid) -> bool {
    peer.is_root() || peer == user
}

fn log_stranger(stranger: Uid) {
    static LOGGED: OnceLock<()> = OnceLock::new();
    LOGGED.get_or_init(|| {
        let uid = stranger.as_raw();
        warn!(
            target: "touchfile",
            uid,
            "another user has taken the name of the queue: waiting in no order"
        );
    });
}

/// The longest queue; the kernel may allow less (net.core.somaxconn).
const LONGEST_QUEUE: i32 = 4096;

/// How often to try again when others form the queue at the same moment.
const MAX_ROUNDS: u32 = 16;

fn new_socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// The head of a queue. Dropping it hands over.
#[derive(Debug)]
struct Head {
    /// Missing once it was handed over.
    socket: Option<OwnedFd>,
    /// Whose queue it is, whoever this process is by now.
    user: Uid,
    process: ForkGeneration,
}

impl Head {
    fn new(socket: OwnedFd, user: Uid) -> Self {
        Self {
            socket: Some(socket),
            user,
            process: ForkGeneration::current(),
        }
    }
}

impl QueueHead for Head {
    fn hand_over(&mut self) {
        // Strangers can connect as fast as they like, and a release must not wait for them.
        const MAX_ACCEPTED: u32 = 64;
        const MAX_TIME: Duration = Duration::from_millis(2);

        // In a forked child this is a copy, and its parent is the head.
        if !self.process.is_current() {
            return;
        }
        let mut started = None;
        for _ in 0..MAX_ACCEPTED {
            let Some(socket) = &self.socket else {
                return;
            };
            // Accepting makes a socket before it finds that there is nobody: poll first.
            if !has_follower(socket) {
                return;
            }
            match accept_with(socket, SocketFlags::CLOEXEC) {
                Ok(follower) if is_friends(&follower, self.user) => {
                    if pass(socket, &follower).is_ok() {
                        self.socket = None;
                    }
                }
                // That one is a stranger, or has left, or we were interrupted.
                Ok(_) | Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(_) => return,
            }
            if started.get_or_insert_with(Instant::now).elapsed() > MAX_TIME {
                return;
            }
        }
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        self.hand_over();
        let socket = self.socket.as_ref().filter(|_| self.process.is_current());
        if let Some(socket) = socket {
            // Nobody follows, or there are too many strangers. A child that was just forked may have a
            // copy of the socket, and nobody is to wait for that. A process that has just connected
            // sees that the queue is broken.
            shutdown(socket, Shutdown::Both).ok();
        }
    }
}

fn is_friends(socket: &OwnedFd, user: Uid) -> bool {
    sockopt::socket_peercred(socket).is_ok_and(|peer| is_friend(peer.uid, user))
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

/// A place behind the head of a queue. Dropping it leaves the queue.
#[derive(Debug)]
pub(super) struct Following {
    connection: Connection,
    user: Uid,
    process: ForkGeneration,
}

#[derive(Debug)]
enum Connection {
    Idle(OwnedFd),
    /// A runtime's reactor watches it.
    Watched(UnixStream),
    /// There is no reactor to be had, so the caller asks now and then.
    Unwatched(OwnedFd),
    Closed,
}

impl Follower for Following {
    fn is_watched(&self) -> bool {
        matches!(self.connection, Connection::Watched(_))
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        if let Connection::Idle(_) = self.connection {
            self.watch();
        }
        let user = self.user;
        let turn = loop {
            match &self.connection {
                Connection::Watched(stream) => {
                    if ready!(stream.poll_read_ready(cx)).is_err() {
                        break Turn::Broken; // the runtime is gone
                    }
                    let received = stream.try_io(Interest::READABLE, || Ok(receive(stream, user)?));
                    match received {
                        Ok(turn) => break turn,
                        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                        Err(_) => break Turn::Broken,
                    }
                }
                Connection::Unwatched(socket) => match receive(socket, user) {
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
}

impl Following {
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

impl Drop for Following {
    fn drop(&mut self) {
        if !self.process.is_current() {
            // This is a forked child's copy: taking it out of the reactor would take out the parent's.
            std::mem::forget(std::mem::replace(&mut self.connection, Connection::Closed));
        }
        // A child that was forked meanwhile may have a copy, so closing this one does not leave the
        // queue. After the shutdown nothing can come any more, and what has come is still there.
        let received = match &self.connection {
            Connection::Idle(socket) | Connection::Unwatched(socket) => leave(socket, self.user),
            Connection::Watched(stream) => leave(stream, self.user),
            Connection::Closed => return,
        };
        // If this has just become the head, dropping that hands over to the next.
        drop(received);
    }
}

fn leave(connection: impl AsFd, user: Uid) -> Result<Turn, Errno> {
    shutdown(&connection, Shutdown::Both)?;
    receive(connection, user)
}

/// What the head has handed over; `EAGAIN` if nothing yet.
fn receive(from: impl AsFd, user: Uid) -> Result<Turn, Errno> {
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
    Ok(socket.map_or(Turn::Broken, |socket| {
        Turn::Head(Box::new(Head::new(socket, user)))
    }))
}
