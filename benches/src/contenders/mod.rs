//! Who is compared: one small file for each way of locking.
//!
//! A contender is a [`Lock`] or an [`AsyncLock`], used as its documentation shows and no cleverer.
//! Scenarios see a [`Participant`], which is one of the two behind a pointer.

mod async_fd_lock;
mod erased;
mod fd_lock;
mod filelock;
mod fs4;
mod named_lock;
mod poll;
mod raw_flock;
mod raw_ofd;
mod std_file;
mod touchfile;

use std::fs::File;
use std::future::Future;
use std::io;
use std::path::Path;
use std::time::Duration;

pub(crate) use erased::{Participant, Release, TaskLock, ThreadLock};

/// The contender that all others are measured against.
pub(crate) const FLOOR: &str = "raw flock(2)";

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    Exclusive,
    Shared,
}

/// A lock that a thread waits for.
pub(crate) trait Lock: Send + Sized + 'static {
    /// Releases when it is dropped.
    type Guard<'a>;

    fn open(path: &Path) -> io::Result<Self>;

    /// Waits for as long as it takes.
    fn lock(&mut self, mode: Mode) -> io::Result<Self::Guard<'_>>;

    /// `None` when time is up. Only where [`Contender::deadline`] is claimed.
    fn lock_timeout(
        &mut self,
        _mode: Mode,
        _timeout: Duration,
    ) -> io::Result<Option<Self::Guard<'_>>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The explicit release, where there is one.
    fn unlock(guard: Self::Guard<'_>) -> io::Result<()> {
        drop(guard);
        Ok(())
    }

    /// The same lock for another thread of this process, where they can share one.
    fn share(&self) -> Option<Self> {
        None
    }
}

/// A lock that a task waits for.
pub(crate) trait AsyncLock: Send + Sized + 'static {
    /// Releases when it is dropped.
    type Guard<'a>: Send;

    fn open(path: &Path) -> io::Result<Self>;

    /// Waits for as long as it takes. Cancelled by dropping the future.
    fn lock(&mut self, mode: Mode) -> impl Future<Output = io::Result<Self::Guard<'_>>> + Send;

    /// `None` when time is up: by the contender's own means if it has some, else by tokio's.
    fn lock_timeout(
        &mut self,
        mode: Mode,
        timeout: Duration,
    ) -> impl Future<Output = io::Result<Option<Self::Guard<'_>>>> + Send {
        async move {
            match tokio::time::timeout(timeout, self.lock(mode)).await {
                Ok(guard) => guard.map(Some),
                Err(_) => Ok(None),
            }
        }
    }

    /// The explicit release, where there is one.
    fn unlock(guard: Self::Guard<'_>) -> impl Future<Output = io::Result<()>> + Send {
        drop(guard);
        std::future::ready(Ok(()))
    }

    /// The same lock for another task of this process, where they can share one.
    fn share(&self) -> Option<Self> {
        None
    }
}

/// One line of every table.
#[derive(Debug)]
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) open: fn(&Path) -> io::Result<Participant>,
    /// What its locks conflict with: those of flock(2) and of fcntl(2) ignore each other.
    pub(crate) family: Family,
    pub(crate) waits: Waits,
    /// Whether many may hold it in shared mode.
    pub(crate) shared: bool,
    /// Whether a wait can be given up: by dropping its future, or by a deadline.
    pub(crate) deadline: bool,
    /// Whether it differs from another contender in an uncontended cycle only.
    pub(crate) cycle_only: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Family {
    Fcntl,
    Flock,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Waits {
    /// A future, which needs no thread.
    Task,
    /// A future, for which a thread waits.
    TaskOnThread,
    Thread,
}

impl Contender {
    pub(crate) fn is_async(&self) -> bool {
        self.waits != Waits::Thread
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.name.starts_with("touchfile")
    }

    /// The system calls themselves, which hold the lock for others.
    pub(crate) fn raw_of_its_family(&self) -> &'static Self {
        match self.family {
            Family::Fcntl => &raw_ofd::CONTENDER,
            Family::Flock => &raw_flock::CONTENDER,
        }
    }
}

/// All of them, in the order of the tables.
pub(crate) fn all() -> impl Iterator<Item = &'static Contender> {
    PEERS.iter().chain(touchfile::CONTENDERS)
}

static PEERS: &[Contender] = &[
    raw_flock::CONTENDER,
    raw_ofd::CONTENDER,
    std_file::CONTENDER,
    fs4::CONTENDER,
    fd_lock::CONTENDER,
    filelock::BLOCKING,
    filelock::ASYNC,
    named_lock::CONTENDER,
    async_fd_lock::CONTENDER,
    poll::CONTENDER,
];

/// The contender of this name.
pub(crate) fn named(name: &str) -> Option<&'static Contender> {
    all().find(|contender| contender.name == name)
}

/// Opens a lock file as most programs do.
pub(crate) fn open_file(path: &Path) -> io::Result<File> {
    File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
}
