//! The directory that has the sockets of one user's queues, and that only this user can write.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::SocketAddrUnix;
use rustix::process::Uid;

use super::follower::Following;
use super::{MAX_ROUNDS, Queue, Refusal, is_friend};
use crate::wait::is_without;
use crate::wait::system::Place;

/// A name in the directory.
#[derive(Clone, Debug)]
pub(super) struct SocketFile {
    directory: Arc<Directory>,
    name: Arc<OsStr>,
}

#[derive(Debug)]
struct Directory {
    path: PathBuf,
    /// It stays the same directory, whatever becomes of its path.
    opened: OwnedFd,
}

impl Queue<'_> {
    /// Takes the last place in the queue whose socket is in the directory; `None` if there is no such
    /// directory, or no socket can be made in it.
    pub(super) fn enter_in_directory(&self) -> Option<Place> {
        let (file, address) = self.socket_file()?;
        for _ in 0..MAX_ROUNDS {
            match self.follow(&address, Some(&file)) {
                Ok(follower) => return Some(Place::Behind(Box::new(follower))),
                Err(Refusal::Empty) => {}
                Err(_) => return None,
            }
            // One at a time, so that nobody removes the socket that another has just made.
            let opened = file.directory.lock().ok()?;
            if rustix::fs::flock(&opened, FlockOperation::NonBlockingLockExclusive).is_err() {
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
        Some(Place::Head(None))
    }

    /// Takes the last place in the queue whose socket is in the directory, if somebody stands in it; `None`
    /// if there is no such directory.
    pub(super) fn join_in_directory(&self) -> Option<Option<Following>> {
        let (file, address) = self.socket_file()?;
        Some(self.follow(&address, Some(&file)).ok())
    }

    /// Where the socket is, or will be.
    fn socket_file(&self) -> Option<(SocketFile, SocketAddrUnix)> {
        let directory = Directory::of(self.user)?;
        let name = self.key.replace('/', "-");
        let address = SocketAddrUnix::new(directory.path.join(&name)).ok()?;
        let name = Arc::from(OsStr::new(&name));
        Some((SocketFile { directory, name }, address))
    }
}

impl SocketFile {
    /// Removes the name. Nobody puts another socket in the place of one that somebody listens at.
    pub(super) fn remove(&self) {
        rustix::fs::unlinkat(&self.directory.opened, &*self.name, AtFlags::empty()).ok();
    }
}

/// The path of the directory that has the queues of the user of this process.
pub(super) fn path() -> Option<PathBuf> {
    Some(Directory::of(rustix::process::geteuid())?.path.clone())
}

impl Directory {
    /// The directory of `user`, which is made if it is missing.
    fn of(user: Uid) -> Option<Arc<Self>> {
        /// It may come with the first session of a user, and go with the last.
        const LOOK_AGAIN: Duration = Duration::from_secs(5);
        type Known = (Uid, Instant, Option<Arc<Directory>>);
        static KNOWN: Mutex<Option<Known>> = Mutex::new(None);

        if is_without("directory") {
            return None;
        }
        // Never waited for: in a forked child it may be locked for good.
        let mut known = KNOWN.try_lock().ok();
        if let Some(Some((of, looked, directory))) = known.as_deref() {
            if *of == user && looked.elapsed() < LOOK_AGAIN {
                return directory.clone();
            }
        }
        let directory = Self::find(user).map(Arc::new);
        if let Some(known) = known.as_deref_mut() {
            *known = Some((user, Instant::now(), directory.clone()));
        }
        directory
    }

    fn find(user: Uid) -> Option<Self> {
        let run = if user.is_root() {
            PathBuf::from("/run")
        } else {
            PathBuf::from(format!("/run/user/{user}"))
        };
        let path = run.join("touchfile");
        let above = open(&run)?;
        // It may be there already.
        rustix::fs::mkdirat(&above, NAME, Mode::RWXU).ok();
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&above, NAME, flags, Mode::empty()).ok()?;
        // Whoever can write what is above could put another one in its place.
        let is_safe = is_only_ours(&above, user) && is_only_ours(&opened, user);
        is_safe.then_some(Self { path, opened })
    }

    /// The directory, opened anew: a lock goes with that.
    fn lock(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.opened, c".", flags, Mode::empty())
    }
}

/// What the directory is called.
const NAME: &std::ffi::CStr = c"touchfile";

fn open(path: &Path) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).ok()
}

/// Whether nobody but `user` and root can write this directory.
fn is_only_ours(directory: &OwnedFd, user: Uid) -> bool {
    rustix::fs::fstat(directory).is_ok_and(|stat| {
        let others = Mode::WGRP | Mode::WOTH;
        let is_directory = FileType::from_raw_mode(stat.st_mode).is_dir();
        let owner = Uid::from_raw(stat.st_uid);
        is_directory
            && is_friend(owner, user)
            && !Mode::from_raw_mode(stat.st_mode).intersects(others)
    })
}
