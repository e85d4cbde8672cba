//! The same methods for threads without a runtime.

mod guard;

use std::ops::Deref;
use std::path::Path;
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

pub use guard::{BlockingGuard, BlockingLockGuard, OwnedBlockingLockGuard};

use super::{TouchFile, acquire};
use crate::backoff::Backoff;
use crate::runtime::{block_on, block_on_unless_ending, refuse_in_async};
use crate::{Error, Holder, LockBackend, LockMode, Result};

/// A [`TouchFile`] as threads without a runtime see it; made by [`TouchFile::blocking`], or by
/// [`TouchFile::blocking_owned`] with guards that can be stored and sent.
///
/// Its methods and those of its [guards](BlockingGuard) have the names of the async ones, and block
/// the calling thread instead. They work where no runtime exists and in
/// [`tokio::task::spawn_blocking`](https://docs.rs/tokio/latest/tokio/task/fn.spawn_blocking.html), and queue fairly with the async callers of the same `TouchFile`.
///
/// # Panics
///
/// Every method panics in an async task of tokio, whose thread it would block, as tokio's own
/// `blocking_*` methods do.
///
/// # Thread-local values
///
/// In the destructor of a thread-local value there may be no tokio left to use. Waiting for a lock
/// then means trying it every few milliseconds, without reports and without a place in the queue.
///
/// # Examples
///
/// ```
/// use touchfile_core::{LockMode, TouchFile};
/// # use touchfile_mock::World;
/// # let backend = World::new().process("a");
///
/// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
/// let guard = touch.blocking().lock_exclusive()?;
/// assert!(touch.blocking().try_lock(LockMode::Shared)?.is_none());
/// guard.unlock()?;
/// # Ok::<(), touchfile_core::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a view does nothing by itself"]
pub struct Blocking<T> {
    touch: T,
}

impl<T> Blocking<T> {
    pub(super) fn new(touch: T) -> Self {
        Self { touch }
    }
}

