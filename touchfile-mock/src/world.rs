//! The world that a test arranges, disturbs and questions.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::absolute;
use crate::state::Shared;
use crate::{Call, Claim, Event, Failure, Fault, MockBackend};

/// A simulated machine: named files, and processes that lock them.
///
/// Clones are the same world. Paths are names and nothing more: there are no directories and no
/// symbolic links, nothing is resolved, and every name may be created.
///
/// # Examples
///
/// ```
/// use touchfile_core::LockMode::Exclusive;
/// use touchfile_core::{LockBackend, LockHandle, OpenOptions};
/// use touchfile_mock::World;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
///
/// let world = World::new();
/// let mut a = world.process("a").open("/a.lock".as_ref(), &OpenOptions::new()).await?;
/// a.lock(Exclusive).await?;
/// assert_eq!(world.holders("/a.lock"), [("a", Exclusive)]);
///
/// world.kill("a");
/// assert!(world.holders("/a.lock").is_empty());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct World(pub(crate) Arc<Shared>);

impl World {
    /// An empty world, whose history begins now.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Shared::new()))
    }

    /// The backend of the process with this name, which is started if it does not run.
    ///
    /// Asking again gives the same process, until it is [killed](Self::kill).
    #[must_use]
    pub fn process(&self, name: &str) -> MockBackend {
        MockBackend::of(self.clone(), self.0.with(|state| state.process(name)))
    }

    /// Kills a process, as SIGKILL does; false if there is none of this name.
    ///
    /// Its locks are released (unless its backend [was made](MockBackend::with_capabilities)
    /// without `crash_release`: then they stay until [`lose_lock`](Self::lose_lock)), files it
    /// meant to remove on release stay. Its pending calls and all later ones fail with "process …
    /// was killed". The name may be started anew by [`process`](Self::process); backends and
    /// handles of the dead process stay dead.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::LockMode::Exclusive;
    /// use touchfile_core::TouchFile;
    /// use touchfile_mock::World;
    ///
    /// let world = World::new();
    /// let touch = TouchFile::new(world.process("a"), "/a.lock")?;
    /// let _held = touch.blocking().lock_exclusive()?;
    /// assert!(world.kill("a"));
    /// assert!(!world.kill("a")); // it is dead already
    /// let next = TouchFile::new(world.process("b"), "/a.lock")?;
    /// assert!(next.blocking().try_lock(Exclusive)?.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn kill(&self, name: &str) -> bool {
        self.0.with(|state| state.kill(name))
    }

    /// Stops a process, as SIGSTOP does; false if there is none of this name.
    ///
    /// It keeps the locks it holds. Its calls stay pending, and its waiters keep their place in
    /// the queue but neither take the lock nor hold up those behind them. Dropping a handle is
    /// not a call: that releases at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::LockMode::Exclusive;
    /// use touchfile_core::TouchFile;
    /// use touchfile_mock::World;
    ///
    /// let world = World::new();
    /// let touch = TouchFile::new(world.process("a"), "/a.lock")?;
    /// let guard = touch.blocking().lock_exclusive()?;
    /// world.stop("a");
    /// assert!(!world.is_running("a"));
    /// assert_eq!(world.holders("/a.lock"), [("a", Exclusive)]);
    /// # world.resume("a");
    /// # drop(guard);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stop(&self, name: &str) -> bool {
        self.0.with(|state| state.stop(name))
    }

    /// Lets a stopped process go on, as SIGCONT does; false if there is none of this name.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_mock::World;
    ///
    /// let world = World::new();
    /// let _backend = world.process("a");
    /// world.stop("a");
    /// assert!(world.resume("a"));
    /// assert!(world.is_running("a"));
    /// assert!(!world.resume("nobody"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn resume(&self, name: &str) -> bool {
        self.0.with(|state| state.resume(name))
    }

    /// Whether a process of this name was started, and is neither killed nor stopped.
    #[must_use]
    pub fn is_running(&self, name: &str) -> bool {
        self.0.with(|state| state.is_running(name))
    }

    /// How many handles this process has open: what a leak test counts.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::TouchFile;
    /// use touchfile_mock::World;
    ///
    /// let world = World::new();
    /// let touch = TouchFile::new(world.process("a"), "/a.lock")?;
    /// drop(touch.blocking().lock_exclusive()?);
    /// assert_eq!(world.open_handles("a"), 1); // kept for the next acquisition
    /// drop(touch);
    /// assert_eq!(world.open_handles("a"), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn open_handles(&self, name: &str) -> usize {
        self.0.with(|state| state.open_handles(name))
    }

    /// Who holds the lock of the file that `path` names now, in the order of acquisition.
    #[must_use]
    pub fn holders(&self, path: impl AsRef<Path>) -> Vec<Claim> {
        self.0.with(|state| state.holders(&absolute(path.as_ref())))
    }

    /// Who waits for the lock of the file that `path` names now, in the order of the queue.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::LockMode::Shared;
    /// use touchfile_core::TouchFile;
    /// use touchfile_mock::World;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    ///
    /// let world = World::new();
    /// let holder = TouchFile::new(world.process("a"), "/a.lock")?;
    /// let waiter = TouchFile::new(world.process("b"), "/a.lock")?;
    /// let guard = holder.lock_exclusive().await?;
    /// let (waited, ()) = tokio::join!(waiter.lock_shared(), async {
    ///     assert_eq!(world.waiters("/a.lock"), [("b", Shared)]);
    ///     drop(guard);
    /// });
    /// assert_eq!(waited?.mode(), Shared);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn waiters(&self, path: impl AsRef<Path>) -> Vec<Claim> {
        self.0.with(|state| state.waiters(&absolute(path.as_ref())))
    }

    /// Whether `path` names a file.
    #[must_use]
    pub fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.0.with(|state| state.exists(&absolute(path.as_ref())))
    }

    /// Creates a file, unless `path` names one already.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_mock::World;
    ///
    /// let world = World::new();
    /// world.create("/a.lock");
    /// assert!(world.exists("/a.lock"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create(&self, path: impl AsRef<Path>) {
        self.0.with(|state| state.create(&absolute(path.as_ref())));
    }

    /// Removes the name of a file; whoever has it open goes on locking the nameless file.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if `path` names nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::LockMode::Exclusive;
    /// use touchfile_core::TouchFile;
    /// use touchfile_mock::World;
    ///
    /// let world = World::new();
    /// let touch = TouchFile::new(world.process("a"), "/a.lock")?;
    /// let _guard = touch.blocking().lock_exclusive()?;
    /// world.unlink("/a.lock")?;
    /// // The lock is on a file without a name now: it keeps nobody out of the next one.
    /// let other = TouchFile::new(world.process("b"), "/a.lock")?;
    /// assert!(other.blocking().try_lock(Exclusive)?.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unlink(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.0.with(|state| state.unlink(&absolute(path.as_ref())))
    }

    /// Renames a fresh file, locked by nobody, over `path`, which may have named nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::LockMode::Exclusive;
    /// use touchfile_core::TouchFile;
    /// use touchfile_mock::World;
    ///
    /// let world = World::new();
    /// let touch = TouchFile::new(world.process("a"), "/a.lock")?;
    /// drop(touch.blocking().lock_exclusive()?);
    /// world.replace("/a.lock");
    /// let _guard = touch.blocking().lock_exclusive()?; // notices, and opens the new file
    /// assert_eq!(world.holders("/a.lock"), [("a", Exclusive)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn replace(&self, path: impl AsRef<Path>) {
        self.0.with(|state| state.replace(&absolute(path.as_ref())));
    }

    /// Renames a file, over another if need be, as rename(2) does.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if `from` names nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::LockMode::Exclusive;
    /// use touchfile_core::TouchFile;
    /// use touchfile_mock::World;
    ///
    /// let world = World::new();
    /// let touch = TouchFile::new(world.process("a"), "/a.lock")?;
    /// let _guard = touch.blocking().lock_exclusive()?;
    /// world.rename("/a.lock", "/b.lock")?;
    /// assert!(!world.exists("/a.lock"));
    /// assert_eq!(world.holders("/b.lock"), [("a", Exclusive)]); // the lock goes with the file
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
        self.0
            .with(|state| state.rename(&absolute(from.as_ref()), &absolute(to.as_ref())))
    }

    /// Gives the file that `original` names a second name, as link(2) does. Both lock one file.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if `original` names nothing,
    /// [`io::ErrorKind::AlreadyExists`] if `link` names something.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::LockMode::Shared;
    /// use touchfile_core::TouchFile;
    /// use touchfile_mock::World;
    ///
    /// let world = World::new();
    /// world.create("/a.lock");
    /// world.hard_link("/a.lock", "/b.lock")?;
    /// let one = TouchFile::new(world.process("a"), "/a.lock")?;
    /// let other = TouchFile::new(world.process("b"), "/b.lock")?;
    /// let _guard = one.blocking().lock_exclusive()?;
    /// assert!(other.blocking().try_lock(Shared)?.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn hard_link(&self, original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
        self.0
            .with(|state| state.hard_link(&absolute(original.as_ref()), &absolute(link.as_ref())))
    }

    /// Makes a file one that cannot be opened for writing, or can be again. It matters to
    /// backends [made](MockBackend::with_capabilities) without `exclusive_read_only`, which
    /// refuse to lock such a file exclusively.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if `path` names nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::LockMode::{Exclusive, Shared};
    /// use touchfile_core::{LockBackend, TouchFile};
    /// use touchfile_mock::World;
    ///
    /// let world = World::new();
    /// world.create("/a.lock");
    /// world.set_read_only("/a.lock", true)?;
    /// let mut claims = world.process("a").capabilities();
    /// claims.exclusive_read_only = false; // as for fcntl(2)
    /// let touch = TouchFile::new(world.process("a").with_capabilities(claims), "/a.lock")?;
    /// assert!(touch.blocking().try_lock(Shared)?.is_some());
    /// assert!(touch.blocking().try_lock(Exclusive).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_read_only(&self, path: impl AsRef<Path>, read_only: bool) -> io::Result<()> {
        self.0
            .with(|state| state.set_read_only(&absolute(path.as_ref()), read_only))
    }

    /// Takes the lock on `path` from everybody who holds it, and says how many that were.
    ///
    /// Each holder goes on believing that it holds the lock, as a client of NFS does whose lease
    /// ran out, and somebody else may take it, until it asks: `Guard::verify` and `Guard::lost`
    /// tell. When such a holder unlocks or drops its handle it gets no error and releases nothing:
    /// the lock of whoever has it now stays.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::LockMode::Exclusive;
    /// use touchfile_core::TouchFile;
    /// use touchfile_mock::World;
    ///
    /// let world = World::new();
    /// let touch = TouchFile::new(world.process("a"), "/a.lock")?;
    /// let guard = touch.blocking().lock_exclusive()?;
    /// world.lose_lock("/a.lock");
    /// let other = TouchFile::new(world.process("b"), "/a.lock")?;
    /// let taken = other.blocking().try_lock(Exclusive)?;
    /// assert!(taken.is_some()); // and "a" does not know
    /// guard.unlock()?;
    /// assert_eq!(world.holders("/a.lock"), [("b", Exclusive)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lose_lock(&self, path: impl AsRef<Path>) -> usize {
        self.0
            .with(|state| state.lose_locks_on(&absolute(path.as_ref())))
    }

    /// Takes every lock that this process holds, like [`lose_lock`](Self::lose_lock), and says
    /// how many that were.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::TouchFile;
    /// use touchfile_mock::World;
    ///
    /// let world = World::new();
    /// let touch = TouchFile::new(world.process("a"), "/a.lock")?;
    /// let _guard = touch.blocking().lock_exclusive()?;
    /// assert_eq!(world.lose_locks_of("a"), 1);
    /// assert!(world.holders("/a.lock").is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lose_locks_of(&self, name: &str) -> usize {
        self.0.with(|state| state.lose_locks_of(name))
    }

    /// Arms a fault.
    pub fn inject(&self, fault: Fault) {
        self.0.with(|state| state.faults.arm(fault));
    }

    /// The next such call of any process fails: [`Fault::fail`] without conditions.
    ///
    /// `error` is an errno or an [`io::ErrorKind`].
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::{Error, TouchFile};
    /// use touchfile_mock::{Call, World};
    ///
    /// let world = World::new();
    /// world.fail_next(Call::Open, 13); // EACCES
    /// let touch = TouchFile::new(world.process("a"), "/a.lock")?;
    /// let error = touch.blocking().lock_exclusive().unwrap_err();
    /// assert!(matches!(error, Error::Permission { .. }), "{error:?}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fail_next(&self, call: Call, error: impl Into<Failure>) {
        self.inject(Fault::fail(call, error));
    }

    /// The next such call of any process takes this long: [`Fault::delay`] without conditions.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use touchfile_core::LockMode::Exclusive;
    /// use touchfile_core::TouchFile;
    /// use touchfile_mock::{Call, World};
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    ///
    /// let world = World::new();
    /// world.delay_next(Call::Open, Duration::from_secs(60));
    /// let touch = TouchFile::new(world.process("a"), "/a.lock")?;
    /// let lock = touch.lock_timeout(Exclusive, Duration::from_secs(5));
    /// assert!(lock.await.unwrap_err().is_timeout());
    /// # Ok(()) }
    /// ```
    pub fn delay_next(&self, call: Call, by: Duration) {
        self.inject(Fault::delay(call, by));
    }

    /// The next `times` attempts find the lock busy, though it is free: [`Fault::refuse`] without
    /// conditions.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::LockMode::Exclusive;
    /// use touchfile_core::TouchFile;
    /// use touchfile_mock::World;
    ///
    /// let world = World::new();
    /// world.refuse_next(1);
    /// let touch = TouchFile::new(world.process("a"), "/a.lock")?;
    /// assert!(touch.blocking().try_lock(Exclusive)?.is_none());
    /// assert!(touch.blocking().try_lock(Exclusive)?.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn refuse_next(&self, times: u32) {
        self.inject(Fault::refuse().times(times));
    }

    /// How many calls the armed faults will still strike. Zero at the end of a test says that
    /// what it tests was really met.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::LockMode::Exclusive;
    /// use touchfile_core::TouchFile;
    /// use touchfile_mock::World;
    ///
    /// let world = World::new();
    /// world.refuse_next(2);
    /// let touch = TouchFile::new(world.process("a"), "/a.lock")?;
    /// assert!(touch.blocking().try_lock(Exclusive)?.is_none());
    /// assert_eq!(world.armed_faults(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn armed_faults(&self) -> u64 {
        self.0.with(|state| state.faults.armed())
    }

    /// Disarms all faults.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::LockMode::Exclusive;
    /// use touchfile_core::TouchFile;
    /// use touchfile_mock::World;
    ///
    /// let world = World::new();
    /// world.refuse_next(1);
    /// world.clear_faults();
    /// let touch = TouchFile::new(world.process("a"), "/a.lock")?;
    /// assert!(touch.blocking().try_lock(Exclusive)?.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn clear_faults(&self) {
        self.0.with(|state| state.faults.clear());
    }

    /// All that happened since the world began or [`clear_history`](Self::clear_history).
    ///
    /// Nothing is ever left out, so a long simulation should clear it now and then.
    #[must_use]
    pub fn history(&self) -> Vec<Event> {
        self.0.with(|state| state.history.events().to_vec())
    }

    /// The [history](Self::history) as text, one line for each event: for messages of assertions.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::TouchFile;
    /// use touchfile_mock::World;
    ///
    /// let world = World::new();
    /// let touch = TouchFile::new(world.process("a"), "/a.lock")?;
    /// drop(touch.blocking().lock_exclusive()?);
    /// println!("{}", world.story());
    /// assert_eq!(world.story().lines().count(), world.history().len());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn story(&self) -> String {
        let lines: Vec<String> = self.history().iter().map(ToString::to_string).collect();
        lines.join("\n")
    }

    /// Forgets what happened so far. Times still count from the world's beginning.
    pub fn clear_history(&self) {
        self.0.with(|state| state.history.clear());
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}
