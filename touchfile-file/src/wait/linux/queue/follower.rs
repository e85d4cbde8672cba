//! A place behind the head of a queue: a connection to its socket.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::task::{Context, Poll, ready};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, Shutdown, recvmsg, shutdown, sockopt,
};
use rustix::process::Uid;
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::directory::SocketFile;
use super::head::Head;
use crate::ForkGeneration;
use crate::reactor::reactor;
use crate::wait::system::{Follower, Turn};

/// A place behind the head of a queue. Dropping it leaves the queue.
#[derive(Debug)]
pub(in crate::wait::linux) struct Following {
    connection: Connection,
    queue: Known,
    process: ForkGeneration,
}

/// What a follower knows of its queue.
#[derive(Clone, Debug)]
struct Known {
    user: Uid,
    file: Option<SocketFile>,
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
        let queue = &self.queue;
        let turn = loop {
            match &self.connection {
                Connection::Watched(stream) => {
                    if ready!(stream.poll_read_ready(cx)).is_err() {
                        break Turn::Broken; // the runtime is gone
                    }
                    let received =
                        stream.try_io(Interest::READABLE, || Ok(receive(stream, queue)?));
                    match received {
                        Ok(turn) => break turn,
                        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                        Err(_) => break Turn::Broken,
                    }
                }
                Connection::Unwatched(socket) => match receive(socket, queue) {
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
    pub(super) fn new(socket: OwnedFd, user: Uid, file: Option<SocketFile>) -> Self {
        Self {
            connection: Connection::Idle(socket),
            queue: Known { user, file },
            process: ForkGeneration::current(),
        }
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

impl Drop for Following {
    fn drop(&mut self) {
        if !self.process.is_current() {
            // This is a forked child's copy: taking it out of the reactor would take out the parent's.
            std::mem::forget(std::mem::replace(&mut self.connection, Connection::Closed));
        }
        // A child that was forked meanwhile may have a copy, so closing this one does not leave the
        // queue. After the shutdown nothing can come any more, and what has come is still there.
        let received = match &self.connection {
            Connection::Idle(socket) | Connection::Unwatched(socket) => leave(socket, &self.queue),
            Connection::Watched(stream) => leave(stream, &self.queue),
            Connection::Closed => return,
        };
        // If this has just become the head, dropping that hands over to the next.
        drop(received);
    }
}

fn leave(connection: impl AsFd, queue: &Known) -> Result<Turn, Errno> {
    shutdown(&connection, Shutdown::Both)?;
    receive(connection, queue)
}

/// Receives what the head hands over; `EAGAIN` if it has handed over nothing yet.
fn receive(from: impl AsFd, queue: &Known) -> Result<Turn, Errno> {
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
    // What is no listening socket is no queue.
    let socket = socket.filter(|socket| sockopt::socket_acceptconn(socket) == Ok(true));
    Ok(socket.map_or(Turn::Broken, |socket| {
        Turn::Head(Box::new(Head::new(socket, queue.user, queue.file.clone())))
    }))
}

/// Has a follower receive a message, with as many descriptors as its first byte says.
#[cfg(feature = "fuzzing")]
pub(crate) fn take_message(message: &[u8]) {
    use std::io::IoSlice;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

    static NAMES: AtomicU64 = AtomicU64::new(0);

    let Some((kinds, text)) = message.split_first() else {
        return;
    };
    let (ours, theirs) = StdStream::pair().expect("a pair of sockets");
    let (reading, writing) = StdStream::pair().expect("a pair of sockets");
    let number = NAMES.fetch_add(1, Ordering::Relaxed);
    let name = format!("touchfile-fuzz/{}/{number}", std::process::id());
    let address = SocketAddr::from_abstract_name(name).expect("it is short");
    let listener = UnixListener::bind_addr(&address).expect("nobody has the name");
    let is_listener = |n: u8| kinds >> (2 + n) & 1 == 1;
    let passed: Vec<_> = (0..kinds & 3)
        .map(|n| match is_listener(n) {
            true => listener.as_fd(),
            false => writing.as_fd(),
        })
        .collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !passed.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&passed));
    }
    sendmsg(
        &ours,
        &[IoSlice::new(text)],
        &mut control,
        SendFlags::NOSIGNAL,
    )
    .ok();
    let queue = Known {
        user: rustix::process::geteuid(),
        file: None,
    };
    let received = receive(&theirs, &queue);
    let is_head = matches!(received, Ok(Turn::Head(_)));
    let is_queue = !text.is_empty() && !passed.is_empty() && is_listener(0);
    assert_eq!(is_head, is_queue, "{received:?}");
    drop((received, ours, theirs, writing));
    let mut end = [PollFd::new(&reading, PollFlags::IN)];
    let ended = poll(&mut end, Some(&Timespec::default()));
    assert_eq!(ended, Ok(1), "a descriptor is kept");
}
