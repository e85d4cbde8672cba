//! An open file of a simulated process.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use touchfile_core::{Attempt, ConvertLock, LockHandle, LockMode, runtime};

use crate::state::{HandleId, ProcessRef};
use crate::{Call, World};

/// An open lock file of a [`MockBackend`](crate::MockBackend).
///
/// Every call is pending while its process is [stopped](World::stop), fails with
/// [`io::ErrorKind::Other`] after its process was [killed](World::kill), and meets the armed
/// [faults](crate::Fault). Dropping the handle always releases its lock, without faults.
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
        self.world.enter(&self.process, &self.path, call).await
    }
}

#[async_trait]
impl LockHandle for MockHandle {
    async fn try_lock(&mut self, mode: LockMode) -> io::Result<Attempt> {
        self.enter(Call::TryLock).await?;
        self.world.0.with(|state| state.try_lock(self.id, mode))
    }

    /// Waits in the [queue](crate::MockBackend#fairness) until a release wakes it. It needs no timer.
    ///
    /// # Errors
    ///
    /// Those of [`try_lock`](Self::try_lock). A wait also fails when the process is killed.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the handle leaves the queue and the next waiter is woken.
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
    /// The failure of an armed [`Fault`](crate::Fault). Then the lock is still held, until another
    /// `unlock` or the drop of the handle. [`io::ErrorKind::StaleNetworkFileHandle`] for a
    /// [lost](World::lose_lock) lock, if the backend claims `loss`.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the lock is still held.
    async fn unlock(&mut self) -> io::Result<()> {
        self.enter(Call::Unlock).await?;
        self.world.0.with(|state| state.unlock(self.id))
    }

    async fn is_current(&self, path: &Path) -> io::Result<bool> {
        self.enter(Call::IsCurrent).await?;
        let path = crate::paths::absolute(path);
        self.world.0.with(|state| state.is_current(self.id, &path))
    }

    /// Whether the lock was [lost](World::lose_lock).
    async fn is_lost(&self) -> io::Result<bool> {
        self.enter(Call::IsLost).await?;
        self.world.0.with(|state| state.is_lost(self.id))
    }

    /// Is told of the loss at once, if the backend claims `loss`; otherwise asks again and again.
    async fn lost(&self, interval: Duration) -> io::Result<()> {
        if !self.world.0.with(|state| state.tells_of_losses(self.id)) {
            while !self.is_lost().await? {
                runtime::sleep(interval).await;
            }
            return Ok(());
        }
        self.enter(Call::Lost).await?;
        poll_fn(|cx| {
            self.world
                .0
                .with(|state| state.poll_lost(self.id, cx.waker()))
        })
        .await
    }

    /// When the lock has [expired](World::expire_lock), if it has.
    fn valid_until(&self) -> Option<Instant> {
        self.world.0.with(|state| state.valid_until(self.id))
    }

    /// The number of this acquisition, counted over the whole world.
    fn token(&self) -> Option<u64> {
        self.world.0.with(|state| state.token(self.id))
    }

    /// The number of its file, which all of its names have.
    fn identity(&self) -> Option<Vec<u8>> {
        self.world.0.with(|state| state.identity(self.id))
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

/// A place in the queue. It is given up when this is dropped.
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
