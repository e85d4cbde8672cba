//! A lock that is held.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use crate::trace::{Level, debug, enabled, field, warn};
use tokio::time::Instant;

use super::TouchFile;
use crate::backend::is_stale;
use crate::offload::OffloadHandle;
use crate::queue::Permit;
use crate::{Error, Guarantee, LockBackend, LockHandle, LockMode, Operation, Result};

/// A lock that is held and not in a guard yet.
///
/// The order of the fields is that in which they are dropped: the lock is released before the turn
/// in the queue is over.
pub(super) struct Held<B: LockBackend> {
    pub(super) handle: OffloadHandle<B::Handle>,
    pub(super) permit: Permit,
}

/// A held lock that borrows its [`TouchFile`].
pub type LockGuard<'a, B> = Guard<&'a TouchFile<B>, B>;

/// A held lock that owns its [`TouchFile`], and so can be stored and sent.
pub type OwnedLockGuard<B> = Guard<Arc<TouchFile<B>>, B>;

/// A held lock: what [`LockGuard`] and [`OwnedLockGuard`] are.
///
/// Dropping it releases the lock, needs no runtime, never panics, and logs a failure;
/// [`unlock`](Self::unlock) returns it instead. A guard that is leaked ([`std::mem::forget`])
/// keeps the lock for as long as the process lives.
///
/// In a child that the process forked, dropping its copy of a guard leaves the parent's lock alone.
#[must_use = "dropping a guard at once releases its lock"]
#[clippy::has_significant_drop]
pub struct Guard<T, B>
where
    T: Deref<Target = TouchFile<B>>,
    B: LockBackend,
{
    // The order of these fields is that in which they are dropped.
    /// Missing only while it is being given back.
    pub(super) handle: Option<OffloadHandle<B::Handle>>,
    /// The turn in the queue inside the process. It ends after the lock, come what may: else the next
    /// in line would find our own lock in its way.
    pub(super) permit: Option<Permit>,
    pub(super) mode: LockMode,
    /// When this was made, if the release is traced. It is boxed because guards are moved about.
    since: Option<Box<Instant>>,
    /// Perhaps the last owner, which removes a temporary file and needs the turn in the queue for it.
    pub(super) touch: T,
}

