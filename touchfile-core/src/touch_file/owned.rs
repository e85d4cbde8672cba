//! Locking with guards that own their `TouchFile`, and so can be stored and sent.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::guard::OwnedLockGuard;
use super::{TouchFile, acquire};
use crate::{LockBackend, LockMode, Result};

impl<B: LockBackend> TouchFile<B> {
    /// [`lock`](Self::lock) with a guard that can be stored and sent: it owns its `TouchFile`.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Panics
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Cancel safety
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), touchfile_core::Error> {
    /// use std::sync::Arc;
    /// use touchfile_core::{LockMode, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touch = Arc::new(TouchFile::new(backend, "/some/where/a.lock")?);
    /// let guard = touch.clone().lock_owned(LockMode::Shared).await?;
    /// tokio::spawn(async move {
    ///     // The task holds the lock for as long as it lives.
    ///     drop(guard);
    /// });
    /// # Ok(())
    /// # }
    /// ```
    pub async fn lock_owned(self: Arc<Self>, mode: LockMode) -> Result<OwnedLockGuard<B>> {
        let timeout = self.timeout;
        acquire::lock(self, mode, timeout).await
    }

    /// [`lock_exclusive`](Self::lock_exclusive) with an owned guard.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Panics
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Cancel safety
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), touchfile_core::Error> {
    /// use std::sync::Arc;
    /// use touchfile_core::{LockMode, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touch = Arc::new(TouchFile::new(backend, "/some/where/a.lock")?);
    /// let guard = touch.clone().lock_exclusive_owned().await?;
    /// assert_eq!(guard.mode(), LockMode::Exclusive);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn lock_exclusive_owned(self: Arc<Self>) -> Result<OwnedLockGuard<B>> {
        self.lock_owned(LockMode::Exclusive).await
    }

    /// [`lock_shared`](Self::lock_shared) with an owned guard.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Panics
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Cancel safety
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), touchfile_core::Error> {
    /// use std::sync::Arc;
    /// use touchfile_core::{LockMode, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touch = Arc::new(TouchFile::new(backend, "/some/where/a.lock")?);
    /// let guard = touch.clone().lock_shared_owned().await?;
    /// assert_eq!(guard.mode(), LockMode::Shared);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn lock_shared_owned(self: Arc<Self>) -> Result<OwnedLockGuard<B>> {
        self.lock_owned(LockMode::Shared).await
    }

    /// [`lock_timeout`](Self::lock_timeout) with an owned guard.
    ///
    /// # Errors
    ///
    /// As [`lock_timeout`](Self::lock_timeout).
    ///
    /// # Panics
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Cancel safety
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), touchfile_core::Error> {
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use touchfile_core::{LockMode, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touch = Arc::new(TouchFile::new(backend, "/some/where/a.lock")?);
    /// let _held = touch.clone().lock_exclusive_owned().await?;
    /// let lock = touch.clone().lock_timeout_owned(LockMode::Shared, Duration::from_secs(5));
    /// assert!(lock.await.unwrap_err().is_timeout());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn lock_timeout_owned(
        self: Arc<Self>,
        mode: LockMode,
        timeout: Duration,
    ) -> Result<OwnedLockGuard<B>> {
        acquire::lock(self, mode, Some(timeout)).await
    }

    /// [`lock_until`](Self::lock_until) with an owned guard.
    ///
    /// # Errors
    ///
    /// As [`lock_timeout`](Self::lock_timeout).
    ///
    /// # Panics
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Cancel safety
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), touchfile_core::Error> {
    /// use std::sync::Arc;
    /// use std::time::{Duration, Instant};
    /// use touchfile_core::{LockMode, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touch = Arc::new(TouchFile::new(backend, "/some/where/a.lock")?);
    /// let deadline = Instant::now() + Duration::from_secs(5);
    /// let guard = touch.lock_until_owned(LockMode::Exclusive, deadline).await?;
    /// # drop(guard);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn lock_until_owned(
        self: Arc<Self>,
        mode: LockMode,
        deadline: impl Into<Instant>,
    ) -> Result<OwnedLockGuard<B>> {
        let timeout = deadline.into().saturating_duration_since(Instant::now());
        self.lock_timeout_owned(mode, timeout).await
    }

    /// [`try_lock`](Self::try_lock) with an owned guard.
    ///
    /// # Errors
    ///
    /// As [`try_lock`](Self::try_lock).
    ///
    /// # Cancel safety
    ///
    /// As [`try_lock`](Self::try_lock).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), touchfile_core::Error> {
    /// use std::sync::Arc;
    /// use touchfile_core::{LockMode, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touch = Arc::new(TouchFile::new(backend, "/some/where/a.lock")?);
    /// let held = touch.clone().try_lock_owned(LockMode::Exclusive).await?;
    /// assert!(held.is_some());
    /// assert!(touch.try_lock(LockMode::Shared).await?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn try_lock_owned(
        self: Arc<Self>,
        mode: LockMode,
    ) -> Result<Option<OwnedLockGuard<B>>> {
        acquire::try_lock(self, mode).await
    }
}
