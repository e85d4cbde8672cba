//! The queue in which the waiters of one host stand, one behind the other.
//!
//! The *head* of the queue waits for the lock; its *followers* wait to become the head. So one process
//! wakes up when the lock is released and not all of them, they are served in the order in which they
//! came, and whoever wants the lock again stands behind them.
//!
//! A queue is a listening socket (unix(7)) whose name is made from the lock file's identity. Whoever finds
//! nobody listening listens, and is the head; whoever connects follows, and the kernel keeps the
//! connections in order. A head that gives up or is done accepts the first connection and passes the
//! socket itself through it: that process is the head now, with the rest of the queue behind it. If a
//! head dies, the queue breaks, its followers notice at once and form a new one. Whoever holds the lock
//! exclusively stays the head until the release, and handing over is what wakes the next; a shared
//! holder hands over at once, as the next may share.
//!
//! The queue decides about turns and never about the lock: no process has to stand in it, and those
//! that do try the lock now and then themselves. So nothing worse than a late or an unfair turn can come
//! of a process that is stopped, lies, or cannot see the others (another network namespace).
//!
//! # Strangers
//!
//! Each user has queues of its own. Others need not even be able to open the lock file. Who they are is
//! told by SO_PEERCRED, and they are not waited for.
//!
//! - The socket is in a [`directory`] that only this user can write: `/run/user/UID`, `/run` for root.
//!   Nobody else can take its name, or connect to it.
//! - Where there is no such directory, it has a name in the abstract namespace, which anybody on the
//!   host can take, and connect to. If a stranger has the name there is no queue: waits have no order but
//!   the kernel's, holders pause before they lock again, and the log says so once. A head accepts a
//!   limited number of connections when it hands over. If these are all strangers', it breaks the queue,
//!   which its followers notice.
//!
//! Processes of one user with and without the directory, as in a container that shares the network
//! namespace, have two queues. So have two users. The heads of all queues meet in the kernel's own, which is
//! in the order in which they came there.

mod directory;
mod follower;
mod head;

use std::os::fd::OwnedFd;
use std::sync::OnceLock;

use rustix::fs::FlockOperation;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
    sockopt,
};
use rustix::process::Uid;

