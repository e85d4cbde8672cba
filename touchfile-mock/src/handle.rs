//! An open file of a simulated process.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use async_trait::async_trait;
use touchfile_core::{Attempt, ConvertLock, LockHandle, LockMode};

use crate::backend::enter;
use crate::state::{HandleId, ProcessRef};
use crate::{Call, World};

/// An open lock file of a [`MockBackend`](crate::MockBackend).
///
/// Every call stays pending while its process is [stopped](World::stop), fails with
/// [`io::ErrorKind::Other`] once it was [killed](World::kill), and meets the armed
/// [faults](crate::Fault). Dropping the handle releases what it holds in any case; faults do not
/// apply to that.
pub struct MockHandle {
    world: World,
    process: ProcessRef,
    path: PathBuf,
    id: HandleId,
}

impl MockHandle {
    pub(crate) fn new(world: World, process: ProcessRef, path: &Path, id: HandleId) -> Self {
        Self {
            world,
            process,
            path: path.to_owned(),
            id,
        }
    }

    async fn enter(&self, call: Call) -> io::Result<()> {
        enter(&self.world, &self.process, &self.path, call).await
    }
}

#[async_trait]
impl LockHandle for MockHandle {
    async fn try_lock(&mut self, mode: LockMode) -> io::Result<Attempt> {
        self.enter(Call::TryLock).await?;
        self.world.0.with(|state| state.try_lock(self.id, mode))
    }

    /// Waits in the [queue](crate::MockBackend#fairness), without a timer: the release wakes.
    ///
    /// # Errors
    ///
    /// As [`try_lock`](Self::try_lock); the wait ends with an error too when the process is
    /// killed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the queue and wakes whoever is next.
    async fn lock(&mut self, mode: LockMode) -> io::Result<()> {
        self.enter(Call::Lock).await?;
        match self.world.0.with(|state| state.start_lock(self.id, mode))? {
            Attempt::Acquired => Ok(()),
            Attempt::WouldBlock => Wait::new(&self.world, self.id).await,
        }
    }

    /// Releases the lock.
    ///
    /// # Errors
    ///
    /// That of an armed [`Fault`](crate::Fault): the lock is still held then, until another
    /// `unlock` or the drop of the handle. A lock that was [lost](World::lose_lock) is no error.
    ///
    /// # Cancel safety
    ///
    /// After a dropped future the lock is still held.
    async fn unlock(&mut self) -> io::Result<()> {
        self.enter(Call::Unlock).await?;
        self.world.0.with(|state| state.unlock(self.id))
    }

    async fn is_current(&self, path: &Path) -> io::Result<bool> {
        self.enter(Call::IsCurrent).await?;
        let path = crate::backend::absolute(path);
        self.world.0.with(|state| state.is_current(self.id, &path))
    }

    /// Whether the lock was [lost](World::lose_lock).
    async fn is_lost(&self) -> io::Result<bool> {
        self.enter(Call::IsLost).await?;
        self.world.0.with(|state| state.is_lost(self.id))
    }

    fn convertible(&mut self) -> Option<&mut dyn ConvertLock> {
        Some(self)
    }
}

/// A lock that was [lost](World::lose_lock) cannot be converted: that fails with EIO.
#[async_trait]
impl ConvertLock for MockHandle {
    async fn downgrade(&mut self) -> io::Result<()> {
        self.enter(Call::Downgrade).await?;
        self.world.0.with(|state| state.downgrade(self.id))
    }

    async fn try_upgrade(&mut self) -> io::Result<Attempt> {
        self.enter(Call::TryUpgrade).await?;
        self.world.0.with(|state| state.try_upgrade(self.id))
    }
}

impl Drop for MockHandle {
    fn drop(&mut self) {
        self.world.0.with(|state| state.close(self.id));
    }
}

impl fmt::Debug for MockHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockHandle")
            .field("process", &self.process.name)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// A place in the queue, given up on drop.
struct Wait<'a> {
    world: &'a World,
    id: HandleId,
    done: bool,
}

impl<'a> Wait<'a> {
    fn new(world: &'a World, id: HandleId) -> Self {
        Self {
            world,
            id,
            done: false,
        }
    }
}

impl Future for Wait<'_> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let id = self.id;
        let polled = self.world.0.with(|state| state.poll_lock(id, cx.waker()));
        self.done = polled.is_ready();
        polled
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.world.0.with(|state| state.end_wait(self.id));
        }
    }
}
