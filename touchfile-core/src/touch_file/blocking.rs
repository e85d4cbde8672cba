//! The same methods for threads without a runtime.

use std::future::Future;
use std::ops::Deref;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::runtime::{Handle, Runtime};
use tokio::sync::Mutex;

use super::TouchFile;
use super::acquire;
use super::guard::Guard;
use crate::{LockBackend, LockMode, Result, runtime};

/// A [`TouchFile`] as threads without a runtime see it; made by [`TouchFile::blocking`], or by
/// [`TouchFile::blocking_owned`] with guards that can be stored and sent.
///
/// It works where no runtime exists and in [`tokio::task::spawn_blocking`], and queues fairly with
/// the async callers of the same `TouchFile`.
///
/// # Panics
///
/// Every method panics in an async task of tokio, whose thread it would block, as tokio's own
/// `blocking_*` methods do. Nor is there a tokio left to use in the destructor of a thread-local
/// value; guards can be dropped there.
///
/// # Examples
///
/// ```
/// use touchfile_core::{LockMode, TouchFile};
/// # use touchfile_mock::World;
/// # let backend = World::new().process("a");
///
/// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
/// let guard = touch.blocking().lock(LockMode::Exclusive)?;
/// assert!(touch.blocking().try_lock(LockMode::Shared)?.is_none());
/// guard.blocking_unlock()?;
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
    /// ```
    /// # use touchfile_core::{LockMode::{Exclusive, Shared}, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// let guard = touch.blocking().lock(Shared)?;
    /// assert_eq!(guard.mode(), Shared);
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn lock(&self, mode: LockMode) -> Result<Guard<T, B>> {
        refuse_in_async();
        block_on(acquire::lock(self.touch.clone(), mode, None))
    }

    /// [`TouchFile::lock_exclusive`], blocking the thread.
    ///
    /// # Errors
    ///
    /// As [`TouchFile::lock`].
    ///
    /// ```
    /// # use touchfile_core::{LockMode::{Exclusive, Shared}, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// let guard = touch.blocking().lock_exclusive()?;
    /// assert_eq!(guard.mode(), Exclusive);
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn lock_exclusive(&self) -> Result<Guard<T, B>> {
        self.lock(LockMode::Exclusive)
    }

    /// [`TouchFile::lock_shared`], blocking the thread.
    ///
    /// # Errors
    ///
    /// As [`TouchFile::lock`].
    ///
    /// ```
    /// # use touchfile_core::{LockMode::{Exclusive, Shared}, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// let (one, other) = (touch.blocking().lock_shared()?, touch.blocking().lock_shared()?);
    /// assert_eq!((one.mode(), other.mode()), (Shared, Shared));
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn lock_shared(&self) -> Result<Guard<T, B>> {
        self.lock(LockMode::Shared)
    }

    /// [`TouchFile::lock_timeout`], blocking the thread.
    ///
    /// # Errors
    ///
    /// As [`TouchFile::lock_timeout`].
    ///
    /// ```
    /// # use touchfile_core::{LockMode::{Exclusive, Shared}, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// # use std::time::Duration;
    /// let _held = touch.blocking().lock_exclusive()?;
    /// let lock = touch.blocking().lock_timeout(Shared, Duration::from_millis(5));
    /// assert!(lock.unwrap_err().is_timeout());
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn lock_timeout(&self, mode: LockMode, timeout: Duration) -> Result<Guard<T, B>> {
        refuse_in_async();
        block_on(acquire::lock(self.touch.clone(), mode, Some(timeout)))
    }

    /// [`TouchFile::try_lock`], on the calling thread.
    ///
    /// # Errors
    ///
    /// As [`TouchFile::try_lock`].
    ///
    /// ```
    /// # use touchfile_core::{LockMode::{Exclusive, Shared}, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// let _held = touch.blocking().lock_shared()?;
    /// assert!(touch.blocking().try_lock(Exclusive)?.is_none());
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn try_lock(&self, mode: LockMode) -> Result<Option<Guard<T, B>>> {
        refuse_in_async();
        block_on(acquire::try_lock(self.touch.clone(), mode))
    }

    /// [`TouchFile::with_lock`], blocking the thread.
    ///
    /// # Errors
    ///
    /// As [`TouchFile::with_lock`].
    ///
    /// ```
    /// # use touchfile_core::{LockMode::{Exclusive, Shared}, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// let answer = touch.blocking().with_lock(Exclusive, |_| 42)?;
    /// assert_eq!(answer, 42);
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn with_lock<R>(
        &self,
        mode: LockMode,
        critical: impl FnOnce(&Guard<T, B>) -> R,
    ) -> Result<R> {
        let guard = self.lock(mode)?;
        Ok(critical(&guard))
    }
}

/// Panics in an async task, every time, and not only when there happens to be something to wait
/// for: tokio offers this check only as part of its own blocking calls. Where there is no runtime
/// at all, there is nothing to check, which is half the price.
#[inline]
#[track_caller]
pub(super) fn refuse_in_async() {
    if Handle::try_current().is_ok() {
        drop(Mutex::const_new(()).blocking_lock());
    }
}

/// Drives a future to its end on this thread.
///
/// Futures that are ready at once, as those of a free lock are, need no runtime. For the others
/// the thread's own small runtime lends them a timer and a reactor. What waits yields once before
/// it asks for either, so that it does not get those of another runtime.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    thread_local! {
        static RUNTIME: Runtime = runtime::current_thread();
    }
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
        return output;
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}
