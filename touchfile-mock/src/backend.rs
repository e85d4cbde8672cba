//! A simulated process as a lock backend.

use std::fmt;
use std::future;
use std::io;
use std::path::{MAIN_SEPARATOR, Path, PathBuf};

use async_trait::async_trait;
use tokio::runtime;
use touchfile_core::{Capabilities, Holder, LockBackend, OpenOptions, Platform, Result};

use crate::state::ProcessRef;
use crate::{Call, MockHandle, World};

/// The locks of one process in a [`World`].
///
/// Made by [`World::process`]. Clones are the same process.
///
/// # Fairness
///
/// Waiters are served in the order in which they began to wait: a waiter takes the lock as soon
/// as it is polled with no conflicting holder, and no earlier waiter of a conflicting mode, left.
/// Shared waiters that stand together in the queue hold the lock together; one that stands behind
/// an exclusive waiter waits for that too. A waiter whose future is kept but never polled keeps
/// those behind it waiting, as with any asynchronous lock.
///
/// `try_lock` does not look at the queue, because [law 2](LockBackend#the-laws) lets it answer
/// "busy" only if there is a conflicting holder. So attempts can overtake, and enough of them can
/// starve a waiter: the backend does not claim `fair`.
#[derive(Clone)]
pub struct MockBackend {
    world: World,
    process: ProcessRef,
    capabilities: Capabilities,
}

impl MockBackend {
    /// The process `main` of a world of its own: the shortest way to a backend for a test.
    #[must_use]
    pub fn new() -> Self {
        World::new().process("main")
    }

    pub(crate) fn of(world: World, process: ProcessRef) -> Self {
        Self {
            world,
            process,
            capabilities: simulated(),
        }
    }

    /// The same process through a backend that claims just this, so that a program can be tested
    /// against what other backends lack.
    ///
    /// What is not claimed is refused: shared locks, `remove_on_release`, the question whether a
    /// path is current, conversion, and exclusive locks on [read-only](World::set_read_only) files. Without
    /// `crash_release`, locks outlive a killed process. Claims that the simulation does not keep
    /// are repeated, not made true.
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

    /// The world this process lives in.
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

    /// Opens a file of the world, and creates it if it is missing and `options.create` is set.
    /// There are no permissions and no symbolic links: the options about them change nothing.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] for a missing file that was not to be created,
    /// [`io::ErrorKind::Unsupported`] for `remove_on_release` without the capability, the
    /// failure of an armed [`Fault`](crate::Fault), and [`io::ErrorKind::Other`] if the process
    /// was killed.
    ///
    /// # Cancel safety
    ///
    /// Pending only while the process is stopped or a delay fault lasts. Dropping the future then
    /// means that nothing was opened or created.
    async fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<MockHandle> {
        let path = &absolute(path);
        enter(&self.world, &self.process, path, Call::Open).await?;
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

    /// The processes of the world, by name: they have no numbers.
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

    /// Paths of the world: its current directory is `/`, on every system.
    fn platform(&self) -> &'static dyn Platform {
        &Simulated
    }
}

/// The paths of a [`World`], which are the same on every system.
#[derive(Debug)]
struct Simulated;

impl Platform for Simulated {
    fn resolve(&self, name: &Path, _: &OpenOptions) -> Result<PathBuf> {
        Ok(absolute(name))
    }

    fn temporary_directory(&self) -> PathBuf {
        "/tmp".into()
    }
}

/// What `path` means in a world: a relative path starts at `/`.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    let path: PathBuf = Path::new("/").join(path).components().collect();
    if MAIN_SEPARATOR == '/' {
        return path;
    }
    // A history reads the same on every system.
    path.to_string_lossy().replace(MAIN_SEPARATOR, "/").into()
}

impl fmt::Debug for MockBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockBackend")
            .field("process", &self.process.name)
            .finish_non_exhaustive()
    }
}

/// Everything that [`World`] simulates.
fn simulated() -> Capabilities {
    let mut capabilities = Capabilities::NONE;
    capabilities.shared = true;
    capabilities.cross_process = true;
    capabilities.crash_release = true;
    // Nothing can fork in memory, so no child can do any harm.
    capabilities.fork_safe = true;
    capabilities.identity = true;
    capabilities.remove_on_release = true;
    capabilities.exclusive_read_only = true;
    capabilities.atomic_conversion = true;
    capabilities
}

/// What every call begins with: it waits while its process is stopped, and sits out a delay.
pub(crate) async fn enter(
    world: &World,
    process: &ProcessRef,
    path: &Path,
    call: Call,
) -> io::Result<()> {
    let running = || {
        future::poll_fn(|cx| {
            world
                .0
                .with(|state| state.poll_running(process, cx.waker()))
        })
    };
    running().await?;
    if let Some(by) = world.0.with(|state| state.begin_delay(call, process, path)) {
        if runtime::Handle::try_current().is_err() {
            return Err(io::Error::other("a delay fault needs a tokio runtime"));
        }
        tokio::time::sleep(by).await;
        running().await?;
    }
    Ok(())
}
