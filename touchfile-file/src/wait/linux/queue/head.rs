//! The head of a queue: the process that has the listening socket.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, SocketFlags, accept_with,
    sendmsg, shutdown, sockopt,
};
use rustix::process::Uid;

use super::directory::SocketFile;
use super::is_friend;
use crate::ForkGeneration;
use crate::wait::system::QueueHead;

/// The head of a queue. Dropping it hands over.
#[derive(Debug)]
pub(super) struct Head {
    /// Missing once it was handed over.
    socket: Option<OwnedFd>,
    /// The user whose queue it is, even if this process has another user by now.
    user: Uid,
    /// Where the socket is, unless its name is an abstract one.
    file: Option<SocketFile>,
    process: ForkGeneration,
}

impl Head {
    pub(super) fn new(socket: OwnedFd, user: Uid, file: Option<SocketFile>) -> Self {
        Self {
            socket: Some(socket),
            user,
            file,
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
            if let Some(file) = &self.file {
                file.remove();
            }
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
