//! async-fd-lock: flock(2) on a thread of the blocking pool, for each acquisition.

use std::io;
use std::path::{Path, PathBuf};

use async_fd_lock::{LockRead, LockWrite, RwLockReadGuard, RwLockWriteGuard};
use tokio::fs::File;

use super::{AsyncLock, Contender, Family, Mode, Participant, Waits, open_file};

pub(super) const CONTENDER: Contender = Contender {
    name: "async-fd-lock",
    open: Participant::task::<AsyncFdLock>,
    family: Family::Flock,
    waits: Waits::TaskOnThread,
    shared: true,
    deadline: true,
    cycle_only: false,
};

/// Locking consumes the file, and releasing returns it: kept here, so that it stays open.
struct AsyncFdLock {
    path: PathBuf,
    file: Option<File>,
}

pub(super) struct Guard<'a> {
    guard: Option<Locked>,
    file: &'a mut Option<File>,
}

enum Locked {
    Read(RwLockReadGuard<File>),
    Write(RwLockWriteGuard<File>),
}

impl AsyncLock for AsyncFdLock {
    type Guard<'a> = Guard<'a>;

    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            file: Some(File::from_std(open_file(path)?)),
        })
    }

    async fn lock(&mut self, mode: Mode) -> io::Result<Guard<'_>> {
        // A wait that was given up has taken the file with it.
        let file = match self.file.take() {
            Some(file) => file,
            None => File::from_std(open_file(&self.path)?),
        };
        let guard = match mode {
            Mode::Exclusive => Locked::Write(file.lock_write().await.map_err(|e| e.error)?),
            Mode::Shared => Locked::Read(file.lock_read().await.map_err(|e| e.error)?),
        };
        Ok(Guard {
            guard: Some(guard),
            file: &mut self.file,
        })
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let released = match self.guard.take() {
            Some(Locked::Read(guard)) => guard.release(),
            Some(Locked::Write(guard)) => guard.release(),
            None => return,
        };
        *self.file = Some(released.expect("it is held"));
    }
}
