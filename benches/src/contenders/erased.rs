//! The two traits of contenders, behind pointers.

use std::fmt;
use std::future::Future;
use std::hint::black_box;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::{AsyncLock, Lock, Mode};

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One who locks: an open lock of some contender.
pub(crate) enum Participant {
    Task(Box<dyn TaskLock>),
    Thread(Box<dyn ThreadLock>),
}

/// A lock that is held. Dropping it releases.
pub(crate) trait Held {
    fn unlock(self: Box<Self>) -> io::Result<()>;
}

/// The same in async.
pub(crate) trait HeldAsync<'a>: Send {
    fn unlock(self: Box<Self>) -> BoxFuture<'a, io::Result<()>>;
}

/// [`Lock`], behind a pointer.
pub(crate) trait ThreadLock: Send {
    fn lock(&mut self, mode: Mode) -> io::Result<Box<dyn Held + '_>>;

    fn lock_timeout(
        &mut self,
        mode: Mode,
        timeout: Duration,
    ) -> io::Result<Option<Box<dyn Held + '_>>>;

    /// Locks and drops the guard this often, without a call through a pointer in between.
    fn cycles(&mut self, mode: Mode, count: u64) -> io::Result<()>;

    fn share(&self) -> Option<Participant>;
}

/// [`AsyncLock`], behind a pointer.
pub(crate) trait TaskLock: Send {
    fn lock(&mut self, mode: Mode) -> BoxFuture<'_, io::Result<Box<dyn HeldAsync<'_> + '_>>>;

    /// Whether it was granted; it is released already.
    fn lock_timeout(&mut self, mode: Mode, timeout: Duration) -> BoxFuture<'_, io::Result<bool>>;

    /// Locks and drops the guard this often, without a box or a call through a pointer in between.
    fn cycles(&mut self, mode: Mode, count: u64) -> BoxFuture<'_, io::Result<()>>;

    fn share(&self) -> Option<Participant>;
}

/// How a lock is let go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Release {
    Drop,
    Explicit,
}

impl Participant {
    pub(crate) fn thread<L: Lock>(path: &Path) -> io::Result<Self> {
        Ok(Self::Thread(Box::new(OnThread(L::open(path)?))))
    }

    pub(crate) fn task<L: AsyncLock>(path: &Path) -> io::Result<Self> {
        Ok(Self::Task(Box::new(InTask(L::open(path)?))))
    }

    /// Another participant of this process on the same lock, if they can share it.
    pub(crate) fn share(&self) -> Option<Self> {
        match self {
            Self::Task(lock) => lock.share(),
            Self::Thread(lock) => lock.share(),
        }
    }

    /// Locks, does something, and releases.
    pub(crate) fn with<T>(
        &mut self,
        runtime: &Runtime,
        mode: Mode,
        release: Release,
        critical: impl FnOnce() -> T,
    ) -> io::Result<T> {
        match self {
            Self::Task(lock) => runtime.block_on(async {
                let held = lock.lock(mode).await?;
                let done = critical();
                match release {
                    Release::Drop => drop(held),
                    Release::Explicit => held.unlock().await?,
                }
                Ok(done)
            }),
            Self::Thread(lock) => {
                let held = lock.lock(mode)?;
                let done = critical();
                match release {
                    Release::Drop => drop(held),
                    Release::Explicit => held.unlock()?,
                }
                Ok(done)
            }
        }
    }

    /// Locks and releases this often.
    pub(crate) fn cycles(&mut self, runtime: &Runtime, mode: Mode, count: u64) -> io::Result<()> {
        match self {
            Self::Task(lock) => runtime.block_on(lock.cycles(mode, count)),
            Self::Thread(lock) => lock.cycles(mode, count),
        }
    }
}

impl fmt::Debug for Participant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Task(_) => "Task(..)",
            Self::Thread(_) => "Thread(..)",
        })
    }
}

struct OnThread<L>(L);

struct HeldOnThread<'a, L: Lock>(L::Guard<'a>);

impl<L: Lock> ThreadLock for OnThread<L> {
    fn lock(&mut self, mode: Mode) -> io::Result<Box<dyn Held + '_>> {
        Ok(Box::new(HeldOnThread::<L>(self.0.lock(mode)?)))
    }

    fn lock_timeout(
        &mut self,
        mode: Mode,
        timeout: Duration,
    ) -> io::Result<Option<Box<dyn Held + '_>>> {
        let guard = self.0.lock_timeout(mode, timeout)?;
        Ok(guard.map(|guard| Box::new(HeldOnThread::<L>(guard)) as Box<dyn Held + '_>))
    }

    fn cycles(&mut self, mode: Mode, count: u64) -> io::Result<()> {
        for _ in 0..count {
            drop(black_box(self.0.lock(mode)?));
        }
        Ok(())
    }

    fn share(&self) -> Option<Participant> {
        Some(Participant::Thread(Box::new(Self(self.0.share()?))))
    }
}

impl<L: Lock> Held for HeldOnThread<'_, L> {
    fn unlock(self: Box<Self>) -> io::Result<()> {
        L::unlock(self.0)
    }
}

struct InTask<L>(L);

struct HeldInTask<'a, L: AsyncLock>(L::Guard<'a>);

impl<L: AsyncLock> TaskLock for InTask<L> {
    fn lock(&mut self, mode: Mode) -> BoxFuture<'_, io::Result<Box<dyn HeldAsync<'_> + '_>>> {
        Box::pin(async move {
            let guard = self.0.lock(mode).await?;
            Ok(Box::new(HeldInTask::<L>(guard)) as Box<dyn HeldAsync<'_> + '_>)
        })
    }

    fn lock_timeout(&mut self, mode: Mode, timeout: Duration) -> BoxFuture<'_, io::Result<bool>> {
        Box::pin(async move { Ok(self.0.lock_timeout(mode, timeout).await?.is_some()) })
    }

    fn cycles(&mut self, mode: Mode, count: u64) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            for _ in 0..count {
                drop(black_box(self.0.lock(mode).await?));
            }
            Ok(())
        })
    }

    fn share(&self) -> Option<Participant> {
        Some(Participant::Task(Box::new(Self(self.0.share()?))))
    }
}

impl<'a, L: AsyncLock> HeldAsync<'a> for HeldInTask<'a, L> {
    fn unlock(self: Box<Self>) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(L::unlock(self.0))
    }
}
