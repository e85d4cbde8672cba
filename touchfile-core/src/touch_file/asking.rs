//! What is known of a lock without taking it.

use super::TouchFile;
use crate::{Guarantee, Holder, LockBackend, LockHandle, Operation, Result};

impl<B: LockBackend> TouchFile<B> {
    /// Who holds the lock and who waits for it, as far as anybody can tell
    /// ([`LockBackend::holders`]).
    ///
    /// The answer is about a moment that is over when it arrives, and may be incomplete: it is for
    /// messages. Nothing is locked for it.
    ///
    /// # Errors
    ///
    /// Whatever keeps the backend from finding out; [`Error::Unsupported`](crate::Error::Unsupported) where the system does not
    /// tell.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), touchfile_core::Error> {
    /// use touchfile_core::{LockMode, TouchFile};
    /// # use touchfile_mock::World;
    /// # let world = World::new();
    /// # let backend = world.process("a");
    /// # let other = TouchFile::new(world.process("b"), "/some/where/a.lock")?;
    /// # let _held = other.lock_exclusive().await?;
    ///
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// if touch.try_lock(LockMode::Exclusive).await?.is_none() {
    ///     for holder in touch.holders().await? {
    ///         println!("{holder} is at it already");
    ///     }
    /// }
    /// # assert_eq!(touch.holders().await?.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn holders(&self) -> Result<Vec<Holder>> {
        let holders = self.backend.holders(&self.path).await;
        holders.map_err(|source| self.error(Operation::FindHolders, source))
    }

    /// Whom a lock on this file can be expected to exclude ([`LockBackend::guarantee`]).
    ///
    /// A backend on files opens the file for it, or its directory if there is no file yet, and blocks
    /// the thread for as long as that takes. A guard knows without asking: [`Guard::guarantee`](crate::Guard::guarantee).
    ///
    /// # Errors
    ///
    /// Whatever keeps the backend from finding out.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::{Guarantee, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touch = TouchFile::new(backend, "/some/where/a.lock")?;
    /// if touch.guarantee()? != Guarantee::CrossHost {
    ///     eprintln!("take care: this lock may keep out nobody on other hosts");
    /// }
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn guarantee(&self) -> Result<Guarantee> {
        let guarantee = match &self.file {
            Some(file) => self
                .backend
                .adopt(file)
                .and_then(|handle| handle.guarantee()),
            None => self.backend.guarantee(&self.path),
        };
        guarantee.map_err(|source| self.error(Operation::FindGuarantee, source))
    }
}
