//! Locking with guards that borrow their `TouchFile`.

use std::time::Duration;

use tokio::time::Instant;

use super::guard::LockGuard;
use super::{TouchFile, acquire};
use crate::{LockBackend, LockMode, Result};

impl<B: LockBackend> TouchFile<B> {
    /// Waits for the lock in `mode`.
    ///
    /// It waits for as long as that takes, or for the
    /// [default timeout](crate::TouchFileBuilder::timeout) if there is one.
    ///
    /// # Errors
    ///
    /// - [`Error::InvalidPath`](crate::Error::InvalidPath),
    ///   [`Error::Permission`](crate::Error::Permission) if the file cannot be opened or created.
    /// - [`Error::Unsupported`](crate::Error::Unsupported) if the backend or the file system cannot
    ///   lock it in `mode`.
    /// - [`Error::Transient`](crate::Error::Transient) for a shortage that may pass, such as of
    ///   descriptors.
    /// - [`Error::Replaced`](crate::Error::Replaced) if something keeps replacing the file.
    /// - [`Error::Timeout`](crate::Error::Timeout) once the default timeout has passed.
    /// - [`Error::Io`](crate::Error::Io) for all else that the system fails at.
    ///
    /// # Panics
    ///
    /// A wait panics in a tokio runtime that was built without `enable_time`, and where there is no
    /// runtime and no thread can be started ([runtimes](TouchFile#runtimes)). Taking a lock that is
    /// free never panics.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the place in the queue and leaves nothing behind.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), touchfile_core::Error> {
    /// use touchfile_core::{LockMode, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// let guard = touch.lock(LockMode::Shared).await?;
    /// assert_eq!(guard.mode(), LockMode::Shared);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn lock(&self, mode: LockMode) -> Result<LockGuard<'_, B>> {
        acquire::lock(self, mode, self.timeout).await
    }

    /// Waits for the lock in exclusive mode: [`lock`](Self::lock) in short.
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
    /// use touchfile_core::{LockMode, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// let guard = touch.lock_exclusive().await?;
    /// assert_eq!(guard.mode(), LockMode::Exclusive);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn lock_exclusive(&self) -> Result<LockGuard<'_, B>> {
        self.lock(LockMode::Exclusive).await
    }

    /// Waits for the lock in shared mode: [`lock`](Self::lock) in short.
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
    /// use touchfile_core::TouchFile;
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// let one = touch.lock_shared().await?;
    /// let other = touch.lock_shared().await?; // both at once
    /// # drop((one, other));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn lock_shared(&self) -> Result<LockGuard<'_, B>> {
        self.lock(LockMode::Shared).await
    }

    /// Waits for the lock in `mode`, at the longest for `timeout`.
    ///
    /// The timeout bounds all of it: the queue inside the process, opening, waiting, and starting
    /// over where the file was replaced. A zero timeout takes a lock that is free: on a network
    /// file system it waits for the answer of the server to one attempt, for a second at most. Where
    /// it is refused, the error names the holders, which are looked for once, for 250 ms at most.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`](crate::Error::Timeout) once `timeout` has passed, never before; else as
    /// [`lock`](Self::lock).
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
    /// use std::time::Duration;
    /// use touchfile_core::{LockMode, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// let _held = touch.lock_exclusive().await?;
    /// let lock = touch.lock_timeout(LockMode::Exclusive, Duration::from_secs(5));
    /// assert!(lock.await.unwrap_err().is_timeout());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn lock_timeout(
        &self,
        mode: LockMode,
        timeout: Duration,
    ) -> Result<LockGuard<'_, B>> {
        acquire::lock(self, mode, Some(timeout)).await
    }

    /// Waits for the lock in `mode`, at the longest until `deadline`: an instant of the standard
    /// library or of tokio.
    ///
    /// A deadline that has passed takes a lock that is free, as a timeout of zero does.
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
    /// Several locks by one deadline:
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), touchfile_core::Error> {
    /// use std::time::{Duration, Instant};
    /// use touchfile_core::{LockMode, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let one = TouchFile::new(backend.clone(), "/some/where/a.lock")?;
    /// let other = TouchFile::new(backend, "/some/where/b.lock")?;
    /// let deadline = Instant::now() + Duration::from_secs(5);
    /// let guards = (
    ///     one.lock_until(LockMode::Exclusive, deadline).await?,
    ///     other.lock_until(LockMode::Exclusive, deadline).await?,
    /// );
    /// # drop(guards);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn lock_until(
        &self,
        mode: LockMode,
        deadline: impl Into<Instant>,
    ) -> Result<LockGuard<'_, B>> {
        let timeout = deadline.into().saturating_duration_since(Instant::now());
        self.lock_timeout(mode, timeout).await
    }

    /// Takes the lock if it is free, and does not wait.
    ///
    /// `None` means that a conflicting holder has it, or that other tasks of this process are
    /// queued for it on this `TouchFile`. On a network file system the answer is the server's, and
    /// takes as long as the server does; to give up on it, use [`lock_timeout`](Self::lock_timeout)
    /// with a timeout of zero.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock), but never [`Error::Timeout`](crate::Error::Timeout).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), touchfile_core::Error> {
    /// use touchfile_core::{LockMode, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// match touch.try_lock(LockMode::Exclusive).await? {
    ///     Some(guard) => guard.unlock().await?,
    ///     None => println!("somebody else is at it"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn try_lock(&self, mode: LockMode) -> Result<Option<LockGuard<'_, B>>> {
        acquire::try_lock(self, mode).await
    }

    /// Runs `critical` under the lock and returns what it returns.
    ///
    /// The lock is released whether `critical` succeeds, fails, panics or is cancelled. A release
    /// that fails is logged, like that of a dropped guard, so that no result is ever lost to it;
    /// call [`lock`](Self::lock) and [`Guard::unlock`](crate::Guard::unlock) to handle it yourself.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock): then `critical` did not run.
    ///
    /// # Panics
    ///
    /// As [`lock`](Self::lock), and with `critical`.
    ///
    /// # Cancel safety
    ///
    /// As [`lock`](Self::lock) while it waits. Later, dropping the future drops that of
    /// `critical` and then releases.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), touchfile_core::Error> {
    /// use touchfile_core::{LockMode, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// let length = touch
    ///     .with_lock(LockMode::Exclusive, async |guard| guard.path().as_os_str().len())
    ///     .await?;
    /// assert_eq!(length, "/some/where/a.lock".len());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn with_lock<R>(
        &self,
        mode: LockMode,
        critical: impl AsyncFnOnce(&LockGuard<'_, B>) -> R,
    ) -> Result<R> {
        let guard = self.lock(mode).await?;
        Ok(critical(&guard).await)
    }
}
