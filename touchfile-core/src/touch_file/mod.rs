//! `TouchFile`: all the comfort, over any backend.

mod acquire;
mod blocking;
mod builder;
mod convert;
mod guard;
mod lookout;
mod polite;
mod verify;
mod wait;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tracing::debug;

pub use blocking::Blocking;
pub use builder::Builder;
pub use guard::{Guard, LockGuard, OwnedLockGuard};
pub use wait::WaitEvent;

use crate::platform::Process;
use crate::{LockBackend, LockMode, OpenOptions, Result};
use lookout::Sight;
use polite::PoliteHandle;
use wait::OnWait;

/// How many idle handles are kept open for the next acquisition.
const MAX_IDLE: usize = 4;

/// A file that exists to be locked, so that processes, and the tasks within them, take turns.
///
/// One `TouchFile` may be used by many tasks and threads at once. They queue inside the process,
/// first come, first served, shared holders together, before one of them contends with other
/// processes; so a guard excludes other tasks exactly as it excludes other processes. Two
/// `TouchFile`s on one path exclude each other too.
///
/// Each acquisition has a handle of its own, so no call ever converts a lock that somebody relies
/// on. Idle handles stay open and are reused: while a `TouchFile` lives, its file is open, which
/// keeps a file system busy that you may want to unmount.
///
/// # Fairness
///
/// Inside the process waiters are served in the order they came: a writer that waits keeps later
/// readers behind it. Between processes the order is the backend's.
///
/// # Cancel safety
///
/// Dropping the future of any method ends what it does: the place in the queue is given up, what
/// was taken is released, and nothing is left behind that would take the lock later.
///
/// # Runtimes
///
/// Taking a free lock and releasing one need no runtime. Waiting uses the timer and the reactor of
/// the tokio runtime it is polled in, which must be running; build it with
/// [`enable_all`](tokio::runtime::Builder::enable_all), as `#[tokio::main]` does. Without
/// `enable_time` a wait panics; without `enable_io` it uses a background thread's reactor, and tokio
/// lets nobody ask for that but by a panic, which is caught and may be printed once. Under any other
/// executor a background thread has both. Without an executor, use [`blocking`](Self::blocking).
///
/// # Forks
///
/// A forked child that drops its copies of guards and `TouchFile`s leaves its parent's locks and
/// temporary files alone. To lock, it should make a `TouchFile` of its own: the copy's queue still
/// has those in it who held or waited for the lock in other threads of the parent. On a network
/// file system the child's copies of descriptors stay open until it ends or executes a program, as
/// the threads that could close them are its parent's.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), touchfile_core::Error> {
/// use std::time::Duration;
/// use touchfile_core::{LockMode, TouchFile};
/// # use touchfile_mock::World;
/// # let backend = World::new().process("a");
///
/// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
///
/// let guard = touch.lock_timeout(LockMode::Exclusive, Duration::from_secs(5)).await?;
/// // One at a time, across processes.
/// guard.unlock().await?;
/// # Ok(())
/// # }
/// ```
pub struct TouchFile<B: LockBackend> {
    /// Shared with threads that open files elsewhere.
    backend: Arc<B>,
    path: PathBuf,
    options: OpenOptions,
    verify: bool,
    on_wait: Option<OnWait>,
    /// Set while the file is ours to remove.
    temporary: AtomicBool,
    /// Whose it is: a forked child has a copy of this, and leaves its parent's file alone.
    process: Process,
    /// The queue inside the process: a shared holder takes one permit, an exclusive one all.
    queue: Arc<Semaphore>,
    idle: Mutex<Vec<PoliteHandle<B::Handle>>>,
    /// What was last seen of the lock's holders.
    sight: Sight,
}

impl<B: LockBackend> TouchFile<B> {
    /// A touch file at `path`, which becomes absolute now.
    ///
    /// The file itself is opened, and created if it is missing, when a lock is first asked for.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidPath`] if `path` is empty, contains a NUL byte, or has no parent directory
    /// that exists (on a network file system, which may not answer, that shows when it is first
    /// locked). For a file without a name of its own, see [`temporary`](Self::temporary).
    ///
    /// ```
    /// # use touchfile_core::{LockMode::{Exclusive, Shared}, TouchFile};
    /// # use touchfile_mock::World;
    /// # let world = World::new();
    /// # let backend = world.process("a");
    /// let touch = TouchFile::new(backend, "a.lock")?;
    /// assert!(touch.path().is_absolute());
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn new(backend: B, path: impl AsRef<Path>) -> Result<Self> {
        Self::builder(backend).path(path).build()
    }

