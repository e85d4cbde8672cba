//! The queue whose socket is in a directory that only one user can write.

use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::net::SocketAddrUnix;
use rustix::process::Uid;

use super::follower::Following;
use super::{MAX_ROUNDS, Queue, Refusal, is_friend};
use crate::wait::system::Place;

impl Queue<'_> {
    /// Enters the queue whose socket is in a directory; `None` if there is no such directory.
    pub(super) fn enter_in_directory(&self) -> Option<Place> {
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

    /// Takes the last place in the queue whose socket is in a directory, if somebody stands in it.
    pub(super) fn join_in_directory(&self) -> Option<Following> {
        let path = self.directory()?.join(self.file_name());
        self.follow(&SocketAddrUnix::new(path).ok()?).ok()
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
fn is_only_ours(directory: &Path, user: Uid) -> bool {
    rustix::fs::lstat(directory).is_ok_and(|stat| {
        let others = Mode::WGRP | Mode::WOTH;
        let is_directory = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir();
        let owner = Uid::from_raw(stat.st_uid);
        is_directory
            && is_friend(owner, user)
            && !Mode::from_raw_mode(stat.st_mode).intersects(others)
    })
}
