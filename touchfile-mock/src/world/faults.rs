//! Faults in a world.

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::World;
use crate::paths::absolute;
use crate::{Call, Failure, Fault};

impl World {
    /// Lets all holders of the lock on `path` lose it, and returns how many these were.
    ///
    /// Each holder still seems to hold the lock, like a client of NFS whose lease has expired, while
    /// another process may take it. `Guard::verify` and `Guard::lost` report the loss, and so does
    /// `Guard::unlock`, which does not release the lock of the new holder.
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
    /// assert!(taken.is_some()); // "a" does not know it
    /// assert!(guard.unlock().is_err());
    /// assert_eq!(world.holders("/a.lock"), [("b", Exclusive)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lose_lock(&self, path: impl AsRef<Path>) -> usize {
        self.0
            .with(|state| state.lose_locks_on(&absolute(path.as_ref()), None))
    }

    /// Lets all holders of the lock on `path` lose it because their leases run out now, and returns how
    /// many these were.
    ///
    /// It is a loss like [`lose_lock`](Self::lose_lock), which is reported as `Loss::Expired`, without
    /// asking anybody.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::{Error, Loss, TouchFile};
    /// use touchfile_mock::World;
    ///
    /// let world = World::new();
    /// let touch = TouchFile::new(world.process("a"), "/a.lock")?;
    /// let guard = touch.blocking().lock_exclusive()?;
    /// world.expire_lock("/a.lock");
    /// let lost = guard.unlock().unwrap_err();
    /// assert!(matches!(lost, Error::Lost { loss: Loss::Expired, .. }), "{lost:?}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn expire_lock(&self, path: impl AsRef<Path>) -> usize {
        let path = absolute(path.as_ref());
        let now = Some(Instant::now());
        self.0.with(|state| state.lose_locks_on(&path, now))
    }

    /// Lets a process lose all its locks, like [`lose_lock`](Self::lose_lock), and returns how many these
    /// were.
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

    /// Lets the next such call of any process fail. This is [`Fault::fail`] without conditions.
    ///
    /// `error` is an errno or an [`std::io::ErrorKind`].
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

    /// Delays the next such call of any process. This is [`Fault::delay`] without conditions.
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

    /// Lets the next `times` attempts find the lock busy, though it is free. This is [`Fault::refuse`]
    /// without conditions.
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

    /// How many calls the armed faults can still affect. At the end of a test this is zero if all faults
    /// have taken effect.
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
}
