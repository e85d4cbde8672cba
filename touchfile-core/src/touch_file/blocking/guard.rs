//! A lock that is held, for threads without a runtime.

use std::ops::Deref;
use std::sync::Arc;

use super::super::TouchFile;
use super::super::guard::Guard;
use crate::runtime::{block_on, refuse_in_async};
use crate::{ConvertLock, LockBackend, Result};

/// A [`BlockingGuard`] that borrows its [`TouchFile`].
pub type BlockingLockGuard<'a, B> = BlockingGuard<&'a TouchFile<B>, B>;

/// A [`BlockingGuard`] that owns its [`TouchFile`], and so can be stored and sent.
pub type OwnedBlockingLockGuard<B> = BlockingGuard<Arc<TouchFile<B>>, B>;

/// A held lock whose methods block the thread: what [`Blocking`](crate::Blocking) returns.
///
/// It is a [`Guard`] in all else, and [derefs](Deref) to one for what needs no waiting: the
/// [mode](Guard::mode), the [path](Guard::path), the [file](Guard::file). Dropping it releases the
/// lock, needs no runtime, never panics, and logs a failure; [`unlock`](Self::unlock) returns it
/// instead.
///
/// # Examples
///
/// ```
/// use touchfile_core::{LockMode, TouchFile};
/// # use touchfile_mock::World;
/// # let backend = World::new().process("a");
///
/// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
/// let mut guard = touch.blocking().lock_exclusive()?;
/// // … write …
/// guard.downgrade()?;
/// // … read, together with others …
/// assert_eq!(guard.mode(), LockMode::Shared);
/// guard.unlock()?;
/// # Ok::<(), touchfile_core::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping a guard at once releases its lock"]
#[clippy::has_significant_drop]
pub struct BlockingGuard<T, B>(Guard<T, B>)
where
    T: Deref<Target = TouchFile<B>>,
    B: LockBackend;

impl<T, B> BlockingGuard<T, B>
where
    T: Deref<Target = TouchFile<B>>,
    B: LockBackend,
{
    pub(super) fn new(guard: Guard<T, B>) -> Self {
        Self(guard)
    }

    /// [`Guard::unlock`], blocking the thread.
    ///
    /// # Errors
    ///
    /// As [`Guard::unlock`].
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
    /// touch.blocking().lock_exclusive()?.unlock()?;
    /// assert!(touch.blocking().try_lock(LockMode::Exclusive)?.is_some());
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    #[track_caller]
    pub fn unlock(self) -> Result<()> {
        refuse_in_async();
        block_on(self.0.unlock())
    }

    /// [`Guard::verify`], blocking the thread.
    ///
    /// # Errors
    ///
    /// As [`Guard::verify`].
    ///
    /// # Panics
    ///
    /// In an async task, whose thread it would block.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::{Error, TouchFile};
    /// use touchfile_mock::World;
    ///
    /// let world = World::new();
    /// let touch = TouchFile::new(world.process("a"), "/some/where/a.lock")?;
    /// let guard = touch.blocking().lock_exclusive()?;
    /// guard.verify()?;
    /// world.replace("/some/where/a.lock");
    /// assert!(matches!(guard.verify(), Err(Error::Lost { .. })));
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    #[track_caller]
    pub fn verify(&self) -> Result<()> {
        refuse_in_async();
        block_on(self.0.verify())
    }

    /// This guard with the async methods, for a thread that hands it to a task.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), touchfile_core::Error> {
    /// use std::sync::Arc;
    /// use touchfile_core::TouchFile;
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touch = Arc::new(TouchFile::new(backend, "/some/where/a.lock")?);
    /// let guard = touch.blocking_owned().lock_exclusive()?.into_async();
    /// let runtime = tokio::runtime::Runtime::new().unwrap();
    /// runtime.block_on(async { guard.unlock().await })?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_async(self) -> Guard<T, B> {
        self.0
    }
}

impl<T, B> BlockingGuard<T, B>
where
    T: Deref<Target = TouchFile<B>>,
    B: LockBackend,
    B::Handle: ConvertLock,
{
    /// [`Guard::downgrade`], blocking the thread.
    ///
    /// # Errors
    ///
    /// As [`Guard::downgrade`].
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
    /// let mut guard = touch.blocking().lock_exclusive()?;
    /// guard.downgrade()?;
    /// assert!(touch.blocking().try_lock(LockMode::Shared)?.is_some());
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    #[track_caller]
    pub fn downgrade(&mut self) -> Result<()> {
        refuse_in_async();
        block_on(self.0.downgrade())
    }

    /// [`Guard::try_upgrade`], blocking the thread.
    ///
    /// # Errors
    ///
    /// As [`Guard::try_upgrade`].
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
    /// let mut guard = touch.blocking().lock_shared()?;
    /// assert!(guard.try_upgrade()?);
    /// assert!(touch.blocking().try_lock(LockMode::Shared)?.is_none());
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    #[track_caller]
    pub fn try_upgrade(&mut self) -> Result<bool> {
        refuse_in_async();
        block_on(self.0.try_upgrade())
    }
}

impl<T, B> Deref for BlockingGuard<T, B>
where
    T: Deref<Target = TouchFile<B>>,
    B: LockBackend,
{
    type Target = Guard<T, B>;

    fn deref(&self) -> &Guard<T, B> {
        &self.0
    }
}

impl<T, B> From<Guard<T, B>> for BlockingGuard<T, B>
where
    T: Deref<Target = TouchFile<B>>,
    B: LockBackend,
{
    /// A guard of a task, for a thread that it is handed to.
    fn from(guard: Guard<T, B>) -> Self {
        Self(guard)
    }
}