impl<T, B> Blocking<T>
where
    T: Deref<Target = TouchFile<B>> + Clone,
    B: LockBackend,
{
    /// [`TouchFile::lock`], blocking the thread.
    ///
    /// # Errors
    ///
    /// As [`TouchFile::lock`].
    ///
    /// # Panics
    ///
    /// In an async task, whose thread it would block.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::{LockMode, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// let guard = touch.blocking().lock(LockMode::Shared)?;
    /// assert_eq!(guard.mode(), LockMode::Shared);
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    #[track_caller]
    pub fn lock(&self, mode: LockMode) -> Result<BlockingGuard<T, B>> {
        self.lock_at_most(mode, self.touch.timeout)
    }

    /// [`TouchFile::lock_exclusive`], blocking the thread.
    ///
    /// # Errors
    ///
    /// As [`TouchFile::lock`].
    ///
    /// # Panics
    ///
    /// In an async task, whose thread it would block.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::{LockMode, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// let guard = touch.blocking().lock_exclusive()?;
    /// assert_eq!(guard.mode(), LockMode::Exclusive);
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    #[track_caller]
    pub fn lock_exclusive(&self) -> Result<BlockingGuard<T, B>> {
        self.lock(LockMode::Exclusive)
    }

    /// [`TouchFile::lock_shared`], blocking the thread.
    ///
    /// # Errors
    ///
    /// As [`TouchFile::lock`].
    ///
    /// # Panics
    ///
    /// In an async task, whose thread it would block.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::TouchFile;
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// let one = touch.blocking().lock_shared()?;
    /// let other = touch.blocking().lock_shared()?; // both at once
    /// # drop((one, other));
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    #[track_caller]
    pub fn lock_shared(&self) -> Result<BlockingGuard<T, B>> {
        self.lock(LockMode::Shared)
    }

    /// [`TouchFile::lock_timeout`], blocking the thread.
    ///
    /// # Errors
    ///
    /// As [`TouchFile::lock_timeout`].
    ///
    /// # Panics
    ///
    /// In an async task, whose thread it would block.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use touchfile_core::{LockMode, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// let _held = touch.blocking().lock_exclusive()?;
    /// let lock = touch.blocking().lock_timeout(LockMode::Shared, Duration::from_millis(5));
    /// assert!(lock.unwrap_err().is_timeout());
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    #[track_caller]
    pub fn lock_timeout(&self, mode: LockMode, timeout: Duration) -> Result<BlockingGuard<T, B>> {
        self.lock_at_most(mode, Some(timeout))
    }

    /// [`TouchFile::lock_until`], blocking the thread.
    ///
    /// # Errors
    ///
    /// As [`TouchFile::lock_timeout`].
    ///
    /// # Panics
    ///
    /// In an async task, whose thread it would block.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use touchfile_core::{LockMode, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// let deadline = Instant::now() + Duration::from_secs(5);
    /// let guard = touch.blocking().lock_until(LockMode::Exclusive, deadline)?;
    /// # drop(guard);
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    #[track_caller]
    pub fn lock_until(
        &self,
        mode: LockMode,
        deadline: impl Into<Instant>,
    ) -> Result<BlockingGuard<T, B>> {
        let timeout = deadline.into().saturating_duration_since(Instant::now());
        self.lock_at_most(mode, Some(timeout))
    }

    /// [`TouchFile::try_lock`], on the calling thread.
    ///
    /// # Errors
    ///
    /// As [`TouchFile::try_lock`].
    ///
    /// # Panics
    ///
    /// In an async task, whose thread it would block.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::{LockMode, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// let _held = touch.blocking().lock_shared()?;
    /// assert!(touch.blocking().try_lock(LockMode::Exclusive)?.is_none());
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    #[track_caller]
    pub fn try_lock(&self, mode: LockMode) -> Result<Option<BlockingGuard<T, B>>> {
        refuse_in_async();
        let guard = block_on(acquire::try_lock(self.touch.clone(), mode))?;
        Ok(guard.map(BlockingGuard::new))
    }

    /// [`TouchFile::with_lock`], blocking the thread.
    ///
    /// # Errors
    ///
    /// As [`TouchFile::with_lock`].
    ///
    /// # Panics
    ///
    /// In an async task, whose thread it would block, and with `critical`.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::{LockMode, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// let answer = touch.blocking().with_lock(LockMode::Exclusive, |_guard| 42)?;
    /// assert_eq!(answer, 42);
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    #[track_caller]
    pub fn with_lock<R>(
        &self,
        mode: LockMode,
        critical: impl FnOnce(&BlockingGuard<T, B>) -> R,
    ) -> Result<R> {
        let guard = self.lock(mode)?;
        Ok(critical(&guard))
    }

    /// [`TouchFile::holders`], blocking the thread.
    ///
    /// # Errors
    ///
    /// As [`TouchFile::holders`].
    ///
    /// # Panics
    ///
    /// In an async task, whose thread it would block.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::TouchFile;
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// for holder in touch.blocking().holders()? {
    ///     println!("{holder} has it");
    /// }
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    #[track_caller]
    pub fn holders(&self) -> Result<Vec<Holder>> {
        refuse_in_async();
        block_on(self.touch.holders())
    }

    #[track_caller]
    fn lock_at_most(
        &self,
        mode: LockMode,
        timeout: Option<Duration>,
    ) -> Result<BlockingGuard<T, B>> {
        refuse_in_async();
        let lock = acquire::lock(self.touch.clone(), mode, timeout);
        let guard = match block_on_unless_ending(lock) {
            Some(done) => done?,
            None => poll_for(&self.touch.path, mode, timeout, || {
                block_on(acquire::try_lock(self.touch.clone(), mode))
            })?,
        };
        Ok(BlockingGuard::new(guard))
    }
}

/// Waits on a thread that is ending, which has no runtime that could wait, for what `attempt` returns. What
/// gives up is an acquisition of the lock of `path` in `mode`.
pub(super) fn poll_for<G>(
    path: &Path,
    mode: LockMode,
    timeout: Option<Duration>,
    mut attempt: impl FnMut() -> Result<Option<G>>,
) -> Result<G> {
    let started = std::time::Instant::now();
    let mut backoff = Backoff::new();
    loop {
        if let Some(guard) = attempt()? {
            return Ok(guard);
        }
        let waited = started.elapsed();
        if timeout.is_some_and(|timeout| timeout <= waited) {
            return Err(Error::Timeout {
                path: path.to_owned(),
                mode,
                permits: None,
                waited,
                holders: Vec::new(),
                queued: false,
                recursive: false,
            });
        }
        let left = timeout.map_or(Duration::MAX, |timeout| timeout - waited);
        thread::sleep(backoff.next_delay().min(left));
    }
}
