//! Changing the mode of a guard without letting go of its lock.
//!
//! The guard's permit of the queue inside the process changes with the mode: at every await point it
//! is what the mode takes. A guard never waits for more, so that two guards that want to become
//! exclusive cannot wait for each other.

use std::io;
use std::ops::Deref;

use crate::trace::debug;

use super::TouchFile;
use super::guard::Guard;
use crate::backend::unsupported;
use crate::offload::OffloadHandle;
use crate::queue::{self, Permit};
use crate::{Attempt, ConvertLock, Error, LockBackend, LockMode, Operation, Result};

impl<T, B> Guard<T, B>
where
    T: Deref<Target = TouchFile<B>>,
    B: LockBackend,
    B::Handle: ConvertLock,
{
    /// Makes the exclusive lock a shared one, and never lets go of it: nobody can have had it
    /// exclusively in between.
    ///
    /// Tasks of this process that wait for a shared lock get it at once. A shared lock stays as it is.
    ///
    /// Requires [`Capabilities::atomic_conversion`](crate::Capabilities).
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] if a backend that is chosen at run time cannot do it; else what the
    /// backend says. The lock is held as before.
    ///
    /// # Cancel safety
    ///
    /// After a dropped future the lock is held, and counts as shared.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), touchfile_core::Error> {
    /// use touchfile_core::LockMode::Shared;
    /// use touchfile_core::TouchFile;
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// let mut guard = touch.lock_exclusive().await?;
    /// // … write …
    /// guard.downgrade().await?;
    /// // … read what was written, together with others …
    /// assert_eq!(guard.mode(), Shared);
    /// assert!(touch.try_lock(Shared).await?.is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn downgrade(&mut self) -> Result<()> {
        self.refuse_unclaimed(Operation::Downgrade)?;
        let before = std::mem::replace(&mut self.mode, LockMode::Shared);
        let (handle, permit) = self.parts();
        // If this future is dropped from here on, the guard is shared and has the permit of a shared
        // one. The handle of a shared guard may be exclusive still, after an upgrade that was given up.
        let rest = queue::split_surplus(permit);
        match handle.downgrade().await {
            Ok(()) => {
                drop(rest);
                debug!(target: "touchfile", path = %self.path().display(), "downgraded");
                Ok(())
            }
            Err(source) => {
                rest.into_iter().for_each(|rest| permit.merge(rest));
                self.mode = before;
                Err(self.failed(Operation::Downgrade, source))
            }
        }
    }

    /// Makes the shared lock an exclusive one if nobody shares it, and never lets go of it.
    ///
    /// `false` means that somebody else has a shared lock, or that other tasks of this process
    /// hold one or are queued for one on this `TouchFile`. The lock is shared then, as before.
    /// An exclusive lock stays as it is.
    ///
    /// It does not wait: two holders that waited for each other to go would wait for ever. To wait,
    /// release and take the exclusive lock; what was read under the shared one may be out of date
    /// then.
    ///
    /// Requires [`Capabilities::atomic_conversion`](crate::Capabilities).
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] if a backend that is chosen at run time cannot do it, or the file
    /// cannot be locked exclusively; else what the backend says. The lock is shared as before.
    ///
    /// # Cancel safety
    ///
    /// After a dropped future the lock is held, and counts as shared.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), touchfile_core::Error> {
    /// use touchfile_core::TouchFile;
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    /// # let out_of_date = || true;
    ///
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// let mut guard = touch.lock_shared().await?;
    /// if out_of_date() && guard.try_upgrade().await? {
    ///     // … what was seen is still so: mend it …
    ///     guard.downgrade().await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn try_upgrade(&mut self) -> Result<bool> {
        self.refuse_unclaimed(Operation::Upgrade)?;
        if self.mode == LockMode::Exclusive {
            return Ok(true);
        }
        let Some(rest) = self.touch.queue.try_enter_exclusively() else {
            return Ok(false);
        };
        let (handle, permit) = self.parts();
        match handle.try_upgrade().await {
            Ok(Attempt::Acquired) => {
                permit.merge(rest);
                self.mode = LockMode::Exclusive;
                debug!(target: "touchfile", path = %self.path().display(), "upgraded");
                Ok(true)
            }
            Ok(Attempt::WouldBlock) => Ok(false),
            Err(source) => Err(self.failed(Operation::Upgrade, source)),
        }
    }

    fn parts(&mut self) -> (&mut OffloadHandle<B::Handle>, &mut Permit) {
        const HELD: &str = "only `unlock` and `drop`, which end a guard, take its parts";
        let handle = self.handle.as_mut().expect(HELD);
        (handle, self.permit.as_mut().expect(HELD))
    }

    fn refuse_unclaimed(&self, operation: Operation) -> Result<()> {
        if self.touch.backend.capabilities().atomic_conversion {
            return Ok(());
        }
        Err(self.failed(operation, unsupported()))
    }

    fn failed(&self, operation: Operation, source: io::Error) -> Error {
        self.touch.error(operation, source)
    }
}
