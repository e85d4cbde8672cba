//! The lock backend of a simulated process.

use std::fmt;
use std::io;
use std::path::Path;

use async_trait::async_trait;
use touchfile_core::{Capabilities, Holder, LockBackend, NoPlatform, OpenOptions, Platform};

use crate::paths::{Simulated, absolute};
use crate::state::ProcessRef;
use crate::{Call, MockHandle, World};

/// The lock backend of one process in a [`World`].
///
/// [`World::process`] makes it. Its clones belong to the same process.
///
/// # Fairness
///
/// Waiters are served in the order in which they began to wait. A waiter takes the lock when it is
/// polled and no conflicting holder and no earlier conflicting waiter is left. Shared waiters next to
/// each other in the queue hold the lock together. A shared waiter behind an exclusive one waits for
/// that, too. A waiter whose future is kept but never polled blocks those behind it, as with any
/// asynchronous lock.
///
/// `try_lock` ignores the queue, because by [law 2](LockBackend#the-laws) it may find the lock busy only
/// if there is a conflicting holder. So attempts can overtake waiters, and many attempts can starve a
/// waiter. The backend does not claim `fair`.
///
/// # Examples
///
/// ```
/// use touchfile_core::TouchFile;
/// use touchfile_mock::MockBackend;
///
/// let backend = MockBackend::new();
/// let touch = TouchFile::new(backend.clone(), "/a.lock")?;
/// let guard = touch.blocking().lock_exclusive()?;
/// assert_eq!(backend.world().holders("/a.lock")[0].process, backend.process_name());
/// guard.unlock()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct MockBackend {
    world: World,
    process: ProcessRef,
    capabilities: Capabilities,
    platform: &'static dyn Platform,
}

impl MockBackend {
    /// The process `main` in a new world, which is the shortest way to a backend for a test.
    #[must_use]
    pub fn new() -> Self {
        World::new().process("main")
    }

    /// A backend of the same process with other claims. So a program can be tested with backends that
    /// can do less.
    ///
    /// What is not claimed is refused: shared locks, `remove_on_release`, the question whether a path
    /// is current, conversion, and exclusive locks on [read-only](World::set_read_only) files. Without
    /// `fencing`, locks have no tokens. Without `loss`, nobody is told of a [lost](World::lose_lock) lock but
    /// who asks, and unlocking it is no error. Without `crash_release`, locks outlive a killed process.
    /// Claims beyond what the simulation can do are reported, but not kept.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use touchfile_core::LockMode::Shared;
    /// use touchfile_core::{LockBackend, LockHandle, OpenOptions};
    /// use touchfile_mock::MockBackend;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
    ///
    /// let full = MockBackend::new();
    /// let mut capabilities = full.capabilities();
    /// capabilities.shared = false;
    /// let backend = full.with_capabilities(capabilities);
    ///
    /// let mut handle = backend.open("/a.lock".as_ref(), &OpenOptions::new()).await?;
    /// let refused = handle.lock(Shared).await.unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::Unsupported);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn with_capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// A backend of the same process whose locks are on names and not on files, as those of a server are.
    ///
    /// A name stays as it is given, a temporary one is random, and what is about files is not claimed:
    /// `identity`, `remove_on_release` and `exclusive_read_only`. The world has a file at `/` and the name
    /// all the same, by which a test looks at the lock.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::LockMode::Exclusive;
    /// use touchfile_core::TouchFile;
    /// use touchfile_mock::World;
    ///
    /// let world = World::new();
    /// let touch = TouchFile::new(world.process("a").without_files(), "jobs/report")?;
    /// assert_eq!(touch.path().to_str(), Some("jobs/report"));
    /// let _guard = touch.blocking().lock_exclusive()?;
    /// assert_eq!(world.holders("jobs/report"), [("a", Exclusive)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn without_files(mut self) -> Self {
        self.capabilities.identity = false;
        self.capabilities.remove_on_release = false;
        self.capabilities.exclusive_read_only = false;
        self.platform = &NoPlatform;
        self
    }

    /// The world of this process.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The name of the process.
    #[must_use]
    pub fn process_name(&self) -> &str {
        &self.process.name
    }
}

impl World {
    /// The backend of the process with this name. The process is started if there is none.
    ///
    /// Another call with this name returns the same process, until it is [killed](Self::kill).
    #[must_use]
    pub fn process(&self, name: &str) -> MockBackend {
        MockBackend {
            world: self.clone(),
            process: self.0.with(|state| state.process(name)),
            capabilities: simulated(),
            platform: &Simulated,
        }
    }
}

impl Default for MockBackend {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl LockBackend for MockBackend {
    type Handle = MockHandle;

    fn name(&self) -> &'static str {
        "mock"
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// Opens a file of the world, and creates it if it is missing and `options.create` is set. The
    /// options about permissions and symbolic links are ignored, since a world has neither.
    ///
    /// # Errors
    ///
    /// - [`io::ErrorKind::NotFound`]: the file is missing and `options.create` is not set.
    /// - [`io::ErrorKind::Unsupported`]: `remove_on_release` is asked for and not claimed.
    /// - [`io::ErrorKind::Other`]: the process was killed.
    /// - The failure of an armed [`Fault`](crate::Fault).
    ///
    /// # Cancel safety
    ///
    /// The future is pending only while the process is stopped or during a delay fault. If it is
    /// dropped then, nothing was opened or created.
    async fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<MockHandle> {
        let path = &absolute(path);
        self.world.enter(&self.process, path, Call::Open).await?;
        let id = self
            .world
            .0
            .with(|state| state.open(&self.process, self.capabilities, path, options))?;
        Ok(MockHandle::new(
            self.world.clone(),
            self.process.clone(),
            path,
            id,
        ))
    }

    /// The holders of the lock. The processes of a world have names and no ids.
    async fn holders(&self, path: &Path) -> io::Result<Vec<Holder>> {
        let holders = self.world.holders(path).into_iter().map(|c| (c, false));
        let waiters = self.world.waiters(path).into_iter().map(|c| (c, true));
        let told = holders.chain(waiters).map(|(claim, waiting)| {
            let mut holder = Holder::new(claim.mode);
            holder.command = Some(claim.process);
            holder.waiting = waiting;
            holder
        });
        Ok(told.collect())
    }

    /// The paths of the world, whose current directory is `/` on every system; none [without
    /// files](MockBackend::without_files).
    fn platform(&self) -> &'static dyn Platform {
        self.platform
    }
}

impl fmt::Debug for MockBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockBackend")
            .field("process", &self.process.name)
            .finish_non_exhaustive()
    }
}

/// The capabilities that a [`World`] can simulate.
fn simulated() -> Capabilities {
    let mut capabilities = Capabilities::NONE;
    capabilities.shared = true;
    capabilities.cross_process = true;
    capabilities.crash_release = true;
    // A simulated process cannot fork, so no child can harm its locks.
    capabilities.fork_safe = true;
    capabilities.identity = true;
    capabilities.remove_on_release = true;
    capabilities.exclusive_read_only = true;
    capabilities.atomic_conversion = true;
    capabilities.fencing = true;
    capabilities.loss = true;
    capabilities
}
