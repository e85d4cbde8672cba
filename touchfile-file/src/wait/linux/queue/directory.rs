//! The directory that has the sockets of one user's queues, and that only this user can write.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::SocketAddrUnix;
use rustix::process::Uid;

use super::is_friend;
use crate::wait::is_without;

/// A name in the directory.
#[derive(Clone, Debug)]
pub(super) struct SocketFile {
    directory: Arc<Directory>,
    name: Arc<OsStr>,
}

#[derive(Debug)]
struct Directory {
    path: PathBuf,
    /// The open directory, which stays the same whatever its path names later.
    opened: OwnedFd,
}

impl SocketFile {
    /// The name of the socket of the queue `key` of `user`, with its address; `None` if there is no
    /// directory for it.
    pub(super) fn of(user: Uid, key: &str) -> Option<(Self, SocketAddrUnix)> {
        let directory = Directory::of(user)?;
        let name = key.replace('/', "-");
        let address = SocketAddrUnix::new(directory.path.join(&name)).ok()?;
        let name = Arc::from(OsStr::new(&name));
        Some((Self { directory, name }, address))
    }

    /// Opens the directory anew, for a lock that goes with the descriptor.
    pub(super) fn lock_directory(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.directory.opened, c".", flags, Mode::empty())
    }

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
        /// The directory may appear with the first session of a user and vanish with the last.
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
        // The directory may exist already.
        rustix::fs::mkdirat(&above, NAME, Mode::RWXU).ok();
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&above, NAME, flags, Mode::empty()).ok()?;
        // Whoever can write what is above could put another one in its place.
        let is_safe = is_only_ours(&above, user) && is_only_ours(&opened, user);
        is_safe.then_some(Self { path, opened })
    }
}

/// The name of the directory.
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
