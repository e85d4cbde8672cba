//! filelock, synchronous and async. The async one polls, every 1 ms at first and 50 ms at last.

use std::io;
use std::path::Path;
use std::time::Duration;

use filelock::{FileLock, FileLockGuard};

use super::{AsyncLock, Contender, Family, Lock, Mode, Participant, Waits};

pub(super) const BLOCKING: Contender = Contender {
    name: "filelock",
    open: Participant::thread::<Filelock>,
    family: Family::Flock,
    waits: Waits::Thread,
    shared: true,
    deadline: true,
    cycle_only: false,
};

pub(super) const ASYNC: Contender = Contender {
    name: "filelock, async",
    open: Participant::task::<Filelock>,
    waits: Waits::Task,
    ..BLOCKING
};

struct Filelock(FileLock);

impl Lock for Filelock {
    type Guard<'a> = FileLockGuard<'a>;

    fn open(path: &Path) -> io::Result<Self> {
        FileLock::new(path).map(Self)
    }

    fn lock(&mut self, mode: Mode) -> io::Result<FileLockGuard<'_>> {
        match mode {
            Mode::Exclusive => self.0.lock(),
            Mode::Shared => self.0.lock_shared(),
        }
    }

    fn lock_timeout(
        &mut self,
        mode: Mode,
        timeout: Duration,
    ) -> io::Result<Option<FileLockGuard<'_>>> {
        match mode {
            Mode::Exclusive => self.0.lock_timeout(timeout),
            Mode::Shared => self.0.lock_shared_timeout(timeout),
        }
    }

    fn unlock(guard: FileLockGuard<'_>) -> io::Result<()> {
        guard.unlock()
    }
}

impl AsyncLock for Filelock {
    type Guard<'a> = FileLockGuard<'a>;

    fn open(path: &Path) -> io::Result<Self> {
        FileLock::new(path).map(Self)
    }

    async fn lock(&mut self, mode: Mode) -> io::Result<FileLockGuard<'_>> {
        match mode {
            Mode::Exclusive => self.0.lock_async().await,
            Mode::Shared => self.0.lock_shared_async().await,
        }
    }

    async fn unlock(guard: <Self as AsyncLock>::Guard<'_>) -> io::Result<()> {
        guard.unlock()
    }
}
