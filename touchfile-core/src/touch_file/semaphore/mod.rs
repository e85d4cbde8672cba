//! A counting semaphore: at most N at a time, across processes.
//!
//! A permit is the lock on one of N slot files. Whoever asks for a permit first takes the lock on the
//! *gate*, the file that the semaphore is named for, takes any slot, and leaves the gate. So those who wait
//! queue at one lock, in the order of its backend, and one of them at a time waits for all slots at once:
//! whichever is free first is taken, and nobody overtakes. Without the gate each waiter would wait for
//! every slot, the waiters in the queue of one slot could be passed by those of another, and N slots and
//! M waiters would cost N×M waits.

mod acquire;
mod blocking;
mod gate;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use blocking::BlockingSemaphore;

use super::builder::Place;
use super::guard::OwnedLockGuard;
use super::{ProvidesDefault, TouchFile, TouchFileBuilder};
use crate::{Error, Holder, LockBackend, Operation, Result};
use gate::Gate;

/// How many permits there can be. Who waits for one has as many files open.
const MAX_PERMITS: usize = 1_024;

/// At most N at a time, across processes: a counting semaphore over N lock files.
///
/// A permit is an exclusive lock on one of the *slot* files `PATH.1` to `PATH.N`, so it is the guard of
/// that lock: dropping it, or the end of its process, frees the slot, and [`Guard::path`](crate::Guard::path)
/// tells which it was. The file at `PATH` itself is the *gate*. Its lock is held by one of those who wait, and
/// for a moment by everybody who takes a permit.
///
/// There are no shared permits, as those of readers would be: a permit excludes nobody by itself.
///
/// # Fairness
///
/// Permits are handed out in the order in which they were asked for: inside the process first come, first
/// served, between processes in the order of the backend. [`try_acquire`](Self::try_acquire) overtakes
/// those who wait, as [`TouchFile::try_lock`] does.
///
/// # Different numbers
///
/// Each `Semaphore` uses the slots up to its own N, in every process. So if programs disagree about N there
/// are never more permits than the largest N, and those of a smaller N are among the first slots. A waiter
/// of a smaller N, at the gate, keeps others behind it for as long as its own slots are taken, even if
/// there are free slots beyond them.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), touchfile_core::Error> {
/// use touchfile_core::Semaphore;
/// # use touchfile_mock::World;
/// # let backend = World::new().process("a");
///
/// let downloads = Semaphore::new(backend, "/some/where/downloads", 2)?;
/// let one = downloads.acquire().await?;
/// let other = downloads.acquire().await?;
/// assert!(downloads.try_acquire().await?.is_none());
/// drop(one);
/// assert!(downloads.try_acquire().await?.is_some());
/// # drop(other);
/// # Ok(())
/// # }
/// ```
pub struct Semaphore<B: LockBackend> {
    gate: TouchFile<Gate<B>>,
    slots: Vec<Arc<TouchFile<B>>>,
}

impl<B: LockBackend + Clone> Semaphore<B> {
    /// A semaphore of this many permits at `path`. Its files are created when they are first locked.
    ///
    /// A backend that is not `Clone` is given in an [`Arc`].
    ///
    /// # Errors
    ///
    /// [`Error::InvalidPath`] as in [`TouchFile::new`], and for no permits or more than 1024.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::Semaphore;
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let refused = Semaphore::new(backend, "/some/where/downloads", 0).unwrap_err();
    /// assert!(refused.to_string().contains("a semaphore of 0 permits"), "{refused}");
    /// ```
    pub fn new(backend: B, path: impl AsRef<Path>, permits: usize) -> Result<Self> {
        TouchFile::builder(backend)
            .path(path)
            .build_semaphore(permits)
    }

    /// A semaphore with the default backend: [`new`](Self::new) in short.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile::Semaphore;
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("downloads");
    /// let downloads = Semaphore::open(path, 4)?;
    /// let permit = downloads.blocking().acquire()?;
    /// # drop(permit);
    /// # Ok::<(), touchfile::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>, permits: usize) -> Result<Self>
    where
        (): ProvidesDefault<B>,
    {
        Self::new(<() as ProvidesDefault<B>>::default_backend(), path, permits)
    }
}

