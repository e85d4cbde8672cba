//! The same methods for threads without a runtime.

use std::time::Duration;

use super::Semaphore;
use crate::backoff::Backoff;
use crate::runtime::{block_on, block_on_unless_ending, refuse_in_async};
use crate::touch_file::blocking::{BlockingGuard, OwnedBlockingLockGuard};
use crate::{Holder, LockBackend, Result};

/// A [`Semaphore`] as threads without a runtime see it; made by [`Semaphore::blocking`].
///
/// # Panics
///
/// Every method panics in an async task of tokio, whose thread it would block.
///
/// # Examples
///
/// ```
/// use touchfile_core::Semaphore;
/// # use touchfile_mock::World;
/// # let backend = World::new().process("a");
///
/// let downloads = Semaphore::new(backend, "/some/where/downloads", 2)?;
/// let permit = downloads.blocking().acquire()?;
/// permit.unlock()?;
/// # Ok::<(), touchfile_core::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a view does nothing by itself"]
pub struct BlockingSemaphore<'a, B: LockBackend>(&'a Semaphore<B>);

impl<B: LockBackend> Clone for BlockingSemaphore<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: LockBackend> Copy for BlockingSemaphore<'_, B> {}

impl<'a, B: LockBackend> BlockingSemaphore<'a, B> {
    pub(super) fn new(semaphore: &'a Semaphore<B>) -> Self {
        Self(semaphore)
    }

    /// [`Semaphore::acquire`], blocking the thread.
    ///
    /// # Errors
    ///
    /// As [`Semaphore::acquire`].
    ///
    /// # Panics
    ///
    /// In an async task, whose thread it would block.
    #[track_caller]
    pub fn acquire(&self) -> Result<OwnedBlockingLockGuard<B>> {
        self.acquire_at_most(self.0.gate.timeout)
    }

    /// [`Semaphore::acquire_timeout`], blocking the thread.
    ///
    /// # Errors
    ///
    /// As [`Semaphore::acquire_timeout`].
    ///
    /// # Panics
    ///
    /// In an async task, whose thread it would block.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use touchfile_core::Semaphore;
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let downloads = Semaphore::new(backend, "/some/where/downloads", 1)?;
    /// let _permit = downloads.blocking().acquire()?;
    /// let error = downloads.blocking().acquire_timeout(Duration::from_millis(5)).unwrap_err();
    /// assert!(error.is_timeout());
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    #[track_caller]
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<OwnedBlockingLockGuard<B>> {
        self.acquire_at_most(Some(timeout))
    }

    /// [`Semaphore::try_acquire`], on the calling thread.
    ///
    /// # Errors
    ///
    /// As [`Semaphore::try_acquire`].
    ///
    /// # Panics
    ///
    /// In an async task, whose thread it would block.
    #[track_caller]
    pub fn try_acquire(&self) -> Result<Option<OwnedBlockingLockGuard<B>>> {
        refuse_in_async();
        let permit = block_on(self.0.try_acquire())?;
        Ok(permit.map(BlockingGuard::from))
    }

    /// [`Semaphore::holders`], blocking the thread.
    ///
    /// # Errors
    ///
    /// As [`Semaphore::holders`].
    ///
    /// # Panics
    ///
    /// In an async task, whose thread it would block.
    #[track_caller]
    pub fn holders(&self) -> Result<Vec<Holder>> {
        refuse_in_async();
        block_on(self.0.holders())
    }

    #[track_caller]
    fn acquire_at_most(&self, timeout: Option<Duration>) -> Result<OwnedBlockingLockGuard<B>> {
        refuse_in_async();
        let permit = match block_on_unless_ending(self.0.acquire_at_most(timeout)) {
            Some(done) => done?,
            None => self.poll_for_permit(timeout)?,
        };
        Ok(BlockingGuard::from(permit))
    }

    /// Waits on a thread that is ending, which has no runtime that could wait.
    fn poll_for_permit(&self, timeout: Option<Duration>) -> Result<crate::OwnedLockGuard<B>> {
        let started = std::time::Instant::now();
        let mut backoff = Backoff::new();
        loop {
            if let Some(permit) = block_on(self.0.try_acquire())? {
                return Ok(permit);
            }
            let waited = started.elapsed();
            if timeout.is_some_and(|timeout| timeout <= waited) {
                return Err(self.0.gave_up(waited));
            }
            let left = timeout.map_or(Duration::MAX, |timeout| timeout - waited);
            std::thread::sleep(backoff.next_delay().min(left));
        }
    }
}
