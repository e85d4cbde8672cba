//! The world of a test.

mod calls;
mod faults;
mod files;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::paths::absolute;
use crate::state::Shared;
use crate::{Claim, Event};

/// A simulated machine: named files, and processes that lock them.
///
/// Its clones are the same world. Paths are only names: there are no directories and no symbolic links,
/// and every name may be created.
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

    /// Kills a process, as SIGKILL does. Returns false if there is no process of this name.
    ///
    /// Its locks are released, unless its backend [does not claim](crate::MockBackend::with_capabilities)
    /// `crash_release`: then they are held until [`lose_lock`](Self::lose_lock). Files that it would
    /// have removed on release stay. Its pending calls and all later ones fail with "process … was
    /// killed". [`process`](Self::process) can start another process of this name, with which the old
    /// backends and handles have nothing to do.
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

    /// Stops a process, as SIGSTOP does. Returns false if there is no process of this name.
    ///
    /// The process keeps its locks. Its calls stay pending. Its waiters keep their places in the queue,
    /// but neither take the lock nor block those behind them. Dropping a handle releases at once, since
    /// it is not a call.
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

    /// Lets a stopped process go on, as SIGCONT does. Returns false if there is no process of this name.
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

    /// Whether there is a process of this name that is not stopped.
    #[must_use]
    pub fn is_running(&self, name: &str) -> bool {
        self.0.with(|state| state.is_running(name))
    }

    /// The number of open handles of a process, for tests of leaks.
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

    /// The holders of the lock of the file that `path` names now, in the order of acquisition.
    #[must_use]
    pub fn holders(&self, path: impl AsRef<Path>) -> Vec<Claim> {
        self.0.with(|state| state.holders(&absolute(path.as_ref())))
    }

    /// The waiters for the lock of the file that `path` names now, in the order of the queue.
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

    /// All events since the world was made or since [`clear_history`](Self::clear_history).
    ///
    /// The history has every event, so a long simulation should clear it at times.
    #[must_use]
    pub fn history(&self) -> Vec<Event> {
        self.0.with(|state| state.history.events().to_vec())
    }

    /// The [history](Self::history) as text for the messages of assertions, with one line for each event.
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
    /// println!("{}", world.history_text());
    /// assert_eq!(world.history_text().lines().count(), world.history().len());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn history_text(&self) -> String {
        let lines: Vec<String> = self.history().iter().map(ToString::to_string).collect();
        lines.join("\n")
    }

    /// Removes all events so far. Times still count from the creation of the world.
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
