//! A place behind the head of a queue: a connection to its socket.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::task::{Context, Poll, ready};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, Shutdown, recvmsg, shutdown,
};
use rustix::process::Uid;
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::head::Head;
use crate::ForkGeneration;
use crate::reactor::reactor;
use crate::wait::system::{Follower, Turn};

/// A place behind the head of a queue. Dropping it leaves the queue.
#[derive(Debug)]
pub(in crate::wait::linux) struct Following {
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
    pub(super) fn new(socket: OwnedFd, user: Uid) -> Self {
        Self {
            connection: Connection::Idle(socket),
            user,
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

/// Receives what the head hands over; `EAGAIN` if it has handed over nothing yet.
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