    /// A touch file with a new name in the system's directory for temporary files.
    ///
    /// The file exists when this returns, with access for its owner only. It is removed when this
    /// `TouchFile` and its guards are gone, unless [`keep`](Self::keep) was called, or somebody
    /// else holds its lock at that moment. With
    /// [`remove_on_release`](Builder::remove_on_release) it goes at the first release already.
    ///
    /// # Errors
    ///
    /// Whatever keeps a file from being created there; [`Error::Unsupported`] if the backend
    /// cannot remove files safely.
    ///
    /// ```
    /// # use touchfile_core::{LockMode::{Exclusive, Shared}, TouchFile};
    /// # use touchfile_flock::FlockBackend;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("a.lock");
    /// let touch = TouchFile::temporary(FlockBackend::new())?;
    /// let path = touch.path().to_owned();
    /// assert!(path.exists());
    /// drop(touch);
    /// assert!(!path.exists());
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn temporary(backend: B) -> Result<Self> {
        Self::builder(backend).build()
    }

    /// Settings beyond the path. Without a path, what is built is [`temporary`](Self::temporary).
    ///
    /// ```
    /// # use touchfile_core::{LockMode::{Exclusive, Shared}, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    /// let touch = TouchFile::builder(backend).path("/some/where/a.lock").build()?;
    /// assert_eq!(touch.path().to_str(), Some("/some/where/a.lock"));
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn builder(backend: B) -> Builder<B> {
        Builder::new(backend)
    }