impl<T, B> Guard<T, B>
where
    T: Deref<Target = TouchFile<B>>,
    B: LockBackend,
{
    #[inline(always)]
    pub(super) fn new(touch: T, held: Held<B>, mode: LockMode) -> Self {
        Self {
            touch,
            handle: Some(held.handle),
            permit: Some(held.permit),
            mode,
            since: now_if_traced(),
        }
    }

    /// Releases the lock and returns when it is released.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] if the lock was lost before, as far as the backend
    /// [can tell](crate::Capabilities::loss): whoever has it now keeps it. [`Error::Release`] if the
    /// backend failed. The handle is closed then, which releases the lock unless the file system fails
    /// at that as well.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future releases the lock as dropping the guard does.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), touchfile_core::Error> {
    /// use touchfile_core::{Error, TouchFile};
    /// use touchfile_mock::Call;
    /// # use touchfile_mock::World;
    /// # let world = World::new();
    /// # let backend = world.process("a");
    ///
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// touch.lock_exclusive().await?.unlock().await?;
    ///
    /// let guard = touch.lock_exclusive().await?;
    /// world.fail_next(Call::Unlock, 5); // EIO
    /// assert!(matches!(guard.unlock().await.unwrap_err(), Error::Release { .. }));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn unlock(mut self) -> Result<()> {
        let Some(handle) = &mut self.handle else {
            return Ok(());
        };
        self.touch.latest_holder.released();
        let valid_until = handle.peek().and_then(LockHandle::valid_until);
        match handle.unlock(&mut self.permit).await {
            Ok(()) => {
                self.released();
                if let Some(handle) = self.handle.take() {
                    self.touch.keep_idle(handle);
                }
                Ok(())
            }
            Err(source) => {
                if let Some(handle) = self.handle.take() {
                    handle.close(&mut self.permit);
                }
                if is_stale(&source) {
                    return Err(self.lost_until(valid_until));
                }
                Err(Error::Release {
                    path: self.path().to_owned(),
                    mode: self.mode,
                    source,
                })
            }
        }
    }

    /// The mode the lock is held in.
    pub fn mode(&self) -> LockMode {
        self.mode
    }

    /// The absolute path of the lock file, or its name if the backend's locks are not on files.
    pub fn path(&self) -> &Path {
        self.touch.path()
    }

    /// The touch file that is locked.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::{LockBackend, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// let guard = touch.blocking().lock_exclusive()?;
    /// assert_eq!(guard.touch_file().backend().name(), "mock");
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn touch_file(&self) -> &TouchFile<B> {
        &self.touch
    }

    /// The locked file, to be read. It can be written too if the builder was told to
    /// [`write`](crate::TouchFileBuilder::write).
    ///
    /// It is open already, at its beginning at first, and the next guard may have it again where this
    /// one leaves it. It must not be locked or unlocked but through this guard.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] if the backend has no files, and [`Error::Transient`] while a conversion
    /// that was given up is still going on.
    ///
    /// # Examples
    ///
    /// A pid file:
    ///
    /// ```
    /// use std::io::{Seek, Write};
    /// use touchfile_core::TouchFile;
    /// use touchfile_flock::FlockBackend;
    ///
    /// let touch = TouchFile::builder(FlockBackend::new()).write(true).build()?;
    /// let guard = touch.blocking().lock_exclusive()?;
    /// let mut file = guard.file()?;
    /// file.set_len(0)?;
    /// file.rewind()?;
    /// writeln!(file, "{}", std::process::id())?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn file(&self) -> Result<&File> {
        let error = |kind, why| {
            let source = io::Error::new(kind, why);
            self.touch.error(Operation::UseFile, source)
        };
        let Some(handle) = self.handle() else {
            let why = "a conversion that was given up is still going on";
            return Err(error(io::ErrorKind::WouldBlock, why));
        };
        let none = || {
            error(
                io::ErrorKind::Unsupported,
                "its locks are not on open files",
            )
        };
        handle.file().ok_or_else(none)
    }

    /// The fencing token of this lock: a number that is greater than that of everybody who held it
    /// before and would be in the way.
    ///
    /// Send it with what the lock protects, so that a store can refuse a holder that has lost the lock
    /// without knowing; a [`Fence`](crate::Fence) does that. It stays the same after a loss.
    ///
    /// `None` if the backend has no tokens, which [its claim](crate::Capabilities::fencing) says; and,
    /// as with [`handle`](Self::handle), while a conversion that was given up is still going on.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::TouchFile;
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// let first = touch.blocking().lock_exclusive()?.token();
    /// let second = touch.blocking().lock_exclusive()?.token();
    /// assert!(first.is_some() && first < second);
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn token(&self) -> Option<u64> {
        self.handle()?.token()
    }

    /// Until when the lock is granted, if it is not confirmed before: after that it counts as lost.
    ///
    /// It bounds what may be begun under the lock without asking anybody. A later answer may be a later
    /// moment. `None` if the lock lasts until it is released or taken away, which is so on files; and, as
    /// with [`handle`](Self::handle), while a conversion that was given up is still going on.
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
    /// assert!(guard.valid_until().is_none());
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn valid_until(&self) -> Option<Instant> {
        self.handle()?.valid_until()
    }

    /// Whom this lock can be expected to exclude, as far as the handle can tell without asking
    /// anybody ([`LockHandle::guarantee`](crate::LockHandle::guarantee)).
    ///
    /// # Errors
    ///
    /// Whatever keeps the backend from finding out.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile::{Guarantee, TouchFile};
    ///
    /// let touch = TouchFile::open_temporary()?;
    /// let guard = touch.blocking().lock_exclusive()?;
    /// match guard.guarantee()? {
    ///     Guarantee::CrossHost => println!("nobody else has it, here or elsewhere"),
    ///     Guarantee::HostLocal => println!("nobody else on this host has it"),
    ///     Guarantee::None => println!("this lock is worth nothing"),
    ///     _ => println!("ask your administrator"),
    /// }
    /// # Ok::<(), touchfile::Error>(())
    /// ```
    pub fn guarantee(&self) -> Result<Guarantee> {
        let Some(handle) = self.handle() else {
            return Ok(Guarantee::Unknown);
        };
        let error = |source| self.touch.error(Operation::FindGuarantee, source);
        handle.guarantee().map_err(error)
    }

    /// The handle that holds the lock, for what the backend says of it.
    ///
    /// `None` only while a conversion that was given up is still going on, on a file system whose
    /// calls may block.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::TouchFile;
    /// use touchfile_flock::FlockBackend;
    ///
    /// let touch = TouchFile::temporary(FlockBackend::new())?;
    /// let guard = touch.blocking().lock_exclusive()?;
    /// if let Some(handle) = guard.handle() {
    ///     println!("locked by {handle:?}");
    /// }
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn handle(&self) -> Option<&B::Handle> {
        self.handle.as_ref()?.peek()
    }

    fn released(&self) {
        let path = self.touch.path.display();
        let held = self
            .since
            .as_ref()
            .map(|since| field::debug(since.elapsed()));
        debug!(target: "touchfile", %path, mode = %self.mode, held, "released");
    }
}

/// The time, if anybody reads when a lock is released.
#[inline]
fn now_if_traced() -> Option<Box<Instant>> {
    #[cold]
    fn now() -> Option<Box<Instant>> {
        Some(Box::new(Instant::now()))
    }

    if enabled!(target: "touchfile", Level::DEBUG) {
        now()
    } else {
        None
    }
}

impl<T, B> fmt::Debug for Guard<T, B>
where
    T: Deref<Target = TouchFile<B>>,
    B: LockBackend,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("path", &self.path())
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl<T, B> Drop for Guard<T, B>
where
    T: Deref<Target = TouchFile<B>>,
    B: LockBackend,
{
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            self.touch.latest_holder.released();
            match handle.release_now(&mut self.permit) {
                Ok(Some(handle)) => {
                    self.released();
                    self.touch.keep_idle(handle);
                }
                Ok(None) => {} // it goes on elsewhere
                Err(error) => {
                    let path = self.touch.path.display();
                    warn!(target: "touchfile", %path, %error, "releasing the lock failed");
                }
            }
        }
    }
}
