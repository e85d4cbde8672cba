//! Several locks that are held.

use std::fmt;
use std::ops::Index;

use super::super::guard::OwnedLockGuard;
use crate::{LockBackend, Result};

/// The held locks of a [`LockSet`](super::LockSet).
///
/// An index is the place of a lock in the order in which they were added to the set. Dropping it releases
/// them in the reverse of the order in which they were taken.
#[must_use = "dropping the guards at once releases their locks"]
#[clippy::has_significant_drop]
pub struct LockSetGuard<B: LockBackend> {
    /// In the order in which they were taken.
    held: Vec<OwnedLockGuard<B>>,
    /// For each lock as it was added, its place in `held`.
    places: Vec<usize>,
}

impl<B: LockBackend> LockSetGuard<B> {
    pub(super) fn new(count: usize) -> Self {
        Self {
            held: Vec::with_capacity(count),
            places: vec![0; count],
        }
    }

    pub(super) fn push(&mut self, index: usize, guard: OwnedLockGuard<B>) {
        self.places[index] = self.held.len();
        self.held.push(guard);
    }

    /// The guards, in the order in which the locks were added to the set.
    pub fn iter(&self) -> impl Iterator<Item = &OwnedLockGuard<B>> {
        self.places.iter().map(|&place| &self.held[place])
    }

    /// Releases all locks, and returns when they are released.
    ///
    /// # Errors
    ///
    /// The first error of [`Guard::unlock`](crate::Guard::unlock); the others are released all the same.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future releases the locks as dropping the guard does.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), touchfile_core::Error> {
    /// use touchfile_core::{LockSet, TouchFile};
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let a = TouchFile::new(backend.clone(), "/a.lock")?;
    /// let b = TouchFile::new(backend, "/b.lock")?;
    /// LockSet::new().exclusive(a).exclusive(b).lock().await?.unlock().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn unlock(mut self) -> Result<()> {
        let mut done = Ok(());
        while let Some(guard) = self.held.pop() {
            done = done.and(guard.unlock().await);
        }
        done
    }
}

impl<B: LockBackend> Index<usize> for LockSetGuard<B> {
    type Output = OwnedLockGuard<B>;

    fn index(&self, index: usize) -> &OwnedLockGuard<B> {
        &self.held[self.places[index]]
    }
}

impl<B: LockBackend> fmt::Debug for LockSetGuard<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.held).finish()
    }
}

impl<B: LockBackend> Drop for LockSetGuard<B> {
    fn drop(&mut self) {
        while let Some(guard) = self.held.pop() {
            drop(guard);
        }
    }
}