    /// Waits for the lock in `mode`.
    ///
    /// # Errors
    ///
    /// Any but [`Error::Timeout`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the place in the queue and leaves nothing behind.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), touchfile_core::Error> {
    /// # use touchfile_core::{LockMode::{Exclusive, Shared}, TouchFile};
    /// # use touchfile_mock::World;
    /// # let world = World::new();
    /// # let backend = world.process("a");
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// let guard = touch.lock(Shared).await?;
    /// assert_eq!(guard.mode(), Shared);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn lock(&self, mode: LockMode) -> Result<LockGuard<'_, B>> {
        acquire::lock(self, mode, None).await
    }

    /// Waits for the lock in exclusive mode: [`lock`](Self::lock) in short.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), touchfile_core::Error> {
    /// # use touchfile_core::{LockMode::{Exclusive, Shared}, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// let guard = touch.lock_exclusive().await?;
    /// assert_eq!(guard.mode(), Exclusive);
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
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), touchfile_core::Error> {
    /// # use touchfile_core::{LockMode::{Exclusive, Shared}, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// let (one, other) = (touch.lock_shared().await?, touch.lock_shared().await?);
    /// assert_eq!((one.mode(), other.mode()), (Shared, Shared));
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
    /// file system it waits for the answer of the server to one attempt, for a second at most.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`] once `timeout` has passed, never before; else as [`lock`](Self::lock).
    ///
    /// # Cancel safety
    ///
    /// As [`lock`](Self::lock).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), touchfile_core::Error> {
    /// # use touchfile_core::{LockMode::{Exclusive, Shared}, TouchFile};
    /// # use touchfile_mock::World;
    /// # let world = World::new();
    /// # let backend = world.process("a");
    /// # use std::time::Duration;
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// let held = touch.lock_exclusive().await?;
    /// let error = touch.lock_timeout(Exclusive, Duration::from_secs(5)).await.unwrap_err();
    /// assert!(error.is_timeout());
    /// # drop(held);
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

    /// Takes the lock if it is free, and does not wait.
    ///
    /// `None` means that a conflicting holder has it, or that other tasks of this process are
    /// queued for it on this `TouchFile`. On a network file system the answer is the server's, and
    /// takes as long as the server does; to give up on it, use [`lock_timeout`](Self::lock_timeout)
    /// with a timeout of zero.
    ///
    /// # Errors
    ///
    /// Any but [`Error::Timeout`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), touchfile_core::Error> {
    /// # use touchfile_core::{LockMode::{Exclusive, Shared}, TouchFile};
    /// # use touchfile_mock::World;
    /// # let world = World::new();
    /// # let backend = world.process("a");
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// let one = touch.try_lock(Shared).await?;
    /// let other = touch.try_lock(Shared).await?;
    /// assert!(one.is_some() && other.is_some());
    /// assert!(touch.try_lock(Exclusive).await?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn try_lock(&self, mode: LockMode) -> Result<Option<LockGuard<'_, B>>> {
        acquire::try_lock(self, mode).await
    }

    /// [`lock`](Self::lock) with a guard that can be stored and sent: it owns its `TouchFile`.
    ///
    /// # Errors
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
        acquire::lock(self, mode, None).await
    }

    /// [`lock_exclusive`](Self::lock_exclusive) with an owned guard.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), touchfile_core::Error> {
    /// # use std::sync::Arc;
    /// # use touchfile_core::{LockMode::{Exclusive, Shared}, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    /// let touch = Arc::new(TouchFile::new(backend, "/some/where/a.lock")?);
    /// let guard = touch.clone().lock_exclusive_owned().await?;
    /// assert_eq!(guard.mode(), Exclusive);
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
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), touchfile_core::Error> {
    /// # use std::sync::Arc;
    /// # use touchfile_core::{LockMode::{Exclusive, Shared}, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    /// let touch = Arc::new(TouchFile::new(backend, "/some/where/a.lock")?);
    /// let guard = touch.clone().lock_shared_owned().await?;
    /// assert_eq!(guard.mode(), Shared);
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
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), touchfile_core::Error> {
    /// # use std::sync::Arc;
    /// # use touchfile_core::{LockMode::{Exclusive, Shared}, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    /// let touch = Arc::new(TouchFile::new(backend, "/some/where/a.lock")?);
    /// # use std::time::Duration;
    /// let held = touch.clone().lock_exclusive_owned().await?;
    /// let lock = touch.clone().lock_timeout_owned(Shared, Duration::from_secs(5));
    /// assert!(lock.await.unwrap_err().is_timeout());
    /// # drop(held);
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

    /// [`try_lock`](Self::try_lock) with an owned guard.
    ///
    /// # Errors
    ///
    /// As [`try_lock`](Self::try_lock).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), touchfile_core::Error> {
    /// # use std::sync::Arc;
    /// # use touchfile_core::{LockMode::{Exclusive, Shared}, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    /// let touch = Arc::new(TouchFile::new(backend, "/some/where/a.lock")?);
    /// let held = touch.clone().try_lock_owned(Exclusive).await?;
    /// assert!(held.is_some());
    /// assert!(touch.clone().try_lock_owned(Shared).await?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn try_lock_owned(
        self: Arc<Self>,
        mode: LockMode,
    ) -> Result<Option<OwnedLockGuard<B>>> {
        acquire::try_lock(self, mode).await
    }

    /// Runs `critical` under the lock and returns what it returns.
    ///
    /// The lock is released whether `critical` succeeds, fails, panics or is cancelled. A release
    /// that fails is logged, like that of a dropped guard, so that no result is ever lost to it;
    /// call [`lock`](Self::lock) and [`Guard::unlock`] to handle it yourself.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock): then `critical` did not run.
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

    /// The same methods for threads without a runtime.
    ///
    /// ```
    /// # use touchfile_core::{LockMode::{Exclusive, Shared}, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// let guard = touch.blocking().lock_exclusive()?;
    /// guard.blocking_unlock()?;
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn blocking(&self) -> Blocking<&Self> {
        Blocking::new(self)
    }

    /// The same methods for threads without a runtime, with guards that can be stored and sent.
    ///
    /// ```
    /// # use touchfile_core::{LockMode::{Exclusive, Shared}, TouchFile};
    /// # use touchfile_mock::World;
    /// # let world = World::new();
    /// # let backend = world.process("a");
    /// # use std::{sync::Arc, thread};
    /// let touch = Arc::new(TouchFile::new(backend, "/some/where/a.lock")?);
    /// let guard = touch.blocking_owned().lock_exclusive()?;
    /// let holder = thread::spawn(move || guard.blocking_unlock());
    /// holder.join().unwrap()?;
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn blocking_owned(self: &Arc<Self>) -> Blocking<Arc<Self>> {
        Blocking::new(self.clone())
    }

    /// The absolute path of the lock file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The backend that does the locking.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// Leaves a temporary file in place when this is gone, and returns its path.
    ///
    /// ```
    /// # use touchfile_core::{LockMode::{Exclusive, Shared}, TouchFile};
    /// # use touchfile_flock::FlockBackend;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("a.lock");
    /// let touch = TouchFile::temporary(FlockBackend::new())?;
    /// let path = touch.keep().to_owned();
    /// drop(touch);
    /// assert!(path.exists());
    /// # std::fs::remove_file(path).unwrap();
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn keep(&self) -> &Path {
        self.temporary.store(false, Ordering::Relaxed);
        &self.path
    }

    fn take_idle(&self) -> Option<PoliteHandle<B::Handle>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // In a forked child, those that cannot be used cannot be closed either: drop forgets them.
        idle.pop().filter(PoliteHandle::is_usable)
    }

    /// Keeps an unlocked handle for the next acquisition.
    fn put_idle(&self, handle: PoliteHandle<B::Handle>) {
        // After its release a removed file is nobody's any more: locking it again is in vain.
        if self.options.remove_on_release {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(handle);
        }
    }

    /// Forgets idle handles, which are as stale as the one just found to be.
    fn clear_idle(&self) {
        let stale = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        drop(stale); // outside the mutex: closing may take its time
    }
}

impl<B: LockBackend> fmt::Debug for TouchFile<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TouchFile")
            .field("path", &self.path)
            .field("backend", &self.backend)
            .finish_non_exhaustive()
    }
}

impl<B: LockBackend> Drop for TouchFile<B> {
    fn drop(&mut self) {
        if !*self.temporary.get_mut() || !self.process.is_current() {
            return;
        }
        self.clear_idle();
        if let Err(error) = polite::remove_if_free(&self.backend, &self.path, &self.queue) {
            let path = self.path.display();
            debug!(target: "touchfile", %path, %error, "the temporary lock file stays");
        }
    }
}
