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
mod raw;
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
pub(crate) use raw::{try_lock, unlock};

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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tempfile::tempdir;

    use super::{Contender, Mode, Participant, Release, all, open_file, try_lock, unlock};
    use crate::worker::runtime;

    /// Whether the lock was free for somebody else of the contender's family.
    fn is_free(contender: &Contender, path: &std::path::Path) -> bool {
        let file = open_file(path).unwrap();
        let free = try_lock(contender.family, &file).unwrap();
        if free {
            unlock(contender.family, &file).unwrap();
        }
        free
    }

    #[test]
    fn every_contender_holds_the_lock_and_lets_it_go() {
        let dir = tempdir().unwrap();
        let runtime = runtime().unwrap();
        for contender in all() {
            let path = dir.path().join(contender.name.replace([' ', ':'], "-"));
            let mut participant = (contender.open)(&path).unwrap();
            let modes = [Mode::Exclusive, Mode::Shared];
            for mode in modes.into_iter().take(if contender.shared { 2 } else { 1 }) {
                for release in [Release::Drop, Release::Explicit] {
                    let free = || is_free(contender, &path);
                    let held = participant.with(&runtime, mode, release, free);
                    assert!(!held.unwrap(), "{} holds nothing", contender.name);
                    assert!(free(), "{} does not let go", contender.name);
                }
            }
            participant.cycles(&runtime, Mode::Exclusive, 3).unwrap();
            assert!(
                is_free(contender, &path),
                "{} does not let go",
                contender.name
            );
        }
    }

    #[test]
    fn a_deadline_passes_while_the_lock_is_held() {
        let dir = tempdir().unwrap();
        let runtime = runtime().unwrap();
        let time = Duration::from_millis(2);
        for contender in all().filter(|contender| contender.deadline) {
            let path = dir.path().join(contender.name.replace([' ', ':'], "-"));
            let file = open_file(&path).unwrap();
            assert!(try_lock(contender.family, &file).unwrap());
            let granted = match &mut (contender.open)(&path).unwrap() {
                Participant::Task(lock) => runtime
                    .block_on(lock.lock_timeout(Mode::Exclusive, time))
                    .unwrap(),
                Participant::Thread(lock) => {
                    lock.lock_timeout(Mode::Exclusive, time).unwrap().is_some()
                }
            };
            assert!(!granted, "{} has a lock that is held", contender.name);
            // A thread that was left behind takes it now, and is waited for by the runtime's end.
            unlock(contender.family, &file).unwrap();
        }
    }
}
