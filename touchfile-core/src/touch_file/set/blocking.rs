//! Several locks at once, for threads without a runtime.

use std::ops::Deref;
use std::time::{Duration, Instant};

use super::super::blocking::poll_for;
use super::{LockSet, LockSetGuard};
use crate::runtime::{block_on, block_on_unless_ending, refuse_in_async};
use crate::{LockBackend, Result};

/// A [`LockSet`] as threads without a runtime see it; made by [`LockSet::blocking`].
///
/// # Panics
///
/// Every method panics in an async task of tokio, whose thread it would block.
///
/// # Examples
///
/// ```
/// use touchfile_core::{LockSet, TouchFile};
/// # use touchfile_mock::World;
/// # let backend = World::new().process("a");
///
/// let a = TouchFile::new(backend.clone(), "/a.lock")?;
/// let b = TouchFile::new(backend, "/b.lock")?;
/// let both = LockSet::new().exclusive(a).exclusive(b);
/// let guards = both.blocking().lock()?;
/// assert!(both.blocking().try_lock()?.is_none());
/// guards.unlock()?;
/// # Ok::<(), touchfile_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "a view does nothing by itself"]
pub struct BlockingLockSet<'a, B: LockBackend> {
    set: &'a LockSet<B>,
}

impl<'a, B: LockBackend> BlockingLockSet<'a, B> {
    pub(super) fn new(set: &'a LockSet<B>) -> Self {
        Self { set }
    }

    /// [`LockSet::lock`], blocking the thread.
    ///
    /// # Errors
    ///
    /// As [`LockSet::lock`].
    ///
    /// # Panics
    ///
    /// In an async task, whose thread it would block.
    #[track_caller]
    pub fn lock(&self) -> Result<BlockingLockSetGuard<B>> {
        self.lock_at_most(self.set.default_timeout())
    }

    /// [`LockSet::lock_timeout`], blocking the thread.
    ///
    /// # Errors
    ///
    /// As [`LockSet::lock_timeout`].
    ///
    /// # Panics
    ///
    /// In an async task, whose thread it would block.
    #[track_caller]
    pub fn lock_timeout(&self, timeout: Duration) -> Result<BlockingLockSetGuard<B>> {
        self.lock_at_most(Some(timeout))
    }

    /// [`LockSet::lock_until`], blocking the thread.
    ///
    /// # Errors
    ///
    /// As [`LockSet::lock_timeout`].
    ///
    /// # Panics
    ///
    /// In an async task, whose thread it would block.
    #[track_caller]
    pub fn lock_until(&self, deadline: Instant) -> Result<BlockingLockSetGuard<B>> {
        self.lock_at_most(Some(deadline.saturating_duration_since(Instant::now())))
    }

    /// [`LockSet::try_lock`], on the calling thread.
    ///
    /// # Errors
    ///
    /// As [`LockSet::try_lock`].
    ///
    /// # Panics
    ///
    /// In an async task, whose thread it would block.
    #[track_caller]
    pub fn try_lock(&self) -> Result<Option<BlockingLockSetGuard<B>>> {
        refuse_in_async();
        let held = block_on(self.set.try_lock())?;
        Ok(held.map(BlockingLockSetGuard))
    }

    #[track_caller]
    fn lock_at_most(&self, timeout: Option<Duration>) -> Result<BlockingLockSetGuard<B>> {
        refuse_in_async();
        let held = match block_on_unless_ending(self.set.lock_at_most(timeout)) {
            Some(held) => held?,
            None => {
                let Some((first, mode)) = self.set.wanted.first() else {
                    return Ok(BlockingLockSetGuard(LockSetGuard::new(0)));
                };
                poll_for(first.path(), *mode, timeout, || {
                    block_on(self.set.try_lock())
                })?
            }
        };
        Ok(BlockingLockSetGuard(held))
    }
}

/// A [`LockSetGuard`] whose methods block the thread; it [derefs](Deref) to one for all else.
#[derive(Debug)]
#[must_use = "dropping the guards at once releases their locks"]
#[clippy::has_significant_drop]
pub struct BlockingLockSetGuard<B: LockBackend>(LockSetGuard<B>);

impl<B: LockBackend> BlockingLockSetGuard<B> {
    /// [`LockSetGuard::unlock`], blocking the thread.
    ///
    /// # Errors
    ///
    /// As [`LockSetGuard::unlock`].
    ///
    /// # Panics
    ///
    /// In an async task, whose thread it would block.
    #[track_caller]
    pub fn unlock(self) -> Result<()> {
        refuse_in_async();
        block_on(self.0.unlock())
    }
}

impl<B: LockBackend> Deref for BlockingLockSetGuard<B> {
    type Target = LockSetGuard<B>;

    fn deref(&self) -> &LockSetGuard<B> {
        &self.0
    }
}
