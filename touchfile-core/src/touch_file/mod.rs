//! `TouchFile`: all the comfort, over any backend.

mod acquire;
mod asking;
mod blocking;
mod build;
mod builder;
mod convert;
mod guard;
mod idle;
mod lock;
mod open;
mod owned;
mod recursion;
mod retry;
mod sampler;
mod semaphore;
mod set;
mod verify;
mod wait;
mod wait_event;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::trace::debug;

pub use blocking::{Blocking, BlockingGuard, BlockingLockGuard, OwnedBlockingLockGuard};
pub use builder::TouchFileBuilder;
pub use guard::{Guard, LockGuard, OwnedLockGuard};
pub use open::ProvidesDefault;
pub use retry::Retry;
pub use semaphore::{BlockingSemaphore, Semaphore};
pub use set::{BlockingLockSet, BlockingLockSetGuard, LockSet, LockSetGuard};
pub use wait_event::WaitEvent;

use crate::offload::{self, OffloadHandle};
use crate::platform::Process;
use crate::queue::Queue;
use crate::{Error, LockBackend, OpenFile, OpenOptions, Operation, Result};
use idle::IdleHandles;
use recursion::LatestHolder;
use sampler::SharedSample;
use wait::OnWait;

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
    /// The file, if it was given open. Then the path is only what it is called.
    file: Option<OpenFile>,
    options: OpenOptions,
    verify: bool,
    /// Whether the backend's answers take their time.
    answers_later: bool,
    on_wait: Option<OnWait>,
    /// The timeout of waits that are given none of their own.
    timeout: Option<Duration>,
    retry: Option<Retry>,
    /// Set while the file is ours to remove.
    temporary: AtomicBool,
    /// The process that made it: a forked child has a copy, and leaves its parent's file alone.
    process: Process,
    /// The queue inside the process.
    queue: Queue,
    idle: IdleHandles<B::Handle>,
    latest_holder: LatestHolder,
    /// Whether waiting for oneself is an error.
    deny_recursion: bool,
    sample: SharedSample,
    /// How many permits there are, if this is the gate of a semaphore.
    permits: Option<usize>,
}

impl<B: LockBackend> TouchFile<B> {
    /// A touch file at `path`, which becomes absolute now. Where a backend's locks are not on files, the
    /// path is a name, and stays as it is: the same text is the same lock in each directory and on each host.
    ///
    /// The file itself is opened, and created if it is missing, when a lock is first asked for.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidPath`] if `path` is empty, contains a NUL byte, or has no parent directory
    /// that exists (on a network file system, which may not answer, that shows when it is first
    /// locked). For a file without a name of its own, see [`temporary`](Self::temporary).
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::TouchFile;
    /// # use touchfile_mock::World;
    /// # let world = World::new();
    /// # let backend = world.process("a");
    ///
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
    /// [`remove_on_release`](TouchFileBuilder::remove_on_release) it goes at the first release already.
    /// Where a backend's locks are not on files, it is a random name, which only this `TouchFile` knows.
    ///
    /// # Errors
    ///
    /// Whatever keeps a file from being created there; [`Error::Unsupported`] if the backend
    /// cannot remove files safely.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::TouchFile;
    /// use touchfile_flock::FlockBackend;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("a.lock");
    ///
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

    /// A touch file over a file that is open already: a [builder](Self::builder) with a
    /// [`file`](TouchFileBuilder::file) in short.
    ///
    /// # Errors
    ///
    /// As [`TouchFileBuilder::build`].
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::{LockMode, TouchFile};
    /// use touchfile_flock::FlockBackend;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("journal");
    ///
    /// let journal = std::fs::OpenOptions::new().append(true).create(true).open(&path)?;
    /// let touch = TouchFile::from_file(FlockBackend::new(), journal)?;
    /// let guard = touch.blocking().lock_exclusive()?;
    /// std::io::Write::write_all(&mut guard.file()?, b"one at a time\n")?;
    /// # let other = TouchFile::new(FlockBackend::new(), &path)?;
    /// # assert!(other.blocking().try_lock(LockMode::Shared)?.is_none());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn from_file(backend: B, file: impl Into<OpenFile>) -> Result<Self> {
        Self::builder(backend).file(file).build()
    }

    /// Settings beyond the path. Without a path, what is built is [`temporary`](Self::temporary).
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::TouchFile;
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touch = TouchFile::builder(backend).path("/some/where/a.lock").build()?;
    /// assert_eq!(touch.path().to_str(), Some("/some/where/a.lock"));
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn builder(backend: B) -> TouchFileBuilder<B> {
        TouchFileBuilder::new(backend)
    }

    /// The same methods for threads without a runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::TouchFile;
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// let guard = touch.blocking().lock_exclusive()?;
    /// guard.unlock()?;
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn blocking(&self) -> Blocking<&Self> {
        Blocking::new(self)
    }

    /// The same methods for threads without a runtime, with guards that can be stored and sent.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::thread;
    /// use touchfile_core::TouchFile;
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touch = Arc::new(TouchFile::new(backend, "/some/where/a.lock")?);
    /// let guard = touch.clone().blocking_owned().lock_exclusive()?;
    /// let holder = thread::spawn(move || guard.unlock());
    /// holder.join().unwrap()?;
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn blocking_owned(self: Arc<Self>) -> Blocking<Arc<Self>> {
        Blocking::new(self)
    }

    /// The absolute path of the lock file, or its name if the backend's locks are not on files. For a
    /// [file](TouchFileBuilder::file) that was given open it is what the system called it then, and for
    /// messages only.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The backend that does the locking.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// Leaves a temporary file in place when this is gone, and returns its path.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::TouchFile;
    /// use touchfile_flock::FlockBackend;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("a.lock");
    ///
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

    /// Keeps an unlocked handle for the next acquisition.
    #[inline]
    fn keep_idle(&self, handle: OffloadHandle<B::Handle>) {
        // A file that is removed on release is nobody's any more: locking it again would be in vain.
        if !self.options.remove_on_release {
            self.idle.put(handle);
        }
    }

    fn error(&self, operation: Operation, source: io::Error) -> Error {
        Error::from_io(&*self.backend, &self.path, operation, source)
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
        self.idle.clear();
        if let Err(error) = offload::remove_if_free(&self.backend, &self.path, &self.queue) {
            let path = self.path.display();
            debug!(target: "touchfile", %path, %error, "the temporary lock file stays");
        }
    }
}