use self::directory::SocketFile;
use self::follower::Following;
#[cfg(feature = "fuzzing")]
pub(crate) use self::follower::take_message;
use self::head::Head;
use crate::wait::QueuePlace;
use crate::wait::system::{Joined, Place};

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
        if !is_told_from_others(user) {
            return None;
        }
        let name = format!("touchfile/1/{user}/{key}");
        let address = SocketAddrUnix::new_abstract_name(name.as_bytes()).ok()?;
        Some(Self { user, key, address })
    }

    /// Takes the last place in the queue, which is its head if nobody stands in it.
    pub(super) fn enter(&self) -> Place {
        if let Some(place) = self.enter_in_directory() {
            return place;
        }
        for _ in 0..MAX_ROUNDS {
            match self.follow(&self.address, None) {
                Ok(follower) => return Place::Behind(Box::new(follower)),
                Err(Refusal::Empty) => {}
                Err(Refusal::Stranger(stranger)) => {
                    log_stranger(stranger);
                    return Place::Head(None);
                }
                Err(Refusal::System) => return Place::Head(None),
            }
            match self.lead(&self.address, None) {
                Ok(head) => return Place::Head(Some(Box::new(head))),
                // Somebody else does, and will listen in a moment.
                Err(Errno::ADDRINUSE) => std::thread::yield_now(),
                Err(_) => return Place::Head(None),
            }
        }
        Place::Crowded
    }

    /// Takes the last place in the queue if somebody stands in it.
    pub(super) fn join(&self) -> Joined {
        let joined = match self.join_in_directory() {
            Some(joined) => joined,
            None => match self.follow(&self.address, None) {
                Err(Refusal::Stranger(_)) => return Joined::Taken,
                joined => joined.ok(),
            },
        };
        joined.map_or(Joined::Nobody, |follower| {
            Joined::Behind(Box::new(follower))
        })
    }

    /// The user who has taken the name of this queue from the one whose queue it is.
    pub(super) fn taken_by(&self) -> Option<Uid> {
        match self.follow(&self.address, None) {
            Err(Refusal::Stranger(stranger)) => Some(stranger),
            _ => None,
        }
    }

    fn lead(&self, address: &SocketAddrUnix, file: Option<&SocketFile>) -> Result<Head, Errno> {
        let socket = new_socket()?;
        bind(&socket, address)?;
        listen(&socket, LONGEST_QUEUE)?;
        Ok(Head::new(socket, self.user, file.cloned()))
    }

    fn follow(
        &self,
        address: &SocketAddrUnix,
        file: Option<&SocketFile>,
    ) -> Result<Following, Refusal> {
        let socket = new_socket()?;
        // Never blocks: EAGAIN if the queue is too long.
        retry_on_intr(|| connect(&socket, address))?;
        let peer = sockopt::socket_peercred(&socket)?.uid;
        if !is_friend(peer, self.user) {
            return Err(Refusal::Stranger(peer));
        }
        Ok(Following::new(socket, self.user, file.cloned()))
    }

    /// Takes the last place in the queue whose socket is in the directory; `None` if there is no such
    /// directory, or no socket can be made in it.
    fn enter_in_directory(&self) -> Option<Place> {
        let (file, address) = SocketFile::of(self.user, self.key)?;
        for _ in 0..MAX_ROUNDS {
            match self.follow(&address, Some(&file)) {
                Ok(follower) => return Some(Place::Behind(Box::new(follower))),
                Err(Refusal::Empty) => {}
                Err(_) => return None,
            }
            // One at a time, so that nobody removes the socket that another has just made.
            let lock = file.lock_directory().ok()?;
            if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
                std::thread::yield_now();
                continue;
            }
            if let Ok(follower) = self.follow(&address, Some(&file)) {
                return Some(Place::Behind(Box::new(follower)));
            }
            // A head that was killed leaves its socket behind.
            file.remove();
            let head = self.lead(&address, Some(&file)).ok()?;
            return Some(Place::Head(Some(Box::new(head))));
        }
        Some(Place::Crowded)
    }

    /// Takes the last place in the queue whose socket is in the directory, if somebody stands in it; `None`
    /// if there is no such directory.
    fn join_in_directory(&self) -> Option<Option<Following>> {
        let (file, address) = SocketFile::of(self.user, self.key)?;
        Some(self.follow(&address, Some(&file)).ok())
    }
}

/// Where a queue of this process's user would be whose key is one of `keys`.
pub(super) fn place(keys: &[String]) -> QueuePlace {
    if let Some(directory) = directory::path() {
        return QueuePlace::Directory(directory);
    }
    let queues = keys.iter().filter_map(|key| Queue::named(key));
    let mut strangers = queues.filter_map(|queue| queue.taken_by());
    match strangers.next() {
        Some(stranger) => QueuePlace::Taken(stranger.as_raw()),
        None => QueuePlace::Abstract,
    }
}

/// Whether a process of `peer` may stand in the queues of `user`: one of the same user, or root's.
fn is_friend(peer: Uid, user: Uid) -> bool {
    peer.is_root() || peer == user
}

/// Whether a process of `user` can tell its own user from others.
///
/// In a user namespace, all users without a number there look like `nobody` (user_namespaces(7)).
fn is_told_from_others(user: Uid) -> bool {
    /// The default of /proc/sys/kernel/overflowuid.
    const NOBODY: u32 = 65_534;
    static ALL_HAVE_NUMBERS: OnceLock<bool> = OnceLock::new();

    user.as_raw() != NOBODY
        || *ALL_HAVE_NUMBERS.get_or_init(|| {
            let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
            map.split_whitespace().eq(["0", "0", "4294967295"])
        })
}

fn log_stranger(stranger: Uid) {
    static LOGGED: OnceLock<()> = OnceLock::new();
    LOGGED.get_or_init(|| {
        let uid = stranger.as_raw();
        #[cfg(feature = "tracing")]
        tracing::warn!(
            target: "touchfile",
            uid,
            "another user has taken the name of the queue: waiting in no order of its own"
        );
        let _ = uid;
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