impl<B: LockBackend + Clone> TouchFileBuilder<B> {
    /// Makes a [`Semaphore`] of this many permits, whose files have these settings.
    ///
    /// [`deny_recursion`](Self::deny_recursion) has no effect, since a task may have several permits.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build), and [`Error::InvalidPath`] for no permits or more than 1024, without a
    /// [`path`](Self::path), and with [`follow_symlinks`](Self::follow_symlinks): the slots are beside the
    /// path, and who comes by another name would count them elsewhere.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use touchfile_core::TouchFile;
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let downloads = TouchFile::builder(backend)
    ///     .path("/some/where/downloads")
    ///     .on_wait(Duration::from_secs(1), |wait| eprintln!("{wait}"))
    ///     .build_semaphore(4)?;
    /// assert_eq!(downloads.permits(), 4);
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn build_semaphore(self, permits: usize) -> Result<Semaphore<B>> {
        let Place::Path(path) = self.place else {
            let reason = "a semaphore has several files, and needs a path to name them after";
            return Err(Error::invalid_path("", reason, None));
        };
        if !(1..=MAX_PERMITS).contains(&permits) {
            let reason =
                format!("a semaphore of {permits} permits is none; give 1 to {MAX_PERMITS}");
            return Err(Error::invalid_path(path, reason, None));
        }
        if self.options.follow_symlinks {
            let reason = "the slots of a semaphore are beside its path, which must not be a link \
                          (follow_symlinks)";
            return Err(Error::invalid_path(path, reason, None));
        }
        // Only the gate resolves the path and knows whom to report to.
        let gate = TouchFileBuilder {
            backend: Gate::new(self.backend.clone()),
            place: Place::Path(path),
            options: self.options.clone(),
            verify: self.verify,
            on_wait: self.on_wait,
            timeout: self.timeout,
            deny_recursion: false,
            retry: self.retry,
        };
        let mut gate = gate.build()?;
        gate.permits = Some(permits);
        let mut slots = Vec::new();
        for number in 1..=permits {
            let mut slot =
                TouchFileBuilder::new(self.backend.clone()).path(slot(&gate.path, number));
            slot.options = self.options.clone();
            slot.verify = self.verify;
            slot.retry = self.retry;
            slots.push(Arc::new(slot.build()?));
        }
        gate.backend.set_slots(&slots);
        Ok(Semaphore { gate, slots })
    }
}

/// The path of the slot with this number.
fn slot(gate: &Path, number: usize) -> PathBuf {
    let mut name = OsString::from(gate);
    name.push(format!(".{number}"));
    name.into()
}

impl<B: LockBackend> Semaphore<B> {
    /// Waits for a permit.
    ///
    /// It waits for as long as that takes, or for the [default timeout](TouchFileBuilder::timeout) if there
    /// is one.
    ///
    /// # Errors
    ///
    /// As [`TouchFile::lock`]. The path in an error may be that of the gate or of a slot.
    ///
    /// # Panics
    ///
    /// As [`TouchFile::lock`].
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
    /// use touchfile_core::Semaphore;
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let downloads = Semaphore::new(backend, "/some/where/downloads", 2)?;
    /// let permit = downloads.acquire().await?;
    /// assert_eq!(permit.path().to_str(), Some("/some/where/downloads.1"));
    /// permit.unlock().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn acquire(&self) -> Result<OwnedLockGuard<B>> {
        self.acquire_at_most(self.gate.timeout).await
    }

    /// Waits for a permit for `timeout` at the most.
    ///
    /// A timeout of zero is one attempt, as [`try_acquire`](Self::try_acquire) makes.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire), and [`Error::Timeout`], which names those who have a permit.
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), touchfile_core::Error> {
    /// use std::time::Duration;
    /// use touchfile_core::Semaphore;
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let downloads = Semaphore::new(backend, "/some/where/downloads", 1)?;
    /// let _permit = downloads.acquire().await?;
    /// let error = downloads.acquire_timeout(Duration::from_secs(5)).await.unwrap_err();
    /// assert!(error.is_timeout());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn acquire_timeout(&self, timeout: Duration) -> Result<OwnedLockGuard<B>> {
        self.acquire_at_most(Some(timeout)).await
    }

    /// Takes a permit if one is free.
    ///
    /// # Errors
    ///
    /// As [`TouchFile::try_lock`].
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
    /// use touchfile_core::Semaphore;
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let downloads = Semaphore::new(backend, "/some/where/downloads", 1)?;
    /// let permit = downloads.try_acquire().await?;
    /// assert!(permit.is_some());
    /// assert!(downloads.try_acquire().await?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn try_acquire(&self) -> Result<Option<OwnedLockGuard<B>>> {
        self.take_free_slot().await
    }

    /// Who has a permit, as far as anybody can tell ([`LockBackend::holders`]).
    ///
    /// # Errors
    ///
    /// As [`TouchFile::holders`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn holders(&self) -> Result<Vec<Holder>> {
        let holders = self.gate.backend.holders(&self.gate.path).await;
        holders.map_err(|source| self.gate.error(Operation::FindHolders, source))
    }

    /// The same methods for threads without a runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::Semaphore;
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let downloads = Semaphore::new(backend, "/some/where/downloads", 2)?;
    /// downloads.blocking().acquire()?.unlock()?;
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn blocking(&self) -> BlockingSemaphore<'_, B> {
        BlockingSemaphore::new(self)
    }

    /// The absolute path of the gate, after which the slots are named.
    pub fn path(&self) -> &Path {
        self.gate.path()
    }

    /// How many permits there are.
    pub fn permits(&self) -> usize {
        self.slots.len()
    }
}

impl<B: LockBackend> fmt::Debug for Semaphore<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("path", &self.path())
            .field("permits", &self.permits())
            .finish_non_exhaustive()
    }
}
